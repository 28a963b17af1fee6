"""The engine that keeps one root equal to the server. `run` is its one control thread."""

import logging
import sqlite3
from collections.abc import Callable, Collection
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Final, TypeVar

from dropbox_client.client import Client
from dropbox_client.errors import ClientError, NotSignedIn, Stopped
from dropbox_client.sync.config import RootConfig
from dropbox_client.sync.conflicts import Answer
from dropbox_client.sync.guard import RootRefused
from dropbox_client.sync.root import OpenRoot
from dropbox_client.sync.session import Message, Session
from dropbox_client.sync.snapshot import Item, Phase, Snapshot
from dropbox_client.sync.state import State
from dropbox_client.sync.state_file import STATE_NAME

_RETRY_S: Final = 10.0
"""After how long a root is looked for again that was gone, or a server that was another one."""


T = TypeVar("T")
_log = logging.getLogger("dropbox_client.sync")


class Engine:
    """Keeps one root equal to the server. Its methods may be called from any thread, `run` and `run_once` from one."""

    def __init__(self, config: RootConfig, directory: Path, client: Client, *, others: Collection[Path] = ()) -> None:
        """`directory` is its state folder, `others` are the other roots of this machine. `stop` closes `client`."""
        self._config = config
        self._directory = directory
        self._client = client
        self._others = others
        self._inbox: SimpleQueue[Message] = SimpleQueue()
        self._snapshot = Snapshot("starting")
        self._is_stopping = False
        self._is_restarting = False
        self._is_look_due = False

    # The control thread

    def run(self) -> None:
        """Keep both sides equal until `stop`.

        What time may mend only pauses it, such as a folder that is not mounted.
        Raises: NotSignedIn when the token was revoked, RootRefused; the state is kept.
        """
        try:
            while not self._is_stopping:
                self._is_restarting = False
                if self._config.is_paused:
                    self._show_phase("paused", "by you")
                    self._wait(None)
                else:
                    self._run_session()
        except Stopped:
            if not self._is_stopping:
                raise
        except Exception as error:
            self._show_phase("stopped", str(error))
            raise
        self._show_phase("stopped", "")

    def _run_session(self) -> None:
        try:
            self._work(Session.run)
        except (NotSignedIn, RootRefused, Stopped):
            raise
        except (ClientError, sqlite3.Error, OSError) as error:
            if (self._snapshot.phase, self._snapshot.reason) != ("paused", str(error)):
                _log.warning("paused: %s", error)
            self._show_phase("paused", str(error))
            self._wait(_RETRY_S)

    def run_once(self) -> Snapshot:
        """Make both sides equal, as far as they can be; return what is left.

        Raises: NotSignedIn, Unreachable, RootPaused, RootRefused, ServerReplaced, Stopped; OSError.
        """
        while not self._work(lambda session: session.run(is_once=True)):
            pass
        return self._snapshot

    def preview(self) -> tuple[Item, ...]:
        """Return what would be done first; reads both sides and changes neither. Raises as `run_once`."""
        return self._work(Session.preview)

    def _work(self, work: Callable[[Session], T]) -> T:
        with suppress(Empty):  # of a session that has ended
            while True:
                self._inbox.get_nowait()
        with (
            OpenRoot(self._config, self._directory, self._others) as root,
            Session(
                *(self._config, root, self._client, self._inbox, self._show),
                is_interrupted=self._is_interrupted,
                take_look=self._take_look,
            ) as session,
        ):
            return work(session)

    def _is_interrupted(self) -> bool:
        return self._is_stopping or self._is_restarting or self._config.is_paused

    def _take_look(self) -> bool:
        is_due, self._is_look_due = self._is_look_due, False
        return is_due

    def _show(self, snapshot: Snapshot) -> None:
        self._snapshot = snapshot

    def _show_phase(self, phase: Phase, reason: str) -> None:
        self._show(replace(self._snapshot, phase=phase, reason=reason))

    def _wait(self, timeout_s: float | None) -> None:
        """Wait for a call of another thread."""
        try:
            while self._inbox.get(timeout=timeout_s) is not None:
                pass  # of the session that has ended
        except Empty:
            pass

    # Other threads

    @property
    def snapshot(self) -> Snapshot:
        """What the engine does now."""
        return self._snapshot

    def stop(self) -> None:
        """End `run`; transfers continue when another engine starts."""
        self._is_stopping = True
        self._client.close()
        self._inbox.put(None)

    def pause(self) -> None:
        """End what runs, and do nothing until `resume`."""
        self.configure(replace(self._config, is_paused=True))

    def resume(self) -> None:
        """Go on after `pause`."""
        self.configure(replace(self._config, is_paused=False))

    def configure(self, config: RootConfig) -> None:
        """Go on with other choices of a person. Folder and server stay the same."""
        self._config = config
        self._is_restarting = True
        self._inbox.put(None)

    def look(self) -> None:
        """Look at everything, and try again what waits."""
        self._is_look_due = True
        self._inbox.put(None)

    def answer(self, answer: Answer) -> int:
        """Answer all open questions; return of how many files and folders."""
        with State(self._directory / STATE_NAME) as state:
            count = state.set_answer(answer)
        self.look()
        return count
