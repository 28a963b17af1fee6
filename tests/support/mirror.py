"""A client that keeps a copy of a tree exactly as docs/protocol.md says under "Mirror a tree", and nothing more.

Each method that sends requests is an asynchronous generator that yields after each answer, before the next request: a
test lets other changes happen there.
"""

from collections import defaultdict
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import httpx2

COMPARED = ("etag", "parent_id", "kind", "name", "size_bytes", "revision_id", "fingerprint", "content_status")
Entry = dict[str, Any]


def summarize(file: dict[str, Any]) -> Entry:
    """Return what a copy keeps of a file or of a row of the tree."""
    time = file["client_modified_at"]
    return {name: file[name] for name in COMPARED} | {"client_modified_at": time and read_time(time)}


def read_time(time: str) -> str:
    """Return a time in one spelling: the tree leaves out zeros at the end of a fraction."""
    whole, _, fraction = time.removesuffix("Z").partition(".")
    return f"{whole}.{fraction:0<6}"


class GoneError(Exception):
    """The folder does not exist, or the caller may not see it."""


@dataclass
class Mirror:
    """A copy of the tree below a folder."""

    client: httpx2.AsyncClient
    root_id: str
    page_rows: int = 1000
    page_events: int = 500
    nodes: dict[str, Entry] = field(default_factory=dict)
    children: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    cursor: str = ""
    passes: int = 0
    """How often all events were read, until none was left."""

    async def _get(self, path: str, **query: Any) -> dict[str, Any]:
        answer = await self.client.get(path, params=query)
        if answer.status_code == 404:
            raise GoneError
        body: dict[str, Any] = answer.raise_for_status().json()
        return body

    # Step 1

    async def load(self) -> AsyncIterator[None]:
        """Read all pages."""
        try:
            async for events_cursor in self._list_below(self.root_id):
                self.cursor = events_cursor
                yield
        except GoneError:
            if not self.cursor:
                self.cursor = (await self._get("/v1/events/cursor"))["cursor"]
                yield
                async for _ in self._relist(self.root_id):
                    yield

    async def _list_below(self, folder_id: str) -> AsyncIterator[str]:
        """Read all pages of a folder and keep the rows; yield the events cursor after each. Raises GoneError."""
        query: dict[str, Any] = {"limit": self.page_rows, "root_id": folder_id}
        while True:
            page = await self._get("/v1/tree", **query)
            for row in page["items"]:
                values = dict(zip(page["columns"], row, strict=True))
                values["etag"] = f'"{page["epoch"]}.{values["version"]}"'
                self._keep(values["id"], summarize(values))
            yield page["events_cursor"]
            if page["next_cursor"] is None:
                return
            query["cursor"] = page["next_cursor"]

    async def _relist(self, folder_id: str) -> AsyncIterator[None]:
        for child_id in list(self.children.get(folder_id, ())):
            self._forget(child_id)
        try:
            async for _ in self._list_below(folder_id):
                yield
        except GoneError:
            return

    # Step 2

    async def follow(self) -> AsyncIterator[None]:
        """Read the events until none is left."""
        has_more = True
        while has_more:
            page = await self._get("/v1/events", cursor=self.cursor, limit=self.page_events)
            yield
            for event in page["events"]:
                async for _ in self._apply(event):
                    yield
            self.cursor, has_more = page["cursor"], page["has_more"]
        self.passes += 1

    async def _apply(self, event: dict[str, Any]) -> AsyncIterator[None]:
        node_id, kind, file = event["file_id"], event["kind"], event["file"]
        is_new = node_id not in self.nodes
        if file is None or not self._is_below(node_id, file):
            self._forget(node_id)
            return
        if node_id != self.root_id:
            self._keep(node_id, summarize(file))
        asks_for_list = kind in {"file.restored", "file.moved", "share.granted"} or (
            is_new and kind != "file.created" and node_id != self.root_id
        )
        if file["kind"] == "folder" and asks_for_list:
            async for _ in self._relist(node_id):
                yield

    def _is_below(self, node_id: str, file: dict[str, Any]) -> bool:
        return node_id == self.root_id or file["parent_id"] == self.root_id or file["parent_id"] in self.nodes

    def _keep(self, node_id: str, entry: Entry) -> None:
        before = self.nodes.get(node_id)
        if before:
            self.children[before["parent_id"]].discard(node_id)
        self.nodes[node_id] = entry
        self.children[entry["parent_id"]].add(node_id)

    def _forget(self, node_id: str) -> None:
        """Forget an item and everything below it, also below an item that is not kept itself."""
        for child_id in list(self.children.pop(node_id, ())):
            self._forget(child_id)
        entry = self.nodes.pop(node_id, None)
        if entry:
            self.children[entry["parent_id"]].discard(node_id)

    # Step 3

    def tree(self) -> dict[str, Entry]:
        """Return the items whose parents lead to the root."""
        found: dict[str, Entry] = {}
        folders = [self.root_id]
        while folders:
            for child_id in self.children.get(folders.pop(), ()):
                found[child_id] = self.nodes[child_id]
                folders.append(child_id)
        return found
