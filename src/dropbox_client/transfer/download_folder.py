"""Fetching a folder with all that is in it: several files at once, each as `download` does it.

Invariants: nothing is written outside the local folder, whatever names the server sends and whatever links lie on the
way; memory does not grow with the number of files. A problem of one file does not stop the others, and running it again
fetches what is missing.
"""

import stat
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Executor, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from dropbox_client.api import Client
from dropbox_client.errors import ClientError, NotSignedIn, Stopped, Unreachable
from dropbox_client.models import File
from dropbox_client.transfer.download import Refused, child, download, is_same

_FILES = 8
_FETCHERS = 8
_AHEAD = 4 * _FILES
"""Files that were listed and are not finished: one large file must not make the others wait."""


@dataclass(frozen=True, slots=True)
class Fetched:
    """What came of a file or folder: it is at `target`, or there is an `error`."""

    file: File
    target: Path
    error: ClientError | OSError | None = None
    there: bool = False
    """It was right already."""


def download_folder(
    client: Client,
    folder: File,
    into: Path,
    *,
    overwrite: bool = False,
    found: Callable[[File], None] = lambda _: None,
    moved: Callable[[int], None] = lambda _: None,
) -> Iterator[Fetched]:
    """Fetch all that is below `folder` to a folder of its name in `into` (the root folder: into `into` itself).

    Yields what came of each file and folder as it is done, in no order. `found` is told of each as it is listed,
    `moved` of bytes as in `download`.

    Raises: NotSignedIn, Unreachable, Stopped, ApiProblem of the list, OSError of `into`: then the rest is not fetched.
    Whenever it does not come to its end it closes `client`, so that no thread goes on.
    """
    into.mkdir(parents=True, exist_ok=True)
    yield _fetch(client, folder, into, [folder.name] if folder.name else [], overwrite=overwrite)
    above = folder.path.rstrip("/") + "/"
    pending: set[Future[Fetched]] = set()
    with (
        ThreadPoolExecutor(_FILES, thread_name_prefix="file") as lanes,
        ThreadPoolExecutor(_FETCHERS, thread_name_prefix="fetch") as fetchers,
    ):
        one = partial(_fetch, client, overwrite=overwrite, fetchers=fetchers, moved=moved)
        try:
            for file in client.list_files(parent_id=folder.id, recursive=True):
                found(file)
                # What was moved out meanwhile has an empty first name, which is refused.
                below = file.path.removeprefix(above).split("/")
                pending.add(lanes.submit(one, file, into, [folder.name, *below] if folder.name else below))
                while len(pending) >= _AHEAD:
                    yield from _finished(pending)
            while pending:
                yield from _finished(pending)
        except BaseException:
            client.close()
            lanes.shutdown(wait=False, cancel_futures=True)
            raise


def _finished(pending: set[Future[Fetched]]) -> Iterator[Fetched]:
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
    moved: Callable[[int], None] = lambda _: None,
) -> Fetched:
    target = into
    try:
        for name in names:
            target = child(target, name)
        if file.kind == "folder":
            _make_folders(into, names)
            return Fetched(file, target)
        _make_folders(into, names[:-1])
        if is_same(file, target):
            moved(file.size_bytes or 0)
            return Fetched(file, target, there=True)
        download(client, file, target, overwrite=overwrite, pool=fetchers, moved=moved)
    except (NotSignedIn, Stopped, Unreachable):
        raise
    except (ClientError, OSError) as error:
        return Fetched(file, target, error=error)
    return Fetched(file, target)


def _make_folders(base: Path, names: list[str]) -> None:
    """Make the folders `names` below `base`, where they are missing. Raises Refused for what is no folder itself."""
    for name in names:
        base = base / name
        try:
            base.mkdir()
        except FileExistsError:
            if not stat.S_ISDIR(base.lstat().st_mode):
                raise Refused(f"{base} is in the way: it is not a folder, or a symbolic link") from None
