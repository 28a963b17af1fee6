"""What can go wrong between a local file and the server, each as its own type. Nothing here does I/O."""

from collections.abc import Mapping
from typing import Any, Self


class ClientError(Exception):
    """Base of all errors that this package raises on purpose; its text is for people."""


class ApiProblem(ClientError):
    """The server refused: an RFC 9457 problem. Branch on `code`; `docs/problems.md` lists them all."""

    def __init__(self, code: str, status: int, detail: str, *, retryable: bool, extra: Mapping[str, Any]) -> None:
        super().__init__(detail)
        self.code = code
        self.status = status
        self.detail = detail
        self.retryable = retryable
        """Whether the same request may succeed later without any change."""
        self.extra = extra
        """The members that only this code has, such as `missing` of parts-missing."""

    @classmethod
    def of(cls, document: object, status: int) -> Self:
        """Read a problem document; whatever else a proxy may have answered becomes code `http-<status>`."""
        if not isinstance(document, dict) or "code" not in document:
            return cls(f"http-{status}", status, f"The server answered {status}", retryable=status >= 500, extra={})
        known = {"code", "status", "detail", "retryable", "type", "title", "instance", "request_id"}
        return cls(
            str(document["code"]),
            int(document.get("status", status)),
            str(document.get("detail") or document.get("title") or document["code"]),
            retryable=bool(document.get("retryable")),
            extra={name: value for name, value in document.items() if name not in known},
        )


class CursorExpired(ApiProblem):
    """The journal does not reach back to a cursor: what came after it cannot be told; list everything anew."""

    @classmethod
    def from_problem(cls, problem: ApiProblem) -> Self:
        return cls(problem.code, problem.status, problem.detail, retryable=problem.retryable, extra=problem.extra)


class Usage(ClientError):
    """What was typed makes no sense."""


class NotSignedIn(ClientError):
    """There are no tokens, or the server does not take them any more."""


class Unreachable(ClientError):
    """No connection, or it broke before a whole answer came. Whether the request had its effect is unknown."""


class Unreadable(ClientError):
    """The local file cannot be opened or read."""


class FileChanged(ClientError):
    """The local file is not any more what it was when reading began: nothing of it is stored."""


class TransferFailed(ClientError):
    """The store or the server does not let this transfer succeed; the text says what was tried."""


class Stopped(ClientError):
    """The caller asked to stop."""
