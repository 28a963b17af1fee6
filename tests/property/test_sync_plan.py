"""Sides of one tree, changed at random, agree again, and no content is lost on the way.

The checks know nothing of the planner: they compare contents and places before and after. FAULTS=long runs many more.
"""

import os
import random
from collections import Counter
from collections.abc import Callable, Mapping
from itertools import islice

import pytest

from dropbox_client.models.files import normalize_name
from dropbox_client.sync.names import make_twin_names
from dropbox_client.sync.trees import SHARED_ID, BaseEntry, ContentId
from tests.support.sync_changes import MOST_PLANS, SHARE, Changes, carry_out, converge, mount_share, revoke_share, step
from tests.support.sync_world import ROOT, SimDevice, SimFile, SimNode, SimServer

LONG = os.environ.get("FAULTS") == "long"
RUNS = 20_000 if LONG else 400


def show_disk(device: SimDevice, number: int = 1, path: str = "") -> dict[str, object]:
    found: dict[str, object] = {}
    for one in device.children(number):
        here = f"{path}/{one.name.decode()}"
        found[here] = (one.kind, one.content, one.executable)
        found |= show_disk(device, one.number, here)
    return found


def show_base(device: SimDevice, node_id: str = ROOT, path: str = "") -> dict[str, object]:
    found: dict[str, object] = {}
    for one in device.base.values():
        if one.parent == node_id:
            here = f"{path}/{one.local_name.decode()}"
            found[here] = (one.kind, one.content, one.executable)
            found |= show_base(device, one.id, here)
    return found


def disturb(device: SimDevice, rng: random.Random) -> None:
    """Act for a while on incomplete knowledge: what is unknown is not absent."""
    for _ in range(rng.choice([0, 0, 0, 1, 3])):
        files = [one for one in device.files.values() if one.parent is not None]
        for one in rng.sample(files, min(len(files), rng.randint(0, 2))):
            one.status = "unknown" if one.kind == "folder" else rng.choice(["busy", "unknown"])
        nodes = list(device.server.below(ROOT))
        for node in rng.sample(nodes, min(len(nodes), rng.randint(0, 2))):
            node.status = rng.choice(["quarantined", "damaged"])
        device.is_settled = rng.random() < 0.7
        step(device, rng, skip=0.2)
        for one in device.files.values():
            one.status = "ok"
        for node in device.server.nodes.values():
            node.status = "stored"
        device.is_settled = True


def find_deleted(base: Mapping[str, BaseEntry], disk: Mapping[str, SimFile], server: Mapping[str, SimNode]) -> set[str]:
    """Return the files that one side deleted and the other left unchanged, and whose content is nowhere else."""
    seen = Counter([one.content for one in disk.values()] + [one.content for one in server.values()])
    deleted = set()
    for node_id, was in base.items():
        rest = [one for one in (disk.get(node_id), server.get(node_id)) if one is not None]
        if was.kind == "file" and (
            not rest or (len(rest) == 1 and rest[0].content == was.content and seen[was.content] == 1)
        ):
            deleted.add(node_id)
    return deleted


def find_moved(
    device: SimDevice, disk: Mapping[str, SimFile], server: Mapping[str, SimNode]
) -> dict[str, tuple[str, str]]:
    """Return the place of each file that is on both sides, and which one side alone moved."""
    moved = {}
    for node_id, was in device.base.items():
        if node_id in disk and node_id in server:
            here = device.ids[disk[node_id].parent or 0], disk[node_id].name.decode()
            there = server[node_id].parent or "", server[node_id].name
            if (was.parent, was.name) in {here, there} and not here[0].startswith("+"):
                moved[node_id] = there if here == (was.parent, was.name) else here
    return moved


def run(seed: int) -> None:
    rng = random.Random(seed)
    server, changes = SimServer(), Changes(rng)
    device = SimDevice(server)
    for _ in range(rng.randint(0, 25)):
        changes.change_server(server)
    converge(device, rng)
    for _ in range(rng.randint(0, 12)):
        changes.change_server(server)
    for _ in range(rng.randint(0, 12)):
        changes.change_disk(device)
    device.scan()
    on_disk = {device.ids[one.number]: one for one in device.files.values() if one.kind == "file"}
    on_server = {one.id: one for one in server.below(ROOT) if one.kind == "file"}
    at_risk = {one.content for one in on_disk.values()} | {one.content for one in on_server.values()}
    base = dict(device.base)
    known = {None, *(one.content for one in base.values())}
    survivors: Counter[ContentId | None] = Counter()
    for node_id in base.keys() | on_disk.keys() | on_server.keys():
        mine, other = (side[node_id].content if node_id in side else None for side in (on_disk, on_server))
        # What either side wrote lives, and so does what neither touched.
        survivors.update({one for one in (mine, other) if one not in known} or ({mine} if mine == other else ()))
    survivors.pop(None, None)
    deleted, moved = find_deleted(base, on_disk, on_server), find_moved(device, on_disk, on_server)
    disturb(device, rng)
    plans = converge(device, rng, skip=rng.choice([0.0, 0.0, 0.2, 0.5]))
    nodes = {one.id: one for one in server.below(ROOT)}
    live = Counter(one.content for one in nodes.values() if one.kind == "file")
    assert not plans[-1].held, plans[-1].held
    assert not plans[-1].brakes
    assert show_disk(device) == show_base(device)
    assert {(one.id, one.parent, one.name, one.content) for one in device.base.values() if one.id != ROOT} == {
        (one.id, one.parent, one.name, one.content) for one in nodes.values()
    }
    keys = {(one.parent, normalize_name(one.name)) for one in nodes.values()}
    for base_entry in device.base.values():
        local_name = base_entry.local_name.decode()
        # A name differs from the local one by its case, or by the suffix of a twin, which may have left since.
        names = {normalize_name(one) for one in (local_name, *islice(make_twin_names(local_name), 5))}
        assert normalize_name(base_entry.name) in names, base_entry
    assert at_risk <= server.stored | set(device.trash), at_risk - server.stored - set(device.trash)
    assert not survivors - live, survivors - live
    assert not deleted & nodes.keys(), deleted & nodes.keys()
    for node_id, (parent, name) in moved.items():
        if parent in nodes and node_id in nodes:
            assert nodes[node_id].parent == parent, (node_id, parent)
            assert nodes[node_id].name == name or (parent, normalize_name(name)) in keys, (node_id, name)


def run_with_share(seed: int) -> None:
    """A share of another owner, which may end or be moved on disk; a viewer's changes never reach it."""
    rng = random.Random(seed)
    server, changes = SimServer(), Changes(rng)
    device = SimDevice(server)
    access = rng.choice(["viewer", "editor"])
    mount_share(server, device, access)
    for _ in range(rng.randint(0, 20)):
        changes.change_server(server, rng.choice([ROOT, SHARE]))
    converge(device, rng)
    for _ in range(rng.randint(0, 8)):
        changes.change_server(server, rng.choice([ROOT, SHARE]))
    known = {one.content for one in device.base.values()}
    for _ in range(rng.randint(0, 12)):
        changes.change_disk(device)
    written = {one.content for one in device.files.values()} - known
    at_risk = {one.content for one in device.files.values()} | {one.content for one in server.nodes.values()}
    if rng.random() < 0.3:
        revoke_share(device)
    share = {(one.id, one.parent, one.name, one.content, one.version) for one in server.below(SHARE)}
    was_trashed = server.nodes[SHARE].is_trashed
    others = {one.content for one in server.below(SHARE)}
    plans = converge(device, rng, skip=rng.choice([0.0, 0.2]))
    if any(brake.kind == "unmount" for brake in plans[-1].brakes):
        device.answers[SHARE] = device.answers[SHARED_ID] = "rejected"
        plans = converge(device, rng)
    on_disk = {one.content for one in device.files.values()}
    assert not plans[-1].brakes
    assert written <= on_disk, written - on_disk
    assert server.nodes[SHARE].is_trashed == was_trashed
    assert at_risk - {None} <= server.stored | set(device.trash) | on_disk
    if access == "viewer" or not device.mounts[SHARE].is_active:
        assert {(one.id, one.parent, one.name, one.content, one.version) for one in server.below(SHARE)} == share
    if device.mounts[SHARE].is_active:
        assert others - {None} <= server.stored
        assert {one.content for one in server.below(SHARE)} <= on_disk | {None}
    else:
        assert not {one.id for one in server.below(SHARE)} & device.base.keys()
    seen = {ROOT, SHARED_ID, SHARE}
    assert {(one.id, one.content) for one in device.base.values() if one.id not in seen} == {
        (one.id, one.content) for one in device.remote.values() if one.id not in seen
    }
    assert {one.content for one in server.below(ROOT)} <= on_disk | {None}


def run_with_devices(seed: int) -> None:
    """Whole trees on several devices: only what a user saw and removed is gone, and all devices end equal."""
    rng = random.Random(seed)
    server, changes = SimServer(), Changes(rng)
    devices = [SimDevice(server, f"device{number}") for number in range(rng.choice([2, 3]))]
    discarded: set[ContentId | None] = {None}
    written: set[ContentId | None] = set()
    for _ in range(rng.randint(5, 25)):
        device = rng.choice(devices)
        if rng.random() < 0.5:
            before = Counter(one.content for one in device.files.values())
            changes.change_disk(device)
            after = Counter(one.content for one in device.files.values())
            discarded |= (before - after).keys()
            written |= after.keys()
        elif rng.random() < 0.5:
            step(device, rng, skip=rng.choice([0.0, 0.3]))
        else:  # with old knowledge of one side
            rng.choice([device.pull, device.scan])()
            carry_out(device, rng)
    for _ in range(MOST_PLANS):
        plans = [step(device, rng) for device in devices]
        if not any(plan.stages for plan in plans):
            break
    else:
        raise AssertionError(f"no end: {[plan.stages for plan in plans]}")
    nodes = {one.id: (one.parent, one.name, one.content) for one in server.below(ROOT)}
    live = {one.content for one in server.below(ROOT)}
    for device in devices:
        base = {one.id: (one.parent, one.name, one.content) for one in device.base.values() if one.id != ROOT}
        assert base == nodes
        assert show_disk(device) == show_base(device)
    assert written - live <= discarded, written - live - discarded


CHECKS: dict[str, Callable[[int], None]] = {
    "two sides": run,
    "a share": run_with_share,
    "devices": run_with_devices,
}


@pytest.mark.parametrize("block", range(8))
@pytest.mark.parametrize("kind", CHECKS)
def test_trees_agree_and_no_content_is_lost(kind: str, block: int) -> None:
    for seed in range(block * RUNS // 8, (block + 1) * RUNS // 8):
        try:
            CHECKS[kind](seed)
        except BaseException:
            print(f"seed {seed}")
            raise
