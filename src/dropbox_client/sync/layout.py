"""The order of creates and moves on one side: each finds its folder there, its name free, and makes no cycle."""

from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass

from dropbox_client.sync.trees import Action, NodeId


@dataclass(frozen=True, slots=True)
class Job:
    """An entry that is to get a place on one side."""

    id: NodeId
    parent: NodeId
    key: Hashable
    """Of its name: unique in a folder."""
    action: Action


class Layout:
    """Who has which name in which folder of one side, as it changes while a plan is carried out."""

    def __init__(self, entries: Iterable[tuple[NodeId, NodeId | None, Hashable]]) -> None:
        self._places: dict[NodeId, tuple[NodeId | None, Hashable]] = {}
        self._holders: dict[tuple[NodeId | None, Hashable], NodeId] = {}
        for node_id, parent, key in entries:
            self._put(node_id, parent, key)

    def __contains__(self, node_id: NodeId) -> bool:
        return node_id in self._places

    def get_holder(self, parent: NodeId, key: Hashable) -> NodeId | None:
        """Return the entry that has a name now."""
        return self._holders.get((parent, key))

    def is_below(self, node_id: NodeId | None, folder: NodeId) -> bool:
        """Return whether an entry is the folder, or lies below it, now."""
        seen = set()
        while node_id is not None and node_id not in seen:
            if node_id == folder:
                return True
            seen.add(node_id)
            node_id = self._places[node_id][0] if node_id in self._places else None
        return False

    def add(self, job: Job) -> bool:
        """Give a new entry its place, if its folder is there and its name free."""
        if job.parent not in self or self.get_holder(job.parent, job.key) is not None:
            return False
        self._put(job.id, job.parent, job.key)
        return True

    def arrange(self, jobs: Sequence[Job]) -> tuple[list[tuple[Action, ...]], list[Job]]:
        """Return the stages of the jobs, as far as they are possible, and the jobs that are not possible yet."""
        stages: list[tuple[Action, ...]] = []
        waiting = sorted(jobs, key=lambda job: job.id)
        while True:
            # What an action of this stage frees or makes is for the next stage: in one stage any order is possible.
            before = Layout((node_id, parent, key) for node_id, (parent, key) in self._places.items())
            ready = []
            for job in waiting:
                if before._is_possible(job) and self._is_possible(job):
                    self._put(job.id, job.parent, job.key)
                    ready.append(job)
            if not ready:
                return stages, waiting
            stages.append(tuple(job.action for job in ready))
            done = {job.id for job in ready}
            waiting = [job for job in waiting if job.id not in done]

    def _is_possible(self, job: Job) -> bool:
        holder = self.get_holder(job.parent, job.key)
        return job.parent in self and holder in {None, job.id} and not self.is_below(job.parent, job.id)

    def _put(self, node_id: NodeId, parent: NodeId | None, key: Hashable) -> None:
        if node_id in self._places:
            old = self._places[node_id]
            if self._holders.get(old) == node_id:
                del self._holders[old]
        self._places[node_id] = parent, key
        self._holders.setdefault((parent, key), node_id)
