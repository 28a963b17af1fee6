"""Presigned URLs that the server hands to clients: S3's own, and CloudFront's for downloads."""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta

from dropbox_api.core import thumbnails
from dropbox_api.core.fingerprint import to_base64
from dropbox_api.core.presign import Presigner
from dropbox_api.storage.cloudfront import CloudFront
from dropbox_api.storage.object_store import PartToSign, ResponseHeaders, SignedRequest


class UrlSigner:
    """The signing methods of `ObjectStore`. They do no I/O."""

    presigner: Presigner
    """Signs for the public endpoint. Set with the first credentials, and again when they change."""

    def __init__(
        self, cdn: CloudFront | None, encryption_headers: Mapping[str, str], clock: Callable[[], datetime]
    ) -> None:
        """`encryption_headers`: headers of server-side encryption, which the PUT of a whole object must carry."""
        self._cdn = cdn
        self._encryption_headers = encryption_headers
        self._clock = clock

    def list_address_prefixes(self) -> tuple[str, ...]:
        return (self.presigner.address_prefix, *(() if self._cdn is None else (self._cdn.address_prefix,)))

    def sign_parts(self, key: str, s3_upload_id: str, parts: Sequence[PartToSign], ttl_s: int) -> list[SignedRequest]:
        now = self._clock()
        rows = [(part.number, part.size_bytes, to_base64(part.sha256)) for part in parts]
        urls = self.presigner.sign_parts(key, s3_upload_id, rows, now=now, expires_s=ttl_s)
        expires_at = _get_expiry(now, ttl_s)
        return [
            SignedRequest(url, {"content-length": str(size_bytes), "x-amz-checksum-sha256": sha256}, expires_at)
            for url, (_, size_bytes, sha256) in zip(urls, rows, strict=True)
        ]

    def sign_put(self, key: str, size_bytes: int, sha256: bytes, ttl_s: int) -> SignedRequest:
        now = self._clock()
        headers = {"content-length": str(size_bytes), "x-amz-checksum-sha256": to_base64(sha256)}
        headers |= self._encryption_headers
        url = self.presigner.sign("PUT", key, query={}, headers=headers, now=now, expires_s=ttl_s)
        return SignedRequest(url, headers, _get_expiry(now, ttl_s))

    def sign_get(self, key: str, response: ResponseHeaders, *, method: str, ttl_s: int) -> SignedRequest:
        now = self._clock()
        query = _make_query(response)
        url = self.presigner.sign(method, key, query=query, headers={}, now=now, expires_s=ttl_s)
        return SignedRequest(url, {}, _get_expiry(now, ttl_s))

    def sign_download(
        self, key: str, response: ResponseHeaders, *, method: str, ttl_s: int, size_bytes: int, address: str | None
    ) -> SignedRequest:
        if self._cdn is None or not self._cdn.serves(size_bytes):
            return self.sign_get(key, response, method=method, ttl_s=ttl_s)
        expires_at = _get_expiry(self._clock(), ttl_s)
        url = self._cdn.sign(key, _make_query(response), expires_at=expires_at, address=address)
        return SignedRequest(url, {}, expires_at)

    def sign_cacheable(self, keys: Sequence[str], content_type: str, *, address: str | None) -> list[SignedRequest]:
        since = thumbnails.find_window_start(self._clock())
        ttl_s = thumbnails.URL_TTL_S
        expires_at = since + timedelta(seconds=ttl_s)
        query = {
            "response-cache-control": f"private, max-age={ttl_s}",
            "response-content-disposition": "inline",
            "response-content-type": content_type,
        }
        if self._cdn is not None:
            urls = [self._cdn.sign(key, query, expires_at=expires_at, address=address) for key in keys]
        else:
            urls = self.presigner.sign_keys("GET", keys, query=query, headers={}, now=since, expires_s=ttl_s)
        return [SignedRequest(url, {}, expires_at) for url in urls]


def _make_query(response: ResponseHeaders) -> dict[str, str]:
    """Return the query parameters that make S3 send these headers."""
    return {
        "response-content-disposition": response.content_disposition,
        "response-content-type": response.content_type,
    }


def _get_expiry(now: datetime, ttl_s: int) -> datetime:
    return now.replace(microsecond=0) + timedelta(seconds=ttl_s)
