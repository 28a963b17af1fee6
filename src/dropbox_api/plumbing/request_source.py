"""Where a request comes from, for whoever writes it down: the audit trail and the log.

A context variable, because everything a request causes has one origin, and no function between the socket and the log
has any business with it.
"""

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True)
class RequestSource:
    """All None: the server itself, such as a worker's job."""

    actor_id: uuid.UUID | None = None
    address: str | None = None
    """IP address of the client, behind a trusted proxy the one that the proxy names."""
    user_agent: str | None = None
    request_id: str | None = None


_current: ContextVar[RequestSource] = ContextVar("request_source", default=RequestSource())  # noqa: B039 - frozen


def get_source() -> RequestSource:
    return _current.get()


def set_source(source: RequestSource) -> None:
    """Say where the request that begins here comes from."""
    _current.set(source)


def set_actor(actor_id: uuid.UUID) -> None:
    """Say who acts from here on: whoever signed in."""
    _current.set(replace(_current.get(), actor_id=actor_id))


@contextmanager
def act_for(actor_id: uuid.UUID) -> Iterator[None]:
    """Do what the block does on somebody's behalf, as a worker does that finishes what they began."""
    token = _current.set(replace(_current.get(), actor_id=actor_id))
    try:
        yield
    finally:
        _current.reset(token)
