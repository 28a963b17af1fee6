"""Checks of one root for `dbx sync doctor`.

Nothing is changed: the state is opened read-only, also while an engine runs.
"""

import json
import os
import shutil
import sqlite3
import stat
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from dropbox_client.client import Client
from dropbox_client.errors import ClientError, NotSignedIn
from dropbox_client.models import TreeEntry
from dropbox_client.problems import NotFound
from dropbox_client.sync.apply import INCOMING_PATH
from dropbox_client.sync.config import Registry, RootConfig
from dropbox_client.sync.facts import SPECIAL
from dropbox_client.sync.guard import (
    Host,
    RootFolder,
    RootPaused,
    RootRecord,
    RootRefused,
    check_root,
    find_file_system,
    require_local_disk,
)
from dropbox_client.sync.ignores import PRIVATE_NAME, RULES_NAME, Ignores
from dropbox_client.sync.state_file import ROOT_CHILD, STATE_NAME, read_database
from dropbox_client.sync.status import NotRunning, ask, find_process, read_snapshot
from dropbox_client.sync.trees import SHARED_ID

_MAX_SKEW_S: Final = 60.0
_MIN_FREE_BYTES: Final = 1 << 30
_WATCH_LIMIT: Final = Path("/proc/sys/fs/inotify/max_user_watches")
_SHOWN: Final = 3
_RETRY_FOR_S: Final = 5.0


@dataclass(frozen=True, slots=True)
class Finding:
    """The result of one check."""

    is_ok: bool
    text: str
    remedy: str = ""


def _ok(text: str) -> Finding:
    return Finding(is_ok=True, text=text)


def _bad(text: str, remedy: str) -> Finding:
    return Finding(is_ok=False, text=text, remedy=remedy)


def check_root_state(registry: Registry, config: RootConfig) -> Iterator[Finding]:
    """Check a root: the process, the folder, the state, the server, the system."""
    folder = registry.folder(config.id)
    yield from _check_process(folder, config)
    host = Host.read()
    try:
        require_local_disk(folder, host)
    except RootRefused as error:
        yield _bad(str(error), "set XDG_STATE_HOME to a folder on a local disk, and add the folder again")
    try:
        with read_database(folder / STATE_NAME) as database:
            if database is None:
                yield _bad("there is no state yet", f"run `dbx sync {config.path}`")
            else:
                yield from _check_state(database, config, host)
            yield from _check_server(registry, config, database)
    except ClientError as error:
        yield _bad(
            str(error),
            "it is set aside at the next start; both sides are then united by their content, and nothing is deleted",
        )
    for damaged in sorted(folder.glob(f"{STATE_NAME}.damaged-*")):
        if not damaged.name.endswith(("-wal", "-shm")):
            yield _bad(
                f"{damaged} is a damaged state that was set aside", "remove it when all files are as they should be"
            )
    yield from _check_private_folder(config, folder)
    yield from _check_space(config, folder)


def _check_process(folder: Path, config: RootConfig) -> Iterator[Finding]:
    process = find_process(folder)
    if process is None:
        remedy = f"run `dbx sync {config.path}`, or `dbx sync service install`"
        yield _bad("no process keeps this folder in sync", remedy)
        return
    try:
        snapshot = read_snapshot(ask(folder, "status"))
    except (NotRunning, ClientError) as error:
        yield _bad(f"process {process}: {error}", f"end it, and run `dbx sync {config.path}`")
        return
    if snapshot.phase in {"paused", "stopped", "offline"}:
        remedy = f"dbx sync resume {config.path}" if config.is_paused else "see the reason, and `dbx sync log`"
        yield _bad(f"process {process} is {snapshot.phase}: {snapshot.reason or 'by a person'}", remedy)
    else:
        yield _ok(f"process {process} runs: {snapshot.phase}, {snapshot.pending} changes wait")
    if snapshot.hint_problem:
        yield _bad("the system does not tell of changes", snapshot.hint_problem)
    if snapshot.questions:
        yield _bad(f"{len(snapshot.questions)} questions are open", f"dbx status {config.path}")
    held = [f"{one.path}: {one.reason}" for one in snapshot.held if one.reason != SPECIAL]
    if held:
        yield _bad(f"{len(held)} entries are held: {'; '.join(held[:_SHOWN])}", f"dbx status {config.path}")


# The state, the folder


def _check_state(database: sqlite3.Connection, config: RootConfig, host: Host) -> Iterator[Finding]:
    faults = [row[0] for row in database.execute("PRAGMA quick_check(3)")]
    if faults != ["ok"]:
        yield _bad(
            f"the state is damaged: {'; '.join(faults)}",
            "restart dbx sync: it sets the state aside, and unites both sides by their content",
        )
        return
    yield _ok("the state is sound")
    yield from _check_marker(database, config, host)
    yield from _check_watch_limit(database)
    yield from _check_rows(database, config)
    rules = Ignores((_read_fact(database, "rules") or b"").decode(errors="surrogateescape"))
    if rules.invalid_lines:
        numbers = ", ".join(map(str, rules.invalid_lines))
        yield _bad(f"{RULES_NAME} has lines that are no patterns: {numbers}", "correct them: they have no effect")


def _read_fact(database: sqlite3.Connection, key: str) -> Any:
    row = database.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()
    return row[0] if row else None


def _check_marker(database: sqlite3.Connection, config: RootConfig, host: Host) -> Iterator[Finding]:
    text = _read_fact(database, "record")
    if text is None:
        yield _bad("the folder has not been bound to this state", f"run `dbx sync {config.path}`")
        return
    try:
        with RootFolder(config.path) as folder:
            check_root(folder, RootRecord(**json.loads(text)), host)
    except (RootPaused, RootRefused) as error:
        remedy = "mount its disk, or move the folder back; if this is a new folder: `dbx sync remove`, `dbx sync add`"
        yield _bad(str(error), remedy)
        return
    kind = find_file_system(config.path, host)
    yield _ok(f"{config.path} is the folder that was added{f', on {kind}' * bool(kind)}")


def _check_watch_limit(database: sqlite3.Connection) -> Iterator[Finding]:
    (folders,) = database.execute("SELECT count(*) FROM local WHERE kind = 'folder'").fetchone()
    try:
        limit = int(_WATCH_LIMIT.read_text(encoding="ascii"))
    except (OSError, ValueError):  # not Linux
        return
    if folders > 0.9 * limit:
        yield _bad(
            f"{folders:,} folders need as many watches, and the system allows {limit:,} of this user",
            f"sysctl fs.inotify.max_user_watches={max(1_048_576, 2 * folders)}",
        )
    else:
        yield _ok(f"{folders:,} folders to watch, of {limit:,} that the system allows")


def _check_rows(database: sqlite3.Connection, config: RootConfig) -> Iterator[Finding]:
    """Compare what both sides agreed on with the files on disk."""
    different: list[str] = []
    agreed = 0
    for path, size, fp, base_fp, mtime_ns in _agreed_files(database):
        agreed += 1
        try:
            found = os.lstat(os.path.join(os.fsencode(config.path), path))  # noqa: PTH118 - bytes
        except OSError as error:
            different.append(f"{os.fsdecode(path)}: {error.strerror}")
            continue
        if not stat.S_ISREG(found.st_mode) or found.st_size != size or found.st_mtime_ns != mtime_ns or fp != base_fp:
            different.append(f"{os.fsdecode(path)}: changed")
    if different:
        yield _bad(
            f"{len(different)} of {agreed:,} files differ from what was agreed: {'; '.join(different[:_SHOWN])}",
            "changes that wait to be sent; if they stay although `dbx status` says up to date, restart dbx sync",
        )
    else:
        yield _ok(f"{agreed:,} files are as both sides agreed")


def _agreed_files(database: sqlite3.Connection) -> Iterator[tuple[bytes, int, bytes, bytes, int]]:
    """Yield path, size, hash on disk, agreed hash and time of the files that the last scan found where they were."""
    folders: dict[int, bytes] = {ROOT_CHILD: b""}
    waiting = [ROOT_CHILD]
    while waiting:
        above = waiting.pop()
        rows = database.execute(
            "SELECT local.name, local.kind, local.child, local.size, local.fp, local.mtime_ns, base.fp, base.id"
            " FROM local LEFT JOIN base USING (id) WHERE dir = ?",
            (above,),
        )
        for name, kind, child, size, fp, mtime_ns, base_fp, base_id in rows.fetchall():
            path = folders[above] + name
            if kind == "folder" and child is not None:
                folders[child] = path + b"/"
                waiting.append(child)
            elif kind == "file" and base_id is not None:
                yield path, size, fp, base_fp, mtime_ns


# The server


def _check_server(registry: Registry, config: RootConfig, database: sqlite3.Connection | None) -> Iterator[Finding]:
    tokens = registry.tokens(config.id)
    renew = f"dbx sync add {config.path}"
    if tokens.load() is None:
        yield _bad("this device has no token", renew)
        return
    with Client(config.server, tokens, retry_for_s=_RETRY_FOR_S) as client:
        try:
            capabilities = client.uploads.get_capabilities()
            now = datetime.now(UTC)
            yield _ok(f"{config.server} answers")
            skew_s = abs((capabilities.server_time - now).total_seconds())
            if skew_s > _MAX_SKEW_S:
                yield _bad(
                    f"the clocks of this computer and of the server differ by {skew_s:.0f} s",
                    "set the clock, best by NTP: times of files and signed addresses depend on it",
                )
            else:
                yield _ok("the clocks agree")
            known = _read_fact(database, "instance") if database else None
            if known not in {None, capabilities.instance_id}:
                yield _bad(
                    "another server answers at this address than before",
                    "correct the address, or `dbx sync remove` and `dbx sync add` for the new server",
                )
                return
            account = client.account.get()
            yield _ok(f"the token is valid, for {account.email}")
            if account.quota_bytes and account.used_bytes > 0.99 * account.quota_bytes:
                yield _bad("the quota of the account is used up", "delete files or old versions, or ask for more")
            if database is not None:
                yield from _check_remote(client, database)
        except NotSignedIn as error:
            yield _bad(str(error), f"{renew} makes a new token, and keeps the state")
        except ClientError as error:
            yield _bad(f"{config.server}: {error}", "see whether the server runs, and the connection")


def _check_remote(client: Client, database: sqlite3.Connection) -> Iterator[Finding]:
    """Compare the recorded tree of the server with its list."""
    root_id = _read_fact(database, "root_id")
    if root_id is None:
        return
    shares = [row[0] for row in database.execute("SELECT root FROM mounts WHERE is_active")]
    rows = database.execute("SELECT id, parent, name, fp FROM remote")
    recorded = {row[0]: row[1:] for row in rows if row[0] not in {root_id, SHARED_ID, *shares}}
    counts: Counter[str] = Counter()
    seen: set[str] = set()
    try:
        for entry in _list_tree(client, (root_id, *shares)):
            if entry.id in seen or entry.id in shares:  # a share inside of another one
                continue
            seen.add(entry.id)
            row = recorded.pop(entry.id, None)
            fp = bytes.fromhex(entry.fingerprint) if entry.fingerprint else None
            is_equal = row == (entry.parent_id, entry.name, fp)
            counts["equal" if is_equal else "different" if row else "missing here"] += 1
    except NotFound:
        yield _bad("a folder is gone from the server", "restore it from the trash, or `dbx sync remove`")
        return
    counts["gone there"] = len(recorded)
    differences = ", ".join(f"{count} {word}" for word, count in counts.items() if count and word != "equal")
    if differences:
        yield _bad(
            f"the tree of the server differs from the recorded one: {differences}",
            "changes that are being read; if they stay although `dbx status` says up to date, restart dbx sync",
        )
    else:
        yield _ok(f"{counts['equal']:,} files and folders are recorded as the server has them")


def _list_tree(client: Client, roots: Iterable[str]) -> Iterator[TreeEntry]:
    for root in roots:
        folder = client.files.get(root)
        if folder.kind == "folder":
            yield from client.files.tree(folder)


# The disk


def _check_private_folder(config: RootConfig, folder: Path) -> Iterator[Finding]:
    private = config.path / PRIVATE_NAME
    if find_process(folder) is not None or not private.is_dir():
        return
    incoming = config.path / os.fsdecode(INCOMING_PATH)
    known = {"marker", "trash", incoming.name}
    left = sorted(path.name for path in private.iterdir() if path.name not in known)
    left += sorted(path.name for path in incoming.iterdir()) if incoming.is_dir() else []
    if left:
        yield _bad(
            f"{private} has files of an interrupted run: {', '.join(left[:_SHOWN])}",
            f"they are finished or removed at the next start: `dbx sync {config.path}`",
        )


def _check_space(config: RootConfig, folder: Path) -> Iterator[Finding]:
    for path, what in ((config.path, "files"), (folder, "the state")):
        try:
            usage = shutil.disk_usage(path)
        except OSError as error:
            yield _bad(f"{path}: {error.strerror}", "see whether its disk is mounted")
            continue
        free = f"{usage.free / (1 << 30):.1f} GiB are free for {what}"
        if usage.free < min(_MIN_FREE_BYTES, usage.total // 10):
            yield _bad(free, "make room: downloads wait until there is some")
        else:
            yield _ok(free)
