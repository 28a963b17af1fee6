"""Sessions under upload links and tokens: whether these still take their content, what they have taken, and their end.

An expired link lets begun sessions finish. A revoked one, one whose folder is in the trash, and one whose owner is
disabled take nothing more: neither their senders nor a worker finishes a session under them. An upload token, a row
of `links` too, also ends with the sign-in or personal token that made it, and with the access of its maker.
"""

import uuid
from collections.abc import Collection
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from sqlalchemy import ColumnElement, TextClause, bindparam, case, func, select, text, update

from dropbox_api import access, problems
from dropbox_api.context import Services
from dropbox_api.db import Tx
from dropbox_api.files import guard
from dropbox_api.models import UPLOAD_TOKEN, Link, Upload
from dropbox_api.plumbing import audit
from dropbox_api.settings import Settings
from dropbox_api.uploads import sessions
from dropbox_api.uploads.sessions import UploadSession

UNSTARTED_TTL = timedelta(hours=1)
"""A session under a link ends so long after its start if no part has arrived."""
IDLE_TTL = timedelta(hours=24)
"""And so long after its sender's last request otherwise."""


async def find_closed(tx: Tx, uploads: Collection[UploadSession]) -> set[uuid.UUID]:
    """Return those of the sessions that are under a link which takes nothing any more."""
    under = {session.id: session.link_id for session in uploads if session.link_id}
    if not under:
        return set()
    receiving = await access.find_receiving_links(tx, set(under.values()))
    return {upload_id for upload_id, link_id in under.items() if link_id not in receiving}


IS_UPLOAD_TOKEN = text(UPLOAD_TOKEN)
"""SQL condition on `links`."""
IS_LINK = text(f"NOT {UPLOAD_TOKEN}")


def build_own_conditions(actor_id: uuid.UUID, link_id: uuid.UUID) -> tuple[ColumnElement[bool] | TextClause, ...]:
    """Return the conditions of a link that the actor made and did not revoke; no upload token is one."""
    is_own = Link.owner_id == actor_id, Link.created_by == actor_id
    return Link.id == link_id, *is_own, Link.revoked_at.is_(None), IS_LINK


# Ends

_UNDER_LINK = Upload.link_id.is_not(None)


async def end_under_link(tx: Tx, owner_id: uuid.UUID, link_id: uuid.UUID) -> None:
    """End the live sessions under one link. Transaction: joins tx, which holds the owner's lock."""
    live = select(Upload.id).where(Upload.link_id == link_id, sessions.IS_LIVE)
    upload_ids = (await tx.execute(live)).scalars().all()
    await sessions.end_sessions(tx, owner_id, upload_ids, "aborted", has_leftovers=True)


async def end_unstarted(tx: Tx, owner_id: uuid.UUID, missing_bytes: int, missing_nodes: int) -> bool:
    """End sessions under an owner's links of which nothing has arrived, until these bytes and nodes are free.

    Those whose senders have been silent for the longest time come first. Tells whether any has ended.
    Transaction: joins tx, which holds the owner's lock.
    """
    unstarted = select(Upload.id, func.coalesce(Upload.reserved_bytes, 0)).where(
        Upload.owner_id == owner_id, _UNDER_LINK, sessions.IS_LIVE, Upload.state != "completing", _confirmed() == 0
    )
    upload_ids: list[uuid.UUID] = []
    for upload_id, reserved_bytes in await tx.execute(unstarted.order_by(Upload.last_activity_at, Upload.id)):
        if missing_nodes > 0 or (missing_bytes > 0 and reserved_bytes):
            upload_ids.append(upload_id)
            missing_bytes -= reserved_bytes
            missing_nodes -= 1
    return bool(await sessions.end_sessions(tx, owner_id, upload_ids, "aborted", has_leftovers=True))


async def find_owners_of_closed(tx: Tx) -> set[uuid.UUID]:
    """Return the owners of live sessions that are under a link which takes nothing any more."""
    live = select(Upload.owner_id, Upload.link_id).where(_UNDER_LINK, sessions.IS_LIVE).distinct()
    rows = (await tx.execute(live)).all()
    receiving = await access.find_receiving_links(tx, {row.link_id for row in rows}) if rows else {}
    return {row.owner_id for row in rows if row.link_id not in receiving}


async def end_closed(services: Services, owner_id: uuid.UUID) -> int:
    """End an owner's live sessions that are under a link which takes nothing any more; return how many.

    Transaction: one, under the owner's lock.
    """
    live = sessions.select_sessions(Upload.owner_id == owner_id, _UNDER_LINK, sessions.IS_LIVE)
    async with services.db.begin() as tx:
        await guard.lock_owner(tx, owner_id)
        uploads = [UploadSession(*row) for row in await tx.execute(live)]
        closed = await find_closed(tx, uploads)
        return len(await sessions.end_sessions(tx, owner_id, closed, "aborted", has_leftovers=True))


# Progress


def _confirmed() -> Any:
    return func.coalesce(Upload.confirmed_bytes, 0)


_CONFIRM = text("""
    UPDATE uploads SET confirmed_bytes = (
        SELECT coalesce(sum(size_bytes), 0) FROM upload_chunks WHERE upload_id = :upload_id AND state = 'uploaded'
    ) WHERE id = :upload_id
""")


async def confirm_bytes(tx: Tx, upload_id: uuid.UUID) -> None:
    """Record how much of a session S3 holds; once that is something, the session lives on after its sender's last call.

    Transaction: joins tx, which holds the session's lock.
    """
    await tx.execute(_CONFIRM, {"upload_id": upload_id})
    lives_on = func.greatest(Upload.expires_at, Upload.last_activity_at + IDLE_TTL)
    arrived = update(Upload).where(Upload.id == upload_id, _confirmed() > 0)
    await tx.execute(arrived.values(expires_at=lives_on))


async def touch(tx: Tx, upload_id: uuid.UUID, settings: Settings) -> None:
    """Record a request of the sender: it prolongs a session of which something has arrived. Transaction: joins tx."""
    values = sessions.build_client_activity(settings)
    values["expires_at"] = case((_confirmed() > 0, func.now() + IDLE_TTL), else_=Upload.expires_at)
    await tx.execute(update(Upload).where(Upload.id == upload_id).values(**values))


# What a link takes


@dataclass(slots=True)
class LinkBudget:
    """The limits of an upload link, and what it has taken or is to take, counted up while a batch is decided."""

    max_bytes: int | None
    max_file_bytes: int | None
    max_files: int | None
    taken_bytes: int
    taken_files: int

    def take(self, size_bytes: int) -> problems.Problem | None:
        """Take one file from the budget; return SizeNotAllowed or LinkFull, and take nothing, where it is short."""
        if self.max_file_bytes is not None and size_bytes > self.max_file_bytes:
            detail = f"This link takes files of at most {self.max_file_bytes} bytes"
            return problems.SizeNotAllowed(detail, reason="too-large", max_bytes=self.max_file_bytes)
        if self.max_files is not None and self.taken_files >= self.max_files:
            return problems.LinkFull(
                "The upload link takes no more files: ask its owner to raise the limit", limit="max_files"
            )
        if self.max_bytes is not None and self.taken_bytes + size_bytes > self.max_bytes:
            return problems.LinkFull("The upload link has no room for a file of this size", limit="max_bytes")
        self.taken_bytes += size_bytes
        self.taken_files += 1
        return None


async def read_budget(tx: Tx, link_id: uuid.UUID) -> LinkBudget:
    """Return the budget of a link, less what it has received and what its live sessions are to bring.

    Transaction: joins tx, which holds the owner's lock.
    """
    limits = select(Link.max_bytes, Link.max_file_bytes, Link.max_files, Link.received_bytes, Link.received_files)
    link = (await tx.execute(limits.where(Link.id == link_id))).one()
    live = select(func.coalesce(func.sum(Upload.size_bytes), 0), func.count()).where(
        Upload.link_id == link_id, sessions.IS_LIVE
    )
    open_bytes, open_files = (await tx.execute(live)).one()
    return LinkBudget(
        link.max_bytes,
        link.max_file_bytes,
        link.max_files,
        link.received_bytes + int(open_bytes),
        link.received_files + open_files,
    )


@dataclass(frozen=True, slots=True)
class ReceivedContent:
    """A file that came through a link."""

    link_id: uuid.UUID
    node_id: uuid.UUID
    name: str
    """As the sender named it."""
    size_bytes: int


_COUNT = (
    update(Link)
    .where(Link.id == bindparam("of_link"))
    .values(received_bytes=Link.received_bytes + bindparam("size"), received_files=Link.received_files + 1)
)


async def record_received(tx: Tx, owner_id: uuid.UUID, files: Collection[ReceivedContent]) -> None:
    """Count files on their links, and write them into the audit trail.

    Transaction: joins tx, which holds the owner's lock.
    """
    if not files:
        return
    await tx.execute(_COUNT, [{"of_link": file.link_id, "size": file.size_bytes} for file in files])
    entries = [
        audit.Entry("uploaded-by-link", file.node_id, {"link": str(file.link_id), "name": file.name}) for file in files
    ]
    await audit.record(tx, owner_id, entries)
