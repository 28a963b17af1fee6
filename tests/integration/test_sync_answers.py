"""The sync engine where answers are late or lost, actions fail for ever, and other devices are faster."""

import asyncio
import contextlib
import re
import threading
import time
from collections.abc import Callable
from pathlib import Path
from threading import Barrier, BrokenBarrierError
from typing import Any

import pytest

from dropbox_client.call import Response
from dropbox_client.client import Client
from dropbox_client.errors import Unreachable
from dropbox_client.exchange import Request
from dropbox_client.sync import act
from dropbox_client.sync.disk import Disk
from dropbox_client.sync.session import Session
from dropbox_client.sync.transfers import Transfers
from dropbox_client.transfer.progress import UploadItem
from dropbox_client.transfer.source import Source
from tests.support.sdk import blocking_client
from tests.support.server import Account, RunningServer
from tests.support.sync_daemons import is_up_to_date
from tests.support.sync_device import Device, Held, equal, running, until


def lose_answer(monkeypatch: pytest.MonkeyPatch, path: str, before_loss: Callable[[], object]) -> None:
    """Lose the answer of the first request to a path, after something else has happened."""
    send = Client._send
    is_lost = False

    def lose(self: Client, request: Request) -> Response:
        nonlocal is_lost
        response = send(self, request)
        if not is_lost and path in request.url:
            is_lost = True
            before_loss()
            raise Unreachable("the answer was lost")
        return response

    monkeypatch.setattr(Client, "_send", lose)


def list_open_files() -> list[Path]:
    return [link.readlink() for link in Path("/proc/self/fd").iterdir() if link.is_symlink()]


async def test_answer_of_an_upload_that_shows_a_later_edit_does_not_overwrite_it(
    one: Device, two: Device, monkeypatch: pytest.MonkeyPatch
) -> None:
    one.root.mkdir(parents=True)
    (one.root / "plan").write_bytes(b"base")
    await equal(one, two)
    (one.root / "plan").write_bytes(b"of the laptop")

    def edit() -> None:
        two.run_once()
        (two.root / "plan").write_bytes(b"then of the desktop")
        two.run_once()

    lose_answer(monkeypatch, "/complete", edit)
    assert await equal(one, two) == {"plan": b"then of the desktop"}


async def test_answer_of_an_upload_that_shows_a_later_move_does_not_undo_it(
    one: Device, two: Device, monkeypatch: pytest.MonkeyPatch
) -> None:
    one.root.mkdir(parents=True)
    (one.root / "plan").write_bytes(b"new")

    def move() -> None:
        two.run_once()
        (two.root / "plan").rename(two.root / "moved")
        two.run_once()

    lose_answer(monkeypatch, "/complete", move)
    assert await equal(one, two) == {"moved": b"new"}


async def test_answer_of_an_upload_that_comes_after_its_deletion_does_not_undo_it(
    one: Device, monkeypatch: pytest.MonkeyPatch
) -> None:
    (one.root / "d").mkdir(parents=True)
    await one.sync()
    async with running(one) as (engine,):
        for path, deleted in (("d/file", "d"), ("file", "file")):
            held, gone, later = Held(one, monkeypatch), one.root / deleted, one.root / f"after {deleted}"
            (one.root / path).write_bytes(path.encode())
            await until(lambda held=held: held.files == {"file"})  # type: ignore[misc]
            with blocking_client(one.server, one.account) as client:
                await asyncio.to_thread(client.files.move_to_trash, f"/{deleted}")
                await asyncio.to_thread(client.files.create_folder, f"/{later.name}")
            await until(later.exists)
            held.release()
            await until(lambda gone=gone: not gone.exists())  # type: ignore[misc]
        await until(lambda: is_up_to_date(engine.snapshot))
        assert engine.snapshot.held == ()


async def test_edit_of_a_file_whose_content_came_back_on_the_server_is_sent(one: Device, two: Device) -> None:
    one.root.mkdir(parents=True)
    (one.root / "plan").write_bytes(b"base")
    await equal(one, two)
    (one.root / "plan").write_bytes(b"of the laptop")
    for content in (b"other", b"base"):
        (two.root / "plan").write_bytes(content)
        await two.sync()
    assert await equal(one, two) == {"plan": b"of the laptop"}


async def test_edit_of_a_file_that_another_device_edited_and_deleted_is_kept(one: Device, two: Device) -> None:
    one.root.mkdir(parents=True)
    (one.root / "plan").write_bytes(b"base")
    await equal(one, two)
    (one.root / "plan").write_bytes(b"of the laptop")
    (two.root / "plan").write_bytes(b"of the desktop")
    await two.sync()
    (two.root / "plan").unlink()
    await two.sync()
    found = await equal(one, two)
    assert list(found.values()) == [b"of the laptop"]


async def test_folder_that_the_server_refuses_makes_no_hot_loop(one: Device, monkeypatch: pytest.MonkeyPatch) -> None:
    deep = one.root / "/".join("d" * 102)
    deep.mkdir(parents=True)
    (deep / "file").write_bytes(b"deep")
    (one.root / "other").write_bytes(b"other")
    plans = 0
    make_plan = Session._make_plan

    def count(self: Session) -> Any:
        nonlocal plans
        plans += 1
        if plans > 100:
            raise AssertionError("plans are made all the time")
        return make_plan(self)

    monkeypatch.setattr(Session, "_make_plan", count)
    monkeypatch.setattr(act, "_PATIENCE", 1)
    snapshot = await one.sync()
    assert snapshot.pending >= 3
    assert all(item.reason for item in snapshot.items)
    assert snapshot.agreed_files == 1


async def test_large_file_does_not_hold_up_another_one(one: Device, monkeypatch: pytest.MonkeyPatch) -> None:
    one.root.mkdir(parents=True)
    for name in ("huge", "large"):
        (one.root / name).write_bytes(name.encode() * (5 << 20))
    both_begin = Barrier(2)
    open_file = Transfers._open

    def wait_for_other(self: Transfers, item: UploadItem) -> Source:
        with contextlib.suppress(BrokenBarrierError):
            both_begin.wait(timeout=20)
            both_begin.abort()
        return open_file(self, item)

    monkeypatch.setattr(Transfers, "_open", wait_for_other)
    started = time.monotonic()
    assert (await one.sync()).agreed_files == 2
    assert time.monotonic() - started < 20


async def test_stop_ends_a_long_stage_of_a_plan_and_leaves_nothing_open(
    one: Device, two: Device, monkeypatch: pytest.MonkeyPatch
) -> None:
    for n in range(5):
        (one.root / str(n)).mkdir(parents=True)
    await one.sync()
    threads = set(threading.enumerate())
    engine = two.make_engine()
    make_folder = Disk.make_folder

    def stop(self: Disk, folder: int, name: bytes) -> None:
        make_folder(self, folder, name)
        engine.stop()

    monkeypatch.setattr(Disk, "make_folder", stop)
    await asyncio.to_thread(engine.run)
    assert len(two.read()) == 1
    assert engine.snapshot.phase == "stopped"
    left = {thread.name for thread in set(threading.enumerate()) - threads}
    assert not {name for name in left if not name.startswith("asyncio")}
    assert not [path for path in list_open_files() if path.is_relative_to(two.home)]


async def test_name_that_the_server_cannot_hold_deletes_nothing_there(one: Device, two: Device) -> None:
    one.root.mkdir(parents=True)
    (one.root / "plan").write_bytes(b"1")
    await equal(one, two)
    (one.root / "plan").rename(one.root / "line\nbreak")
    assert [(item.path, bool(item.reason)) for item in (await one.sync()).held] == [("line\nbreak", True)]
    await two.sync()
    assert two.read() == {"plan": b"1"}
    (one.root / "line\nbreak").rename(one.root / "new plan")
    assert await equal(one, two) == {"new plan": b"1"}


async def test_folder_that_leaves_the_root_is_asked_about_once(
    server: RunningServer, account: Account, one: Device, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (one.root / "part/d").mkdir(parents=True)
    for n in range(12):
        (one.root / f"part/d/{n}").write_bytes(b"%d" % n)
    await one.sync()
    part = Device(server, account, tmp_path / "part", folder="/part")
    await part.sync()
    (one.root / "part/d").rename(one.root / "d")
    await one.sync()
    asked: list[str] = []
    send = Client._send

    def count(self: Client, request: Request) -> Response:
        asked.extend([request.url] if re.search(r"/v1/files/[0-9a-f-]{36}$", request.url) else [])
        return send(self, request)

    monkeypatch.setattr(Client, "_send", count)
    await part.sync()
    assert part.read() == {}
    assert len(asked) == 2  # the root and the folder
