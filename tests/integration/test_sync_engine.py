"""The sync engine on real folders and the real server: two devices of one account."""

from pathlib import Path

import pytest

from tests.support.server import Account, RunningServer
from tests.support.sync_device import Device


@pytest.fixture
def one(server: RunningServer, account: Account, tmp_path: Path) -> Device:
    return Device(server, account, tmp_path / "laptop")


@pytest.fixture
def two(server: RunningServer, account: Account, tmp_path: Path) -> Device:
    return Device(server, account, tmp_path / "desktop")


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


async def equal(*devices: Device) -> dict[str, bytes | None]:
    """Synchronize devices until nothing changes any more; return what all of them have."""
    for _ in range(2):
        for device in devices:
            snapshot = await device.sync()
            assert snapshot.phase == "up-to-date"
    first = devices[0].read()
    for device in devices[1:]:
        assert device.read() == first
    return first


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
    trashed = [path for path in (one.root / ".dbx/trash").rglob("deleted")]
    assert [path.read_bytes() for path in trashed] == [b"deleted"]


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


async def test_two_devices_that_had_the_same_files_before_transfer_nothing(one: Device, two: Device) -> None:
    for device in (one, two):
        (device.root / "a").mkdir(parents=True)
        (device.root / "a/same").write_bytes(b"same")
        (device.root / "differs").write_bytes(device.name.encode())
    await one.sync()
    found = await equal(two, one)
    assert found.pop("a/same") == b"same"
    assert found.pop("differs") == b"laptop"
    assert sorted(content for content in found.values() if content) == [b"desktop"]
