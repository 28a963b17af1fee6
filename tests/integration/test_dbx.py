"""`dbx` transfers with real processes, server and store, through a proxy that injects network faults."""

import asyncio
import contextlib
import hashlib
import os
import pty
import signal
import sys
import threading
import unicodedata
from pathlib import Path
from typing import Any

import pytest

from dropbox_client.client import Client
from dropbox_client.tokens import TokenFile
from dropbox_client.transfer.cdc import cut_bytes
from tests.support.dbx import PIPE, Dbx, finished, make_file
from tests.support.server import RunningServer, send, sha256
from tests.support.store_proxy import Do, Request, StoreProxy

MIB = 1024 * 1024


# Upload and download


@pytest.mark.parametrize("size", [0, 1, 8 * MIB, 8 * MIB + 1, 20 * MIB + 12345])
async def test_upload_and_download_preserve_content_and_time(dbx: Dbx, tmp_path: Path, size: int) -> None:
    data = make_file(tmp_path / "file.bin", size)
    os.utime(tmp_path / "file.bin", ns=(0, 1_700_000_000_123_456_000))
    done = await dbx("upload", "file.bin", "/some/where", "--json")
    assert done.records[0]["path"] == "/some/where/file.bin"
    assert done.records[0]["fingerprint"] == sha256(data)
    assert done.records[0]["sent_bytes"] == size
    await dbx("download", "/some/where/file.bin", "back.bin")
    assert (tmp_path / "back.bin").read_bytes() == data
    assert (tmp_path / "back.bin").stat().st_mtime_ns == 1_700_000_000_123_456_000


async def test_upload_and_download_keep_whether_a_file_may_be_run(dbx: Dbx, tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    make_file(tmp_path / "bin" / "tool", 100)
    make_file(tmp_path / "bin" / "text", 100)
    (tmp_path / "bin" / "tool").chmod(0o750)
    await dbx("upload", "bin", "/")
    await dbx("download", "/bin", "all")
    await dbx("download", "/bin/tool", "one")
    modes = [(tmp_path / name).stat().st_mode & 0o111 for name in ("all/bin/tool", "one", "all/bin/text")]
    assert [bool(mode) for mode in modes] == [True, True, False]

    (tmp_path / "bin" / "tool").chmod(0o640)
    await dbx("upload", "bin", "/", "--on-conflict", "replace")
    await dbx("download", "/bin/tool", "plain")
    assert not (tmp_path / "plain").stat().st_mode & 0o111


@pytest.mark.parametrize(
    "name", ["räksmörgås 🦐.txt", "%41?#&+.txt", "' \"quoted\\.txt", unicodedata.normalize("NFD", "é")]
)
async def test_upload_of_any_name_round_trips(dbx: Dbx, tmp_path: Path, name: str) -> None:
    data = make_file(tmp_path / name, 1000)
    await dbx("upload", name, "--to", "/ünï cödé")
    listed = await dbx("ls", "/ünï cödé", "--json")
    assert [file["name"] for file in listed.records] == [unicodedata.normalize("NFC", name)]
    await dbx("download", f"/ünï cödé/{name}", "back")
    await dbx("download", f"/ünï cödé/{name}", "new/folder/")
    downloaded = [tmp_path / "back", tmp_path / "new/folder" / unicodedata.normalize("NFC", name)]
    assert [file.read_bytes() for file in downloaded] == [data, data]


async def test_upload_of_stored_content_sends_nothing(dbx: Dbx, proxy: StoreProxy, tmp_path: Path) -> None:
    make_file(tmp_path / "small", 1000)
    await dbx("upload", "small")
    proxy.requests.clear()
    again = await dbx("upload", "small", "/elsewhere")
    assert "already there" in again.out
    assert proxy.sent() == []
    assert (await dbx.remote("/elsewhere/small"))["size_bytes"] == 1000


async def test_upload_to_a_taken_name_follows_on_conflict(dbx: Dbx, tmp_path: Path) -> None:
    make_file(tmp_path / "x", 10)
    await dbx("upload", "x")
    first = await dbx.remote("/x")
    make_file(tmp_path / "other", 20)
    (tmp_path / "other").replace(tmp_path / "x")
    refused = await dbx("upload", "x", "--on-conflict", "fail", "--json", code=1)
    assert refused.records[0]["error"]["code"] == "name-taken"
    renamed = await dbx("upload", "x", "--on-conflict", "rename", "--json")
    assert renamed.records[0]["path"] == "/x (1)"
    await dbx("upload", "x")
    replaced = await dbx.remote("/x")
    assert replaced["id"] == first["id"]
    assert replaced["size_bytes"] == 20


async def test_upload_to_a_file_by_id_makes_a_new_version(dbx: Dbx, tmp_path: Path) -> None:
    local, other = tmp_path / "a.txt", tmp_path / "other name"
    make_file(local, 1)
    make_file(other, 2)
    await dbx("upload", local, "/")
    (file,) = (await dbx("ls", "/", "--json")).records
    done = await dbx("upload", other, f"id:{file['id']}", "--json")
    assert [(record["id"], record["path"], record["size_bytes"]) for record in done.records] == [
        (file["id"], "/a.txt", 2)
    ]
    refused = await dbx("upload", other, other, f"id:{file['id']}", code=2)
    assert "exactly one file" in refused.err
    assert "exactly one file" in (await dbx("upload", tmp_path, f"id:{file['id']}", code=2)).err


async def test_upload_of_a_tree_stores_every_file(dbx: Dbx, proxy: StoreProxy, tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    contents: dict[str, bytes] = {}
    for folder in ("", "a/", "a/b/"):
        (tree / folder).mkdir(parents=True, exist_ok=True)
        contents[f"{folder}empty"] = make_file(tree / folder / "empty", 0)
        for number in range(20):
            contents[f"{folder}{number}"] = make_file(tree / folder / str(number), 100 * number)  # equal in each folder
    contents["large"] = make_file(tree / "large", 9 * MIB)
    (tree / "link").symlink_to("large")
    (tree / os.fsdecode(b"\xff")).write_bytes(b"no Unicode name")
    done = await dbx("upload", "tree", "/backup", "--json", code=1)
    stored = {record["path"]: record for record in done.records if "path" in record}
    assert {path: record["fingerprint"] for path, record in stored.items()} == {
        f"/backup/tree/{name}": sha256(data) for name, data in contents.items()
    }
    assert "link: a symbolic link is not followed" in done.err
    assert "not valid Unicode" in done.err
    for name in ("a/b/19", "large", "a/empty"):
        assert (await dbx.remote(f"/backup/tree/{name}"))["fingerprint"] == sha256(contents[name])
    proxy.requests.clear()
    (tree / os.fsdecode(b"\xff")).unlink()
    again = await dbx("upload", "tree", "/backup", "--json")
    assert len([record for record in again.records if "path" in record]) == len(contents)


async def test_upload_of_stdin_stores_its_content_under_the_name(dbx: Dbx, tmp_path: Path) -> None:
    text = "from a pipe\n" * 1000
    done = await dbx("upload", "-", "/from", "--name", "x.txt", "--json", stdin=text)
    assert done.records[0]["local_path"] == "-"
    stored = await dbx.remote("/from/x.txt")
    assert (stored["fingerprint"], stored["content_type"]) == (sha256(text.encode()), "text/plain")
    command = f"exec {sys.executable} -m dropbox_client upload - --name large < large"
    data = make_file(tmp_path / "large", 9 * MIB)
    process = await asyncio.create_subprocess_shell(
        command, cwd=tmp_path, env=dbx.environment, stdout=PIPE, stderr=PIPE
    )
    await finished(process, stdin=None)
    assert (await dbx.remote("/large"))["fingerprint"] == sha256(data)


@pytest.mark.parametrize("path", ["/proc/self/status", "fifo"])
async def test_upload_of_a_named_file_that_is_not_sent_exits_1(dbx: Dbx, tmp_path: Path, path: str) -> None:
    os.mkfifo(tmp_path / "fifo")
    failed = await dbx("upload", path, "--to", "/", code=1)
    assert f"{path}" in failed.err
    assert "dbx upload -" in failed.err
    assert (await dbx("ls")).out == ""


async def test_upload_counts_the_files_of_the_operating_system(dbx: Dbx, tmp_path: Path) -> None:
    (tmp_path / "tree").mkdir()
    for name in ("Icon\r", ".DS_Store", "a"):
        make_file(tmp_path / "tree" / name, 10)
    quiet = await dbx("upload", "tree")
    assert "skipped 2 files of the operating system; -v lists them\n" in quiet.err
    assert ".DS_Store" not in quiet.err
    assert (await dbx("ls", "/tree")).out == "a\n"
    assert ".DS_Store" in (await dbx("upload", "tree", "-v")).err


async def test_upload_with_a_bad_file_continues(dbx: Dbx, tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    tree.mkdir()
    for name in ("a", "b\nc", "d"):
        make_file(tree / name, 100)
    done = await dbx("upload", "tree", "missing", "--json", code=1)
    assert [record["path"] for record in done.records if "path" in record] == ["/tree/a", "/tree/d"]
    assert [record["error"]["code"] for record in done.records if "error" in record] == ["invalid-name"]
    assert "missing: No such file" in done.err


# Interruptions


async def hold_from_part_4(dbx: Dbx, proxy: StoreProxy, *arguments: str) -> asyncio.subprocess.Process:
    """Start an upload and return when parts 1 to 3 are stored and others are in flight."""
    proxy.decide = lambda request: Do.HOLD if request.part > 3 else Do.PASS
    process = await dbx.start("upload", "file", *arguments)
    await proxy.until(lambda: proxy.sent() == [1, 2, 3] and proxy.held > 0)
    return process


async def test_killed_upload_resumes_with_missing_parts(dbx: Dbx, proxy: StoreProxy, tmp_path: Path) -> None:
    data = make_file(tmp_path / "file", 40 * MIB)
    process = await hold_from_part_4(dbx, proxy)
    process.kill()
    await finished(process, code=-signal.SIGKILL)
    proxy.reset()
    done = await dbx("upload", "file", "--json")
    sizes = list(cut_bytes(data))
    assert proxy.sent() == list(range(4, len(sizes) + 1))
    assert done.records[0]["sent_bytes"] == sum(sizes[3:])
    assert (await dbx.remote("/file"))["fingerprint"] == sha256(data)


async def test_upload_to_a_store_that_does_not_answer_says_so(dbx: Dbx, proxy: StoreProxy, tmp_path: Path) -> None:
    data = make_file(tmp_path / "file", 40 * MIB)
    process = await hold_from_part_4(dbx, proxy)
    assert process.stderr
    line = (await process.stderr.readline()).decode()
    assert line.startswith("dbx: waiting since ")
    assert f"no answer from {proxy.url.removeprefix('http://')}" in line
    proxy.decide = lambda _: Do.PASS
    proxy.released.set()
    await finished(process)
    assert (await dbx.remote("/file"))["fingerprint"] == sha256(data)


async def test_ctrl_c_stops_and_says_how_to_continue(dbx: Dbx, proxy: StoreProxy, tmp_path: Path) -> None:
    data = make_file(tmp_path / "file", 40 * MIB)
    process = await hold_from_part_4(dbx, proxy)
    process.send_signal(signal.SIGINT)
    stopped = await finished(process, code=130)
    assert "run the same command again" in stopped.err
    assert "Traceback" not in stopped.err
    (session,) = await dbx.live_sessions()
    assert session["destinations"][0]["name"] == "file"
    proxy.reset()
    await dbx("upload", "file")
    assert proxy.sent() == list(range(4, len(list(cut_bytes(data))) + 1))


async def unbound_session(dbx: Dbx, data: bytes, numbers: list[int]) -> dict[str, Any]:
    """Create the session of a client that was killed before it knew the fingerprint."""
    body = {"size_bytes": len(data), "destination": {"name": "file", "on_conflict": "replace"}}
    started = (await dbx.account.client.post("/v1/uploads", json=body)).raise_for_status().json()
    await send(dbx.account, started["upload"], data, numbers)
    upload: dict[str, Any] = started["upload"]
    return upload


async def test_upload_killed_before_the_fingerprint_resumes(dbx: Dbx, proxy: StoreProxy, tmp_path: Path) -> None:
    data = make_file(tmp_path / "file", 40 * MIB)
    session = await unbound_session(dbx, data, [1, 3])
    proxy.requests.clear()
    await dbx("upload", "file")
    assert proxy.sent() == [2, 4, 5]
    assert (await dbx.remote("/file"))["fingerprint"] == sha256(data)
    assert (await dbx.account.client.get(f"/v1/uploads/{session['id']}")).json()["state"] == "completed"


async def test_session_of_another_file_of_the_same_size_is_left_alone(dbx: Dbx, tmp_path: Path) -> None:
    data = make_file(tmp_path / "file", 20 * MIB)
    other = data[: 10 * MIB] + bytes(10 * MIB)  # the same beginning
    session = await unbound_session(dbx, other, [1, 2, 3])
    await dbx("upload", "file", "/here")
    assert (await dbx.remote("/here/file"))["fingerprint"] == sha256(data)
    assert [left["id"] for left in await dbx.live_sessions()] == [session["id"]]


async def test_session_with_chunks_of_other_bytes_is_aborted(dbx: Dbx, tmp_path: Path) -> None:
    data = make_file(tmp_path / "file", 20 * MIB)
    torn = data[: 10 * MIB] + bytes(10 * MIB)
    session = await unbound_session(dbx, torn, [1, 2])
    binding = await dbx.account.client.put(
        f"/v1/uploads/{session['id']}/fingerprint", json={"fingerprint": sha256(data)}
    )
    binding.raise_for_status()
    await dbx("upload", "file")
    await dbx("download", "/file", "back")
    assert (tmp_path / "back").read_bytes() == data
    assert (await dbx.account.client.get(f"/v1/uploads/{session['id']}")).json()["state"] == "aborted"


async def test_uploads_resume_and_abort_by_id(dbx: Dbx, proxy: StoreProxy, tmp_path: Path) -> None:
    data = make_file(tmp_path / "file", 20 * MIB)
    session = await unbound_session(dbx, data, [1])
    (listed,) = (await dbx("uploads", "--json")).records
    assert listed["id"] == session["id"]
    proxy.requests.clear()
    (tmp_path / "file").rename(tmp_path / "renamed")
    await dbx("uploads", "resume", session["id"], "renamed")
    assert proxy.sent() == [2, 3]
    assert (await dbx.remote("/file"))["fingerprint"] == sha256(data)
    assert (await dbx("uploads", "list")).out == ""

    other = await unbound_session(dbx, make_file(tmp_path / "other", 10 * MIB), [1])
    await dbx("uploads", "abort", other["id"])
    assert await dbx.live_sessions() == []


# Changes during the upload


@pytest.mark.parametrize("change", ["in place", "appended", "truncated"])
async def test_file_changed_during_upload_is_not_stored(
    dbx: Dbx, proxy: StoreProxy, tmp_path: Path, change: str
) -> None:
    make_file(tmp_path / "file", 40 * MIB)
    process = await hold_from_part_4(dbx, proxy)
    with (tmp_path / "file").open("r+b") as file:
        if change == "in place":
            file.seek(35 * MIB)
            file.write(b"changed")
        elif change == "appended":
            file.seek(0, os.SEEK_END)
            file.write(b"changed")
        else:
            file.truncate(38 * MIB)
    proxy.released.set()
    failed = await finished(process, code=1)
    assert "changed while it was" in failed.err or "became shorter" in failed.err
    assert (await dbx.account.client.get("/v1/files/by-path", params={"path": "/file"})).status_code == 404
    assert await dbx.live_sessions() == []


async def test_changed_file_is_retried_with_the_option(dbx: Dbx, proxy: StoreProxy, tmp_path: Path) -> None:
    make_file(tmp_path / "file", 40 * MIB)
    process = await hold_from_part_4(dbx, proxy, "--retry-changed")
    with (tmp_path / "file").open("r+b") as file:
        file.write(b"changed")
    proxy.decide = lambda _: Do.PASS
    proxy.released.set()
    await finished(process)
    now = hashlib.sha256((tmp_path / "file").read_bytes()).hexdigest()
    assert (await dbx.remote("/file"))["fingerprint"] == now


# Network faults


@pytest.mark.parametrize("fault", [Do.FLIP, Do.SPOIL, Do.BUSY, Do.CUT, Do.LOSE])
@pytest.mark.parametrize("size", [1 * MIB, 20 * MIB])
async def test_upload_survives_faults(dbx: Dbx, proxy: StoreProxy, tmp_path: Path, fault: Do, size: int) -> None:
    data = make_file(tmp_path / "file", size)

    def decide(request: Request) -> Do:
        return fault if request.method == "PUT" and request.part == 1 and request.tries < 2 else Do.PASS

    proxy.decide = decide
    await dbx("upload", "file")
    assert sum(request.part == 1 and request.method == "PUT" for request in proxy.requests) >= 3
    await dbx("download", "/file", "back")
    assert (tmp_path / "back").read_bytes() == data


@pytest.mark.parametrize("fault", [Do.SPOIL, Do.BUSY, Do.CUT, Do.LOSE])
async def test_download_survives_faults(dbx: Dbx, proxy: StoreProxy, tmp_path: Path, fault: Do) -> None:
    data = make_file(tmp_path / "file", 20 * MIB)
    await dbx("upload", "file")
    proxy.decide = lambda request: fault if request.method == "GET" and request.tries < 2 else Do.PASS
    await dbx("download", "/file", "back")
    assert (tmp_path / "back").read_bytes() == data


async def test_damaged_download_changes_no_local_file(dbx: Dbx, proxy: StoreProxy, tmp_path: Path) -> None:
    make_file(tmp_path / "file", 20 * MIB)
    await dbx("upload", "file")
    (tmp_path / "kept").write_text("previous content")
    before = sorted(os.listdir(tmp_path))  # noqa: PTH208 - compares names
    proxy.decide = lambda request: Do.FLIP if request.method == "GET" and request.part > 1 else Do.PASS
    failed = await dbx("download", "/file", "kept", "--overwrite", code=1)
    assert "does not match its fingerprint" in failed.err
    assert (tmp_path / "kept").read_text() == "previous content"
    assert sorted(os.listdir(tmp_path)) == before  # noqa: PTH208


async def test_local_file_is_replaced_only_with_overwrite(dbx: Dbx, tmp_path: Path) -> None:
    data = make_file(tmp_path / "file", 1000)
    await dbx("upload", "file")
    (tmp_path / "kept").write_text("previous content")
    refused = await dbx("download", "/file", "kept", code=1)
    assert "already exists" in refused.err
    assert (tmp_path / "kept").read_text() == "previous content"
    await dbx("download", "/file", "kept", "--overwrite")
    assert (tmp_path / "kept").read_bytes() == data
    assert "already there" in (await dbx("download", "/file", "kept")).out


async def test_progress_bars_appear_on_a_terminal_only(dbx: Dbx, tmp_path: Path) -> None:
    make_file(tmp_path / "file", 20 * MIB)
    leader, follower = pty.openpty()
    try:
        process = await dbx.start("upload", "file", stderr=follower)
        done = await finished(process)
    finally:
        os.close(follower)
    shown = b""
    with contextlib.suppress(OSError), open(leader, "rb", buffering=0) as terminal:  # noqa: PTH123, ASYNC230 - a pty
        while data := terminal.read(65536):
            shown += data
    assert done.out == "file -> /file\n"
    assert b"/20.0 MiB" in shown
    assert b"1 file, 20.0 MiB" in shown


# Concurrency


async def test_two_processes_upload_one_file(dbx: Dbx, tmp_path: Path) -> None:
    data = make_file(tmp_path / "file", 40 * MIB)
    both = [await dbx.start("upload", "file", folder) for folder in ("/one", "/two")]
    await asyncio.gather(*map(finished, both))
    for folder in ("/one", "/two"):
        assert (await dbx.remote(f"{folder}/file"))["fingerprint"] == sha256(data)
    assert await dbx.live_sessions() == []
    await dbx("download", "/two/file", "back")
    assert (tmp_path / "back").read_bytes() == data


async def test_concurrent_refreshes_keep_the_sign_in(dbx: Dbx, behind_proxy: RunningServer) -> None:
    barrier = threading.Barrier(4)

    def ask() -> str:
        tokens = TokenFile(dbx.home / "config" / "tokens.json")  # as in a separate process
        with Client(behind_proxy.url, tokens) as client:
            barrier.wait()
            return client.account.get().email

    for _ in range(3):
        dbx.change_sign_in(access_token="not-a-token")
        assert set(await asyncio.gather(*[asyncio.to_thread(ask) for _ in range(4)])) == {dbx.account.email}
    await dbx("whoami")


# Exit codes


async def test_command_without_sign_in_exits_3(dbx: Dbx, tmp_path: Path) -> None:
    tokens = tmp_path / "config" / "tokens.json"
    assert tokens.stat().st_mode & 0o777 == 0o600
    await dbx("logout")
    assert not tokens.exists()
    for command in (["whoami"], ["ls"], ["upload", "x"]):
        assert "dbx login" in (await dbx(*command, code=3)).err


async def test_login_with_wrong_password_or_taken_address_fails(dbx: Dbx, behind_proxy: RunningServer) -> None:
    login = ("login", "--server", behind_proxy.url, "--email", dbx.account.email, "--password-stdin")
    assert "invalid-credentials" in (await dbx(*login, stdin="wrong password\n", code=1)).err
    assert "email-taken" in (await dbx(*login, "--register", stdin="another password\n", code=1)).err
    await dbx("whoami")


@pytest.mark.parametrize(
    "arguments",
    [
        ["upload"],
        ["upload", "x", "/etc"],
        ["upload", ""],
        ["upload", "-"],
        ["upload", "-", "x", "--name", "y"],
        ["upload", "x", "--name", "y"],
        ["download", "", "."],
        ["ls", ""],
        ["upload", "x", "--to", "not/absolute"],
        ["upload", "x", "--on-conflict", "perhaps"],
        ["download", "/", "--version", "1"],
        ["cat"],
        ["mv", "/x"],
        ["mv", "/x", "/y", "/nowhere"],
        ["ls", "-S", "-t"],
        ["ls", "-R", "-t"],
        ["search"],
        ["restore", "/x", "/y", "--version", "1"],
        ["trash", "empty"],
        ["nonsense"],
        [],
    ],
)
async def test_wrong_usage(dbx: Dbx, arguments: list[str]) -> None:
    done = await dbx(*arguments, code=2)
    assert done.err
    assert "Traceback" not in done.err


async def test_unreachable_server_exits_4(dbx: Dbx) -> None:
    with contextlib.closing(await asyncio.start_server(lambda *_: None, "127.0.0.1", 0)) as closed:
        port = closed.sockets[0].getsockname()[1]
    dbx.change_sign_in(server=f"http://127.0.0.1:{port}")
    assert f"127.0.0.1:{port}" in (await dbx("ls", code=4)).err


async def test_upload_of_a_closed_stdin_is_refused(dbx: Dbx) -> None:
    command = f"exec {sys.executable} -m dropbox_client upload - / --name dump.sql <&-"
    process = await asyncio.create_subprocess_shell(command, env=dbx.environment, stdout=PIPE, stderr=PIPE)
    _, err = await process.communicate()
    assert (process.returncode, err) == (2, b"dbx: stdin is closed\n")
    assert "dump.sql" not in (await dbx("ls", "/")).out


@pytest.mark.parametrize("closed", ["1", "2"])
async def test_closed_output_is_no_error(dbx: Dbx, closed: str) -> None:
    command = f"exec {sys.executable} -m dropbox_client mkdir /made {closed}>&-"
    process = await asyncio.create_subprocess_shell(command, env=dbx.environment, stdout=PIPE, stderr=PIPE)
    out, err = await process.communicate()
    assert (process.returncode, out, err) == (0, b"", b"")
    assert (await dbx.remote("/made"))["kind"] == "folder"
