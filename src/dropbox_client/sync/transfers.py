"""Uploads and downloads in threads of their own, so that a large file does not hold up the rest.

The control thread starts a transfer and gets its result as a message. A download ends in a folder of the client, from
where `apply` publishes it. An upload is made only of the file that was planned for, opened without following links;
`upload_file` binds its fingerprint after the last byte, when the file is still unchanged.
"""

import errno
import os
import shutil
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from queue import SimpleQueue
from types import TracebackType
from typing import Final, Self

from dropbox_client.client import Client
from dropbox_client.errors import ClientError, FileChanged, Unreadable
from dropbox_client.models import DownloadItem, DownloadResult, DownloadUrl, File
from dropbox_client.sync.apply import INCOMING_PATH
from dropbox_client.sync.disk import Disk
from dropbox_client.sync.rows import Mismatch, Rows
from dropbox_client.sync.state import LocalRow
from dropbox_client.sync.trees import Download, NodeId, RemoteEntry, SendEdit, SendNew
from dropbox_client.transfer.chunks import MIB
from dropbox_client.transfer.download import download, has_same_content
from dropbox_client.transfer.download_folder import require_url
from dropbox_client.transfer.progress import ProgressListener, UploadItem, UploadResult
from dropbox_client.transfer.ranges import Wanted
from dropbox_client.transfer.source import Source
from dropbox_client.transfer.upload import Uploader

Transfer = SendNew | SendEdit | Download

_LARGE_BYTES: Final = 8 * MIB
_SMALL_LANES, _LARGE_LANES, _FETCHERS = 8, 2, 8
_MAX_BATCH = 1_000
_MAX_SIGNED = 100
"""URLs of small files that are signed together, and that wait: they are valid for minutes."""
_RESERVE_BYTES = 64 * MIB
"""Left free on the disk by downloads."""


@dataclass(frozen=True, slots=True)
class Done:
    """The end of a transfer: the file on the server, the name of the complete download, or why there is none."""

    action: Transfer
    result: File | bytes | Exception
    detail: str = ""
    """How much an upload sent, for the log."""


@dataclass(frozen=True, slots=True)
class _Item(UploadItem):
    """A file to send."""

    action: SendNew | SendEdit = field(kw_only=True)
    place: bytes = field(kw_only=True)
    """The path of its folder below the root."""
    row: LocalRow = field(kw_only=True)


@dataclass(frozen=True, slots=True)
class _Wanted:
    """A revision to fetch."""

    id: str
    revision_id: str | None
    path: str
    size_bytes: int
    fingerprint: str
    client_modified_at: datetime | None
    executable: bool | None = None
    """The file keeps the permissions of the one that it replaces."""


class Transfers(ProgressListener):
    """The transfers of one root. A context manager that ends them: they continue when they are started again."""

    def __init__(self, client: Client, rows: Rows, disk: Disk, root: Path, on_done: Callable[[Done], None]) -> None:
        """`client` is closed at the end. `on_done` is called in other threads."""
        self._client, self._rows, self._disk, self._root = client, rows, disk, root
        self._on_done = on_done
        self._store = root / os.fsdecode(INCOMING_PATH)
        self._uploader = Uploader(client, listener=self, open_source=self._open)
        self._uploads: tuple[SimpleQueue[_Item | None], SimpleQueue[_Item | None]] = (SimpleQueue(), SimpleQueue())
        self._small: SimpleQueue[tuple[Download, _Wanted] | None] = SimpleQueue()
        self._signed = threading.BoundedSemaphore(_MAX_SIGNED)
        self._small_lanes = ThreadPoolExecutor(_SMALL_LANES, thread_name_prefix="file")
        self._large_lanes = ThreadPoolExecutor(_LARGE_LANES, thread_name_prefix="large")
        self._fetchers = ThreadPoolExecutor(_FETCHERS, thread_name_prefix="fetch")
        self._lock = threading.Lock()
        self._bytes: dict[str, int] = {}
        self.done_bytes = 0
        """Sent and fetched so far."""
        small, large = self._uploads
        lanes = [(small, _MAX_BATCH), *[(large, 1)] * _LARGE_LANES]  # a huge file does not hold up other large ones
        self._threads = [
            threading.Thread(target=self._send_all, args=lane, name="upload", daemon=True) for lane in lanes
        ]
        self._threads.append(threading.Thread(target=self._sign_all, name="sign", daemon=True))
        for thread in self._threads:
            thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._client.close()
        for queue in (*self._uploads, self._small):
            for _ in self._threads:
                queue.put(None)
        for thread in self._threads:
            thread.join()
        for pool in (self._small_lanes, self._large_lanes, self._fetchers):
            pool.shutdown(cancel_futures=True)
        self._uploader.__exit__(None, None, None)

    def find_bytes(self, node_id: str) -> int:
        """Return how much of a running transfer is done; any thread."""
        with self._lock:
            return self._bytes.get(node_id, 0)

    def _count(self, node_id: str, size_bytes: int) -> None:
        with self._lock:
            self._bytes[node_id] = self._bytes.get(node_id, 0) + size_bytes
            self.done_bytes += size_bytes

    def _end(self, action: Transfer, node_id: str, result: File | bytes | Exception, detail: str = "") -> None:
        with self._lock:
            self._bytes.pop(node_id, None)
        self._on_done(Done(action, result, detail))

    # Uploads

    def send(self, action: SendNew | SendEdit) -> None:
        """Begin an upload. Raises Mismatch."""
        row = self._rows.find_entry(action.local)
        place = self._rows.find_path(row.dir)
        path = self._root / os.fsdecode(place) / os.fsdecode(row.name)
        if isinstance(action, SendNew):
            target = {"parent_id": self._rows.find_parent(action.parent)}
            name = action.name
        else:
            # The server may have the content of base in another revision by now.
            head = action.remote or action.base
            target = {"file_id": action.base.id, "base_revision_id": head.revision_id or ""}
            name = action.base.name
        item = _Item(
            path,
            "",
            name,
            row.size,
            on_conflict="fail",
            executable=action.local.executable,
            action=action,
            place=place,
            row=row,
            **target,
        )
        self._uploads[row.size > _LARGE_BYTES].put(item)

    def _send_all(self, queue: "SimpleQueue[_Item | None]", max_items: int) -> None:
        while True:
            items = [queue.get()]
            while not queue.empty() and len(items) < max_items and None not in items:
                items.append(queue.get())
            self._send([item for item in items if item is not None])
            if None in items:
                return

    def _send(self, items: list[_Item]) -> None:
        waiting = {id(item): item for item in items}
        try:
            for result in self._uploader.upload(items):
                item = waiting.pop(id(result.item))
                answer = result.file or result.error or ClientError("no answer")
                self._end(item.action, item.row.id, answer, _explain_bytes(result))
        except Exception as error:  # noqa: BLE001 - of all that are left; the control thread tells them apart
            for item in waiting.values():
                self._end(item.action, item.row.id, error)

    def _open(self, item: UploadItem) -> Source:
        """Open a file to send, if it is still the one that was planned for. Raises: FileChanged, Unreadable."""
        assert isinstance(item, _Item), "of `send`"  # noqa: S101
        try:
            with self._disk.open_folder(item.place) as folder:
                source = self._disk.open_source(folder, item.row.name)
        except OSError as error:
            if error.errno in {errno.ENOENT, errno.ENOTDIR, errno.ELOOP}:
                raise FileChanged(f"{item.path} was moved") from error
            raise Unreadable(f"{item.path}: {error.strerror}") from error
        found = source.identity
        if (found.size_bytes, found.mtime_ns, found.ctime_ns) != item.row[5:8]:
            source.close()
            raise FileChanged(f"{item.path} has changed")
        return source

    def on_bytes(self, item: UploadItem, size_bytes: int) -> None:
        """Count what was sent."""
        assert isinstance(item, _Item), "of `send`"  # noqa: S101
        self._count(item.row.id, size_bytes)

    # Downloads

    def fetch(self, action: Download) -> None:
        """Begin a download. Raises Mismatch."""
        remote = action.remote
        if remote.content is None:
            raise Mismatch("the server has no content yet")
        modified_at = self._rows.state.find_modified_at(remote.id)
        number = self._rows.find_folder(action.parent)
        wanted = _Wanted(
            remote.id,
            remote.revision_id,
            self._rows.show_path(number, action.name),
            remote.content.size_bytes,
            remote.content.fingerprint,
            datetime.fromisoformat(modified_at) if modified_at else None,
            None if action.local else remote.executable,
        )
        if wanted.size_bytes <= _LARGE_BYTES:
            self._small.put((action, wanted))
            return
        older = None
        if action.local is not None:
            older = self._root / os.fsdecode(self._rows.find_path(number)) / os.fsdecode(action.local.name)
        self._large_lanes.submit(self._fetch, action, wanted, older=older)

    def has_fetched(self, remote: RemoteEntry) -> bool:
        """Return whether the complete content of a node waits for its place."""
        return remote.content is not None and os.path.lexists(
            self._store / _name_download(remote.content.fingerprint, remote.id)
        )

    def _sign_all(self) -> None:
        """Sign the URLs of small files, many in one request, shortly before they are fetched."""
        while True:
            taken = [self._small.get()]
            while not self._small.empty() and len(taken) < _MAX_SIGNED and None not in taken:
                taken.append(self._small.get())
            batch = [one for one in taken if one is not None]
            try:
                items = [DownloadItem(wanted.id, wanted.revision_id) for _, wanted in batch]
                signed = self._client.files.download_batch(items) if items else []
            except Exception as error:  # noqa: BLE001 - of all of them; the control thread tells them apart
                for action, wanted in batch:
                    self._end(action, wanted.id, error)
            else:
                for (action, wanted), one in zip(batch, signed, strict=True):
                    self._signed.acquire()
                    self._small_lanes.submit(self._fetch_small, action, wanted, one)
            if None in taken:
                return

    def _fetch_small(self, action: Download, wanted: _Wanted, signed: DownloadResult) -> None:
        self._signed.release()
        self._fetch(action, wanted, sign=lambda _: require_url(signed))

    def _fetch(
        self,
        action: Download,
        wanted: _Wanted,
        *,
        older: Path | None = None,
        sign: Callable[[Wanted], DownloadUrl] | None = None,
    ) -> None:
        name = _name_download(wanted.fingerprint, wanted.id)
        result: bytes | Exception
        try:
            target = self._store / name
            if not has_same_content(wanted, target):
                self._require_space(wanted)
                download(
                    self._client,
                    wanted,
                    target,
                    overwrite=True,
                    older=older,
                    pool=self._fetchers,
                    on_bytes=lambda count: self._count(wanted.id, count),
                    sign=sign,
                )
            result = name.encode()
        except Exception as error:  # noqa: BLE001 - the control thread tells them apart
            result = error
        self._end(action, wanted.id, result)

    def _require_space(self, wanted: _Wanted) -> None:
        """Raise OSError where the disk has no space for the whole file."""
        if shutil.disk_usage(self._store).free < wanted.size_bytes + _RESERVE_BYTES:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def _name_download(fingerprint: str, node_id: NodeId) -> str:
    return f"{fingerprint}-{node_id}"


def _explain_bytes(result: UploadResult) -> str:
    if not result.reused_bytes:
        return ""
    return f" (sent {result.sent_bytes / MIB:.1f} MiB, reused {result.reused_bytes / MIB:.1f} MiB)"
