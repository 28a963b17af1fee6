"""The requests of the API as data: what to send, and how to read the answer. No I/O.

`exchange` turns a call into attempts, `client` and `async_client` send them.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Generic, TypeVar

PAGE_ITEMS = 1000
IDLE_TIMEOUT_S = 60.0
"""Longest time without a byte in either direction; the API may take 20 s to respond."""

MAX_BODY_BYTES = 256 * 1024 * 1024
"""A larger body of a response, before or after decompression, does not come from the API."""

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
        return Call("GET", self.path, partial(self._read_page, cursor), query=query)

    def _read_page(self, cursor: str | None, response: Response) -> Page[T]:
        document = response.json()
        page = Page([self.read_item(item) for item in document["items"]], document["next_cursor"])
        if page.next_cursor is not None and (not isinstance(page.next_cursor, str) or page.next_cursor == cursor):
            raise ValueError("the list has no end")
        return page


def read_nothing(response: Response) -> None:
    """Read a response without a result. Raises ValueError for any other, such as the page of a proxy."""
    if response.status not in {202, 204}:
        raise ValueError("the status announces a result")


def read_with(read: Callable[[Any], T]) -> Callable[[Response], T]:
    """Return a reader that passes the JSON document to `read`."""
    return lambda response: read(response.json())


def read_items(read: Callable[[Any], T], member: str = "items") -> Callable[[Response], list[T]]:
    """Return a reader of the list in `member`."""
    return lambda response: [read(item) for item in response.json()[member]]


def read_member(name: str, kind: type[T]) -> Callable[[Response], T]:
    """Return a reader of one member of this type."""

    def read(response: Response) -> T:
        value = response.json()[name]
        if not isinstance(value, kind):
            raise TypeError(f"{name} has another type")
        return value

    return read


def without_none(**members: Any) -> dict[str, Any]:
    """Return the members that are not None: the server leaves members alone that a request omits."""
    return {name: value for name, value in members.items() if value is not None}
