"""Random changes of a disk and of a server in memory, and the plans that bring them together again."""

import random
from contextlib import suppress
from dataclasses import replace

from dropbox_client.sync.trees import SHARED_ID, ContentId, Mount, Plan
from tests.support.sync_world import ROOT, Mismatch, SimDevice, SimFile, SimNode, SimServer, content

NAMES = ["a", "b", "A", "c.txt", "C.txt", "d", "e"]
DISK_ACTIONS = [
    *["edit", "move"] * 2,
    *["file", "folder", "remove", "rename", "swap", "mark", "copy", "kind", "anew"],
]
MOST_PLANS = 200
SHARE = "share"


class Changes:
    """Draws changes of one history; every written content is new, unless it is a copy."""

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng
        self.written = 0

    def write(self) -> ContentId:
        self.written += 1
        return content(self.written)

    # The server

    def change_server(self, server: SimServer, below: str = ROOT) -> None:
        """Make one change, as another client would."""
        nodes = list(server.below(below))
        folders = [below, *(one.id for one in nodes if one.kind == "folder")]
        files = [one for one in nodes if one.kind == "file"]
        action = self.rng.choice(["file", "folder", "edit", "edit", "trash", "move", "move", "rename", "swap", "mark"])
        parent, name = self.rng.choice(folders), self.rng.choice(NAMES)
        try:
            if action == "file":
                server.make(parent, name, "file", self.write(), executable=False)
            elif action == "folder":
                server.make(parent, name, "folder", None, executable=False)
            elif action == "edit" and files:
                one = self.rng.choice(files)
                server.write(one.id, one.revision_id, self.write(), executable=one.executable)
            elif action == "mark" and files:
                one = self.rng.choice(files)
                server.mark(one.id, one.version, executable=not one.executable)
            elif action in {"trash", "move", "rename"} and nodes:
                self._change_node(server, action, self.rng.choice(nodes), parent, name)
            elif action == "swap" and len(nodes) > 1:
                self._swap_nodes(server, *self.rng.sample(nodes, 2))
        except Mismatch:
            pass

    def _change_node(self, server: SimServer, action: str, node: SimNode, parent: str, name: str) -> None:
        if action == "trash":
            node.is_trashed, node.version = True, node.version + 1
            if self.rng.random() < 0.2:
                server.purge(node.id)
        elif action == "move":
            server.move(node.id, node.version, parent, self.rng.choice([name, node.name]))
        else:
            server.move(node.id, node.version, node.parent or "", name)

    def _swap_nodes(self, server: SimServer, one: SimNode, other: SimNode) -> None:
        places = [(one.parent or "", one.name), (other.parent or "", other.name)]
        if other in server.below(one.id) or one in server.below(other.id):
            return
        server.move(one.id, one.version, places[0][0], "swap")
        server.move(other.id, other.version, *places[0])
        server.move(one.id, one.version, *places[1])

    # The disk

    def change_disk(self, device: SimDevice) -> None:
        """Make one change, as programs of the user would."""
        if self.rng.random() < 0.05:
            self._nest(device)
        files = [one for one in device.files.values() if one.parent is not None]
        directories = [one.number for one in device.files.values() if one.kind == "folder"]
        plain = [one for one in files if one.kind == "file"]
        action = self.rng.choice(DISK_ACTIONS)
        parent, name = self.rng.choice(directories), self.rng.choice(NAMES).encode()
        try:
            if action == "file":
                device.put(parent, name, "file", self.write())
            elif action == "folder":
                device.put(parent, name, "folder")
            elif action == "edit" and plain:
                device.write(self.rng.choice(plain).number, self.write())
            elif action == "mark" and plain:
                one = self.rng.choice(plain)
                one.executable = not one.executable
            elif action == "copy" and plain:
                device.put(parent, name, "file", self.rng.choice(plain).content)
            elif files:
                self._change_file(device, action, self.rng.choice(files), parent, name)
        except Mismatch:
            pass

    def _change_file(self, device: SimDevice, action: str, one: SimFile, parent: int, name: bytes) -> None:
        if action == "remove":
            device.remove(one.number)
        elif action == "move":
            device.rename(one.number, parent, self.rng.choice([name, one.name]))
        elif action == "rename":
            device.rename(one.number, one.parent or 1, name)
        elif action == "swap":
            other = self.rng.choice([two for two in device.files.values() if two.parent is not None])
            if not device.is_inside(one.number, other.number) and not device.is_inside(other.number, one.number):
                one.parent, one.name, other.parent, other.name = other.parent, other.name, one.parent, one.name
        elif action == "kind":
            device.remove(one.number)
            made = device.put(one.parent or 1, one.name, "folder" if one.kind == "file" else "file")
            made.content = self.write() if made.kind == "file" else None
        elif action == "anew" and one.kind == "file":  # moved by a copy: a new inode
            device.put(parent, name, "file", one.content)
            device.remove(one.number)

    def _nest(self, device: SimDevice) -> None:
        """Put a folder into another one of its own name, or take one out of a folder that is removed."""
        folders = [one for one in device.files.values() if one.kind == "folder" and one.parent is not None]
        if not folders:
            return
        one = self.rng.choice(folders)
        inner = device.children(one.number)
        try:
            if inner and self.rng.random() < 0.5:
                kept = self.rng.choice(inner)
                place = one.parent, one.name
                device.rename(kept.number, 1, b"kept")
                device.remove(one.number)
                device.rename(kept.number, place[0] or 1, place[1])
            else:
                place = one.parent, one.name
                one.name = b"nested"
                made = device.put(place[0] or 1, place[1], "folder")
                device.rename(one.number, made.number, place[1])
        except Mismatch:
            pass


def mount_share(server: SimServer, device: SimDevice, access: str) -> None:
    """Give a device a share of another owner."""
    if SHARE not in server.nodes:
        server.nodes["bob"] = SimNode("bob", None, "", "folder")
        server.nodes[SHARE] = SimNode(SHARE, "bob", "share", "folder")
    device.mounts[SHARED_ID] = Mount(SHARED_ID, "viewer")
    device.mounts[SHARE] = Mount(SHARE, access, owner="bob")  # type: ignore[arg-type]
    device.mount_places[SHARE] = (SHARED_ID, "share")


def revoke_share(device: SimDevice) -> None:
    """Take the share away again."""
    device.mounts[SHARE] = replace(device.mounts[SHARE], is_active=False)


def step(device: SimDevice, rng: random.Random, *, skip: float = 0.0) -> Plan:
    """Scan, read, plan, and carry out the plan in an allowed order, but for some actions. Returns the plan."""
    device.pull()
    device.scan()
    return carry_out(device, rng, skip=skip)


def carry_out(device: SimDevice, rng: random.Random, *, skip: float = 0.0) -> Plan:
    """Plan from what a device knows, which may be old, and act."""
    if not device.remote or not device.scanned:
        device.pull()
        device.scan()
    plan = device.plan()
    for stage in plan.stages:
        for action in rng.sample(stage, len(stage)):
            if rng.random() < skip:
                continue
            with suppress(Mismatch):
                device.apply(action)
    return plan


def converge(device: SimDevice, rng: random.Random, *, skip: float = 0.0) -> list[Plan]:
    """Plan and act until nothing is left to do. Raises: AssertionError after `MOST_PLANS`."""
    plans = []
    for _ in range(MOST_PLANS):
        plans.append(step(device, rng, skip=skip))
        if not plans[-1].stages:
            return plans
    raise AssertionError(f"no end after {MOST_PLANS} plans: {plans[-1].stages}")
