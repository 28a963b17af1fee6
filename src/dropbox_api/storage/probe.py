"""The probe of a bucket at server start: what it enforces, and the level of proof that a stored part gives.

About a dozen small experiments run concurrently under `probe/<random>/`, each with presigned requests as clients get
them, and are cleaned up. The probe never relies on a product's name.

- Level A: the store enforces hashes on write and lists them in ListParts, where the server compares them.
- Level B: enforced on write, not listed. A signed URL accepts one byte string only, so presence and size are proof.
- None: the store enforces less; `missing` names the behaviours, and the server must not start.

Source: `docs/stores.md`.
"""

import asyncio
import contextlib
import hashlib
import random
import secrets
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from io import BytesIO
from types import MappingProxyType
from typing import Literal

import aiohttp
from yarl import URL

from dropbox_api.core.fingerprint import composite_digest
from dropbox_api.storage.object_store import (
    CompletedPart,
    NoSpace,
    ObjectNotFound,
    Part,
    PartToSign,
    ResponseHeaders,
    SignedRequest,
    StoreConflict,
    StoreError,
    StoreRejected,
    StoreThrottled,
    StoreUnavailable,
)
from dropbox_api.storage.s3 import S3Config, S3Store

REQUIRED = ("signature_enforced", "expiry_enforced", "anonymous_refused", "length_enforced", "checksum_enforced")
"""Behaviours that the server requires of a store."""

_TIMEOUT_S = 30
_TTL_S = 60
_SMALLEST_PART = 5 << 20
_MAX_PART_NUMBERS = (9_999, 1_000)


@dataclass(frozen=True, slots=True)
class BucketCapabilities:
    """The observed behaviours of a bucket."""

    level: Literal["A", "B"] | None
    behaviours: Mapping[str, bool | None]
    """By name; None: the experiment was undecided."""
    missing: tuple[str, ...]
    """The behaviours of `REQUIRED` that were not observed."""
    max_part_number: int
    """The largest accepted part number, at most 9,999."""
    clock_skew_s: float
    """The server's clock minus the store's, within half a second."""
    blocked_origins: tuple[str, ...]
    """The given web origins whose pages cannot send parts."""


async def probe_bucket(config: S3Config, *, origins: Sequence[str] = ()) -> BucketCapabilities:
    """Run the experiments through the server's own endpoint: 1 to 2 s, 11 MB sent.

    `origins`: web origins (scheme://host:port) for the experiment with a CORS preflight.

    Raises: StoreUnavailable when the store does not answer, StoreRejected when it refuses every
    request (credentials, bucket).
    """
    config = replace(config, public_endpoint_url=None)
    timeout = aiohttp.ClientTimeout(total=_TIMEOUT_S)
    try:
        async with (
            asyncio.timeout(_TIMEOUT_S),
            S3Store.open(config) as present,
            S3Store.open(config, clock=lambda: datetime.now(UTC) - timedelta(hours=1)) as past,
            aiohttp.ClientSession(timeout=timeout, trust_env=True) as http,
        ):
            experiments = _Experiments(present, past, http, origins)
            try:
                return await experiments.run()
            finally:
                await experiments.clean_up()
    except TimeoutError as error:
        raise StoreUnavailable(f"the object store could not be probed within {_TIMEOUT_S} s") from error


class _Experiments:
    """The experiments share a prefix and one small object; each other key belongs to one experiment."""

    def __init__(self, store: S3Store, past: S3Store, http: aiohttp.ClientSession, origins: Sequence[str]) -> None:
        self._store = store
        self._past = past
        self._http = http
        self._origins = origins
        self._blocked_origins: tuple[str, ...] = ()
        self._prefix = f"probe/{secrets.token_hex(8)}/"
        self._body = secrets.token_bytes(64)

    async def run(self) -> BucketCapabilities:
        await self._store.put(self._key("small"), self._body)  # fails first when the store refuses everything
        clock_skew_s = await self._clock_skew_s()
        experiments: dict[str, Callable[[], Awaitable[bool | None]]] = {
            "signature_enforced": self._signature_enforced,
            "expiry_enforced": self._expiry_enforced,
            "anonymous_refused": self._anonymous_refused,
            "length_enforced": self._length_enforced,
            "checksum_enforced": self._checksum_enforced,
            "checksum_listed": self._checksum_listed,
            "wrong_etag_refused": self._wrong_etag_refused,
            "wrong_part_checksum_refused": self._wrong_part_checksum_refused,
            "conditional_put": self._conditional_put,
            "cors_preflight": self._cors_preflight,
        }
        observed, large, max_part_number = await asyncio.gather(
            asyncio.gather(*map(_observe, experiments.values())), self._large_object(), self._max_part_number()
        )
        behaviours = dict(zip(experiments, observed, strict=True)) | large
        missing = tuple(name for name in REQUIRED if not behaviours[name])
        level: Literal["A", "B"] = "A" if behaviours["checksum_listed"] else "B"
        return BucketCapabilities(
            None if missing else level,
            MappingProxyType(behaviours),
            missing,
            max_part_number,
            clock_skew_s,
            self._blocked_origins,
        )

    async def clean_up(self) -> None:
        with contextlib.suppress(StoreError):
            for upload in [upload async for upload in self._store.list_multiparts(self._prefix)]:
                await self._store.abort_multipart(upload.key, upload.s3_upload_id)
            await asyncio.gather(
                *[self._store.delete(entry.key) async for entry in self._store.list_objects(self._prefix)]
            )

    async def _signature_enforced(self) -> bool:
        signed = self._signed_get("small")
        longer = signed.url.replace(f"X-Amz-Expires={_TTL_S}", f"X-Amz-Expires={_TTL_S + 1}")
        put = self._sign_put("tampered", self._body)
        elsewhere = replace(put, url=put.url.replace("/tampered?", "/elsewhere?"))
        return (
            await self._status("GET", signed.url) == 200
            and _refused(await self._status("GET", longer))
            and _refused(await self._send(elsewhere, self._body))
        )

    async def _expiry_enforced(self) -> bool:
        expired = self._past.sign_put(self._key("expired"), len(self._body), _hash(self._body), _TTL_S)
        return _refused(await self._send(expired, self._body))

    async def _anonymous_refused(self) -> bool:
        url = self._signed_get("small").url.partition("?")[0]
        return _refused(await self._status("GET", url)) and _refused(
            await self._status("PUT", url.replace("/small", "/anonymous"), body=self._body)
        )

    async def _length_enforced(self) -> bool:
        signed = self._sign_put("length", self._body)
        longer, shorter = self._body + b"x", self._body[:-1]
        return _refused(await self._send(signed, longer)) and _refused(await self._send(signed, shorter))

    async def _checksum_enforced(self) -> bool:
        signed = self._sign_put("checksum", self._body)
        without = replace(signed, headers={"content-length": signed.headers["content-length"]})
        other = bytes(reversed(self._body))
        key = self._key("parts")
        s3_upload_id = await self._store.create_multipart(key)
        (part,) = self._store.sign_parts(key, s3_upload_id, [_to_sign(1, self._body)], _TTL_S)
        return (
            _refused(await self._send(signed, other))
            and _refused(await self._send(without, other))
            and _refused(await self._send(part, other))
            and await self._send(part, self._body) == 200
        )

    async def _checksum_listed(self) -> bool:
        key, s3_upload_id, _ = await self._upload("listed", [self._body])
        return [part.sha256 for part in await self._store.list_parts(key, s3_upload_id)] == [_hash(self._body)]

    async def _wrong_etag_refused(self) -> bool:
        key, s3_upload_id, parts = await self._upload("etag", [self._body])
        return await self._is_rejected(key, s3_upload_id, [replace(parts[0], etag="0" * 32)])

    async def _wrong_part_checksum_refused(self) -> bool:
        key, s3_upload_id, parts = await self._upload("part-checksum", [self._body])
        return await self._is_rejected(key, s3_upload_id, [replace(parts[0], sha256=_hash(b"something else"))])

    async def _conditional_put(self) -> bool:
        signed = self._sign_put("small", self._body)
        return await self._send(signed, self._body, {"if-none-match": "*"}) in {409, 412}

    async def _cors_preflight(self) -> bool | None:
        if not self._origins:
            return None
        self._blocked_origins = await self._store.find_blocked_origins(self._origins)
        return not self._blocked_origins

    async def _large_object(self) -> dict[str, bool | None]:
        """Complete parts of unequal size; then check the composite checksum, and copy a range into another object."""
        whole = random.randbytes(2 * _SMALLEST_PART + 4097)  # noqa: S311 - no secret
        cut = _SMALLEST_PART + 4096
        bodies = [whole[:_SMALLEST_PART], whole[_SMALLEST_PART : _SMALLEST_PART + cut], whole[_SMALLEST_PART + cut :]]
        key, s3_upload_id, parts = await self._upload("large", bodies)
        completed = await _observe(lambda: self._is_completed(key, s3_upload_id, parts, len(whole)))
        if not completed:
            return {"unequal_parts": completed, "composite_returned": None, "range_copy": None, "copy_proven": None}
        expected = composite_digest([part.sha256 for part in parts])
        return {
            "unequal_parts": True,
            "composite_returned": await _observe(lambda: self._has_checksum(key, expected)),
            "range_copy": await _observe(lambda: self._copies_range(key, whole)),
            "copy_proven": await _observe(lambda: self._proves_copies(key, whole)),
        }

    async def _is_completed(self, key: str, s3_upload_id: str, parts: list[CompletedPart], size_bytes: int) -> bool:
        try:
            await self._store.complete_multipart(key, s3_upload_id, parts, size_bytes)
        except StoreRejected:
            return False
        return True

    async def _has_checksum(self, key: str, expected: str) -> bool:
        return (await self._store.head(key)).checksum_sha256 == expected

    async def _copies_range(self, source: str, whole: bytes) -> bool:
        start, size_bytes = _SMALLEST_PART - 500, 1000
        expected = whole[start : start + size_bytes]
        key = self._key("copy")
        s3_upload_id = await self._store.create_multipart(key)
        part = await self._store.copy_part(key, s3_upload_id, 1, source, start=start, size_bytes=size_bytes)
        completed = CompletedPart(1, part.etag, _hash(expected))
        await self._store.complete_multipart(key, s3_upload_id, [completed], size_bytes)
        return b"".join([block async for block in self._store.read(key)]) == expected

    async def _proves_copies(self, source: str, whole: bytes) -> bool:
        """Whether a copied part is as sure as a sent one: hash returned and listed, other sources refused, mixable."""
        start, size_bytes = 4096, _SMALLEST_PART
        expected, sent = _hash(whole[start : start + size_bytes]), self._body
        etag = (await self._store.head(source)).etag
        key = self._key("mixed")
        s3_upload_id = await self._store.create_multipart(key)

        async def copy(number: int, if_match: str) -> Part:
            return await self._store.copy_part(
                key, s3_upload_id, number, source, start=start, size_bytes=size_bytes, if_match=if_match
            )

        try:
            await copy(3, "0" * 32)
        except StoreConflict:
            pass
        else:
            return False
        copied = await copy(1, etag)
        (signed,) = self._store.sign_parts(key, s3_upload_id, [_to_sign(2, sent)], _TTL_S)
        if await self._send(signed, sent) != 200:
            return False
        listed = await self._store.list_parts(key, s3_upload_id)
        if copied.sha256 != expected or [part.sha256 for part in listed] != [expected, _hash(sent)]:
            return False
        parts = [CompletedPart(1, copied.etag, expected), CompletedPart(2, listed[1].etag, _hash(sent))]
        return await self._is_completed(key, s3_upload_id, parts, size_bytes + len(sent))

    async def _max_part_number(self) -> int:
        key = self._key("numbers")
        s3_upload_id = await self._store.create_multipart(key)
        for number in _MAX_PART_NUMBERS:
            (signed,) = self._store.sign_parts(key, s3_upload_id, [_to_sign(number, self._body)], _TTL_S)
            if await self._send(signed, self._body) == 200:
                return number
        return 1

    async def _clock_skew_s(self) -> float:
        before = datetime.now(UTC)
        async with self._http.get(URL(self._signed_get("small").url, encoded=True)) as answer:
            own_time = before + (datetime.now(UTC) - before) / 2
            stated = answer.headers.get("date")
        if stated is None:
            return 0.0
        store_time = parsedate_to_datetime(stated) + timedelta(seconds=0.5)  # Date has whole seconds
        return (own_time - store_time).total_seconds()

    async def _upload(self, name: str, bodies: list[bytes]) -> tuple[str, str, list[CompletedPart]]:
        key = self._key(name)
        s3_upload_id = await self._store.create_multipart(key)
        rows = [_to_sign(number, body) for number, body in enumerate(bodies, 1)]
        signed = self._store.sign_parts(key, s3_upload_id, rows, _TTL_S)
        for request, body in zip(signed, bodies, strict=True):
            status = await self._send(request, body)
            if status != 200:
                raise StoreRejected(str(status), "the store refused a part with a valid signature")
        listed = await self._store.list_parts(key, s3_upload_id)
        return key, s3_upload_id, [CompletedPart(p.number, p.etag, r.sha256) for p, r in zip(listed, rows, strict=True)]

    async def _is_rejected(self, key: str, s3_upload_id: str, parts: list[CompletedPart]) -> bool:
        try:
            await self._store.complete_multipart(key, s3_upload_id, parts, len(self._body))
        except (StoreRejected, ObjectNotFound):
            return True
        return False

    def _key(self, name: str) -> str:
        return self._prefix + name

    def _signed_get(self, name: str) -> SignedRequest:
        response = ResponseHeaders(name, "application/octet-stream", inline=False)
        return self._store.sign_get(self._key(name), response, method="GET", ttl_s=_TTL_S)

    def _sign_put(self, name: str, body: bytes) -> SignedRequest:
        return self._store.sign_put(self._key(name), len(body), _hash(body), _TTL_S)

    async def _send(self, signed: SignedRequest, body: bytes, extra: Mapping[str, str] | None = None) -> int:
        # The HTTP client sets Content-Length from the body, also where the experiment violates the signed length.
        headers = {name: value for name, value in signed.headers.items() if name != "content-length"}
        return await self._status("PUT", signed.url, body=body, headers=headers | dict(extra or {}))

    async def _status(
        self, method: str, url: str, *, body: bytes | None = None, headers: Mapping[str, str] | None = None
    ) -> int:
        target = URL(url, encoded=True)
        data = None if body is None else BytesIO(body)  # aiohttp warns of more than a MiB of plain bytes
        async with self._http.request(method, target, data=data, headers=headers, allow_redirects=False) as answer:
            await answer.read()
            return answer.status


async def _observe(experiment: Callable[[], Awaitable[bool | None]]) -> bool | None:
    """Run one experiment: None after an outage, False when the store refuses a request that should work."""
    try:
        return await experiment()
    except NoSpace:
        raise
    except (StoreUnavailable, StoreThrottled, aiohttp.ClientError, TimeoutError):
        return None
    except (StoreError, ValueError):
        return False


def _refused(status: int) -> bool:
    return 400 <= status < 500


def _hash(body: bytes) -> bytes:
    return hashlib.sha256(body).digest()


def _to_sign(number: int, body: bytes) -> PartToSign:
    return PartToSign(number, len(body), _hash(body))
