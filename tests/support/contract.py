"""Parts of the ObjectStore suite: the stores, a client for presigned requests, prepared uploads.

`KNOWN_DIFFERENCES` declares the differences between stores, and the tests assert them: a changed store fails.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from io import BytesIO

import aiohttp
from yarl import URL

from dropbox_api.storage.object_store import CompletedPart, PartToSign, SignedRequest
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
}
"""Store -> behaviour that it lacks -> consequence."""


@dataclass(frozen=True)
class Peer:
    """One store under test."""

    name: str
    config: S3Config

    def check(self, behaviour: str, seen: bool) -> None:
        """Assert that the store shows a behaviour, or lacks it where `KNOWN_DIFFERENCES` says so."""
        assert seen is (behaviour not in KNOWN_DIFFERENCES[self.name]), f"{self.name}: {behaviour}: {seen}"


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
