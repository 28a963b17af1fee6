"""The sync engine on real folders and the real server: two devices of one account."""

import asyncio
import hashlib
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from dropbox_api.db import Db
from dropbox_api.plumbing.epoch import start_epoch
from dropbox_api.storage.s3 import S3Config
from dropbox_api.workers.relay import relay_changes
from dropbox_client.sync.apply import LocalActions
from dropbox_client.sync.state import LocalRow, State
from dropbox_client.sync.state_file import STATE_NAME
from tests.conftest import Register
from tests.support.sdk import blocking_client
from tests.support.server import Account, RunningServer, register_account, run_until_idle, separate_server
from tests.support.sharing import grant, make_folder, verify
from tests.support.sync_daemons import read_folder, read_server
from tests.support.sync_device import Device, Held, equal, running, until


async def test_what_one_device_has_the_other_gets(one: Device, two: Device) -> None:
    (one.root / "a/b").mkdir(parents=True)
    (one.root / "a/b/deep.txt").write_bytes(b"deep")
    (one.root / "empty").write_bytes(b"")
    (one.root / "run.sh").write_bytes(b"#!/bin/sh\n")
    (one.root / "run.sh").chmod(0o755)
    large = bytes(range(256)) * 4096 * 20
    (one.root / "large").write_bytes(large)
    snapshot = await one.sync()
    assert (snapshot.phase, snapshot.pending, snapshot.held) == ("up-to-date", 0, ())
    await two.sync()
    assert two.read() == one.read()
    assert two.read()["large"] == large
    assert (two.root / "run.sh").stat().st_mode & 0o100
    assert not (two.root / "empty").stat().st_mode & 0o100
    times = [(device.root / "a/b/deep.txt").stat().st_mtime for device in (one, two)]
    assert times[0] == pytest.approx(times[1], abs=1e-5)
    assert not list((two.root / ".dbx/incoming").iterdir())


async def test_edits_moves_and_deletes_reach_the_other_device(one: Device, two: Device) -> None:
    (one.root / "a/b").mkdir(parents=True)
    for name in ("edited", "moved", "deleted", "a/b/kept"):
        (one.root / name).write_bytes(name.encode())
    await equal(one, two)
    (two.root / "edited").write_bytes(b"edited on the desktop")
    (two.root / "moved").rename(two.root / "a/moved there")
    (two.root / "deleted").unlink()
    (two.root / "a/b").rename(two.root / "c")
    (two.root / "a/b").mkdir()
    (two.root / "c/kept").chmod(0o755)
    assert await equal(two, one) == {
        "a": None,
        "a/b": None,
        "a/moved there": b"moved",
        "c": None,
        "c/kept": b"a/b/kept",
        "edited": b"edited on the desktop",
    }
    assert (one.root / "c/kept").stat().st_mode & 0o100
    (trashed,) = (one.root / ".dbx/trash").rglob("deleted")
    assert trashed.read_bytes() == b"deleted"


async def test_both_edited_keeps_both(one: Device, two: Device) -> None:
    (one.root / "plan.txt").parent.mkdir(parents=True, exist_ok=True)
    (one.root / "plan.txt").write_bytes(b"base")
    await equal(one, two)
    (one.root / "plan.txt").write_bytes(b"of the laptop")
    (two.root / "plan.txt").write_bytes(b"of the desktop")
    await one.sync()
    await two.sync()
    found = await equal(one, two)
    assert found.pop("plan.txt") == b"of the laptop"
    ((name, content),) = found.items()
    assert name.startswith("plan (conflict copy of desktop ")
    assert content == b"of the desktop"


async def test_conflict_copy_is_made_when_the_other_version_is_here(
    one: Device, two: Device, monkeypatch: pytest.MonkeyPatch
) -> None:
    one.root.mkdir(parents=True)
    for name in ("edited", "new"):
        if name == "edited":
            (one.root / name).write_bytes(b"base")
            await equal(one, two)
        for device in (one, two):
            (device.root / name).write_bytes(f"{name} of {device.name}".encode())
    await one.sync()
    waiting: dict[str, list[bytes]] = {}
    move = LocalActions._move

    def look_and_move(actions: LocalActions, row: LocalRow, *place: Any) -> LocalRow:
        found = [path.read_bytes() for path in (two.root / ".dbx/incoming").iterdir()]
        waiting[row.name.decode()] = found
        return move(actions, row, *place)

    monkeypatch.setattr(LocalActions, "_move", look_and_move)
    await two.sync()
    assert set(waiting) == {"edited", "new"}
    for name, found in waiting.items():
        assert f"{name} of laptop".encode() in found
    assert len(await equal(one, two)) == 4


async def test_swapped_names_end_swapped_on_the_other_device(one: Device, two: Device) -> None:
    one.root.mkdir(parents=True)
    for name in ("x", "y"):
        (one.root / name).mkdir()
        (one.root / name / "file").write_bytes(name.encode())
    await equal(one, two)
    (one.root / "x").rename(one.root / "z")
    (one.root / "y").rename(one.root / "x")
    (one.root / "z").rename(one.root / "y")
    assert await equal(one, two) == {"x": None, "x/file": b"y", "y": None, "y/file": b"x"}


async def test_an_edit_beats_a_delete(one: Device, two: Device) -> None:
    (one.root / "d").mkdir(parents=True)
    for name in ("d/edited", "d/other"):
        (one.root / name).write_bytes(name.encode())
    await equal(one, two)
    (one.root / "d/edited").unlink()
    (one.root / "d/other").unlink()
    (one.root / "d").rmdir()
    (two.root / "d/edited").write_bytes(b"new")
    await one.sync()
    assert await equal(two, one) == {"d": None, "d/edited": b"new"}


async def test_rule_10_equal_contents_are_no_conflict(one: Device, two: Device) -> None:
    for device in (one, two):
        (device.root / "a").mkdir(parents=True)
        (device.root / "a/same").write_bytes(b"same")
        (device.root / "differs").write_bytes(device.name.encode())
    await one.sync()
    found = await equal(two, one)
    assert found.pop("a/same") == b"same"
    assert found.pop("differs") == b"laptop"
    assert sorted(content for content in found.values() if content) == [b"desktop"]


async def test_running_engines_follow_each_other(one: Device, two: Device) -> None:
    async with running(one, two) as (engine, other):
        (one.root / "new").write_bytes(b"1")
        await until(lambda: two.read() == {"new": b"1"})
        (two.root / "new").write_bytes(b"22")
        await until(lambda: one.read() == {"new": b"22"})
        (one.root / "new").rename(one.root / "moved")
        await until(lambda: two.read() == {"moved": b"22"})
        other.pause()
        await until(lambda: other.snapshot.phase == "paused")
        (one.root / "moved").unlink()
        (two.root / "moved").rename(two.root / "again")
        await until(lambda: engine.snapshot.phase == "up-to-date")
        other.resume()
        await until(lambda: one.read() == two.read() == {})


def read_fact(device: Device, key: str) -> str:
    with State(device.home / "state" / STATE_NAME) as state:
        return str(state.read_fact(key))


async def test_rule_11_file_that_was_transferred_when_it_became_ignored_is_not_agreed_on(
    one: Device, two: Device, monkeypatch: pytest.MonkeyPatch
) -> None:
    (one.root / "work").mkdir(parents=True)
    await one.sync()
    async with running(one) as (engine,):
        await until(lambda: engine.snapshot.phase == "up-to-date")
        await two.sync()
        held = Held(one, monkeypatch)
        (two.root / "work/remote").write_bytes(b"remote")
        await two.sync()
        (one.root / "work/local").write_bytes(b"local")
        await until(lambda: held.files == {"local", "remote"})
        (one.root / ".dbxignore").write_bytes(b"work/\n")
        await until(lambda: "work" in read_fact(one, "rules"))
        held.release()
        await until(lambda: engine.snapshot.phase == "up-to-date" and engine.snapshot.pending == 0)
        await until(lambda: not list((one.root / ".dbx/incoming").iterdir()))
    assert set(one.read()) == {".dbxignore", "work", "work/local"}
    (one.root / "work/local").unlink()
    await one.sync()
    (one.root / ".dbxignore").unlink()
    assert await equal(one, two) == {"work": None, "work/local": b"local", "work/remote": b"remote"}


async def test_interrupted_downloads_are_kept_while_the_server_has_the_content(one: Device) -> None:
    one.root.mkdir(parents=True)
    (one.root / "a").write_bytes(b"a")
    await one.sync()
    with State(one.home / "state" / STATE_NAME) as state:
        node_id = state.find_remote_path("a")
    left = one.root / ".dbx/incoming"
    wanted, gone = (f".{hashlib.sha256(content).hexdigest()}-{node_id}.{'0' * 16}.dbx-part" for content in (b"a", b"b"))
    for name in (wanted, gone):
        (left / name).write_bytes(b"part")
    await one.sync()
    assert [path.name for path in left.iterdir()] == [wanted]


async def test_rule_3_upload_that_ended_before_the_server_was_restored_is_sent_again(
    postgres_url: str, s3_config: S3Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with separate_server(postgres_url, s3_config) as server:
        account = await register_account(server.url)
        device = Device(server, account, tmp_path / "laptop")
        device.root.mkdir(parents=True)
        (device.root / "old").write_bytes(b"old")
        await device.sync()
        async with account.client, running(device) as (engine,):
            await until(lambda: engine.snapshot.phase == "up-to-date")
            held = Held(device, monkeypatch)
            (device.root / "new").write_bytes(b"new")
            await until(lambda: held.files == {"new"})
            epoch = read_fact(device, "epoch")
            with blocking_client(server, account) as client:  # a backup that does not have the new file
                file = await asyncio.to_thread(client.files.get, "/new")
                await asyncio.to_thread(client.files.move_to_trash, "/new")
                await asyncio.to_thread(client.trash.purge, file.id)
            await start_epoch(server.db)
            await until(lambda: read_fact(device, "epoch") != epoch)
            held.release()
            await until(lambda: engine.snapshot.phase == "up-to-date" and engine.snapshot.pending == 0)
            assert read_folder(device.root) == await read_server(account)


async def test_a_mass_of_deletes_asks_first(one: Device, two: Device) -> None:
    one.root.mkdir(parents=True)
    for n in range(30):
        (one.root / f"{n}").write_bytes(b"%d" % n)
    everything = await equal(one, two)
    for path in one.root.glob("[0-9]*"):
        path.unlink()
    snapshot = await one.sync()
    (question,) = snapshot.questions
    assert (question.kind, question.count, len(question.paths)) == ("local-deletes", 30, 20)
    await two.sync()
    assert two.read() == everything
    assert one.make_engine().answer("rejected") == 30
    assert await equal(one, two) == everything
    for path in one.root.glob("[0-9]*"):
        path.unlink()
    await one.sync()
    assert one.make_engine().answer("confirmed") == 30
    await one.sync()
    assert len((await two.sync()).questions) == 1  # gone on the server: this device asks as well
    assert two.make_engine().answer("confirmed") == 30
    assert await equal(two, one) == {}


async def test_only_a_folder_of_the_account(
    server: RunningServer, account: Account, one: Device, tmp_path: Path
) -> None:
    (one.root / "a/b").mkdir(parents=True)
    (one.root / "a/b/in").write_bytes(b"in")
    (one.root / "a/out").write_bytes(b"out")
    await one.sync()
    part = Device(server, account, tmp_path / "part", folder="/a/b")
    await part.sync()
    assert part.read() == {"in": b"in"}
    (one.root / "a/b/in").rename(one.root / "a/in")
    (part.root / "more").write_bytes(b"more")
    await one.sync()
    await part.sync()
    await one.sync()
    assert part.read() == {"more": b"more"}
    assert one.read() == {"a": None, "a/b": None, "a/b/more": b"more", "a/in": b"in", "a/out": b"out"}


async def test_folders_that_are_not_selected_leave_the_disk_and_stay_on_the_server(one: Device, two: Device) -> None:
    (one.root / "a/b").mkdir(parents=True)
    (one.root / "a/b/file").write_bytes(b"1")
    (one.root / "kept").write_bytes(b"2")
    await equal(one, two)
    two.unselected = frozenset({"a/b"})
    await two.sync()
    assert two.read() == {"a": None, "kept": b"2"}
    await one.sync()
    assert set(one.read()) == {"a", "a/b", "a/b/file", "kept"}
    (one.root / "a/b").rename(one.root / "moved")
    (one.root / "moved/more").write_bytes(b"3")
    (one.root / "a/b").mkdir()
    await one.sync()
    await two.sync()
    assert two.read() == {"a": None, "a/b": None, "kept": b"2"}
    two.unselected = frozenset()
    assert set(await equal(one, two)) == {"a", "a/b", "moved", "moved/file", "moved/more", "kept"}


async def test_shares_are_mounted_and_kept(
    server: RunningServer, register: Register, db: Db, account: Account, one: Device, tmp_path: Path
) -> None:
    member = await register()
    await verify(db, member, account)
    editable, readable = [await make_folder(account, name) for name in ("/editable", "/readable")]
    await grant(account, editable, member, "editor")
    shared = await grant(account, readable, member, "viewer")
    (one.root / "editable").mkdir(parents=True)
    (one.root / "readable").mkdir()
    (one.root / "editable/file").write_bytes(b"1")
    (one.root / "readable/file").write_bytes(b"2")
    await one.sync()
    other = Device(server, member, tmp_path / "member")
    await run_until_idle(relay_changes, server.services)
    await other.sync()
    mounts = other.root / "Shared with me"
    assert (mounts / "editable/file").read_bytes() == b"1"
    assert (mounts / "readable/file").read_bytes() == b"2"
    (mounts / "editable/file").write_bytes(b"edited by the member")
    (mounts / "editable/more").write_bytes(b"more")
    (mounts / "readable/file").write_bytes(b"not sent")
    (mounts / "readable/new").write_bytes(b"not sent either")
    await other.sync()
    found = other.read()
    assert found.pop("Shared with me/readable/file") == b"2"
    (copy,) = (name for name in found if name.startswith("file (conflict copy of member "))
    assert found[copy] == b"not sent"
    await one.sync()
    assert (one.root / "editable/file").read_bytes() == b"edited by the member"
    assert (one.root / "editable/more").read_bytes() == b"more"
    assert not (one.root / "readable/new").exists()
    (await account.client.delete(f"/v1/files/{readable}/grants/{shared['id']}")).raise_for_status()
    await run_until_idle(relay_changes, server.services)
    await other.sync()
    assert not (mounts / "readable/file").exists()
    assert (mounts / "editable/file").exists()
    assert [path.read_bytes() for path in other.root.rglob("new*") if ".dbx" not in path.parts] == [b"not sent either"]


async def test_rule_10_many_conflicts_ask_first(one: Device, two: Device) -> None:
    one.root.mkdir(parents=True)
    for n in range(21):
        (one.root / f"{n}").write_bytes(b"base")
    await equal(one, two)
    for n in range(21):
        (one.root / f"{n}").write_bytes(b"laptop %d" % n)
        (two.root / f"{n}").write_bytes(b"desktop %d" % n if n else b"laptop 0")
    (two.root / "other").write_bytes(b"goes on")
    await one.sync()
    (two.root / "20").write_bytes(b"laptop 20")  # equal contents are no conflict
    await two.sync()
    assert two.read()["1 (conflict copy of desktop " + _today() + ")"] == b"desktop 1"
    assert (await equal(one, two))["other"] == b"goes on"
    for device in (one, two):
        for n in range(21):
            (device.root / f"{n}").write_bytes(b"again %d of %s" % (n, device.name.encode()))
    await one.sync()
    (question,) = (await two.sync()).questions
    assert (question.kind, question.count) == ("conflicts", 21)
    assert two.read()["0"] == b"again 0 of desktop"
    assert two.make_engine().answer("rejected") == 0
    assert two.make_engine().answer("confirmed") == 21
    found = await equal(two, one)
    assert found["0"] == b"again 0 of laptop"
    assert len(found) == 21 + 19 + 21 + 1


async def test_rule_10_conflict_copy_of_a_conflict_copy_has_one_mark(one: Device, two: Device) -> None:
    one.root.mkdir(parents=True)
    long = "n" * 250 + ".txt"
    for device in (one, two):
        device.root.mkdir(parents=True, exist_ok=True)
        (device.root / long).write_bytes(device.name.encode())
    await one.sync()
    names = set(await equal(two, one)) - {long}
    (copy,) = names
    assert len(copy.encode()) <= 255
    for device in (one, two):
        (device.root / copy).write_bytes(b"second of " + device.name.encode())
    await one.sync()
    found = await equal(two, one)
    (second,) = set(found) - {long, copy}
    assert (second.count("conflict copy"), found[second]) == (1, b"second of desktop")


def _today() -> str:
    return f"{datetime.now().astimezone():%Y-%m-%d}"
