"""Start sessions: plan, claim under the owner's lock, then open S3's multipart uploads.

One request or five hundred take the same way: read what is there, decide in plain Python under the owner's lock, write
in bulk. Nothing is sent twice: content that the owner stores verified becomes a file at once, a live session of the
same content is the one to go on with.

T1 (`_claim`): session `creating` with a lease, quota reserved -> S3 CreateMultipartUpload -> T2: `active`, recorded
only by the lease's holder. A loser aborts what it opened; a dead creator's lease is taken over by the next who asks.
"""

import asyncio
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from sqlalchemy import and_, func, insert, or_, select, text, update

from dropbox_api import access, problems
from dropbox_api.core import names
from dropbox_api.core.chunks import Plan, PlanError, plan_chunks
from dropbox_api.core.fingerprint import parse_sha256
from dropbox_api.db import Db, Tx, new_id
from dropbox_api.files import folders, guard, paths, put
from dropbox_api.models import LIVE_UPLOAD, Blob, Upload, UploadDestination, User
from dropbox_api.plumbing import idempotency
from dropbox_api.plumbing.failpoints import failpoint
from dropbox_api.plumbing.idempotency import Once
from dropbox_api.plumbing.store_problems import to_problem
from dropbox_api.settings import Settings
from dropbox_api.storage.object_store import ObjectStore, StoreError
from dropbox_api.uploads import rows
from dropbox_api.uploads.schemas import Destination, StartUpload

S3_CREATES_AT_ONCE = 8
MAX_DESTINATIONS = 100
"""Of one session: every answer about a session lists them, and they are all placed in one transaction."""
CREATING_POLL_S = 0.1
CREATING_WAIT_S = 5.0


@dataclass(frozen=True, slots=True)
class Draft:
    """A request that makes sense on its own, before anybody looked at what is there."""

    request: StartUpload
    plan: Plan
    fingerprint: bytes | None
    name: str
    folder: tuple[str, ...]
    """Clean path of the folder where the request names it by path (or not at all: the root)."""


@dataclass(frozen=True, slots=True)
class Session:
    """There is something to send."""

    upload_id: uuid.UUID
    is_new: bool
    plan: Plan | None
    """Of a new session."""


@dataclass(frozen=True, slots=True)
class Instant:
    """The owner stores this content: this is the file."""

    node_id: uuid.UUID


Outcome = Session | Instant | problems.Problem


async def start(
    db: Db,
    store: ObjectStore,
    settings: Settings,
    actor_id: uuid.UUID,
    wanted: Sequence[StartUpload],
    once: Once | None = None,
    *,
    alone: bool = False,
) -> list[Outcome]:
    """Start an upload for each request; return what came of each, in order.

    Problems: SizeNotAllowed, InvalidName, NotFound (parent), NotAFolder, NameTaken, RevisionConflict, QuotaExceeded,
    TooManyFiles, TooManyUploads, FingerprintRequired, FingerprintMismatch, Unavailable. Raises IdempotencyMismatch.
    `alone`: there is one, and what refuses it undoes all of T1: folders made on the way, the claim to the key.
    Transaction: T1, S3, T2.
    Idempotent: by (caller, fingerprint); a session without a fingerprint is new each time, but for the same `once`.
    """
    drafts = [_draft(settings, request) for request in wanted]
    valid = [draft for draft in drafts if isinstance(draft, Draft)]
    async with db.begin() as tx:
        owners = await _owners(tx, actor_id, valid)
        for owner_id in sorted({actor_id, *owners}):
            await guard.lock_owner(tx, owner_id)
        await idempotency.claim_key(tx, once)
        claimed = await _claim_all(tx, settings, actor_id, valid, owners)
        if alone and claimed and isinstance(claimed[0], problems.Problem):
            raise claimed[0]
        claims = iter(claimed)
    await failpoint("uploads.start.after_t1")
    outcomes = [next(claims) if isinstance(draft, Draft) else draft for draft in drafts]
    gate = asyncio.Semaphore(S3_CREATES_AT_ONCE)

    async def opened(outcome: Outcome) -> Outcome:
        # Single uploads are active from the start, and nothing of S3's is theirs yet.
        if not isinstance(outcome, Session) or (outcome.plan and outcome.plan.strategy == "single"):
            return outcome
        try:
            async with gate:
                await activate(db, store, settings, outcome.upload_id)
        except problems.Problem as problem:
            return problem
        except StoreError as error:
            return to_problem(error)
        return outcome

    return list(await asyncio.gather(*map(opened, outcomes)))


def _draft(settings: Settings, request: StartUpload) -> Draft | problems.Problem:
    limits = rows.store_limits(settings)
    if request.fingerprint is None and request.size_bytes <= settings.uploads.single_max_bytes:
        return problems.FingerprintRequired("A file this small is hashed before it is sent", uploads=[])
    try:
        cut = plan_chunks(
            request.size_bytes,
            limits=limits,
            strategy=request.strategy,
            chunk_size_bytes=request.chunk_size_bytes,
            default_chunk_bytes=settings.uploads.chunk_size_bytes,
            single_max_bytes=settings.uploads.single_max_bytes,
        )
    except PlanError as error:
        return problems.SizeNotAllowed(str(error), reason=error.reason, max_bytes=limits.largest_plan_bytes)
    try:
        name = paths.clean_name(request.destination.name)
        folder = tuple(paths.split_path(request.destination.folder_path or ""))
    except problems.InvalidName as invalid:
        return invalid
    fingerprint = parse_sha256(request.fingerprint) if request.fingerprint else None
    return Draft(request, cut, fingerprint, name, folder)


@dataclass(slots=True)
class _Known:
    """What the owner has of the contents that are asked for."""

    blobs: dict[bytes, put.Content] = field(default_factory=dict)
    """Verified content, by fingerprint."""
    sessions: dict[bytes, tuple[uuid.UUID, int]] = field(default_factory=dict)
    """Live sessions of this uploader, by fingerprint: id and size in bytes."""
    unbound: dict[int, list[uuid.UUID]] = field(default_factory=dict)
    """Live sessions still without a fingerprint, by size."""
    sizes: set[int] = field(default_factory=set)
    """Sizes in bytes of which the owner stores or sends something."""
    destinations: dict[tuple[uuid.UUID, uuid.UUID, str], uuid.UUID] = field(default_factory=dict)
    """Destinations of those sessions, by (upload, parent, name key)."""


async def _owners(tx: Tx, actor_id: uuid.UUID, drafts: Sequence[Draft]) -> list[uuid.UUID]:
    """Return in whose tree each draft ends; the actor's own where it names no folder, or none that they may use."""
    by_id: dict[uuid.UUID, uuid.UUID] = {}
    for parent_id in {draft.request.destination.parent_id for draft in drafts}:
        found = await folder(tx, actor_id, parent_id) if parent_id else None
        if parent_id and isinstance(found, access.Access):
            by_id[parent_id] = found.owner_id
    return [by_id.get(draft.request.destination.parent_id or actor_id, actor_id) for draft in drafts]


async def _claim_all(
    tx: Tx, settings: Settings, actor_id: uuid.UUID, drafts: Sequence[Draft], owners: Sequence[uuid.UUID]
) -> list[Outcome]:
    """Decide what becomes of each draft, owner by owner, all of whom are locked: T1."""
    outcomes: dict[int, Outcome] = {}
    for owner_id in sorted(set(owners)):
        numbers = [number for number, of in enumerate(owners) if of == owner_id]
        claimed = await _claim(tx, settings, actor_id, owner_id, [drafts[number] for number in numbers])
        outcomes |= zip(numbers, claimed, strict=True)
    return [outcomes[number] for number in range(len(drafts))]


async def _claim(
    tx: Tx, settings: Settings, actor_id: uuid.UUID, owner_id: uuid.UUID, drafts: Sequence[Draft]
) -> list[Outcome]:
    """Decide what becomes of each draft into one owner's tree and write it down."""
    parents = await _parents(tx, actor_id, drafts)
    room = await Room.load(tx, settings, actor_id, owner_id)
    places = [
        (parent, names.make_key(draft.name)) if isinstance(parent, uuid.UUID) else None
        for draft, parent in zip(drafts, parents, strict=True)
    ]
    standing = await paths.find_nodes_at(tx, [place for place in places if place])
    known = await _known(tx, actor_id, owner_id, drafts)
    outcomes: list[Outcome] = []
    desk = _Desk(known, room, _Writes(actor_id, owner_id))
    for draft, parent, place in zip(drafts, parents, places, strict=True):
        if isinstance(parent, problems.Problem) or place is None:
            outcomes.append(parent if isinstance(parent, problems.Problem) else problems.NotFound())
            continue
        outcomes.append(_decide(draft, place, standing.get(place), desk))
    await desk.writes.flush(tx, settings)
    return await _place_instantly(tx, owner_id, outcomes, desk.writes)


def _decide(draft: Draft, place: paths.Place, there: paths.NamedNode | None, desk: "_Desk") -> Outcome:
    """Return what becomes of one draft; what it takes and what is to be written is noted on the desk."""
    request, known = draft.request, desk.known
    content = known.blobs.get(draft.fingerprint) if draft.fingerprint else None
    if content and content.size_bytes != request.size_bytes:
        return problems.FingerprintMismatch("You store content of this fingerprint, and it has another size")
    if content:  # what stands there by then, after the items before this one, is for `files.put` to see
        return desk.writes.place(draft, place[0], content)
    refused = put.find_conflict(there, request.destination.on_conflict, request.destination.base_revision_id)
    if refused:
        return refused
    if draft.fingerprint is None and request.size_bytes in known.sizes:
        unbound = [str(upload_id) for upload_id in known.unbound.get(request.size_bytes, ())]
        return problems.FingerprintRequired(
            "You have content or an upload of this size: hash the file first", uploads=unbound
        )
    session = known.sessions.get(draft.fingerprint) if draft.fingerprint else None
    if session:
        return _resume(draft, place, session, desk)
    problem = desk.room.take(request.size_bytes, sessions=1)
    if problem:
        return problem
    upload_id = desk.writes.session(draft)
    known.destinations[upload_id, *place] = desk.writes.destination(upload_id, draft, place[0], None)
    known.sizes.add(request.size_bytes)
    if draft.fingerprint:
        known.sessions[draft.fingerprint] = (upload_id, request.size_bytes)
    return Session(upload_id, is_new=True, plan=draft.plan)


def _resume(draft: Draft, place: paths.Place, session: tuple[uuid.UUID, int], desk: "_Desk") -> Outcome:
    """Go on with a live session of the same content, which from now on goes to this place too."""
    upload_id, size_bytes = session
    if size_bytes != draft.request.size_bytes:
        return problems.FingerprintMismatch("The live upload of this fingerprint has another size")
    existing = desk.known.destinations.get((upload_id, *place))
    if (
        existing is None
        and sum(known_id == upload_id for known_id, _, _ in desk.known.destinations) >= MAX_DESTINATIONS
    ):
        return problems.TooManyFiles(f"One upload goes to at most {MAX_DESTINATIONS} places")
    problem = desk.room.take(0) if existing is None else None
    if problem:
        return problem
    desk.known.destinations[upload_id, *place] = desk.writes.destination(upload_id, draft, place[0], existing)
    return Session(upload_id, is_new=False, plan=None)


async def _parents(tx: Tx, actor_id: uuid.UUID, drafts: Sequence[Draft]) -> list[uuid.UUID | problems.Problem]:
    """Return the folder of each draft, making those named by path: these are in the actor's own tree."""
    by_path = await folders.ensure_folders(
        tx, actor_id, [draft.folder for draft in drafts if draft.request.destination.parent_id is None]
    )
    by_id: dict[uuid.UUID, uuid.UUID | problems.Problem] = {}
    for draft in drafts:
        parent_id = draft.request.destination.parent_id
        if parent_id and parent_id not in by_id:
            found = await folder(tx, actor_id, parent_id)
            by_id[parent_id] = found.node_id if isinstance(found, access.Access) else found
    return [
        by_id[draft.request.destination.parent_id] if draft.request.destination.parent_id else by_path[draft.folder]
        for draft in drafts
    ]


async def folder(tx: Tx, actor_id: uuid.UUID, parent_id: uuid.UUID) -> access.Access | problems.Problem:
    """Return a folder that the actor may put files into, or why not."""
    try:
        granted = await access.require(tx, actor_id, parent_id, "editor")
    except (problems.NotFound, problems.Forbidden) as refused:
        return refused
    return granted if granted.kind == "folder" else problems.NotAFolder()


async def _known(tx: Tx, actor_id: uuid.UUID, owner_id: uuid.UUID, drafts: Sequence[Draft]) -> _Known:
    """Look up what the actor may know of these fingerprints and, for drafts without one, sizes.

    What the owner stores, if that is the actor; of somebody else's tree only the actor's own sessions into it.
    """
    known = _Known()
    fingerprints = {draft.fingerprint for draft in drafts if draft.fingerprint}
    sizes = {draft.request.size_bytes for draft in drafts if draft.fingerprint is None}
    if fingerprints and actor_id == owner_id:
        known.blobs = await verified_content(tx, owner_id, fingerprints)
    live = select(Upload.id, Upload.fingerprint, Upload.size_bytes).where(
        Upload.owner_id == owner_id,
        Upload.uploader_id == actor_id,
        Upload.strategy != "stream",
        text(LIVE_UPLOAD),
        or_(
            and_(Upload.fingerprint.in_(fingerprints), Upload.encoding == "identity"),
            Upload.size_bytes.in_(sizes),
        ),
    )
    for row in await tx.execute(live):
        known.sizes.add(row.size_bytes)
        if row.fingerprint is None:
            known.unbound.setdefault(row.size_bytes, []).append(row.id)
        else:
            known.sessions[row.fingerprint] = (row.id, row.size_bytes)
    if sizes and actor_id == owner_id:
        stored = select(Blob.size_bytes).where(
            Blob.owner_id == owner_id, Blob.size_bytes.in_(sizes), Blob.content_status != "deleting"
        )
        known.sizes |= set((await tx.execute(stored.distinct())).scalars())
    if known.sessions:
        ids = [upload_id for upload_id, _ in known.sessions.values()]
        columns = (UploadDestination.id, UploadDestination.upload_id, UploadDestination.parent_id)
        found = select(*columns, UploadDestination.name).where(UploadDestination.upload_id.in_(ids))
        known.destinations = {
            (row.upload_id, row.parent_id, names.make_key(row.name)): row.id for row in await tx.execute(found)
        }
    return known


async def verified_content(tx: Tx, owner_id: uuid.UUID, fingerprints: set[bytes]) -> dict[bytes, put.Content]:
    """Return the owner's verified content of these fingerprints."""
    stored = select(Blob.id, Blob.fingerprint, Blob.size_bytes).where(
        Blob.owner_id == owner_id,
        Blob.fingerprint.in_(fingerprints),
        Blob.encoding == "identity",
        Blob.content_status == "verified",
    )
    return {
        row.fingerprint: put.Content(row.id, row.fingerprint, row.size_bytes, is_verified=True)
        for row in await tx.execute(stored)
    }


async def _place_instantly(tx: Tx, owner_id: uuid.UUID, outcomes: list[Outcome], writes: "_Writes") -> list[Outcome]:
    """Make the files of content that is there already; put what came of it where `_decide` left a mark."""
    placed = await put.put_files(tx, owner_id, writes.placements) if writes.placements else []
    by_mark = {placement.destination_id: result for placement, result in zip(writes.placements, placed, strict=True)}
    final: list[Outcome] = []
    for outcome in outcomes:
        result = by_mark.get(outcome.node_id) if isinstance(outcome, Instant) else None
        if result is None:
            final.append(outcome)
        else:
            final.append(Instant(result.node_id) if isinstance(result, put.PlacedFile) else result)
    return final


@dataclass(slots=True)
class Room:
    """What the account may still take, counted down while a batch is decided."""

    quota_bytes: int
    used_bytes: int
    reserved_bytes: int
    nodes: int
    sessions: int
    is_own: bool
    """Whether the numbers are the actor's own: of another's account they would tell what is stored there."""

    @classmethod
    async def load(cls, tx: Tx, settings: Settings, actor_id: uuid.UUID, owner_id: uuid.UUID) -> "Room":
        """Look how much room the owner has, and how many more sessions the actor may open."""
        user = await guard.lock_owner(tx, owner_id)
        is_live = select(func.count()).where(Upload.uploader_id == actor_id, text(LIVE_UPLOAD))
        live: int = (await tx.execute(is_live.select_from(Upload))).scalar_one()
        nodes = user.quota_nodes - user.used_nodes - user.reserved_nodes
        sessions = settings.uploads.max_open - live
        is_own = actor_id == owner_id
        return cls(user.quota_bytes, user.used_bytes, user.reserved_bytes, nodes, sessions, is_own)

    def take(self, size_bytes: int, *, nodes: int = 1, sessions: int = 0) -> problems.Problem | None:
        """Take room for so many bytes and one destination; return why there is none, and take nothing."""
        if self.used_bytes + self.reserved_bytes + size_bytes > self.quota_bytes:
            if not self.is_own:
                return problems.QuotaExceeded("There is not enough space left where it goes", needed_bytes=size_bytes)
            return problems.QuotaExceeded(
                quota_bytes=self.quota_bytes,
                used_bytes=self.used_bytes,
                reserved_bytes=self.reserved_bytes,
                needed_bytes=size_bytes,
            )
        if self.nodes < nodes:
            return problems.TooManyFiles()
        if self.sessions < sessions:
            return problems.TooManyUploads(retry_after_s=60)
        self.reserved_bytes += size_bytes
        self.nodes -= nodes
        self.sessions -= sessions
        return None


class _Writes:
    """Rows that a batch of starts makes, written together."""

    def __init__(self, actor_id: uuid.UUID, owner_id: uuid.UUID) -> None:
        self.actor_id = actor_id
        self.owner_id = owner_id
        self.uploads: list[dict[str, Any]] = []
        self.destinations: list[dict[str, Any]] = []
        self.renewed: dict[uuid.UUID, dict[str, Any]] = {}
        self.resumed: set[uuid.UUID] = set()
        self.placements: list[put.Placement] = []
        self.reserved_bytes = 0

    def place(self, draft: Draft, parent_id: uuid.UUID, content: put.Content) -> Instant:
        """Note an instant file; the outcome carries the placement's mark until the node is known."""
        mark = new_id()
        self.placements.append(
            put.Placement(
                destination_id=mark,
                parent_id=parent_id,
                name=draft.name,
                on_conflict=draft.request.destination.on_conflict,
                base_revision_id=draft.request.destination.base_revision_id,
                content_type=draft.request.content_type,
                client_modified_at=draft.request.client_modified_at,
                author_id=self.actor_id,
                content=content,
            )
        )
        return Instant(mark)

    def session(self, draft: Draft) -> uuid.UUID:
        upload_id = new_id()
        folder_of_key = draft.fingerprint.hex() if draft.fingerprint else "late"
        self.uploads.append(
            {
                "id": upload_id,
                "uploader_id": self.actor_id,
                "owner_id": self.owner_id,
                "fingerprint": draft.fingerprint,
                "size_bytes": draft.plan.size_bytes,
                "strategy": draft.plan.strategy,
                "chunk_size_bytes": draft.plan.chunk_size_bytes,
                "chunk_count": draft.plan.chunk_count,
                "state": "active" if draft.plan.strategy == "single" else "creating",
                "storage_key": f"blobs/{self.owner_id}/{folder_of_key}/{upload_id}",
            }
        )
        self.reserved_bytes += draft.plan.size_bytes
        return upload_id

    def destination(
        self, upload_id: uuid.UUID, draft: Draft, parent_id: uuid.UUID, existing: uuid.UUID | None
    ) -> uuid.UUID:
        """Note a destination, a new one or one that is asked for again; return its id."""
        row = destination_row(upload_id, draft.request.destination, draft.name, parent_id, draft.request)
        self.resumed.add(upload_id)
        if existing is None:
            self.destinations.append(row)
            return row["id"]  # type: ignore[no-any-return]
        self.renewed[existing] = row | {"id": existing}
        return existing

    async def flush(self, tx: Tx, settings: Settings) -> None:
        alive = rows.activity(settings)
        if self.uploads:
            await tx.execute(insert(Upload).values(**alive), self.uploads)
            await tx.execute(_PLAN_CHUNKS, {"ids": [row["id"] for row in self.uploads]})
        if self.destinations:
            await tx.execute(insert(UploadDestination), self.destinations)
        for destination_id, row in self.renewed.items():
            await tx.execute(update(UploadDestination).where(UploadDestination.id == destination_id).values(**row))
        resumed = self.resumed - {row["id"] for row in self.uploads}
        if resumed:
            await tx.execute(update(Upload).where(Upload.id.in_(resumed)).values(**alive))
        if self.uploads or self.destinations:
            await reserve(tx, self.owner_id, self.reserved_bytes, len(self.destinations))


@dataclass(frozen=True, slots=True)
class _Desk:
    """What a batch is decided on."""

    known: _Known
    room: Room
    writes: _Writes


def destination_row(
    upload_id: uuid.UUID, wanted: Destination, name: str, parent_id: uuid.UUID, meta: Any
) -> dict[str, Any]:
    """Return a row of upload_destinations; `meta` has content_type and client_modified_at."""
    return {
        "id": new_id(),
        "upload_id": upload_id,
        "parent_id": parent_id,
        "name": name,
        "on_conflict": wanted.on_conflict,
        "base_revision_id": wanted.base_revision_id,
        "content_type": meta.content_type,
        "client_modified_at": meta.client_modified_at,
    }


async def reserve(tx: Tx, owner_id: uuid.UUID, size_bytes: int, nodes: int) -> None:
    """Reserve quota. Transaction: joins tx, which holds the owner's lock and has checked that there is room."""
    await tx.execute(
        update(User)
        .where(User.id == owner_id)
        .values(reserved_bytes=User.reserved_bytes + size_bytes, reserved_nodes=User.reserved_nodes + nodes)
    )


_PLAN_CHUNKS = text("""
    INSERT INTO upload_chunks (upload_id, number, offset_bytes, size_bytes, sha256)
    SELECT id, n, (n - 1) * chunk_size_bytes, least(chunk_size_bytes, size_bytes - (n - 1) * chunk_size_bytes),
        CASE WHEN strategy = 'single' THEN fingerprint END
    FROM uploads, generate_series(CAST(1 AS bigint), chunk_count) n WHERE id = ANY(CAST(:ids AS uuid[]))
""")
"""The chunks of new sessions are made where they are stored: 10,000 of them cost one statement and no traffic."""


async def activate(db: Db, store: ObjectStore, settings: Settings, upload_id: uuid.UUID) -> None:
    """Make sure that a `creating` session has its S3 multipart upload; any other state is left alone.

    Raises StoreError; Unavailable while somebody else is creating it.
    Transaction: lease, S3, T2.
    """
    token = uuid.uuid4()
    patience = int(CREATING_WAIT_S / CREATING_POLL_S)
    for _ in range(patience):
        async with db.begin() as tx:
            key = await _lease_creation(tx, settings, upload_id, token)
            state = (await tx.execute(select(Upload.state).where(Upload.id == upload_id))).scalar_one_or_none()
        if key:
            break
        if state != "creating":
            return
        await asyncio.sleep(CREATING_POLL_S)
    else:
        raise problems.Unavailable("The upload is being prepared", retry_after_s=1)
    await failpoint("uploads.start.after_lease")
    held = update(Upload).where(Upload.id == upload_id, Upload.state == "creating", Upload.lease_token == token)
    try:
        s3_upload_id = await store.create_multipart(key)
    except StoreError:
        async with db.begin() as tx:
            await tx.execute(held.values(lease_token=None, lease_until=None))
        raise
    await failpoint("uploads.start.after_s3")
    async with db.begin() as tx:
        recorded = await tx.execute(
            held.values(state="active", s3_upload_id=s3_upload_id, lease_token=None, lease_until=None)
        )
    if not recorded.rowcount:
        await store.abort_multipart(key, s3_upload_id)
    await failpoint("uploads.start.after_t2")


async def _lease_creation(tx: Tx, settings: Settings, upload_id: uuid.UUID, token: uuid.UUID) -> str | None:
    """Take the lease of a `creating` session; return its storage key, or None when it is held or not needed."""
    taken = (
        update(Upload)
        .where(
            Upload.id == upload_id,
            Upload.state == "creating",
            or_(Upload.lease_until.is_(None), Upload.lease_until < func.now()),
        )
        .values(lease_token=token, lease_until=func.now() + timedelta(seconds=settings.uploads.lease_s))
        .returning(Upload.storage_key)
    )
    return (await tx.execute(taken)).scalar_one_or_none()
