"""What a disk, a person or a server does to a sync engine that is no change of a file: it must lose nothing.

The tests are named after the rules of the client (`docs/sync.md`, ADR 0036). They mostly wait until files are quiet, so
they run beside each other.
"""

import asyncio
import contextlib
import ctypes
import functools
import hashlib
import io
import os
import shutil
import signal
import socket
import sqlite3
import subprocess
import tempfile
import threading
import unicodedata
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import pytest
from sqlalchemy import text

from dropbox_api.plumbing.epoch import start_epoch
from dropbox_api.storage.s3 import S3Config
from dropbox_api.workers.relay import relay_changes
from dropbox_client import Client
from dropbox_client.errors import NotSignedIn
from dropbox_client.sync.engine import Engine
from dropbox_client.sync.guard import RootPaused, RootRefused
from dropbox_client.sync.names import is_conflict_name
from dropbox_client.sync.remote import ServerReplaced
from dropbox_client.sync.snapshot import Snapshot
from dropbox_client.sync.state import State
from tests.support.programs import require_program
from tests.support.sdk import blocking_client
from tests.support.server import Account, RunningServer, register_account, run_until_idle, separate_server, upload_file
from tests.support.sharing import grant, make_folder, verify
from tests.support.sync_daemons import (
    daemon,
    is_up_to_date,
    make_config,
    make_token,
    read_folder,
    read_server,
    running,
)
from tests.support.sync_device import Device

T = TypeVar("T")
AT_ONCE = 6
OTHER_USER = 65_534
QUEUE_LENGTH = int(Path("/proc/sys/fs/inotify/max_queued_events").read_text())


@dataclass
class Scene:
    """An account with a folder for its devices."""

    server: RunningServer
    account: Account
    home: Path
    client: Client
    postgres_url: str
    s3_config: S3Config

    def device(self, name: str = "laptop", **members: Any) -> Device:
        device = Device(self.server, self.account, self.home / name, **members)
        device.root.mkdir(parents=True, exist_ok=True)
        return device

    async def there(self) -> dict[str, str]:
        return await read_server(self.account)

    async def ask(self, function: Callable[..., T], *arguments: Any) -> T:
        return await asyncio.to_thread(function, *arguments)

    async def put(self, path: str, content: str | bytes) -> None:
        """Upload a content over what the server has there."""
        data = content.encode() if isinstance(content, str) else content
        await asyncio.to_thread(self.client.upload, data, path, on_conflict="replace")


Scenario = Callable[[Scene], Awaitable[None]]
SCENARIOS: dict[str, Scenario] = {}


def beside_others(scenario: Scenario) -> Callable[[dict[str, asyncio.Task[None]]], Awaitable[None]]:
    """Make a test of a scenario that runs beside the others."""
    name = scenario.__name__
    SCENARIOS[name] = scenario

    async def test(started: dict[str, asyncio.Task[None]]) -> None:
        await started[name]

    test.__name__, test.__doc__ = name, scenario.__doc__
    return test


@pytest.fixture(scope="module")
async def started(
    request: pytest.FixtureRequest,
    server: RunningServer,
    postgres_url: str,
    s3_config: S3Config,
    tmp_path_factory: pytest.TempPathFactory,
) -> AsyncIterator[dict[str, asyncio.Task[None]]]:
    """Start the chosen scenarios."""
    gate = asyncio.Semaphore(AT_ONCE)

    async def run(scenario: Scenario, home: Path) -> None:
        async with gate:
            account = await register_account(server.url)
            async with account.client:
                with blocking_client(server, account) as client:
                    await scenario(Scene(server, account, home, client, postgres_url, s3_config))

    chosen = [item.name for item in request.session.items if item.path == request.path]
    tasks = {
        name: asyncio.create_task(run(scenario, tmp_path_factory.mktemp("scene")))
        for name, scenario in SCENARIOS.items()
        if name in chosen
    }
    yield tasks
    for task in tasks.values():
        task.cancel()
    await asyncio.gather(*tasks.values(), return_exceptions=True)


def write(root: Path, **contents: str) -> None:
    """Write files; `__` in a name stands for a slash."""
    for name, content in contents.items():
        path = root / name.replace("__", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)


def texts(device: Device) -> dict[str, str]:
    """Return the contents of the files of a device."""
    return {path: content.decode() for path, content in device.read().items() if content is not None}


async def run_command(*command: str | Path) -> str:
    """Run a command that has to succeed; return what it printed."""
    done = await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done
    return str(done.stdout)


@contextlib.contextmanager
def mounted(folder: Path, size: str) -> Iterator[None]:
    """Mount a small file system at a folder; skip the test where that is not allowed."""
    folder.mkdir(parents=True, exist_ok=True)
    command = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)]
    if subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("this process may not mount")
    try:
        yield
    finally:
        while subprocess.run(["umount", "-l", str(folder)], capture_output=True, check=False).returncode == 0:
            pass


# Rule 1: a root that is gone is no deletion


@beside_others
async def test_rule_1_root_emptied_under_the_engine_pauses_and_deletes_nothing(scene: Scene) -> None:
    device = scene.device()
    write(device.root, a="a", folder__b="b")
    await device.sync()
    before = await scene.there()
    assert len(before) == 3
    async with running(device.make_engine()) as laptop:
        await laptop.until(is_up_to_date)
        for path in list(device.root.iterdir()):
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        await laptop.until(lambda snapshot: snapshot.phase == "paused")
    with pytest.raises(RootPaused):
        await device.sync()
    assert await scene.there() == before


@beside_others
async def test_rule_1_root_replaced_by_another_folder_or_a_copy_pauses_until_it_is_back(scene: Scene) -> None:
    device = scene.device()
    write(device.root, a="a", b="b")
    await device.sync()
    before = await scene.there()
    away = device.home / "away"
    device.root.rename(away)
    device.root.mkdir()
    write(device.root, c="another disk")
    with pytest.raises(RootPaused):
        await device.sync()
    shutil.rmtree(device.root)
    await run_command("cp", "-a", away, device.root)
    (device.root / "a").unlink()
    with pytest.raises(RootPaused):
        await device.sync()
    assert await scene.there() == before
    shutil.rmtree(device.root)
    away.rename(device.root)
    (device.root / "a").unlink()
    assert is_up_to_date(await device.sync())
    assert set(await scene.there()) == {"b"}


@beside_others
async def test_rule_1_root_unmounted_under_the_engine_pauses_and_deletes_nothing(scene: Scene) -> None:
    device = scene.device()
    with mounted(device.root, "200m"):
        write(device.root, a="a", folder__b="b")
        await device.sync()
        before = await scene.there()
        async with running(device.make_engine()) as laptop:
            await laptop.until(is_up_to_date)
            await run_command("umount", "-l", device.root)
            await scene.put("/new", "new")
            laptop.engine.look()
            await laptop.until(lambda snapshot: snapshot.phase == "paused")
        with pytest.raises(RootPaused):
            await device.sync()
    assert list(device.root.iterdir()) == []
    after = await scene.there()
    assert after.items() > before.items()


# Rule 2: many deletes are asked about


@beside_others
async def test_rule_2_mass_delete_waits_for_an_answer_and_does_what_it_says(scene: Scene) -> None:
    device = scene.device()
    write(device.root, kept="kept", **{f"folder__{n}": f"{n}" for n in range(30)})
    await device.sync()
    before = await scene.there()
    async with running(device.make_engine()) as laptop:
        await laptop.until(is_up_to_date)
        shutil.rmtree(device.root / "folder")
        write(device.root, other="other")
        asked = await laptop.until(lambda snapshot: bool(snapshot.questions) and "other" in known(device))
        (question,) = asked.questions
        assert (question.kind, question.count) == ("local-deletes", 30)
        assert (await scene.there()).items() > before.items()
        assert await scene.ask(laptop.engine.answer, "rejected") > 0
        await laptop.until(lambda snapshot: is_up_to_date(snapshot) and len(device.read()) == 33)
        assert read_folder(device.root) == await scene.there()
        shutil.rmtree(device.root / "folder")
        await laptop.until(lambda snapshot: bool(snapshot.questions))
        assert (await scene.there()).items() > before.items()
        await scene.ask(laptop.engine.answer, "confirmed")
        await laptop.until(lambda snapshot: is_up_to_date(snapshot) and not snapshot.questions)
    assert set(await scene.there()) == {"kept", "other"}
    assert [file.name for file in await scene.ask(lambda: list(scene.client.trash.list()))] == ["folder"]


def known(device: Device) -> set[str]:
    """Return the names on which both sides agreed."""
    with contextlib.closing(sqlite3.connect(device.home / "state/state.db", timeout=30)) as database:
        return {name for (name,) in database.execute("SELECT name FROM base")}


@beside_others
async def test_rule_2_remote_mass_delete_waits_for_an_answer(scene: Scene) -> None:
    device = scene.device()
    write(device.root, **{f"folder__{n}": f"{n}" for n in range(30)})
    await device.sync()
    await scene.ask(scene.client.files.move_to_trash, "/folder")
    asked = await device.sync()
    assert [(one.kind, one.count) for one in asked.questions] == [("remote-deletes", 30)]
    assert len(texts(device)) == 30
    engine = device.make_engine()
    assert await scene.ask(engine.answer, "confirmed") > 0
    engine.stop()
    assert is_up_to_date(await device.sync())
    assert device.read() == {}
    trashed = [path for path in (device.root / ".dbx/trash").rglob("*") if path.is_file() and path.name != "from"]
    assert len(trashed) == 30


# Rule 3: a restored server


@beside_others
async def test_rule_3_restored_server_unites_both_sides_and_overwrites_nothing(scene: Scene) -> None:
    async with separate_server(scene.postgres_url, scene.s3_config) as server:
        account = await register_account(server.url)
        async with account.client:
            with blocking_client(server, account) as client:
                await unite_after_restore(replace(scene, server=server, account=account, client=client))


async def unite_after_restore(scene: Scene) -> None:
    device = scene.device()
    write(device.root, same="same", newer="2", folder__made_after="3", deleted_after="4")
    await device.sync()
    # What the backup has: an older version, no file that was made after it, and one that was deleted after it.
    await scene.put("/newer", "1")
    for path in ("/folder/made_after",):
        file = await scene.ask(scene.client.files.get, path)
        await scene.ask(scene.client.files.move_to_trash, path)
        await scene.ask(scene.client.trash.purge, file.id)
    (device.root / "deleted_after").unlink()
    await start_epoch(scene.server.db)
    assert is_up_to_date(await device.sync())
    found = texts(device)
    copies = {path: content for path, content in found.items() if is_conflict_name(path)}
    rest = found.items() - copies.items()
    assert dict(rest) == {"same": "same", "newer": "1", "folder/made_after": "3", "deleted_after": "4"}
    assert list(copies.values()) == ["2"]
    assert read_folder(device.root) == await scene.there()


@beside_others
async def test_rule_3_server_of_another_installation_pauses(scene: Scene) -> None:
    device = scene.device()
    write(device.root, a="a", b="b")
    await device.sync()
    async with separate_server(scene.postgres_url, scene.s3_config) as server:
        account = await register_account(server.url)
        async with account.client:
            with pytest.raises(ServerReplaced):
                await replace(device, server=server, account=account).sync()
            assert await read_server(account) == {}
    assert texts(device) == {"a": "a", "b": "b"}


# Rule 4: long offline


@beside_others
async def test_rule_4_file_deleted_for_good_while_offline_goes_to_the_local_trash(scene: Scene) -> None:
    one, two = scene.device("one"), scene.device("two")
    write(one.root, gone="gone", edited="edited", kept="kept")
    await one.sync()
    await two.sync()
    for path in ("/gone", "/edited"):
        file = await scene.ask(scene.client.files.get, path)
        await scene.ask(scene.client.files.move_to_trash, path)
        await scene.ask(scene.client.trash.purge, file.id)
    write(two.root, edited="edited offline")
    await two.sync()
    assert texts(two) == {"kept": "kept", "edited": "edited offline"}
    assert read_folder(two.root) == await scene.there()
    assert "gone" in {path.read_text() for path in (two.root / ".dbx/trash").rglob("content/*")}


# Rule 5, rule 14: names


@beside_others
async def test_rule_5_and_14_hostile_names_stop_nothing_and_are_listed(scene: Scene) -> None:
    one, two = scene.device("one"), scene.device("two")
    nfc, nfd = (unicodedata.normalize(form, "caf\u00e9") for form in ("NFC", "NFD"))
    good = ["plain", "x" * 255, "ends with dots...", " spaces ", "-rf", "a\\b", "\u200b", "CON", "é" * 127, nfc, nfd]
    twins = ["Case", "case", "CASE"]
    bad = [b"line\nbreak", b"\x7f", b"invalid \xff\xfe", b"tab\t"]
    names = {*map(str.encode, (*good, *twins)), *bad}
    for name in names:
        (one.root / os.fsdecode(name)).write_bytes(name)
    snapshot = await one.sync()
    assert {os.fsencode(path.name) for path in one.root.iterdir()} == names | {b".dbx"}, "the disk keeps its names"
    assert len(snapshot.held) == len(bad)
    assert all(item.reason for item in snapshot.held)
    assert len(await scene.there()) == len(good) + len(twins)
    await two.sync()
    assert read_folder(two.root) == await scene.there()
    assert sorted(path.read_bytes() for path in two.root.iterdir() if path.is_file()) == sorted(
        str(name).encode() for name in (*good, *twins)
    )


@beside_others
async def test_rule_5_case_only_renames_of_files_and_folders_arrive(scene: Scene) -> None:
    one, two = scene.device("one"), scene.device("two")
    write(one.root, readme="1", folder__inner="2")
    await one.sync()
    await two.sync()
    ids = {file.id for file in await scene.ask(lambda: list(scene.client.files.list("/", recursive=True)))}
    (one.root / "readme").rename(one.root / "README")
    (one.root / "folder").rename(one.root / "Folder")
    await one.sync()
    await two.sync()
    assert texts(two) == {"README": "1", "Folder/inner": "2"}
    assert {file.id for file in await scene.ask(lambda: list(scene.client.files.list("/", recursive=True)))} == ids


@beside_others
async def test_rule_5_new_file_whose_name_differs_in_case_from_a_remote_one_is_kept(scene: Scene) -> None:
    device = scene.device()
    write(device.root, **{"x (1).txt": "here"})
    await scene.put("/X (1).TXT", "there")
    assert is_up_to_date(await device.sync())
    assert sorted(texts(device).values()) == ["here", "there"]
    assert sorted((await scene.ask(read_all, scene.client)).values()) == ["here", "there"]


# Rule 6: editors


@beside_others
async def test_rule_6_save_patterns_of_editors_edit_one_file(scene: Scene) -> None:
    device, other = scene.device("one"), scene.device("two")
    names = ("vim", "gedit", "document.odt", "emacs")
    write(device.root, **dict.fromkeys(names, "1"))
    await device.sync()
    ids = {file.name: file.id for file in await scene.ask(lambda: list(scene.client.files.list()))}
    async with running(device.make_engine()) as laptop:
        await laptop.until(is_up_to_date)
        root = device.root
        (root / "4913").write_text("")  # vim tests the folder
        (root / "4913").unlink()
        (root / "vim").rename(root / "vim~")
        write(root, vim="2")
        (root / "vim~").unlink()
        write(root, **{".goutputstream-A1B2C3": "2"})
        (root / ".goutputstream-A1B2C3").rename(root / "gedit")
        write(root, **{".~lock.document.odt#": "me", "lu4711ab.tmp": "2"})
        (root / "lu4711ab.tmp").rename(root / "document.odt")
        write(root, **{"#emacs#": "2", "emacs~": "1"})
        (root / "emacs").write_text("2")
        (root / "#emacs#").unlink()
        await laptop.until(lambda snapshot: is_up_to_date(snapshot) and scene_has(device, dict.fromkeys(names, "2")))
        # Another device edits the document that is open here: it waits.
        await scene.put("/document.odt", "3")
        await laptop.until(lambda snapshot: any("document.odt" in item.path for item in snapshot.items))
        assert (root / "document.odt").read_text() == "2"
        (root / ".~lock.document.odt#").unlink()
        await laptop.until(lambda snapshot: is_up_to_date(snapshot) and (root / "document.odt").read_text() == "3")
    assert {file.name: file.id for file in await scene.ask(lambda: list(scene.client.files.list()))} == ids
    assert await scene.ask(lambda: list(scene.client.trash.list())) == []
    await other.sync()
    assert texts(other) == dict.fromkeys(names, "2") | {"document.odt": "3"}


def scene_has(device: Device, contents: dict[str, str]) -> bool:
    """Return whether both sides agreed on these contents of files in the root."""
    with contextlib.closing(sqlite3.connect(device.home / "state/state.db", timeout=30)) as database:
        found = dict(database.execute("SELECT name, hex(fp) FROM base WHERE kind = 'file'"))
    wanted = {name: hashlib.sha256(content.encode()).hexdigest() for name, content in contents.items()}
    return wanted.items() <= {name: fp.lower() for name, fp in found.items()}.items()


# Rule 7: files that are written


@beside_others
async def test_rule_7_database_and_repository_written_meanwhile_arrive_whole(scene: Scene) -> None:
    git = require_program("git")
    one, two = scene.device("one"), scene.device("two")
    repository = one.root / "repository"

    def work() -> None:
        subprocess.run([git, "init", "-q", "-b", "main", repository], check=True)
        with contextlib.closing(sqlite3.connect(one.root / "data.sqlite")) as database:
            database.execute("PRAGMA journal_mode = WAL")
            database.execute("CREATE TABLE rows (n INTEGER)")
            for n in range(40):
                database.executemany("INSERT INTO rows VALUES (?)", [(n,)] * 200)
                database.commit()
                if n % 8 == 0:
                    (repository / f"file{n}").write_text(f"{n}")
                    author = ("-c", "user.name=A", "-c", "user.email=a@example.org", "-c", "gc.auto=0")
                    subprocess.run([git, "-C", repository, "add", "-A"], check=True)
                    subprocess.run([git, "-C", repository, *author, "commit", "-qm", f"{n}"], check=True)
                threading.Event().wait(0.1)  # so that the engine sees states in between

    async with running(one.make_engine()) as first, running(two.make_engine()) as second:
        await scene.ask(work)
        await first.until(lambda snapshot: is_up_to_date(snapshot) and read_folder(one.root) == read_folder(two.root))
        await second.until(is_up_to_date)
    with contextlib.closing(sqlite3.connect(two.root / "data.sqlite")) as database:
        assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        assert database.execute("SELECT count(*) FROM rows").fetchone() == (8_000,)
    await run_command(git, "-C", two.root / "repository", "fsck", "--strict")
    listed = await run_command(git, "-C", two.root / "repository", "log", "--oneline")
    assert len(listed.splitlines()) == 5
    assert not [path for path in two.root.rglob("*") if is_conflict_name(path.name)]


@beside_others
async def test_rule_7_late_write_of_a_program_to_a_replaced_file_is_kept_in_the_local_trash(scene: Scene) -> None:
    device = scene.device()
    write(device.root, log="1", closed="1")
    await device.sync()
    fd = os.open(device.root / "log", os.O_WRONLY | os.O_APPEND)
    try:
        await scene.put("/log", "2")
        await scene.put("/closed", "2")
        await device.sync()
        assert texts(device) == {"log": "2", "closed": "2"}
        os.write(fd, b" and a late line")
    finally:
        os.close(fd)
    trash = device.root / ".dbx/trash"
    assert [path.read_text() for path in trash.rglob("content/*")] == ["1 and a late line"]
    assert list((device.root / ".dbx/incoming").iterdir()) == []


@beside_others
async def test_rule_7_file_that_is_always_written_holds_up_no_other(scene: Scene) -> None:
    device = scene.device()
    write(device.root, busy="0", quiet="1")
    is_over = threading.Event()

    def keep_writing() -> None:
        while not is_over.wait(0.05):
            with (device.root / "busy").open("a") as file:
                file.write("x")

    writing = threading.Thread(target=keep_writing)
    writing.start()
    try:
        async with running(device.make_engine()) as laptop:
            await laptop.until(lambda now: now.phase != "starting" and "quiet" in known(device))
            await scene.put("/remote", "3")
            (device.root / "quiet").rename(device.root / "moved")
            await laptop.until(lambda _: {"moved", "remote"} <= known(device))
            assert "busy" not in await scene.there()
            is_over.set()
            await laptop.until(lambda snapshot: is_up_to_date(snapshot) and "busy" in known(device))
    finally:
        is_over.set()
        writing.join()
    assert read_folder(device.root) == await scene.there()


# Rule 8: unchanged times


@beside_others
async def test_rule_8_edit_that_keeps_size_and_mtime_is_sent(scene: Scene) -> None:
    device = scene.device()
    write(device.root, same="one")
    await device.sync()
    before = (device.root / "same").stat()
    write(device.root, same="two")
    os.utime(device.root / "same", ns=(before.st_atime_ns, before.st_mtime_ns))
    assert is_up_to_date(await device.sync())
    assert read_folder(device.root) == await scene.there()


# Rule 9: renames


@beside_others
async def test_rule_9_folders_renamed_to_one_name_on_two_devices_are_not_merged(scene: Scene) -> None:
    one, two = scene.device("one"), scene.device("two")
    write(one.root, a__x="ax", b__x="bx")
    await one.sync()
    await two.sync()
    (one.root / "a").rename(one.root / "same")
    (two.root / "b").rename(two.root / "same")
    await one.sync()
    await two.sync()
    await one.sync()
    there = await scene.there()
    assert sorted(path.count("/") for path in there) == [0, 0, 1, 1]
    assert sorted(texts(one).values()) == sorted(texts(two).values()) == ["ax", "bx"]
    assert read_folder(one.root, one.home / "state") == read_folder(two.root, two.home / "state") == there


# Rule 11: ignore rules


@beside_others
async def test_rule_11_new_ignore_rules_delete_nothing_on_the_server(scene: Scene) -> None:
    one, two = scene.device("one"), scene.device("two")
    write(one.root, build__out="out", kept="kept")
    await one.sync()
    await two.sync()
    write(one.root, **{".dbxignore": "build/\n"})
    await one.sync()
    shutil.rmtree(one.root / "build")
    write(one.root, build__new="new")
    await one.sync()
    await two.sync()
    assert set(await scene.there()) == {".dbxignore", "build", "build/out", "kept"}
    assert set(texts(one)) == {".dbxignore", "build/new", "kept"}


# Rule 12: links


@beside_others
async def test_rule_12_links_are_shown_and_never_followed(scene: Scene) -> None:
    device = scene.device()
    outside = device.home / "outside"
    write(outside, secret="secret")
    write(device.root, folder__inner="1", linked="1")
    await device.sync()
    shutil.rmtree(device.root / "folder")
    (device.root / "linked").unlink()
    (device.root / "folder").symlink_to(outside)
    (device.root / "linked").symlink_to(outside / "secret")
    (device.root / "dangling").symlink_to("nowhere")
    await scene.put("/folder/added", "added")
    await scene.put("/linked", "edited")
    snapshot = await device.sync()
    assert {path.name: path.read_text() for path in outside.iterdir()} == {"secret": "secret"}
    assert (device.root / "folder").is_symlink()
    assert (device.root / "linked").is_symlink()
    assert "dangling" in {item.path for item in snapshot.held}
    assert "secret" not in str(await scene.there())


@beside_others
async def test_rule_12_link_swapped_in_for_a_folder_is_never_written_through(scene: Scene) -> None:
    """A link takes the place of a folder again and again while files are downloaded into the folder."""
    device = scene.device()
    outside = device.home / "outside"
    outside.mkdir()
    write(device.root, folder__inner="1")
    await device.sync()
    link = device.home / "link"
    link.symlink_to(outside)
    exchange = functools.partial(ctypes.CDLL(None, use_errno=True).renameat2, -100, os.fsencode(link), -100)
    is_over = threading.Event()

    def swap() -> None:
        while not is_over.wait(0.001):
            assert exchange(os.fsencode(device.root / "folder"), 2) == 0

    swapping = threading.Thread(target=swap)
    async with running(device.make_engine()) as laptop:
        await laptop.until(is_up_to_date)
        swapping.start()
        try:
            for n in range(15):
                await scene.put(f"/folder/{n}", f"{n}")
            await scene.put("/folder/inner", "2")
            await asyncio.sleep(3)  # the swaps hit some of the downloads, each time others
        finally:
            is_over.set()
            swapping.join()
        if (device.root / "folder").is_symlink():
            exchange(os.fsencode(device.root / "folder"), 2)
        laptop.engine.look()
        await laptop.until(lambda snapshot: is_up_to_date(snapshot) and len(texts(device)) == 16, 120)
    assert list(outside.iterdir()) == []
    assert texts(device)["folder/inner"] == "2"
    assert read_folder(device.root) == await scene.there()


@beside_others
async def test_rule_12_hard_links_are_separate_files(scene: Scene) -> None:
    device = scene.device()
    write(device.root, first="1")
    (device.root / "second").hardlink_to(device.root / "first")
    outside = device.home / "outside"
    outside.hardlink_to(device.root / "first")
    await device.sync()
    await scene.put("/first", "2")
    await device.sync()
    assert texts(device) == {"first": "2", "second": "1"}
    assert outside.read_text() == "1"
    with (device.root / "second").open("a") as file:
        file.write("+")
    await device.sync()
    assert texts(device) == {"first": "2", "second": "1+"}
    assert read_folder(device.root) == await scene.there()


@beside_others
async def test_rule_12_pipes_and_sockets_are_shown_and_never_opened(scene: Scene) -> None:
    device = scene.device()
    write(device.root, plain="1", edited="1")
    await device.sync()
    (device.root / "edited").unlink()
    for name in ("pipe", "edited"):
        os.mkfifo(device.root / name)
    with listening(device.root / "socket"):
        await scene.put("/edited", "2")
        snapshot = await device.sync()
    assert {"pipe", "socket"} <= {item.path for item in snapshot.held}
    assert (device.root / "edited").is_fifo()
    assert {path for path, kind in (await scene.there()).items() if kind} >= {"plain"}
    assert "2" in (await scene.ask(read_all, scene.client)).values()


@contextlib.contextmanager
def listening(path: Path) -> Iterator[None]:
    """Make a socket at a path, which may be longer than an address."""
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        with contextlib.closing(socket.socket(socket.AF_UNIX)) as listener:
            listener.bind(f"/proc/self/fd/{folder}/{path.name}")
            yield
    finally:
        os.close(folder)


def read_all(client: Client) -> dict[str, str]:
    """Return the contents of all files on the server."""
    found = {}
    for file in client.files.list("/", recursive=True):
        if file.kind == "file":
            content = io.BytesIO()
            client.download(file, content)
            found[file.path] = content.getvalue().decode()
    return found


@beside_others
async def test_file_and_folder_that_take_each_others_name_lose_no_edit(scene: Scene) -> None:
    one, two = scene.device("one"), scene.device("two")
    write(one.root, first="1", second__inner="2", third="3", fourth__inner="4")
    await one.sync()
    await two.sync()
    for name in ("first", "third"):
        (one.root / name).unlink()
        write(one.root, **{f"{name}__within": f"within {name}"})
    for name in ("second", "fourth"):
        shutil.rmtree(one.root / name)
        write(one.root, **{name: f"now {name}"})
    write(two.root, third="3 edited", fourth__inner="4 edited", fourth__added="5")
    for _ in range(3):
        await one.sync()
        await two.sync()
    await one.sync()
    assert read_folder(one.root) == read_folder(two.root) == await scene.there()
    kept = set(texts(one).values())
    assert kept >= {"within first", "now second", "within third", "now fourth", "3 edited", "4 edited", "5"}


# Rule 13: the state


@beside_others
async def test_rule_13_second_engine_nested_root_and_foreign_state_are_refused(scene: Scene) -> None:
    device = scene.device()
    write(device.root, a="a", inner__b="b")
    await device.sync()
    before = await scene.there()

    def run(path: Path, state: Path, *others: Path) -> Snapshot:
        with blocking_client(scene.server, scene.account) as client:
            return Engine(make_config(path, scene.server.url, "other"), state, client, others=others).run_once()

    async with running(device.make_engine()) as laptop:
        await laptop.until(is_up_to_date)
        for path, state, others in (
            (device.root, device.home / "state", ()),
            (device.root, device.home / "second", ()),
            (device.root / "inner", device.home / "third", ()),
            (device.home, device.home.parent / "fourth", (device.root,)),
        ):
            with pytest.raises(RootRefused):
                await scene.ask(run, path, state, *others)
        assert laptop.error is None
    with State(device.home / "state/state.db") as opened:
        record = opened.record
        assert record is not None
        opened.record = replace(record, machine="another machine")
    (device.root / "a").unlink()
    with pytest.raises(RootRefused):
        await device.sync()
    assert await scene.there() == before


@beside_others
async def test_rule_13_damaged_state_is_set_aside_and_deletes_nothing(scene: Scene) -> None:
    device = scene.device()
    write(device.root, a="a", b="b", c="c")
    await device.sync()
    before = await scene.there()
    (device.root / "a").unlink()
    write(device.root, b="edited")
    database = device.home / "state/state.db"
    database.write_bytes(b"x" * 5_000)
    for name in ("state.db-wal", "state.db-shm"):
        database.with_name(name).unlink(missing_ok=True)
    assert is_up_to_date(await device.sync())
    found = texts(device)
    assert {path: text for path, text in found.items() if not is_conflict_name(path)} == {"a": "a", "b": "b", "c": "c"}
    assert [text for path, text in found.items() if is_conflict_name(path)] == ["edited"]
    assert (await scene.there()).items() > before.items()
    assert list(database.parent.glob("state.db.damaged-*"))


# Rule 14: one bad entry stops nothing


@beside_others
async def test_rule_14_full_disk_stops_only_what_has_no_space(scene: Scene) -> None:
    device = scene.device()
    with mounted(device.root, "80m"):
        await scene.put("/large", os.urandom(30 << 20))
        await scene.put("/small", "small")
        write(device.root, local="local")
        snapshot = await device.sync()
        assert texts(device) == {"local": "local", "small": "small"}
        assert set(await scene.there()) == {"large", "local", "small"}
        (waiting,) = (item for item in (*snapshot.items, *snapshot.held) if item.path == "large")
        assert "space" in waiting.reason
        await run_command("mount", "-o", "remount,size=300m", device.root)
        assert is_up_to_date(await device.sync())
        assert read_folder(device.root) == await scene.there()


@beside_others
async def test_rule_14_unreadable_file_and_folder_are_listed_and_not_deleted(scene: Scene) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can become another user")
    home = Path(tempfile.mkdtemp(prefix="dropbox-api-tests-"))
    try:
        await check_unreadable(scene, home)
    finally:
        shutil.rmtree(home)


def give_away(home: Path) -> None:
    """Make another user the owner of a folder and of all below it."""
    os.chown(home, OTHER_USER, OTHER_USER)
    for folder, folders, files in os.walk(home):
        for name in (*folders, *files):
            os.chown(Path(folder, name), OTHER_USER, OTHER_USER)


async def check_unreadable(scene: Scene, home: Path) -> None:
    device = Device(scene.server, scene.account, home / "laptop")
    write(device.root, secret="1", locked__inner="2", plain="3")
    await device.sync()
    before = await scene.there()
    write(device.root, plain="edited", new="new")
    give_away(home)
    (device.root / "secret").write_text("a secret edit")
    for name in ("secret", "locked"):
        (device.root / name).chmod(0)
    found: list[Snapshot] = []

    def sync_as_other_user() -> None:
        # The rights of this thread, and of those that it starts: root may read everything.
        ctypes.CDLL(None).setfsuid(OTHER_USER)
        found.append(device.run_once())

    thread = threading.Thread(target=sync_as_other_user)
    thread.start()
    await scene.ask(thread.join)
    (snapshot,) = found
    assert {"secret", "locked"} <= {item.path for item in snapshot.held}
    after = await scene.there()
    assert set(after) == {*before, "new"}
    assert {path for path in before if after[path] != before[path]} == {"plain"}
    for name in ("secret", "locked"):
        (device.root / name).chmod(0o700)
    assert is_up_to_date(await device.sync())
    assert read_folder(device.root) == await scene.there()


@beside_others
async def test_rule_14_exceeded_quota_stops_only_what_is_too_large(scene: Scene) -> None:
    device = scene.device()
    await set_quota(scene, 1 << 20)
    await scene.put("/remote", "remote")
    write(device.root, small="small", large="x" * (2 << 20))
    async with running(device.make_engine()) as laptop:
        snapshot = await laptop.until(
            lambda now: any(one.reason for one in now.items) and {"small", "remote"} <= known(device)
        )
        assert [item.path for item in snapshot.items] == ["large"]
        assert set(await scene.there()) == {"small", "remote"}
        await set_quota(scene, 1 << 30)
        laptop.engine.look()
        await laptop.until(lambda snapshot: is_up_to_date(snapshot) and "large" in known(device))
    assert read_folder(device.root) == await scene.there()


async def set_quota(scene: Scene, size_bytes: int) -> None:
    statement = text("UPDATE users SET quota_bytes = :size WHERE email = :email")
    async with scene.server.db.begin() as tx:
        await tx.execute(statement, {"size": size_bytes, "email": scene.account.email})


@beside_others
async def test_rule_14_path_beyond_the_limit_of_the_system_stops_nothing(scene: Scene) -> None:
    device = scene.device()
    write(device.root, plain="1")
    fd = os.open(device.root, os.O_RDONLY)
    for n in range(20):
        name = f"{n}".ljust(250, "x")
        os.mkdir(name, dir_fd=fd)
        below = os.open(name, os.O_RDONLY, dir_fd=fd)
        os.close(fd)
        fd = below
    os.close(os.open("deep", os.O_WRONLY | os.O_CREAT, dir_fd=fd))
    os.close(fd)
    await device.sync()
    await scene.put("/remote", "2")
    await device.sync()
    there = await scene.there()
    assert {"plain", "remote"} <= set(there)
    assert (device.root / "remote").read_text() == "2"
    await scene.ask(shutil.rmtree, device.root / "0".ljust(250, "x"))
    await device.sync()
    assert set(await scene.there()) == {"plain", "remote"}


@beside_others
async def test_client_folders_removed_under_the_engine_are_made_again(scene: Scene) -> None:
    device = scene.device()
    write(device.root, edited="1", deleted="1")
    await device.sync()
    async with running(device.make_engine()) as laptop:
        await laptop.until(is_up_to_date)
        for name in ("incoming", "trash"):
            shutil.rmtree(device.root / ".dbx" / name, ignore_errors=True)
        await scene.put("/edited", "2")
        await scene.put("/new", "3")
        await scene.ask(scene.client.files.move_to_trash, "/deleted")
        await laptop.until(lambda _: texts(device) == {"edited": "2", "new": "3"}, 30)


# Shares


@beside_others
async def test_viewer_and_former_editor_keep_what_they_wrote_outside_of_the_share(scene: Scene) -> None:
    owner = await register_account(scene.server.url)
    async with owner.client:
        await verify(scene.server.db, owner, scene.account)
        folders = [await make_folder(owner, f"/{name}") for name in ("read", "written")]
        for folder, role in zip(folders, ("viewer", "editor"), strict=True):
            await upload_file(owner, f"{role} 1".encode(), "file", destination={"parent_id": folder})
            await grant(owner, folder, scene.account, role)
        await run_until_idle(relay_changes, scene.server.services)
        device = scene.device()
        await device.sync()
        shared = device.root / "Shared with me"
        assert (shared / "read/file").read_text() == "viewer 1"
        write(shared, read__file="viewer edit", read__new="viewer new", written__file="editor 2")
        await device.sync()
        assert (shared / "read/file").read_text() == "viewer 1"
        assert "viewer edit" in texts(device).values()
        assert (shared / "read/new").read_text() == "viewer new"
        owners_tree = await read_server(owner)
        assert owners_tree["written/file"] == hashlib.sha256(b"editor 2").hexdigest()
        assert set(owners_tree) == {"read", "read/file", "written", "written/file"}
        write(shared, written__file="editor 3", written__new="editor new")
        for folder in folders:
            (granted,) = (await owner.client.get(f"/v1/files/{folder}/grants")).json()["items"]
            (await owner.client.delete(f"/v1/files/{folder}/grants/{granted['id']}")).raise_for_status()
        await run_until_idle(relay_changes, scene.server.services)
        assert is_up_to_date(await device.sync())
        assert await read_server(owner) == owners_tree
        kept = set(texts(device).values())
        assert {"viewer edit", "viewer new", "editor 3", "editor new"} <= kept
        assert read_folder(device.root) == await scene.there()


# Rule 15: a revoked token


@beside_others
async def test_rule_15_revoked_token_ends_the_engine_and_keeps_the_state(scene: Scene) -> None:
    device = scene.device()
    write(device.root, a="a", b="b")
    token = await make_token(scene.account, "laptop")

    def make(secret: str) -> Engine:
        client = Client(scene.server.url, token=secret, retry_for_s=5)
        return Engine(make_config(device.root, scene.server.url, "laptop"), device.home / "state", client)

    async with running(make(token["token"])) as laptop:
        await laptop.until(is_up_to_date)
        (await scene.account.client.delete(f"/v1/me/tokens/{token['id']}")).raise_for_status()
        (device.root / "a").unlink()
        write(device.root, b="edited")
        assert isinstance(await scene.ask(laptop.wait_until_ended), NotSignedIn)
        assert laptop.engine.snapshot.phase == "stopped"
    assert set(await scene.there()) == {"a", "b"}
    async with running(make((await make_token(scene.account, "laptop"))["token"])) as laptop:
        await laptop.until(lambda snapshot: is_up_to_date(snapshot) and scene_has(device, {"b": "edited"}))
    assert set(await scene.there()) == {"b"}


# Clocks, and lost hints


@beside_others
async def test_clocks_that_are_hours_off_change_nothing(scene: Scene) -> None:
    token = (await make_token(scene.account, "two"))["token"]
    async with (
        daemon("ahead", scene.home, scene.server.url, token) as ahead,
        daemon("behind", scene.home, scene.server.url, token) as behind,
    ):
        write(ahead.root, edited="1", deleted="1")
        assert (await ahead.sync(ahead_s=7 * 3600))["ended"] is None
        assert (await behind.sync(ahead_s=-7 * 3600))["ended"] is None
        write(behind.root, edited="22")
        (behind.root / "deleted").unlink()
        os.utime(behind.root / "edited", (0, 0))
        assert (await behind.sync(ahead_s=-7 * 3600))["ended"] is None
        assert (await ahead.sync(ahead_s=7 * 3600))["ended"] is None
        assert (ahead.root / "edited").read_text() == "22"
        assert read_folder(ahead.root) == read_folder(behind.root) == await scene.there()
        assert set(await scene.there()) == {"edited"}


@beside_others
async def test_hints_that_overflow_while_the_engine_is_stopped_lose_no_change(scene: Scene) -> None:
    token = (await make_token(scene.account, "laptop"))["token"]
    async with daemon("laptop", scene.home, scene.server.url, token) as laptop:
        write(laptop.root, edited="1", deleted="1", renamed="1", folder__inner="1")
        await laptop.start()
        await laptop.wait_until(lambda snapshot: snapshot["phase"] == "up-to-date" and snapshot["agreed_files"] == 4)
        assert laptop.process is not None
        laptop.process.send_signal(signal.SIGSTOP)
        try:
            for n in range(QUEUE_LENGTH // 2):
                write(laptop.root, **{f".~{n % 7}": "ignored"})
                (laptop.root / f".~{n % 7}").unlink()
            write(laptop.root, edited="2", created="1", new__inner="1")
            (laptop.root / "deleted").unlink()
            (laptop.root / "renamed").rename(laptop.root / "renamed 2")
            (laptop.root / "folder").rename(laptop.root / "moved")
        finally:
            laptop.process.send_signal(signal.SIGCONT)
        wanted = {"edited", "created", "new", "new/inner", "renamed 2", "moved", "moved/inner"}
        async with asyncio.timeout(60):
            while set(there := await scene.there()) != wanted or there != read_folder(laptop.root):
                assert await laptop.ask() is not None
                await asyncio.sleep(0.2)
