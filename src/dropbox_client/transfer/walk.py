"""The walk over local paths that yields the files to upload."""

import os
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from dropbox_client.models import OnConflict, normalize_name
from dropbox_client.transfer.partial_file import is_partial_file
from dropbox_client.transfer.progress import UploadItem

_MAX_PATH_CHARS = 4096
LITTER = frozenset(
    {
        *(".ds_store", "icon\r", ".localized", ".apdisk"),
        *(".spotlight-v100", ".trashes", ".fseventsd", ".temporaryitems", ".documentrevisions-v100"),
        *("thumbs.db", "ehthumbs.db", "desktop.ini", "$recycle.bin", "system volume information"),
    }
)
"""Names, in lower case, that macOS and Windows give to files and folders of their own."""


@dataclass(frozen=True, slots=True)
class Skipped:
    """A path that is not uploaded; `failed` if that is an error."""

    path: Path
    reason: str
    failed: bool


class Walk:
    """The files below local paths. Symbolic links inside folders are not followed."""

    def __init__(self, paths: Sequence[str], folder: str, on_conflict: OnConflict) -> None:
        """Map each path into `folder`, a path on the server, under its own name.

        "." and ".." stand for the contents of the folder.
        """
        self._paths = paths
        self._folder = folder
        self._on_conflict = on_conflict
        self.skipped: list[Skipped] = []
        self.empty_folders: list[str] = []
        """Remote paths of folders without any file to upload."""
        self.litter: list[Path] = []
        """Files and folders inside folders that the operating system made for itself; they are not uploaded."""

    def __iter__(self) -> Iterator[UploadItem]:
        """Iterate over the files, folder by folder in name order, and extend `skipped` and `empty_folders`."""
        taken: dict[str, Path] = {}
        for path in map(Path, self._paths):
            try:
                status = path.stat()  # follows a symbolic link that is named itself
            except OSError as error:
                self._skip(path, error.strerror or str(error))
                continue
            name = path.name if path.name not in {"", ".."} else ""
            if not self._is_free(taken, path, name):
                continue
            if stat.S_ISDIR(status.st_mode):
                yield from self._folder_items(path, _join(self._folder, name) if name else self._folder)
            elif not stat.S_ISREG(status.st_mode):
                self._skip(path, "not a regular file: `dbx upload - --name NAME` sends what it reads from stdin")
            else:
                yield from self._file_item(path, self._folder, name, status)

    def _folder_items(self, folder: Path, remote: str) -> Iterator[UploadItem]:
        try:
            with os.scandir(folder) as entries:
                children = sorted(entries, key=lambda entry: entry.name)
        except OSError as error:
            self._skip(folder, error.strerror or str(error))
            return
        taken: dict[str, Path] = {}
        is_empty = True
        for entry in children:
            path = folder / entry.name
            try:
                status = entry.stat(follow_symlinks=False)
            except OSError as error:
                self._skip(path, error.strerror or str(error))
                continue
            if not self._is_left_out(path, status) and self._is_free(taken, path, entry.name):
                if stat.S_ISDIR(status.st_mode):
                    is_empty = False
                    yield from self._folder_items(path, _join(remote, entry.name))
                else:
                    for item in self._file_item(path, remote, entry.name, status):
                        is_empty = False
                        yield item
        if is_empty:
            self.empty_folders.append(remote)

    def _is_left_out(self, path: Path, status: os.stat_result) -> bool:
        """Return whether an entry of a folder is never uploaded; record why."""
        if path.name.lower() in LITTER:
            self.litter.append(path)
        elif stat.S_ISLNK(status.st_mode):
            self._skip(path, "a symbolic link is not followed", failed=False)
        elif is_partial_file(path.name):
            self._skip(path, "an incomplete download", failed=False)
        else:
            return False
        return True

    def _file_item(self, path: Path, folder: str, name: str, status: os.stat_result) -> Iterator[UploadItem]:
        if not stat.S_ISREG(status.st_mode):
            self._skip(path, "not a regular file", failed=False)
        elif len(folder) > _MAX_PATH_CHARS:
            self._skip(path, "the path is too long")
        else:
            yield UploadItem(path, folder, name, status.st_size, self._on_conflict)

    def _is_free(self, taken: dict[str, Path], path: Path, name: str) -> bool:
        """Return whether a name can be uploaded; skip names that are invalid, or equal to another one on the server."""
        try:
            name.encode()
        except UnicodeEncodeError:
            self._skip(path, "the name is not valid Unicode")
            return False
        key = normalize_name(name)
        if key and taken.setdefault(key, path) != path and self._on_conflict == "replace":
            self._skip(path, f"has the same name as {taken[key]}, apart from case or Unicode form")
            return False
        return True

    def _skip(self, path: Path, reason: str, *, failed: bool = True) -> None:
        self.skipped.append(Skipped(path, reason, failed))


def _join(folder: str, name: str) -> str:
    return f"{folder.rstrip('/')}/{name}"
