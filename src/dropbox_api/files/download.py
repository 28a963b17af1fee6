"""Downloads: where the contents of files are stored, and short-lived URLs of them."""

import uuid
from collections.abc import Sequence
from typing import NamedTuple

from sqlalchemy import text

from dropbox_api import access, problems
from dropbox_api.context import Context, Services
from dropbox_api.core.content_types import find_shown_type
from dropbox_api.db import Tx
from dropbox_api.files.schemas import DownloadBatch, DownloadItem, DownloadResult, DownloadUrl
from dropbox_api.head_request import is_head
from dropbox_api.plumbing import audit, request_source
from dropbox_api.responses import describe_problem
from dropbox_api.storage.object_store import ResponseHeaders, SignedRequest


class StoredContent(NamedTuple):
    """The content of one revision: where it is stored and how to serve it."""

    owner_id: uuid.UUID
    name: str
    content_type: str
    revision_id: uuid.UUID
    blob_id: uuid.UUID
    size_bytes: int
    fingerprint: bytes
    content_status: str
    storage_key: str
    etag: str
    is_utf8: bool | None


async def open_content(
    context: Context, node_id: uuid.UUID, revision_id: uuid.UUID | None, *, inline: bool
) -> StoredContent:
    """Return where a file's content (its head's, or that of one revision) is stored, and audit its use.

    `inline`: as for `sign_content`.
    Raises NotFound (no such file or revision, or no access), NotAFile, ContentQuarantined, ContentDamaged.
    """
    async with context.db.begin() as tx:
        content = await read_content(tx, await access.require_role(tx, context.actor_id, node_id), revision_id)
        await record_use(tx, node_id, content, inline=inline)
    return content


async def read_content(tx: Tx, granted: access.Access, revision_id: uuid.UUID | None = None) -> StoredContent:
    """Return where the content of a file is stored; the caller has checked access.

    Raises NotFound (no such revision), NotAFile, ContentQuarantined, ContentDamaged.
    """
    (content,) = await _read_contents(tx, [(granted, revision_id)])
    if isinstance(content, problems.Problem):
        raise content
    return content


_CONTENTS = text("""
    SELECT place, nodes.owner_id, name, content_type, revisions.id, blob_id, blobs.size_bytes, fingerprint,
        content_status, storage_key, etag, is_utf8
    FROM unnest(CAST(:node_ids AS uuid[]), CAST(:revision_ids AS uuid[])) WITH ORDINALITY
        AS wanted(node_id, revision_id, place)
    JOIN nodes ON nodes.id = wanted.node_id
    JOIN revisions ON revisions.node_id = nodes.id
        AND revisions.id = coalesce(wanted.revision_id, nodes.head_revision_id)
    JOIN blobs ON blobs.id = revisions.blob_id
""")


async def _read_contents(
    tx: Tx, wanted: Sequence[tuple[access.Access, uuid.UUID | None]]
) -> list[StoredContent | problems.Problem]:
    """Return, for each file and revision (None: the head), what `read_content` returns or raises; one statement."""
    bound = {
        "node_ids": [granted.node_id for granted, _ in wanted],
        "revision_ids": [revision_id for _, revision_id in wanted],
    }
    found = {row[0]: StoredContent._make(row[1:]) for row in await tx.execute(_CONTENTS, bound)}
    return [_judge(granted, found.get(place)) for place, (granted, _) in enumerate(wanted, 1)]


def _judge(granted: access.Access, content: StoredContent | None) -> StoredContent | problems.Problem:
    if granted.kind != "file":
        return problems.NotAFile()
    if content is None:
        return problems.NotFound()
    if content.content_status == "quarantined" and granted.role != "owner":
        return problems.ContentQuarantined()
    if content.content_status == "damaged":
        return problems.ContentDamaged()
    return content


async def sign_batch(context: Context, items: Sequence[DownloadItem]) -> DownloadBatch:
    """Return for each file and revision its signed URL or its problem, in order.

    The number of statements does not depend on the number of items, only on that of the owners.
    """
    async with context.db.read() as tx:
        roles = await access.require_each(tx, context.actor_id, {item.file_id for item in items})
        granted = [(role, item.revision_id) for item in items if isinstance(role := roles[item.file_id], access.Access)]
        contents = iter(await _read_contents(tx, granted))
    results: list[StoredContent | problems.Problem] = [
        role if isinstance(role := roles[item.file_id], problems.Problem) else next(contents) for item in items
    ]
    await _note_downloads(
        context,
        [
            (item.file_id, content)
            for item, content in zip(items, results, strict=True)
            if isinstance(content, StoredContent)
        ],
    )
    answers = []
    for item, result in zip(items, results, strict=True):
        if isinstance(result, problems.Problem):
            problem = describe_problem(result)
            answers.append(DownloadResult(file_id=item.file_id, download=None, problem=problem))
        else:
            url = make_download_url(context, result, inline=False)
            answers.append(DownloadResult(file_id=item.file_id, download=url, problem=None))
    return DownloadBatch(items=answers)


async def _note_downloads(context: Context, contents: Sequence[tuple[uuid.UUID, StoredContent]]) -> None:
    """Audit that the server signed URLs of these files' contents; only the store knows whether a client used them."""
    by_owner: dict[uuid.UUID, list[audit.Entry]] = {}
    for file_id, content in contents:
        entry = audit.Entry("downloaded", file_id, {"revision_id": str(content.revision_id)})
        by_owner.setdefault(content.owner_id, []).append(entry)
    async with context.db.begin() as tx:
        for owner_id, entries in by_owner.items():
            await audit.record(tx, owner_id, entries)


async def record_use(
    tx: Tx, file_id: uuid.UUID, content: StoredContent, *, inline: bool, link_id: uuid.UUID | None = None
) -> None:
    """Audit that the server signs a URL of a file's content; `inline`: as for `sign_content`. Transaction: joins tx."""
    detail = {"revision_id": str(content.revision_id)} | ({"link": str(link_id)} if link_id else {})
    if inline and is_shown(content):
        await audit.record_view(tx, content.owner_id, file_id, detail)
    else:
        await audit.record(tx, content.owner_id, [audit.Entry("downloaded", file_id, dict(detail))])


def is_shown(content: StoredContent) -> bool:
    """Return whether a browser may show content of this type."""
    return find_shown_type(content.content_type) is not None


def make_download_url(services: Services, content: StoredContent, *, inline: bool) -> DownloadUrl:
    """Return a URL of content, with what a client needs to check the bytes. `inline`: as for `sign_content`."""
    signed = sign_content(services, content, inline=inline)
    return DownloadUrl.model_validate(
        {
            "url": signed.url,
            "expires_at": signed.expires_at,
            "size_bytes": content.size_bytes,
            "fingerprint": content.fingerprint.hex(),
            "content_status": content.content_status,
            "encoding": "identity",
            "revision_id": content.revision_id,
            "etag": content.etag,
        }
    )


def sign_content(services: Services, content: StoredContent, *, inline: bool) -> SignedRequest:
    """Return a URL of content that is valid for minutes. `inline` has an effect only for types that a browser shows."""
    shown_type = find_shown_type(content.content_type, is_utf8=content.is_utf8) if inline else None
    return services.store.sign_download(
        content.storage_key,
        ResponseHeaders(content.name, shown_type or content.content_type, inline=shown_type is not None),
        method="HEAD" if is_head() else "GET",
        ttl_s=services.settings.uploads.download_url_ttl_s,
        size_bytes=content.size_bytes,
        address=request_source.get_source().address,
    )
