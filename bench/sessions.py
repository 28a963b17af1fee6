"""The database work of a session of 9,999 chunks, beside the fastest ways to write as many rows to Postgres."""

import asyncio
import gc
import secrets
import time
import uuid
from collections.abc import Awaitable, Callable
from statistics import median
from typing import Any, cast

import asyncpg

from bench.stack import Stack
from bench.table import MIB, Row, Section, ms, times
from dropbox_api.context import Services
from dropbox_api.db import Db
from dropbox_api.settings import Settings
from dropbox_api.storage.object_store import ObjectStore, Part
from dropbox_api.uploads.claims import SessionClaim, claim_uploads, draft_upload
from dropbox_api.uploads.multipart import open_multipart
from dropbox_api.uploads.reconcile import reconcile_session
from dropbox_api.uploads.schemas import CreateUpload, Destination

_CHUNKS = 9_999
_COLUMNS = ("upload_id", "number", "offset_bytes", "size_bytes", "sha256", "state", "etag")
_OBSERVE = """
UPDATE upload_chunks chunk SET state = 'uploaded', etag = seen.etag
FROM unnest($2::int[], $3::text[]) AS seen(number, etag)
WHERE chunk.upload_id = $1 AND chunk.number = seen.number
"""


class _InstantStore:
    """A store that answers at once."""

    def __init__(self) -> None:
        self.parts = [Part(number, 5 * MIB, secrets.token_hex(16), None) for number in range(1, _CHUNKS + 1)]

    async def create_multipart(self, key: str) -> str:
        return f"upload-of-{key}"

    async def list_parts(self, key: str, s3_upload_id: str) -> list[Part]:  # noqa: ARG002
        return self.parts


def measure(stack: Stack, runs: int) -> Section:
    with stack.signed_in(stack.api.url) as (client, _):
        found = asyncio.run(_measure(stack, uuid.UUID(client.account.get().id), runs))
    start_s, copy_s, reconcile_s, update_s = (median(found[name]) for name in ("start", "copy", "reconcile", "update"))
    return Section(
        "Sessions",
        [
            Row(
                f"start a session of {_CHUNKS:,} chunks, database part",
                ms(start_s),
                f"COPY of the chunk rows alone: {ms(copy_s)}",
                times(start_s / copy_s),
                "<= 1.2x",
                start_s / copy_s <= 1.2,
            ),
            Row(
                f"reconcile {_CHUNKS:,} chunks, all new to the database, database part",
                ms(reconcile_s),
                f"one UPDATE from unnest: {ms(update_s)}",
                times(reconcile_s / update_s),
                "<= 1.3x",
                reconcile_s / update_s <= 1.3,
            ),
        ],
        [
            "The API does its whole work, with an S3 that answers at once: locks, quota, plan, lease, destination; "
            "reading the chunks, comparing them with the listing, recording it. The comparison is one bare asyncpg "
            "statement in a transaction on the same table, with its keys. VACUUM before each; fsync is on.",
        ],
    )


async def _measure(stack: Stack, user_id: uuid.UUID, runs: int) -> dict[str, list[float]]:
    gc.freeze()  # as the server does: what earlier subjects left is not scanned again and again
    settings = Settings.model_validate({"mode": "dev", "database": {"url": stack.postgres.url}})
    db = Db.connect(settings.database)
    raw = await asyncpg.connect(stack.postgres.url.replace("+asyncpg", ""))
    double = _InstantStore()
    services = Services(db, cast("ObjectStore", double), settings)
    etags = [part.etag for part in double.parts]
    found: dict[str, list[float]] = {"start": [], "copy": [], "reconcile": [], "update": []}

    async def timed(name: str, work: Callable[[], Awaitable[Any]]) -> Any:
        await raw.execute("VACUUM upload_chunks")
        began = time.perf_counter()
        result = await work()
        found[name].append(time.perf_counter() - began)
        return result

    for run in range(runs + 1):
        wanted = CreateUpload(
            fingerprint=secrets.token_hex(32),
            size_bytes=_CHUNKS * 5 * MIB,
            chunk_size_bytes=5 * MIB,
            destination=Destination(name=f"{run}"),
        )
        upload_id = await timed("start", lambda: _start(services, user_id, wanted))  # noqa: B023
        select = f"SELECT {', '.join(_COLUMNS)} FROM upload_chunks WHERE upload_id = $1 ORDER BY number"
        records = [tuple(record) for record in await raw.fetch(select, upload_id)]
        assert len(records) == _CHUNKS
        await raw.execute("DELETE FROM upload_chunks WHERE upload_id = $1", upload_id)
        await timed("copy", lambda: _copy(raw, records))  # noqa: B023

        await raw.execute("UPDATE upload_chunks SET sha256 = sha256(number::text::bytea)")
        await timed("reconcile", lambda: reconcile_session(services, upload_id))  # noqa: B023
        counted = "SELECT count(*) FROM upload_chunks WHERE upload_id = $1 AND state = 'uploaded'"
        assert await raw.fetchval(counted, upload_id) == _CHUNKS
        await raw.execute("UPDATE upload_chunks SET state = 'planned', etag = NULL")
        numbers = list(range(1, _CHUNKS + 1))
        await timed("update", lambda: raw.execute(_OBSERVE, upload_id, numbers, etags))  # noqa: B023
        await raw.execute("DELETE FROM upload_chunks WHERE upload_id = $1", upload_id)
    await raw.execute("DELETE FROM uploads WHERE uploader_id = $1", user_id)
    await raw.close()
    await db.close()
    return {name: values[1:] for name, values in found.items()}  # the first run compiled the statements


async def _start(services: Services, user_id: uuid.UUID, request: CreateUpload) -> uuid.UUID:
    draft = draft_upload(services.settings, request, 0)
    async with services.db.begin() as tx:
        (claim,) = await claim_uploads(tx, services.settings, user_id, [draft], None)
    assert isinstance(claim, SessionClaim)
    await open_multipart(services, claim.upload_id)
    return claim.upload_id


async def _copy(raw: asyncpg.Connection, records: list[tuple[Any, ...]]) -> None:
    async with raw.transaction():
        await raw.copy_records_to_table("upload_chunks", records=records, columns=_COLUMNS)
