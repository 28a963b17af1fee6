"""The blocking client of the SDK against a real server and a real store."""

import copy
import dataclasses
import gzip
import io
import os
import pickle
import subprocess
import sys
import threading
import zipfile
from asyncio import to_thread
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from dropbox_client import (
    KEEP,
    ApiError,
    Client,
    File,
    FileChanged,
    InvalidRequest,
    LinkNotFor,
    LinkPasswordRequired,
    LocalExists,
    NameTaken,
    NotAFolder,
    NotFound,
    NotSignedIn,
    RevisionConflict,
    Stopped,
    TokenFile,
    TokenMemory,
    Unreadable,
    UploadCompleting,
)
from tests.support.sdk import as_pipe, blocking_client, stored_tokens
from tests.support.server import PASSWORD, Account, RunningServer, new_address, sha256

MIB = 2**20
LARGE = os.urandom(5 * MIB) * 5  # several parts


pytestmark = pytest.mark.usefixtures("invariants_hold")


@pytest.fixture
def client(server: RunningServer, account: Account) -> Iterator[Client]:
    with blocking_client(server, account) as opened:
        yield opened


def read_back(client: Client, path: str) -> bytes:
    content = io.BytesIO()
    client.download(path, to=content)
    return content.getvalue()


@pytest.mark.parametrize("size", [0, 1, 3 * MIB, len(LARGE)])
@pytest.mark.parametrize("form", ["path", "bytes", "bytesio", "file", "pipe", "gzip", "unbuffered"])
async def test_upload_of_any_content_stores_its_bytes(client: Client, tmp_path: Path, form: str, size: int) -> None:
    data = LARGE[:size]
    local = tmp_path / "local.bin"
    local.write_bytes(gzip.compress(data) if form == "gzip" else data)

    def use() -> None:
        forms: dict[str, Any] = {
            "path": lambda: local,
            "bytes": lambda: data,
            "bytesio": lambda: io.BytesIO(data),
            "file": lambda: local.open("rb"),
            "pipe": lambda: as_pipe(data),
            "gzip": lambda: gzip.GzipFile(local),
            "unbuffered": lambda: local.open("rb", buffering=0),
        }
        content = forms[form]()
        file = client.upload(content, to="/in/a folder/name.txt")
        if hasattr(content, "close"):
            content.close()
        assert (file.path, file.size_bytes, file.fingerprint) == ("/in/a folder/name.txt", size, sha256(data))
        assert file.content_type == "text/plain"
        assert read_back(client, file.path) == data

    await to_thread(use)


async def test_upload_of_a_file_from_its_position_stores_the_rest(client: Client, tmp_path: Path) -> None:
    local = tmp_path / "local"
    local.write_bytes(b"0123456789")

    def use() -> None:
        with local.open("rb") as file:
            file.seek(4)
            client.upload(file, to="/rest")
        assert read_back(client, "/rest") == b"456789"

    await to_thread(use)


async def test_upload_destination_is_a_path_or_a_name_in_a_folder(client: Client, tmp_path: Path) -> None:
    local = tmp_path / "cat.jpg"
    local.write_bytes(b"cat")

    def use() -> None:
        assert client.upload(local, to="/photos/").path == "/photos/cat.jpg"
        assert client.upload(str(local), to="dog.jpg", folder="/photos").path == "/photos/dog.jpg"
        folder = client.files.get("/photos")
        assert client.upload(b"cow", to="cow.jpg", folder=folder).path == "/photos/cow.jpg"
        wrong: list[tuple[Any, str, File | None]] = [(local, "photos/a", None), (b"", "/a/", None), (b"", "/a", folder)]
        for content, to, above in wrong:
            with pytest.raises(ValueError, match="to"):
                client.upload(content, to, folder=above)
        with pytest.raises(TypeError, match="binary mode"):
            client.upload(io.StringIO("text"), to="/text")  # type: ignore[arg-type]
        with pytest.raises(Unreadable):
            client.upload(tmp_path / "missing", to="/missing")

    await to_thread(use)


async def test_upload_to_a_taken_name_raises_name_taken_with_its_file(client: Client) -> None:
    def use() -> None:
        first = client.upload(b"one", to="/a.txt")
        with pytest.raises(NameTaken) as raised:
            client.upload(b"two", to="/a.txt")
        assert raised.value.file_id == first.id
        assert isinstance(raised.value, ApiError)
        assert client.upload(b"two", to="/a.txt", on_conflict="rename").name == "a (1).txt"
        assert client.upload(b"two", to="/a.txt", on_conflict="replace").id == first.id

    await to_thread(use)


async def test_progress_ends_with_the_total(client: Client, tmp_path: Path) -> None:
    def use() -> None:
        sent: list[tuple[int, int]] = []
        client.upload(LARGE, to="/large", progress=lambda done, total: sent.append((done, total)))
        assert sent[-1] == (len(LARGE), len(LARGE))
        assert all(0 <= done <= total for done, total in sent)
        received: list[tuple[int, int]] = []
        client.download("/large", tmp_path, progress=lambda done, total: received.append((done, total)))
        assert received[-1] == (len(LARGE), len(LARGE))
        assert (tmp_path / "large").read_bytes() == LARGE

    await to_thread(use)


class Enough(OSError):
    """Raised by a callback; an OSError could be taken for a failure of the network."""


async def test_exception_of_the_progress_callback_ends_the_upload_and_the_next_resumes(client: Client) -> None:
    content = b"".join(os.urandom(5 * MIB) for _ in range(10))

    def stop(done: int, total: int) -> None:
        # Bytes in flight count as done, and may be lost: wait until a part was accepted.
        if done > total / 2 and any(client.uploads.reconcile(one.id).uploaded_bytes for one in client.uploads.list()):
            raise Enough("enough")

    def use() -> None:
        with pytest.raises(Enough):
            client.upload(content, to="/large", progress=stop)
        (session,) = client.uploads.list(state="active")
        stored_bytes = client.uploads.reconcile(session.id).uploaded_bytes
        sent: list[int] = []
        client.upload(content, to="/large", progress=lambda done, _: sent.append(done))
        assert stored_bytes
        assert sent[0] >= stored_bytes  # what the store has is not sent again
        assert client.uploads.get(session.id).state == "completed"
        assert read_back(client, "/large") == content

    await to_thread(use)


async def test_close_from_another_thread_stops_an_upload_and_another_client_resumes(
    server: RunningServer, account: Account
) -> None:
    def use() -> None:
        with blocking_client(server, account) as client:

            def close(done: int, total: int) -> None:
                if done > total / 2:
                    thread = threading.Thread(target=client.close)
                    thread.start()
                    thread.join()

            with pytest.raises(Stopped):
                client.upload(LARGE, to="/large", progress=close)
            with pytest.raises(Stopped):
                client.upload(b"", to="/small")
        with blocking_client(server, account) as other:
            (session,) = other.uploads.list(state="active")
            file = other.upload(LARGE, to="/large")
            assert other.uploads.get(session.id).state == "completed"
            assert file.fingerprint == sha256(LARGE)

    await to_thread(use)


async def test_ctrl_c_stops_an_upload_of_a_program_and_the_next_run_resumes(
    server: RunningServer, account: Account, tmp_path: Path
) -> None:
    local = tmp_path / "large"
    local.write_bytes(LARGE)
    TokenFile(tmp_path / "tokens").save(stored_tokens(server, account).load())
    program = tmp_path / "program.py"
    program.write_text(f"""
import os, signal, sys
from dropbox_client import Client, TokenFile

def interrupt(done, total):
    if done > total / 2 and "interrupt" in sys.argv:
        os.kill(os.getpid(), signal.SIGINT)

with Client({server.url!r}, TokenFile({str(tmp_path / "tokens")!r})) as client:
    try:
        print(client.upload({str(local)!r}, to="/large", progress=interrupt).fingerprint)
    except KeyboardInterrupt:
        print("interrupted")
""")

    def run(*arguments: str) -> str:
        command = [sys.executable, str(program), *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout.strip()

    assert await to_thread(run, "interrupt") == "interrupted"
    with blocking_client(server, account) as client:
        (session,) = await to_thread(lambda: list(client.uploads.list(state="active")))
        assert await to_thread(run) == sha256(LARGE)
        assert (await to_thread(client.uploads.get, session.id)).state == "completed"


async def test_session_that_another_device_completes_meanwhile_is_joined(
    client: Client, server: RunningServer, account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other device has sent the rest: the server signs no more parts."""
    refused: list[str] = []

    def refuse(upload_id: str, hashes: object) -> None:
        refused.append(upload_id)
        monkeypatch.undo()
        with blocking_client(server, account) as other:
            other.upload(LARGE, to="/other")
        raise UploadCompleting("upload-completing", 409, "being completed", retryable=True, extra={})

    monkeypatch.setattr(client.uploads, "sign_parts", refuse)
    await to_thread(client.upload, LARGE, "/own")
    assert len(refused) == 1
    assert await to_thread(read_back, client, "/own") == LARGE
    assert await to_thread(lambda: {file.path for file in client.files.list("/")}) == {"/other", "/own"}


async def test_file_that_changes_during_the_upload_is_not_stored(client: Client, tmp_path: Path) -> None:
    local = tmp_path / "local"
    local.write_bytes(LARGE)

    def change(_: int, __: int) -> None:
        with local.open("r+b") as file:
            file.write(os.urandom(8))

    def use() -> None:
        with pytest.raises(FileChanged):
            client.upload(local, to="/changed", progress=change)
        with pytest.raises(NotFound):
            client.files.get("/changed")

    await to_thread(use)


async def test_download_keeps_an_existing_file_unless_overwrite(client: Client, tmp_path: Path) -> None:
    target = tmp_path / "copy"
    target.write_bytes(b"old")

    def use() -> None:
        file = client.upload(b"new", to="/a")
        with pytest.raises(LocalExists):
            client.download(file, to=target)
        assert target.read_bytes() == b"old"
        assert client.download(file.id, to=str(target), overwrite=True) == file
        assert target.read_bytes() == b"new"
        first = next(revision for revision in client.revisions.list(file))
        client.upload(b"newer", to="/a", on_conflict="replace")
        client.download("/a", to=tmp_path / "first", revision_id=first.id)
        assert (tmp_path / "first").read_bytes() == b"new"

    await to_thread(use)


async def test_two_clients_of_two_accounts_work_at_once(server: RunningServer, register: Any) -> None:
    accounts = [await register(), await register()]

    def use() -> None:
        with blocking_client(server, accounts[0]) as one, blocking_client(server, accounts[1]) as two:
            threads = [
                threading.Thread(target=client.upload, args=(LARGE[number:], f"/{number}"))
                for client in (one, two)
                for number in range(3)
            ]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            wanted = {sha256(LARGE[number:]) for number in range(3)}
            for client in (one, two):
                assert {file.fingerprint for file in client.files.list()} == wanted
            one.close()
            assert two.account.get().email == accounts[1].email

    await to_thread(use)


async def test_sign_in_with_password_and_token(server: RunningServer) -> None:
    email = new_address()

    def use() -> None:
        with Client(server.url) as client:
            with pytest.raises(NotSignedIn):
                client.account.get()
            client.account.register(email, PASSWORD)
            client.sign_in(email, PASSWORD)
            token = client.account.create_token("test", ["files:read", "files:write"]).token
            assert token
            client.upload(b"", to="/a")
            with Client(server.url, token=token) as other:
                assert [file.path for file in other.files.list()] == ["/a"]
            with pytest.raises(TypeError):
                Client(server.url, TokenMemory(), token=token)
            client.sign_out()
            with pytest.raises(NotSignedIn):
                client.account.get()

    await to_thread(use)


async def test_operations_of_the_tree(client: Client) -> None:
    def use() -> None:
        client.files.create_folders("/a/b")
        file = client.upload(b"x", to="/a/b/report.txt")
        assert [found.path for found in client.files.list("/a", recursive=True)] == ["/a/b", "/a/b/report.txt"]
        assert [found.id for found in client.files.search("report", folder="/a", kind="file")] == [file.id]
        assert client.files.get_below("/a", "/b/report.txt").id == file.id
        moved = client.files.move("/a/b/report.txt", folder="/a", name="r.txt", if_match=file.etag)
        assert moved.path == "/a/r.txt"
        assert client.files.copy(moved, folder="/", name="copy.txt").path == "/copy.txt"
        assert client.files.set_content_type("/copy.txt", "text/markdown").content_type == "text/markdown"
        at = datetime(2024, 5, 6, 7, 8, 9, tzinfo=UTC)
        assert client.files.set_modified_at("/copy.txt", at).client_modified_at == at
        client.files.move_to_trash("/a/r.txt")
        (trashed,) = client.trash.list()
        assert client.trash.restore(trashed).path == "/a/r.txt"
        assert {entry.action for entry in client.files.list_activity(moved)}
        client.files.move_to_trash(moved)
        client.trash.purge(moved)
        assert list(client.trash.list()) == []
        with pytest.raises(InvalidRequest) as raised:
            client.files.move("/copy.txt", name="x" * 5000)
        assert raised.value.errors[0].pointer == "/name"

    await to_thread(use)


async def test_lookup_of_more_ids_than_one_request_takes(client: Client) -> None:
    def use() -> None:
        file = client.upload(b"known", to="/known")
        ids = [file.id, *["00000000-0000-7000-8000-000000000000"] * 1000, file.id]
        found = [*client.files.lookup(iter(ids))]
        assert [state.id for state in found] == ids
        assert (found[0].state, found[0].etag, found[1].state, found[1].etag) == ("live", file.etag, "unknown", None)
        assert found[-1] == found[0]

    await to_thread(use)


async def test_operations_of_sharing_and_webhooks(client: Client, register: Any, server: RunningServer) -> None:
    other = await register()

    def use() -> None:
        client.files.create_folder("/team")
        grant = client.shares.grant("/team", other.email, "viewer")
        assert [found.id for found in client.shares.list("/team")] == [grant.id]
        assert client.shares.change_role("/team", grant.id, "editor").role == "editor"
        client.shares.revoke("/team", grant.id)
        link = client.links.create("/team", "download", password="open sesame", max_downloads=3)
        changed = client.links.change(link.id, password=None, max_downloads=KEEP)
        assert (changed.has_password, changed.max_downloads) == (False, 3)
        client.links.revoke(link.id)
        assert list(client.links.list("/team")) == []
        webhook = client.webhooks.create("https://1.1.1.1/hook", kinds=["file.created"])
        assert webhook.secret
        assert client.webhooks.change(webhook.id, is_enabled=False).disabled_reason == "user"
        assert client.webhooks.rotate_secret(webhook.id) != webhook.secret
        assert list(client.webhooks.list_deliveries(webhook.id)) == []
        client.webhooks.delete(webhook.id)
        assert [found.is_current for found in client.account.list_sign_ins()] == [True]

    await to_thread(use)


async def test_events_are_listed_and_followed(client: Client) -> None:
    def use() -> None:
        cursor = client.events.get_cursor()
        file = client.upload(b"x", to="/a")
        assert [event.file_id for event in client.events.list(cursor) if event.kind == "file.created"] == [file.id]
        assert next(client.events.follow(cursor)).file_id == file.id
        assert file.id in {event.file_id for event in client.events.list(since=file.created_at - timedelta(minutes=5))}
        with pytest.raises(ValueError, match="cursor"):
            next(client.events.list())

    await to_thread(use)


async def test_visitor_reads_a_link_with_a_password(client: Client, server: RunningServer, tmp_path: Path) -> None:
    password = "žluťoučký kůň 日本"

    def use() -> None:
        client.upload(LARGE, to="/team/large")
        client.upload(b"small", to="/team/in/small.txt")
        link = client.links.create("/team", "download", password=password)
        with Client(server.url) as visitor:
            for wrong in (None, "wrong"):
                with pytest.raises(LinkPasswordRequired):
                    visitor.public.get_link(link, password=wrong)
            address = server.url + link.url_path
            shown = visitor.public.get_link(address, password=password)
            assert (shown.name, shown.kind, shown.mode) == ("team", "folder", "download")
            folder, large = visitor.public.list_files(link.token, password=password)
            (small,) = visitor.public.list_files(link, folder.id, password=password)
            visitor.public.download(link, large.id, tmp_path / "large", password=password)
            assert (tmp_path / "large").read_bytes() == LARGE
            content = io.BytesIO()
            visitor.public.download(link, small.id, content, password=password)
            assert content.getvalue() == b"small"
            with pytest.raises(LocalExists):
                visitor.public.download(link, small.id, tmp_path / "large", password=password)
            first = visitor.public.create_pass(link, password)
            link_pass = visitor.public.create_pass(link, first)
            assert link_pass.expires_at >= first.expires_at
            assert visitor.public.get_link(link, password=link_pass).name == "team"
            visitor.public.download_archive(link, tmp_path / "all.zip", password=link_pass)
            with zipfile.ZipFile(tmp_path / "all.zip") as archive:
                assert {"team/in/small.txt", "team/large"} <= set(archive.namelist())
            with pytest.raises(LinkNotFor):
                visitor.public.upload(link, b"x", "x", password=password)
            with pytest.raises(NotFound):
                visitor.public.get_link("nothing")
        assert sorted(path.name for path in tmp_path.iterdir()) == ["all.zip", "large"]

    await to_thread(use)


@pytest.mark.parametrize("form", ["path", "bytes", "pipe"])
async def test_visitor_sends_files_to_an_upload_link(
    client: Client, server: RunningServer, tmp_path: Path, form: str
) -> None:
    local = tmp_path / "große Datei.bin"
    local.write_bytes(LARGE)
    contents: dict[str, Callable[[], Any]] = {
        "path": lambda: local,
        "bytes": lambda: LARGE,
        "pipe": lambda: as_pipe(LARGE),
    }

    def use() -> None:
        client.files.create_folder("/inbox")
        link = client.links.create("/inbox", "upload")
        with Client(server.url) as visitor:
            if form != "path":
                with pytest.raises(ValueError, match="name"):
                    visitor.public.upload(link, b"x")
            content = contents[form]()
            received = visitor.public.upload(link, content, None if form == "path" else local.name)
            if form == "pipe":
                content.close()
            assert (received.name, received.size_bytes) == (local.name, len(LARGE))
        assert read_back(client, f"/inbox/{local.name}") == LARGE

    await to_thread(use)


async def test_archive_of_a_folder_reaches_a_path_and_a_file_object(client: Client, tmp_path: Path) -> None:
    def use() -> None:
        client.upload(LARGE, to="/a/large")
        client.files.download_archive("/a", tmp_path / "a.zip")
        content = io.BytesIO()
        client.files.download_archive(client.files.get("/a"), content)
        for archive in (tmp_path / "a.zip", content):
            with zipfile.ZipFile(archive) as opened:
                assert opened.read("a/large") == LARGE
        with pytest.raises(NotAFolder):
            client.files.download_archive("/a/large", tmp_path / "file.zip")
        with pytest.raises(LocalExists):
            client.files.download_archive("/a", tmp_path / "a.zip")
        client.files.download_archive("/a", tmp_path / "a.zip", overwrite=True)
        assert [path.name for path in tmp_path.iterdir()] == ["a.zip"]

    await to_thread(use)


async def test_upload_over_a_newer_revision_than_the_base_is_refused(client: Client) -> None:
    def use() -> None:
        first = client.upload(b"1", to="/a")
        second = client.upload(b"2", to="/a", on_conflict="replace", base_revision_id=first.revision_id)
        with pytest.raises(RevisionConflict):
            client.upload(b"3", to="/a", on_conflict="replace", base_revision_id=first.revision_id)
        assert client.files.get("/a").revision_id == second.revision_id
        with pytest.raises(ValueError, match="base_revision_id"):
            client.upload(b"3", to="/a", base_revision_id=first.revision_id)

    await to_thread(use)


async def test_upload_to_a_file_reaches_it_after_a_rename(client: Client) -> None:
    def use() -> None:
        first = client.upload(b"1", to="/a.txt")
        client.files.move(first, name="b.txt")
        second = client.upload(LARGE, file_id=first.id, base_revision_id=first.revision_id)
        assert (second.id, second.name, second.content_type) == (first.id, "b.txt", "text/plain")
        with pytest.raises(RevisionConflict) as conflict:
            client.upload(b"3", file_id=first.id, base_revision_id=first.revision_id)
        assert (conflict.value.revision_id, conflict.value.path) == (second.revision_id, "/b.txt")
        assert client.upload(LARGE, file_id=first.id, base_revision_id=first.revision_id) == second
        with pytest.raises(ValueError, match="file_id"):
            client.upload(b"3", to="/a", file_id=first.id, base_revision_id=first.revision_id)
        with pytest.raises(ValueError, match="file_id"):
            client.upload(b"3", file_id=first.id)
        with pytest.raises(ValueError, match="file_id"):
            client.upload(b"3")

    await to_thread(use)


@pytest.mark.parametrize("buffering", [0, -1])
async def test_close_interrupts_an_upload_from_a_silent_pipe(
    server: RunningServer, account: Account, buffering: int
) -> None:
    reader, writer = os.pipe()
    os.write(writer, b"the beginning")

    def use() -> None:
        with blocking_client(server, account) as client, os.fdopen(reader, "rb", buffering) as pipe:
            closing = threading.Timer(0.5, client.close)
            closing.start()
            with pytest.raises(Stopped):
                client.upload(pipe, to="/pipe")
            closing.join()

    await to_thread(use)
    os.close(writer)


class Failing(io.RawIOBase):
    """A stream that fails half-way."""

    def read(self, _: int = -1) -> bytes:
        if self.tell_calls:
            raise Enough("half-way")
        self.tell_calls = 1
        return b"x" * MIB

    tell_calls = 0


async def test_content_that_fails_or_is_none_stores_nothing(client: Client) -> None:
    wrong: list[tuple[Any, type[Exception]]] = [
        ((piece for piece in (b"a", b"b")), TypeError),
        (5, TypeError),
        (None, TypeError),
        (Failing(), Unreadable),
    ]

    def use() -> None:
        for content, error in wrong:
            with pytest.raises(error):
                client.upload(content, to="/wrong")
        assert list(client.files.list()) == []

    await to_thread(use)


@pytest.mark.parametrize("change", ["grow", "shrink", "delete"])
async def test_file_of_another_size_at_the_end_is_not_stored(client: Client, tmp_path: Path, change: str) -> None:
    local = tmp_path / "local"
    local.write_bytes(LARGE)

    def alter(_: int, __: int) -> None:
        if change == "delete":
            local.unlink(missing_ok=True)
        else:
            os.truncate(local, len(LARGE) + (1 if change == "grow" else -1))

    def use() -> None:
        with pytest.raises(FileChanged):
            client.upload(local, to="/changed", progress=alter)
        with pytest.raises(NotFound):
            client.files.get("/changed")
        assert list(client.uploads.list(state="active")) == []

    await to_thread(use)


async def test_models_and_errors_survive_pickle_and_copy(client: Client) -> None:
    def use() -> None:
        file = client.upload(b"x", to="/a")
        (upload,) = client.uploads.list()
        with pytest.raises(NameTaken) as raised:
            client.upload(b"y", to="/a")
        for value in (file, upload, raised.value, KEEP):
            for again in (pickle.loads(pickle.dumps(value)), copy.copy(value), copy.deepcopy(value)):  # noqa: S301
                assert (type(again), str(again)) == (type(value), str(value))

    await to_thread(use)


async def test_two_processes_share_a_file_of_expired_tokens(
    server: RunningServer, account: Account, tmp_path: Path
) -> None:
    tokens = stored_tokens(server, account).load()
    assert tokens
    TokenFile(tmp_path / "tokens").save(dataclasses.replace(tokens, access_token="expired"))
    program = f"""
import threading
from dropbox_client import Client, TokenFile

with Client({server.url!r}, TokenFile({str(tmp_path / "tokens")!r})) as client:
    threads = [threading.Thread(target=lambda: print(client.account.get().email + "\\n", end="")) for _ in range(5)]
    for thread in threads: thread.start()
    for thread in threads: thread.join()
"""

    def use() -> None:
        command = [sys.executable, "-c", program]
        running = [
            subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) for _ in range(3)
        ]
        for process in running:
            with process:
                assert process.communicate(timeout=120)[0].splitlines() == [account.email] * 5
        with Client(server.url, TokenFile(tmp_path / "tokens")) as client:
            assert len(list(client.account.list_sign_ins())) == 1

    await to_thread(use)
