"""`dbx sync` with real processes: two computers of one account."""

import asyncio
import json
import os
import signal
import sqlite3
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any

import pytest

from tests.support.dbx import Dbx, finished
from tests.support.server import RunningServer, until

MIB = 1024 * 1024


@pytest.fixture
async def laptop(dbx: Dbx) -> Dbx:
    return dbx


@pytest.fixture
async def desktop(dbx: Dbx, behind_proxy: RunningServer, tmp_path: Path) -> Dbx:
    home = tmp_path / "desktop"
    home.mkdir()
    other = Dbx(home, dbx.account)
    await other.sign_in(behind_proxy)
    return other


def files(dbx: Dbx, folder: str = "files") -> dict[str, str]:
    """Return the texts of the files of a computer by path."""
    root = dbx.home / folder
    return {
        str(path.relative_to(root)): path.read_text()
        for path in sorted(root.rglob("*"))
        if path.is_file() and path.relative_to(root).parts[0] != ".dbx"
    }


async def status_of(dbx: Dbx) -> dict[str, Any]:
    (record,) = (await dbx("status", "--json")).records
    assert isinstance(record, dict)
    return record


async def status_when(dbx: Dbx, condition: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    """Wait for a status."""
    record: dict[str, Any] = {}

    async def is_met() -> bool:
        nonlocal record
        record = await status_of(dbx)
        return condition(record)

    await until(is_met)
    return record


async def is_running(dbx: Dbx, folder: str, *, expected: bool) -> bool:
    (found,) = [one for one in (await dbx("sync", "list", "--json")).records if one["path"].endswith(f"/{folder}")]
    return found["running"] is expected


@asynccontextmanager
async def daemon(dbx: Dbx, *arguments: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """Run `dbx sync` until the end of the block."""
    process = await dbx.start("sync", *arguments)
    try:
        yield process
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGINT)
            await finished(process, code=130)


async def test_two_computers_agree_after_each_ran_once(laptop: Dbx, desktop: Dbx) -> None:
    root = laptop.home / "files"
    (root / "below").mkdir(parents=True)
    (root / "below/a").write_text("a")
    (root / "b").write_text("b")
    (root / "c").write_text("c")
    preview = await laptop("sync", "files", "--dry-run", "--json")
    assert {(item["path"], item["work"]) for item in preview.records} >= {("b", "upload"), ("below", "folder")}
    assert (await laptop("sync", "list")).out == ""
    assert sorted(path.name for path in root.iterdir()) == ["b", "below", "c"]

    done = await laptop("sync", "files", "--once", "--name", "laptop")
    assert "uploaded b" in done.out
    assert "up to date  3 files" in done.err
    done = await desktop("sync", "./files", "--once", "--name", "desktop", "--json")
    assert done.records[-1]["phase"] == "up-to-date"
    assert done.records[-1]["agreed_files"] == 3
    assert files(desktop) == files(laptop) == {"b": "b", "below/a": "a", "c": "c"}

    (root / "b").write_text("edited")
    (root / "c").unlink()
    (root / "below").rename(root / "moved")
    await laptop("sync", "files", "--once")
    await desktop("sync", "./files", "--once")
    assert files(desktop) == files(laptop) == {"b": "edited", "moved/a": "a"}

    (root / "b").write_text("of the laptop")
    (desktop.home / "files/b").write_text("of the desktop")
    await laptop("sync", "files", "--once")
    await desktop("sync", "./files", "--once")
    await laptop("sync", "files", "--once")
    assert files(desktop) == files(laptop)
    assert sorted(files(laptop).values()) == ["a", "of the desktop", "of the laptop"]
    (conflict,) = (await desktop("conflicts", "--json")).records
    assert conflict["path"] == "b"
    assert "desktop" in conflict["copy"]
    assert f"{desktop.home}/files/b" in (await desktop("conflicts")).out
    log = (await desktop("sync", "log")).out
    assert "conflict: b is kept as" in log
    devices = await laptop("devices", "--json")
    assert sorted(device["name"] for device in devices.records) == ["desktop", "laptop"]


async def test_daemon_shows_its_state_obeys_and_continues_after_a_kill(laptop: Dbx, desktop: Dbx) -> None:
    await laptop("sync", "add", "files", "--name", "laptop")
    root = laptop.home / "files"
    (root / "one").write_text("1")
    assert (await status_of(laptop))["running"] is False
    async with daemon(laptop, "files") as process:
        record = await status_when(laptop, lambda one: one["phase"] == "up-to-date" and one["agreed_files"] == 1)
        assert record["running"] is True
        assert record["path"] == str(root)
        assert "keeps it in sync already" in (await laptop("sync", "files", code=1)).err
        assert "running" in (await laptop("sync", "list")).out
        await laptop("sync", "pause")
        await status_when(laptop, lambda one: one["phase"] == "paused")
        (root / "two").write_text("2")
        assert "paused: by you" in (await laptop("status")).out
        await laptop("sync", "resume", "files")
        await status_when(laptop, lambda one: one["phase"] == "up-to-date" and one["agreed_files"] == 2)
        doctor = await laptop("sync", "doctor")
        assert "!!" not in doctor.out
        process.kill()
        await process.wait()
    assert (await status_of(laptop))["running"] is False
    doctor = await laptop("sync", "doctor", "files", code=1)
    assert "!!  no process keeps this folder in sync" in doctor.out
    (root / "three").write_text("3")
    async with daemon(laptop, "files"):
        await status_when(laptop, lambda one: one["phase"] == "up-to-date" and one["agreed_files"] == 3)
    await desktop("sync", "./files", "--once")
    assert files(desktop) == {"one": "1", "two": "2", "three": "3"}


async def test_all_folders_are_kept_by_one_command_which_notices_new_ones(laptop: Dbx) -> None:
    await laptop("sync", "add", "jobs", "--folder", "/jobs", "--name", "first")
    async with daemon(laptop, "run") as process:
        (laptop.home / "jobs/a").write_text("a")
        await laptop("sync", "add", "own", "--folder", "/own", "--name", "second")
        (laptop.home / "own/b").write_text("b")

        async def are_sent() -> bool:
            found = await laptop("ls", "-R", "/", "--json")
            return {"/jobs/a", "/own/b"} <= {record["path"] for record in found.records}

        await until(are_sent)
        tokens = (await laptop("tokens", "--json")).records
        (token,) = [token["id"] for token in tokens if token["name"].endswith("second")]
        await laptop("tokens", "revoke", token)
        await until(lambda: is_running(laptop, "own", expected=False))
        await laptop("sync", "add", "own", "--folder", "/own")  # long before failed folders are tried again
        async with asyncio.timeout(30):
            await until(lambda: is_running(laptop, "own", expected=True))
        await laptop("sync", "remove", "own")
        assert len((await laptop("sync", "list", "--json")).records) == 1
        process.kill()  # the processes below it end, too
        await process.wait()
        assert (await status_when(laptop, lambda one: not one["running"]))["phase"] == "stopped"
    assert files(laptop, "own") == {"b": "b"}
    assert not (laptop.home / "own/.dbx").exists()


async def test_removed_folder_ends_token_and_device_and_keeps_files(laptop: Dbx) -> None:
    root = laptop.home / "files"
    assert "no action 'files'" in (await laptop("sync", "files", "--once", code=2)).err
    await laptop("sync", "./files", "--once")
    (root / "a").write_text("a")
    await laptop("sync", "files", "--once")
    await laptop("rm", "/a")
    await laptop("sync", "files", "--once")
    assert files(laptop) == {}
    assert len((await laptop("tokens", "--json")).records) == 1
    done = await laptop("sync", "remove", "files")
    assert "kept what was deleted" in done.err
    assert [path.name for path in root.iterdir()] == [".dbx"]
    assert (await laptop("tokens", "--json")).records == []
    assert (await laptop("devices", "--json")).records == []
    assert (await laptop("sync", "list")).out == ""
    assert list((laptop.home / "state/sync").iterdir()) == []


async def test_revoked_token_ends_with_3_and_a_new_one_continues(laptop: Dbx) -> None:
    await laptop("sync", "./files", "--once")
    (laptop.home / "files/a").write_text("a")
    (token,) = (await laptop("tokens", "--json")).records
    assert sorted(token["scopes"]) == ["files:read", "files:write", "share"]
    await laptop("tokens", "revoke", token["id"])
    for arguments in (("files",), ("run",)):
        done = await laptop("sync", *arguments, code=3)
        assert "dbx sync add" in done.err
    assert "the server rejects this access token" in (await laptop("sync", "doctor", code=1)).out
    assert "new token" in (await laptop("sync", "add", "files")).err
    done = await laptop("sync", "files", "--once")
    assert "uploaded a" in done.out
    assert "was added before" in (await laptop("sync", "add", "files", code=2)).err


async def test_mass_deletion_asks_and_is_answered(laptop: Dbx) -> None:
    root = laptop.home / "files"
    root.mkdir()
    for number in range(30):
        (root / f"{number}").write_text(f"{number}")
    await laptop("sync", "files", "--once")
    for path in root.glob("[0-9]*"):
        path.unlink()
    done = await laptop("sync", "files", "--once", code=1)
    assert "30 files are gone from this disk" in done.err
    again = await laptop("sync", "files", "--once", code=1)
    assert "30 files are gone from this disk" in again.err
    rejected = await laptop("sync", "reject", "files")
    assert "rejected, 30 entries" in rejected.err
    await laptop("sync", "files", "--once")
    assert len(files(laptop)) == 30
    for path in root.glob("[0-9]*"):
        path.unlink()
    async with daemon(laptop, "files"):
        await status_when(laptop, lambda one: bool(one["questions"]))
        confirmed = await laptop("sync", "confirm")
        assert "confirmed, 30 entries" in confirmed.err
        await status_when(laptop, lambda one: one["phase"] == "up-to-date" and one["agreed_files"] == 0)
    assert (await laptop("ls")).out == ""


async def test_excluded_folder_leaves_this_computer_only(laptop: Dbx) -> None:
    root = laptop.home / "files"
    (root / "large").mkdir(parents=True)
    (root / "large/film").write_text("film")
    (root / "note").write_text("note")
    await laptop("sync", "files", "--once")
    assert "inside of each other" in (await laptop("sync", "files/large", "--once", code=1)).err
    assert "only a part of" in (await laptop("sync", "remove", "files/large", code=2)).err
    assert "large" in (await laptop("sync", "exclude", "files", "large")).err
    await laptop("sync", "files", "--once")
    assert files(laptop) == {"note": "note"}
    assert (await laptop.remote("/large/film"))["size_bytes"] == 4
    await laptop("sync", "include", "files", root / "large")
    await laptop("sync", "files", "--once")
    assert files(laptop) == {"large/film": "film", "note": "note"}


async def test_limit_bounds_the_rate_of_transfers(laptop: Dbx) -> None:
    (laptop.home / "files").mkdir()
    (laptop.home / "files/data").write_bytes(os.urandom(6 * MIB))
    await laptop("sync", "add", "files")
    limits = await laptop("sync", "limit", "files", "--up", "1M")
    assert limits.out.splitlines() == ["up    1.0 MiB/s", "down  no limit"]
    loop = asyncio.get_running_loop()
    began = loop.time()
    await laptop("sync", "files", "--once")
    assert loop.time() - began > 5.5  # without a limit three seconds
    assert (await laptop("sync", "limit", "files", "--up", "off")).out.splitlines()[0] == "up    no limit"


async def test_unreachable_server_ends_once_with_4_and_waits_otherwise(laptop: Dbx) -> None:
    await laptop("sync", "./files", "--once")
    (path,) = (laptop.home / "state/sync").glob("*/config.json")
    path.write_text(json.dumps(json.loads(path.read_text()) | {"server": "http://127.0.0.1:9"}))
    (tokens,) = (laptop.home / "state/sync").glob("*/token.json")
    tokens.write_text(json.dumps(json.loads(tokens.read_text()) | {"server": "http://127.0.0.1:9"}))
    assert "127.0.0.1:9" in (await laptop("sync", "files", "--once", code=4)).err
    async with daemon(laptop, "files"):
        record = await status_when(laptop, lambda one: one["phase"] == "offline")
        assert "127.0.0.1:9" in record["reason"]
    assert "!!  http://127.0.0.1:9" in (await laptop("sync", "doctor", code=1)).out


async def test_personal_token_of_the_sign_in_is_used_if_it_can_make_no_other(
    laptop: Dbx, behind_proxy: RunningServer
) -> None:
    scopes = [f"--scope={scope}" for scope in ("files:read", "files:write", "share")]
    created = await laptop("tokens", "create", "server", *scopes)
    await laptop("login", "--server", behind_proxy.url, "--token", stdin=created.out)
    (laptop.home / "files").mkdir()
    (laptop.home / "files/a").write_text("a")
    assert "uploaded a" in (await laptop("sync", "files", "--once")).out
    assert "stays valid" in (await laptop("sync", "remove", "files")).err
    assert (await laptop.remote("/a"))["size_bytes"] == 1


async def test_doctor_finds_what_is_wrong_and_a_damaged_state_loses_nothing(laptop: Dbx) -> None:
    root = laptop.home / "files"
    (root / "below").mkdir(parents=True)
    for name in ("a", "b", "below/c"):
        (root / name).write_text(name)
    await laptop("sync", "files", "--once")

    async def findings() -> str:
        """Return what the doctor finds wrong, beside that no process runs."""
        lines = (await laptop("sync", "doctor", code=1)).out.splitlines()
        return "\n".join(line for line in lines if "!!" in line and "no process keeps" not in line)

    assert await findings() == ""
    (root / "a").write_text("changed")
    await laptop("rm", "/b")
    (root / ".dbx/incoming/left").touch()
    (root / ".dbxignore").write_text("/\\\n")
    found = await findings()
    for part in ("1 of 3 files differ from what was agreed: a: changed", "1 gone there", "interrupted run: left"):
        assert part in found
    await laptop("sync", "files", "--once")
    assert files(laptop) == {".dbxignore": "/\\\n", "a": "changed", "below/c": "below/c"}

    marker = (root / ".dbx/marker").read_text()
    (root / ".dbx/marker").write_text("another")
    assert "its marker differs" in await findings()
    assert "its marker differs" in (await laptop("sync", "files", "--once", code=1)).err
    (root / ".dbx/marker").write_text(marker)

    (path,) = (laptop.home / "state/sync").glob("*/state.db")
    with closing(sqlite3.connect(path)) as database, database:
        database.execute("UPDATE meta SET value = 'another' WHERE key = 'instance'")
    assert "another server answers" in await findings()
    content = bytearray(path.read_bytes())
    content[100:4096] = b"x" * 3996
    path.write_bytes(content)
    assert "the state cannot be read" in await findings()
    assert "the state cannot be read" in (await laptop("conflicts", code=1)).err
    assert (await status_of(laptop))["phase"] == "stopped"
    await laptop("sync", "files", "--once")
    assert files(laptop) == {".dbxignore": "/\\\n", "a": "changed", "below/c": "below/c"}
    assert "set aside" in await findings()
    assert {file["path"] for file in (await laptop("ls", "-R", "--json")).records} == {
        *("/.dbxignore", "/a", "/below", "/below/c")
    }
