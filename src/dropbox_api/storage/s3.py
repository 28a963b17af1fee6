"""The object store spoken to in S3: aioboto3 for most calls, plain signed HTTP where boto's parser costs too much.

Invariants:
- One client per process, made by `S3Store.open`. No method keeps state between calls.
- Calls are tried three times (a repeated Create leaves an upload open, which the sweep aborts).
  CompleteMultipartUpload is tried once: its caller holds a lease that a hidden retry would outlive, and knows better
  what a lost answer means (HEAD the key).
- Every error leaves as a `StoreError`, decided in `s3_responses.store_error`.
- Signing does no I/O. URLs carry the public endpoint, calls go to the server's own.

Source: the S3 API reference; differences between stores are in `docs/stores.md`.
"""

import asyncio
import contextlib
import hashlib
import logging
import random
from base64 import b64decode
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from io import BytesIO
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import aioboto3
import aiohttp
from aiobotocore.config import AioConfig
from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError, ParamValidationError
from botocore.parsers import ResponseParserError
from yarl import URL

from dropbox_api.core.content_disposition import format_content_disposition
from dropbox_api.core.fingerprint import to_base64
from dropbox_api.core.presign import Presigner
from dropbox_api.storage.cloudfront import CloudFront
from dropbox_api.storage.object_store import (
    CompletedPart,
    MultipartRef,
    ObjectInfo,
    ObjectNotFound,
    ObjectRef,
    Part,
    PartToSign,
    SignedRequest,
    StoreRejected,
    StoreThrottled,
    StoreUnavailable,
)
from dropbox_api.storage.s3_responses import (
    PartsPage,
    newest_of_each,
    parse_error,
    parse_parts_page,
    require_root,
    store_error,
)

if TYPE_CHECKING:
    from types_aiobotocore_s3 import S3Client

_log = logging.getLogger(__name__)

_T = TypeVar("_T")

_ATTEMPTS = 3
_BLOCK_BYTES = 1 << 20
_LIST_PAGE = 1_000  # parts; larger pages would hold the event loop for tens of milliseconds
_PAGES_AT_ONCE = 4
_COMPLETE_TIMEOUT_S = 300  # S3 may need minutes for thousands of parts
_OWN_URL_TTL_S = 900  # as tolerant of clock skew as S3 is with signed headers
_CREDENTIALS_CHECK_S = 60


@dataclass(frozen=True, slots=True)
class S3Config:
    """Where the bucket is and how to speak to it."""

    bucket: str
    region: str = "us-east-1"
    endpoint_url: str | None = None
    """What the server calls; None means AWS."""
    public_endpoint_url: str | None = None
    """What presigned URLs carry; None means `endpoint_url`."""
    access_key_id: str | None = None
    """None: the machine's own credentials (role, profile), followed as they rotate."""
    secret_access_key: str | None = field(default=None, repr=False)
    session_token: str | None = field(default=None, repr=False)
    addressing: Literal["path", "virtual"] = "path"
    sse: Literal["AES256", "aws:kms"] | None = None
    sse_kms_key_id: str | None = None
    connect_timeout_s: float = 5
    read_timeout_s: float = 30
    max_connections: int = 50
    cdn: CloudFront | None = field(default=None, repr=False)
    """What clients download through; None: from the store."""


@dataclass(frozen=True, slots=True)
class _Credentials:
    access_key_id: str
    secret_access_key: str = field(repr=False)
    session_token: str | None = field(repr=False)


class S3Store:
    """`ObjectStore` on one bucket. Made by `S3Store.open`."""

    def __init__(
        self,
        config: S3Config,
        session: aioboto3.Session,
        client: "S3Client",
        http: aiohttp.ClientSession,
        clock: Callable[[], datetime],
    ) -> None:
        self.config = config
        self._session = session
        self._client = client
        self._http = http
        self._clock = clock
        self._credentials: _Credentials | None = None
        self._inside: Presigner
        self._outside: Presigner

    @classmethod
    @contextlib.asynccontextmanager
    async def open(
        cls, config: S3Config, *, clock: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> AsyncIterator["S3Store"]:
        """Connect for as long as the context lives. `clock` gives the time of signing, aware.

        Raises: StoreRejected when there are no credentials.
        """
        session = aioboto3.Session(
            aws_access_key_id=config.access_key_id,
            aws_secret_access_key=config.secret_access_key,
            aws_session_token=config.session_token,
        )
        boto = AioConfig(
            signature_version="s3v4",
            s3={"addressing_style": config.addressing},
            retries={"mode": "standard", "total_max_attempts": _ATTEMPTS},
            connect_timeout=config.connect_timeout_s,
            read_timeout=config.read_timeout_s,
            max_pool_connections=config.max_connections,
            # Stores other than AWS know SHA-256, but often not boto's default CRC trailers.
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
        )
        async with contextlib.AsyncExitStack() as stack:
            client = await stack.enter_async_context(
                session.client("s3", region_name=config.region, endpoint_url=config.endpoint_url, config=boto)
            )
            http = await stack.enter_async_context(
                aiohttp.ClientSession(
                    connector=aiohttp.TCPConnector(limit=config.max_connections),
                    timeout=aiohttp.ClientTimeout(
                        total=None, sock_connect=config.connect_timeout_s, sock_read=config.read_timeout_s
                    ),
                    trust_env=True,  # proxies, as boto does
                )
            )
            store = cls(config, session, client, http, clock)
            await store._take_credentials()
            if config.access_key_id is None:
                follower = asyncio.create_task(store._follow_credentials())
                stack.callback(follower.cancel)
            yield store

    # Multipart uploads

    async def create_multipart(self, key: str) -> str:
        with _store_errors():
            answer = await self._client.create_multipart_upload(
                Bucket=self.config.bucket,
                Key=key,
                ChecksumAlgorithm="SHA256",
                ChecksumType="COMPOSITE",
                **self._encryption(),
            )
        return answer["UploadId"]

    async def put_part(self, key: str, upload_id: str, number: int, body: bytes, sha256: bytes) -> Part:
        query = {"partNumber": str(number), "uploadId": upload_id}
        checksum = {"x-amz-checksum-sha256": to_base64(sha256)}
        headers, _ = await _patiently(lambda: self._send("PUT", key, query=query, headers=checksum, body=body))
        said = _raw_sha256(headers.get("x-amz-checksum-sha256"))
        return Part(number, len(body), headers["ETag"].strip('"'), said)

    async def list_parts(self, key: str, upload_id: str) -> list[Part]:
        page = await self._parts_page(key, upload_id, after=0)
        rows, marker, width = list(page.rows), page.next_marker, max(1, len(page.rows))
        # A page of N rows after number M holds at least every part of M+1..M+N: several can be fetched at once.
        while marker is not None:
            starts = [marker + i * width for i in range(_PAGES_AT_ONCE)]
            pages = await asyncio.gather(*(self._parts_page(key, upload_id, after=start) for start in starts))
            for start, page in zip(starts, pages, strict=True):
                rows += page.rows
                marker = page.next_marker
                if marker is None:
                    break
                if marker <= start:
                    raise StoreUnavailable(f"the list of parts does not advance beyond {marker}")
                if marker < start + width:  # a short page, or a part listed twice: go on from where it ends
                    break
        return newest_of_each(rows)

    async def _parts_page(self, key: str, upload_id: str, *, after: int) -> PartsPage:
        query = {"uploadId": upload_id, "max-parts": str(_LIST_PAGE)}
        if after:
            query["part-number-marker"] = str(after)

        async def ask() -> PartsPage:
            return parse_parts_page(await self._request("GET", key, query=query))

        return await _patiently(ask)

    async def complete_multipart(
        self, key: str, upload_id: str, parts: Sequence[CompletedPart], size_bytes: int
    ) -> None:
        # Joined by hand: boto's serializer holds the event loop for 160 ms at 9,999 parts.
        lines = "".join(
            f"<Part><PartNumber>{part.number}</PartNumber><ETag>&quot;{_xml(part.etag)}&quot;</ETag>"
            f"<ChecksumSHA256>{to_base64(part.sha256)}</ChecksumSHA256></Part>"
            for part in parts
        )
        namespace = "http://s3.amazonaws.com/doc/2006-03-01/"
        body = f'<CompleteMultipartUpload xmlns="{namespace}">{lines}</CompleteMultipartUpload>'.encode()
        answer = await self._request(
            "POST",
            key,
            query={"uploadId": upload_id},
            headers={"content-type": "application/xml", "x-amz-mp-object-size": str(size_bytes)},
            body=body,
            read_timeout_s=_COMPLETE_TIMEOUT_S,
        )
        require_root(answer, "CompleteMultipartUploadResult")  # a 200 alone promises nothing

    async def abort_multipart(self, key: str, upload_id: str) -> None:
        with contextlib.suppress(ObjectNotFound), _store_errors():
            await self._client.abort_multipart_upload(Bucket=self.config.bucket, Key=key, UploadId=upload_id)

    async def copy_part(
        self, key: str, upload_id: str, number: int, source_key: str, *, start: int, size_bytes: int
    ) -> Part:
        with _store_errors():
            answer = await self._client.upload_part_copy(
                Bucket=self.config.bucket,
                Key=key,
                UploadId=upload_id,
                PartNumber=number,
                CopySource={"Bucket": self.config.bucket, "Key": source_key},
                CopySourceRange=f"bytes={start}-{start + size_bytes - 1}",
            )
        copied = answer["CopyPartResult"]
        return Part(number, size_bytes, copied["ETag"].strip('"'), _raw_sha256(copied.get("ChecksumSHA256")))

    async def list_multiparts(self, prefix: str) -> AsyncIterator[MultipartRef]:
        pages = self._client.get_paginator("list_multipart_uploads").paginate(Bucket=self.config.bucket, Prefix=prefix)
        with _store_errors():
            async for page in pages:
                for upload in page.get("Uploads", []):
                    yield MultipartRef(upload["Key"], upload["UploadId"], upload["Initiated"])

    # Objects

    async def head(self, key: str) -> ObjectInfo:
        # Signed by hand: completing 500 small files asks 500 times, and boto takes milliseconds of processor time each.
        checksum = {"x-amz-checksum-mode": "ENABLED"}
        headers, _ = await _patiently(lambda: self._send("HEAD", key, query={}, headers=checksum))
        return ObjectInfo(
            size_bytes=int(headers["Content-Length"]),
            etag=headers["ETag"].strip('"'),
            checksum_sha256=headers.get("x-amz-checksum-sha256"),
            last_modified=parsedate_to_datetime(headers["Last-Modified"]),
        )

    async def put(self, key: str, body: bytes) -> None:
        with _store_errors():
            await self._client.put_object(
                Bucket=self.config.bucket,
                Key=key,
                Body=body,
                ChecksumSHA256=to_base64(hashlib.sha256(body).digest()),
                **self._encryption(),
            )

    async def read(self, key: str, *, start: int = 0, length: int | None = None) -> AsyncGenerator[bytes]:
        if length == 0:  # HTTP has no empty range
            return
        wanted: dict[str, Any] = {}
        if start or length is not None:
            wanted["Range"] = f"bytes={start}-{'' if length is None else start + length - 1}"
        with _store_errors():
            answer = await self._client.get_object(Bucket=self.config.bucket, Key=key, **wanted)
            async with answer["Body"] as response:
                async for block in response.content.iter_chunked(_BLOCK_BYTES):
                    yield block

    async def delete(self, key: str) -> None:
        with contextlib.suppress(ObjectNotFound), _store_errors():
            await self._client.delete_object(Bucket=self.config.bucket, Key=key)

    async def list_objects(self, prefix: str) -> AsyncIterator[ObjectRef]:
        pages = self._client.get_paginator("list_objects_v2").paginate(Bucket=self.config.bucket, Prefix=prefix)
        with _store_errors():
            async for page in pages:
                for found in page.get("Contents", []):
                    yield ObjectRef(found["Key"], found["Size"], found["LastModified"])

    async def clock_skew_s(self) -> float:
        """Ask the bucket something cheap; return our clock minus the store's, within half a second.

        Raises StoreError when it does not answer, or refuses us.
        """
        before = self._clock()
        with _store_errors():
            answer = await self._client.list_objects_v2(Bucket=self.config.bucket, Prefix="ready/", MaxKeys=1)
        ours = before + (self._clock() - before) / 2
        stated = answer["ResponseMetadata"]["HTTPHeaders"].get("date")
        if stated is None:
            return 0.0
        theirs = parsedate_to_datetime(stated) + timedelta(seconds=0.5)  # Date has whole seconds
        return (ours - theirs).total_seconds()

    # Presigning

    def sign_parts(self, key: str, upload_id: str, parts: Sequence[PartToSign], ttl_s: int) -> list[SignedRequest]:
        now = self._clock()
        rows = [(part.number, part.size_bytes, to_base64(part.sha256)) for part in parts]
        urls = self._outside.sign_parts(key, upload_id, rows, now=now, expires_s=ttl_s)
        expires_at = _expiry(now, ttl_s)
        return [
            SignedRequest(url, {"content-length": str(size_bytes), "x-amz-checksum-sha256": sha256}, expires_at)
            for url, (_, size_bytes, sha256) in zip(urls, rows, strict=True)
        ]

    def sign_put(self, key: str, size_bytes: int, sha256: bytes, ttl_s: int) -> SignedRequest:
        headers = {"content-length": str(size_bytes), "x-amz-checksum-sha256": to_base64(sha256)}
        if self.config.sse is not None:
            headers["x-amz-server-side-encryption"] = self.config.sse
        if self.config.sse_kms_key_id is not None:
            headers["x-amz-server-side-encryption-aws-kms-key-id"] = self.config.sse_kms_key_id
        return self._sign("PUT", key, ttl_s, headers=headers)

    def sign_get(
        self, key: str, *, method: str, filename: str, content_type: str, inline: bool, ttl_s: int
    ) -> SignedRequest:
        return self._sign(method, key, ttl_s, query=_answer(filename, content_type, inline=inline))

    def sign_download(
        self,
        key: str,
        *,
        method: str,
        filename: str,
        content_type: str,
        inline: bool,
        ttl_s: int,
        size_bytes: int,
        address: str | None,
    ) -> SignedRequest:
        cdn = self.config.cdn
        if cdn is None or not cdn.serves(size_bytes):
            return self.sign_get(
                key, method=method, filename=filename, content_type=content_type, inline=inline, ttl_s=ttl_s
            )
        expires_at = _expiry(self._clock(), ttl_s)
        query = _answer(filename, content_type, inline=inline)
        return SignedRequest(cdn.sign(key, query, expires_at=expires_at, address=address), {}, expires_at)

    def _sign(
        self,
        method: str,
        key: str,
        ttl_s: int,
        *,
        query: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> SignedRequest:
        now = self._clock()
        url = self._outside.sign(method, key, query=query or {}, headers=headers or {}, now=now, expires_s=ttl_s)
        return SignedRequest(url, headers or {}, _expiry(now, ttl_s))

    # The bucket

    async def ensure_bucket(self, cors_origins: Sequence[str]) -> None:
        """Create the bucket if it is missing, and let browsers of these origins use its presigned URLs.

        For `dropbox-api dev` and tests: an operator makes a production bucket.
        """
        bucket = self.config.bucket
        with _store_errors():
            try:
                await self._client.head_bucket(Bucket=bucket)
            except ClientError as error:
                if error.response["ResponseMetadata"]["HTTPStatusCode"] != 404:
                    raise
                where: dict[str, Any] = {}
                if self.config.endpoint_url is None and self.config.region != "us-east-1":
                    where["CreateBucketConfiguration"] = {"LocationConstraint": self.config.region}
                await self._client.create_bucket(Bucket=bucket, **where)
            await self._client.put_bucket_cors(
                Bucket=bucket,
                CORSConfiguration={
                    "CORSRules": [
                        {
                            # Without any rule SeaweedFS lets every origin in: one that nobody has lets none in.
                            "AllowedOrigins": list(cors_origins) or ["https://nobody.invalid"],
                            "AllowedMethods": ["GET", "HEAD", "PUT"],
                            "AllowedHeaders": ["*"],  # x-amz-checksum-sha256 and, where configured, SSE's
                            "ExposeHeaders": ["ETag", "x-amz-checksum-sha256", "Content-Range"],
                            "MaxAgeSeconds": 3600,
                        }
                    ]
                },
            )

    # Inside

    async def _request(self, method: str, key: str, **how: Any) -> bytes:
        """Send one signed request as `_send` does and return the body alone."""
        _, body = await self._send(method, key, **how)
        return body

    async def _send(
        self,
        method: str,
        key: str,
        *,
        query: Mapping[str, str],
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
        read_timeout_s: float | None = None,
    ) -> tuple[Mapping[str, str], bytes]:
        """Send one signed request to the server's own endpoint and return headers and body of a good answer."""
        url = self._inside.sign(
            method, key, query=query, headers=headers or {}, now=self._clock(), expires_s=_OWN_URL_TTL_S
        )
        timeout = aiohttp.ClientTimeout(
            total=None,
            sock_connect=self.config.connect_timeout_s,
            sock_read=read_timeout_s or self.config.read_timeout_s,
        )
        content = None if body is None else BytesIO(body)  # aiohttp warns of more than a MiB of plain bytes
        with _store_errors():
            async with self._http.request(
                method, URL(url, encoded=True), headers=headers, data=content, timeout=timeout, allow_redirects=False
            ) as answer:
                said = await answer.read()
        error = parse_error(said)
        if error is not None or answer.status >= 300:
            code, message = error or ("", answer.reason or "")
            raise store_error(answer.status, code, message, is_head=method == "HEAD")
        return answer.headers, said

    def _encryption(self) -> dict[str, Any]:
        named = {"ServerSideEncryption": self.config.sse, "SSEKMSKeyId": self.config.sse_kms_key_id}
        return {name: value for name, value in named.items() if value is not None}

    async def _take_credentials(self) -> None:
        """Sign with the session's credentials of now (an instance role's change every few hours)."""
        with _store_errors():
            source = await self._session.get_credentials()  # type: ignore[misc]  # the stubs take it for synchronous
            if source is None:
                raise NoCredentialsError
            frozen = await source.get_frozen_credentials()
        credentials = _Credentials(frozen.access_key, frozen.secret_key, frozen.token)
        if credentials != self._credentials:
            own_endpoint = self._client.meta.endpoint_url
            self._inside = self._presigner(own_endpoint, credentials)
            self._outside = self._presigner(self.config.public_endpoint_url or own_endpoint, credentials)
            self._credentials = credentials

    async def _follow_credentials(self) -> None:
        while True:
            await asyncio.sleep(_CREDENTIALS_CHECK_S)
            try:
                await self._take_credentials()
            except (StoreRejected, StoreUnavailable) as error:
                _log.warning("credentials of the object store could not be refreshed: %s", error)

    def _presigner(self, endpoint_url: str, credentials: _Credentials) -> Presigner:
        return Presigner(
            access_key_id=credentials.access_key_id,
            secret_access_key=credentials.secret_access_key,
            session_token=credentials.session_token,
            region=self.config.region,
            endpoint_url=endpoint_url,
            bucket=self.config.bucket,
            addressing=self.config.addressing,
        )


def _answer(filename: str, content_type: str, *, inline: bool) -> dict[str, str]:
    """Return the query parameters by which S3 is told what headers to answer with."""
    return {
        "response-content-disposition": format_content_disposition(filename, inline=inline),
        "response-content-type": content_type,
    }


@contextlib.contextmanager
def _store_errors() -> Iterator[None]:
    """Turn what boto and aiohttp raise into `StoreError`; a wrong parameter is our bug and stays one."""
    try:
        yield
    except ClientError as error:
        said = error.response.get("Error", {})
        status = int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
        is_head = error.operation_name.startswith("Head")
        raise store_error(status, said.get("Code", ""), said.get("Message", ""), is_head=is_head) from error
    except ParamValidationError:
        raise
    except NoCredentialsError as error:
        raise StoreRejected("NoCredentials", str(error)) from error
    except (BotoCoreError, ResponseParserError, aiohttp.ClientError, OSError) as error:  # TimeoutError is an OSError
        raise StoreUnavailable(f"{type(error).__name__}: {error}") from error


async def _patiently(ask: Callable[[], Awaitable[_T]]) -> _T:
    """Ask three times while the store is busy or away: only for what may be repeated."""
    for attempt in range(1, _ATTEMPTS):
        with contextlib.suppress(StoreThrottled, StoreUnavailable):
            return await ask()
        await asyncio.sleep(random.uniform(0, 0.2 * 2**attempt))  # noqa: S311 - full jitter
    return await ask()


def _raw_sha256(text: str | None) -> bytes | None:
    return b64decode(text) if text else None


def _expiry(now: datetime, ttl_s: int) -> datetime:
    return now.replace(microsecond=0) + timedelta(seconds=ttl_s)


def _xml(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
