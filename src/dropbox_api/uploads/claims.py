"""Claims: the outcome of requests to upload, decided and recorded under the owner's lock (T1).

One request and five hundred take the same way: read what exists, decide in plain Python, write in bulk. No content is
sent twice: content that the owner stores verified becomes a file at once, and a live session of it is resumed.
"""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import bindparam, case, insert, or_, select, text, update

from dropbox_api import problems
from dropbox_api.core.chunks import Plan
from dropbox_api.core.fingerprint import parse_sha256
from dropbox_api.db import Tx, new_id
from dropbox_api.files import guard, paths, put
from dropbox_api.files.paths import FileTarget, Target
from dropbox_api.models import Blob, Upload, UploadDestination
from dropbox_api.plumbing import idempotency
from dropbox_api.plumbing.idempotency import Once
from dropbox_api.settings import Settings
from dropbox_api.uploads import destinations, fingerprints, plans, quota, sessions
from dropbox_api.uploads.schemas import CreateUpload


@dataclass(frozen=True, slots=True)
class Draft:
    """A request that is valid on its own, before anything was read."""

    request: CreateUpload
    plan: Plan
    fingerprint: bytes | None
    place: destinations.Place


@dataclass(frozen=True, slots=True)
class SessionClaim:
    """A session to send content into: a new one, or a live one of the same content."""

    upload_id: uuid.UUID
    is_new: bool
    needs_multipart: bool
    """False where the session needs no multipart upload, or has one."""


@dataclass(frozen=True, slots=True)
class StoredFile:
    """The owner stores this content already: the file that was made of it."""

    node_id: uuid.UUID


@dataclass(frozen=True, slots=True)
class _PendingFile:
    """Content that the owner stores, still to be placed."""

    index: int
    """In the batch's placements."""


Claim = SessionClaim | StoredFile | problems.Problem
_Decision = SessionClaim | _PendingFile | problems.Problem


def draft_upload(settings: Settings, request: CreateUpload, cdc1_max_bytes: int) -> Draft | problems.Problem:
    """Return the plan, fingerprint and clean names of a request, or its problem.

    `cdc1_max_bytes`: the largest file with content-defined chunks.
    Returns SizeNotAllowed, FingerprintRequired, InvalidRequest, InvalidName instead of a draft.
    """
    try:
        plan = _plan(settings, request, cdc1_max_bytes)
        plans.require_listed(request, plan)
        place = destinations.parse_destination(request.destination)
    except problems.Problem as problem:
        return problem
    return Draft(request, plan, parse_sha256(request.fingerprint) if request.fingerprint else None, place)


def _plan(settings: Settings, request: CreateUpload, cdc1_max_bytes: int) -> Plan:
    if request.encoding == "zstd":
        return plans.plan_encoded(settings, request)
    if request.chunking == "cdc1":
        return plans.plan_listed(request, cdc1_max_bytes)
    return plans.plan_upload(settings, request)


async def claim_uploads(
    tx: Tx, settings: Settings, actor_id: uuid.UUID, drafts: Sequence[Draft | problems.Problem], once: Once | None
) -> list[Claim]:
    """Decide and record the outcome of each draft; return the claims in order, with the problems among `drafts`.

    Raises Replayed, IdempotencyMismatch.
    Transaction: joins tx; takes the locks of the actor and of each owner, in id order.
    """
    valid = [draft for draft in drafts if isinstance(draft, Draft)]
    owners = await destinations.find_owners(tx, actor_id, [draft.place for draft in valid])
    for owner_id in sorted({actor_id, *owners}):
        await guard.lock_owner(tx, owner_id)
    await idempotency.claim_key(tx, once)
    claims: dict[int, Claim] = {}
    for owner_id in sorted(set(owners)):
        numbers = [number for number, of in enumerate(owners) if of == owner_id]
        claimed = await _claim_for_owner(tx, settings, actor_id, owner_id, [valid[number] for number in numbers])
        claims |= zip(numbers, claimed, strict=True)
    in_order = (claims[number] for number in range(len(valid)))
    return [next(in_order) if isinstance(draft, Draft) else draft for draft in drafts]


async def _claim_for_owner(
    tx: Tx, settings: Settings, actor_id: uuid.UUID, owner_id: uuid.UUID, drafts: Sequence[Draft]
) -> list[Claim]:
    """Decide and record the outcome of each draft into one owner's tree."""
    targets = await destinations.resolve_targets(tx, actor_id, owner_id, [draft.place for draft in drafts])
    size_bytes = sum(draft.request.size_bytes for draft in drafts)
    allowance = await quota.make_room(tx, settings, actor_id, owner_id, size_bytes, len(drafts))
    nodes = await destinations.find_nodes(
        tx, [target for target in targets if not isinstance(target, problems.Problem)]
    )
    existing = await _find_existing(tx, actor_id, owner_id, drafts)
    batch = _Batch(actor_id, owner_id, existing, allowance)
    decisions: list[_Decision] = [
        target if isinstance(target, problems.Problem) else batch.decide(draft, target, nodes.get(target.key))
        for draft, target in zip(drafts, targets, strict=True)
    ]
    await put.add_paths(tx, actor_id, decisions)
    await batch.write(tx, settings)
    placed = await put.put_files(tx, owner_id, batch.placements) if batch.placements else []
    return [
        _to_claim(placed[decision.index]) if isinstance(decision, _PendingFile) else decision for decision in decisions
    ]


def _to_claim(placed: put.PlacedFile | problems.Problem) -> Claim:
    return StoredFile(placed.node_id) if isinstance(placed, put.PlacedFile) else placed


@dataclass(slots=True)
class _Existing:
    """What the actor may know of the contents that are to be uploaded, kept up to date while a batch is decided."""

    blobs: dict[bytes, put.Content] = field(default_factory=dict)
    """Verified content, by fingerprint."""
    sessions: dict[tuple[bytes, str], tuple[uuid.UUID, int, bool]] = field(default_factory=dict)
    """Live sessions of this uploader, by fingerprint and form (`_list_readable`): id, size in bytes, and whether it
    needs a multipart upload."""
    unbound: dict[tuple[int, str], list[uuid.UUID]] = field(default_factory=dict)
    """Live sessions still without a fingerprint, by size in bytes and form."""
    sizes: set[int] = field(default_factory=set)
    """Sizes in bytes of contents that the owner stores or is sending."""
    destinations: dict[tuple[uuid.UUID, uuid.UUID, str], uuid.UUID] = field(default_factory=dict)
    """Destinations of those sessions, by upload and key of the target."""


async def _find_existing(tx: Tx, actor_id: uuid.UUID, owner_id: uuid.UUID, drafts: Sequence[Draft]) -> _Existing:
    """Look up the fingerprints of the drafts and, for drafts without one, their sizes.

    The owner's blobs count only if the actor is the owner; in the tree of another account only the actor's own
    sessions count, so that nothing is revealed of what that account stores.
    """
    existing = _Existing()
    wanted = {draft.fingerprint for draft in drafts if draft.fingerprint}
    sizes = {draft.request.size_bytes for draft in drafts if draft.fingerprint is None}
    if wanted and actor_id == owner_id:
        existing.blobs = await fingerprints.find_verified_content(tx, owner_id, wanted)
    form = case((Upload.encoding == "identity", Upload.chunking), else_=Upload.encoding)
    live = select(Upload.id, Upload.fingerprint, Upload.size_bytes, form, Upload.state).where(
        Upload.owner_id == owner_id,
        Upload.uploader_id == actor_id,
        sessions.IS_OWN,
        sessions.IS_LIVE,
        or_(Upload.fingerprint.in_(wanted), Upload.size_bytes.in_(sizes)),
    )
    for upload_id, fingerprint, size_bytes, form, state in await tx.execute(live):
        existing.sizes.add(size_bytes)
        if fingerprint is None:
            existing.unbound.setdefault((size_bytes, form), []).append(upload_id)
        else:
            existing.sessions[fingerprint, form] = (upload_id, size_bytes, state == "creating")
    if sizes and actor_id == owner_id:
        stored = select(Blob.size_bytes).where(
            Blob.owner_id == owner_id, Blob.size_bytes.in_(sizes), Blob.content_status != "deleting"
        )
        existing.sizes |= set((await tx.execute(stored.distinct())).scalars())
    if existing.sessions:
        ids = [upload_id for upload_id, _, _ in existing.sessions.values()]
        target = (UploadDestination.parent_id, UploadDestination.name, UploadDestination.on_conflict)
        rows = select(UploadDestination.id, UploadDestination.upload_id, *target, UploadDestination.file_id)
        for row in await tx.execute(rows.where(UploadDestination.upload_id.in_(ids))):
            known = destinations.make_target(row.parent_id, row.name, row.on_conflict, row.file_id)
            existing.destinations[row.upload_id, *known.key] = row.id
    return existing


def _find_head_content(
    draft: Draft, target: Target | FileTarget, node: paths.NamedNode | None, actor_id: uuid.UUID
) -> put.Content | None:
    """Return the content of the file that a draft is for, if it is that of the draft: proven, or sent by the actor.

    Sending it again would change nothing, whatever the base is. Nothing is revealed: the actor may read the file.
    """
    if draft.fingerprint is None or not isinstance(target, FileTarget):
        return None
    if node is None or node.blob_id is None or node.claimed != draft.fingerprint:
        return None
    if node.verified is None and node.author_id != actor_id:
        return None
    return put.Content(node.blob_id, draft.fingerprint, node.size_bytes, is_verified=node.verified is not None)


class _Batch:
    """Decides drafts into one owner's tree one by one, and collects the rows that they need for one bulk write."""

    def __init__(
        self, actor_id: uuid.UUID, owner_id: uuid.UUID, existing: _Existing, allowance: quota.Allowance
    ) -> None:
        self.placements: list[put.Placement] = []
        self._actor_id = actor_id
        self._owner_id = owner_id
        self._existing = existing
        self._allowance = allowance
        self._uploads: list[dict[str, Any]] = []
        self._destinations: list[dict[str, Any]] = []
        self._renewed: dict[uuid.UUID, dict[str, Any]] = {}
        self._touched: set[uuid.UUID] = set()
        self._reserved_bytes = 0

    def decide(self, draft: Draft, target: Target | FileTarget, node: paths.NamedNode | None) -> _Decision:
        """Decide one draft; `node` is its file, or at its name, now."""
        request = draft.request
        content = self._existing.blobs.get(draft.fingerprint) if draft.fingerprint else None
        content = content or _find_head_content(draft, target, node, self._actor_id)
        if content and content.size_bytes != request.size_bytes:
            return problems.FingerprintMismatch("There is content of this fingerprint, and it has another size")
        if content:  # `put_files` looks at the place again, after the items before this one
            return self._place(draft, target, content)
        conflict = put.find_conflict(node, target, request.destination.base_revision_id)
        # Content of the head's size may be the head's, and then any base is right.
        may_be_head = isinstance(target, FileTarget) and node is not None and node.size_bytes == request.size_bytes
        if conflict and (draft.fingerprint is not None or not may_be_head):
            return conflict
        if draft.fingerprint is None and (conflict or request.size_bytes in self._existing.sizes):
            unbound = [
                str(upload_id)
                for form in _list_readable(request)
                for upload_id in self._existing.unbound.get((request.size_bytes, form), ())
            ]
            return problems.FingerprintRequired(
                "You have content or an upload of this size: hash the file first", uploads=unbound
            )
        if draft.fingerprint:
            for form in _list_readable(request):
                if session := self._existing.sessions.get((draft.fingerprint, form)):
                    return self._resume(draft, target, *session)
        problem = self._allowance.take(request.size_bytes, nodes=target.new_nodes, sessions=1)
        if problem:
            return problem
        return self._open(draft, target)

    def _place(self, draft: Draft, target: Target | FileTarget, content: put.Content) -> _PendingFile:
        """Collect a file of content that is stored already."""
        self.placements.append(
            put.Placement(
                destination_id=None,
                target=target,
                base_revision_id=draft.request.destination.base_revision_id,
                content_type=destinations.choose_content_type(target, draft.request),
                client_modified_at=draft.request.client_modified_at,
                executable=draft.request.executable,
                author_id=self._actor_id,
                content=content,
            )
        )
        return _PendingFile(len(self.placements) - 1)

    def _resume(
        self, draft: Draft, target: Target | FileTarget, upload_id: uuid.UUID, size_bytes: int, needs_multipart: bool
    ) -> SessionClaim | problems.Problem:
        """Resume a live session of the same content, whose destinations include this target from now on."""
        if size_bytes != draft.plan.size_bytes:
            return problems.FingerprintMismatch("The live upload of this fingerprint has another size")
        known = self._existing.destinations
        if (upload_id, *target.key) not in known:
            if sum(known_id == upload_id for known_id, _, _ in known) >= destinations.MAX_DESTINATIONS:
                return problems.TooManyFiles(f"One upload has at most {destinations.MAX_DESTINATIONS} destinations")
            problem = self._allowance.take(0, nodes=target.new_nodes)
            if problem:
                return problem
        self._add_destination(upload_id, draft, target)
        return SessionClaim(upload_id, is_new=False, needs_multipart=needs_multipart)

    def _open(self, draft: Draft, target: Target | FileTarget) -> SessionClaim:
        """Collect a new session with its one destination."""
        request = draft.request
        row = make_session_row(self._actor_id, self._owner_id, draft.plan, draft.fingerprint)
        upload_id, is_single = row["id"], draft.plan.strategy == "single"
        # Compressed content is stored decoded, so that is what it reserves.
        is_encoded = request.encoding != "identity"
        row["encoding"] = request.encoding
        row["content_bytes"] = row["reserved_bytes"] = request.size_bytes if is_encoded else None
        self._uploads.append(row)
        self._reserved_bytes += request.size_bytes
        self._add_destination(upload_id, draft, target)
        self._existing.sizes.add(draft.request.size_bytes)
        if draft.fingerprint:
            known = (upload_id, draft.plan.size_bytes, not is_single)
            self._existing.sessions[draft.fingerprint, _list_readable(request)[0]] = known
        return SessionClaim(upload_id, is_new=True, needs_multipart=not is_single)

    def _add_destination(self, upload_id: uuid.UUID, draft: Draft, target: Target | FileTarget) -> None:
        """Collect a destination: a new one, or the newest values of one that is requested again."""
        row = destinations.make_destination_row(upload_id, target, draft.request)
        self._touched.add(upload_id)
        destination_id = self._existing.destinations.get((upload_id, *target.key))
        if destination_id is None:
            self._destinations.append(row)
            self._existing.destinations[upload_id, *target.key] = row["id"]
        else:
            renewed = {f"new_{name}": value for name, value in row.items() if name in _RENEWED}
            self._renewed[destination_id] = renewed | {"of_destination": destination_id}

    async def write(self, tx: Tx, settings: Settings) -> None:
        """Write the collected sessions, chunks, destinations and reservations; `placements` is left to the caller."""
        activity = sessions.build_client_activity(settings)
        if self._uploads:
            await insert_sessions(tx, self._uploads, activity)
        if self._destinations:
            await tx.execute(insert(UploadDestination), self._destinations)
        if self._renewed:
            await tx.execute(_RENEW_DESTINATION, list(self._renewed.values()))
        resumed = self._touched - {row["id"] for row in self._uploads}
        if resumed:
            await tx.execute(update(Upload).where(Upload.id.in_(resumed)).values(**activity))
        if self._uploads or self._destinations:
            new_nodes = sum(row["file_id"] is None for row in self._destinations)
            await quota.reserve_quota(tx, self._owner_id, self._reserved_bytes, new_nodes)


def _list_readable(request: CreateUpload) -> Sequence[str]:
    """Return the forms of sessions that the client of a request can go on with, that of a new one first.

    The form is the encoding of what is sent, or of content that is sent as it is, the chunking. Every client can send
    fixed chunks; one that has compressed the content asks for a session of the plain content if it prefers that.
    """
    if request.encoding != "identity":
        return (request.encoding,)
    return ("cdc1", "fixed") if request.chunking == "cdc1" else ("fixed",)


def make_session_row(
    uploader_id: uuid.UUID, owner_id: uuid.UUID, plan: Plan, fingerprint: bytes | None
) -> dict[str, Any]:
    """Return a new row of `uploads`."""
    upload_id = new_id()
    folder_of_key = fingerprint.hex() if fingerprint else "late"
    return {
        "id": upload_id,
        "uploader_id": uploader_id,
        "owner_id": owner_id,
        "fingerprint": fingerprint,
        "size_bytes": plan.size_bytes,
        "strategy": plan.strategy,
        "chunking": plan.chunking,
        "chunk_size_bytes": plan.chunk_size_bytes,
        "chunk_count": plan.chunk_count,
        # A single session has no multipart upload to wait for.
        "state": "active" if plan.strategy == "single" else "creating",
        "storage_key": f"blobs/{owner_id}/{folder_of_key}/{upload_id}",
    }


async def insert_sessions(tx: Tx, uploads: Sequence[dict[str, Any]], activity: dict[str, Any]) -> None:
    """Insert new rows of `uploads`, and their chunks. Transaction: joins tx."""
    await tx.execute(insert(Upload).values(**activity), uploads)
    await tx.execute(_INSERT_CHUNKS, {"ids": [row["id"] for row in uploads]})


_RENEWED = ("name", "on_conflict", "base_revision_id", "content_type", "client_modified_at", "executable")
_RENEW_DESTINATION = (
    update(UploadDestination)
    .where(UploadDestination.id == bindparam("of_destination"))
    .values({name: bindparam(f"new_{name}") for name in _RENEWED})
)
"""Upload, folder and file stay: they found the destination."""

_INSERT_CHUNKS = text("""
    INSERT INTO upload_chunks (upload_id, number, offset_bytes, size_bytes, sha256)
    SELECT id, n, (n - 1) * chunk_size_bytes, least(chunk_size_bytes, size_bytes - (n - 1) * chunk_size_bytes),
        CASE WHEN strategy = 'single' THEN fingerprint END
    FROM uploads, generate_series(CAST(1 AS bigint), chunk_count) n WHERE id = ANY(CAST(:ids AS uuid[]))
""")
"""Postgres makes the fixed chunks of new sessions itself: 10,000 of them cost one statement and no traffic. A session
whose client lists the chunks has none yet."""
