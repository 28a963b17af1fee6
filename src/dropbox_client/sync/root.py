"""An open root: its folder, its lock, and its state, checked to belong together."""

import logging
import os
from collections.abc import Collection
from contextlib import ExitStack, suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from dropbox_client.sync.apply import INCOMING_PATH, LocalActions
from dropbox_client.sync.config import RootConfig
from dropbox_client.sync.disk import Disk
from dropbox_client.sync.guard import (
    Host,
    RootFolder,
    RootLock,
    check_root,
    make_marker,
    require_disjoint,
    require_local_disk,
)
from dropbox_client.sync.ignores import PRIVATE_NAME
from dropbox_client.sync.localtrash import LocalTrash
from dropbox_client.sync.rows import Rows
from dropbox_client.sync.state import State
from dropbox_client.sync.state_file import STATE_NAME
from dropbox_client.transfer.partial_file import is_partial_file
from dropbox_client.transfer.source import Source, hash_range

_log = logging.getLogger("dropbox_client.sync")


class OpenRoot:
    """A root on which only this process works. A context manager."""

    def __init__(self, config: RootConfig, directory: Path, others: Collection[Path] = ()) -> None:
        """Open the root and its state in `directory`, and finish what a crash left.

        `others` are the other roots of this machine. Raises: RootRefused, RootPaused, ClientError, OSError.
        """
        self._stack = ExitStack()
        try:
            self._open(config, directory, others)
        except BaseException:
            self._stack.close()
            raise

    def _open(self, config: RootConfig, directory: Path, others: Collection[Path]) -> None:
        self.path = config.path
        self._host = Host.read()
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        require_local_disk(directory, self._host)
        require_disjoint(config.path, others)
        self.state = self._stack.enter_context(State(directory / STATE_NAME))
        if self.state.set_aside:
            _log.warning("the state was damaged and is now %s: both sides are compared anew", self.state.set_aside)
        record = self.state.record or make_marker(config.path, self._host, others)
        self.folder = self._stack.enter_context(RootFolder(config.path))
        self._stack.enter_context(RootLock(self.folder, self.state.path))
        self._record = self.state.record = check_root(self.folder, record, self._host)
        self.disk = Disk(self.folder.fd)
        with self.disk.open_folder(PRIVATE_NAME.encode()) as private:
            self.traits = self.disk.probe(private)
            with suppress(FileExistsError):
                os.mkdir(INCOMING_PATH.rpartition(b"/")[2], 0o700, dir_fd=private)
        self.trash = LocalTrash(self.folder.fd, self.disk)
        self.rows = Rows(self.state)
        self.actions = LocalActions(self.rows, self.disk, self.trash)
        self.actions.recover()
        self._clean_incoming()
        self._note_selection(config)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._stack.close()

    def check(self) -> None:
        """Raise RootPaused if the folder is not the one that was synchronized: see `guard`."""
        check_root(self.folder, self._record, self._host)

    def _clean_incoming(self) -> None:
        """Keep downloads, complete or not, of what the server still has; a file that lost its place to one goes to the
        local trash.
        """
        with self.disk.open_folder(INCOMING_PATH) as store:
            for name, entry in list(self.disk.list(store)):
                if isinstance(entry, OSError) or entry.kind != "file":
                    continue
                text = name.decode(errors="replace")
                fingerprint, _, rest = text.removeprefix(".").partition("-")
                node_id = rest.partition(".")[0]
                remote = self.state.find_remote(node_id)
                is_wanted = remote is not None and remote.content and remote.content.fingerprint == fingerprint
                if is_partial_file(text):
                    if not is_wanted and self.state.cursor is not None:  # with none, nothing is known yet
                        self.disk.remove_file(store, name)
                    continue
                with Source(self.path / os.fsdecode(INCOMING_PATH) / os.fsdecode(name)) as source:
                    is_download = hash_range(source, 0, source.size_bytes) == fingerprint
                if not is_download:
                    _log.warning("an earlier version of %s is kept in the local trash", node_id)
                    self.trash.put(store, name, b"incoming/" + name)
                elif not is_wanted:
                    self.disk.remove_file(store, name)

    def _note_selection(self, config: RootConfig) -> None:
        """Let the next plan see everything if the selected folders are others than before."""
        text = "\n".join(sorted(config.unselected))
        if (self.state.read_fact("unselected") or "") != text:
            with self.state.transaction():
                self.state.mark_changed()
                self.state.set_fact("unselected", text)
