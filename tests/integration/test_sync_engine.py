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
