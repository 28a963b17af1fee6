"""The requests of the API as data: what to send, and how to read the answer. No I/O.

`exchange` turns a call into attempts, `client` and `async_client` send them.
"""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Generic, Protocol, TypeVar

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


class Body(Protocol):
    """The body of a request that is sent block by block, anew for each attempt."""

    @property
    def size_bytes(self) -> int: ...

    @property
    def content_type(self) -> str: ...

    def blocks(self) -> Iterator[memoryview]: ...


class Receiver(Protocol):
    """Receives the body of a successful response block by block."""

    def restart(self) -> None:
        """Discard what was written: an attempt begins. May raise if that is impossible."""

    def write(self, block: memoryview) -> object:
        """Take the next bytes, which are valid during the call."""


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
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)  # may hold a password
    upload: Body | None = None
    """A body to send instead of JSON. A request whose response is lost is not repeated: it may have taken effect."""
    receiver: Receiver | None = None
    """Receives the body of the response, which `read` then finds empty."""


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
    signed_in: bool = True
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)

    def page(self, cursor: str | None) -> Call[Page[T]]:
        """Return the call for the page after `cursor`, for the first page if it is None."""
        query = {"limit": str(PAGE_ITEMS), **self.query, **({"cursor": cursor} if cursor else {})}
        read = partial(self._read_page, cursor)
        return Call("GET", self.path, read, query=query, signed_in=self.signed_in, headers=self.headers)

    def read_items(self, document: Any) -> Sequence[T]:
        """Return the items of a page from its JSON document."""
        return [self.read_item(item) for item in document["items"]]

    def _read_page(self, cursor: str | None, response: Response) -> Page[T]:
        document = response.json()
        page = Page(self.read_items(document), document["next_cursor"])
        if page.next_cursor is not None and (not isinstance(page.next_cursor, str) or page.next_cursor == cursor):
            raise ValueError("the list has no end")
        return page


def read_nothing(response: Response) -> None:
    """Read a response without a result. Raises ValueError for any other, such as the page of a proxy."""
    if response.status not in {202, 204}:
        raise ValueError("the status announces a result")


def read_archive(response: Response) -> None:
    """Read the response whose body a receiver got. Raises ValueError unless it was a zip."""
    if response.headers.get("content-type") != "application/zip":
        raise ValueError("not a zip")


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
