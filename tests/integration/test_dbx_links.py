"""`dbx upload PATH... LINK`: senders without an account, with real processes, server and store."""

import signal
from pathlib import Path

import pytest

from tests.support.dbx import Dbx, finished, make_file
from tests.support.server import sha256
from tests.support.store_proxy import Do, StoreProxy

MIB = 1024 * 1024


@pytest.fixture
def sender(dbx: Dbx, tmp_path: Path) -> Dbx:
    """`dbx` on a computer that is not signed in."""
    home = tmp_path / "sender"
    home.mkdir()
    return Dbx(home, dbx.account)


async def make_link(dbx: Dbx, *options: str, stdin: str = "") -> str:
    await dbx("mkdir", "-p", "/in")
    return (await dbx("link", "/in", *options, stdin=stdin)).out.strip()


async def list_paths(dbx: Dbx, *options: str) -> list[str]:
    return [str(file["path"]) for file in (await dbx("ls", "/in", "--json", *options)).records]


async def test_killed_upload_to_a_link_resumes_with_missing_parts(dbx: Dbx, sender: Dbx, proxy: StoreProxy) -> None:
    link = await make_link(dbx, "--upload")
    data = make_file(sender.home / "file", 40 * MIB)
    proxy.decide = lambda request: Do.HOLD if request.part > 3 else Do.PASS
    process = await sender.start("upload", "file", link)
    await proxy.until(lambda: proxy.sent() == [1, 2, 3] and proxy.held > 0)
    process.kill()
    await finished(process, code=-signal.SIGKILL)
    proxy.reset()
    resumed = await sender("upload", "file", link, "--json")
    assert proxy.sent() == [4, 5]
    assert [(one["name"], one["state"], one["sent_bytes"]) for one in resumed.records] == [
        ("file", "completed", 16 * MIB)
    ]
    assert "24.0 MiB of it already there" in resumed.err
    again = await sender("upload", "file", link)
    assert again.out == "file -> file (already there)\n"
    assert proxy.sent() == [4, 5]
    assert await list_paths(dbx) == ["/in/file"]
    assert (await dbx.remote("/in/file"))["fingerprint"] == sha256(data)


async def test_folder_sent_to_a_link_with_a_password_keeps_its_tree_and_replaces_nothing(dbx: Dbx, sender: Dbx) -> None:
    link = await make_link(dbx, "--upload", "--password-stdin", stdin="open sesame\n")
    (sender.home / "tree" / "möre").mkdir(parents=True)
    (sender.home / "tree" / "empty").mkdir()
    make_file(sender.home / "tree" / "a", 10)
    make_file(sender.home / "tree" / "möre" / "b", 0)
    assert (
        "(link-password-required)"
        in (await sender("upload", "tree", link, "--password-stdin", stdin="no\n", code=1)).err
    )
    sent = await sender("upload", "tree", "missing", link, stdin="open sesame\n", code=1)  # the prompt reads a pipe
    assert sent.out.splitlines() == ["tree/a -> tree/a", "tree/möre/b -> tree/möre/b"]
    assert "/tree/empty: an empty folder is not sent to a link" in sent.err
    assert "missing: No such file" in sent.err
    assert "2 files, 10 B, in" in sent.err
    assert "1 failed" in sent.err
    make_file(sender.home / "tree" / "a", 20)
    options = ("--to", link, "--password-stdin", "--json")
    assert [
        one["size_bytes"] for one in (await sender("upload", "tree/a", *options, stdin="open sesame\n")).records
    ] == [20]
    (sender.home / "a").write_bytes(b"other")
    await sender("upload", "a", *options, stdin="open sesame\n")
    assert await list_paths(dbx, "-R") == [
        "/in/a", "/in/a (1)", "/in/tree", "/in/tree/a", "/in/tree/möre", "/in/tree/möre/b",
    ]  # fmt: skip


async def test_file_beyond_a_limit_of_the_link_is_named_and_the_others_arrive(dbx: Dbx, sender: Dbx) -> None:
    link = await make_link(dbx, "--upload", "--max-size", "1000", "--max-file-size", "600", "--max-files", "2")
    for name, size in {"1.bin": 500, "2.bin": 601, "3.bin": 501, "4.bin": 400, "5.bin": 1}.items():
        make_file(sender.home / name, size)
    done = await sender("upload", *(f"{n}.bin" for n in range(1, 6)), link, "--json", code=1)
    records = [one["error"]["code"] if "error" in one else one["name"] for one in done.records]
    assert records == ["1.bin", "size-not-allowed", "link-full", "4.bin", "link-full"]
    assert done.err.splitlines()[:3] == [
        "dbx: 2.bin: This link takes files of at most 600 bytes (size-not-allowed)",
        "dbx: 3.bin: The upload link has no room for a file of this size (link-full)",
        "dbx: 5.bin: The upload link takes no more files: ask its owner to raise the limit (link-full)",
    ]
    assert await list_paths(dbx) == ["/in/1.bin", "/in/4.bin"]


async def test_stdin_is_sent_to_a_link_under_its_name(dbx: Dbx, sender: Dbx) -> None:
    link = await make_link(dbx, "--upload")
    await sender("upload", "-", link, "--name", "notes.txt", stdin="from a pipe")
    assert (await dbx("cat", "/in/notes.txt")).out == "from a pipe"
    link = await make_link(dbx, "--upload", "--password-stdin", stdin="open sesame\n")
    refused = await sender("upload", "-", link, "--name", "more.txt", stdin="open sesame\nsecret", code=2)
    assert "the link has a password" in refused.err


async def test_wrong_use_of_an_upload_link_sends_nothing(dbx: Dbx, sender: Dbx) -> None:
    make_file(sender.home / "file", 10)
    link, download_link = await make_link(dbx, "--upload"), await make_link(dbx)
    wrong = {
        (link,): "name the files to send",
        ("file", link, "--on-conflict", "fail"): "not for upload links",
        ("file", f"{link}?x=1"): "is https://SERVER/s/TOKEN",
        ("file", download_link): "this link takes no files",
        ("file", "/", "--password-stdin"): "the password of an upload link",
    }
    for arguments, told in wrong.items():
        assert told in (await sender("upload", *arguments, code=2)).err
    assert await list_paths(dbx) == []
