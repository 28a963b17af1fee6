"""The upload of files and trees: small files in concurrent batches, large files one by one in parallel parts."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from types import TracebackType
from typing import Self

from dropbox_client.client import Client
from dropbox_client.retry import TRANSFER_RETRY_FOR_S
from dropbox_client.transfer.chunks import MIB
from dropbox_client.transfer.compress import CompressMode
from dropbox_client.transfer.concurrency import MAX_PARALLEL, ConcurrencyLimit
from dropbox_client.transfer.hash_cache import HashCache
from dropbox_client.transfer.progress import ProgressListener, UploadItem, UploadResult
from dropbox_client.transfer.source import Source
from dropbox_client.transfer.upload_batch import send_batch
from dropbox_client.transfer.upload_file import UploadContext, upload_file, upload_stream

_LANES = 3
_BATCH_ITEMS = 250
"""Fewer than the server accepts: one batch completes while the next is sent and a third is started."""
_HASHERS = 4
_BATCH_BYTES = 256 * MIB
"""Keeps batches short, so that their URLs do not expire on a slow link."""


class Uploader:
    """Uploads files through one client. A context manager: an exception aborts the uploads in progress."""

    def __init__(
        self,
        client: Client,
        *,
        listener: ProgressListener | None = None,
        cache: HashCache | None = None,
        retry_changed: bool = False,
        retry_for_s: float = TRANSFER_RETRY_FOR_S,
        compress: CompressMode = "never",
        open_source: Callable[[UploadItem], Source] | None = None,
    ) -> None:
        """Upload through `client`, report to `listener`, cache hashes in `cache`.

        `retry_changed` retries a file once that changed while it was read. `retry_for_s` is how long an upload is
        retried without progress. `compress` sends large files compressed: always, never, or (auto) new
        ones that shrink, over a slow link. `open_source` opens the file of an item, by default the one at its path.
        """
        self._senders = ThreadPoolExecutor(MAX_PARALLEL, thread_name_prefix="send")
        self._hashers = ThreadPoolExecutor(_HASHERS, thread_name_prefix="hash")
        self._lanes = ThreadPoolExecutor(_LANES, thread_name_prefix="batch")
        self._retry_changed = retry_changed
        self._client = client
        self._context = UploadContext(
            client, self._senders, ConcurrencyLimit(), listener or ProgressListener(), cache, retry_for_s, compress
        )
        if open_source:
            self._context = replace(self._context, open_source=open_source)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        if error:
            self._client.close()
        for pool in (self._lanes, self._senders, self._hashers):
            pool.shutdown(cancel_futures=True)

    def upload(self, items: Iterable[UploadItem]) -> Iterator[UploadResult]:
        """Upload `items` and yield their results in the order of completion.

        The failure of one file is in its result and does not stop the others.

        Raises: NotSignedIn, Unreachable, Stopped: the remaining items are not sent.
        """
        small_max_bytes = self._client.uploads.get_cached_capabilities().single_max_bytes
        batches: deque[Future[list[UploadResult]]] = deque()
        large: list[UploadItem] = []
        for batch in self._batches(items, large, small_max_bytes):
            if len(batches) == _LANES:
                yield from self._report(batches.popleft().result())
            batches.append(self._lanes.submit(send_batch, self._context, self._hashers, batch, self._upload_alone))
        while batches:
            yield from self._report(batches.popleft().result())
        for item in large:
            yield from self._report([self._upload_alone(item)])

    def upload_stream(self, item: UploadItem, source: Source) -> Iterator[UploadResult]:
        """Upload the content of an open source as `item`. Yields and raises as `upload`."""
        self._context.listener.on_item(item)
        yield from self._report([upload_stream(self._context, item, source)])

    def _batches(
        self, items: Iterable[UploadItem], large: list[UploadItem], small_max_bytes: int
    ) -> Iterator[list[UploadItem]]:
        """Iterate over batches of small files; append the large ones to `large`."""
        max_items = min(_BATCH_ITEMS, self._client.uploads.get_cached_capabilities().batch_items)
        batch: list[UploadItem] = []
        size_bytes = 0
        for item in items:
            self._context.listener.on_item(item)
            if item.size_bytes > small_max_bytes:
                large.append(item)
                continue
            batch.append(item)
            size_bytes += item.size_bytes
            if len(batch) == max_items or size_bytes >= _BATCH_BYTES:
                yield batch
                batch, size_bytes = [], 0
        if batch:
            yield batch

    def _upload_alone(self, item: UploadItem) -> UploadResult:
        return upload_file(self._context, item, retry_changed=self._retry_changed)

    def _report(self, results: Iterable[UploadResult]) -> Iterator[UploadResult]:
        for result in results:
            self._context.listener.on_result(result)
            yield result
