"""Start sessions under a link: decide under the owner's lock (T1), open multipart uploads at S3, record (T2)."""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import func, insert, select

from dropbox_api import access, problems
from dropbox_api.core.chunks import Plan
from dropbox_api.core.content_types import guess_content_type
from dropbox_api.core.fingerprint import parse_sha256
from dropbox_api.db import Tx, new_id
from dropbox_api.files import paths
from dropbox_api.models import Upload, UploadDestination
from dropbox_api.plumbing import limits, request_source
from dropbox_api.plumbing.failpoints import failpoint
from dropbox_api.responses import describe_problem
from dropbox_api.settings import Settings
from dropbox_api.uploads import claims, link_folders, link_sessions, parts, plans, quota, schemas, sessions, start
from dropbox_api.uploads.claims import Claim, SessionClaim
from dropbox_api.uploads.senders import part_urls, sender, window
from dropbox_api.uploads.senders.sender import Sender, SenderContext

MAX_OPEN = 20
"""Open sessions under one link."""
MAX_OPEN_OF_ADDRESS = 5
"""Of them, started from one network address."""


@dataclass(frozen=True, slots=True)
class _Draft:
    """A file that is valid on its own, before anything was read."""

    item: schemas.LinkUploadItem
    plan: Plan
    fingerprint: bytes | None
    name: str
    folder_path: tuple[str, ...]


async def start_upload(context: SenderContext, item: schemas.LinkUploadItem) -> tuple[schemas.CreatedLinkUpload, bool]:
    """Start a session, or return that of the same `client_ref`; the flag tells whether it is new.

    Raises SizeNotAllowed, InvalidRequest (chunks that the plan does not have), InvalidName, FingerprintRequired,
    NotFound (the link works no more), LinkPasswordRequired (it has another password now), LinkFull, QuotaExceeded and
    TooManyFiles (without numbers), TooManyUploads, IdempotencyMismatch (the reference stands for another file),
    ChunkMismatch, StoreFull, Unavailable.
    Transaction: T1, S3, T2. Idempotent: by link, secret and `client_ref`.
    """
    ((started, is_new),) = await _start(context, [item])
    if isinstance(started, problems.Problem):
        raise started
    return started, is_new


async def start_batch(
    context: SenderContext, items: Sequence[schemas.LinkUploadItem]
) -> schemas.CreatedLinkUploadBatch:
    """Start up to 20 sessions in one transaction; each has its own answer or problem, in order.

    Raises NotFound, LinkPasswordRequired.
    """
    answers = [
        schemas.CreatedLinkUploadItem(problem=describe_problem(started))
        if isinstance(started, problems.Problem)
        else schemas.CreatedLinkUploadItem(upload=started.upload, parts=started.parts)
        for started, _ in await _start(context, items)
    ]
    return schemas.CreatedLinkUploadBatch(items=answers)


async def _start(
    context: SenderContext, items: Sequence[schemas.LinkUploadItem]
) -> list[tuple[schemas.CreatedLinkUpload | problems.Problem, bool]]:
    drafts = [_draft(context.settings, item) for item in items]
    await context.store.require_space()
    async with context.db.begin() as tx:
        claimed = await _claim(tx, context.settings, context.sender, drafts)
    await failpoint("uploads.start.after_t1")
    opened = await start.open_sessions(context, claimed)
    return [await _answer(context, item, claim) for item, claim in zip(items, opened, strict=True)]


def _draft(settings: Settings, item: schemas.LinkUploadItem) -> _Draft | problems.Problem:
    try:
        plan = plans.plan_upload(settings, item)
        name, folder_path = paths.clean_name(item.name), link_folders.parse_path(item.folder_path)
    except problems.Problem as problem:
        return problem
    return _Draft(item, plan, parse_sha256(item.fingerprint) if item.fingerprint else None, name, folder_path)


async def _claim(
    tx: Tx, settings: Settings, bearer: Sender, drafts: Sequence[_Draft | problems.Problem]
) -> list[Claim]:
    """Decide and record the outcome of each draft. Raises NotFound, LinkPasswordRequired (changed meanwhile).

    Transaction: joins tx; takes the owner's lock.
    """
    owner_id = (await access.require_link(tx, bearer.link_id)).top.owner_id
    room = await window.lock_window(tx, owner_id)
    link = await access.require_link(tx, bearer.link_id)
    if link.password_hash != bearer.password_hash:  # another password has ended all sessions since the check
        raise problems.LinkPasswordRequired("The password of the link has changed")
    address = limits.address_key(request_source.get_source().address)
    counted = select(func.count(), func.count().filter(Upload.sender_address == address)).where(
        Upload.link_id == bearer.link_id, sessions.IS_LIVE
    )
    open_sessions, open_of_address = (await tx.execute(counted)).one()
    batch = _Batch(
        bearer,
        link,
        room,
        await link_sessions.read_budget(tx, bearer.link_id),
        await _find_existing(tx, bearer, [draft.item.client_ref for draft in drafts if isinstance(draft, _Draft)]),
        free_sessions=min(MAX_OPEN - open_sessions, MAX_OPEN_OF_ADDRESS - open_of_address),
        address=address,
    )
    depth = await access.measure_depth(tx, link.top.node_id)
    decided: list[Claim] = [
        draft if isinstance(draft, problems.Problem) else batch.decide(draft, depth) for draft in drafts
    ]
    await batch.write(tx, settings)
    return decided


@dataclass(frozen=True, slots=True)
class _Existing:
    """A session that the sender has started under a reference, and the file that it is of."""

    upload_id: uuid.UUID
    size_bytes: int
    fingerprint: bytes | None
    name: str
    folder_path: str | None
    state: str


async def _find_existing(tx: Tx, bearer: Sender, references: Sequence[str]) -> dict[str, _Existing]:
    """Return the sender's live and completed sessions of these references."""
    columns = (Upload.id, Upload.size_bytes, Upload.fingerprint, UploadDestination.name, UploadDestination.folder_path)
    known = (
        select(Upload.client_ref, *columns, Upload.state)
        .join(UploadDestination, UploadDestination.upload_id == Upload.id)
        .where(
            Upload.link_id == bearer.link_id,
            Upload.link_secret_hash == bearer.secret_hash,
            Upload.client_ref.in_(references),
            Upload.state.in_((*sessions.LIVE_STATES, "completed")),
        )
    )
    rows = (await tx.execute(known)).all()
    return {
        row.client_ref: _Existing(row.id, row.size_bytes, row.fingerprint, row.name, row.folder_path, row.state)
        for row in rows
    }


@dataclass(slots=True)
class _Batch:
    """Decides drafts one by one, and collects their rows for one bulk write."""

    bearer: Sender
    link: access.LinkAccess
    room: window.Window
    budget: link_sessions.LinkBudget
    existing: dict[str, _Existing]
    free_sessions: int
    address: str
    uploads: list[dict[str, Any]] = field(default_factory=list)
    places: list[dict[str, Any]] = field(default_factory=list)

    def decide(self, draft: _Draft, depth: int) -> SessionClaim | problems.Problem:
        """Decide one draft; `depth` is that of the link's folder."""
        known = self.existing.get(draft.item.client_ref)
        if known:
            return _resume(known, draft)
        if problem := self._take(draft, depth):
            return problem
        is_single = draft.plan.strategy == "single"
        row = claims.make_session_row(self.link.created_by, self.link.top.owner_id, draft.plan, draft.fingerprint)
        self.uploads.append(
            row
            | {
                "link_id": self.bearer.link_id,
                "link_secret_hash": self.bearer.secret_hash,
                "client_ref": draft.item.client_ref,
                "sender_address": self.address,
                "confirmed_bytes": 0,
                # Its URL is signed with the answer.
                "reserved_bytes": draft.plan.size_bytes if is_single else 0,
            }
        )
        folder_path = "/".join(draft.folder_path) or None
        self.places.append(
            {
                "id": new_id(),
                "upload_id": row["id"],
                "parent_id": self.link.top.node_id,
                "name": draft.name,
                "on_conflict": "rename",
                "content_type": draft.item.content_type or guess_content_type(draft.name),
                "folder_path": folder_path,
            }
        )
        self.existing[draft.item.client_ref] = _Existing(
            row["id"], draft.plan.size_bytes, draft.fingerprint, draft.name, folder_path, row["state"]
        )
        return SessionClaim(row["id"], is_new=True, needs_multipart=not is_single)

    def _take(self, draft: _Draft, depth: int) -> problems.Problem | None:
        """Take a new session from all limits; return the problem of the first one that is reached."""
        if too_deep := link_folders.check_depth(depth, draft.folder_path):
            return too_deep
        if self.free_sessions < 1:
            return problems.TooManyUploads("Complete or abort uploads to this link first", retry_after_s=60)
        if self.room.free_nodes < 1 + len(draft.folder_path):
            return problems.TooManyFiles("The owner of the folder has no room for more files")
        size_bytes = draft.plan.size_bytes
        if shortage := self.room.find_shortage(size_bytes):
            return shortage
        if problem := self.budget.take(size_bytes):
            return problem
        if draft.plan.strategy == "single" and (problem := self.room.take(size_bytes)):
            return problem
        self.room.free_nodes -= 1
        self.free_sessions -= 1
        return None

    async def write(self, tx: Tx, settings: Settings) -> None:
        """Write the collected sessions and reservations."""
        if not self.uploads:
            return
        activity = sessions.build_client_activity(settings)
        activity["expires_at"] = func.now() + link_sessions.UNSTARTED_TTL
        await claims.insert_sessions(tx, self.uploads, activity)
        await tx.execute(insert(UploadDestination), self.places)
        reserved_bytes = sum(row["reserved_bytes"] for row in self.uploads)
        await quota.reserve_quota(tx, self.link.top.owner_id, reserved_bytes, len(self.places))


def _resume(known: _Existing, draft: _Draft) -> SessionClaim | problems.Problem:
    same_content = None in {known.fingerprint, draft.fingerprint} or known.fingerprint == draft.fingerprint
    is_same = (known.size_bytes, known.name) == (draft.plan.size_bytes, draft.name)
    if not (is_same and same_content and known.folder_path == ("/".join(draft.folder_path) or None)):
        return problems.IdempotencyMismatch("client_ref stands for another upload of yours: choose another one")
    return SessionClaim(known.upload_id, is_new=False, needs_multipart=known.state == "creating")


async def _answer(
    context: SenderContext, item: schemas.LinkUploadItem, claim: Claim
) -> tuple[schemas.CreatedLinkUpload | problems.Problem, bool]:
    """Return the answer to an item, with the signed URLs that need no further request."""
    if isinstance(claim, problems.Problem):
        return claim, False
    if not isinstance(claim, SessionClaim):
        raise TypeError(claim)
    async with context.db.read() as tx:
        upload = (await sender.load_link_views(tx, [claim.upload_id]))[claim.upload_id]
        singles = await parts.load_single_chunks(tx, [claim.upload_id])
    signed: list[schemas.SignedPart] = []
    if upload.state == "active" and upload.strategy == "single" and upload.missing:
        signed = [parts.sign_single(context, *singles[upload.id])]
    elif claim.is_new and item.parts and item.chunk_size_bytes == upload.chunk_size_bytes:
        try:
            signed = await part_urls.sign_parts(context, upload.id, item.parts)
        except problems.Problem as problem:
            return problem, False
    return schemas.CreatedLinkUpload(upload=upload, parts=signed), claim.is_new
