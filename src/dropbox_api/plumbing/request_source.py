"""The source of the current request (actor, address, user agent, request id), for the audit trail and the log.

A context variable: everything that a request causes has one source, and most functions between route and log do not
need it as a parameter.
"""

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True)
class RequestSource:
    """All None for the server's own work, such as a worker's job."""

    actor_id: uuid.UUID | None = None
    token_name: str | None = None
    """Name of the actor's personal token; None for a sign-in."""
    link_id: uuid.UUID | None = None
    """The link whose bearer sends the request without an account."""
    address: str | None = None
    """IP address of the client; behind a trusted proxy, the address that the proxy reports."""
    user_agent: str | None = None
    request_id: str | None = None


_current: ContextVar[RequestSource] = ContextVar("request_source", default=RequestSource())  # noqa: B039 - frozen


def get_source() -> RequestSource:
    """Return the source of the request that runs here."""
    return _current.get()


def set_source(source: RequestSource) -> None:
    """Set the source of the request that begins here."""
    _current.set(source)


def set_actor(actor_id: uuid.UUID, token_name: str | None) -> None:
    """Set the authenticated actor of the request."""
    _current.set(replace(_current.get(), actor_id=actor_id, token_name=token_name))


def set_link(link_id: uuid.UUID) -> None:
    """Set the link that the bearer of the request has opened."""
    _current.set(replace(_current.get(), link_id=link_id))


@contextmanager
def act_for(actor_id: uuid.UUID | None, link_id: uuid.UUID | None = None) -> Iterator[None]:
    """Run the block on behalf of an actor or the bearer of a link, as a worker does that finishes an upload."""
    token = _current.set(replace(_current.get(), actor_id=actor_id, link_id=link_id))
    try:
        yield
    finally:
        _current.reset(token)
