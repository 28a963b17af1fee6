"""Sync engines on folders: as processes that a test kills and cuts off, or in a thread of the test.

A `Person` changes a folder at random, from a seed. Every content that it writes has a token of its own, so that a
`Ledger` tells in the end whether one has disappeared.
"""

import asyncio
import contextlib
import hashlib
import json
import os
import random
import re
import sqlite3
import stat
import sys
import threading
import time
import unicodedata
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from sqlalchemy import text

from dropbox_api.db import Db
from dropbox_client.models.files import normalize_name
from dropbox_client.sync.config import RootConfig
from dropbox_client.sync.engine import Engine
from dropbox_client.sync.ignores import PRIVATE_NAME, is_always_ignored
from dropbox_client.sync.snapshot import Snapshot
from tests.support.server import Account

REPOSITORY = Path(__file__).parents[2]
_TOKEN = re.compile(rb"<<(\w+)-\d+>>")
Content = dict[str, str]
"""The kind of each entry, or the hash of a file with `x` if it is executable, by path."""


async def make_token(account: Account, name: str) -> dict[str, Any]:
    """Return a personal token as `dbx sync add` makes it."""
    body = {"name": name, "scopes": ["files:read", "files:write", "share"]}
    made: dict[str, Any] = (await account.client.post("/v1/me/tokens", json=body)).raise_for_status().json()
    return made


def make_config(root: Path, url: str, name: str, **members: Any) -> RootConfig:
    return RootConfig(root.name, root, url, str(uuid.uuid5(uuid.NAMESPACE_URL, f"{root}")), name, **members)


class Running:
    """An engine that runs in a thread."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.error: BaseException | None = None
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def _run(self) -> None:
        try:
            self.engine.run()
        except BaseException as error:  # noqa: BLE001 - a test looks at it
            self.error = error

    async def until(self, condition: Callable[[Snapshot], bool], timeout_s: float = 60) -> Snapshot:
        """Wait until the snapshot meets a condition; return it."""
        until = time.monotonic() + timeout_s
        while not await asyncio.to_thread(condition, snapshot := self.engine.snapshot):
            assert self.error is None, self.error
            assert time.monotonic() < until, snapshot
            await asyncio.sleep(0.05)
        return snapshot

    def wait_until_ended(self) -> BaseException | None:
        """Wait until the engine has ended; return its exception."""
        self.thread.join(60)
        assert not self.thread.is_alive(), self.engine.snapshot
        return self.error


@contextlib.asynccontextmanager
async def running(engine: Engine) -> AsyncIterator[Running]:
    """Run an engine in a thread until the block ends."""
    started = Running(engine)
    try:
        yield started
    finally:
        engine.stop()
        await asyncio.to_thread(started.wait_until_ended)


def is_up_to_date(snapshot: Snapshot) -> bool:
    return snapshot.phase == "up-to-date" and not snapshot.pending


def read_folder(root: Path, state: Path | None = None) -> Content:
    """Return everything below a root that takes part, with the names of the server.

    These are in a state: of two names on disk that the server takes as one, the second has a suffix there.
    """
    names = _read_names(state) if state else {}
    found: Content = {}
    for folder, folders, files in os.walk(root):
        folders[:] = [name for name in folders if not is_always_ignored(name)]
        for name in (*folders, *files):
            path = Path(folder, name)
            if is_always_ignored(name):
                continue
            with contextlib.suppress(FileNotFoundError):
                relative = str(path.relative_to(root))
                found[names.get(relative) or unicodedata.normalize("NFC", relative)] = _describe(path)
    return found


def _read_names(state: Path) -> dict[str, str]:
    """Return the path on the server of each entry on which both sides agreed, by that on disk."""
    with contextlib.closing(sqlite3.connect(state / "state.db", timeout=30)) as database:
        rows = {row[0]: row[1:] for row in database.execute("SELECT id, parent, name, local_name FROM base")}

    def join(node_id: str) -> tuple[str, str]:
        parent, name, local_name = rows[node_id]
        if parent not in rows or rows[parent][0] is None:
            return os.fsdecode(local_name), name
        here, there = join(parent)
        return f"{here}/{os.fsdecode(local_name)}", f"{there}/{name}"

    return dict(join(node_id) for node_id, (parent, *_) in rows.items() if parent is not None)


def _describe(path: Path) -> str:
    status = path.lstat()
    if stat.S_ISDIR(status.st_mode):
        return "folder"
    if not stat.S_ISREG(status.st_mode):
        return "other"
    mark = "x" if status.st_mode & stat.S_IXUSR else ""
    return hashlib.sha256(path.read_bytes()).hexdigest() + mark


async def read_server(account: Account) -> Content:
    """Return everything in an account, read as a list of the whole tree."""
    page: dict[str, Any] = {"next_cursor": ""}
    rows: dict[str, dict[str, Any]] = {}
    while page["next_cursor"] is not None:
        query = {"cursor": page["next_cursor"]} if page["next_cursor"] else {}
        page = (await account.client.get("/v1/tree", params=query)).raise_for_status().json()
        rows |= {row["id"]: row for row in (dict(zip(page["columns"], one, strict=True)) for one in page["items"])}

    def path_of(row: dict[str, Any]) -> str:
        above = rows.get(row["parent_id"])
        return f"{path_of(above)}/{row['name']}" if above else str(row["name"])

    return {
        path_of(row): "folder" if row["kind"] == "folder" else row["fingerprint"] + "x" * bool(row["executable"])
        for row in rows.values()
    }


async def list_revisions(db: Db, account: Account) -> set[str]:
    """Return the fingerprints of all revisions of an account, of live files and of those in the trash."""
    statement = text(
        "SELECT DISTINCT encode(blobs.fingerprint, 'hex') FROM revisions JOIN blobs ON blobs.id = revisions.blob_id"
        " WHERE revisions.owner_id = :id"
    )
    async with db.read() as tx:
        return set((await tx.execute(statement, {"id": (await account.me())["id"]})).scalars())


# Processes


@dataclass
class Daemon:
    """A folder with an engine as a process."""

    name: str
    home: Path
    url: str
    token: str
    process: asyncio.subprocess.Process | None = None
    kills: int = 0

    def __post_init__(self) -> None:
        self.root = self.home / f"{self.name}-root"
        self.root.mkdir(parents=True)
        self.state = self.home / f"{self.name}-state"
        self.log = self.home / f"{self.name}.log"
        self._turn = asyncio.Lock()

    async def start(self, *wrapper: str, is_once: bool = False, ahead_s: float = 0) -> None:
        options = self.home / f"{self.name}.json"
        config = asdict(make_config(self.root, self.url, self.name)) | {"path": str(self.root), "unselected": []}
        options.write_text(
            json.dumps(
                {
                    "config": config,
                    "state": str(self.state),
                    "token": self.token,
                    "is_once": is_once,
                    "ahead_s": ahead_s,
                }
            )
        )
        with self.log.open("a") as log:
            self.process = await asyncio.create_subprocess_exec(
                *(*wrapper, sys.executable, "-m", "tests.support.sync_daemon", str(options)),
                cwd=REPOSITORY,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=log,
                limit=1 << 24,
            )

    async def ask(self, command: str = "snapshot") -> dict[str, Any] | None:
        """Send a command; return the snapshot after it, None if the process has ended."""
        async with self._turn:
            process = self.process
            assert process is not None
            assert process.stdin is not None
            assert process.stdout is not None
            with contextlib.suppress(ConnectionError):
                process.stdin.write(f"{command}\n".encode())
                await process.stdin.drain()
                answer = json.loads(await process.stdout.readline() or b"{}")
                return answer.get("snapshot") if "ended" not in answer else None
            return None

    async def kill(self) -> None:
        if self.process is not None and self.process.returncode is None:
            self.process.kill()
            self.kills += 1
            async with self._turn:  # a question may wait for its answer
                await self.process.communicate()

    async def finish(self, timeout_s: float = 120) -> dict[str, Any]:
        """Wait until the process ends by itself; return its last line, {} if it was killed."""
        assert self.process is not None
        out, _ = await asyncio.wait_for(self.process.communicate(), timeout_s)
        ended: dict[str, Any] = json.loads(out.splitlines()[-1]) if out else {}
        return ended

    async def sync(self, *wrapper: str, **options: Any) -> dict[str, Any]:
        """Run until both sides agree; return how it ended, {} if it was killed."""
        await self.start(*wrapper, is_once=True, **options)
        return await self.finish()

    async def wait_until(self, condition: Callable[[dict[str, Any]], bool], timeout_s: float = 60) -> dict[str, Any]:
        """Wait until the snapshot meets a condition; return it."""
        until = time.monotonic() + timeout_s
        while True:
            snapshot = await self.ask()
            assert snapshot is not None, self.read_log()
            if condition(snapshot):
                return snapshot
            assert time.monotonic() < until, (snapshot, self.read_log())
            await asyncio.sleep(0.1)

    def read_log(self, lines: int = 100) -> str:
        return "\n".join([f"--- {self.name}", *self.log.read_text(errors="replace").splitlines()[-lines:]])


@contextlib.asynccontextmanager
async def daemon(name: str, home: Path, url: str, token: str) -> AsyncIterator[Daemon]:
    made = Daemon(name, home, url, token)
    try:
        yield made
    finally:
        await made.kill()


# Changes at random


@dataclass
class Ledger:
    """What was written by all persons together."""

    tokens: dict[bytes, str] = field(default_factory=dict)
    """How each token was written."""
    homes: dict[str, set[bytes]] = field(default_factory=dict)
    """The tokens in each content, by its hash."""
    overwritten: set[bytes] = field(default_factory=set)
    """Tokens that their own writer has overwritten or deleted, perhaps before they were sent."""
    operations: list[str] = field(default_factory=list)

    def make(self, writer: str, size_bytes: int, how: str) -> bytes:
        token = b"<<%s-%d>>" % (writer.encode(), len(self.tokens))
        self.tokens[token] = how
        filler = hashlib.shake_128(token).hexdigest(max(1, size_bytes // 2)).encode()
        return token + b"\n" + filler + b"\n"

    def see(self, content: bytes) -> None:
        fingerprint = hashlib.sha256(content).hexdigest()
        self.homes.setdefault(fingerprint, {match[0] for match in _TOKEN.finditer(content)})

    def lose(self, person: str, content: bytes) -> None:
        """Note that a person removes a content that it has read."""
        own = (match[0] for match in _TOKEN.finditer(content) if match[1] == person.encode())
        self.overwritten.update(own)

    def find_lost(self, revisions: set[str], roots: list[Path]) -> list[str]:
        """Return the tokens that are nowhere: on the server, on a disk, in a local trash."""
        kept = set(self.overwritten)
        for fingerprint in revisions:
            kept |= self.homes.get(fingerprint, set())
        for root in roots:
            for path in (path for path in root.rglob("*") if path.is_file() and not path.is_symlink()):
                kept |= {match[0] for match in _TOKEN.finditer(path.read_bytes())}
        return [f"{token.decode()}: {how}" for token, how in self.tokens.items() if token not in kept]

    def find_foreign(self, revisions: set[str]) -> list[str]:
        """Return the contents on the server that no person has written."""
        return sorted(revisions - set(self.homes))


_FILES = ("a.txt", "b.txt", "report.pdf", "notes", "Übersicht.md", "cafe\u0301.txt", "data.tar.gz", "x (1).txt")
_FOLDERS = ("docs", "pictures", "Alpha", "old")


class Person:
    """Changes a folder at random while an engine works on it."""

    def __init__(self, name: str, root: Path, ledger: Ledger, rng: random.Random) -> None:
        self.name, self.root, self.ledger, self.rng = name, root, ledger, rng
        self._open: tuple[int, str] | None = None
        self._removed: set[int] = set()
        """The inodes of files that the person has removed."""
        self._number = 0
        self._operations: list[tuple[Callable[[], str | None], int]] = [
            (self.write_new, 6),
            (self.edit_in_place, 4),
            (self.replace_atomically, 4),
            (self.append, 3),
            (self.edit_in_two_steps, 3),
            (self.delete, 3),
            (self.delete_folder, 1),
            (self.rename, 3),
            (self.move, 3),
            (self.change_case, 1),
            (self.make_folder, 2),
            (self.mark_executable, 1),
            (self.copy, 2),
            (self.swap, 2),
        ]

    def act(self) -> None:
        """Do one operation; one that meets a change of the engine in the middle counts, too."""
        operations, weights = zip(*self._operations, strict=True)
        for _ in range(20):
            operation = self.rng.choices(operations, weights)[0]
            try:
                done = operation()
            except (FileNotFoundError, FileExistsError, NotADirectoryError, IsADirectoryError) as error:
                done = f"{operation.__name__}: {error}"
            except OSError as error:
                if error.errno != 39:  # ENOTEMPTY
                    raise
                done = f"{operation.__name__}: {error}"
            if done:
                self.ledger.operations.append(f"{time.time():.3f} {self.name}: {done}")
                return

    def close(self) -> None:
        """End an edit in two steps."""
        if self._open:
            self.edit_in_two_steps()

    # What there is

    def _entries(self, *, folders: bool) -> list[Path]:
        found = []
        for folder, names, files in os.walk(self.root):
            names[:] = sorted(name for name in names if name != PRIVATE_NAME)
            found += [Path(folder, name) for name in (names if folders else sorted(files))]
        return [path for path in found if not is_always_ignored(path.name) and not path.is_symlink()]

    def _pick(self, *, folders: bool = False) -> Path | None:
        entries = self._entries(folders=folders)
        return self.rng.choice(entries) if entries else None

    def _pick_folder(self) -> Path:
        return self.rng.choice([self.root, *self._entries(folders=True)])

    def _choose_name(self, folder: Path, names: tuple[str, ...]) -> Path | None:
        """Return a free place: the server holds one of two names that differ in case only."""
        taken = {normalize_name(path.name) for path in folder.iterdir()}
        free = [name for name in names if normalize_name(name) not in taken]
        return folder / self.rng.choice(free) if free else None

    def _tell(self, path: Path) -> str:
        return repr(str(path.relative_to(self.root)))

    def _read_to_remove(self, path: Path) -> None:
        with _opened(path, os.O_RDONLY) as fd:
            self.ledger.lose(self.name, _read_all(fd))
            self._removed.add(os.fstat(fd).st_ino)

    def _make(self, how: str) -> bytes:
        size_bytes = self.rng.choice((10, 300, 5_000, 200_000))
        content = self.ledger.make(self.name, size_bytes, f"{self.name} {how}")
        self.ledger.see(content)
        return content

    # Operations: each returns what it did, None if there was nothing to do it with

    def write_new(self) -> str | None:
        path = self._choose_name(self._pick_folder(), _FILES)
        if path is None:
            return None
        content = self._make(f"wrote {self._tell(path)}")
        with path.open("xb") as file:
            file.write(content)
        return f"write {self._tell(path)} {content[:20]!r}"

    def edit_in_place(self) -> str | None:
        path = self._pick()
        if path is None:
            return None
        content = self._make(f"edited {self._tell(path)}")
        with _opened(path, os.O_RDWR) as fd:
            self.ledger.lose(self.name, _read_all(fd))
            os.ftruncate(fd, 0)
            os.pwrite(fd, content, 0)
        return f"edit {self._tell(path)} {content[:20]!r}"

    def replace_atomically(self) -> str | None:
        path = self._pick()
        if path is None:
            return None
        content = self._make(f"replaced {self._tell(path)}")
        self._number += 1
        temporary = path.with_name(self.rng.choice((f".goutputstream-{self._number}", f"tmp{self._number}.new")))
        temporary.write_bytes(content)
        self._read_to_remove(path)
        temporary.rename(path)
        return f"replace {self._tell(path)} by {temporary.name} {content[:20]!r}"

    def append(self) -> str | None:
        path = self._pick()
        if path is None:
            return None
        with _opened(path, os.O_RDWR | os.O_APPEND) as fd:
            self._append_to(fd, self._tell(path))
        return f"append to {self._tell(path)}"

    def _append_to(self, fd: int, path: str) -> None:
        before = _read_all(fd)
        added = self.ledger.make(self.name, 50, f"{self.name} appended to {path}")
        self.ledger.see(before + added)
        os.write(fd, added)

    def edit_in_two_steps(self) -> str | None:
        if self._open:
            (fd, path), self._open = self._open, None
            self._append_to(fd, path)
            if os.fstat(fd).st_ino in self._removed:  # by this person; the engine removes nothing
                self.ledger.lose(self.name, _read_all(fd))
            os.close(fd)
            return f"end the edit of {path}"
        found = self._pick()
        if found is None:
            return None
        content = self._make(f"began to edit {self._tell(found)}")
        fd = os.open(found, os.O_RDWR | os.O_APPEND | os.O_NOFOLLOW)
        self.ledger.lose(self.name, _read_all(fd))
        os.ftruncate(fd, 0)
        os.write(fd, content)
        self._open = fd, self._tell(found)
        return f"begin to edit {self._tell(found)} {content[:20]!r}"

    def delete(self) -> str | None:
        path = self._pick()
        if path is None:
            return None
        self._read_to_remove(path)
        path.unlink()
        return f"delete {self._tell(path)}"

    def delete_folder(self) -> str | None:
        top = self._pick(folders=True)
        if top is None:
            return None
        for folder, _, files in os.walk(top, topdown=False):
            for name in files:
                path = Path(folder, name)
                self._read_to_remove(path)
                path.unlink()
            Path(folder).rmdir()
        return f"delete folder {self._tell(top)}"

    def rename(self) -> str | None:
        is_folder = self.rng.random() < 0.3
        path = self._pick(folders=is_folder)
        target = path and self._choose_name(path.parent, _FOLDERS if is_folder else _FILES)
        return self._rename(path, target) if path and target else None

    def _rename(self, path: Path, target: Path) -> str:
        path.rename(target)
        return f"rename {self._tell(path)} to {self._tell(target)}"

    def move(self) -> str | None:
        path = self._pick(folders=self.rng.random() < 0.3)
        folder = self._pick_folder()
        if path is None or folder.is_relative_to(path) or path.parent == folder:
            return None
        target = self._choose_name(folder, (path.name,))
        return self._rename(path, target) if target else None

    def change_case(self) -> str | None:
        path = self._pick(folders=self.rng.random() < 0.3)
        if path is None or path.name.swapcase() == path.name:
            return None
        return self._rename(path, path.with_name(path.name.swapcase()))

    def make_folder(self) -> str | None:
        path = self._choose_name(self._pick_folder(), _FOLDERS)
        if path is None or len(path.relative_to(self.root).parts) > 4:
            return None
        path.mkdir()
        return f"mkdir {self._tell(path)}"

    def mark_executable(self) -> str | None:
        path = self._pick()
        if path is None:
            return None
        path.chmod(path.stat().st_mode ^ 0o111)
        return f"chmod {self._tell(path)}"

    def copy(self) -> str | None:
        path = self._pick()
        target = path and self._choose_name(self._pick_folder(), _FILES)
        if path is None or target is None:
            return None
        content = path.read_bytes()
        self.ledger.see(content)
        with target.open("xb") as file:
            file.write(content)
        return f"copy {self._tell(path)} to {self._tell(target)}"

    def swap(self) -> str | None:
        first, second = self._pick(), self._pick()
        if first is None or second is None or first == second:
            return None
        self._number += 1
        between = first.with_name(f"between{self._number}")
        first.rename(between)
        second.rename(first)
        between.rename(second)
        return f"swap {self._tell(first)} and {self._tell(second)}"


@contextlib.contextmanager
def _opened(path: Path, flags: int) -> Iterator[int]:
    fd = os.open(path, flags | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        yield fd
    finally:
        os.close(fd)


def _read_all(fd: int) -> bytes:
    return os.pread(fd, os.fstat(fd).st_size, 0)
