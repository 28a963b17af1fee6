"""What the engine shows of itself: immutable, so that any thread may read it, and plain, so that it becomes JSON."""

from dataclasses import dataclass
from typing import Literal

from dropbox_client.sync.trees import BrakeKind

Phase = Literal["starting", "looking", "syncing", "up-to-date", "paused", "offline", "stopped"]
"""What the engine does.

- starting: opens the folder, finishes what was begun.
- looking: reads the disk or the server; nothing is deleted before both are complete.
- syncing: changes one side or the other.
- up-to-date: nothing to do, but for what `held` and `questions` show.
- paused: by a person, or because the folder or the server is another one than before; `reason` says why.
- offline: the server cannot be reached; tried again.
- stopped: ended; `reason` says why.
"""

Work = Literal["upload", "download", "move", "delete", "folder", "other"]


@dataclass(frozen=True, slots=True)
class Item:
    """A file or folder that waits, or is worked on."""

    path: str
    """Below the root, with slashes."""
    work: Work | None
    """What is to be done; None where nothing is done for now."""
    reason: str = ""
    """Why it waits, for people; empty while it is worked on or is next."""
    size_bytes: int = 0
    done_bytes: int = 0


@dataclass(frozen=True, slots=True)
class Question:
    """A question to a person; until the answer nothing of it is done."""

    kind: BrakeKind
    count: int
    """Of files."""
    paths: tuple[str, ...]
    """Some of them, at most 20."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The state of one root at a moment."""

    phase: Phase
    reason: str = ""
    items: tuple[Item, ...] = ()
    """What is worked on and what waits, at most 1,000."""
    pending: int = 0
    """How many changes wait or are worked on, in all."""
    held: tuple[Item, ...] = ()
    """Entries with which nothing is done for now, and why; at most 1,000."""
    questions: tuple[Question, ...] = ()
    total_bytes: int = 0
    """To send and fetch since the engine was last up to date."""
    done_bytes: int = 0
    """Of these."""
    eta_s: float | None = None
    """Until the bytes are done, None while unknown."""
    agreed_files: int = 0
    """Files on which both sides agree."""
    synced_at: float | None = None
    """When the engine was last up to date, as seconds since the epoch."""
    hint_problem: str | None = None
    """Why the system does not tell of changes; folders are looked at in turns then."""
