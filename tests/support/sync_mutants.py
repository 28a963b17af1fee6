"""Break one rule of the planner at a time; every mutant must be found.

`python -m tests.support.sync_mutants [NAME]` runs each mutant in a process of its own, against a copy of the client:
random changes, shares, histories of devices, and then the rows of the table. It prints what finds it.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
SYNC = ROOT / "src" / "dropbox_client" / "sync"
SEEDS = 2_000


class Mutant(NamedTuple):
    """A rule that is broken: text of a module of the client, or of the tests' server and disk, and its replacement."""

    module: str
    text: str
    replacement: str


MUTANTS: dict[str, Mutant] = {
    "a delete beats an edit on the server": Mutant(
        "conflicts", "if not row.mount.is_writable or row.is_edited_remotely:", "if not row.mount.is_writable:"
    ),
    "a delete beats an edit on disk": Mutant(
        "conflicts",
        '    if not row.is_edited_locally:\n        return "trash-local"\n    return "renew"',
        '    if row:\n        return "trash-local"\n    return "renew"',
    ),
    "an upload ignores its base": Mutant(
        "tests/support/sync_world",
        "        if node.revision_id != base:\n",
        "        if node.is_trashed and not base:\n",
    ),
    "If-Match is left out": Mutant(
        "tests/support/sync_world",
        "or not self.is_live(node_id) or node.version != version:",
        "or not self.is_live(node_id):",
    ),
    "if_tree is left out": Mutant(
        "tests/support/sync_world",
        "        if sorted((one.id, one.version) for one in self.below(node_id)) != sorted(below):\n",
        "        if self.purged and not node_id:\n",
    ),
    "the disk is not compared before an action": Mutant(
        "tests/support/sync_world",
        'if is_there and one.kind == local.kind and (one.status != "ok" or one.content == local.content):',
        "if one:",
    ),
    "of two edits the local one is sent": Mutant(
        "conflicts",
        'return "conflict" if row.is_edited_remotely or not row.mount.is_writable else "send"',
        'return "send"',
    ),
    "of two edits the one of the server replaces the local one": Mutant(
        "conflicts",
        'return "conflict" if row.is_edited_remotely or not row.mount.is_writable else "send"',
        'return "fetch" if row.is_edited_remotely else "send"',
    ),
    "unknown is absent": Mutant(
        "facts",
        "            if not reason:\n                continue\n",
        "            if not reason or reason == 'unknown':\n                continue\n",
    ),
    "creates and deletes go on while a directory is dirty": Mutant(
        "plan", "is_settled = trees.is_settled and not any(", "is_settled = True or not any("
    ),
    "creates and deletes go on while a directory is unknown": Mutant(
        "plan", 'entry.status == "unknown" and entry.kind == "folder"', "False and bool(entry)"
    ),
    "folders renamed to one name are merged": Mutant(
        "adoption",
        "    if row.local is not None or node.id in facts.blocked or is_left:\n",
        "    if node.id in facts.blocked or is_left:\n",
    ),
    "new folders of one name are not merged": Mutant(
        "adoption", "if node is None or entry.kind != node.kind", 'if node is None or node.kind == "folder"'
    ),
    "the folder of a changed file is deleted": Mutant(
        "targets",
        "            self._keep_above(self.places[node_id].parent, seen)\n",
        "            pass\n",
    ),
    "a folder is trashed with what others put into it": Mutant(
        "plan",
        "is_whole = all(one.id in doomed and one.id not in self._braked for one in parts)",
        "is_whole = not self._braked",
    ),
    "a directory is deleted with new files in it": Mutant(
        "plan",
        "            stays = [one for one in children if one.id not in done and one.id not in self._facts.carried]\n",
        "            stays = []\n",
    ),
    "the local move wins over the one of the server": Mutant(
        "conflicts",
        'return "local" if is_movable and not row.is_moved_remotely else "remote"',
        'return "local" if is_movable else "remote"',
    ),
    "a cycle is left to the server": Mutant(
        "targets", "            if not cycle:\n", "            if not cycle or cycle:\n"
    ),
    "a swap is never parked": Mutant("plan", "            if is_mover or is_emptied:\n", "            if False:\n"),
    "a viewer's changes are sent": Mutant(
        "trees", 'return self.is_active and self.access != "viewer"', "return self.is_active"
    ),
    "a revoked share still takes changes": Mutant(
        "trees", 'return self.is_active and self.access != "viewer"', 'return self.access != "viewer"'
    ),
    "a share that is gone on disk is trashed": Mutant(
        "conflicts", '    if row.is_unmounted:\n        return "hold"\n', ""
    ),
    "a node that the server does not know is deleted": Mutant(
        "conflicts", '    if row.fate == "unknown":\n        return "hold"\n', ""
    ),
    "quarantined content is downloaded": Mutant(
        "conflicts", 'return remote.content_status not in {"quarantined", "damaged"} and', "return"
    ),
    "hash pairing takes any of several candidates": Mutant(
        "adoption", "and len(entries) == len(sources[content]) == 1\n", "and bool(sources[content])\n"
    ),
    "a source is trashed before its upload to another owner": Mutant(
        "plan", "            if is_whole and not is_moving:\n", "            if is_whole:\n"
    ),
    "deletes never brake": Mutant("plan", "        if files > MASS or", "        if files < 0 and"),
    "conflict storms never brake": Mutant(
        "plan", "if ids and len(ids) + self._situation.recent_conflicts > FEW:", "if False:"
    ),
    "deletes come before creates": Mutant(
        "plan",
        "            stages += [tuple(self._plan_remote_deletes()), *self._plan_local_deletes()]\n",
        "            stages = [tuple(self._plan_remote_deletes()), *self._plan_local_deletes(), *stages]\n",
    ),
    "names are compared with their case": Mutant(
        "plan",
        "(one.id, one.parent, normalize_name(one.name)) for one in self._trees.remote",
        "(one.id, one.parent, one.name) for one in self._trees.remote",
    ),
    "the name of a twin is not checked on disk": Mutant(
        "targets",
        "            if is_free and make_local_key(write_name(name, self._traits), self._traits) not in local_keys:\n",
        "            if is_free:\n",
    ),
}

RUN = """
import sys
import dropbox_client.sync.plan
assert dropbox_client.__file__.startswith(sys.argv[1]), dropbox_client.__file__
from tests.property import test_sync_model, test_sync_plan
trees = {"changes": test_sync_plan.run, "shares": test_sync_plan.run_with_share}
trees["devices"] = test_sync_plan.run_with_devices
for name, check in {**trees, **test_sync_model.CHECKS}.items():
    for seed in range(int(sys.argv[2]) if name in trees else int(sys.argv[2]) // 4):
        try:
            check(seed)
        except Exception as error:
            print(f"{name}, seed {seed}: {type(error).__name__}")
            raise SystemExit(1)
"""


def apply(mutant: Mutant, folder: Path) -> None:
    """Copy the client into a folder, with one rule broken. Raises: ValueError if its text is not there once."""
    path = (ROOT if "/" in mutant.module else SYNC) / f"{mutant.module}.py"
    source = path.read_text(encoding="utf-8")
    if source.count(mutant.text) != 1:
        raise ValueError(f"{path.name} has {source.count(mutant.text)} times: {mutant.text}")
    copied = folder / "dropbox_client"
    shutil.copytree(SYNC.parent, copied)
    mutated = folder / mutant.module if "/" in mutant.module else copied / "sync" / mutant.module
    mutated.parent.mkdir(parents=True, exist_ok=True)
    mutated.with_suffix(".py").write_text(source.replace(mutant.text, mutant.replacement), encoding="utf-8")


def find(mutant: Mutant, seeds: int = SEEDS) -> str:
    """Return what finds a mutant: the first history, else the rows that fail; "" if it survives."""
    with tempfile.TemporaryDirectory() as name:
        apply(mutant, Path(name))
        environment = {**os.environ, "PYTHONPATH": f"{name}{os.pathsep}{ROOT}", "FAULTS": ""}
        run = [sys.executable, "-P", "-c", RUN, name, str(seeds)]
        histories = subprocess.run(run, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
        if histories.returncode:
            return histories.stdout.strip() or histories.stderr.strip()[-300:]
        rows = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/unit/test_sync_rows.py"]
        table = subprocess.run(rows, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    failed = [line.split("::")[1].split(" ")[0] for line in table.stdout.splitlines() if line.startswith("FAILED")]
    return ", ".join(failed)


def main(names: Iterable[str]) -> int:
    survivors = 0
    for name, mutant in MUTANTS.items():
        if not names or name in names:
            found = find(mutant)
            survivors += not found
            print(f"{name}: {found or 'SURVIVES'}", flush=True)
    return survivors


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
