"""How snapshots are shown to people."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from dropbox_client.cli import output
from dropbox_client.sync.snapshot import Item, Question, Snapshot
from dropbox_client.sync.trees import BrakeKind

_MAX_NEXT = 10
_PHASES: Final = {
    "starting": "starting",
    "looking": "looking at both sides",
    "syncing": "syncing",
    "up-to-date": "up to date",
    "paused": "paused",
    "offline": "offline",
    "stopped": "stopped",
}
_QUESTIONS: Final[dict[BrakeKind, tuple[str, str, str]]] = {
    "local-deletes": (
        "{n} are gone from this disk: delete them on the server?",
        "moves them to the trash of the server",
        "fetches them again",
    ),
    "remote-deletes": (
        "{n} were deleted on the server: delete them here?",
        "moves them to .dbx/trash",
        "keeps them, and sends them again",
    ),
    "conflicts": (
        "{n} differ on both sides: make a conflict copy of each?",
        "makes the copies",
        "leaves them as they are",
    ),
    "unmount": (
        "A share is gone from this disk: leave it off this device?",
        "leaves it off",
        "fetches it again",
    ),
}


def ask_question(question: Question) -> str:
    """Return a question."""
    return _QUESTIONS[question.kind][0].format(n=count_files(question.count))


def describe_question(question: Question, root: Path) -> Iterator[str]:
    """Yield lines: the question, what the answers do, and some of the files."""
    _, confirmed, rejected = _QUESTIONS[question.kind]
    yield f"? {ask_question(question)}"
    yield f"    dbx sync confirm {root}   {confirmed}"
    yield f"    dbx sync reject {root}   {rejected}"
    yield from (f"      {path}" for path in question.paths)
    if question.count > len(question.paths) > 0:
        yield f"      and {question.count - len(question.paths)} more"


def count_files(count: int) -> str:
    return "1 file" if count == 1 else f"{count:,} files"


def count_changes(count: int) -> str:
    return "1 change" if count == 1 else f"{count:,} changes"


def describe_phase(snapshot: Snapshot) -> str:
    """Return what is done now, in a few words."""
    parts = [_PHASES.get(snapshot.phase, snapshot.phase)]
    if snapshot.reason:
        parts[0] += f": {snapshot.reason}"
    if snapshot.pending:
        parts.append(count_changes(snapshot.pending))
    if snapshot.total_bytes > snapshot.done_bytes:
        done, total = map(output.format_bytes, (snapshot.done_bytes, snapshot.total_bytes))
        parts.append(f"{done} of {total}" + (f", about {_format_duration(s)}" if (s := snapshot.eta_s) else ""))
    elif snapshot.phase == "up-to-date":
        parts.append(count_files(snapshot.agreed_files))
    elif snapshot.synced_at:
        moment = datetime.fromtimestamp(snapshot.synced_at, UTC)
        parts.append(f"up to date at {output.format_time(moment, '%Y-%m-%d %H:%M:%S')}")
    return "  ".join(parts)


def _format_duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def describe_snapshot(snapshot: Snapshot, root: Path) -> Iterator[str]:
    """Yield lines: the phase, questions, what waits and why, and what comes next."""
    yield f"{root}  {describe_phase(snapshot)}"
    if snapshot.hint_problem:
        yield f"  ! changes are found late: {snapshot.hint_problem}"
    for question in snapshot.questions:
        yield from (f"  {line}" for line in describe_question(question, root))
    waiting = [item for item in snapshot.items if item.reason]
    working = [item for item in snapshot.items if not item.reason]
    for item in (*working[:_MAX_NEXT], *waiting):
        yield f"  {describe_item(item)}"
    if (left := snapshot.pending - len(waiting) - _MAX_NEXT) > 0:
        yield f"  and {count_changes(left)} more; --json lists them"
    for item in snapshot.held:
        yield f"  held      {item.path}: {item.reason}"


def describe_item(item: Item) -> str:
    """Return a line: what is done with a file, how far it is, and why it waits."""
    size = f"  {output.format_bytes(item.size_bytes)}" if item.size_bytes else ""
    if item.done_bytes and item.size_bytes:
        size += f" ({100 * item.done_bytes // item.size_bytes} %)"
    reason = f": {item.reason}" if item.reason else ""
    return f"{item.work or 'waits':<8}  {item.path}{size}{reason}"
