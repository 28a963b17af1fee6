"""The exceptions of the client, one type per kind of failure. No I/O."""

from collections.abc import Mapping
from typing import Any, Self


class ClientError(Exception):
    """Base of all exceptions that this package raises deliberately; the text is for the user."""


class ApiProblem(ClientError):
    """The server refused the request with an RFC 9457 problem. Branch on `code`; `docs/problems.md` lists all codes."""

    def __init__(self, code: str, status: int, detail: str, *, retryable: bool, extra: Mapping[str, Any]) -> None:
        super().__init__(detail)
        self.code = code
        self.status = status
        self.detail = detail
        self.retryable = retryable
        """True if the same request may succeed later without a change."""
        self.extra = extra
        """Members specific to this code, such as `missing` of parts-missing."""

    @classmethod
    def from_json(cls, document: object, status: int) -> Self:
        """Read a problem document; any other body (a proxy's error page) gets the code `http-<status>`."""
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
    """The server no longer keeps the events after this cursor: list the files again to resynchronise."""

    @classmethod
    def from_problem(cls, problem: ApiProblem) -> Self:
        return cls(problem.code, problem.status, problem.detail, retryable=problem.retryable, extra=problem.extra)


class Usage(ClientError):
    """The command line is invalid."""


class NotSignedIn(ClientError):
    """No tokens are stored, or the server rejects them."""


class Unreachable(ClientError):
    """The connection failed, or broke before the response was complete. The request may have taken effect."""


class Unreadable(ClientError):
    """The local file cannot be opened or read."""


class FileChanged(ClientError):
    """The local file changed while it was read; nothing of it is stored."""


class TransferFailed(ClientError):
    """The transfer failed for good at the store or the server; the text says why."""


class Stopped(ClientError):
    """The caller closed the client."""
