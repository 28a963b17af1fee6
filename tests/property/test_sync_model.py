"""Histories of two or three devices, which sync at odd times, are explained by the specification of one file.

The planner is the real one; server and disks are in memory. A device may plan with an old tree of the server, leave out
actions, and its user may write between its scan and its actions. FAULTS=long checks 100,000 histories.
"""

import os
import random
from collections.abc import Callable

import pytest

from dropbox_client.sync.trees import Plan
from tests.support.sync_changes import MOST_PLANS, carry_out, step
from tests.support.sync_model import Checker, Unexplained, Value
from tests.support.sync_world import SimDevice, SimFile, SimServer, content

LONG = os.environ.get("FAULTS") == "long"
HISTORIES = 100_000 if LONG else 200
BLOCKS = 8
OPERATIONS = 8


class History:
    """One random history: what users did and saw, and the syncs between."""

    def __init__(self, seed: int, directory: bytes = b"") -> None:
        self.random = random.Random(seed)
        self.directory = directory
        self.server = SimServer()
        self.devices = [SimDevice(self.server, f"device{n}") for n in range(self.random.choice([2, 2, 3]))]
        self.written = 0
        self.seen: list[str] = []

    def next_value(self) -> int:
        self.written += 1
        return self.written

    def sync(self, number: int) -> Plan:
        """Let a device do a part of what it should: all, some actions, or only read one side."""
        device = self.devices[number]
        self.seen.append(f"sync {number}")
        if self.random.random() < 0.4:
            return step(device, self.random, skip=self.random.choice([0.0, 0.3]))
        self.random.choice([device.pull, device.scan])()
        return carry_out(device, self.random)

    def settle(self) -> None:
        """Sync all devices until none has anything to do."""
        for _ in range(MOST_PLANS):
            plans = [step(device, self.random) for device in self.devices]
            if not any(plan.stages for plan in plans):
                return
        raise AssertionError("no end")

    def find(self, device: SimDevice) -> int:
        """Return the directory of the file; 0: it is missing."""
        if not self.directory:
            return 1
        return next((one.number for one in device.children(1) if one.name == self.directory), 0)


def find_file(history: History, device: SimDevice) -> SimFile | None:
    parent = history.find(device)
    return next((one for one in device.children(parent) if one.name == b"f"), None) if parent else None


def read(history: History, device: SimDevice) -> Value:
    file = find_file(history, device)
    return None if file is None or file.content is None else int(file.content.fingerprint[1:])


def write(history: History, device: SimDevice, value: Value) -> None:
    """Write, create or delete the file, with the folder above it where there is one."""
    file = find_file(history, device)
    if value is None:
        assert file is not None
        has_copies = len(device.children(file.parent or 0)) > 1  # which the specification never deletes
        is_whole = bool(history.directory) and not has_copies and history.random.random() < 0.5
        device.remove(file.parent if is_whole and file.parent else file.number)
        return
    if file is not None and history.random.random() < 0.7:
        device.write(file.number, content(value))
        return
    if file is not None:
        device.remove(file.number)  # replaced by another file: a new inode
    parent = history.find(device) or device.put(1, history.directory, "folder").number
    device.put(parent, b"f", "file", content(value))


def check_contents(seed: int, directory: bytes = b"") -> None:
    """The content of one file, below a folder that may be deleted with it; None: deleted."""
    history = History(seed, directory)
    checker = Checker(len(history.devices), None)
    for _ in range(OPERATIONS):
        number = history.random.randrange(len(history.devices))
        device = history.devices[number]
        for _ in range(history.random.choice([0, 1, 1, 2])):
            history.sync(history.random.randrange(len(history.devices)))
        old = read(history, device)
        if history.random.random() < 0.3:
            history.seen.append(f"read {number}: {old}")
            checker.read(number, old)
        else:
            new = None if old is not None and history.random.random() < 0.25 else history.next_value()
            history.seen.append(f"write {number}: {new}, was {old}")
            write(history, device, new)
            checker.write(number, new, old)
    history.settle()
    value = read(history, history.devices[0])
    contents = [{one.content for one in device.files.values() if one.content} for device in history.devices]
    conflicts = frozenset(int(one.fingerprint[1:]) for one in contents[0]) - {value}
    history.seen.append(f"end: {value}, {sorted(conflicts)}")
    assert all(one == contents[0] for one in contents)
    assert {read(history, device) for device in history.devices} == {value}
    checker.settle(value, frozenset(one for one in conflicts if one is not None))


def check_names(seed: int) -> None:
    """The name of one file, or its folder: of two moves the first one on the server counts."""
    history = History(seed)
    history.devices[0].put(1, b"0", history.random.choice(["file", "folder"]), None)
    for one in history.devices[0].files.values():
        one.content = content(1) if one.kind == "file" else None
    history.settle()
    checker = Checker(len(history.devices), 0, keeps_losers=False)
    for _ in range(OPERATIONS):
        number = history.random.randrange(len(history.devices))
        device = history.devices[number]
        for _ in range(history.random.choice([0, 1, 1, 2])):
            history.sync(history.random.randrange(len(history.devices)))
        (file,) = device.children(1)
        old = int(file.name)
        if history.random.random() < 0.3:
            history.seen.append(f"read {number}: {old}")
            checker.read(number, old)
        else:
            new = history.next_value()
            history.seen.append(f"move {number}: {new}, was {old}")
            device.rename(file.number, 1, str(new).encode())
            checker.write(number, new, old)
    history.settle()
    values = {int(file.name) for device in history.devices for file in device.children(1)}
    history.seen.append(f"end: {values}")
    (value,) = values
    checker.settle(value, frozenset())


def check_deleted_folder(seed: int) -> None:
    """A delete, made with old knowledge, loses to anything that another device did in the folder."""
    history = History(seed)
    first, second = history.devices[:2]
    folder = first.put(1, b"d", "folder").number
    first.put(folder, b"f", "file", content(1))
    first.put(1, b"g", "file", content(2))
    history.settle()
    first.remove(folder)
    first.pull()
    first.scan()
    files = {one.name: one for one in second.files.values()}
    act = history.random.choice(["add", "edit", "move"])
    if act == "add":
        second.put(files[b"d"].number, b"h", "file", content(3))
    elif act == "edit":
        second.write(files[b"f"].number, content(3))
    else:
        second.rename(files[b"g"].number, files[b"d"].number, b"h")
    step(second, history.random)
    carry_out(first, history.random)
    history.settle()
    kept = content(2 if act == "move" else 3)
    for device in history.devices:
        (one,) = (one for one in device.files.values() if one.content == kept)
        assert one.parent is not None
        assert device.files[one.parent].name == b"d"


CHECKS: dict[str, Callable[[int], None]] = {
    "content": check_contents,
    "content in a folder": lambda seed: check_contents(seed, b"d"),
    "name": check_names,
    "deleted folder": check_deleted_folder,
}


@pytest.mark.parametrize("block", range(BLOCKS))
@pytest.mark.parametrize("kind", CHECKS)
def test_history_of_devices_is_explained(kind: str, block: int) -> None:
    count = HISTORIES // len(CHECKS) // BLOCKS + 1
    for seed in range(block * count, (block + 1) * count):
        try:
            CHECKS[kind](seed)
        except BaseException:
            print(f"seed {seed}")
            raise


def test_checker_finds_a_lost_write_unexplained() -> None:
    checker = Checker(2, None)
    checker.write(0, 1, None)
    checker.write(1, 2, None)
    with pytest.raises(Unexplained):
        checker.settle(1, frozenset())


def test_checker_explains_a_conflict_copy() -> None:
    checker = Checker(2, None)
    checker.write(0, 1, None)
    checker.write(1, 2, None)
    checker.settle(1, frozenset({2}))
