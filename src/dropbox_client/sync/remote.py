"""The remote tree, kept equal to the server as docs/protocol.md says under "Mirror a tree".

A list of the tree and the events after its cursor are the tree. The reader advances by single requests, so that the
control thread decides between them: `step` does what is due first, until `is_settled`. What it must not forget (the
cursor, folders to list again) is committed together with the rows that it follows from.

Lists and events show a node as it is at the request: an older version never replaces a newer one. Nodes whose folder is
not known yet are kept, and take part once it is (`part`). Versions count within one epoch of the server's data: a new
epoch voids all of them (rule 3).
"""

from collections import deque
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any

from dropbox_client.call import Call, Response
from dropbox_client.calls import files
from dropbox_client.client import Client
from dropbox_client.errors import ClientError
from dropbox_client.feed import EVENTS_PER_PAGE
from dropbox_client.models import Event, EventList, File, TreeEntry
from dropbox_client.problems import CursorExpired, InvalidCursor, NotFound
from dropbox_client.sync.entries import read_etag, read_tree_entry
from dropbox_client.sync.mounts import place_shares, refresh_mounts, show_file
from dropbox_client.sync.state import State
from dropbox_client.sync.trees import SHARED_ID, NodeId, RemoteEntry

_RELISTED = frozenset({"file.moved", "file.restored", "share.granted"})
"""Events of a folder after which what is below it has to be listed."""


class ServerReplaced(ClientError):
    """The server is another one than before, or lacks the folder: nothing may be concluded from what it lacks."""


@dataclass(frozen=True, slots=True)
class _TreePage:
    entries: Collection[TreeEntry]
    next_cursor: str | None
    epoch: str
    events_cursor: str


@dataclass(slots=True)
class _TreeList:
    """A list that is being read: of all trees, or of what is below one folder."""

    top: NodeId
    """What is below it and not listed is removed at the end."""
    roots: deque[NodeId]
    """The folders to list; the first one is being read."""
    cursor: str | None = None
    events_cursor: str | None = None
    """Of the first page."""
    missing: set[NodeId] = field(default_factory=set)
    """Those that were gone when they were listed."""


class RemoteReader:
    """The reader of one account. Not thread-safe: the control thread owns it, as it does the state.

    A caller that waits for changes in another thread gets a page of events there, and passes it to `apply`.
    """

    def __init__(
        self,
        client: Client,
        state: State,
        *,
        folder: str = "/",
        page_rows: int = 10_000,
        page_events: int = EVENTS_PER_PAGE,
    ) -> None:
        """`folder` is the path of the folder that the root is equal to: shares are mounted in the whole tree only."""
        self._client = client
        self._folder = folder
        self._state = state
        self._page_rows = page_rows
        self._page_events = page_events
        self._list: _TreeList | None = None
        self._is_read = False
        """Whether all events were read since the last change of anything else."""

    @property
    def is_settled(self) -> bool:
        """Whether the remote tree was complete at a time after the last step began."""
        return self._is_read and self._list is None

    def reload(self) -> None:
        """Read the whole tree again: daily, and after a day without a connection."""
        self._list, self._is_read = None, False
        self._state.set_fact("is_reload_due", 1)

    def expect_more(self) -> None:
        """Ask for events before the tree counts as complete again: a wait for them has failed."""
        self._is_read = False

    def step(self, wait_s: float = 0) -> float:
        """Do one request; return after how many seconds the next one is welcome.

        With nothing else to do it waits up to `wait_s` for events.
        Raises: ServerReplaced; Unreachable, ApiError and InvalidResponse, after which the step can be repeated.
        """
        if self._list is None:
            self._begin_due_list()
        if self._list is not None:
            self._read_list(self._list)
            return 0
        if self._state.read_fact("are_mounts_due"):
            self._refresh_mounts()
            self._is_read = False
            return 0
        try:
            page = self._client.events.get_page(self._state.cursor, limit=self._page_events, wait_s=wait_s)
        except (CursorExpired, InvalidCursor):
            self.reload()
            return 0
        self.apply(page)
        return page.backoff_s or 0

    # Lists

    def _begin_due_list(self) -> None:
        """Begin the list of all trees, or the next one of a folder, if one is due."""
        if self._state.cursor is None or self._state.read_fact("is_reload_due"):
            self._check_server()
            root_id = self._state.root_id
            if root_id is None:
                root_id = self._client.files.get(self._folder).id
                self._state.set_root(root_id)
            self._refresh_mounts()
            self._list = _TreeList(root_id, deque([root_id, *self._list_share_roots()]))
        elif relists := self._state.list_relists():
            self._list = _TreeList(relists[0], deque([relists[0]]))
        else:
            return
        self._is_read = False
        self._state.begin_list()

    def _refresh_mounts(self) -> None:
        if self._folder == "/":
            refresh_mounts(self._client, self._state)
        else:
            self._state.set_fact("are_mounts_due", 0)

    def _check_server(self) -> None:
        capabilities = self._client.uploads.get_capabilities()
        instance = self._state.read_fact("instance")
        if instance is not None and instance != capabilities.instance_id:
            raise ServerReplaced(f"{self._client.base_url} is another server than the one of this folder")
        if self._state.epoch != capabilities.data_epoch:
            self._state.begin_epoch(capabilities.data_epoch, capabilities.instance_id)

    def _read_list(self, running: _TreeList) -> None:
        root = running.roots[0]
        try:
            page = self._get_page(root, running.cursor)
        except NotFound as error:  # gone again: an event tells it, or `refresh_mounts`
            if root == self._state.root_id:
                raise ServerReplaced(f"the folder {self._folder} is gone from the server") from error
            page = None
            running.missing.add(root)
        except InvalidCursor:
            self._list = None
            return
        with self._state.transaction():
            if page is not None:
                if page.epoch != self._state.epoch:
                    self.reload()
                    return
                running.events_cursor = running.events_cursor or page.events_cursor
                for entry in page.entries:
                    self._put(read_tree_entry(entry), entry.client_modified_at)
            running.cursor = page.next_cursor if page else None
            if running.cursor is not None:
                return
            running.roots.popleft()
            if not running.roots:
                self._end_list(running)

    def _get_page(self, root: NodeId, cursor: str | None) -> _TreePage:
        listing = files.list_tree(None if root == self._state.root_id and self._folder == "/" else root)

        def read(response: Response) -> _TreePage:
            page: Any = response.json()
            return _TreePage(listing.read_items(page), page["next_cursor"], page["epoch"], page["events_cursor"])

        query = {**listing.query, "limit": str(self._page_rows), **({"cursor": cursor} if cursor else {})}
        return self._client.drive(self._client.exchange.send(Call("GET", listing.path, read, query=query)))

    def _list_share_roots(self) -> list[NodeId]:
        """Return the folders that are shared and mounted."""
        rows = self._state.list_mounts().values()
        roots = [row.mount.root for row in rows if row.parent is not None and row.mount.is_active]
        return [root for root in roots if (entry := self._state.find_remote(root)) and entry.kind == "folder"]

    def _end_list(self, running: _TreeList) -> None:
        """Remove what was not listed; the cursor of all trees is that before their first page.

        Of shares a complete list is the proof of a removal: the lookup of ids answers their owners only.
        """
        is_whole = running.top == self._state.root_id
        if is_whole:
            place_shares(self._state)
            self._state.set_fact("cursor", running.events_cursor)
            self._state.set_fact("is_reload_due", 0)
        if is_whole or running.top not in running.missing:
            self._note_lost_mounts(self._state.end_list(running.top))
        shares = self._list_share_roots() if is_whole else [running.top] if self._is_shared(running.top) else []
        for root in shares:
            if root not in running.missing:
                self._state.put_fates(dict.fromkeys(self._state.list_lost(root), "removed"))
                self._state.remove_relist(root)
        self._state.remove_relist(running.top)
        self._list = None

    # Events

    def apply(self, page: EventList) -> None:
        """Apply the next page of events, and record its cursor."""
        with self._state.transaction():
            for event in page.events:
                if event.file and read_etag(event.file.etag)[0] != self._state.epoch:
                    self.reload()
                    return
                self._apply(event)
            self._state.set_fact("cursor", page.cursor)
        is_due = self._state.read_fact("are_mounts_due") or self._state.read_fact("is_reload_due")
        self._is_read = not (page.has_more or is_due or self._state.list_relists())

    def _apply(self, event: Event) -> None:
        node_id, file = event.file_id, event.file
        mount = self._state.find_mount(node_id)
        is_mount = mount is not None and mount.parent is not None and mount.mount.is_active
        is_unplaced = file is not None and file.parent_id is None and node_id != self._state.root_id
        if event.kind.startswith("share.") or is_mount or is_unplaced:
            self._state.set_fact("are_mounts_due", 1)
        if node_id == self._state.root_id:
            if self._folder != "/":  # it may be gone
                self._state.set_fact("is_reload_due", 1)
            return
        if file is None or not (is_mount or self._has_place(file)):
            self._forget(node_id)
            return
        is_new = self._state.find_remote(node_id) is None
        self._put(show_file(self._state, file), file.client_modified_at)
        if file.kind == "folder" and (event.kind in _RELISTED or (is_new and event.kind != "file.created")):
            self._state.put_relist(node_id)

    def _has_place(self, file: File) -> bool:
        return file.parent_id is not None and self._state.find_remote(file.parent_id) is not None

    def _put(self, entry: RemoteEntry, modified_at: Any) -> None:
        self._state.put_remote(entry, modified_at.isoformat() if modified_at else None)

    def _forget(self, node_id: NodeId) -> None:
        """Forget a node and what is below it. Of shares that is the proof of a removal: the owner's lookup is not."""
        is_shared = self._is_shared(node_id)
        gone = self._state.remove_remote(node_id)
        self._note_lost_mounts(gone)
        if is_shared:
            self._state.put_fates(dict.fromkeys(gone, "removed"))

    def _note_lost_mounts(self, gone: Collection[NodeId]) -> None:
        """Let shares be placed anew if they left the tree with a folder that is gone, or whose list shows no mounts."""
        lost = set(gone)
        if any(row.mount.is_active and lost & {root, row.parent} for root, row in self._state.list_mounts().items()):
            self._state.set_fact("are_mounts_due", 1)

    def _is_shared(self, node_id: NodeId) -> bool:
        """Return whether a node is in a share, by the place where it was last."""
        place: NodeId | None = node_id
        seen: set[NodeId] = set()
        while place is not None and place not in seen:
            if place == SHARED_ID or self._state.find_mount(place):
                return True
            seen.add(place)
            entry = self._state.find_remote(place) or self._state.find_base(place)
            place = entry.parent if entry else None
        return False
