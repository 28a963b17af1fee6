"""`dbx` on files: folders, names, copies, trash, versions, search, and downloads of folders."""

import asyncio
import hashlib
import os
import pty
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import text

from dropbox_api.db import Db
from dropbox_api.workers.reuse import reuse_chunks
from dropbox_client.transfer.cdc import cut_bytes
from tests.support.dbx import Dbx, Done, finished, make_file
from tests.support.fake_server import Scripted, fake_server
from tests.support.server import RunningServer, running_job, upload_file
from tests.support.store_proxy import Do, StoreProxy

MIB = 1024 * 1024


async def put(dbx: Dbx, path: str, data: bytes = b"content") -> dict[str, str]:
    """Store a file and its folders."""
    folder, _, name = path.rpartition("/")
    where = {"folder_path": folder or "/", "on_conflict": "replace"}
    return await upload_file(dbx.account, data, name, destination=where)


async def tree(dbx: Dbx) -> list[str]:
    """Return all paths of the account, folders with a trailing slash."""
    return [f"/{path}" for path in (await dbx("ls", "-R")).out.splitlines()]


def local_tree(top: Path) -> dict[str, bytes | None]:
    """Return the contents of a local folder by path, None for folders."""
    return {str(path.relative_to(top)): None if path.is_dir() else path.read_bytes() for path in sorted(top.rglob("*"))}


# mkdir, mv, cp, rm


async def test_mkdir_creates_folders(dbx: Dbx) -> None:
    assert (await dbx("mkdir", "/a", "b/")).out == ""
    refused = await dbx("mkdir", "/a", "/missing/c", "/d", code=1)
    assert (
        "/a: The folder already contains an item of this name: choose another name or another on_conflict (name-taken)"
        in refused.err
    )
    assert "(not-found)" in refused.err
    made = await dbx("mkdir", "-p", "/a", "/a/x/y", "--json")
    assert [record["path"] for record in made.records] == ["/a", "/a/x/y"]
    assert await tree(dbx) == ["/a/", "/a/x/", "/a/x/y/", "/b/", "/d/"]


async def test_mv_renames_moves_and_prints_the_new_path(dbx: Dbx) -> None:
    for path in ("/one", "/two", "/in/three"):
        await put(dbx, path, path.encode())
    assert (await dbx("mv", "/one", "/in/uno")).out == "/one -> /in/uno\n"
    await dbx("mv", "/two", "/in/three", "/in/uno", "/in")
    await dbx("mv", "/in", "/out")
    assert await tree(dbx) == ["/out/", "/out/three", "/out/two", "/out/uno"]
    assert (await dbx("mv", "/out", "/Out")).out == "/out -> /Out\n"  # only the case changes: not a move into itself


async def test_recent_lists_own_files_last_changed_first(dbx: Dbx) -> None:
    await dbx("mkdir", "-p", "/a/b")
    await put(dbx, "/a/b/first")
    await put(dbx, "/second")
    assert (await dbx("recent")).out == "/second\n/a/b/first\n"
    assert (await dbx("recent", "--limit", "1", "-l")).out.endswith("  /second\n")


async def test_mv_to_a_taken_name_follows_on_conflict(dbx: Dbx) -> None:
    await put(dbx, "/a.txt", b"a")
    await put(dbx, "/b.txt", b"b")
    assert "name-taken" in (await dbx("mv", "/a.txt", "/b.txt", code=1)).err
    assert (await dbx("mv", "/a.txt", "/b.txt", "--on-conflict", "rename")).out == "/a.txt -> /b (1).txt\n"
    await dbx("mv", "/b (1).txt", "/b.txt", "--on-conflict", "replace")
    assert (await dbx("cat", "/b.txt")).out == "a"
    assert "/b.txt" in (await dbx("trash")).out


async def test_mv_of_impossible_targets_fails(dbx: Dbx) -> None:
    await dbx("mkdir", "-p", "/a/b")
    await put(dbx, "/file")
    assert "into-itself" in (await dbx("mv", "/a", "/a/b", code=1)).err
    assert "root-folder" in (await dbx("mv", "/", "/a", code=1)).err
    assert "not-found" in (await dbx("mv", "/file", "/missing/file", code=1)).err
    assert "not a folder" in (await dbx("mv", "/a", "/file", "/nowhere", code=2)).err
    moved = await dbx("mv", "/missing", "/file", "/a", code=1)  # a failure does not stop the others
    assert moved.out == "/file -> /a/file\n"


async def test_cp_transfers_no_bytes(dbx: Dbx, proxy: StoreProxy) -> None:
    await put(dbx, "/a/b/file", b"content")
    await dbx("mkdir", "/there")
    proxy.requests.clear()
    assert (await dbx("cp", "/a", "/there")).out == "/a -> /there/a\n"
    await dbx("cp", "/a/b/file", "/file")
    assert proxy.requests == []
    assert "name-taken" in (await dbx("cp", "/a", "/there", code=1)).err
    await dbx("rm", "/a")
    assert (await dbx("cat", "/there/a/b/file", "/file")).out == "contentcontent"


async def test_restore_undoes_rm(dbx: Dbx) -> None:
    for path in ("/a/one", "/a/two", "/three"):
        await put(dbx, path)
    removed = await dbx("rm", "/a", "/three", "/missing", code=1)
    assert "2 moved to the trash" in removed.err
    assert "/missing" in removed.err
    assert await tree(dbx) == []
    paths = [line.split(maxsplit=3)[-1] for line in (await dbx("trash")).out.splitlines()]
    assert len(paths) == 2
    assert (await dbx("restore", "/A", "/three")).out == "/A -> /a\n/three -> /three\n"
    assert await tree(dbx) == ["/a/", "/a/one", "/a/two", "/three"]
    assert (await dbx("trash")).out == ""
    assert "root-folder" in (await dbx("rm", "/", code=1)).err


async def test_rm_of_a_processed_file_needs_force(dbx: Dbx) -> None:
    file = await put(dbx, "/a/film")
    report = await dbx.account.client.put(f"/v1/files/{file['id']}/processing", json={"state": "running"})
    report.raise_for_status()
    assert "verified/running" in (await dbx("ls", "-l", "/a")).out
    assert "processing-running" in (await dbx("rm", "/a", code=1)).err
    await dbx("rm", "-f", "/a")
    assert await tree(dbx) == []


# The trash and versions


async def test_restore_of_an_ambiguous_path_takes_the_last_deleted(dbx: Dbx) -> None:
    for content in (b"first", b"second"):
        await put(dbx, "/file", content)
        await dbx("rm", "/file")
    restored = await dbx("restore", "/file")
    assert "several items in the trash" in restored.err
    assert (await dbx("cat", "/file")).out == "second"
    (older,) = (await dbx("trash", "--json")).records
    await dbx("mkdir", "/there")
    assert (await dbx("restore", older["id"], "--to", "/there")).out == f"{older['id']} -> /there/file\n"
    assert (await dbx("cat", "/there/file")).out == "first"


async def test_restore_to_a_taken_name_gets_a_number(dbx: Dbx) -> None:
    await put(dbx, "/file.txt", b"old")
    await dbx("rm", "/file.txt")
    await put(dbx, "/file.txt", b"new")
    assert (await dbx("restore", "/file.txt")).out == "/file.txt -> /file (1).txt\n"


async def test_restore_of_an_item_not_in_the_trash_fails(dbx: Dbx) -> None:
    await put(dbx, "/a/b/file")
    await dbx("rm", "/a/b")
    assert "its folder /a/b is in the trash" in (await dbx("restore", "/a/b/file", code=1)).err
    assert "not in the trash" in (await dbx("restore", "/a/other", code=1)).err
    assert "not-found" in (await dbx("restore", "00000000-0000-7000-8000-000000000000", code=1)).err


async def test_trash_empty_needs_confirmation(dbx: Dbx) -> None:
    for name in ("a", "b", "c"):
        await put(dbx, f"/{name}")
        await dbx("rm", f"/{name}")
    last, *_ = (await dbx("trash", "list", "--json")).records
    assert last["path"] == "/c"
    await dbx("trash", "rm", last["id"])
    assert "--yes" in (await dbx("trash", "empty", code=2)).err
    for answer, code, left in ((b"\n", 1, 2), (b"y\n", 0, 0)):
        leader, follower = pty.openpty()
        process = await dbx.start("trash", "empty", stdin=follower)
        os.close(follower)
        os.write(leader, answer)
        await finished(process, stdin=None, code=code)
        os.close(leader)
        assert len((await dbx("trash", "--json")).records) == left


async def test_versions_are_listed_downloaded_and_restored(dbx: Dbx, tmp_path: Path) -> None:
    for content in (b"one", b"two!"):
        await put(dbx, "/file", content)
    listed = (await dbx("versions", "/file")).out.splitlines()
    assert [line.split()[0] for line in listed] == ["2*", "1"]
    assert dbx.account.email in listed[0]
    assert "4 B" in listed[0]
    second, first = (await dbx("versions", "/file", "--json")).records
    assert (first["number"], first["is_head"], second["is_head"]) == (1, False, True)
    assert (await dbx("cat", "/file", "--version", "1")).out == "one"
    await dbx("download", "/file", "old", "--version", first["id"])
    assert (tmp_path / "old").read_text() == "one"
    await dbx("restore", "/file", "--version", "1")
    assert (await dbx("cat", "/file")).out == "one"
    assert [record["number"] for record in (await dbx("versions", "/file", "--json")).records] == [3, 2, 1]
    assert "no version 9" in (await dbx("restore", "/file", "--version", "9", code=1)).err
    assert "not-a-file" in (await dbx("versions", "/", code=1)).err


async def test_versions_pins_and_unpins_a_version(dbx: Dbx) -> None:
    for content in (b"one", b"two!"):
        await put(dbx, "/file", content)
    assert (await dbx("versions", "/file", "--pin", "1")).out.endswith("pinned\n")
    second, first = (await dbx("versions", "/file", "--json")).records
    assert (first["pinned"], second["pinned"]) == (True, False)
    assert "pinned" not in (await dbx("versions", "/file", "--unpin", first["id"])).out
    assert not any(record["pinned"] for record in (await dbx("versions", "/file", "--json")).records)
    assert "no version 9" in (await dbx("versions", "/file", "--pin", "9", code=1)).err
    await dbx("versions", "/file", "--pin", "1", "--unpin", "1", code=2)


# ls and search


async def test_ls_lists_sorts_and_recurses(dbx: Dbx) -> None:
    for path, size in (("/a", 20), ("/b", 30), ("/folder/c", 10)):
        await put(dbx, path, bytes(size))
    assert (await dbx("ls")).out == "a\nb\nfolder/\n"
    assert (await dbx("ls", "-r")).out == "folder/\nb\na\n"
    assert (await dbx("ls", "-S")).out.split()[:2] == ["b", "a"]
    assert (await dbx("ls", "-Sr")).out.split()[-2:] == ["a", "b"]
    assert (await dbx("ls", "-t")).out == "folder/\nb\na\n"
    assert (await dbx("ls", "-R", "/folder")).out == "c\n"
    assert (await dbx("ls", "/folder/c")).out == "c\n"
    first, _, folder = (await dbx("ls", "-l")).out.splitlines()
    assert first.startswith("-       20 B  20")
    assert first.endswith(f"verified     {dbx.account.email}  a")
    assert folder.startswith("d ")
    answer = await dbx.account.client.get("/v1/files", params={"path": "/"})
    (a, *_), (shown, *_) = answer.json()["items"], (await dbx("ls", "--json")).records
    assert shown.keys() == a.keys()


async def test_search_finds_by_name_type_and_kind(dbx: Dbx) -> None:
    for path in ("/a/report.pdf", "/b/Quarterly Report.txt", "/b/other"):
        await put(dbx, path)
    await dbx("mkdir", "/reports")
    everywhere = (await dbx("search", "report")).out.splitlines()
    assert sorted(everywhere) == ["/a/report.pdf", "/b/Quarterly Report.txt", "/reports/"]
    assert (await dbx("search", "report", "--in", "/b")).out == "/b/Quarterly Report.txt\n"
    assert (await dbx("search", "quarterly", "report")).out == "/b/Quarterly Report.txt\n"
    assert (await dbx("search", "report", "--kind", "folder")).out == "/reports/\n"
    assert len((await dbx("search", "report", "--limit", "1", "--json")).records) == 1
    assert len((await dbx("search", "--kind", "file")).out.splitlines()) == 3
    assert (await dbx("search", "report", "--type", "image/")).out == ""


# cat


@pytest.mark.parametrize("size", [0, 1000, 8 * MIB, 20 * MIB + 5])
async def test_cat_writes_the_content(dbx: Dbx, tmp_path: Path, size: int) -> None:
    data = make_file(tmp_path / "file", size)
    await dbx("upload", "file")
    process = await dbx.start("cat", "/file", "/file")
    out, err = await process.communicate()
    assert (process.returncode, err) == (0, b"")
    assert out == data + data


@pytest.mark.parametrize(("size", "written"), [(1000, 0), (20 * MIB, 16 * MIB)])
async def test_cat_of_damaged_content_fails(
    dbx: Dbx, proxy: StoreProxy, tmp_path: Path, size: int, written: int
) -> None:
    make_file(tmp_path / "file", size)
    await dbx("upload", "file")
    proxy.decide = lambda request: Do.FLIP if request.method == "GET" and request.part < 2 else Do.PASS
    process = await dbx.start("cat", "/file")
    out, err = await process.communicate()
    assert process.returncode == 1
    assert b"does not match its fingerprint" in err
    assert len(out) == written


async def test_cat_with_a_closed_reader_ends_quietly(dbx: Dbx, tmp_path: Path) -> None:
    make_file(tmp_path / "file", 20 * MIB)
    await dbx("upload", "file")
    process = await dbx.start("cat", "/file")
    assert process.stdout
    await process.stdout.readexactly(10)
    process.stdout._transport.close()  # type: ignore[attr-defined] # as `head` does
    assert process.stderr
    assert await process.stderr.read() == b""
    await process.wait()


async def test_cat_with_a_missing_file_continues(dbx: Dbx) -> None:
    await put(dbx, "/file", b"content")
    done = await dbx("cat", "/missing", "/file", "/", code=1)
    assert done.out == "content"
    assert "not-found" in done.err
    assert "not-a-file" in done.err


# Folders


@pytest.fixture
def there(tmp_path: Path) -> Path:
    """A local tree with empty folders, any names, empty and large files."""
    top = tmp_path / "tree"
    for folder in ("empty/below", "räksmörgås 🦐", "a/b"):
        (top / folder).mkdir(parents=True)
    for name in ("none", "' \"x\\", "%41?#&+", "räksmörgås 🦐/é", "a/one", "a/b/two"):
        make_file(top / name, 0 if name == "none" else 1000)
    make_file(top / "a/large", 20 * MIB)
    return top


async def test_folder_upload_and_download_round_trip(dbx: Dbx, proxy: StoreProxy, there: Path, tmp_path: Path) -> None:
    await dbx("upload", "tree", "/up")
    done = await dbx("download", "/up/tree", "new/back")
    assert local_tree(tmp_path / "new/back/tree") == local_tree(there)
    assert len(done.out.splitlines()) == 7
    assert "7 files, 20.0 MiB, in" in done.err
    proxy.requests.clear()
    again = await dbx("download", "/up/tree", "new/back", "--json")
    assert all(record["there"] for record in again.records)
    assert proxy.requests == []
    await dbx("download", "/", "all")
    assert local_tree(tmp_path / "all/up/tree") == local_tree(there)


async def test_folder_download_reports_obstacles_and_continues(dbx: Dbx, there: Path, tmp_path: Path) -> None:
    await dbx("upload", "tree")
    back, outside = tmp_path / "back/tree", tmp_path / "outside"
    back.mkdir(parents=True)
    outside.mkdir()
    (back / "a").symlink_to(outside)
    (back / "none").write_text("mine")
    (back / "empty").write_text("not a folder")
    done = await dbx("download", "/tree", "back", "--json", code=1)
    errors = {record["path"]: record["error"]["code"] for record in done.records if "error" in record}
    below_link = ("/tree/a", "/tree/a/b", "/tree/a/b/two", "/tree/a/large", "/tree/a/one")
    below_file = ("/tree/empty", "/tree/empty/below")
    assert errors == dict.fromkeys((*below_link, *below_file), "Refused") | {"/tree/none": "LocalExists"}
    assert list(outside.iterdir()) == []
    assert (back / "none").read_text() == "mine"
    assert (back / "räksmörgås 🦐/é").read_bytes() == (there / "räksmörgås 🦐/é").read_bytes()
    (back / "a").unlink()
    (back / "empty").unlink()
    await dbx("download", "/tree", "back", "--overwrite")
    assert local_tree(back) == local_tree(there)


async def test_folder_download_with_a_damaged_file_continues(
    dbx: Dbx, proxy: StoreProxy, there: Path, tmp_path: Path
) -> None:
    await dbx("upload", "tree")
    proxy.decide = lambda request: Do.FLIP if request.part > 1 and request.method == "GET" else Do.PASS
    done = await dbx("download", "/tree", "back", code=1)
    assert "/tree/a/large" in done.err
    (there / "a/large").unlink()
    assert local_tree(tmp_path / "back/tree") == local_tree(there)


async def test_interrupted_folder_download_resumes(dbx: Dbx, proxy: StoreProxy, there: Path, tmp_path: Path) -> None:
    await dbx("upload", "tree")
    proxy.decide = lambda request: Do.HOLD if request.part > 1 and request.method == "GET" else Do.PASS
    process = await dbx.start("download", "/tree", "back")
    small = [path for path, data in local_tree(there).items() if data and len(data) < MIB]
    await proxy.until(lambda: proxy.held > 0 and all((tmp_path / "back/tree" / path).exists() for path in small))
    process.send_signal(signal.SIGINT)
    stopped = await finished(process, code=130)
    assert "Traceback" not in stopped.err
    proxy.reset()
    await dbx("download", "/tree", "back")
    assert len({request.path for request in proxy.requests}) == 1
    assert local_tree(tmp_path / "back/tree") == local_tree(there)


async def test_upload_of_an_empty_folder_creates_it(dbx: Dbx, tmp_path: Path) -> None:
    (tmp_path / "empty/below").mkdir(parents=True)
    await dbx("upload", "empty", "/up")
    await dbx("upload", "empty", "/up")
    assert await tree(dbx) == ["/up/", "/up/empty/", "/up/empty/below/"]


# Interrupted downloads


def parts(folder: Path) -> list[Path]:
    return list(folder.glob(".*.dbx-part"))


async def cut_off(dbx: Dbx, proxy: StoreProxy, folder: Path) -> None:
    """Kill a download of /file, which has 5 ranges, after exactly the first 3."""
    proxy.decide = lambda request: Do.HOLD if request.method == "GET" and request.part >= 24 * MIB else Do.PASS
    process = await dbx.start("download", "/file", "back")

    def three_are_noted() -> bool:
        for path in parts(folder):
            with path.open("rb") as part:
                part.seek(40 * MIB)
                return part.read() == bytes([1, 1, 1])
        return False

    await proxy.until(lambda: proxy.held == 2 and three_are_noted())
    process.kill()
    await finished(process, code=-signal.SIGKILL)
    proxy.released.set()
    proxy.reset()


async def test_killed_download_resumes_with_missing_ranges(dbx: Dbx, proxy: StoreProxy, tmp_path: Path) -> None:
    data = make_file(tmp_path / "file", 40 * MIB)
    await dbx("upload", "file")
    await cut_off(dbx, proxy, tmp_path)
    assert not (tmp_path / "back").exists()
    await dbx("download", "/file", "back")
    assert {request.part for request in proxy.requests} == {24 * MIB, 32 * MIB}
    assert (tmp_path / "back").read_bytes() == data
    assert parts(tmp_path) == []


async def test_damaged_partial_file_is_fetched_again(dbx: Dbx, proxy: StoreProxy, tmp_path: Path) -> None:
    data = make_file(tmp_path / "file", 40 * MIB)
    await dbx("upload", "file")
    await cut_off(dbx, proxy, tmp_path)
    (part,) = parts(tmp_path)
    with part.open("r+b") as file:
        file.write(b"damaged")
    await dbx("download", "/file", "back")
    assert (tmp_path / "back").read_bytes() == data
    assert parts(tmp_path) == []


async def test_partial_file_of_another_version_is_not_used_and_deleted(
    dbx: Dbx, proxy: StoreProxy, tmp_path: Path
) -> None:
    make_file(tmp_path / "file", 40 * MIB)
    await dbx("upload", "file")
    await cut_off(dbx, proxy, tmp_path)
    data = make_file(tmp_path / "other", 40 * MIB)
    (tmp_path / "other").replace(tmp_path / "file")
    await dbx("upload", "file")
    assert len(parts(tmp_path)) == 1
    await dbx("download", "/file", "back")
    assert (tmp_path / "back").read_bytes() == data
    assert parts(tmp_path) == []


@pytest.mark.parametrize(
    ("edit", "fetched"),
    [
        (lambda old: old[: 10 * MIB] + b"changed" + old[10 * MIB + 7 :], [6_746_706, 8 * MIB]),
        (lambda old: old + b"more", [39_823_518, 40 * MIB]),
        (lambda old: old[:20_476_451], []),
        (lambda old: b"x" + old, [0]),
    ],
    ids=["changed", "appended", "shortened", "a byte inserted"],
)
async def test_download_over_an_older_version_fetches_the_chunks_that_it_lacks(
    dbx: Dbx,
    proxy: StoreProxy,
    tmp_path: Path,
    behind_proxy: RunningServer,
    edit: Callable[[bytes], bytes],
    fetched: list[int],
) -> None:
    old = make_file(tmp_path / "file", 40 * MIB)  # cut at 6,746,706, 14,613,368, ... and 39,823,518
    await dbx("upload", "file")
    await dbx("download", "/file", "back")
    new = edit(old)
    (tmp_path / "file").write_bytes(new)
    async with running_job(reuse_chunks, behind_proxy.services):
        await dbx("upload", "file")
    proxy.reset()
    await dbx("download", "/file", "back", "--overwrite")
    assert proxy.sent("GET") == fetched
    assert (tmp_path / "back").read_bytes() == new
    assert parts(tmp_path) == []


async def test_download_over_a_folder_is_refused_before_anything_is_fetched(
    dbx: Dbx, proxy: StoreProxy, tmp_path: Path
) -> None:
    make_file(tmp_path / "file", 1000)
    await dbx("upload", "file")
    (tmp_path / "there" / "file").mkdir(parents=True)
    proxy.reset()
    assert "is a folder" in (await dbx("download", "/file", "there", "--overwrite", code=1)).err
    assert proxy.requests == []


async def test_download_over_an_older_version_with_a_wrong_manifest_fetches_everything(
    dbx: Dbx, proxy: StoreProxy, tmp_path: Path, behind_proxy: RunningServer, db: Db
) -> None:
    old = make_file(tmp_path / "file", 40 * MIB)
    await dbx("upload", "file")
    await dbx("download", "/file", "back")
    new = bytes(1 * MIB) + old[1 * MIB :]
    (tmp_path / "file").write_bytes(new)
    async with running_job(reuse_chunks, behind_proxy.services):
        await dbx("upload", "file")
    size = next(cut_bytes(new))
    wrong = {"wrong": hashlib.sha256(old[:size]).digest(), "right": hashlib.sha256(new[:size]).digest()}
    async with db.begin() as tx:
        await tx.execute(text("UPDATE blob_chunks SET sha256 = :wrong WHERE number = 1 AND sha256 = :right"), wrong)
    proxy.reset()
    await dbx("download", "/file", "back", "--overwrite")
    assert proxy.sent("GET") == [0, 8 * MIB, 16 * MIB, 24 * MIB, 32 * MIB]
    assert (tmp_path / "back").read_bytes() == new
    async with db.begin() as tx:
        await tx.execute(text("UPDATE blob_chunks SET sha256 = :right WHERE number = 1 AND sha256 = :wrong"), wrong)


async def test_two_downloads_to_one_path(dbx: Dbx, proxy: StoreProxy, tmp_path: Path) -> None:
    data = make_file(tmp_path / "file", 40 * MIB)
    await dbx("upload", "file")
    proxy.decide = lambda request: Do.HOLD if request.method == "GET" else Do.PASS
    both = [await dbx.start("download", "/file", "back", "--overwrite") for _ in range(2)]
    await proxy.until(lambda: proxy.held >= 8)  # four ranges of each: they have separate temporary files
    assert len(parts(tmp_path)) == 2
    proxy.decide = lambda _: Do.PASS
    proxy.released.set()
    await asyncio.gather(*map(finished, both))
    assert (tmp_path / "back").read_bytes() == data
    assert parts(tmp_path) == []


# Completion


async def test_complete_path_is_silent_on_any_failure(dbx: Dbx) -> None:
    nothing = Done(0, "", "")
    assert await dbx("complete-path", "/missing/x") == nothing
    with fake_server() as silent:
        dbx.change_sign_in(server=silent.url)
        silent.script = [Scripted(hang=True)]
        assert await dbx("complete-path", "/") == nothing
    assert await dbx("complete-path", "/") == nothing
    (dbx.home / "config" / "tokens.json").unlink()
    assert await dbx("complete-path", "/") == nothing
