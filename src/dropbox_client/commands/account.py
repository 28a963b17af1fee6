"""Who you are."""

import os
import sys
from argparse import Namespace

from dropbox_client import output
from dropbox_client.arguments import DEFAULT_SERVER
from dropbox_client.commands import connect
from dropbox_client.errors import Usage


def login(options: Namespace) -> None:
    """Sign in; what is missing is asked for."""
    server = options.server or os.environ.get("DBX_SERVER") or DEFAULT_SERVER
    if not server.startswith(("http://", "https://")):
        raise Usage(f"{server!r} is not an address: those begin with http:// or https://")
    email = options.email or _ask("Email: ")
    password = sys.stdin.readline().rstrip("\n") if options.password_stdin else _ask_password(twice=options.register)
    with connect(server) as client:
        if options.register:
            client.register(email, password)
        client.sign_in(email, password)
    output.note(f"signed in to {client.base_url} as {email}")


def _ask(prompt: str) -> str:
    answer = output.ask(prompt)
    if not answer:
        raise Usage("there is nobody to ask: say --email and --password-stdin")
    return answer.strip()


def _ask_password(*, twice: bool) -> str:
    import getpass  # noqa: PLC0415

    try:
        password = getpass.getpass("Password: ")
        if twice and getpass.getpass("Once more: ") != password:
            raise Usage("these are two different passwords")
    except EOFError as error:
        raise Usage("there is nobody to ask: say --password-stdin") from error
    return password


def logout(_: Namespace) -> None:
    """Sign out, here and on the server."""
    with connect() as client:
        client.sign_out()


def whoami(options: Namespace) -> None:
    """Show the account and how much of its quota is used."""
    with connect() as client:
        me = client.me()
    if options.json:
        output.record(me, server=client.base_url)
    else:
        output.say(f"{me.email} at {client.base_url}")
        output.quota(me)
