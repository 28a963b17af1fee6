"""Uploading files and trees: small files in batches, two at a time; large ones one by one, in parallel parts."""

from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Self

from dropbox_client.api import Client
from dropbox_client.retry import PATIENCE_S
from dropbox_client.transfer.chunks import MIB
from dropbox_client.transfer.concurrency import MAX_PARALLEL, Pace
from dropbox_client.transfer.hash_cache import HashCache
from dropbox_client.transfer.progress import Item, Outcome, Watcher
from dropbox_client.transfer.upload_batch import send_batch
from dropbox_client.transfer.upload_file import Shared, upload_file

_LANES = 3
_BATCH_ITEMS = 250
"""Fewer than the server takes: while one batch is completed the next is sent and a third one started."""
_HASHERS = 4
_BATCH_BYTES = 256 * MIB
"""A batch is over soon, so that its URLs do not get old on a slow link."""


class Uploader:
    """Sends files for one client. Use it as a context manager; leaving it early stops what is under way."""

    def __init__(
        self,
        client: Client,
        *,
        watcher: Watcher | None = None,
        cache: HashCache | None = None,
        retry_changed: bool = False,
        patience_s: float = PATIENCE_S,
    ) -> None:
        """Send through `client`, tell `watcher`, remember hashes in `cache`.

        With `retry_changed` a file that changed while it was read is tried once more. `patience_s` is how long the
        store may be away before the upload is given up.
        """
        self._senders = ThreadPoolExecutor(MAX_PARALLEL, thread_name_prefix="send")
        self._hashers = ThreadPoolExecutor(_HASHERS, thread_name_prefix="hash")
        self._lanes = ThreadPoolExecutor(_LANES, thread_name_prefix="batch")
        self._retry_changed = retry_changed
        self._client = client
        self._shared = Shared(client, self._senders, Pace(), watcher or Watcher(), cache, patience_s)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        if error:
            self._client.close()
        for pool in (self._lanes, self._senders, self._hashers):
            pool.shutdown(cancel_futures=True)

    def upload(self, items: Iterable[Item]) -> Iterator[Outcome]:
        """Send `items` as they come and yield what came of each, in the order in which they are done.

        A problem of one file is in its outcome and does not stop the others.

        Raises: NotSignedIn, Unreachable, Stopped: then the rest is not sent.
        """
        small_max_bytes = self._client.capabilities().single_max_bytes
        batches: deque[Future[list[Outcome]]] = deque()
        large: list[Item] = []
        for batch in self._batches(items, large, small_max_bytes):
            if len(batches) == _LANES:
                yield from self._ended(batches.popleft().result())
            batches.append(self._lanes.submit(send_batch, self._shared, self._hashers, batch, self._carefully))
        while batches:
            yield from self._ended(batches.popleft().result())
        for item in large:
            yield from self._ended([self._carefully(item)])

    def _batches(self, items: Iterable[Item], large: list[Item], small_max_bytes: int) -> Iterator[list[Item]]:
        """Iterate over batches of small files; large ones are put aside."""
        most = min(_BATCH_ITEMS, self._client.capabilities().batch_items)
        batch: list[Item] = []
        size_bytes = 0
        for item in items:
            self._shared.watcher.found(item)
            if item.size_bytes > small_max_bytes:
                large.append(item)
                continue
            batch.append(item)
            size_bytes += item.size_bytes
            if len(batch) == most or size_bytes >= _BATCH_BYTES:
                yield batch
                batch, size_bytes = [], 0
        if batch:
            yield batch

    def _carefully(self, item: Item) -> Outcome:
        return upload_file(self._shared, item, retry_changed=self._retry_changed)

    def _ended(self, outcomes: Iterable[Outcome]) -> Iterator[Outcome]:
        for outcome in outcomes:
            self._shared.watcher.ended(outcome)
            yield outcome
