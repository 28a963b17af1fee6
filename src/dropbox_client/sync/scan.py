"""The walk that keeps the local tree of the state equal to the disk.

Hints of `watch` only say which folders to look at: the tree follows from what a stat of the entries tells. A folder is
read with one SELECT and one listing.

Invariants:
- An error is no absence: an entry that cannot be read is `unknown` or `unreadable`, and so is all below it.
- An entry is absent when its folder was listed without it twice, 2 s apart, and no other folder waits for a look: else
  it may have been moved into that folder. Until then the trees are not settled, and nothing is deleted.
- A file has a hash only if its stat was the same for 2 s before, and after the hash (rules 7 and 8). Times of the disk
  are compared with the clock only where they lie a minute back: another host may have set them.
- An entry that was moved keeps its row, and so its node: it is found by its inode and its time of birth (rule 9). A
  file that another one replaces under the same name is edited, not deleted (rule 6).
- Links are recorded, never followed; what is mounted below the root is not read.
"""

import hashlib
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import Executor, Future
from dataclasses import dataclass
from typing import Final

from dropbox_client.errors import FileChanged, Unreadable
from dropbox_client.sync.disk import Disk, DiskEntry, join_path
from dropbox_client.sync.ignores import RULES_NAME, Ignores
from dropbox_client.sync.look import Findings, Look, explain_failure
from dropbox_client.sync.names import RootTraits
from dropbox_client.sync.state import LocalRow, State
from dropbox_client.sync.state_file import LIMBO, ROOT_CHILD

QUIET_S: Final = 2.0
"""How long a file must not change before it is read, and an entry be missing before it is gone."""
_OLD_S = 60.0
_MAX_TRIES = 10
_FOLDERS_PER_TRANSACTION = 200
_HASHES_PER_TRANSACTION = 200
_LARGE_BYTES = 64 << 20
"""Larger files are hashed beside the scans, which go on meanwhile."""
_LOOK_AT_HASH_S = 0.5
_RETRY_UNKNOWN_S = 30.0

Place = tuple[int, bytes]
"""The number of a folder, and a name in it."""
Hashed = tuple[str, DiskEntry] | Exception
"""The hash of a file with its stat, or why there is none."""


@dataclass(slots=True)
class _Wait:
    """A file without a valid hash."""

    seen: DiskEntry
    since: float
    """When it was first seen like this."""
    tries: int = 1


class Scanner:
    """The scans of one root. Not thread-safe: the control thread owns it, as it does the state."""

    def __init__(
        self,
        state: State,
        disk: Disk,
        device: int,
        *,
        traits: RootTraits | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """`device` is the device number of the root."""
        self.ignores = Ignores(state.rules)
        self.held_inodes: Collection[int] = ()
        """Of entries that an action moves right now: they are never absent and never new."""
        self._state = state
        self._disk = disk
        self._device = device
        self._traits = traits or RootTraits()
        self._clock = clock
        self._dirty: dict[int, bool] = {}
        """Folders to look at; true for one of which everything below is looked at, too."""
        self._is_checking_rules = state.read_fact("are_rules_checked") == 0
        self._waits: dict[int, dict[bytes, _Wait]] = {}
        """Files without a valid hash, by folder and name."""
        self._hashing: dict[Place, Future[Hashed]] = {}
        """Hashes of large files that run."""
        self._missing: dict[int, dict[bytes, float]] = {}
        """Entries that were not listed, by folder and name, and since when."""
        self._gone: set[Place] = set()
        """Those among them that were not listed again."""
        self._unknown: dict[int, float] = {}
        """Folders in which something could not be read, and when."""
        self._failed = set(state.list_failed_folders())
        """Folders that could not be read themselves."""
        self._paths: dict[int, bytes] = {ROOT_CHILD: b""}
        """Of folders, until one is moved."""
        self._missing[LIMBO] = {row.name: clock() for row in state.list_local(LIMBO)}
        self.mark_all()

    # What to look at

    def mark_all(self) -> None:
        """Look at everything: at the start, after lost hints, and now and then."""
        self._dirty[ROOT_CHILD] = True

    def mark(self, path: bytes) -> None:
        """Look at the folder with this path below the root, or at the nearest one above it that is known."""
        number = ROOT_CHILD
        for name in path.split(b"/") if path else ():
            row = self._state.find_place(number, name)
            if row is None or row.child is None:
                break
            number = row.child
        self._dirty.setdefault(number, False)

    def forget_paths(self) -> None:
        """Read the paths of folders anew: some were moved by the caller."""
        self._paths = {ROOT_CHILD: b""}

    def _replace_ignores(self, ignores: Ignores) -> None:
        """Put ignore rules in force, and look at everything."""
        self._state.replace_rules(ignores)
        self.ignores = ignores
        self._is_checking_rules = True
        self.mark_all()

    @property
    def is_settled(self) -> bool:
        """Whether the local tree is complete: something that it lacks was deleted."""
        is_hashing = any(wait.tries < _MAX_TRIES for waits in self._waits.values() for wait in waits.values())
        return not (self._dirty or is_hashing or any(self._missing.values()))

    def next_look_s(self) -> float | None:
        """Return in how many seconds `run` has something to do, None if only a hint brings something."""
        if self._dirty:
            return 0.0
        times = [
            wait.since + QUIET_S
            for folder, waits in self._waits.items()
            for name, wait in waits.items()
            if (folder, name) not in self._hashing
        ]
        times += [self._clock() + _LOOK_AT_HASH_S for _ in self._hashing]
        times += [since + QUIET_S for names in self._missing.values() for since in names.values()]
        times += [at + _RETRY_UNKNOWN_S for at in self._unknown.values()]
        return max(0.0, min(times) - self._clock()) if times else None

    # The scan

    def run(self, pool: Executor | None = None, large_pool: Executor | None = None) -> None:
        """Look at all marked folders, hash the files that are quiet, and remove what is gone.

        `pool` hashes several files at once, `large_pool` large ones while scans go on. Raises OSError of the root
        itself: nothing is known then.
        """
        if self._state.read_fact("rules") is None:
            self._state.replace_rules(Ignores(self._read_rules() or ""))
            self.ignores = Ignores(self._state.rules)
        self._mark_due()
        self._look(pool, large_pool)
        if self._find_new_rules():
            self._look(pool, large_pool)

    def _look(self, pool: Executor | None, large_pool: Executor | None) -> None:
        while self._dirty:
            with self._state.transaction():
                for _ in range(min(len(self._dirty), _FOLDERS_PER_TRANSACTION)):
                    number, is_deep = self._dirty.popitem()
                    try:
                        self._look_at(number, is_deep=is_deep)
                    except BaseException:
                        self._dirty[number] = is_deep
                        raise
        if self._is_checking_rules:
            self._state.set_fact("are_rules_checked", 1)
            self._is_checking_rules = False
        self._remove_gone()
        self._hash_quiet(pool, large_pool)

    def _mark_due(self) -> None:
        now = self._clock()
        due = [folder for folder, names in self._missing.items() if any(now - at >= QUIET_S for at in names.values())]
        due += [folder for folder, at in self._unknown.items() if now - at >= _RETRY_UNKNOWN_S]
        due += [
            folder
            for folder, waits in self._waits.items()
            if any(now - one.since >= QUIET_S for name, one in waits.items() if (folder, name) not in self._hashing)
        ]
        for folder in due:
            if folder != LIMBO:
                self._dirty[folder] = self._dirty.get(folder, False) or folder in self._failed

    def _look_at(self, number: int, *, is_deep: bool) -> None:
        path = self._find_path(number)
        self._unknown.pop(number, None)
        if path is None:  # removed, or in limbo: everything below it is looked at when it returns
            self._merge(number, Findings(), is_deep=False)
            return
        try:
            with self._disk.open_folder(path) as folder:
                if self._is_other_folder(number, folder):
                    return
                look = Look(
                    *(self._state, self._disk, self.ignores, self._traits, self._device, self.held_inodes),
                    *(number, path, folder),
                )
                entries = list(self._disk.list(folder))
                findings = look.compare(entries, is_checking_rules=self._is_checking_rules)
        except OSError as error:
            if number == ROOT_CHILD:
                raise
            self._record_failure(number, error)
            return
        if number in self._failed:
            self._failed.discard(number)
            row = self._state.find_folder(number)
            if row:
                self._state.put_local([row._replace(status="ok", reason="")])
        self._merge(number, findings, is_deep=is_deep)

    def _is_other_folder(self, number: int, folder: int) -> bool:
        """Return whether another folder has the path of this one by now: then the one above it is looked at first."""
        row = self._state.find_folder(number)
        if number == ROOT_CHILD or row is None or row.inode == self._disk.stat_folder(folder).inode:
            return False
        self._merge(number, Findings(), is_deep=False)
        self._dirty.setdefault(row.dir, False)
        return True

    def _find_path(self, number: int) -> bytes | None:
        path = self._paths.get(number)
        if path is None:
            row = self._state.find_folder(number)
            above = None if row is None or row.dir == LIMBO else self._find_path(row.dir)
            if row is None or above is None:
                return None
            path = self._paths[number] = join_path(above, row.name)
        return path

    def _merge(self, number: int, findings: Findings, *, is_deep: bool) -> None:
        now = self._clock()
        if findings.has_moved:
            self.forget_paths()
        if findings.has_unknown:
            self._unknown[number] = now
        if is_deep:
            for child in findings.folders:
                self._dirty[child] = True
        for child in findings.new_folders:
            self._dirty[child] = True
        for name in findings.displaced:
            self._missing[LIMBO][name] = now
        self._merge_missing(number, findings.missing, now)
        self._merge_busy(number, findings.busy, now)

    def _merge_missing(self, number: int, names: Sequence[bytes], now: float) -> None:
        before = self._missing.pop(number, {})
        self._gone -= {(number, name) for name in before}
        if names:
            self._missing[number] = {name: before.get(name, now) for name in names}
            self._gone |= {(number, name) for name in names if now - before.get(name, now) >= QUIET_S}

    def _merge_busy(self, number: int, busy: Mapping[bytes, DiskEntry], now: float) -> None:
        before = self._waits.pop(number, {})
        if busy:
            self._waits[number] = {name: _next_wait(before.get(name), entry, now) for name, entry in busy.items()}
            for name, wait in self._waits[number].items():
                if wait.tries >= _MAX_TRIES:
                    self._explain_busy(number, name)

    def _explain_busy(self, folder: int, name: bytes) -> None:
        row = self._state.find_place(folder, name)
        if row:
            self._state.put_local([row._replace(reason="it is written to all the time")])

    def _record_failure(self, number: int, error: OSError) -> None:
        """Record that a folder could not be read. What is below it keeps its rows."""
        row = self._state.find_folder(number)
        self._merge(number, Findings(), is_deep=False)
        if row is None:
            return
        self._unknown[number] = self._clock()
        self._failed.add(number)
        status, reason = explain_failure(error)
        if (row.status, row.reason) != (status, reason):
            self._state.put_local([row._replace(status=status, reason=reason)])

    # Rules

    def _find_new_rules(self) -> bool:
        """Put the content of `.dbxignore` in force once it is quiet; return whether it changed."""
        row = self._state.find_place(ROOT_CHILD, RULES_NAME.encode())
        rules = ""
        if row is not None and row.kind == "file":
            known = hashlib.sha256(self.ignores.rules.encode(errors="surrogateescape")).digest()
            if row.fp is None or row.fp == known:
                return False
            rules = self._read_rules() or ""
            if hashlib.sha256(rules.encode(errors="surrogateescape")).digest() != row.fp:
                return False
        if rules == self.ignores.rules:
            return False
        self._replace_ignores(Ignores(rules))
        return True

    def _read_rules(self) -> str | None:
        """Return the text of `.dbxignore`, None if it cannot be read."""
        try:
            with self._disk.open_folder(b"") as root:
                return self._disk.read_file(root, RULES_NAME.encode()).decode(errors="surrogateescape")
        except (OSError, FileChanged, Unreadable):
            return None

    # What is gone

    def _remove_gone(self) -> None:
        now = self._clock()
        self._gone |= {(LIMBO, name) for name, since in self._missing[LIMBO].items() if now - since >= QUIET_S}
        with self._state.transaction():
            for folder, name in self._gone:
                self._missing[folder].pop(name, None)
                row = self._state.find_place(folder, name)
                if row and row.inode not in self.held_inodes:
                    self._state.remove_local(row)
        self._gone = set()

    # Hashes

    def _hash_quiet(self, pool: Executor | None, large_pool: Executor | None) -> None:
        now = self._clock()
        due = [(folder, name) for folder, waits in self._waits.items() for name in waits if _is_quiet(waits[name], now)]
        if large_pool is not None:
            self._hash_large(large_pool, due)
            due = [place for place in due if not self._is_large(place)]
        for first in range(0, len(due), _HASHES_PER_TRANSACTION):
            some = due[first : first + _HASHES_PER_TRANSACTION]
            paths = [(self._find_path(folder), name) for folder, name in some]
            results = list((pool.map if pool else map)(self._hash, paths))
            with self._state.transaction():
                for place, result in zip(some, results, strict=True):
                    self._record_hash(place, result)

    def _hash_large(self, pool: Executor, due: list[Place]) -> None:
        """Begin the hashes of large files, and record those that have ended."""
        for place in [place for place, future in self._hashing.items() if future.done()]:
            result = self._hashing.pop(place).result()
            if place[1] in self._waits.get(place[0], ()):
                with self._state.transaction():
                    self._record_hash(place, result)
        for place in due:
            if self._is_large(place) and place not in self._hashing:
                self._hashing[place] = pool.submit(self._hash, (self._find_path(place[0]), place[1]))

    def _is_large(self, place: Place) -> bool:
        wait = self._waits[place[0]].get(place[1])
        return wait is None or wait.seen.size > _LARGE_BYTES

    def _hash(self, place: tuple[bytes | None, bytes]) -> Hashed:
        path, name = place
        try:
            if path is None:
                raise FileNotFoundError
            with self._disk.open_folder(path) as folder:
                return self._disk.hash_file(folder, name)
        except (OSError, FileChanged, Unreadable) as error:
            return error

    def _record_hash(self, place: Place, result: Hashed) -> None:
        row, wait = self._state.find_place(*place), self._waits[place[0]][place[1]]
        is_over = True
        if row is None or row.kind != "file":
            pass
        elif isinstance(result, tuple) and result[1] == wait.seen:
            self._state.put_local([row._replace(fp=bytes.fromhex(result[0]), status="ok", reason="")])
        elif isinstance(result, Unreadable):
            self._state.put_local([row._replace(status="unreadable", reason=str(result))])
        elif isinstance(result, OSError) and not isinstance(result, FileNotFoundError):
            status, reason = explain_failure(result)
            self._state.put_local([row._replace(status=status, reason=reason)])
            self._unknown[place[0]] = self._clock()
        else:  # it changed meanwhile
            is_over = False
            wait.since, wait.tries = self._clock(), wait.tries + 1
            if wait.tries >= _MAX_TRIES:
                self._explain_busy(*place)
        if is_over:
            self._waits[place[0]].pop(place[1], None)

    def begin_check(self, after: Place, pool: Executor) -> tuple[LocalRow, Future[Hashed]] | None:
        """Begin to hash the next file after a place again, whatever its times say (rule 8); None at the end."""
        row = self._state.find_next_file(*after)
        return row and (row, pool.submit(self._hash, (self._find_path(row.dir), row.name)))

    def end_check(self, checked: LocalRow, result: Hashed) -> None:
        """Record other content than the row has as a change."""
        row = self._state.find_place(checked.dir, checked.name)
        if row != checked:
            return
        if isinstance(result, tuple) and result[1][:6] == row[2:8] and bytes.fromhex(result[0]) != row.fp:
            self._state.put_local([row._replace(fp=bytes.fromhex(result[0]))])
        elif not isinstance(result, tuple) or result[1][:6] != row[2:8]:
            self._dirty.setdefault(row.dir, False)


def _next_wait(wait: _Wait | None, entry: DiskEntry, now: float) -> _Wait:
    if wait is None or wait.seen == entry:
        return wait or _Wait(entry, now)
    return _Wait(entry, now, wait.tries + 1)


def _is_quiet(wait: _Wait, now: float) -> bool:
    """Return whether a file has not been written to for a while, by this clock, or long ago by any clock."""
    newest = max(wait.seen.mtime_ns, wait.seen.ctime_ns) / 1e9
    return now - wait.since >= QUIET_S or now - newest >= _OLD_S
