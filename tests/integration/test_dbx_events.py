"""`dbx events` and `dbx watch`: output, commands, state, and delivery exactly once."""

import asyncio
import contextlib
import json
import os
import signal
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from dropbox_api.storage.s3 import S3Config
from dropbox_api.workers.relay import relay_changes
from tests.support.dbx import Dbx, finished, signed_in
from tests.support.fake_server import Scripted, fake_server
from tests.support.ports import reserve_port
from tests.support.server import RunningServer, make_settings, running_server, upload_file
from tests.support.sharing import make_folder, verify

SHOW = ("sh", "-c", 'echo "$DBX_KIND $DBX_PATH ${DBX_OLD_PATH-none} $DBX_COUNT"')
LONG_S = 20


@pytest.fixture
async def dbx(server: RunningServer, tmp_path: Path) -> AsyncIterator[Dbx]:
    async with signed_in(server, tmp_path) as person:
        yield person


async def put(dbx: Dbx, path: str, data: bytes = b"content") -> str:
    """Store a file and its folders; return its id."""
    folder, _, name = path.rpartition("/")
    where = {"folder_path": folder or "/", "on_conflict": "replace"}
    file = await upload_file(dbx.account, data, name, destination=where)
    return str(file["id"])


class Process:
    """A `dbx` process that runs until the block ends."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process

    async def line(self) -> str:
        """Return the next line that it, or what it runs, prints."""
        assert self.process.stdout
        async with asyncio.timeout(LONG_S):
            line = await self.process.stdout.readline()
        if not line:
            assert self.process.stderr
            raise AssertionError((await self.process.stderr.read()).decode())
        return line.decode().rstrip("\n")

    async def event(self) -> tuple[str, str | None]:
        """Return kind and path of the next event; skip records that tell that the server is away."""
        while json.loads(line := await self.line()).keys() == {"waiting"}:
            pass
        return told(line)

    async def note(self, text: str) -> str:
        """Return the next line on stderr that has this text."""
        assert self.process.stderr
        async with asyncio.timeout(LONG_S):
            while line := (await self.process.stderr.readline()).decode():
                if text in line:
                    return line
        raise AssertionError(f"it ended without {text!r}")

    async def end(self, number: int = signal.SIGINT, *, code: int = 130) -> tuple[str, str]:
        """End it by a signal; return what it printed since."""
        self.process.send_signal(number)
        async with asyncio.timeout(LONG_S):
            done = await finished(self.process, stdin=None, code=code)
        return done.out, done.err


@contextlib.asynccontextmanager
async def running(dbx: Dbx, *arguments: str | Path) -> AsyncIterator[Process]:
    process = await dbx.start(*arguments)
    try:
        yield Process(process)
    finally:
        if process.returncode is None:
            process.terminate()  # not killed: its child must end too
            await process.wait()


@contextlib.asynccontextmanager
async def following(dbx: Dbx, *arguments: str) -> AsyncIterator[Process]:
    """`dbx events --follow` that has printed the event of a new folder."""
    async with running(dbx, "events", "--follow", "--json", *arguments) as process:
        first = asyncio.create_task(process.line())
        count = 0
        while not first.done():
            count += 1
            await dbx.account.client.post("/v1/folders", json={"path": f"/began/{count}", "on_conflict": "reuse"})
            await asyncio.wait([first], timeout=0.2)
        await put(dbx, "/began/last")
        while json.loads(await process.line())["file"]["path"] != "/began/last":
            pass
        yield process


@contextlib.asynccontextmanager
async def watching(dbx: Dbx, *arguments: str | Path) -> AsyncIterator[Process]:
    async with running(dbx, "watch", *arguments) as process:
        await process.note("watching")
        yield process


def short(line: str) -> tuple[str, str]:
    """Return label and path of a line of text."""
    _, _, happened, place = (
        line.replace("to the trash", "trashed").replace("brought back", "restored").split(maxsplit=3)
    )
    return happened, place.strip()


def told(line: str) -> tuple[str, str | None]:
    """Return kind and path of a line of JSON."""
    event = json.loads(line)
    return event["kind"], event["file"] and event["file"]["path"]


# Listing


async def test_events_as_text_describe_changes(dbx: Dbx) -> None:
    await dbx("mkdir", "/trip")
    await put(dbx, "/trip/cat.jpg", b"x" * 2048)
    await dbx("mv", "/trip/cat.jpg", "/trip/dog.jpg")
    await put(dbx, "/gone.txt")
    await dbx("rm", "/gone.txt")
    lines = (await dbx("events")).out.splitlines()
    assert [short(line)[0] for line in lines] == ["added", "added", "renamed", "added", "trashed"]
    assert lines[0].endswith("  /trip/")
    assert lines[1].endswith("  added                   2.0 KiB  /trip/dog.jpg")  # its current state
    assert lines[4].endswith("  /gone.txt")  # found in the trash
    assert "content" not in (await dbx("events", "--kind", "file.renamed", "--kind", "file.moved")).out
    assert len((await dbx("events", "--kind", "file.renamed")).out.splitlines()) == 1


async def test_events_as_json_resume_from_a_cursor(dbx: Dbx) -> None:
    await dbx("mkdir", "/a", "/b")
    records = (await dbx("events", "--json", "--since", "2h")).records
    assert [(one["kind"], one["file"]["path"]) for one in records] == [("file.created", "/a"), ("file.created", "/b")]
    cursor = records[-1]["cursor"]
    assert (await dbx("events", "--cursor", cursor)).out == ""
    await dbx("mkdir", "/c")
    assert [one["file"]["path"] for one in (await dbx("events", "--json", "--cursor", cursor)).records] == ["/c"]
    assert (await dbx("events", "--since", "2100-01-01")).out == ""
    assert "(invalid-cursor)" in (await dbx("events", "--cursor", "nonsense", code=1)).err


async def test_events_with_a_path_show_only_events_below_it(dbx: Dbx) -> None:
    for path in ("/in/a", "/in/deep/b", "/inside", "/out"):
        await put(dbx, path)
    await dbx("rm", "/in/a", "/out")
    lines = [short(line) for line in (await dbx("events", "/in")).out.splitlines()]
    paths = [(happened, place.split()[-1]) for happened, place in lines]
    assert ("trashed", "/in/a") in paths
    assert not any("out" in place or "inside" in place for _, place in paths)
    assert [place.split()[-1] for _, place in lines] == ["/in/", "/in/a", "/in/deep/", "/in/deep/b", "/in/a"]
    assert "(not-found)" in (await dbx("events", "/missing", code=1)).err


@pytest.mark.parametrize(
    "arguments",
    [
        ["events", "--since", "soon"],
        ["events", "--since", "2h", "--cursor", "x"],
        ["events", "--kind", "file.eaten"],
        ["watch", "/"],
        ["watch", "/", "--", "no-such-command"],
        ["watch", "/", "--coalesce", "0", "--", "true"],
    ],
)
async def test_wrong_usage(dbx: Dbx, arguments: list[str]) -> None:
    done = await dbx(*arguments, code=2)
    assert done.err
    assert "Traceback" not in done.err


# Following


async def test_follow_prints_events_immediately_and_ends_quietly(dbx: Dbx) -> None:
    async with following(dbx) as process:
        await put(dbx, "/cat.jpg")
        assert told(await process.line()) == ("file.created", "/cat.jpg")
        await dbx("mv", "/cat.jpg", "/dog.jpg")
        assert told(await process.line()) == ("file.renamed", "/dog.jpg")
        assert await process.end() == ("", "")


async def test_follow_with_a_closed_reader_ends_quietly(dbx: Dbx) -> None:
    async with following(dbx) as process:
        transport: Any = process.process._transport  # type: ignore[attr-defined]
        transport.get_pipe_transport(1).close()
        await put(dbx, "/one")
        done = await finished(process.process, stdin=None, code=1)
        assert done.err == ""


async def test_follow_below_a_path_includes_earlier_items(dbx: Dbx) -> None:
    for path in ("/began/a", "/out/b"):
        await put(dbx, path)
    async with following(dbx, "/began") as process:
        await dbx("rm", "/out/b", "/began/a")
        assert told(await process.line()) == ("file.trashed", None)
        assert (await process.end())[0] == ""


async def test_follow_across_a_restart_prints_each_event_once(
    postgres_url: str, s3_config: S3Config, tmp_path: Path
) -> None:
    settings = make_settings(postgres_url, s3_config)
    async with contextlib.AsyncExitStack() as stack:
        port = stack.enter_context(reserve_port())
        async with running_server(settings, port=port) as server:
            person = await stack.enter_async_context(signed_in(server, tmp_path))
            process = await stack.enter_async_context(following(person))
            await put(person, "/before")
            assert await process.event() == ("file.created", "/before")
        async with running_server(settings) as other:  # another port: changes while the follower has no server
            person.account.client.base_url = other.url
            for count in range(3):
                await put(person, f"/meanwhile-{count}")
        person.change_sign_in(access_token="ran-out")
        async with running_server(settings, port=port) as again:
            person.account.client.base_url = again.url
            for count in range(3):
                assert await process.event() == ("file.created", f"/meanwhile-{count}")
            await put(person, "/after")
            assert await process.event() == ("file.created", "/after")
            assert (await process.end())[0] == ""


# Watching


async def test_watch_passes_the_event_to_the_command(dbx: Dbx) -> None:
    file_id = await put(dbx, "/in/deep/a")
    await put(dbx, "/out/folder/b")
    script = 'read -r event; echo "$DBX_KIND|$DBX_PATH|${DBX_OLD_PATH-none}|$DBX_FILE_ID|$DBX_COUNT"; echo "$event"'
    async with watching(dbx, "/in", "--", "sh", "-c", script) as process:

        async def run() -> list[str]:
            first = (await process.line()).split("|")
            event = json.loads(await process.line())
            assert (event["kind"], event["file_id"]) == (first[0], first[3])
            assert first[4] == "1"
            return first[:3]

        await put(dbx, "/out/ignored")
        await dbx("mv", "/in/deep/a", "/in/deep/b")
        assert await run() == ["file.renamed", "/in/deep/b", "/in/deep/a"]
        await dbx("mv", "/in/deep", "/in/deeper")
        assert await run() == ["file.renamed", "/in/deeper", "/in/deep"]
        await dbx("mv", "/out/folder", "/in")  # its contents are in the tree from now on
        assert await run() == ["file.moved", "/in/folder", "none"]
        await dbx("rm", "/in/folder/b")
        assert await run() == ["file.trashed", "", "/in/folder/b"]
        await dbx("restore", "/in/folder/b")
        assert await run() == ["file.restored", "/in/folder/b", "none"]
        await dbx("mv", "/in/folder", "/out")  # and no longer from now on
        assert await run() == ["file.moved", "/out/folder", "/in/folder"]
        await dbx("rm", "/out/folder/b")
        await dbx("mv", "/in", "/renamed")
        assert await run() == ["file.renamed", "/renamed", "/in"]
        await dbx("rm", f"id:{file_id}")
        assert await run() == ["file.trashed", "", "/renamed/deeper/b"]
        await dbx("trash", "empty", "--yes")
        assert await run() == ["file.deleted", "", "/renamed/deeper/b"]
        assert await process.end() == ("", "")


async def test_watch_reports_changes_of_an_ancestor(dbx: Dbx) -> None:
    await put(dbx, "/a/b/in/x")
    await put(dbx, "/a/beside")
    async with watching(dbx, "/a/b/in", "--", *SHOW) as process:
        await dbx("mv", "/a", "/A")
        assert await process.line() == "file.renamed /A/b/in /a/b/in 1"
        await dbx("mv", "/A/beside", "/besides")
        await dbx("mv", "/A/b/in/x", "/A/b/in/y")
        assert await process.line() == "file.renamed /A/b/in/y /A/b/in/x 1"
        await dbx("mkdir", "/other")
        await dbx("mv", "/A/b", "/other")
        assert await process.line() == "file.moved /other/b/in /A/b/in 1"
        await dbx("rm", "/A")  # no longer an ancestor
        await dbx("mv", "/other", "/another")
        assert await process.line() == "file.renamed /another/b/in /other/b/in 1"
    watch = ("/another/b/in", "--state", "state", "--", *SHOW)
    async with watching(dbx, *watch) as process:
        await process.end()
    await dbx("rm", "/another")
    async with watching(dbx, *watch) as process:
        assert await process.line() == "file.trashed  /another/b/in 1"
        await dbx("restore", "/another")
        assert await process.line() == "file.restored /another/b/in none 1"
        await dbx("rm", "/another")
        assert await process.line() == "file.trashed  /another/b/in 1"
        await dbx("trash", "empty", "--yes")
        assert await process.line() == "file.deleted  /another/b/in 1"
    lines = [short(line)[0] for line in (await dbx("events", "/besides")).out.splitlines()]
    assert lines == ["added", "moved"]


async def test_watch_filters_kinds_and_runs_once(dbx: Dbx) -> None:
    await dbx("mkdir", "/in")
    async with watching(dbx, "/in", "--kind", "file.trashed", "--once", "--", *SHOW) as process:
        await put(dbx, "/in/a")
        await dbx("rm", "/in/a")
        done = await finished(process.process, stdin=None, code=0)
        assert done.out == "file.trashed  /in/a 1\n"
    async with watching(dbx, "/in", "--once", "--", "false") as process:
        await put(dbx, "/in/b")
        assert "false exited with 1" in (await finished(process.process, stdin=None, code=1)).err


async def test_watch_coalesces_changes(dbx: Dbx) -> None:
    await dbx("mkdir", "/in")
    async with watching(dbx, "/in", "--coalesce", "5", "--once", "--", "sh", "-c", "cat; echo $DBX_COUNT") as process:
        for name in ("a", "b", "c"):
            await make_folder(dbx.account, f"/in/{name}")
        done = await finished(process.process, stdin=None)
        *events, count = done.out.splitlines()
        assert [told(line)[1] for line in events] == ["/in/a", "/in/b", "/in/c"][: int(count)]
        assert int(count) > 1


async def test_watch_reports_a_failed_command_and_continues(dbx: Dbx) -> None:
    await dbx("mkdir", "/in")
    fail = ("sh", "-c", 'echo "$DBX_PATH"; [ "$DBX_PATH" != /in/bad ] || kill -9 $$')
    async with watching(dbx, "/in", "--", *fail) as process:
        await put(dbx, "/in/bad")
        await put(dbx, "/in/good")
        assert [await process.line(), await process.line()] == ["/in/bad", "/in/good"]
        _, err = await process.end()
        assert err == "dbx: sh was killed by SIGKILL, for file.created /in/bad\n"


async def test_watch_survives_unencodable_paths_and_unnamed_signals(dbx: Dbx, monkeypatch: pytest.MonkeyPatch) -> None:
    await dbx("mkdir", "/in")
    for name, value in {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}.items():
        monkeypatch.setenv(name, value)
    fail = ("sh", "-c", '[ "$DBX_PATH" != /in/odd ] || kill -40 $$; echo "$DBX_PATH"')
    async with watching(dbx, "/in", "--", *fail) as process:
        await put(dbx, "/in/\u00fcber")  # an ASCII environment cannot represent it
        await put(dbx, "/in/odd")  # only the first and last real-time signals have names
        await put(dbx, "/in/good")
        assert await process.line() == "/in/good"
        _, err = await process.end()
        assert "sh cannot be run: " in err
        assert "sh was killed by signal 40, for file.created /in/odd" in err


async def test_watch_of_a_shared_folder_follows_the_share(dbx: Dbx, server: RunningServer, tmp_path: Path) -> None:
    await dbx("mkdir", "-p", "/Team/plans", "/private")
    (tmp_path / "bob").mkdir()
    async with signed_in(server, tmp_path / "bob") as bob:
        await verify(server.db, bob.account)
        await dbx("share", "/Team", bob.account.email)
        await bob("mkdir", "/Team")  # another folder of the same path
        await relay_changes(server.services)
        async with watching(bob, "shared:Team", "--", *SHOW) as process:
            await put(bob, "/Team/mine")
            await put(dbx, "/private/hidden")
            await put(dbx, "/Team/plans/a")
            await relay_changes(server.services)
            assert await process.line() == "file.created shared:Team/plans/a none 1"
            await dbx("mv", "/Team/plans/a", "/private/a")
            await relay_changes(server.services)
            assert await process.line() == "file.moved  shared:Team/plans/a 1"
            await dbx("unshare", "/Team", bob.account.email)
            await relay_changes(server.services)
            assert (await process.line()).startswith("share.revoked  shared:Team 1")
            await process.end()
        mine = [short(line) for line in (await bob("events")).out.splitlines()]
        assert ("added", "0") not in mine
        assert mine[-1][0] == "unshared"


async def test_watch_inside_a_shared_folder_follows_the_share(dbx: Dbx, server: RunningServer, tmp_path: Path) -> None:
    await put(dbx, "/private/Team/plans/a")
    (tmp_path / "bob").mkdir()
    async with signed_in(server, tmp_path / "bob") as bob:
        await verify(server.db, bob.account)
        await dbx("share", "/private/Team", bob.account.email)
        await relay_changes(server.services)
        async with watching(bob, "shared:Team/plans", "--", *SHOW) as process:

            async def told() -> str:
                await relay_changes(server.services)
                return await process.line()

            await dbx("unshare", "/private/Team", bob.account.email)
            assert await told() == "share.revoked  shared:Team/plans 1"
            await put(dbx, "/private/Team/plans/meanwhile/b")
            await dbx("share", "/private/Team", bob.account.email)
            assert await told() == "share.granted shared:Team/plans none 1"
            await dbx("rm", "/private/Team/plans/meanwhile/b")
            assert await told() == "file.trashed  shared:Team/plans/meanwhile/b 1"
            await dbx("mv", "/private/Team/plans/meanwhile", "/private")
            assert await told() == "file.moved  shared:Team/plans/meanwhile 1"
            await put(dbx, "/private/meanwhile/c")
            await dbx("mv", "/private/meanwhile", "/private/Team/plans")
            assert await told() == "file.moved shared:Team/plans/meanwhile none 1"
            await dbx("rm", "/private/Team/plans/meanwhile/c")
            assert await told() == "file.trashed  shared:Team/plans/meanwhile/c 1"
            await dbx("rm", "/private")
            assert await told() == "file.moved  shared:Team/plans 1"
            await dbx("restore", "/private")
            assert await told() == "file.moved shared:Team/plans none 1"
            await process.end()


# The state


async def test_watch_with_state_processes_changes_made_meanwhile(dbx: Dbx) -> None:
    await put(dbx, "/in/old")
    watch = ("/in", "--state", "state", "--", *SHOW)
    async with watching(dbx, "--once", *watch) as process:
        await put(dbx, "/in/a")
        assert (await finished(process.process, stdin=None)).out == "file.created /in/a none 1\n"
    assert (dbx.home / "state").stat().st_mode & 0o777 == 0o600
    await dbx("rm", "/in/old")
    await put(dbx, "/in/b")
    async with watching(dbx, *watch) as process:
        assert await process.line() == "file.trashed  /in/old 1"
        assert await process.line() == "file.created /in/b none 1"
        assert "in use" in (await dbx("watch", *watch, code=1)).err
        await put(dbx, "/in/c")
        assert await process.line() == "file.created /in/c none 1"
        await process.end()
    assert "the state of watching /in" in (await dbx("watch", "/", *watch[1:], code=2)).err
    assert "empty path" in (await dbx("watch", "/in", "--state", "", "--", "true", code=2)).err  # an unset variable
    kept = (dbx.home / "state").read_bytes()
    (dbx.home / "state").write_bytes(kept[:4096] + b"\xff" * (len(kept) - 4096))
    assert (await dbx("watch", *watch, code=1)).err == "dbx: state: database disk image is malformed\n"
    (dbx.home / "state").write_text("something else\n" * 100)
    assert "state" in (await dbx("watch", *watch, code=1)).err


async def test_killed_watch_resumes_with_the_unsettled_change(dbx: Dbx) -> None:
    await dbx("mkdir", "/in")
    # The command of /in/b waits for the file `go`, so that the kill arrives while it runs.
    script = 'echo "$DBX_PATH"; if [ "$DBX_PATH" = /in/b ]; then until [ -e go ]; do sleep 0.05; done; fi'
    watch = ("/in", "--state", "state", "--", "sh", "-c", script)
    async with watching(dbx, *watch) as process:
        await process.end()
    for name in ("a", "b", "c"):  # one page of events
        await put(dbx, f"/in/{name}")
    async with watching(dbx, *watch) as process:
        assert [await process.line(), await process.line()] == ["/in/a", "/in/b"]
        process.process.kill()
        (dbx.home / "go").touch()  # the orphaned command ends
        await process.process.wait()
    async with watching(dbx, *watch) as process:
        assert [await process.line(), await process.line()] == ["/in/b", "/in/c"]
        await put(dbx, "/in/d")
        assert await process.line() == "/in/d"


async def test_watch_after_exit_on_error_resumes_with_that_change(dbx: Dbx) -> None:
    await dbx("mkdir", "/in")
    watch = ("/in", "--state", "state", "--exit-on-error", "--", "sh", "-c", 'echo "$DBX_PATH"; [ -e good ]')
    async with watching(dbx, *watch) as process:
        await put(dbx, "/in/a")
        await put(dbx, "/in/b")
        done = await finished(process.process, stdin=None, code=1)
        assert done.out == "/in/a\n"
        assert "sh exited with 1" in done.err
    (dbx.home / "good").touch()
    async with watching(dbx, *watch) as process:
        assert [await process.line(), await process.line()] == ["/in/a", "/in/b"]


async def test_unsettled_change_is_repeated_although_the_file_changed(dbx: Dbx) -> None:
    await put(dbx, "/a/in/x")
    await dbx("mkdir", "/out")
    show = ("sh", "-c", f"{SHOW[2]}; [ -e good ]")
    watch = ("/a/in", "--state", "state", "--exit-on-error", "--", *show)
    good = dbx.home / "good"

    async def fails(line: str, *change: str) -> None:
        async with watching(dbx, *watch) as process:
            if change == ("put",):
                await put(dbx, "/a/in/new")
            else:
                await dbx(*change)
            assert (await finished(process.process, stdin=None, code=1)).out == f"{line}\n"

    async def comes(*lines: str) -> None:
        good.touch()
        for line in lines:
            async with watching(dbx, "--once", *watch) as process, asyncio.timeout(LONG_S):
                assert (await finished(process.process, stdin=None)).out == f"{line}\n"
        good.unlink()

    await fails("file.created /a/in/new none 1", "put")
    await dbx("rm", "/a/in/new")
    await comes("file.created  /a/in/new 1", "file.trashed  /a/in/new 1")
    await fails("file.renamed /a/in/y /a/in/x 1", "mv", "/a/in/x", "/a/in/y")
    await comes("file.renamed /a/in/y /a/in/x 1")
    await fails("file.moved /out/y /a/in/y 1", "mv", "/a/in/y", "/out")
    await comes("file.moved /out/y /a/in/y 1")
    await fails("file.renamed /b/in /a/in 1", "mv", "/a", "/b")
    await dbx("rm", "/b")
    await comes("file.renamed  /a/in 1", "file.trashed  /b/in 1")


# Signals


@pytest.fixture(autouse=True, scope="module")
def _hang_ups_are_heard() -> Iterator[None]:
    """Under `nohup` the child processes of the tests would ignore these signals too."""
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, before)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)])
async def test_signals_reach_all_descendants_of_the_command(dbx: Dbx, number: int, code: int) -> None:
    await dbx("mkdir", "/in")
    script = "trap 'echo tidied; exit 1' INT TERM HUP; sh -c 'echo $$; exec sleep 1000'; true"
    async with watching(dbx, "/in", "--state", "state", "--", "sh", "-c", script) as process:
        await put(dbx, "/in/a")
        child = int(await process.line())
        out, err = await process.end(number, code=code)
        assert out == "tidied\n"
        assert "dbx" not in err  # the shell may print a message
        assert await gone(child)


async def test_second_signal_kills_the_command(dbx: Dbx) -> None:
    await dbx("mkdir", "/in")
    script = "trap 'echo heard' INT; echo $$; while :; do sleep 0.1; done"
    async with watching(dbx, "/in", "--", "sh", "-c", script) as process:
        await put(dbx, "/in/a")
        child = int(await process.line())
        process.process.send_signal(signal.SIGINT)
        assert await process.line() == "heard"  # of two pending signals only one is delivered
        assert process.process.returncode is None
        assert (await process.end())[0] == ""
        assert await gone(child)


async def gone(pid: int) -> bool:
    """Wait for the end of a process."""
    async with asyncio.timeout(LONG_S):
        while True:
            try:
                os.kill(pid, 0)
            except ProcessLookupError:
                return True
            await asyncio.sleep(0.02)


# Expired cursors


def answer(document: dict[str, Any], status: int = 200) -> Scripted:
    return Scripted(status, json.dumps(document).encode())


async def test_expired_cursor_is_reported(dbx: Dbx) -> None:
    expired = answer({"code": "cursor-expired", "status": 410, "detail": "The journal does not reach back"}, 410)
    with fake_server() as fake:
        dbx.change_sign_in(server=fake.url)
        fake.script = [expired]
        assert "cursor-expired" in (await dbx("events", "--cursor", "old", code=1)).err
        empty: dict[str, Any] = {"items": [], "next_cursor": None}
        root = (await dbx.account.client.get("/v1/files/by-path", params={"path": "/"})).json()
        fake.script = [answer({"cursor": "c"}), answer(root), answer(empty), expired]
        failed = await dbx("watch", "/", "--state", "state", "--", "true", code=1)
        assert "delete state" in failed.err
