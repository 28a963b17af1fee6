"""Notices on the desktop: a question was opened, or a conflict copy was made."""

import os
import shutil
import subprocess
import time
from collections.abc import Callable, Collection
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

from dropbox_client.cli.sync.show import ask_question
from dropbox_client.sync.snapshot import Snapshot

if TYPE_CHECKING:
    from dropbox_client.sync.state import ConflictRecord

_EVERY_S: Final = 60.0
_TIMEOUT_S: Final = 5.0


def find_notifier() -> Callable[[str, str], object] | None:
    """Return the function that shows a title and a text; None without a desktop."""
    program = shutil.which("notify-send")
    if program is None or not any(map(os.environ.get, ("DISPLAY", "WAYLAND_DISPLAY", "DBUS_SESSION_BUS_ADDRESS"))):
        return None

    def notify(title: str, text: str) -> None:
        with suppress(OSError, subprocess.TimeoutExpired):  # the desktop is gone
            subprocess.run(  # noqa: S603 - `--`: the text is no option
                [program, "--app-name=dbx", "--", title, text],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                timeout=_TIMEOUT_S,
                check=False,
            )

    return notify


class Notices:
    """Shows at most one notice a minute; what happens in between is in the next one."""

    def __init__(
        self, root: Path, notify: Callable[[str, str], object], *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._root, self._notify, self._clock = root, notify, clock
        self._shown_at = float("-inf")
        self._kinds: frozenset[str] = frozenset()
        """Of the questions that were shown and are still open."""
        self._conflicts: int | None = None
        """How many conflict copies were shown; those before the start count as shown."""

    def observe(self, snapshot: Snapshot, conflicts: "Collection[ConflictRecord]") -> None:
        """Show what is new, if it is time."""
        kinds = frozenset(question.kind for question in snapshot.questions)
        self._kinds &= kinds
        if self._conflicts is None:
            self._conflicts = len(conflicts)
        if self._clock() - self._shown_at < _EVERY_S:
            return
        lines = [ask_question(one) for one in snapshot.questions if one.kind not in self._kinds]
        new = list(conflicts)[self._conflicts :]
        if new:
            lines.append(f"{new[-1].path} was changed on two devices: {new[-1].copy} keeps this one")
        if len(new) > 1:
            lines.append(f"and {len(new) - 1} more")
        self._kinds, self._conflicts = kinds, len(conflicts)
        if lines:
            self._shown_at = self._clock()
            self._notify(f"dbx sync: {self._root.name}", "\n".join(lines))
