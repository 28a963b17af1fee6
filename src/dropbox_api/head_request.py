"""HEAD: the answer of GET without its body and without its effects (RFC 9110 section 9.3.2).

`middleware.HeadRequests` answers every HEAD by the GET of the same path, and `begin_head` marks the request. Code that
runs for it then changes nothing: `db` rolls its transactions back, so that it uses up no budget and leaves no audit;
`files.archive` builds no archive; `files.download` signs the method of the request.
"""

from contextvars import ContextVar

_is_head: ContextVar[bool] = ContextVar("is_head", default=False)


def begin_head() -> None:
    """Mark the request that runs here as HEAD."""
    _is_head.set(True)


def is_head() -> bool:
    """Return whether the request that runs here is HEAD."""
    return _is_head.get()
