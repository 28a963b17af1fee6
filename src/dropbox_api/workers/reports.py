"""What a job is, and what it says of one run."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from dropbox_api.db import Db
from dropbox_api.settings import Settings
from dropbox_api.storage.object_store import ObjectStore


@dataclass(frozen=True, slots=True)
class Report:
    """What one run did; `found` > 0 means that there may be more to do right away."""

    found: int
    done: int
    failed: int = 0
    notes: tuple[str, ...] = ()


Job = Callable[[Db, ObjectStore, Settings], Awaitable[Report]]
