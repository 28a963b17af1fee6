"""Parts of the ObjectStore suite: the stores, a client for presigned requests, prepared uploads.

`KNOWN_DIFFERENCES` declares the differences between stores, and the tests assert them: a changed store fails.
"""

import hashlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO

import aiohttp
import pytest
from yarl import URL

from dropbox_api.storage.object_store import CompletedPart, PartToSign, SignedRequest, StoreError
from dropbox_api.storage.s3 import S3Config, S3Store

KNOWN_DIFFERENCES: Mapping[str, Mapping[str, str]] = {
    "seaweedfs": {
        "part hashes listed": "ListParts has ETag and size only: proof level B",
        "object size checked on Complete": "x-amz-mp-object-size is ignored: HEAD and compare",
    },
    "ministack": {
        "unsigned x-amz headers refused": "the holder of a URL may add an ACL header",
        "header signatures checked": "a server with wrong credentials is believed; presigned requests are checked",
        "part order checked on Complete": "the list is sorted for us",
        "part size checked on Complete": "parts under 5 MiB are taken",
        "hash of a copied part returned": "so Complete refuses our list of copied parts: no delta on this store",
    },
    "moto": {
        "presigned requests checked": "every request is answered, signed or not: the server refuses to use this store",
        "unsigned x-amz headers refused": "signatures are not checked",
        "header signatures checked": "signatures are not checked",
        "content checked": "a PUT stores any bytes under the promised hash",
        "checksum of an object returned": "HEAD has none: only the SDK's header x-amz-sdk-checksum-algorithm keeps one",
        "composite digest returned": "HEAD has the digest without the number of parts",
        "part hashes listed": "ListParts has ETag and size only",
        "part hashes checked on Complete": "the hashes in the list are ignored",
        "part order checked on Complete": "any order is accepted",
        "parts assembled by number": "the order of the list is the order of the bytes",
        "object size checked on Complete": "x-amz-mp-object-size is ignored",
        "hash of a copied part returned": "but Complete, which ignores hashes, accepts the list",
        "unknown upload is 404": "a part or Complete of an ended upload, or a concurrent Complete, is a 500",
        "upload belongs to its key": "ListParts takes any key with the id of an upload",
        "time of an upload listed": "ListMultipartUploads states the same day of 2010 for each",
        "missing source of a copy is NoSuchKey": "a 404 without a code, as from a proxy",
        "source of a copy compared": "a copy from another object than the named one is made",
        "missing download is 404": "403, as AWS answers callers who may not list the bucket",
        "refused preflight without CORS headers": "the status, 403, refuses it",
    },
}
"""Store -> behaviour that it lacks -> consequence."""

MOST_PARTS = {"moto": 2_000}
"""The longest list of parts in the tests, where a store takes minutes for 9,999."""


@dataclass(frozen=True)
class Peer:
    """One store under test."""

    name: str
    config: S3Config

    def check(self, behaviour: str, seen: bool) -> None:
        """Assert that the store shows a behaviour, or lacks it where `KNOWN_DIFFERENCES` says so."""
        assert seen is self.has(behaviour), f"{self.name}: {behaviour}: {seen}"

    def has(self, behaviour: str) -> bool:
        """Tell whether the store is known to show a behaviour."""
        return behaviour not in KNOWN_DIFFERENCES[self.name]

    @contextmanager
    def shows(self, behaviour: str) -> Iterator[None]:
        """Assert that the assertions in the block hold, or that one fails where `KNOWN_DIFFERENCES` says so."""
        try:
            yield
        except (AssertionError, StoreError, pytest.fail.Exception):
            if self.has(behaviour):
                raise
        else:
            self.check(behaviour, seen=True)


@dataclass(frozen=True)
class Answer:
    status: int
    headers: Mapping[str, str]
    body: bytes


class Client:
    """An HTTP client that sends presigned requests, unchanged or forged."""

    def __init__(self, http: aiohttp.ClientSession) -> None:
        self._http = http

    async def send(
        self,
        signed: SignedRequest,
        body: bytes | None = None,
        *,
        method: str = "PUT",
        url: str | None = None,
        without: str | None = None,
        extra: Mapping[str, str] | None = None,
    ) -> Answer:
        """Send with the signed headers; Content-Length says how long `body` really is."""
        left_out = {"content-length", without}
        headers = {name: value for name, value in signed.headers.items() if name not in left_out} | dict(extra or {})
        target = URL(url or signed.url, encoded=True)
        data = None if body is None else BytesIO(body)
        async with self._http.request(method, target, headers=headers, data=data, allow_redirects=False) as answer:
            return Answer(answer.status, answer.headers, await answer.read())


def sha256(body: bytes) -> bytes:
    return hashlib.sha256(body).digest()


@dataclass(frozen=True)
class Uploaded:
    """An open multipart upload with all parts sent."""

    key: str
    upload_id: str
    bodies: list[bytes]
    parts: list[CompletedPart]

    @property
    def whole(self) -> bytes:
        return b"".join(self.bodies)


async def upload_parts(store: S3Store, client: Client, key: str, bodies: list[bytes]) -> Uploaded:
    upload_id = await store.create_multipart(key)
    rows = [PartToSign(number, len(body), sha256(body)) for number, body in enumerate(bodies, 1)]
    for signed, body in zip(store.sign_parts(key, upload_id, rows, 600), bodies, strict=True):
        assert (await client.send(signed, body)).status == 200
    listed = await store.list_parts(key, upload_id)
    parts = [CompletedPart(part.number, part.etag, row.sha256) for part, row in zip(listed, rows, strict=True)]
    return Uploaded(key, upload_id, bodies, parts)
