"""From what was typed to the files that it means: which argument is the destination, and what lies in a folder."""

import os
import stat
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from dropbox_client.cli.arguments import is_foreign, remote
from dropbox_client.errors import Usage
from dropbox_client.models import OnConflict
from dropbox_client.places import PART_SUFFIX
from dropbox_client.transfer.progress import Item

_MAX_PATH_CHARS = 4096


class AmbiguousDestination(Usage):
    """What was typed can be read in two ways; the text says how to be clear."""


def split_destination(arguments: Sequence[str], to: str | None) -> tuple[list[str], str]:
    """Return the local paths and the remote folder that `upload PATH... [DEST]` means.

    With `to` every argument is a local path. Else the last of two or more arguments is the destination if it begins
    with "/" (or is a place that others share) and there is no such thing on this computer; if there is, nobody can
    tell: AmbiguousDestination. Without a destination files go to the root folder.
    """
    if to is not None:
        return list(arguments), _remote(to)
    *paths, last = arguments
    if not paths or not (last.startswith("/") or is_foreign(last)):
        return list(arguments), "/"
    if os.path.lexists(last):
        raise AmbiguousDestination(
            f"{last} exists on this computer too: say --to {last} if you mean the remote folder, --to / to send it"
        )
    return paths, _remote(last)


def _remote(folder: str) -> str:
    if not folder.startswith("/") and not is_foreign(folder):
        raise AmbiguousDestination(f"{folder!r} is not a remote folder: those begin with /, shared: or id:")
    return remote(folder)


@dataclass(frozen=True, slots=True)
class Skipped:
    """Something that is not sent: `failed` if it should have been."""

    path: Path
    reason: str
    failed: bool


class Walk:
    """The files below some paths. Symbolic links inside folders are not followed."""

    def __init__(self, paths: Sequence[str], folder: str, on_conflict: OnConflict) -> None:
        """Map each path to `folder`, a path on the server: a file keeps its name, a folder becomes one of its name.

        "." and ".." stand for what is in them.
        """
        self._paths = paths
        self._folder = folder
        self._on_conflict = on_conflict
        self.skipped: list[Skipped] = []
        self.empty_folders: list[str] = []
        """Remote paths of folders that come into being with no file."""

    def __iter__(self) -> Iterator[Item]:
        """Iterate over the files, folder by folder, by name; `skipped` and `empty_folders` grow meanwhile."""
        taken: dict[str, Path] = {}
        for path in map(Path, self._paths):
            try:
                status = path.stat()  # a link that was named is meant
            except OSError as error:
                self._skip(path, error.strerror or str(error))
                continue
            name = path.name if path.name not in {"", ".."} else ""
            if not self._is_free(taken, path, name):
                continue
            if stat.S_ISDIR(status.st_mode):
                yield from self._folder_items(path, _join(self._folder, name) if name else self._folder)
            else:
                yield from self._file_item(path, self._folder, name, status)

    def _folder_items(self, folder: Path, remote: str) -> Iterator[Item]:
        try:
            with os.scandir(folder) as entries:
                found = sorted(entries, key=lambda entry: entry.name)
        except OSError as error:
            self._skip(folder, error.strerror or str(error))
            return
        taken: dict[str, Path] = {}
        is_empty = True
        for entry in found:
            path = folder / entry.name
            try:
                status = entry.stat(follow_symlinks=False)
            except OSError as error:
                self._skip(path, error.strerror or str(error))
                continue
            if stat.S_ISLNK(status.st_mode):
                self._skip(path, "a symbolic link is not followed", failed=False)
            elif entry.name.startswith(".") and entry.name.endswith(PART_SUFFIX):
                self._skip(path, "a download that is not whole", failed=False)
            elif self._is_free(taken, path, entry.name):
                if stat.S_ISDIR(status.st_mode):
                    is_empty = False
                    yield from self._folder_items(path, _join(remote, entry.name))
                else:
                    for item in self._file_item(path, remote, entry.name, status):
                        is_empty = False
                        yield item
        if is_empty:
            self.empty_folders.append(remote)

    def _file_item(self, path: Path, folder: str, name: str, status: os.stat_result) -> Iterator[Item]:
        if not stat.S_ISREG(status.st_mode):
            self._skip(path, "not a regular file", failed=False)
        elif len(folder) > _MAX_PATH_CHARS:
            self._skip(path, "the path is too long")
        else:
            yield Item(path, folder, name, status.st_size, self._on_conflict)

    def _is_free(self, taken: dict[str, Path], path: Path, name: str) -> bool:
        """Refuse a name that cannot be sent, and one that the server takes for another: it would replace that file."""
        try:
            name.encode()
        except UnicodeEncodeError:
            self._skip(path, "the name is not valid Unicode")
            return False
        key = unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())
        if key and taken.setdefault(key, path) != path and self._on_conflict == "replace":
            self._skip(path, f"has the same name as {taken[key]}, apart from case or Unicode form")
            return False
        return True

    def _skip(self, path: Path, reason: str, *, failed: bool = True) -> None:
        self.skipped.append(Skipped(path, reason, failed))


def _join(folder: str, name: str) -> str:
    return f"{folder.rstrip('/')}/{name}"
