"""What else gets into your account: access tokens of programs, and the other places where you are signed in."""

from argparse import Namespace

from dropbox_client import output
from dropbox_client.commands import connect, for_each


def list_tokens(options: Namespace) -> None:
    """List the personal access tokens."""
    with connect() as client:
        for token in client.list_tokens():
            output.token(token, json=options.json)


def create_token(options: Namespace) -> None:
    """Make a token and print it, alone."""
    with connect() as client:
        made = client.create_token(options.name, sorted(set(options.scopes)), options.expires)
    if options.json:
        output.record(made)
    else:
        output.say(str(made.token))


def revoke_tokens(options: Namespace) -> int:
    """End tokens."""
    with connect() as client:
        return for_each(options.ids, client.revoke_token)


def list_devices(options: Namespace) -> None:
    """List where the account is signed in."""
    with connect() as client:
        for session in client.list_sessions():
            output.sign_in(session, json=options.json)


def revoke_devices(options: Namespace) -> int:
    """End sign-ins."""
    with connect() as client:
        return for_each(options.ids, client.end_session)


def revoke_other_devices(_: Namespace) -> None:
    """End all sign-ins but this one."""
    with connect() as client:
        client.end_other_sessions()
