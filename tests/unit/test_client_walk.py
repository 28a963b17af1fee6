"""The destination of an upload, and the walk over local files."""

import os
import socket
from pathlib import Path

import pytest

from dropbox_client.cli.transfers.commands import AmbiguousDestination, split_destination
from dropbox_client.transfer.walk import Walk

UUID = "01900000-0000-7000-8000-000000000000"


@pytest.mark.parametrize(
    ("arguments", "to", "expected"),
    [
        (["a"], None, (["a"], "/")),
        (["a", "b"], None, (["a", "b"], "/")),
        (["a", "b", "/no-such-thing/x"], None, (["a", "b"], "/no-such-thing/x")),
        (["a", "/no-such-thing/x/"], None, (["a"], "/no-such-thing/x")),
        (["/no-such-thing/x"], None, (["/no-such-thing/x"], "/")),
        (["a", "/no-such-thing/x"], "/there", (["a", "/no-such-thing/x"], "/there")),
        (["a"], "/", (["a"], "/")),
        (["a", "/"], None, (["a"], "/")),
        (["a", "shared:Team/in/"], None, (["a"], "shared:Team/in")),
        (["a"], f"id:{UUID}", (["a"], f"id:{UUID}")),
        (["a", "id:nothing"], None, (["a", "id:nothing"], "/")),
    ],
)
def test_split_destination_follows_the_rule(
    arguments: list[str], to: str | None, expected: tuple[list[str], str]
) -> None:
    assert split_destination(arguments, to) == expected


def test_split_destination_with_an_existing_local_path_is_ambiguous(tmp_path: Path) -> None:
    with pytest.raises(AmbiguousDestination, match=f"--to {tmp_path}"):
        split_destination(["a", str(tmp_path)], None)
    dangling = tmp_path / "link"
    dangling.symlink_to("nowhere")
    with pytest.raises(AmbiguousDestination):
        split_destination(["a", str(dangling)], None)


def test_split_destination_without_a_slash_is_refused() -> None:
    with pytest.raises(AmbiguousDestination, match="begin with /"):
        split_destination(["a"], "photos")


def found(walk: Walk) -> dict[str, str]:
    """Return the remote path of each file by its local name."""
    return {item.path.name: f"{item.folder.rstrip('/')}/{item.name}" for item in walk}


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    top = tmp_path / "photos"
    (top / "2026").mkdir(parents=True)
    (top / "empty").mkdir()
    (top / "cat.jpg").write_bytes(b"cat")
    (top / "2026" / "räksmörgås.txt").write_bytes(b"")
    return top


def test_walk_maps_a_folder_to_its_name(tree: Path) -> None:
    walk = Walk([str(tree)], "/backup", "replace")
    assert found(walk) == {
        "cat.jpg": "/backup/photos/cat.jpg",
        "räksmörgås.txt": "/backup/photos/2026/räksmörgås.txt",
    }
    assert walk.skipped == []
    assert walk.empty_folders == ["/backup/photos/empty"]


def test_walk_without_files_reports_an_empty_folder(tree: Path) -> None:
    (tree / "empty" / "link").symlink_to("nowhere")
    (tree / "2026" / "räksmörgås.txt").unlink()
    (tree / "2026" / "rome" / "day 1").mkdir(parents=True)
    walk = Walk([str(tree)], "/", "replace")
    assert set(found(walk)) == {"cat.jpg"}
    assert walk.empty_folders == ["/photos/2026/rome/day 1", "/photos/empty"]


def test_walk_of_a_dot_maps_the_contents(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tree)
    assert found(Walk(["."], "/", "replace"))["cat.jpg"] == "/cat.jpg"


def test_walk_skips_links_in_folders_and_follows_a_named_one(tree: Path) -> None:
    (tree / "link").symlink_to("cat.jpg")
    (tree / "loop").symlink_to(tree)
    walk = Walk([str(tree)], "/", "replace")
    assert set(found(walk)) == {"cat.jpg", "räksmörgås.txt"}
    assert {(entry.path.name, entry.failed) for entry in walk.skipped} == {("link", False), ("loop", False)}
    assert set(found(Walk([str(tree / "link")], "/", "replace"))) == {"link"}


def test_walk_skips_partial_downloads(tree: Path) -> None:
    (tree / ".cat.jpg.0123456789abcdef.dbx-part").write_bytes(b"ca")
    (tree / "notes.dbx-part").write_bytes(b"mine")
    walk = Walk([str(tree)], "/", "replace")
    assert set(found(walk)) == {"cat.jpg", "notes.dbx-part", "räksmörgås.txt"}
    assert [entry.failed for entry in walk.skipped] == [False]


@pytest.mark.parametrize("kind", ["fifo", "socket", "pipe of the shell"])
def test_walk_of_a_named_special_file_fails(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "special"
    if kind == "fifo":
        os.mkfifo(path)
    elif kind == "socket":
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(str(path))
    else:
        reader, writer = os.pipe()
        path = Path(f"/dev/fd/{reader}")
    walk = Walk([str(path)], "/", "replace")
    assert found(walk) == {}
    assert [(entry.path, entry.failed) for entry in walk.skipped] == [(path, True)]
    assert "dbx upload -" in walk.skipped[0].reason
    if kind == "pipe of the shell":
        os.close(reader)
        os.close(writer)


def test_walk_skips_litter_quietly_and_tells_real_files(tree: Path) -> None:
    for name in ("Icon\r", ".DS_Store", "Thumbs.db", "DESKTOP.INI"):
        (tree / name).write_bytes(b"litter")
    (tree / "$RECYCLE.BIN").mkdir()
    (tree / "$RECYCLE.BIN" / "deleted").write_bytes(b"")
    (tree / "real\r").write_bytes(b"a file of its owner")
    walk = Walk([str(tree)], "/", "replace")
    assert set(found(walk)) == {"cat.jpg", "räksmörgås.txt", "real\r"}  # the server refuses this name, and dbx says so
    assert {path.name for path in walk.litter} == {"Icon\r", ".DS_Store", "Thumbs.db", "DESKTOP.INI", "$RECYCLE.BIN"}
    assert walk.skipped == []
    assert set(found(Walk([str(tree / "Icon\r")], "/", "replace"))) == {"Icon\r"}  # named itself


def test_walk_skips_unusable_files_and_continues(tree: Path) -> None:
    os.mkfifo(tree / "fifo")
    (tree / os.fsdecode(b"not-\xff-unicode")).write_bytes(b"")
    walk = Walk([str(tree / "missing"), str(tree)], "/", "replace")
    assert set(found(walk)) == {"cat.jpg", "räksmörgås.txt"}
    assert {(entry.path.name, entry.failed) for entry in walk.skipped} == {
        ("missing", True),
        (os.fsdecode(b"not-\xff-unicode"), True),
        ("fifo", False),
    }


def test_walk_skips_a_second_name_that_is_equal_on_the_server(tree: Path) -> None:
    (tree / "CAT.jpg").write_bytes(b"another cat")
    walk = Walk([str(tree)], "/", "replace")
    assert set(found(walk)) == {"CAT.jpg", "räksmörgås.txt"}
    assert [(entry.path.name, entry.failed) for entry in walk.skipped] == [("cat.jpg", True)]
    assert {"CAT.jpg", "cat.jpg"} <= set(found(Walk([str(tree)], "/", "rename")))


def test_walk_of_two_arguments_with_one_name_skips_the_second(tmp_path: Path) -> None:
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "x").write_text(folder)
    walk = Walk([str(tmp_path / "a" / "x"), str(tmp_path / "b" / "x")], "/", "replace")
    assert [item.path.parent.name for item in walk] == ["a"]
    assert [entry.failed for entry in walk.skipped] == [True]
