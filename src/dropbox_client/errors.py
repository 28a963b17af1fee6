"""The exceptions of the client. No I/O.

ClientError                   base of all
    ApiError                  the server refused the request; `problems` has a class for each code
    NotSignedIn, Unreachable, InvalidResponse, Stopped
    TransferFailed, Corrupt   the transfer failed
    Unreadable, FileChanged, LocalExists   the local file is the reason
"""

from collections.abc import Mapping
from typing import Any, NamedTuple


class ClientError(Exception):
    """Base of all exceptions that this package raises deliberately; the text is for the user."""


class FieldError(NamedTuple):
    """A member of a request that is not valid."""

    pointer: str
    """JSON pointer to the member."""
    detail: str


class ApiError(ClientError):
    """The server refused the request with an RFC 9457 problem.

    `problems` has a subclass for each code, such as `NameTaken`, with the members of the code as attributes. A code
    that this version does not know is a plain ApiError; `extra` has its members.
    """

    code: str
    """The code of the problem, such as "name-taken"; `docs/problems.md` lists all."""

    def __init__(self, code: str, status: int, detail: str, *, retryable: bool, extra: Mapping[str, Any]) -> None:
        super().__init__(detail)
        self.code = code
        self.status = status
        self.detail = detail
        self.retryable = retryable
        """True if the same request may succeed later without a change."""
        self.retry_after_s: float | None = None
        """How long the server asks to wait before the next attempt."""
        self.extra = extra
        """The members of the problem document that only this code has, as JSON."""
        self._read_members()

    def __reduce__(self) -> tuple[Any, ...]:
        return _restore, (type(self), self.code, self.status, self.detail, self.retryable, dict(self.extra))

    @staticmethod
    def from_json(document: object, status: int) -> "ApiError":
        """Read a problem document; any other body (a proxy's error page) gets the code `http-<status>`."""
        if not isinstance(document, dict) or not isinstance(document.get("code"), str):
            return ApiError(
                f"http-{status}", status, f"The server answered {status}", retryable=status >= 500, extra={}
            )
        from dropbox_client.problems import PROBLEMS  # noqa: PLC0415 - imports this module, and is seldom needed

        known = {"code", "status", "detail", "retryable", "type", "title", "instance", "request_id"}
        code = document["code"]
        own_status = document.get("status")
        return PROBLEMS.get(code, ApiError)(
            code,
            own_status if isinstance(own_status, int) else status,
            str(document.get("detail") or document.get("title") or code),
            retryable=bool(document.get("retryable")),
            extra={name: value for name, value in document.items() if name not in known},
        )

    def _read_members(self) -> None:
        """Set the members that the class of the code declares; an absent one is None."""
        if type(self) is ApiError:
            return
        for name in type(self).__annotations__:
            setattr(self, name, _read_member(name, self.extra.get(name)))


def _restore(
    kind: type[ApiError], code: str, status: int, detail: str, retryable: bool, extra: Mapping[str, Any]
) -> ApiError:
    return kind(code, status, detail, retryable=retryable, extra=extra)


def _read_member(name: str, value: Any) -> Any:
    if value is None or name not in {"errors", "problems"}:
        return value
    items = [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []
    if name == "errors":
        return [FieldError(*(str(item.get(member, "")) for member in FieldError._fields)) for item in items]
    return [ApiError.from_json(item, 409) for item in items]


class Usage(ClientError):
    """The command line is invalid."""


class NotSignedIn(ClientError):
    """No tokens are stored, or the server rejects them."""


class Unreachable(ClientError):
    """The connection failed, or broke before the response was complete. The request may have taken effect."""


class InvalidResponse(ClientError):
    """The response is not one of this API: it comes from another server, or from a proxy."""


class Unreadable(ClientError):
    """The local file cannot be opened or read."""


class FileChanged(ClientError):
    """The local file changed while it was read; nothing of it is stored."""


class LocalExists(ClientError):
    """The target of a download exists and must not be replaced."""


class Corrupt(ClientError):
    """The downloaded bytes do not match the fingerprint."""


class TransferFailed(ClientError):
    """The transfer failed for good at the store or the server; the text says why."""


class Stopped(ClientError):
    """The caller closed the client."""
