"""The planner: three trees in, ordered actions out. Pure: the same trees give the same plan.

1. `adoption` finds what is the same on both sides already.
2. `targets` decides where each node is to be in the end.
3. Here each difference between a side and the targets becomes an action, if it is possible now: other actions of the
   plan are made by the next one. Order: rows; creates and moves, top-down; content; deletes on the server, of top
   nodes; deletes on disk, bottom-up.

One action for each node in one plan, so that each sees the rows that the one before left.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import zip_longest
from typing import Final

from dropbox_client.models.files import normalize_name
from dropbox_client.sync.adoption import Adoption, apply_adoption, find_adoption
from dropbox_client.sync.conflicts import (
    Answer,
    Existence,
    Row,
    decide_content,
    decide_executable,
    is_downloadable,
)
from dropbox_client.sync.facts import Facts
from dropbox_client.sync.layout import Job, Layout
from dropbox_client.sync.names import (
    RootTraits,
    make_conflict_names,
    make_local_key,
    make_park_names,
    write_name,
)
from dropbox_client.sync.targets import Target, Targets
from dropbox_client.sync.trees import (
    Action,
    Adopt,
    Brake,
    BrakeKind,
    CopyConflict,
    Detach,
    Download,
    DropBase,
    Held,
    LocalEntry,
    LookUp,
    MakeLocal,
    MakeRemote,
    MarkLocal,
    MarkRemote,
    MoveLocal,
    MoveRemote,
    NodeId,
    Park,
    PlaceMount,
    Plan,
    RemoteEntry,
    SendEdit,
    SendNew,
    TrashLocal,
    TrashRemote,
    Trees,
    is_new,
)

MASS: Final = 1000
"""More deletes than this are asked about."""
FEW: Final = 20
"""At most this many deletes, or conflicts in ten minutes, are never asked about."""
_LOOK_UP_MAX: Final = 1000


@dataclass(frozen=True, slots=True)
class Situation:
    """What a plan depends on beside the trees."""

    device: str
    """Its name, for conflict copies."""
    day: str
    """Today, as `2026-11-30`."""
    files: int
    """In base, of the whole root: deletes are compared with it."""
    recent_conflicts: int = 0
    """Conflict copies made in the last ten minutes."""
    answers: Mapping[NodeId, Answer] = field(default_factory=dict)
    """Of a person to the brakes of earlier plans; forgotten when the trees agree on the node, or it is gone."""
    traits: RootTraits = field(default_factory=RootTraits)


def make_plan(trees: Trees, situation: Situation) -> Plan:
    """Return what is to be done with a closed part of the trees. Without stages they agree, as far as they can.

    A plan is made of what is known now. After its actions, and at every change of a tree, another one is made.
    """
    if trees.root not in trees.local or trees.root not in trees.remote:
        return Plan((), held=(Held(trees.root, "the root is missing"),))
    is_settled = trees.is_settled and not any(
        entry.status == "unknown" and entry.kind == "folder" for entry in trees.local.values()
    )
    adoption = Adoption()
    facts = Facts(trees, situation.traits, situation.answers)
    if is_settled:
        adoption = find_adoption(facts)
        facts = Facts(apply_adoption(trees, adoption), situation.traits, situation.answers)
    return _Planner(facts, situation, is_settled).plan(adoption)


class _Planner:
    """One plan in the making."""

    def __init__(self, facts: Facts, situation: Situation, is_settled: bool) -> None:
        self._facts, self._trees, self._situation = facts, facts.trees, situation
        self._is_settled = is_settled
        self._targets = Targets(facts, situation.traits)
        self._acted: set[NodeId] = set()
        """Nodes with an action in this plan."""
        self._held = dict(self._targets.held)
        self._brakes: list[Brake] = []
        self._braked: set[NodeId] = set()
        self._remote = Layout((one.id, one.parent, normalize_name(one.name)) for one in self._trees.remote.values())
        self._local = Layout((one.id, one.parent, self._local_key(one.name)) for one in self._trees.local.values())

    def plan(self, adoption: Adoption) -> Plan:
        rows: list[Action] = [*adoption.adopts, *adoption.pairs]
        rows += self._plan_rows()
        stages = [tuple(rows), *self._plan_structure(), tuple(self._plan_content())]
        if self._is_settled:
            stages += [tuple(self._plan_remote_deletes()), *self._plan_local_deletes()]
        return Plan(tuple(stage for stage in stages if stage), tuple(self._brakes), tuple(self._explain()))

    def _explain(self) -> Iterator[Held]:
        reasons = {**self._held, **self._facts.blocked}
        for node_id, existence in self._targets.existence.items():
            if existence == "stay":
                reasons.setdefault(node_id, "nothing is sent into a folder that may only be read")
        return (Held(node_id, reason) for node_id, reason in sorted(reasons.items()))

    def _local_key(self, name: bytes) -> bytes:
        return make_local_key(name, self._situation.traits)

    def _of(self, *existence: Existence) -> Iterator[Row]:
        """Yield the rows with one of these decisions, in the order of their ids, that have no action yet."""
        for node_id, decided in sorted(self._targets.existence.items()):
            if decided in existence and node_id not in self._acted:
                yield self._facts.rows[node_id]

    def _find_target(self, row: Row) -> Target | None:
        """Return where a node is to be; None while its folder on disk is about to become another one."""
        target = self._targets.places.get(row.id)
        is_waiting = target is not None and self._targets.existence.get(target.parent) in {"split", "renew"}
        return None if is_waiting else target

    # Rows: no effect on either side

    def _plan_rows(self) -> Iterator[Action]:
        yield from self._look_up()
        yield from self._place_mounts()
        if not self._is_settled:
            return
        for row in self._of("forget"):
            if row.base is not None:
                yield DropBase(row.id)
        for row in self._of("renew", "split"):
            assert row.local is not None  # noqa: S101
            self._acted.add(row.id)
            yield Detach(row.local, keeps_base=self._targets.existence[row.id] == "split" and row.base is not None)

    def _look_up(self) -> Iterator[Action]:
        ids = [row.id for row in self._of("look-up")]
        for start in range(0, len(ids), _LOOK_UP_MAX):
            yield LookUp(tuple(ids[start : start + _LOOK_UP_MAX]))

    def _place_mounts(self) -> Iterator[Action]:
        for row in self._of("both"):
            target = self._targets.places.get(row.id)
            if row.is_mount_root and target and target.chosen == "local" and row.local and row.remote:
                self._acted.add(row.id)
                if (
                    self._find_target(row)
                    and not is_new(target.parent)
                    and not self._remote.is_below(target.parent, row.id)
                ):
                    yield PlaceMount(row.local, row.remote)

    # Creates and moves

    def _plan_structure(self) -> list[tuple[Action, ...]]:
        remote_jobs = {job.id: job for job in self._find_remote_jobs()}
        local_jobs = {job.id: job for job in self._find_local_jobs() if job.id not in remote_jobs}
        remote, remote_left = self._remote.arrange(list(remote_jobs.values()))
        local, local_left = self._local.arrange(list(local_jobs.values()))
        self._acted |= remote_jobs.keys() | local_jobs.keys()
        if not remote:
            remote = self._park(remote_left, self._remote, "trash-remote")
        if not local:
            local = self._park(local_left, self._local, "trash-local")
        return [(*one, *other) for one, other in zip_longest(remote, local, fillvalue=())]

    def _find_remote_jobs(self) -> Iterator[Job]:
        for node_id, name in self._targets.displaced_nodes.items():
            node = self._trees.remote.get(node_id)
            if node is not None and node.parent is not None and self._is_settled:
                yield Job(node_id, node.parent, normalize_name(name), MoveRemote(node, None, node.parent, name))
        for row in self._of("both", "send"):
            target = self._find_target(row)
            if target is None or row.local is None:
                continue
            key = normalize_name(target.name)
            if row.remote is None:
                if row.local.kind == "folder" and self._is_settled:
                    yield Job(row.id, target.parent, key, MakeRemote(row.local, target.parent, target.name))
            elif (row.remote.parent, row.remote.name) != (target.parent, target.name):
                move = MoveRemote(row.remote, row.local, target.parent, target.name)
                yield Job(row.id, target.parent, key, move)

    def _find_local_jobs(self) -> Iterator[Job]:
        for node_id, name in self._targets.displaced.items():
            local = self._trees.local.get(node_id)
            is_movable = self._is_settled and node_id not in self._facts.pinned
            if local is not None and local.parent is not None and is_movable:
                yield Job(node_id, local.parent, self._local_key(name), MoveLocal(local, None, local.parent, name))
        for row in self._of("both", "fetch"):
            target = self._find_target(row)
            if target is None or row.remote is None:
                continue
            key = self._local_key(target.local_name)
            if row.local is None:
                if row.remote.kind == "folder" and self._is_settled:
                    yield Job(row.id, target.parent, key, MakeLocal(row.remote, target.parent, target.local_name))
            elif (row.local.parent, row.local.name) != (target.parent, target.local_name):
                if row.id in self._facts.pinned:
                    self._held[row.id] = "something below it is busy or unknown"
                    continue
                move = MoveLocal(row.local, row.remote, target.parent, target.local_name)
                yield Job(row.id, target.parent, key, move)

    def _park(self, left: Iterable[Job], layout: Layout, doomed: Existence) -> list[tuple[Action, ...]]:
        """Move one entry out of the way: of a swap, or a folder that is to be deleted after its contents left."""
        waiting = {job.id: job for job in left}
        for job in waiting.values():
            holder = layout.get_holder(job.parent, job.key)
            if holder is None or holder == job.id:
                continue
            is_mover = holder in waiting and holder in layout
            is_emptied = self._targets.existence.get(holder) == doomed and any(
                one in layout and layout.is_below(one, holder) for one in waiting
            )
            if is_mover or is_emptied:
                entry = self._trees.remote.get(holder) if doomed == "trash-remote" else self._trees.local.get(holder)
                if entry is None or entry.parent is None or (doomed == "trash-local" and holder in self._facts.pinned):
                    continue
                self._acted.add(holder)
                return [(self._make_park(entry, entry.parent),)]
        return []

    def _make_park(self, entry: LocalEntry | RemoteEntry, parent: NodeId) -> Park:
        name = entry.name if isinstance(entry, RemoteEntry) else self._facts.names[entry.id]
        keys, local_keys = self._find_taken(parent)
        traits = self._situation.traits
        for parked in make_park_names(name, entry.id[:4], traits):
            local_name = write_name(parked, traits)
            if normalize_name(parked) not in keys and self._local_key(local_name) not in local_keys:
                return Park(entry, parent, parked, local_name)
        raise AssertionError("names have no end")

    def _find_taken(self, parent: NodeId) -> tuple[set[str], set[bytes]]:
        """Return the keys that are taken in a folder now: on the server, and on disk."""
        keys = {normalize_name(one.name) for one in self._trees.remote.children(parent)}
        return keys, {self._local_key(one.name) for one in self._trees.local.children(parent)}

    # Content

    def _plan_content(self) -> Iterator[Action]:
        yield from self._copy_conflicts()
        for row in self._of("both"):
            if row.id in self._targets.places:
                yield from self._plan_both(row)
        if self._is_settled:
            for row in self._of("send"):
                yield from self._send_new(row)
            for row in self._of("restore"):
                yield self._restore(row)
            for row in self._of("fetch"):
                yield from self._fetch_new(row)

    def _plan_both(self, row: Row) -> Iterator[Action]:
        """Plan the content of a node that is where it should be."""
        local, remote, base = row.local, row.remote, row.base
        assert local is not None  # noqa: S101
        assert remote is not None  # noqa: S101
        content = decide_content(row)
        if content == "send":
            assert base is not None  # noqa: S101
            yield SendEdit(local, base, remote)
        elif content == "fetch":
            if self._may_download(remote):
                yield Download(remote, local, local.parent or "", local.name)
        elif content in {"same", "adopt"}:
            executable = decide_executable(row)
            if content == "adopt" or base is None or self._targets.places[row.id].chosen == "agree":
                yield Adopt(local, remote)
            elif executable == "send":
                yield MarkRemote(remote, local.executable)
            elif executable == "fetch":
                yield MarkLocal(local, remote.executable)
            elif base.executable != remote.executable and local.kind == "file":
                yield Adopt(local, remote)

    def _may_download(self, remote: RemoteEntry) -> bool:
        if is_downloadable(remote):
            return True
        self._held[remote.id] = (
            "its content on the server is being checked"
            if remote.is_refused
            else f"its content on the server is {remote.content_status}"
        )
        return False

    def _send_new(self, row: Row) -> Iterator[Action]:
        target = self._find_target(row)
        if target is None or row.local is None or row.local.kind != "file":
            return
        if self._remote.add(Job(row.id, target.parent, normalize_name(target.name), LookUp(()))):
            yield SendNew(row.local, target.parent, target.name)

    def _fetch_new(self, row: Row) -> Iterator[Action]:
        target = self._find_target(row)
        if target is None or row.remote is None or row.remote.kind != "file" or not self._may_download(row.remote):
            return
        if self._local.add(Job(row.id, target.parent, self._local_key(target.local_name), LookUp(()))):
            yield Download(row.remote, None, target.parent, target.local_name)

    def _restore(self, row: Row) -> Action:
        assert row.local is not None  # noqa: S101
        assert row.base is not None  # noqa: S101
        can_return = row.fate == "live" or (row.base.parent is not None and row.base.parent in self._trees.remote)
        return SendEdit(row.local, row.base, None) if can_return else Detach(row.local)

    def _copy_conflicts(self) -> Iterator[Action]:
        """Keep local content beside that of the server: in the same folder, or outside a share that takes nothing."""
        found: list[tuple[LocalEntry, NodeId]] = []
        for row in self._of("both"):
            is_conflict = row.id in self._targets.places and decide_content(row) == "conflict"
            if is_conflict and row.local and row.remote and self._may_download(row.remote):
                found.append((row.local, self._find_shelter(row)))
        if self._is_settled:
            for node_id, rival_id in sorted(self._targets.clashes.items()):
                row, rival = self._facts.rows[node_id], self._facts.rows[rival_id]
                if row.local and rival.remote and self._may_download(rival.remote):
                    found.append((row.local, self._find_shelter(row)))
            found += [(row.local, self._find_shelter(row)) for row in self._of("outside") if row.local is not None]
        ids = [local.id for local, _ in found if self._situation.answers.get(local.id) != "confirmed"]
        if ids and len(ids) + self._situation.recent_conflicts > FEW:
            self._brakes.append(Brake("conflicts", len(ids), tuple(sorted(ids))))
            found = [(local, parent) for local, parent in found if local.id not in set(ids)]
        for local, parent in found:
            self._acted.add(local.id)
            yield CopyConflict(local, parent, self._find_copy_name(local, parent))

    def _find_shelter(self, row: Row) -> NodeId:
        """Return the folder for the conflict copy of a local entry: its own, or the root if nothing is sent there."""
        assert row.local is not None  # noqa: S101
        parent = row.local.parent or ""
        is_sent = row.local_mount.is_writable and row.mount.is_writable
        return parent if is_sent or not self._trees.mounts[self._trees.root].is_writable else self._trees.root

    def _find_copy_name(self, local: LocalEntry, parent: NodeId) -> bytes:
        keys, local_keys = self._find_taken(parent)
        situation, name = self._situation, self._facts.names[local.id]
        for copy in make_conflict_names(name, situation.device, situation.day, situation.traits):
            local_name = write_name(copy, situation.traits)
            is_free = normalize_name(copy) not in keys and self._local_key(local_name) not in local_keys
            if is_free and self._local.add(Job(f"copy of {local.id}", parent, self._local_key(local_name), LookUp(()))):
                return local_name
        raise AssertionError("names have no end")

    # Deletes

    def _plan_remote_deletes(self) -> Iterator[Action]:
        doomed = {row.id: row for row in self._of("trash-remote") if row.remote is not None}
        for row in self._of("hold"):
            if row.is_mount_root and row.is_unmounted and row.answer is None:
                self._brakes.append(Brake("unmount", 1, (row.id,)))
        self._brake("local-deletes", doomed.values())
        unsent = {(row.local.content, row.local_mount.root) for row in self._of("send") if row.local and row.is_file}
        for node_id, row in doomed.items():
            remote = row.remote
            assert remote is not None  # noqa: S101
            if remote.parent in doomed:
                continue
            below = sorted(self._trees.remote.below(node_id), key=lambda one: one.id)
            parts = [remote, *below]
            is_whole = all(one.id in doomed and one.id not in self._braked for one in parts)
            # What was moved to another owner is uploaded there first.
            is_moving = any(one.content == what and row.mount.root != to for one in parts for what, to in unsent)
            if is_whole and not is_moving:
                yield TrashRemote(remote, tuple(below))

    def _plan_local_deletes(self) -> Iterator[tuple[Action, ...]]:
        doomed = {row.id: row for row in self._of("trash-local") if row.local is not None}
        chosen = [row for row in doomed.values() if row.remote is None]
        self._brake("remote-deletes", chosen)
        by_depth: dict[int, list[Action]] = {}
        done: set[NodeId] = set()
        depths = {node_id: sum(1 for _ in self._trees.local.above(node_id)) for node_id in doomed}
        for node_id in sorted(doomed, key=lambda one: (-depths[one], one)):
            local = doomed[node_id].local
            assert local is not None  # noqa: S101
            children = self._trees.local.children(node_id)
            stays = [one for one in children if one.id not in done and one.id not in self._facts.carried]
            is_cleared = doomed[node_id].remote is None
            if stays or (children and not is_cleared and any(one.id not in done for one in children)):
                continue
            if node_id in self._braked:
                continue
            carried = [child for child in children if child.id not in done]
            below = [one for child in carried for one in (child, *self._trees.local.below(child.id))]
            done.add(node_id)
            by_depth.setdefault(-depths[node_id], []).append(TrashLocal(local, tuple(below)))
        return (tuple(actions) for _, actions in sorted(by_depth.items()))

    def _brake(self, kind: BrakeKind, rows: Iterable[Row]) -> None:
        """Ask about a mass of deletes, and hold them back, unless they are confirmed."""
        open_rows = [row for row in rows if self._situation.answers.get(row.id) != "confirmed"]
        files = sum(1 for row in open_rows if row.is_file)
        if files > MASS or (files > FEW and 2 * files > self._situation.files):
            self._braked |= {row.id for row in open_rows}
            self._brakes.append(Brake(kind, files, tuple(sorted(row.id for row in open_rows))))
