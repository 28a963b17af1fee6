"""A root that is not the one that was synchronized pauses; one process works on a root."""

import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from dropbox_client.sync.guard import (
    MARKER,
    Host,
    RootFolder,
    RootLock,
    RootPaused,
    RootRecord,
    RootRefused,
    check_root,
    find_file_system,
    make_marker,
    require_local_disk,
)

HOST = Host("machine", "boot", "")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    made = tmp_path / "root"
    made.mkdir()
    (made / "file").write_text("content")
    return made


@pytest.fixture
def record(root: Path) -> RootRecord:
    return make_marker(root, HOST)


def check(root: Path, record: RootRecord, host: Host = HOST) -> RootRecord:
    with RootFolder(root) as folder:
        return check_root(folder, record, host)


def empty(root: Path) -> None:
    for entry in root.iterdir():
        shutil.rmtree(entry) if entry.is_dir() else entry.unlink()


def replace_by_copy(root: Path) -> None:
    shutil.copytree(root, root.with_name("copy"))
    root.rename(root.with_name("old"))
    root.with_name("copy").rename(root)


def replace_by_other_root(root: Path) -> None:
    root.rename(root.with_name("old"))
    root.mkdir()
    make_marker(root, HOST)


def unmount(root: Path) -> None:
    root.rename(root.with_name("unmounted"))
    root.mkdir()


def link_marker(root: Path) -> None:
    (root / MARKER).rename(root / "elsewhere")
    (root / MARKER).symlink_to("../elsewhere")


@pytest.mark.parametrize("change", [empty, replace_by_copy, replace_by_other_root, unmount, shutil.rmtree, link_marker])
def test_rule_1_root_that_is_not_the_same_pauses(
    root: Path, record: RootRecord, change: Callable[[Path], None]
) -> None:
    assert check(root, record) == record
    change(root)
    with pytest.raises(RootPaused):
        check(root, record)


def test_rule_1_root_replaced_while_it_is_open_pauses(root: Path, record: RootRecord) -> None:
    with RootFolder(root) as folder:
        unmount(root)
        with pytest.raises(RootPaused):
            check_root(folder, record, HOST)


def test_rule_1_device_counts_within_one_boot_only(root: Path, record: RootRecord) -> None:
    moved = replace(record, device=record.device + 1)
    with pytest.raises(RootPaused):
        check(root, moved)
    later = replace(HOST, boot="next boot")
    assert check(root, moved, later) == replace(record, boot="next boot")


def test_state_of_another_machine_is_refused(root: Path, record: RootRecord) -> None:
    with pytest.raises(RootRefused):
        check(root, record, replace(HOST, machine="another machine"))


def test_folder_that_was_a_root_keeps_its_marker(root: Path, record: RootRecord) -> None:
    assert make_marker(root, HOST) == record


@pytest.mark.parametrize("place", ["root", "root/inner", "."])
def test_rule_13_nested_root_is_refused(root: Path, record: RootRecord, place: str) -> None:
    other = root.parent / place
    other.mkdir(exist_ok=True)
    with pytest.raises(RootRefused):
        make_marker(other, HOST, [root])
    assert (other / MARKER).exists() == (other == root)


def test_rule_13_root_below_one_of_another_account_is_refused(root: Path, record: RootRecord) -> None:
    inner = root / "a" / "b"
    inner.mkdir(parents=True)
    with pytest.raises(RootRefused):
        make_marker(inner, HOST)


LOCK = """
import sys
from pathlib import Path
from dropbox_client.sync.guard import RootFolder, RootLock
with RootFolder(Path(sys.argv[1])) as folder, RootLock(folder, Path(sys.argv[2])):
    print("locked", flush=True)
    sys.stdin.read()
"""


@pytest.mark.parametrize("shared", ["root", "state"])
def test_rule_13_second_process_is_refused(root: Path, record: RootRecord, tmp_path: Path, shared: str) -> None:
    other = tmp_path / "other"
    other.mkdir()
    make_marker(other, HOST)
    states = tmp_path / "first.sqlite", tmp_path / "second.sqlite"
    command = [sys.executable, "-c", LOCK, str(root), str(states[0])]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout
        assert process.stdout.readline() == b"locked\n"
        folder, state = (root, states[1]) if shared == "root" else (other, states[0])
        with RootFolder(folder) as opened, pytest.raises(RootRefused):
            RootLock(opened, state)
        process.kill()
    with RootFolder(folder) as opened, RootLock(opened, state):
        pass


MOUNTS = r"""
21 1 8:1 / / rw - ext4 /dev/sda1 rw
30 21 0:40 / /home rw shared:1 - nfs4 server:/home rw
31 30 0:41 / /home/ada/disk\040two rw - fuse.sshfs x rw
32 30 8:2 / /home/ada/local rw - ext4 /dev/sda2 rw
33 32 0:42 / /home/ada/local rw - btrfs /dev/sdb rw
"""


@pytest.mark.parametrize(
    ("folder", "kind", "is_refused"),
    [
        ("/var/lib", "ext4", False),
        ("/home/ada", "nfs4", True),
        ("/home/ada/disk two/x", "fuse.sshfs", True),
        ("/home/ada/disk", "nfs4", True),
        ("/home/ada/local/x", "btrfs", False),
    ],
)
def test_rule_13_state_on_a_network_file_system_is_refused(folder: str, kind: str, is_refused: bool) -> None:
    host = replace(HOST, mounts=MOUNTS)
    assert find_file_system(Path(folder), host) == kind
    if is_refused:
        with pytest.raises(RootRefused):
            require_local_disk(Path(folder), host)
    else:
        require_local_disk(Path(folder), host)


def test_host_tells_this_machine(tmp_path: Path) -> None:
    host = Host.read()
    assert host == Host.read()
    assert len(host.machine) == 64
    assert find_file_system(tmp_path, host)
    require_local_disk(tmp_path, host)
