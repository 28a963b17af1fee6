"""The sync engine where answers are late or lost, actions fail for ever, and other devices are faster."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dropbox_client.call import Response
from dropbox_client.client import Client
from dropbox_client.errors import Unreachable
from dropbox_client.exchange import Request
from dropbox_client.sync import act
from dropbox_client.sync.session import Session
from tests.integration.test_sync_engine import equal
from tests.support.server import Account, RunningServer
from tests.support.sync_device import Device


@pytest.fixture
def one(server: RunningServer, account: Account, tmp_path: Path) -> Device:
    return Device(server, account, tmp_path / "laptop")


@pytest.fixture
def two(server: RunningServer, account: Account, tmp_path: Path) -> Device:
    return Device(server, account, tmp_path / "desktop")


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
