"""Content that passes the API on its way into S3: a form's file, and a PUT of a file's content. For curl and HTML.

The body is never whole anywhere: at most one part of it waits while the one before is sent. It goes the way of every
upload, intent -> effect -> record:

T1 (`_claim`): a session of strategy `stream`, with quota reserved for all that may come. Nobody sees it but workers,
   which end it (`expire`) and clean up after it (`discard`) should this process die.
S3 (`_Intake`): a part's hash is computed here and enforced by the store; what came of it is looked at with HEAD. So
   the server itself has hashed every byte, and the content is verified from the start.
T2 (`_record`): blob, revision, quota, journal, under the owner's lock. What is refused there leaves nothing behind.

A node is looked for in T1 but not reserved: reserved nodes are destinations (I4), and where a form's file goes may
stand at the end of the form.
"""

import asyncio
import contextlib
import hashlib
import logging
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any, NamedTuple

from pydantic import ValidationError
from sqlalchemy import func, insert, select, update

from dropbox_api import access, problems
from dropbox_api.core.fingerprint import composite_digest, to_base64
from dropbox_api.db import Db, Tx, new_id
from dropbox_api.files import folders, guard, paths, put, tree, views
from dropbox_api.files.schemas import File
from dropbox_api.models import Revision, Upload, UploadChunk
from dropbox_api.plumbing import audit, idempotency
from dropbox_api.plumbing.failpoints import failpoint
from dropbox_api.plumbing.idempotency import Once
from dropbox_api.schemas import OnConflict
from dropbox_api.settings import Settings
from dropbox_api.storage.object_store import CompletedPart, ObjectStore, Part, StoreError
from dropbox_api.uploads import finishing, rows, starting
from dropbox_api.uploads.forms import BadForm, Form
from dropbox_api.uploads.schemas import AddDestination

log = logging.getLogger(__name__)

FORM_OVERHEAD_BYTES = 64 * 1024
"""What a form may hold beside its file."""
FORM_FIELDS = ("name", "parent_id", "folder_path", "on_conflict", "content_type", "client_modified_at")
LINK_FORM_FIELDS = ("name",)
STALL_S = 60
"""A body of which nothing comes for so long is given up: its place is one of few."""
BODY_S = 3600
"""A body that has not ended by then is given up, too."""
SILENCE = timedelta(hours=1)
"""A session of which no part was stored for so long is a dead process's."""


@dataclass(frozen=True, slots=True)
class Body:
    """The body of a request while it is still coming in."""

    blocks: AsyncIterator[bytes]
    """Raises InvalidRequest when the client leaves before the end."""
    size_bytes: int | None
    """Content-Length; None when it is sent in chunks of HTTP's own."""
    content_type: str | None


async def read_body(receive: Callable[[], Awaitable[Any]]) -> AsyncIterator[bytes]:
    """Yield the body that comes by ASGI messages. Raises InvalidRequest when it ends, or stops, before its end."""
    more = True
    ends_at = asyncio.get_running_loop().time() + BODY_S
    while more:
        try:
            async with asyncio.timeout(STALL_S), asyncio.timeout_at(ends_at):
                message = await receive()
        except TimeoutError:
            raise problems.InvalidRequest("The body comes too slowly", errors=[]) from None
        if message["type"] == "http.disconnect":  # nobody hears it
            raise problems.InvalidRequest("The body ended early", errors=[])
        yield message.get("body", b"")
        more = message.get("more_body", False)


def incoming(receive: Callable[[], Awaitable[Any]], declared: str, content_type: str | None) -> Body:
    """Return the body that comes by ASGI messages; `declared` is its Content-Length as it was sent, or ""."""
    return Body(read_body(receive), int(declared) if declared.isdigit() else None, content_type)


async def send_file(
    db: Db, store: ObjectStore, settings: Settings, actor_id: uuid.UUID, body: Body, once: Once | None
) -> File:
    """Store the file of a form and return it.

    Raises InvalidRequest (no such form), BodyTooLarge, QuotaExceeded, TooManyUploads, TooManyFiles, InvalidName,
    NotFound (parent), NotAFolder, NameTaken, IdempotencyMismatch, Replayed, UploadExpired (it took too long),
    Unavailable, StoreError.
    Transaction: T1, S3, T2. Idempotent: by `once`.
    """
    file, _ = await _send_form(db, store, settings, actor_id, body, once=once)
    return file


class Received(NamedTuple):
    """What whoever sends a file to a link is told: what they know already."""

    name: str
    size_bytes: int


async def send_to_link(db: Db, store: ObjectStore, settings: Settings, link: access.LinkAccess, body: Body) -> Received:
    """Store the file of a form in the folder of an upload link, beside whatever is there; nothing is replaced.

    It counts on the folder's owner. The name that is returned is the one that was asked for, not the one it got.
    Raises InvalidRequest, BodyTooLarge, InvalidName, QuotaExceeded and TooManyFiles and TooManyUploads (without
    numbers), NotFound (the link works no more, now or when all of the file is there), UploadExpired, Unavailable,
    StoreError.
    Transaction: T1, S3, T2.
    """
    try:
        file, wanted = await _send_form(db, store, settings, link.top.owner_id, body, link=link)
    except problems.QuotaExceeded:
        raise problems.QuotaExceeded from None
    return Received(wanted, file.size_bytes or 0)


async def _send_form(
    db: Db,
    store: ObjectStore,
    settings: Settings,
    actor_id: uuid.UUID,
    body: Body,
    *,
    once: Once | None = None,
    link: access.LinkAccess | None = None,
) -> tuple[File, str]:
    """Store the file of a form; return it, and the name that was asked for.

    `link`: the actor is the folder's owner, on whose behalf strangers send; where a file goes is not theirs to say.
    """
    limit = max_bytes(settings)
    _require_size(body, limit + FORM_OVERHEAD_BYTES, limit)
    settled = {"parent_id": str(link.top.node_id), "on_conflict": "rename"} if link else {}
    with _form_problems():
        form = Form(body.content_type or "", LINK_FORM_FIELDS if link else FORM_FIELDS)
    async with db.begin() as tx:
        claimed = await _claim_own(tx, settings, actor_id, _bound(body, limit), once, is_all=link is not None)
    async with _receiving(db, store, settings, claimed if isinstance(claimed, _Session) else None) as intake:
        pieces = _pieces(body, form, limit)
        first = await anext(pieces, b"")  # what stands before the file is known by now
        if claimed and not link:
            async with db.begin() as tx:
                intake.session = await _claim_place(tx, settings, actor_id, form, claimed, _bound(body, limit))
        await intake.take(first)
        async for piece in pieces:
            await intake.take(piece)
        wanted = _destination(form, settled)
        name = paths.clean_name(wanted.destination.name)
        stored = await intake.finish()
        once = once and once.of(stored.fingerprint, wanted.model_dump_json())
        owner_id = intake.session.owner_id if intake.session else actor_id
        async with db.begin() as tx:
            for user_id in sorted({actor_id, owner_id}):
                await guard.lock_owner(tx, user_id)
            await idempotency.claim_key(tx, once)
            if link:
                await access.require_link(tx, link.link_id)
            content = await _record(tx, intake.session, stored)
            placement = put.Placement(
                destination_id=None,
                parent_id=await _parent(tx, actor_id, owner_id, wanted),
                name=name,
                on_conflict=wanted.destination.on_conflict,
                base_revision_id=None,
                content_type=wanted.content_type,
                client_modified_at=wanted.client_modified_at,
                author_id=actor_id,
                content=content,
            )
            file = await _placed(tx, actor_id, owner_id, placement)
            if link:
                act = audit.Entry("uploaded-by-link", file.id, {"link": str(link.link_id), "name": name})
                await audit.record(tx, owner_id, [act])
            await idempotency.keep_answer(tx, once, 201, file)
        await failpoint("uploads.stream.after_t2")
    return file, name


@dataclass(frozen=True, slots=True)
class PutContent:
    """New content of a file, and, unless None, a new name for it."""

    body: Body
    name: str | None
    on_conflict: OnConflict
    """When that name is taken, as in renaming."""
    if_match: str | None


async def put_content(
    db: Db,
    store: ObjectStore,
    settings: Settings,
    actor_id: uuid.UUID,
    node_id: uuid.UUID,
    wanted: PutContent,
    *,
    once: Once | None,
) -> File:
    """Make a body the newest revision of a file, and return the file. Content that it has already makes none.

    Raises NotFound, NotAFile, PreconditionFailed, InvalidName, InvalidRequest (the body ends early), BodyTooLarge,
    QuotaExceeded, TooManyUploads, NameTaken, ProcessingRunning (of the file that would be replaced by the renaming),
    IdempotencyMismatch, Replayed, UploadExpired (it took too long), Unavailable, StoreError.
    Transaction: T1, S3, T2. Idempotent: by `once`.
    """
    body, limit = wanted.body, max_bytes(settings)
    _require_size(body, limit, limit)
    name = paths.clean_name(wanted.name) if wanted.name is not None else None
    async with db.begin() as tx:
        session = None
        if not await idempotency.is_answered(tx, once):
            node = await _target(tx, actor_id, node_id, wanted.if_match)
            session = await _claim(tx, settings, actor_id, node.owner_id, _bound(body, limit), nodes=0)
    async with _receiving(db, store, settings, session) as intake:
        async for block in body.blocks:
            await intake.take(block)
        stored = await intake.finish()
        once = once and once.of(stored.fingerprint, body.content_type)
        async with db.begin() as tx:
            await guard.lock_owner(tx, session.owner_id if session else actor_id)
            await idempotency.claim_key(tx, once)
            content = await _record(tx, session, stored)
            node = await _target(tx, actor_id, node_id, wanted.if_match)
            placement = put.Placement(
                destination_id=None,
                parent_id=node.parent_id,
                name=node.name,
                on_conflict="replace",
                base_revision_id=None,
                content_type=body.content_type or await _type_of(tx, node),
                client_modified_at=None,
                author_id=actor_id,
                content=content,
                is_of_file=True,
            )
            file = await _placed(tx, actor_id, node.owner_id, placement)
            if file.content_type != placement.content_type:  # the content was there already
                await tree.set_content_type(tx, node, placement.content_type)
                file = await views.get_file(tx, actor_id, node_id)
            if name is not None:
                await tree.rename_or_move(tx, actor_id, node, node.parent_id, name, wanted.on_conflict)
                file = await views.get_file(tx, actor_id, node_id)
            await idempotency.keep_answer(tx, once, 200, file)
        await failpoint("uploads.stream.after_t2")
    return file


def max_bytes(settings: Settings) -> int:
    """Return the size of the largest file that is taken through the API."""
    return min(settings.uploads.stream_max_bytes, rows.store_limits(settings).largest_plan_bytes)


def _require_size(body: Body, most_bytes: int, limit: int) -> None:
    if body.size_bytes is not None and body.size_bytes > most_bytes:
        raise problems.BodyTooLarge(max_bytes=limit)


def _bound(body: Body, limit: int) -> int:
    """Return how many bytes of content a body holds at most."""
    return limit if body.size_bytes is None else min(body.size_bytes, limit)


async def _target(tx: Tx, actor_id: uuid.UUID, node_id: uuid.UUID, if_match: str | None) -> Any:
    node = await guard.lock_for_change(tx, actor_id, node_id, if_match)
    if node.kind != "file":
        raise problems.NotAFile
    return node


async def _type_of(tx: Tx, node: Any) -> str:
    head = select(Revision.content_type).where(Revision.id == node.head_revision_id)
    return str((await tx.execute(head)).scalar_one())


# The form


async def _pieces(body: Body, form: Form, limit: int) -> AsyncIterator[bytes]:
    """Read a form to its end; yield its file as it comes, beginning with nothing as soon as there is one.

    What is beside it is in the form afterwards; what stands before it already then.
    """
    received = 0
    has_begun = False
    async for block in body.blocks:
        received += len(block)
        if received > limit + FORM_OVERHEAD_BYTES:
            raise problems.BodyTooLarge(max_bytes=limit)
        with _form_problems():
            pieces = form.feed(block)
        if form.file is not None and not has_begun:
            has_begun = True
            yield b""
        for piece in pieces:
            yield piece


async def _owner_of_folder(tx: Tx, actor_id: uuid.UUID, parent_id: str | None) -> uuid.UUID:
    """Return in whose tree a file goes; the actor's own where no folder is named (or nonsense, which is told later).

    Raises NotFound, Forbidden, NotAFolder.
    """
    try:
        folder_id = uuid.UUID(parent_id) if parent_id else None
    except ValueError:
        folder_id = None
    if folder_id is None:
        return actor_id
    found = await starting.folder(tx, actor_id, folder_id)
    if isinstance(found, problems.Problem):
        raise found
    return found.owner_id


async def _parent(tx: Tx, actor_id: uuid.UUID, owner_id: uuid.UUID, wanted: AddDestination) -> uuid.UUID:
    """Return the folder that a file goes into, in the tree of whoever has paid for it; a path is made where it ends.

    Raises NotFound, Forbidden, NotAFolder, CrossOwner, TooManyFiles. Transaction: joins tx, which holds the lock.
    """
    if wanted.destination.parent_id:
        if await _owner_of_folder(tx, actor_id, str(wanted.destination.parent_id)) != owner_id:
            raise problems.CrossOwner("A folder that is shared with you is named before the file")
        return wanted.destination.parent_id
    path = tuple(paths.split_path(wanted.destination.folder_path or ""))
    parent = (await folders.ensure_folders(tx, actor_id, [path]))[path]
    if isinstance(parent, problems.Problem):
        raise parent
    return parent


def _destination(form: Form, settled: dict[str, str]) -> AddDestination:
    """Return where the file of a form goes, once all of it was read; what is settled, the form does not say."""
    with _form_problems():
        file = form.close()
    given = {"name": file.filename, "content_type": file.content_type} | form.fields | settled
    top = ("content_type", "client_modified_at")
    values = {name: value for name, value in given.items() if value is not None}
    shape = {name: values.pop(name) for name in top if name in values} | {"destination": values}
    try:
        return AddDestination.model_validate(shape)
    except ValidationError as error:
        found = error.errors(include_url=False, include_context=False, include_input=False)
        pointers = ["".join(f"/{part}" for part in entry["loc"] if part != "destination") for entry in found]
        details = [entry["msg"] for entry in found]
        raise _invalid(*zip(pointers, details, strict=True)) from None


@contextlib.contextmanager
def _form_problems() -> Iterator[None]:
    """Turn what is wrong with a form into InvalidRequest."""
    try:
        yield
    except BadForm as bad:
        raise _invalid((bad.pointer, str(bad))) from None


def _invalid(*errors: tuple[str, str]) -> problems.InvalidRequest:
    return problems.InvalidRequest(errors=[{"pointer": pointer, "detail": detail} for pointer, detail in errors])


# T1


@dataclass(frozen=True, slots=True)
class _Session:
    id: uuid.UUID
    owner_id: uuid.UUID
    storage_key: str


async def _claim(
    tx: Tx, settings: Settings, actor_id: uuid.UUID, owner_id: uuid.UUID, size_bytes: int, *, nodes: int
) -> _Session:
    """Write down that up to `size_bytes` are about to come, and reserve room for them.

    Raises QuotaExceeded, TooManyFiles, TooManyUploads. Transaction: joins tx; takes the owner's lock.
    """
    room = await starting.Room.load(tx, settings, actor_id, owner_id)
    if refused := room.take(size_bytes, nodes=nodes, sessions=1):
        raise refused
    upload_id = new_id()
    session = _Session(upload_id, owner_id, f"blobs/{owner_id}/late/{upload_id}")
    row = {
        "id": upload_id,
        "uploader_id": actor_id,
        "owner_id": owner_id,
        "size_bytes": size_bytes,
        "strategy": "stream",
        "chunk_size_bytes": part_bytes(settings),
        "chunk_count": 0,
        "state": "active",
        "storage_key": session.storage_key,
    }
    await tx.execute(insert(Upload).values(**row | rows.activity(settings) | _alive()))
    await starting.reserve(tx, owner_id, size_bytes, 0)
    return session


async def _claim_own(
    tx: Tx, settings: Settings, actor_id: uuid.UUID, size_bytes: int, once: Once | None, *, is_all: bool
) -> _Session | problems.Problem | None:
    """Claim room for a form's file in the actor's own tree, before any of it is read; None when it was answered before.

    Who can change what others share may name such a folder in the form: they are told what refuses them here only when
    that is known. Unless `is_all`: then there is nothing to be named.
    Raises and takes locks as `_claim` does. Transaction: joins tx.
    """
    if await idempotency.is_answered(tx, once):
        return None
    try:
        return await _claim(tx, settings, actor_id, actor_id, size_bytes, nodes=1)
    except (problems.QuotaExceeded, problems.TooManyFiles) as refused:
        if is_all or not await access.is_editor_elsewhere(tx, actor_id):
            raise
        return refused


async def _claim_place(
    tx: Tx, settings: Settings, actor_id: uuid.UUID, form: Form, claimed: _Session | problems.Problem, size_bytes: int
) -> _Session:
    """Return the session for what is about to come, now that the fields before the file say who pays for it.

    `claimed` is what `_claim_own` returned; a session that is not the payer's is ended, empty as it is.
    Raises NotFound, Forbidden, NotAFolder, and what `_claim` raises. Transaction: joins tx; takes both owners' locks.
    """
    # With both ways of naming a folder it is refused in the end.
    parent_id = None if "folder_path" in form.fields else form.fields.get("parent_id")
    owner_id = await _owner_of_folder(tx, actor_id, parent_id)
    if owner_id == actor_id:
        if isinstance(claimed, problems.Problem):
            raise claimed
        return claimed
    for user_id in sorted({actor_id, owner_id}):
        await guard.lock_owner(tx, user_id)
    if isinstance(claimed, _Session):
        await rows.end(tx, actor_id, [claimed.id], "aborted", leftover=False)
    return await _claim(tx, settings, actor_id, owner_id, size_bytes, nodes=1)


def _alive() -> dict[str, Any]:
    return {"last_activity_at": func.now(), "expires_at": func.now() + SILENCE}


def part_bytes(settings: Settings) -> int:
    """Return the size of the parts of a stream: the smallest that the store takes so many of."""
    return max(settings.s3.min_part_bytes, -(-settings.uploads.stream_max_bytes // settings.s3.max_parts))


# S3


@dataclass(frozen=True, slots=True)
class _Stored:
    """What came of a body: hashed and, where there is a session, stored and looked at."""

    fingerprint: bytes
    size_bytes: int
    parts: tuple[Part, ...]
    """As we sent them, with our hashes; a whole object is one part."""
    etag: str
    digest: str | None
    """Composite digest of a multipart object."""


@asynccontextmanager
async def _receiving(
    db: Db, store: ObjectStore, settings: Settings, session: _Session | None
) -> AsyncIterator["_Intake"]:
    """Give the bytes of a session a way into S3; whatever goes wrong within the block, nothing is left of them."""
    intake = _Intake(db, store, settings, session)
    try:
        await failpoint("uploads.stream.after_t1")
        yield intake
    except BaseException:
        await intake.abandon()
        raise


class _Intake:
    """Bytes on their way into one object. Without a session they are only counted and hashed."""

    def __init__(self, db: Db, store: ObjectStore, settings: Settings, session: _Session | None) -> None:
        self.db = db
        self.store = store
        self.session = session
        self.limit = max_bytes(settings)
        self._part_bytes = part_bytes(settings)
        self._hash = hashlib.sha256()
        self._size_bytes = 0
        self._waiting = bytearray()
        self._sending: asyncio.Task[None] | None = None
        self._s3_upload_id: str | None = None
        self._parts: list[Part] = []

    async def take(self, data: bytes) -> None:
        """Take the next bytes. Raises BodyTooLarge, and what sending the part before raised."""
        self._size_bytes += len(data)
        if self._size_bytes > self.limit:
            raise problems.BodyTooLarge(max_bytes=self.limit)
        self._hash.update(data)
        if self.session is None:
            return
        self._waiting += data
        # More than a part, not exactly one: a file of one part is a plain object.
        while len(self._waiting) > self._part_bytes:
            part = bytes(memoryview(self._waiting)[: self._part_bytes])
            del self._waiting[: self._part_bytes]
            await self._send(self.session, part)

    async def finish(self) -> _Stored:
        """Store what is left, make the object, and see that it is what was sent.

        Raises Unavailable (it is not), UploadExpired, StoreError.
        """
        fingerprint, session = self._hash.digest(), self.session
        if session is None:
            return _Stored(fingerprint, self._size_bytes, (), "", None)
        rest = bytes(self._waiting)
        self._waiting.clear()
        digest = None
        if self._s3_upload_id is None and self._sending is None:
            await self.store.put(session.storage_key, rest)
            expected = to_base64(fingerprint)
        else:
            await self._send(session, rest)
            await self._sent()
            hashes = [part.sha256 or b"" for part in self._parts]
            completed = [CompletedPart(part.number, part.etag, part.sha256 or b"") for part in self._parts]
            await self.store.complete_multipart(
                session.storage_key, self._s3_upload_id or "", completed, self._size_bytes
            )
            expected = digest = composite_digest(hashes)
        found = await self.store.head(session.storage_key)
        if not finishing.is_ours(found, self._size_bytes, expected):
            raise problems.Unavailable("The store did not keep what was sent", retry_after_s=1)
        parts = tuple(self._parts) or (Part(1, self._size_bytes, found.etag, fingerprint),)
        await failpoint("uploads.stream.after_s3")
        return _Stored(fingerprint, self._size_bytes, parts, found.etag, digest)

    async def _send(self, session: _Session, body: bytes) -> None:
        """Begin to send a part when the one before is there."""
        await self._sent()
        self._sending = asyncio.create_task(self._put(session, len(self._parts) + 1, body))

    async def _sent(self) -> None:
        if self._sending is not None:
            await self._sending

    async def _put(self, session: _Session, number: int, body: bytes) -> None:
        if self._s3_upload_id is None:
            self._s3_upload_id = await self.store.create_multipart(session.storage_key)
        # Before the part: what is sent is known to be ours, whoever has to clean up.
        alive = update(Upload).where(Upload.id == session.id, Upload.state == "active")
        async with self.db.begin() as tx:
            held = await tx.execute(alive.values(s3_upload_id=self._s3_upload_id, **_alive()))
        if not held.rowcount:
            raise problems.UploadExpired
        sha256 = await asyncio.to_thread(_sha256, body)
        part = await self.store.put_part(session.storage_key, self._s3_upload_id, number, body, sha256)
        self._parts.append(replace(part, sha256=sha256))

    async def abandon(self) -> None:
        """End the session, unless it is completed, and discard what S3 holds of it; a worker does what fails here.

        What is on its way is waited for: S3 may take it all the same, and would keep what nobody knows of.
        """
        if self._sending is not None:
            await asyncio.gather(self._sending, return_exceptions=True)
        session = self.session
        if session is None:
            return
        try:
            async with self.db.begin() as tx:
                await guard.lock_owner(tx, session.owner_id)
                ended = await rows.end(tx, session.owner_id, [session.id], "aborted", leftover=True)
            if ended and self._s3_upload_id is not None:
                await self.store.abort_multipart(session.storage_key, self._s3_upload_id)
            if ended:
                await self.store.delete(session.storage_key)
        except (problems.Unavailable, StoreError) as error:
            log.warning("a stream is left to the workers: %s", error)


def _sha256(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()


# T2


async def _record(tx: Tx, session: _Session | None, stored: _Stored) -> put.Content:
    """Turn a session's object into content, or take the equal one that the owner has; end the session.

    Raises UploadExpired; Unavailable when there is no session, because the answer that was to be given has just gone.
    Transaction: joins tx, which holds the owner's lock.
    """
    if session is None:
        raise problems.Unavailable("The answer to this Idempotency-Key has just been forgotten", retry_after_s=1)
    # First: what it releases is what the row says was reserved.
    if not await rows.end(tx, session.owner_id, [session.id], "completed", leftover=False):
        raise problems.UploadExpired
    ours = update(Upload).where(Upload.id == session.id)
    true = {"fingerprint": stored.fingerprint, "size_bytes": stored.size_bytes, "chunk_count": len(stored.parts)}
    chunk_size_bytes = max(part.size_bytes for part in stored.parts)
    found = await tx.execute(ours.values(chunk_size_bytes=chunk_size_bytes, **true).returning(*Upload.__table__.c))
    row = found.one()
    offset_bytes = 0
    chunks: list[dict[str, Any]] = []
    for part in stored.parts:
        chunk = {"upload_id": session.id, "number": part.number, "offset_bytes": offset_bytes, "state": "uploaded"}
        chunks.append(chunk | {"size_bytes": part.size_bytes, "sha256": part.sha256, "etag": part.etag})
        offset_bytes += part.size_bytes
    await tx.execute(insert(UploadChunk), chunks)
    assembled = finishing.Assembled(session.id, None, stored.etag, stored.digest, verified=True)
    content = (await finishing.store_blobs(tx, session.owner_id, [row], {session.id: assembled}))[session.id]
    # An equal blob is there already: the object just sent is not needed.
    await tx.execute(ours.values(blob_id=content.blob_id, leftover=content.blob_id != session.id))
    return content


async def _placed(tx: Tx, actor_id: uuid.UUID, owner_id: uuid.UUID, placement: put.Placement) -> File:
    """Make content the file of its name. Raises the problem of one that is refused."""
    (placed,) = await put.put_files(tx, owner_id, [placement])
    if isinstance(placed, problems.Problem):
        raise placed
    return await views.get_file(tx, actor_id, placed.node_id)
