"""Whole objects, listings, encryption at rest, and errors."""

import asyncio
import contextlib
import random
from base64 import b64encode
from dataclasses import replace

import pytest

from dropbox_api.core.fingerprint import composite_digest
from dropbox_api.storage.object_store import ObjectNotFound, StoreRejected
from dropbox_api.storage.s3 import S3Store
from tests.support.contract import Client, Peer, sha256, upload_parts

MIB = 1 << 20


async def read(store: S3Store, key: str) -> bytes:
    return b"".join([block async for block in store.read(key)])


async def test_put_object_is_read_with_its_checksum(peer: Peer, store: S3Store, key: str) -> None:
    body = random.Random(1).randbytes(3 * MIB + 17)

    await store.put(key, body)

    info = await store.head(key)
    assert info.size_bytes == len(body)
    with peer.shows("checksum of an object returned"):
        assert info.checksum_sha256 == b64encode(sha256(body)).decode()
    blocks = [block async for block in store.read(key)]
    assert b"".join(blocks) == body
    assert max(map(len, blocks)) <= MIB


@pytest.mark.parametrize(("start", "length"), [(0, 1), (0, None), (7, None), (7, 3), (9, 1), (0, 10), (3, 0)])
async def test_read_with_a_range_returns_exactly_its_bytes(
    store: S3Store, key: str, start: int, length: int | None
) -> None:
    body = b"0123456789"
    await store.put(key, body)

    blocks = [block async for block in store.read(key, start=start, length=length)]

    assert b"".join(blocks) == body[start : None if length is None else start + length]


async def test_read_stopped_early_releases_its_connection(store: S3Store, key: str) -> None:
    await store.put(key, bytes(8 * MIB))
    for _ in range(60):  # more reads than connections: each must release its own
        async with contextlib.aclosing(store.read(key)) as blocks:
            assert await anext(blocks)


async def test_missing_object_is_not_found(store: S3Store, key: str) -> None:
    with pytest.raises(ObjectNotFound):
        await store.head(key)
    with pytest.raises(ObjectNotFound):
        await anext(store.read(key))


async def test_delete_repeated_succeeds(store: S3Store, key: str) -> None:
    await store.put(key, b"x")
    await store.delete(key)
    await store.delete(key)
    with pytest.raises(ObjectNotFound):
        await store.head(key)


async def test_list_objects_of_many_objects_returns_all_pages(store: S3Store, key: str) -> None:
    keys = [f"{key}/{number:04}" for number in range(1_001)]
    await store.put(key + "-other", b"x")
    for start in range(0, len(keys), 16):
        await asyncio.gather(*(store.put(name, name.encode()) for name in keys[start : start + 16]))

    listed = [found async for found in store.list_objects(key + "/")]

    assert [found.key for found in listed] == keys
    assert all(found.size_bytes == len(found.key) for found in listed)


async def test_encryption_at_rest_leaves_content_and_checksums_unchanged(peer: Peer, client: Client, key: str) -> None:
    async with S3Store.open(replace(peer.config, sse="AES256")) as store:
        whole = random.Random(2).randbytes(5 * MIB)
        uploaded = await upload_parts(store, client, key + "/parts", [whole, b"end"])
        await store.complete_multipart(uploaded.key, uploaded.upload_id, uploaded.parts, len(uploaded.whole))
        signed = store.sign_put(key + "/single", 4, sha256(b"body"), 600)
        assert signed.headers["x-amz-server-side-encryption"] == "AES256"
        with peer.shows("presigned requests checked"):
            assert (await client.send(signed, b"body", without="x-amz-server-side-encryption")).status == 403
        assert (await client.send(signed, b"body")).status == 200

        for name, body in ((uploaded.key, uploaded.whole), (key + "/single", b"body")):
            assert await read(store, name) == body
            told = await store._client.head_object(Bucket=peer.config.bucket, Key=name)
            assert told["ServerSideEncryption"] == "AES256"
        digest = composite_digest([part.sha256 for part in uploaded.parts])
        with peer.shows("composite digest returned"):
            assert (await store.head(uploaded.key)).checksum_sha256 == digest
        blocks = [block async for block in store.read(uploaded.key, start=5 * MIB - 2, length=4)]
        assert b"".join(blocks) == uploaded.whole[-5:-1]


async def test_missing_bucket_is_rejected(peer: Peer, key: str) -> None:
    async with S3Store.open(replace(peer.config, bucket="there-is-no-such-bucket")) as store:
        for call in (store.list_parts(key, "0" * 32), anext(store.read(key)), anext(store.list_objects(key))):
            with pytest.raises(StoreRejected, match="NoSuchBucket"):
                await call


async def test_wrong_credentials_are_rejected(peer: Peer, key: str) -> None:
    async with S3Store.open(replace(peer.config, secret_access_key="wrong")) as store:
        with (
            peer.shows("presigned requests checked"),
            pytest.raises(StoreRejected, match="SignatureDoesNotMatch"),
        ):
            await store.list_parts(key, "0" * 32)
        try:
            await store.put(key, b"x")
            refused = False
        except StoreRejected as error:
            refused = error.code == "SignatureDoesNotMatch"
        peer.check("header signatures checked", refused)
