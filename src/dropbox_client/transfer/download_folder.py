"""The download of a folder tree, several files in parallel.

Invariants: nothing is written outside the local folder, for any names from the server and any local symbolic links;
memory use is independent of the number of files. The failure of one file does not stop the others, and another run
fetches the missing files.
"""

import stat
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Executor, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from dropbox_client.client import Client
from dropbox_client.errors import ClientError, NotSignedIn, Stopped, Unreachable
from dropbox_client.models import DownloadItem, DownloadUrl, File
from dropbox_client.models import DownloadResult as SignedDownload
from dropbox_client.transfer.download import Refused, download, has_same_content, join_name, take_attributes
from dropbox_client.transfer.partial_file import StalePartialFiles
from dropbox_client.transfer.ranges import Wanted

_FILES = 8
_FETCHERS = 8
_AHEAD = 4 * _FILES
"""Files that are listed but not finished: one large file must not block the others."""


@dataclass(frozen=True, slots=True)
class DownloadResult:
    """The result for a file or folder: it is at `target`, or there is an `error`."""

    file: File
    target: Path
    error: ClientError | OSError | None = None
    is_unchanged: bool = False
    """True if the local file already had this content."""


def require_url(signed: SignedDownload) -> DownloadUrl:
    """Return the URL of an answer. Raises its problem."""
    if signed.download is None:
        raise signed.problem or ClientError("the server sent neither a URL nor a problem")
    return signed.download


class _UrlSigner:
    """Signs the URLs of files that begin at the same time in one request. Thread-safe."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._waiting: list[tuple[DownloadItem, Future[SignedDownload]]] = []
        self._lock = threading.Lock()
        self._turn = threading.Lock()

    def sign(self, file: Wanted) -> DownloadUrl:
        """Return the signed URL of the revision of `file`. Raises as `Client.files.sign_download`."""
        future: Future[SignedDownload] = Future()
        with self._lock:
            self._waiting.append((DownloadItem(file.id, file.revision_id), future))
        with self._turn:
            with self._lock:
                batch, self._waiting = self._waiting, []
            self._request(batch)
        return require_url(future.result())

    def _request(self, batch: Sequence[tuple[DownloadItem, Future[SignedDownload]]]) -> None:
        """Sign the URLs of files; an earlier request may have signed them already."""
        try:
            results = self._client.files.download_batch([item for item, _ in batch])
        except BaseException as error:
            for _, future in batch:
                future.set_exception(error)
            raise
        for (_, future), result in zip(batch, results, strict=True):
            future.set_result(result)


def download_folder(
    client: Client,
    folder: File,
    into: Path,
    *,
    overwrite: bool = False,
    on_file: Callable[[File], None] = lambda _: None,
    on_bytes: Callable[[int], None] = lambda _: None,
) -> Iterator[DownloadResult]:
    """Download the tree below `folder` into a folder of its name in `into` (the root folder: into `into` itself).

    Yields the result of each file and folder in the order of completion. `on_file` is called for each file and folder
    when it is listed, `on_bytes` as in `download`.

    Raises: NotSignedIn, Unreachable, Stopped, ApiError of the listing, OSError of `into`: the rest is not fetched. An
    exception or an early end of the iteration closes `client`, which stops all threads.
    """
    into.mkdir(parents=True, exist_ok=True)
    stale = StalePartialFiles()
    yield _fetch(client, folder, into, [folder.name] if folder.name else [], overwrite=overwrite)
    above = folder.path.rstrip("/") + "/"
    pending: set[Future[DownloadResult]] = set()
    with (
        ThreadPoolExecutor(_FILES, thread_name_prefix="file") as lanes,
        ThreadPoolExecutor(_FETCHERS, thread_name_prefix="fetch") as fetchers,
    ):
        fetch = partial(
            _fetch,
            client,
            overwrite=overwrite,
            fetchers=fetchers,
            stale=stale,
            on_bytes=on_bytes,
            sign=_UrlSigner(client).sign,
        )
        try:
            for file in client.files.list(folder, recursive=True):
                on_file(file)
                # A file that was moved out of the folder meanwhile gets an empty first name, which is refused.
                below = file.path.removeprefix(above).split("/")
                pending.add(lanes.submit(fetch, file, into, [folder.name, *below] if folder.name else below))
                while len(pending) >= _AHEAD:
                    yield from _await_some(pending)
            while pending:
                yield from _await_some(pending)
        except BaseException:
            client.close()
            lanes.shutdown(wait=False, cancel_futures=True)
            raise


def _await_some(pending: set[Future[DownloadResult]]) -> Iterator[DownloadResult]:
    done, _ = wait(pending, return_when=FIRST_COMPLETED)
    pending -= done
    for future in done:
        yield future.result()


def _fetch(
    client: Client,
    file: File,
    into: Path,
    names: list[str],
    *,
    overwrite: bool,
    fetchers: Executor | None = None,
    stale: StalePartialFiles | None = None,
    on_bytes: Callable[[int], None] = lambda _: None,
    sign: Callable[[Wanted], DownloadUrl] | None = None,
) -> DownloadResult:
    target = into
    try:
        for name in names:
            target = join_name(target, name)
        if file.kind == "folder":
            _make_folders(into, names)
            return DownloadResult(file, target)
        _make_folders(into, names[:-1])
        is_unchanged = has_same_content(file, target)
        if is_unchanged:
            on_bytes(file.size_bytes or 0)
            take_attributes(file, target)
        else:
            download(client, file, target, overwrite=overwrite, pool=fetchers, on_bytes=on_bytes, sign=sign)
        if stale:
            stale.delete(target)
    except (NotSignedIn, Stopped, Unreachable):
        raise
    except (ClientError, OSError) as error:
        return DownloadResult(file, target, error=error)
    return DownloadResult(file, target, is_unchanged=is_unchanged)


def _make_folders(base: Path, names: list[str]) -> None:
    """Make the missing folders of the path `names` below `base`. Raises Refused if a name is not a real folder."""
    for name in names:
        base = base / name
        try:
            base.mkdir()
        except FileExistsError:
            if not stat.S_ISDIR(base.lstat().st_mode):
                raise Refused(f"{base} exists and is not a folder (symbolic links are not followed)") from None
