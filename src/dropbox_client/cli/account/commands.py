"""Who you are: signing in and out, the password, the second factor."""

import os
import sys
from argparse import Namespace

from dropbox_client.api import Client
from dropbox_client.cli import output
from dropbox_client.cli.arguments import DEFAULT_SERVER
from dropbox_client.cli.environment import PATIENCE_S, connect, for_each, token_file
from dropbox_client.errors import ApiProblem, Usage


def login(options: Namespace) -> None:
    """Sign in; what is missing is asked for."""
    server = options.server or os.environ.get("DBX_SERVER") or DEFAULT_SERVER
    if not server.startswith(("http://", "https://")):
        raise Usage(f"{server!r} is not an address: those begin with http:// or https://")
    with Client(server, token_file(), patience_s=PATIENCE_S) as client:
        if options.token:
            client.use_token(os.environ.get("DBX_TOKEN") or output.ask_secret("Access token: "))
            output.note(f"using an access token at {client.base_url}")
            return
        if options.sso:
            from dropbox_client.cli.account.sso import sign_in  # noqa: PLC0415

            sign_in(client, open_browser=not options.no_browser)
            email = client.me().email
        else:
            email = options.email or _ask("Email: ", "--email")
            _sign_in(client, email, options)
    output.note(f"signed in to {client.base_url} as {email}")


def _sign_in(client: Client, email: str, options: Namespace) -> None:
    if options.password_stdin:
        password = sys.stdin.readline().rstrip("\n")
    else:
        password = output.ask_secret("Password: ", twice=options.register, instead="--password-stdin")
    if options.register:
        client.register(email, password)
    try:
        client.sign_in(email, password, options.otp)
    except ApiProblem as problem:
        if problem.code != "second-factor-required" or options.otp:
            raise
        client.sign_in(email, password, _otp(options))


def _ask(prompt: str, instead: str) -> str:
    answer = output.ask(prompt).strip()
    if not answer:
        raise Usage(f"there is nobody to ask: say {instead}")
    return answer


def _otp(options: Namespace) -> str:
    return options.otp or _ask("Code of your app, or a recovery code: ", "--otp")


def logout(_: Namespace) -> None:
    """Sign out, here and on the server."""
    if os.environ.get("DBX_TOKEN"):
        raise Usage("it is DBX_TOKEN that signs you in: unset it")
    with connect() as client:
        client.sign_out()


def whoami(options: Namespace) -> None:
    """Show the account and how much of its quota is used."""
    with connect() as client:
        me = client.me()
    if options.json:
        output.record(me, server=client.base_url)
    else:
        output.account(me, client.base_url)


def password(_: Namespace) -> None:
    """Change the password."""
    with connect() as client:
        old = _own_password(client)
        client.change_password(old, output.ask_secret("New password: ", twice=True))
    output.note("changed; all other sign-ins have ended")


def _own_password(client: Client) -> str | None:
    """Return what proves that it is you who asks; None for an account without a password."""
    return output.ask_secret("Your password: ") if client.me().has_password else None


# The second factor


def enable_second_factor(_: Namespace) -> None:
    """Show the secret, take a code of it, and print the recovery codes."""
    with connect() as client:
        proposal = client.propose_second_factor(_own_password(client))
        output.note(f"Give this to your authenticator app: {proposal.secret}\nor open: {proposal.otpauth_url}")
        codes = client.confirm_second_factor(
            _ask("Code that the app shows: ", "it on stdin, a line after the password")
        )
    output.note("The second factor is on. Keep these recovery codes: each replaces a code of the app, once.")
    output.say("\n".join(codes))


def disable_second_factor(options: Namespace) -> None:
    """Turn the second factor off."""
    with connect() as client:
        client.remove_second_factor(_own_password(client), _otp(options))
    output.note("the second factor is off")


def recovery_codes(options: Namespace) -> None:
    """Print new recovery codes; the old ones are void."""
    with connect() as client:
        output.say("\n".join(client.replace_recovery_codes(_own_password(client), _otp(options))))


# Access tokens of programs, and the other sign-ins


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
