"""The resources of the client: one method for each operation of the API.

A file or folder is named by a `File`, by its id, or by its path in the caller's own tree ("/photos/cat.jpg"); most
operations resolve a path with one more request. Every method raises `ApiError` if the server refuses the request,
`Unreachable` if no response arrives in time, `NotSignedIn` without a valid sign-in, `Stopped` after `close`.

`async_resources` is generated from this package: `make sdk`.
"""

from functools import cached_property
from typing import TYPE_CHECKING, TypeVar

from dropbox_client.calls import auth
from dropbox_client.exchange import Exchange, Steps

if TYPE_CHECKING:
    from dropbox_client.resources.account import OwnAccount
    from dropbox_client.resources.admin import Admin
    from dropbox_client.resources.events import Events
    from dropbox_client.resources.files import Files
    from dropbox_client.resources.links import Links
    from dropbox_client.resources.public import Public
    from dropbox_client.resources.revisions import Revisions
    from dropbox_client.resources.shares import Shares
    from dropbox_client.resources.trash import Trash
    from dropbox_client.resources.uploads import Uploads
    from dropbox_client.resources.webhooks import Webhooks

T = TypeVar("T")


class Resources:
    """What both clients share: resources, each imported when it is used, and sign-in.

    A client implements `drive`, which performs requests.
    """

    def __init__(self, exchange: Exchange) -> None:
        self.exchange = exchange

    @property
    def base_url(self) -> str:
        """The address of the server, without a slash at its end."""
        return self.exchange.base_url

    @property
    def retry_for_s(self) -> float:
        """How long a failing request is retried."""
        return self.exchange.retry_for_s

    @retry_for_s.setter
    def retry_for_s(self, duration_s: float) -> None:
        self.exchange.retry_for_s = duration_s

    def drive(self, steps: Steps[T]) -> T:
        """Perform steps and return their result. Raises their exceptions, and Stopped after `close`."""
        raise NotImplementedError

    def check(self) -> None:
        """Raise Stopped after `close`."""
        raise NotImplementedError

    # Sign-in

    def sign_in(self, email: str, password: str, *, otp: str | None = None) -> None:
        """Sign in and store the tokens. Raises InvalidCredentials, SecondFactorRequired."""
        return self.drive(self.exchange.sign_in(auth.sign_in(email, password, otp), email))

    def sign_in_with_code(self, code: str, verifier: str) -> None:
        """Exchange the code of a sign-in at the identity provider for tokens, and store them.

        Raises: OidcFailed, also if the code belongs to another verifier.
        """
        return self.drive(self.exchange.sign_in(auth.sign_in_with_code(code, verifier), ""))

    def sign_in_with_token(self, token: str) -> None:
        """Check a personal access token and store it in place of a sign-in.

        Raises: NotSignedIn if the server rejects it, ValueError if it cannot be a token.
        """
        return self.drive(self.exchange.sign_in_with_token(token))

    def sign_out(self) -> None:
        """End the sign-in here and on the server, if there is one. A personal access token is deleted only here."""
        return self.drive(self.exchange.sign_out())

    # Resources

    @cached_property
    def files(self) -> "Files":
        from dropbox_client.resources.files import Files  # noqa: PLC0415

        return Files(self)

    @cached_property
    def uploads(self) -> "Uploads":
        from dropbox_client.resources.uploads import Uploads  # noqa: PLC0415

        return Uploads(self)

    @cached_property
    def trash(self) -> "Trash":
        from dropbox_client.resources.trash import Trash  # noqa: PLC0415

        return Trash(self)

    @cached_property
    def revisions(self) -> "Revisions":
        from dropbox_client.resources.revisions import Revisions  # noqa: PLC0415

        return Revisions(self)

    @cached_property
    def shares(self) -> "Shares":
        from dropbox_client.resources.shares import Shares  # noqa: PLC0415

        return Shares(self)

    @cached_property
    def links(self) -> "Links":
        from dropbox_client.resources.links import Links  # noqa: PLC0415

        return Links(self)

    @cached_property
    def public(self) -> "Public":
        from dropbox_client.resources.public import Public  # noqa: PLC0415

        return Public(self)

    @cached_property
    def events(self) -> "Events":
        from dropbox_client.resources.events import Events  # noqa: PLC0415

        return Events(self)

    @cached_property
    def account(self) -> "OwnAccount":
        from dropbox_client.resources.account import OwnAccount  # noqa: PLC0415

        return OwnAccount(self)

    @cached_property
    def admin(self) -> "Admin":
        from dropbox_client.resources.admin import Admin  # noqa: PLC0415

        return Admin(self)

    @cached_property
    def webhooks(self) -> "Webhooks":
        from dropbox_client.resources.webhooks import Webhooks  # noqa: PLC0415

        return Webhooks(self)
