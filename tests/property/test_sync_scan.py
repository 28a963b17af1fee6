"""After any history of changes, looks and restarts, a scan shows what is on disk. FAULTS=long runs more."""

import os
import random
import shutil
from pathlib import Path

import pytest

from tests.support.sync_folder import SyncFolder, sync_folder

HISTORIES = 2000 if os.environ.get("FAULTS") == "long" else 40
STEPS = 40


def change(folder: SyncFolder, chance: random.Random) -> None:
    """Make a random change on disk."""
    entries = sorted(folder.root.rglob("*"))
    folders = [folder.root, *(path for path in entries if path.is_dir())]
    target = chance.choice(folders) / chance.choice("abcd")
    source = chance.choice(entries) if entries else None
    kind = chance.randrange(6)
    if kind == 0 and not target.exists():
        target.mkdir()
    elif kind == 1 and not target.is_dir():
        target.write_text(chance.choice(["x", "y", str(chance.random())]))
    elif source is None:
        return
    elif kind == 2 and chance.random() < 0.4:
        shutil.rmtree(source) if source.is_dir() else source.unlink()
    elif kind == 3 and source.is_file() and not target.exists():
        target.hardlink_to(source)
    elif kind >= 4 and not target.is_relative_to(source) and is_free(target, source):
        source.rename(target)


def is_free(target: Path, source: Path) -> bool:
    """Return whether a rename may replace what is at its target."""
    if target.is_dir():
        return source.is_dir() and not any(target.iterdir())
    return source.is_file() or not target.exists()


def look(folder: SyncFolder, chance: random.Random) -> None:
    """Look at random folders, or begin anew."""
    if chance.random() < 0.1:
        folder.restart()
    entries = sorted(folder.root.rglob("*"))
    for path in chance.sample(entries, min(len(entries), chance.randint(0, 2))):
        folder.scanner.mark(bytes(path.relative_to(folder.root)))
    folder.clock.ahead_s += chance.choice([0, 1, 3])
    folder.scanner.run()


@pytest.mark.parametrize("first", range(0, HISTORIES, 10))
def test_scan_after_any_history_shows_the_disk(tmp_path: Path, first: int) -> None:
    for seed in range(first, first + 10):
        print(f"seed {seed}")
        chance = random.Random(seed)
        (tmp_path / f"{seed}").mkdir()
        with sync_folder(tmp_path / f"{seed}") as folder:
            for _ in range(STEPS):
                (change if chance.random() < 0.7 else look)(folder, chance)
            folder.settle()
            assert folder.contents() == folder.disk_contents()
            assert {row.status for row in folder.rows().values()} <= {"ok"}
            rows = folder.state.database.execute("SELECT count(*) FROM local").fetchone()
            assert rows == (len(folder.rows()) + 1,)
