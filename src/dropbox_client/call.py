"""The requests of the API as data: what to send, and how to read the answer. No I/O.

`exchange` turns a call into attempts, `client` and `async_client` send them.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

PAGE_ITEMS = 1000
IDLE_TIMEOUT_S = 60.0
"""Longest time without a byte in either direction; the API may take 20 s to respond."""

T = TypeVar("T")


@dataclass(frozen=True)
class Response:
    """A complete response of any status."""

    status: int
    headers: Mapping[str, str]
    """Header names are in lower case."""
    body: bytes = field(repr=False)  # may hold tokens

    def retry_after_s(self) -> float | None:
        """Return the seconds of Retry-After. Its date form is ignored: no supported store sends it."""
        text = self.headers.get("retry-after", "")
        return float(text) if text.isdecimal() else None

    def json(self) -> Any:
        """Return the JSON document of the body, None if the body is empty. Raises ValueError."""
        return json.loads(self.body) if self.body else None


@dataclass(frozen=True)
class Call(Generic[T]):
    """One request to the API; `read` turns its successful response into the result."""

    method: str
    path: str
    read: Callable[[Response], T]
    query: Mapping[str, str] = field(default_factory=dict)
    body: object = field(default=None, repr=False)  # may hold a password
    """The JSON document to send; None sends no body."""
    form: Mapping[str, str] | None = field(default=None, repr=False)
    """A form to send instead of JSON."""
    signed_in: bool = True
    """Whether the request carries the access token."""
    creates: bool = False
    """Whether all attempts carry one Idempotency-Key: a lost response creates nothing twice."""
    if_match: str | None = None
    """The expected ETag."""
    wait_s: float = 0
    """How long the server may wait before it responds; added to the timeout."""


@dataclass(frozen=True)
class Page(Generic[T]):
    """One page of a list; `next_cursor` is None on the last one."""

    items: Sequence[T]
    next_cursor: str | None


@dataclass(frozen=True)
class Listing(Generic[T]):
    """A list that the server returns in pages."""

    path: str
    read_item: Callable[[Any], T]
    query: Mapping[str, str] = field(default_factory=dict)

    def page(self, cursor: str | None) -> Call[Page[T]]:
        """Return the call for the page after `cursor`, for the first page if it is None."""
        query = {"limit": str(PAGE_ITEMS), **self.query, **({"cursor": cursor} if cursor else {})}
        return Call("GET", self.path, self._read_page, query=query)

    def _read_page(self, response: Response) -> Page[T]:
        document = response.json()
        return Page([self.read_item(item) for item in document["items"]], document["next_cursor"])


def read_nothing(_: Response) -> None:
    """Read a response without a result."""


def read_with(read: Callable[[Any], T]) -> Callable[[Response], T]:
    """Return a reader that passes the JSON document to `read`."""
    return lambda response: read(response.json())


def read_items(read: Callable[[Any], T], member: str = "items") -> Callable[[Response], list[T]]:
    """Return a reader of the list in `member`."""
    return lambda response: [read(item) for item in response.json()[member]]


def read_member(name: str) -> Callable[[Response], Any]:
    """Return a reader of one member."""
    return lambda response: response.json()[name]


def without_none(**members: Any) -> dict[str, Any]:
    """Return the members that are not None: the server leaves members alone that a request omits."""
    return {name: value for name, value in members.items() if value is not None}
