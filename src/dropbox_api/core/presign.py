"""Presigned S3 URLs: AWS Signature Version 4 in the query string, without boto and without I/O.

A session of 10,000 parts needs 10,000 URLs, for which botocore takes seconds. Constant parts are computed once: the
signing key per day, the constant part of the canonical request per batch. The URLs equal botocore's byte for byte.
Source: AWS, "Authenticating Requests: Using Query Parameters (AWS Signature Version 4)"; RFC 2104 (HMAC).
"""

import hashlib
import hmac
import ipaddress
import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final, Literal
from urllib.parse import quote, urlsplit

if TYPE_CHECKING:
    from _hashlib import HASH

MAX_EXPIRES_S: Final = 7 * 24 * 3600
"""S3 refuses a longer expiry."""

_DEFAULT_PORTS = {"http": 80, "https": 443}
_VIRTUAL_BUCKET = re.compile(r"[a-z0-9][a-z0-9-]{1,61}[a-z0-9]")
_INNER_PAD = bytes(byte ^ 0x36 for byte in range(256))
_OUTER_PAD = bytes(byte ^ 0x5C for byte in range(256))


class Presigner:
    """Signs requests to one bucket with one set of credentials. Safe to share between threads."""

    def __init__(
        self,
        *,
        access_key_id: str,
        secret_access_key: str,
        session_token: str | None,
        region: str,
        endpoint_url: str,
        bucket: str,
        addressing: Literal["path", "virtual"],
    ) -> None:
        """Prepare for `endpoint_url` as clients use it: scheme, host, optional port and path.

        Raises: ValueError for another endpoint, and for `virtual` addressing when the endpoint is an IP address or the
        bucket is not a single host label (wildcard certificates do not cover dots).
        """
        endpoint = urlsplit(endpoint_url)
        if endpoint.scheme not in _DEFAULT_PORTS or not endpoint.hostname:
            raise ValueError("the endpoint is not an http or https URL")
        if endpoint.username is not None or endpoint.query or endpoint.fragment:
            raise ValueError("the endpoint has user info, a query or a fragment")
        netloc, path = endpoint.netloc, endpoint.path.removesuffix("/")
        if addressing == "path":
            path += f"/{bucket}"
        elif _is_ip(endpoint.hostname) or not _VIRTUAL_BUCKET.fullmatch(bucket):
            raise ValueError("virtual addressing needs a host name, and a bucket name without dots")
        else:
            netloc = f"{bucket}.{netloc}"

        self._access_key_id = access_key_id
        self._secret_access_key = secret_access_key
        self._session_token = session_token
        self._region = region
        self._origin = f"{endpoint.scheme}://{netloc}"
        self._base_path = f"{path}/"
        # As HTTP clients send it: lower case, without a default port.
        self._host = netloc.lower().removesuffix(f":{_DEFAULT_PORTS[endpoint.scheme]}")
        self._key_of_day: tuple[str, HASH, HASH] | None = None

    @property
    def address_prefix(self) -> str:
        """How every URL begins."""
        return self._origin + self._base_path

    def sign(
        self,
        method: str,
        key: str,
        *,
        query: Mapping[str, str],
        headers: Mapping[str, str],
        now: datetime,
        expires_s: int,
    ) -> str:
        """Return a URL for one request, valid for `expires_s` seconds (1..`MAX_EXPIRES_S`) after `now` (aware).

        `query` starts the URL's query string, in its order. `headers` (names in any case, without Host) are signed: the
        client must send them with these values.

        Raises: ValueError for a naive `now` or `expires_s` out of bounds.
        """
        [url] = self.sign_keys(method, [key], query=query, headers=headers, now=now, expires_s=expires_s)
        return url

    def sign_keys(
        self,
        method: str,
        keys: Iterable[str],
        *,
        query: Mapping[str, str],
        headers: Mapping[str, str],
        now: datetime,
        expires_s: int,
    ) -> list[str]:
        """Return one URL per key, in order; otherwise as `sign`, at 5 microseconds each."""
        time = _timestamp(now, expires_s)
        signed = {name.lower(): " ".join(value.split()) for name, value in headers.items()} | {"host": self._host}
        names = sorted(signed)
        parameters = [(_quote(name), _quote(value)) for name, value in query.items()]
        parameters += self._parameters(time, expires_s, ";".join(names))
        after_path = "\n".join(
            [
                "",
                _join(sorted(parameters)),
                *(f"{name}:{signed[name]}" for name in names),
                "",
                ";".join(names),
                "UNSIGNED-PAYLOAD",
            ]
        )
        inner, outer = self._signing_states(time)
        before_signature = f"?{_join(parameters)}&X-Amz-Signature="

        urls = []
        for key in keys:
            path = self._path(key)
            request = hashlib.sha256(f"{method}\n{path}{after_path}".encode())
            urls.append(f"{self._origin}{path}{before_signature}{_sign(inner, outer, request)}")
        return urls

    def sign_parts(
        self,
        key: str,
        upload_id: str,
        parts: Sequence[tuple[int, int, str]],
        *,
        now: datetime,
        expires_s: int,
    ) -> list[str]:
        """Return one UploadPart URL per (part number, size in bytes, SHA-256 in base64), in order.

        Equal to `sign` with the headers `Content-Length` and `x-amz-checksum-sha256`, at 2 microseconds each: a batch
        of 1,000 parts suits an event loop.

        Raises: ValueError for a naive `now` or `expires_s` out of bounds.
        """
        time = _timestamp(now, expires_s)
        names = "content-length;host;x-amz-checksum-sha256"
        parameters = self._parameters(time, expires_s, names)
        path, upload = self._path(key), _quote(upload_id)

        # Three values differ between parts. The constants between them are prepared; the long first one is hashed once.
        # "partNumber" and "uploadId" sort after every "X-Amz-".
        start = hashlib.sha256(f"PUT\n{path}\n{_join(sorted(parameters))}&partNumber=".encode())
        before_size = f"&uploadId={upload}\ncontent-length:"
        before_hash = f"\nhost:{self._host}\nx-amz-checksum-sha256:"
        end = f"\n\n{names}\nUNSIGNED-PAYLOAD"
        inner, outer = self._signing_states(time)
        before_number = f"{self._origin}{path}?partNumber="
        before_signature = f"&uploadId={upload}&{_join(parameters)}&X-Amz-Signature="

        urls = []
        for number, size_bytes, sha256_base64 in parts:
            request = start.copy()
            request.update(f"{number}{before_size}{size_bytes}{before_hash}{sha256_base64}{end}".encode())
            urls.append(f"{before_number}{number}{before_signature}{_sign(inner, outer, request)}")
        return urls

    def _path(self, key: str) -> str:
        return self._base_path + quote(key)

    def _parameters(self, time: str, expires_s: int, signed_headers: str) -> list[tuple[str, str]]:
        """Return the X-Amz-* query parameters except the signature, encoded, in botocore's order."""
        parameters = [
            ("X-Amz-Algorithm", "AWS4-HMAC-SHA256"),
            ("X-Amz-Credential", _quote(f"{self._access_key_id}/{self._scope(time)}")),
            ("X-Amz-Date", time),
            ("X-Amz-Expires", str(expires_s)),
            ("X-Amz-SignedHeaders", _quote(signed_headers)),
        ]
        if self._session_token is not None:
            parameters.append(("X-Amz-Security-Token", _quote(self._session_token)))
        return parameters

    def _scope(self, time: str) -> str:
        return f"{time[:8]}/{self._region}/s3/aws4_request"

    def _signing_states(self, time: str) -> tuple["HASH", "HASH"]:
        """Return the two hash states of HMAC with the day's key; the inner one lacks only the request's hash."""
        day = time[:8]
        cached = self._key_of_day  # read once: another thread may replace it at midnight
        if cached is None or cached[0] != day:
            signing_key = f"AWS4{self._secret_access_key}".encode()
            for step in (day, self._region, "s3", "aws4_request"):
                signing_key = hmac.digest(signing_key, step.encode(), "sha256")
            block = signing_key.ljust(64, b"\0")
            cached = day, hashlib.sha256(block.translate(_INNER_PAD)), hashlib.sha256(block.translate(_OUTER_PAD))
            self._key_of_day = cached
        _, keyed_inner, outer = cached
        inner = keyed_inner.copy()
        inner.update(f"AWS4-HMAC-SHA256\n{time}\n{self._scope(time)}\n".encode())
        return inner, outer


def _sign(inner: "HASH", outer: "HASH", request: "HASH") -> str:
    # HMAC by hand, because `hmac.HMAC.copy` takes twice as long.
    inner, outer = inner.copy(), outer.copy()
    inner.update(request.hexdigest().encode())
    outer.update(inner.digest())
    return outer.hexdigest()


def _timestamp(now: datetime, expires_s: int) -> str:
    if now.tzinfo is None:
        raise ValueError("now is not aware")
    if not 1 <= expires_s <= MAX_EXPIRES_S:
        raise ValueError(f"a URL lives 1 to {MAX_EXPIRES_S} seconds, not {expires_s}")
    return f"{now.astimezone(UTC):%Y%m%dT%H%M%SZ}"


def _quote(text: str) -> str:
    return quote(text, safe="")


def _join(parameters: Iterable[tuple[str, str]]) -> str:
    return "&".join(f"{name}={value}" for name, value in parameters)


def _is_ip(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
