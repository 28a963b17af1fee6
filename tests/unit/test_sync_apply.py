"""Actions on the disk where a person changes it at the worst moment."""

import hashlib
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from dropbox_client.sync.apply import INCOMING_PATH, LocalActions
from dropbox_client.sync.localtrash import LocalTrash
from dropbox_client.sync.part import load_part
from dropbox_client.sync.rows import Mismatch, Rows
from dropbox_client.sync.trees import BaseEntry, ContentId, Download, LocalEntry, RemoteEntry, TrashLocal
from tests.support.sync_folder import SyncFolder, sync_folder


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[SyncFolder]:
    with sync_folder(tmp_path) as made:
        (made.root / os.fsdecode(INCOMING_PATH)).mkdir(parents=True)
        yield made


def make_actions(folder: SyncFolder, trash: type[LocalTrash] = LocalTrash) -> LocalActions:
    return LocalActions(Rows(folder.state), folder.disk, trash(folder.root_fd, folder.disk))


def read_local(folder: SyncFolder, path: str) -> LocalEntry:
    """Return an entry as the planner sees it."""
    trees = load_part(folder.state, folder.device, lambda *_: "selected", is_settled=True)
    entry = trees.local.get(folder.row(path).id)
    assert entry is not None
    return entry


def make_download(folder: SyncFolder, path: str, content: bytes) -> tuple[Download, bytes]:
    """Return a download over a file on disk, and the name of its content in the folder of downloads."""
    local = read_local(folder, path)
    what = ContentId(hashlib.sha256(content).hexdigest(), len(content))
    remote = RemoteEntry(local.id, "root", path, "file", what, "r2", 2)
    folder.state.put_base(BaseEntry(local.id, "root", path, local.name, "file", local.content, "r1", 1))
    folder.state.put_remote(remote)
    name = f"{what.fingerprint}-{local.id}"
    (folder.root / os.fsdecode(INCOMING_PATH) / name).write_bytes(content)
    return Download(remote, local, "root", local.name), name.encode()


def test_publish_over_an_edit_that_was_seen_but_not_hashed_keeps_it(folder: SyncFolder) -> None:
    (folder.root / "plan").write_bytes(b"base")
    folder.settle()
    download, incoming = make_download(folder, "plan", b"of the server")
    (folder.root / "plan").write_bytes(b"edited while it was fetched")
    folder.scan()
    assert folder.row("plan").status == "busy"
    with pytest.raises(Mismatch):
        make_actions(folder).publish(download, incoming)
    assert (folder.root / "plan").read_bytes() == b"edited while it was fetched"


def test_publish_over_two_writes_just_then_keeps_both(folder: SyncFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    plan = folder.root / "plan"
    plan.write_bytes(b"base")
    folder.settle()
    download, incoming = make_download(folder, "plan", b"of the server")
    exchange, writes = folder.disk.exchange, [b"edited in place", b"replaced"]

    def exchange_beside_writes(*places: Any) -> None:
        if len(writes) == 2:
            plan.write_bytes(writes.pop(0))
            exchange(*places)
            saved = folder.root / "saved"
            saved.write_bytes(writes.pop())
            saved.rename(plan)
        else:
            exchange(*places)

    monkeypatch.setattr(folder.disk, "exchange", exchange_beside_writes)
    with pytest.raises(Mismatch):
        make_actions(folder).publish(download, incoming)
    assert plan.read_bytes() == b"replaced"
    (kept,) = (folder.root / ".dbx/trash").glob("*/content/*")
    assert kept.read_bytes() == b"edited in place"
    assert not list((folder.root / os.fsdecode(INCOMING_PATH)).iterdir())


def test_publish_over_an_edit_that_was_never_sent_keeps_it(folder: SyncFolder) -> None:
    (folder.root / "plan").write_bytes(b"base")
    folder.settle()
    make_download(folder, "plan", b"of the server")
    (folder.root / "plan").write_bytes(b"edited and read")
    folder.settle()
    base = folder.state.find_base(folder.row("plan").id)
    download, incoming = make_download(folder, "plan", b"of the server")
    assert base
    folder.state.put_base(base)
    with pytest.raises(Mismatch):
        make_actions(folder).publish(download, incoming)
    assert (folder.root / "plan").read_bytes() == b"edited and read"


def test_publish_into_a_folder_whose_name_another_one_has_just_taken_waits(folder: SyncFolder) -> None:
    (folder.root / "d").mkdir()
    (folder.root / "plan").write_bytes(b"base")
    folder.settle()
    download, incoming = make_download(folder, "plan", b"of the server")
    new = Download(replace(download.remote, id="node"), None, folder.row("d").id, b"new")
    folder.state.put_remote(new.remote)
    (folder.root / "d").rename(folder.root / "e")
    (folder.root / "d").mkdir()
    with pytest.raises(Mismatch):
        make_actions(folder).publish(new, incoming)
    assert not list((folder.root / "d").iterdir())


def test_trash_of_a_file_that_was_seen_edited_keeps_it(folder: SyncFolder) -> None:
    (folder.root / "plan").write_bytes(b"base")
    folder.settle()
    local = read_local(folder, "plan")
    (folder.root / "plan").write_bytes(b"edited")
    folder.scan()
    with pytest.raises(Mismatch):
        make_actions(folder).run(TrashLocal(local))
    assert (folder.root / "plan").read_bytes() == b"edited"


def test_trash_of_a_file_that_is_edited_just_then_gives_it_back(folder: SyncFolder) -> None:
    (folder.root / "plan").write_bytes(b"base")
    folder.settle()

    class SlowTrash(LocalTrash):
        def put(self, opened: int, name: bytes, path: bytes) -> bytes:
            (folder.root / "plan").write_bytes(b"edited")
            return super().put(opened, name, path)

    with pytest.raises(Mismatch):
        make_actions(folder, SlowTrash).run(TrashLocal(read_local(folder, "plan")))
    assert (folder.root / "plan").read_bytes() == b"edited"
    assert folder.state.find_local(folder.row("plan").id)


def test_what_a_program_writes_to_a_file_that_was_replaced_is_kept(folder: SyncFolder) -> None:
    (folder.root / "plan").write_bytes(b"base")
    folder.settle()
    download, incoming = make_download(folder, "plan", b"of the server")
    actions = make_actions(folder)
    with (folder.root / "plan").open("ab") as file:
        actions.publish(download, incoming)
        file.write(b" and more")
    actions.sync_folders()
    assert (folder.root / "plan").read_bytes() == b"of the server"
    (kept,) = (folder.root / ".dbx/trash").glob("*/content/*")
    assert kept.read_bytes() == b"base and more"


def test_download_of_an_earlier_epoch_of_the_server_is_not_agreed_on(folder: SyncFolder) -> None:
    (folder.root / "plan").write_bytes(b"base")
    folder.settle()
    download, incoming = make_download(folder, "plan", b"of the server")
    folder.state.begin_epoch("new", "instance")
    actions = make_actions(folder)
    download = Download(replace(download.remote, id="node"), None, "root", b"other name")
    with pytest.raises(Mismatch):
        actions.publish(download, incoming)
    folder.state.put_remote(replace(download.remote, version=1, content=None))  # as of before
    with pytest.raises(Mismatch):
        actions.publish(download, incoming)
    assert folder.state.find_base(download.remote.id) is None
