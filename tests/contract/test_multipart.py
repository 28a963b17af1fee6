"""Multipart uploads: listing, completing, aborting, copying (security: threats 4 and 6)."""

import asyncio
import contextlib
import os
import random
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from dropbox_api.core.fingerprint import composite_digest
from dropbox_api.storage.object_store import (
    CompletedPart,
    ObjectNotFound,
    Part,
    PartToSign,
    StoreConflict,
    StoreRejected,
)
from dropbox_api.storage.s3 import S3Store
from tests.support.contract import MOST_PARTS, Client, Peer, Uploaded, sha256, upload_parts

LONG = os.environ.get("FAULTS") == "long"
MIB = 1 << 20
FIVE = random.Random(5).randbytes(5 * MIB)  # the smallest size of a part before the last


async def complete(store: S3Store, uploaded: Uploaded) -> None:
    await store.complete_multipart(uploaded.key, uploaded.upload_id, uploaded.parts, len(uploaded.whole))


async def read(store: S3Store, key: str) -> bytes:
    return b"".join([block async for block in store.read(key)])


async def exists(store: S3Store, key: str) -> bool:
    return key in [found.key async for found in store.list_objects(key)]


async def test_list_parts_returns_number_size_and_etag(peer: Peer, store: S3Store, client: Client, key: str) -> None:
    upload_id = await store.create_multipart(key)
    assert await store.list_parts(key, upload_id) == []
    bodies = {2: b"two", 9: b"number nine", 30: b""}
    rows = [PartToSign(number, len(body), sha256(body)) for number, body in bodies.items()]
    for signed, body in zip(store.sign_parts(key, upload_id, rows, 600), bodies.values(), strict=True):
        assert (await client.send(signed, body)).status == 200

    listed = await store.list_parts(key, upload_id)

    assert [(part.number, part.size_bytes) for part in listed] == [(2, 3), (9, 11), (30, 0)]
    assert all(part.etag and '"' not in part.etag for part in listed)
    hashes = [part.sha256 for part in listed]
    assert hashes in ([sha256(body) for body in bodies.values()], [None, None, None])
    peer.check("part hashes listed", hashes[0] is not None)
    await store.abort_multipart(key, upload_id)


async def test_list_parts_of_many_parts_returns_all_pages(peer: Peer, store: S3Store, client: Client, key: str) -> None:
    upload_id = await store.create_multipart(key)
    sent = 0
    # The second page is read with the three after it; 5,001 parts need one more.
    most = MOST_PARTS.get(peer.name, 9_999 if LONG else 5_001)
    for total in sorted({999, 1_000, 1_001, 2_000, most}):
        rows = [PartToSign(n, len(b"%d" % n), sha256(b"%d" % n)) for n in range(sent + 1, total + 1)]
        signed = store.sign_parts(key, upload_id, rows, 900)
        for batch in (slice(start, start + 32) for start in range(0, len(rows), 32)):
            sends = (client.send(s, b"%d" % r.number) for s, r in zip(signed[batch], rows[batch], strict=True))
            assert {answer.status for answer in await asyncio.gather(*sends)} == {200}
        sent = total

        listed = await store.list_parts(key, upload_id)

        assert [part.number for part in listed] == list(range(1, total + 1))
        assert all(part.size_bytes == len(str(part.number)) for part in listed)
    await store.abort_multipart(key, upload_id)


async def test_part_sent_twice_is_listed_once(store: S3Store, client: Client, key: str) -> None:
    uploaded = await upload_parts(store, client, key, [FIVE, b"end"])
    rows = [PartToSign(1, len(FIVE), sha256(FIVE))]
    (again,) = store.sign_parts(key, uploaded.upload_id, rows, 600)
    assert (await client.send(again, FIVE)).status == 200

    listed = await store.list_parts(key, uploaded.upload_id)

    assert [(part.number, part.size_bytes) for part in listed] == [(1, len(FIVE)), (2, 3)]
    parts = [replace(part, etag=row.etag) for part, row in zip(uploaded.parts, listed, strict=True)]
    await complete(store, replace(uploaded, parts=parts))
    assert await read(store, key) == FIVE + b"end"


async def test_completed_object_has_the_bytes_and_the_composite_digest(
    peer: Peer, store: S3Store, client: Client, key: str
) -> None:
    uploaded = await upload_parts(store, client, key, [FIVE, FIVE[::-1] + b"+", b"end"])
    assert not await exists(store, key)
    before = datetime.now(UTC)

    await complete(store, uploaded)

    info = await store.head(key)
    assert info.size_bytes == len(uploaded.whole)
    with peer.shows("composite digest returned"):
        assert info.checksum_sha256 == composite_digest([sha256(body) for body in uploaded.bodies])
    assert abs(info.last_modified - before) < timedelta(minutes=1)
    assert await read(store, key) == uploaded.whole
    around = len(FIVE) - 10
    blocks = [block async for block in store.read(key, start=around, length=20)]
    assert b"".join(blocks) == uploaded.whole[around : around + 20]
    with pytest.raises(ObjectNotFound):
        await store.list_parts(key, uploaded.upload_id)


async def test_complete_repeated_succeeds_or_is_not_found(store: S3Store, client: Client, key: str) -> None:
    uploaded = await upload_parts(store, client, key, [FIVE, b"end"])
    await complete(store, uploaded)
    before = await store.head(key)

    with contextlib.suppress(ObjectNotFound):  # MinIO answers this; callers then HEAD the key
        await complete(store, uploaded)

    after = await store.head(key)
    assert (after.etag, after.checksum_sha256, after.size_bytes) == (
        before.etag,
        before.checksum_sha256,
        before.size_bytes,
    )
    assert await read(store, key) == uploaded.whole


async def test_concurrent_completes_make_one_right_object(peer: Peer, store: S3Store, client: Client, key: str) -> None:
    uploaded = await upload_parts(store, client, key, [FIVE, b"end"])

    outcomes = await asyncio.gather(*(complete(store, uploaded) for _ in range(4)), return_exceptions=True)

    assert None in outcomes
    with peer.shows("unknown upload is 404"):
        assert all(outcome is None or isinstance(outcome, ObjectNotFound | StoreConflict) for outcome in outcomes), (
            outcomes
        )
    with peer.shows("composite digest returned"):
        assert (await store.head(key)).checksum_sha256 == composite_digest([part.sha256 for part in uploaded.parts])
    assert await read(store, key) == uploaded.whole


WRONG_LISTS: dict[str, Callable[[list[CompletedPart]], list[CompletedPart]]] = {
    "wrong etag": lambda parts: [replace(parts[0], etag="0" * 32), *parts[1:]],
    "wrong checksum": lambda parts: [replace(parts[0], sha256=sha256(b"other")), *parts[1:]],
    "unknown part": lambda parts: [*parts, CompletedPart(3, parts[0].etag, parts[0].sha256)],
    "swapped hashes": lambda parts: [
        replace(parts[0], sha256=parts[1].sha256),
        replace(parts[1], sha256=parts[0].sha256),
    ],
    "swapped parts": lambda parts: [replace(parts[1], number=1), replace(parts[0], number=2)],
    "wrong order": lambda parts: parts[::-1],
}
BEHAVIOUR = {
    "wrong checksum": "part hashes checked on Complete",
    "swapped hashes": "part hashes checked on Complete",
    "wrong order": "part order checked on Complete",
}


@pytest.mark.parametrize("mistake", WRONG_LISTS)
async def test_complete_with_a_wrong_list_is_refused_and_with_the_right_one_accepted(
    peer: Peer, store: S3Store, client: Client, key: str, mistake: str
) -> None:
    uploaded = await upload_parts(store, client, key, [FIVE, FIVE[::-1]])
    wrong = replace(uploaded, parts=WRONG_LISTS[mistake](uploaded.parts))
    try:
        await complete(store, wrong)
        refused = False
    except StoreRejected:
        refused = True

    peer.check(BEHAVIOUR.get(mistake, "part list checked on Complete"), refused)
    if refused:
        assert not await exists(store, key)
        await complete(store, uploaded)
    with peer.shows("parts assembled by number" if mistake == "wrong order" else "object is complete"):
        assert await read(store, key) == uploaded.whole


async def test_complete_with_a_small_part_before_the_last_is_refused(
    peer: Peer, store: S3Store, client: Client, key: str
) -> None:
    uploaded = await upload_parts(store, client, key, [b"small", b"end"])
    try:
        await complete(store, uploaded)
        code = None
    except StoreRejected as error:
        code = error.code
    peer.check("part size checked on Complete", code == "EntityTooSmall")
    await store.abort_multipart(key, uploaded.upload_id)


async def test_complete_with_a_wrong_object_size_is_refused(
    peer: Peer, store: S3Store, client: Client, key: str
) -> None:
    uploaded = await upload_parts(store, client, key, [b"body"])
    try:
        await store.complete_multipart(key, uploaded.upload_id, uploaded.parts, 5)
        refused = False
    except StoreRejected:
        refused = True
    peer.check("object size checked on Complete", refused)


async def test_complete_of_an_aborted_upload_is_not_found(peer: Peer, store: S3Store, client: Client, key: str) -> None:
    uploaded = await upload_parts(store, client, key, [b"body"])
    await store.abort_multipart(key, uploaded.upload_id)
    with peer.shows("unknown upload is 404"), pytest.raises(ObjectNotFound):
        await complete(store, uploaded)
    assert not await exists(store, key)


async def test_abort_repeated_succeeds_and_is_final(peer: Peer, store: S3Store, client: Client, key: str) -> None:
    uploaded = await upload_parts(store, client, key, [b"body"])
    (signed,) = store.sign_parts(key, uploaded.upload_id, [PartToSign(1, 4, sha256(b"body"))], 600)

    await store.abort_multipart(key, uploaded.upload_id)
    await store.abort_multipart(key, uploaded.upload_id)

    with peer.shows("unknown upload is 404"):
        assert (await client.send(signed, b"body")).status == 404
    with pytest.raises(ObjectNotFound):
        await store.list_parts(key, uploaded.upload_id)
    assert not await exists(store, key)


async def test_list_parts_of_an_unknown_key_is_not_found(peer: Peer, store: S3Store, key: str) -> None:
    upload_id = await store.create_multipart(key)
    with peer.shows("upload belongs to its key"), pytest.raises(ObjectNotFound):
        await store.list_parts(key + "-other", upload_id)
    await store.abort_multipart(key, upload_id)


async def test_list_multiparts_of_many_uploads_returns_all_pages(peer: Peer, store: S3Store, key: str) -> None:
    keys = [f"{key}/{number:04}" for number in range(1_001)]
    other = await store.create_multipart(key + "-other")
    ids: list[str] = []
    for start in range(0, len(keys), 16):
        ids += await asyncio.gather(*map(store.create_multipart, keys[start : start + 16]))
    second = await store.create_multipart(keys[0])  # one key, two uploads

    listed = [upload async for upload in store.list_multiparts(key + "/")]

    assert sorted((u.key, u.s3_upload_id) for u in listed) == sorted([*zip(keys, ids, strict=True), (keys[0], second)])
    with peer.shows("time of an upload listed"):
        assert all(abs(upload.initiated_at - datetime.now(UTC)) < timedelta(minutes=5) for upload in listed)
    await store.abort_multipart(key + "-other", other)
    for start in range(0, len(listed), 16):
        await asyncio.gather(*(store.abort_multipart(u.key, u.s3_upload_id) for u in listed[start : start + 16]))
    assert [upload async for upload in store.list_multiparts(key)] == []


async def test_copy_part_from_a_range_stores_its_bytes(peer: Peer, store: S3Store, client: Client, key: str) -> None:
    source = await upload_parts(store, client, key + "/source", [FIVE, FIVE[::-1], b"end"])
    await complete(store, source)
    start, size_bytes = 1_000, 5 * MIB + 7
    copied = source.whole[start : start + size_bytes]
    target = key + "/target"
    upload_id = await store.create_multipart(target)
    (signed,) = store.sign_parts(target, upload_id, [PartToSign(2, 3, sha256(b"new"))], 600)
    sent = await client.send(signed, b"new")

    part = await store.copy_part(target, upload_id, 1, source.key, start=start, size_bytes=size_bytes)

    assert (part.number, part.size_bytes) == (1, size_bytes)
    assert part.sha256 in {sha256(copied), None}
    peer.check("hash of a copied part returned", part.sha256 is not None)
    first = (await store.list_parts(target, upload_id))[0]
    assert (first.etag, first.size_bytes) == (part.etag, size_bytes)
    parts = [
        CompletedPart(1, part.etag, sha256(copied)),
        CompletedPart(2, sent.headers["etag"].strip('"'), sha256(b"new")),
    ]
    if part.sha256 is None and peer.has("part hashes checked on Complete"):
        with pytest.raises(StoreRejected, match="InvalidPart"):
            await store.complete_multipart(target, upload_id, parts, size_bytes + 3)
        await store.abort_multipart(target, upload_id)
        return
    await store.complete_multipart(target, upload_id, parts, size_bytes + 3)
    assert await read(store, target) == copied + b"new"
    with peer.shows("composite digest returned"):
        assert (await store.head(target)).checksum_sha256 == composite_digest([sha256(copied), sha256(b"new")])


async def test_copy_part_takes_a_whole_small_object_and_refuses_another_etag(
    peer: Peer, store: S3Store, client: Client, key: str
) -> None:
    body = b"less than S3 copies ranges of"
    await store.put(key + "/source", body)
    etag = (await store.head(key + "/source")).etag
    upload_id = await store.create_multipart(key)

    async def copy(if_match: str) -> Part:
        return await store.copy_part(
            key, upload_id, 1, key + "/source", start=0, size_bytes=len(body), if_match=if_match, is_whole=True
        )

    with peer.shows("source of a copy compared"), pytest.raises(StoreConflict):
        await copy("0" * 32)
    part = await copy(etag)
    assert (part.size_bytes, part.sha256 in {sha256(body), None}) == (len(body), True)
    (listed,) = await store.list_parts(key, upload_id)
    assert (listed.size_bytes, listed.etag) == (len(body), part.etag)
    await store.abort_multipart(key, upload_id)


async def test_copy_part_with_an_unknown_source_or_upload_is_not_found(
    peer: Peer, store: S3Store, client: Client, key: str
) -> None:
    upload_id = await store.create_multipart(key)
    with peer.shows("missing source of a copy is NoSuchKey"), pytest.raises(ObjectNotFound):
        await store.copy_part(key, upload_id, 1, key + "-missing", start=0, size_bytes=4)
    await store.abort_multipart(key, upload_id)
    await store.put(key + "-source", b"bytes")
    with peer.shows("unknown upload is 404"), pytest.raises(ObjectNotFound):
        await store.copy_part(key, upload_id, 1, key + "-source", start=0, size_bytes=4)


async def test_put_part_stores_the_bytes_and_refuses_a_wrong_hash(peer: Peer, store: S3Store, key: str) -> None:
    upload_id = await store.create_multipart(key)
    bodies = [FIVE, b"end"]
    parts = [await store.put_part(key, upload_id, n, body, sha256(body)) for n, body in enumerate(bodies, 1)]
    assert [(part.number, part.size_bytes) for part in parts] == [(1, 5 * MIB), (2, 3)]
    assert all(part.sha256 in {sha256(body), None} for part, body in zip(parts, bodies, strict=True))
    listed = await store.list_parts(key, upload_id)
    assert [(part.number, part.size_bytes, part.etag) for part in listed] == [
        (part.number, part.size_bytes, part.etag) for part in parts
    ]

    with peer.shows("content checked"), pytest.raises(StoreRejected):  # the bytes do not have this hash
        await store.put_part(key, upload_id, 1, FIVE[::-1], sha256(FIVE))
    await store.put_part(key, upload_id, 1, FIVE, sha256(FIVE))  # a repeated part replaces the first

    completed = [CompletedPart(part.number, part.etag, sha256(body)) for part, body in zip(parts, bodies, strict=True)]
    await store.complete_multipart(key, upload_id, completed, 5 * MIB + 3)
    with peer.shows("composite digest returned"):
        assert (await store.head(key)).checksum_sha256 == composite_digest([sha256(body) for body in bodies])
    assert await read(store, key) == FIVE + b"end"
    with peer.shows("unknown upload is 404"), pytest.raises(ObjectNotFound):
        await store.put_part(key, upload_id, 1, b"late", sha256(b"late"))
