"""Changes that need a recent sign-in, or the password."""

from collections.abc import Callable
from typing import TypeVar

from dropbox_client.cli import output
from dropbox_client.client import Client
from dropbox_client.errors import Usage
from dropbox_client.problems import Forbidden

T = TypeVar("T")


def ask_own_password(client: Client) -> str | None:
    """Return the password of the account; None for an account without one."""
    return output.ask_secret("Your password: ") if client.account.get().has_password else None


def with_confirmation(client: Client, change: Callable[[], T]) -> T:
    """Make a change that needs a recent sign-in; confirm an older one with the password."""
    try:
        return change()
    except Forbidden as refused:
        if refused.reason != "sign-in-too-old":
            raise
    password = ask_own_password(client)
    if password is None:
        raise Usage("your sign-in is too old for this: sign in again with `dbx login --sso`")
    client.account.confirm(password)
    return change()
