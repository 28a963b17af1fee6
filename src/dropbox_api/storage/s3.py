"""`ObjectStore` on S3: aioboto3 for most calls, plain signed HTTP (`s3_http`) where boto costs too much.

Invariants:
- One client per process, made by `S3Store.open`. No method keeps state between calls.
- Calls are tried three times. A repeated Create leaves an open upload, which the sweep aborts.
  CompleteMultipartUpload is tried once: its caller holds a lease that a hidden retry would outlive, and handles a lost
  response itself (HEAD the key).
- Every error leaves as a `StoreError`; `s3_responses.make_store_error` decides which one.
- Signing does no I/O. URLs for clients carry the public endpoint, calls go to the server's own endpoint.

Source: the S3 API reference; differences between stores are in `docs/stores.md`.
"""

import asyncio
import contextlib
import hashlib
import logging
from base64 import b64decode
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any, Literal

import aioboto3
import aiohttp
from aiobotocore.config import AioConfig
from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError, ParamValidationError
from botocore.parsers import ResponseParserError

from dropbox_api.core.fingerprint import to_base64
from dropbox_api.core.presign import Presigner
from dropbox_api.storage.cloudfront import CloudFront
from dropbox_api.storage.cors import make_cors_rule
from dropbox_api.storage.object_store import (
    CompletedPart,
    MultipartRef,
    NoSpace,
    ObjectInfo,
    ObjectNotFound,
    ObjectRef,
    Part,
    StoreRejected,
    StoreUnavailable,
)
from dropbox_api.storage.s3_http import ATTEMPTS, SignedHttp, retry
from dropbox_api.storage.s3_responses import (
    PartsPage,
    keep_newest,
    make_store_error,
    parse_parts_page,
    require_root,
)
from dropbox_api.storage.signing import UrlSigner
from dropbox_api.storage.space import PROBE_KEY, SpaceProbe

if TYPE_CHECKING:
    from types_aiobotocore_s3 import S3Client

_log = logging.getLogger(__name__)

_BLOCK_BYTES = 1 << 20
_LIST_PAGE = 1_000  # parts; larger pages would hold the event loop for tens of milliseconds
_PAGES_AT_ONCE = 4
_COMPLETE_TIMEOUT_S = 300  # S3 may need minutes for thousands of parts
_CREDENTIALS_CHECK_S = 60


@dataclass(frozen=True, slots=True)
class S3Config:
    """The bucket, its endpoints and credentials."""

    bucket: str
    region: str = "us-east-1"
    endpoint_url: str | None = None
    """The endpoint for the server's own calls; None means AWS."""
    public_endpoint_url: str | None = None
    """The endpoint in presigned URLs; None means `endpoint_url`."""
    access_key_id: str | None = None
    """None: the machine's own credentials (role, profile), refreshed as they rotate."""
    secret_access_key: str | None = field(default=None, repr=False)
    session_token: str | None = field(default=None, repr=False)
    addressing: Literal["path", "virtual"] = "path"
    sse: Literal["AES256", "aws:kms"] | None = None
    sse_kms_key_id: str | None = None
    connect_timeout_s: float = 5
    read_timeout_s: float = 30
    max_connections: int = 50
    cdn: CloudFront | None = field(default=None, repr=False)
    """The CDN for downloads; None: clients download from the store."""


@dataclass(frozen=True, slots=True)
class _Credentials:
    access_key_id: str
    secret_access_key: str = field(repr=False)
    session_token: str | None = field(repr=False)


class S3Store(UrlSigner):
    """`ObjectStore` on one bucket. Made by `S3Store.open`."""

    def __init__(
        self,
        config: S3Config,
        session: aioboto3.Session,
        client: "S3Client",
        http: aiohttp.ClientSession,
        clock: Callable[[], datetime],
    ) -> None:
        super().__init__(config.cdn, _encryption_headers(config), clock)
        self.config = config
        self._session = session
        self._client = client
        self._http = SignedHttp(http, clock)
        self._credentials: _Credentials | None = None
        self._space = SpaceProbe(self._put_probe, self._list_one)
        self.held: NoSpace | None = None
        """Raised by `require_space` until it is unset: the bucket was too full to be probed."""

    @classmethod
    @contextlib.asynccontextmanager
    async def open(
        cls, config: S3Config, *, clock: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> AsyncIterator["S3Store"]:
        """Connect while the context is open. `clock` returns the aware time of signing.

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
            retries={"mode": "standard", "total_max_attempts": ATTEMPTS},
            connect_timeout=config.connect_timeout_s,
            read_timeout=config.read_timeout_s,
            max_pool_connections=config.max_connections,
            # Stores other than AWS support SHA-256, but often not boto's default CRC trailers.
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
                    trust_env=True,  # use the proxies of the environment, as boto does
                )
            )
            store = cls(config, session, client, http, clock)
            await store._refresh_credentials()
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

    async def put_part(self, key: str, s3_upload_id: str, number: int, body: bytes, sha256: bytes) -> Part:
        query = {"partNumber": str(number), "uploadId": s3_upload_id}
        checksum = {"x-amz-checksum-sha256": to_base64(sha256)}
        async with self._space_known():
            headers, _ = await retry(lambda: self._http.send("PUT", key, query=query, headers=checksum, body=body))
        stored_sha256 = _decode_sha256(headers.get("x-amz-checksum-sha256"))
        return Part(number, len(body), headers["ETag"].strip('"'), stored_sha256)

    async def list_parts(self, key: str, s3_upload_id: str) -> list[Part]:
        page = await self._parts_page(key, s3_upload_id, after=0)
        rows, marker, width = list(page.rows), page.next_marker, max(1, len(page.rows))
        # A page of N rows after number M holds every part of M+1..M+N, so several pages can be fetched at once.
        while marker is not None:
            starts = [marker + i * width for i in range(_PAGES_AT_ONCE)]
            pages = await asyncio.gather(*(self._parts_page(key, s3_upload_id, after=start) for start in starts))
            for start, page in zip(starts, pages, strict=True):
                rows += page.rows
                marker = page.next_marker
                if marker is None:
                    break
                if marker <= start:
                    raise StoreUnavailable(f"the list of parts does not advance beyond {marker}")
                if marker < start + width:  # a short page, or a part listed twice: continue where it ends
                    break
        return keep_newest(rows)

    async def _parts_page(self, key: str, s3_upload_id: str, *, after: int) -> PartsPage:
        query = {"uploadId": s3_upload_id, "max-parts": str(_LIST_PAGE)}
        if after:
            query["part-number-marker"] = str(after)

        async def read_page() -> PartsPage:
            return parse_parts_page((await self._http.send("GET", key, query=query)).body)

        return await retry(read_page)

    async def complete_multipart(
        self, key: str, s3_upload_id: str, parts: Sequence[CompletedPart], size_bytes: int
    ) -> None:
        # Built by hand: boto's serializer holds the event loop for 160 ms at 9,999 parts.
        lines = "".join(
            f"<Part><PartNumber>{part.number}</PartNumber><ETag>&quot;{_xml(part.etag)}&quot;</ETag>"
            f"<ChecksumSHA256>{to_base64(part.sha256)}</ChecksumSHA256></Part>"
            for part in parts
        )
        namespace = "http://s3.amazonaws.com/doc/2006-03-01/"
        body = f'<CompleteMultipartUpload xmlns="{namespace}">{lines}</CompleteMultipartUpload>'.encode()
        response = await self._http.send(
            "POST",
            key,
            query={"uploadId": s3_upload_id},
            headers={"content-type": "application/xml", "x-amz-mp-object-size": str(size_bytes)},
            body=body,
            read_timeout_s=_COMPLETE_TIMEOUT_S,
        )
        require_root(response.body, "CompleteMultipartUploadResult")  # a 200 alone proves nothing

    async def abort_multipart(self, key: str, s3_upload_id: str) -> None:
        with contextlib.suppress(ObjectNotFound), _store_errors():
            await self._client.abort_multipart_upload(Bucket=self.config.bucket, Key=key, UploadId=s3_upload_id)

    async def copy_part(
        self,
        key: str,
        s3_upload_id: str,
        number: int,
        source_key: str,
        *,
        start: int,
        size_bytes: int,
        if_match: str | None = None,
        is_whole: bool = False,
    ) -> Part:
        wanted: dict[str, Any] = {} if is_whole else {"CopySourceRange": f"bytes={start}-{start + size_bytes - 1}"}
        if if_match is not None:
            wanted["CopySourceIfMatch"] = if_match
        async with self._space_known():
            answer = await self._client.upload_part_copy(
                Bucket=self.config.bucket,
                Key=key,
                UploadId=s3_upload_id,
                PartNumber=number,
                CopySource={"Bucket": self.config.bucket, "Key": source_key},
                **wanted,
            )
        copied = answer["CopyPartResult"]
        return Part(number, size_bytes, copied["ETag"].strip('"'), _decode_sha256(copied.get("ChecksumSHA256")))

    async def list_multiparts(self, prefix: str) -> AsyncIterator[MultipartRef]:
        pages = self._client.get_paginator("list_multipart_uploads").paginate(Bucket=self.config.bucket, Prefix=prefix)
        with _store_errors():
            async for page in pages:
                for upload in page.get("Uploads", []):
                    yield MultipartRef(upload["Key"], upload["UploadId"], upload["Initiated"])

    # Objects

    async def head(self, key: str) -> ObjectInfo:
        # Plain HTTP: completing 500 small files sends 500 of these, and boto takes milliseconds of processor time each.
        checksum = {"x-amz-checksum-mode": "ENABLED"}
        headers, _ = await retry(lambda: self._http.send("HEAD", key, query={}, headers=checksum))
        return ObjectInfo(
            size_bytes=int(headers["Content-Length"]),
            etag=headers["ETag"].strip('"'),
            checksum_sha256=headers.get("x-amz-checksum-sha256"),
            last_modified=parsedate_to_datetime(headers["Last-Modified"]),
        )

    async def put(self, key: str, body: bytes) -> None:
        async with self._space_known():
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
                for entry in page.get("Contents", []):
                    yield ObjectRef(entry["Key"], entry["Size"], entry["LastModified"])

    async def clock_skew_s(self) -> float:
        before = self._clock()
        stated = await self._list_one()
        own_time = before + (self._clock() - before) / 2
        if stated is None:
            return 0.0
        store_time = parsedate_to_datetime(stated) + timedelta(seconds=0.5)  # Date has whole seconds
        return (own_time - store_time).total_seconds()

    async def _list_one(self) -> str | None:
        """Send a cheap read; return the Date of the response."""
        with _store_errors():
            answer = await self._client.list_objects_v2(Bucket=self.config.bucket, Prefix="ready/", MaxKeys=1)
        return answer["ResponseMetadata"]["HTTPHeaders"].get("date")

    # Space

    async def require_space(self) -> None:
        if self.held:
            raise NoSpace(self.held.detail)
        await self._space.require_space()

    async def _put_probe(self) -> None:
        body = b"written to find out whether the store is full"
        await self._http.send("PUT", PROBE_KEY, query={}, headers=_encryption_headers(self.config), body=body)

    @contextlib.asynccontextmanager
    async def _space_known(self) -> AsyncIterator[None]:
        """Turn errors into `StoreError`, and the failure of a write at a full store into NoSpace."""
        try:
            with _store_errors():
                yield
        except StoreUnavailable as error:
            if error.code == "InternalError":
                await self._space.require_space(max_age_s=0)
            raise

    # The bucket

    async def find_blocked_origins(self, origins: Sequence[str]) -> tuple[str, ...]:
        allowed = await asyncio.gather(*map(self._is_origin_allowed, origins))
        return tuple(origin for origin, is_allowed in zip(origins, allowed, strict=True) if not is_allowed)

    async def _is_origin_allowed(self, origin: str) -> bool:
        """Ask as a browser does before it sends a part."""
        preflight = {
            "origin": origin,
            "access-control-request-method": "PUT",
            "access-control-request-headers": "x-amz-checksum-sha256",
        }
        try:
            headers, _ = await retry(lambda: self._http.send("OPTIONS", "probe/cors", query={}, headers=preflight))
        except (StoreRejected, ObjectNotFound):
            return False
        allowed = headers.get("access-control-allow-headers", "").lower()
        return headers.get("access-control-allow-origin") in {origin, "*"} and (
            "x-amz-checksum-sha256" in allowed or "*" in allowed
        )

    async def ensure_bucket(self, cors_origins: Sequence[str]) -> None:
        """Create the bucket if it is missing, and allow these web origins to use its presigned URLs.

        For `dropbox-api dev` and tests: operators create production buckets. Idempotent.
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
            await self._client.put_bucket_cors(Bucket=bucket, CORSConfiguration=make_cors_rule(cors_origins))

    # Encryption and credentials

    def _encryption(self) -> dict[str, Any]:
        named = {"ServerSideEncryption": self.config.sse, "SSEKMSKeyId": self.config.sse_kms_key_id}
        return {name: value for name, value in named.items() if value is not None}

    async def _refresh_credentials(self) -> None:
        """Sign with the session's current credentials; those of an instance role change every few hours."""
        with _store_errors():
            source = await self._session.get_credentials()  # type: ignore[misc]  # the stubs declare it synchronous
            if source is None:
                raise NoCredentialsError
            frozen = await source.get_frozen_credentials()
        credentials = _Credentials(frozen.access_key, frozen.secret_key, frozen.token)
        if credentials != self._credentials:
            own_endpoint = self._client.meta.endpoint_url
            self._http.presigner = self._make_presigner(own_endpoint, credentials)
            self.presigner = self._make_presigner(self.config.public_endpoint_url or own_endpoint, credentials)
            self._credentials = credentials

    async def _follow_credentials(self) -> None:
        while True:
            await asyncio.sleep(_CREDENTIALS_CHECK_S)
            try:
                await self._refresh_credentials()
            except (StoreRejected, StoreUnavailable) as error:
                _log.warning("credentials of the object store could not be refreshed: %s", error)

    def _make_presigner(self, endpoint_url: str, credentials: _Credentials) -> Presigner:
        return Presigner(
            access_key_id=credentials.access_key_id,
            secret_access_key=credentials.secret_access_key,
            session_token=credentials.session_token,
            region=self.config.region,
            endpoint_url=endpoint_url,
            bucket=self.config.bucket,
            addressing=self.config.addressing,
        )


def _encryption_headers(config: S3Config) -> dict[str, str]:
    headers = {
        "x-amz-server-side-encryption": config.sse,
        "x-amz-server-side-encryption-aws-kms-key-id": config.sse_kms_key_id,
    }
    return {name: value for name, value in headers.items() if value is not None}


@contextlib.contextmanager
def _store_errors() -> Iterator[None]:
    """Turn the errors of boto and aiohttp into `StoreError`; a wrong parameter is our bug and passes unchanged."""
    try:
        yield
    except ClientError as error:
        body = error.response.get("Error", {})
        status = int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
        is_head = error.operation_name.startswith("Head")
        raise make_store_error(status, body.get("Code", ""), body.get("Message", ""), is_head=is_head) from error
    except ParamValidationError:
        raise
    except NoCredentialsError as error:
        raise StoreRejected("NoCredentials", str(error)) from error
    except (BotoCoreError, ResponseParserError, aiohttp.ClientError, OSError) as error:  # TimeoutError is an OSError
        raise StoreUnavailable(f"{type(error).__name__}: {error}") from error


def _decode_sha256(text: str | None) -> bytes | None:
    return b64decode(text) if text else None


def _xml(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
