"""What a disk, a person or a server does to a sync engine that is no change of a file: the rules after the eighth.

See `test_sync_rules_1_to_8`. Tests of shares, clocks and lost hints belong to no rule.
"""

import asyncio
import contextlib
import ctypes
import functools
import hashlib
import os
import shutil
import signal
import socket
import tempfile
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import text

from dropbox_api.workers.relay import relay_changes
from dropbox_client import Client
from dropbox_client.errors import NotSignedIn
from dropbox_client.sync.engine import Engine
from dropbox_client.sync.guard import RootRefused
from dropbox_client.sync.names import is_conflict_name
from dropbox_client.sync.snapshot import Snapshot
from dropbox_client.sync.state import State
from tests.support.sdk import blocking_client
from tests.support.server import register_account, run_until_idle, upload_file
from tests.support.sharing import grant, make_folder, verify
from tests.support.sync_daemons import daemon, is_up_to_date, make_config, make_token, read_folder, read_server, running
from tests.support.sync_device import Device
from tests.support.sync_scene import Scene, beside_others, has_agreed, known, mounted, run_command, texts, write

OTHER_USER = 65_534
QUEUE_LENGTH = int(Path("/proc/sys/fs/inotify/max_queued_events").read_text())


# Rule 9: renames


@beside_others
async def test_rule_9_folders_renamed_to_one_name_on_two_devices_are_not_merged(scene: Scene) -> None:
    one, two = scene.pair()
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
    one, two = scene.pair()
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
    assert "2" in (await scene.contents()).values()


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


@beside_others
async def test_file_and_folder_that_take_each_others_name_lose_no_edit(scene: Scene) -> None:
    one, two = scene.pair()
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
        await laptop.until(lambda snapshot: is_up_to_date(snapshot) and has_agreed(device, {"b": "edited"}))
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
