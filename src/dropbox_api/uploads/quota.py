"""Quota: what an account may still take, and reservations for content that is on its way.

`sessions.end_sessions` releases reservations, in the statement that ends their session.
"""

import uuid
from dataclasses import dataclass

from sqlalchemy import func, select, update

from dropbox_api import problems
from dropbox_api.db import Tx
from dropbox_api.files import guard
from dropbox_api.files.guard import OwnerCounters
from dropbox_api.models import Upload, User
from dropbox_api.settings import Settings
from dropbox_api.uploads import link_sessions, sessions


@dataclass(slots=True)
class Allowance:
    """What an owner's account may still take, counted down while a batch is decided."""

    counters: OwnerCounters
    free_sessions: int
    """How many more sessions the actor may open."""
    is_own: bool
    """Whether the account is the actor's own: the numbers of other accounts stay hidden."""

    def take(self, size_bytes: int, *, nodes: int = 1, sessions: int = 0) -> problems.Problem | None:
        """Take bytes, nodes and sessions from the allowance; return the problem, and take nothing, where it is short.

        Returns QuotaExceeded, TooManyFiles, TooManyUploads or None.
        """
        if shortage := self.counters.find_shortage(size_bytes, is_own=self.is_own):
            return shortage
        if nodes > max(self.counters.free_nodes, 0):  # less than 0 after the quota was lowered
            return problems.TooManyFiles()
        if self.free_sessions < sessions:
            return problems.TooManyUploads(retry_after_s=60)
        reserved = self.counters.reserved_bytes + size_bytes, self.counters.reserved_nodes + nodes
        self.counters = self.counters._replace(reserved_bytes=reserved[0], reserved_nodes=reserved[1])
        self.free_sessions -= sessions
        return None


async def lock_allowance(tx: Tx, settings: Settings, actor_id: uuid.UUID, owner_id: uuid.UUID) -> Allowance:
    """Lock the owner and return what their account may still take, and how many more sessions the actor may open.

    Transaction: joins tx; takes the owner's lock.
    """
    counters = await guard.lock_owner(tx, owner_id)
    counted = select(func.count()).where(Upload.uploader_id == actor_id, Upload.link_id.is_(None), sessions.IS_LIVE)
    live: int = (await tx.execute(counted.select_from(Upload))).scalar_one()
    return Allowance(
        counters,
        free_sessions=settings.uploads.max_open - live,
        is_own=actor_id == owner_id,
    )


async def make_room(
    tx: Tx, settings: Settings, actor_id: uuid.UUID, owner_id: uuid.UUID, size_bytes: int, nodes: int
) -> Allowance:
    """Return what `lock_allowance` does; where it is short, first end sessions under links of which nothing arrived.

    So the bearer of a link, who declares sizes without sending, takes no space from the owner's own uploads.
    Transaction: joins tx; takes the owner's lock.
    """
    allowance = await lock_allowance(tx, settings, actor_id, owner_id)
    missing = size_bytes - allowance.counters.free_bytes, nodes - allowance.counters.free_nodes
    if max(missing) > 0 and await link_sessions.end_unstarted(tx, owner_id, *missing):
        return await lock_allowance(tx, settings, actor_id, owner_id)
    return allowance


async def reserve_quota(tx: Tx, owner_id: uuid.UUID, size_bytes: int, nodes: int) -> None:
    """Reserve bytes and nodes. Transaction: joins tx, which holds the owner's lock and took them from the allowance."""
    await tx.execute(
        update(User)
        .where(User.id == owner_id)
        .values(reserved_bytes=User.reserved_bytes + size_bytes, reserved_nodes=User.reserved_nodes + nodes)
    )
