"""Parsing of S3's responses without boto: lists of parts, error bodies, and the `StoreError` that they mean.

Pure functions. boto's parser takes half a second for 10,000 parts, on the event loop; this module takes 3 ms per page.
The server trusts the store with the bytes, but not with its memory: a document with a DTD is refused, so no entities
expand. Source: the S3 API reference, "ListParts" and "Error responses".
"""

from base64 import b64decode
from binascii import Error as Base64Error
from dataclasses import dataclass
from datetime import UTC, datetime
from xml.etree import ElementTree as ET

from dropbox_api.storage.object_store import (
    NoSpace,
    ObjectNotFound,
    Part,
    StoreConflict,
    StoreError,
    StoreRejected,
    StoreThrottled,
    StoreUnavailable,
)

_THROTTLES = {"SlowDown", "SlowDownRead", "SlowDownWrite", "Throttling", "ThrottlingException", "TooManyRequests",
              "RequestLimitExceeded", "BandwidthLimitExceeded"}  # fmt: skip
_FULL = {"XMinioStorageFull", "XMinioAdminBucketQuotaExceeded", "QuotaExceeded", "StorageFull", "InsufficientStorage"}
_OUTAGES = {"InternalError", "ServiceUnavailable", "RequestTimeout", "XMinioServerNotInitialized"}
_ABSENCES = {"NoSuchKey", "NoSuchUpload"}
_CONFLICTS = {"PreconditionFailed", "ConditionalRequestConflict", "OperationAborted"}
_REFUSALS = {"InvalidPart", "InvalidPartOrder", "EntityTooSmall", "EntityTooLarge", "BadDigest", "InvalidDigest",
             "XAmzContentChecksumMismatch", "InvalidRequest", "InvalidArgument", "InvalidRange", "MalformedXML",
             "AccessDenied", "SignatureDoesNotMatch"}  # fmt: skip


@dataclass(frozen=True, slots=True)
class PartsPage:
    rows: list[tuple[Part, str]]
    """In the store's order, each with its LastModified; a part that was sent twice may be listed twice."""
    next_marker: int | None
    """Part number after which the next page begins; None on the last page."""


def parse_parts_page(body: bytes) -> PartsPage:
    """Parse one ListParts response. Raises StoreUnavailable for anything else."""
    root = require_root(body, "ListPartsResult", "ListPartsResponse")  # the second by moto
    namespace = root.tag.removesuffix(_name(root))
    number, size, etag = namespace + "PartNumber", namespace + "Size", namespace + "ETag"
    sha256, modified = namespace + "ChecksumSHA256", namespace + "LastModified"
    rows = []
    try:
        for element in root.iterfind(namespace + "Part"):
            row = {child.tag: child.text or "" for child in element}
            part = Part(int(row[number]), int(row[size]), row[etag].strip('"'), _parse_checksum(row.get(sha256, "")))
            rows.append((part, row[modified]))
        truncated = root.findtext(namespace + "IsTruncated", "").strip() == "true"
        marker = int(root.findtext(namespace + "NextPartNumberMarker", "")) if truncated else None
    except (KeyError, ValueError) as error:
        raise StoreUnavailable(f"unreadable list of parts: {error!r}") from error
    return PartsPage(rows, marker)


def keep_newest(rows: list[tuple[Part, str]]) -> list[Part]:
    """Return the last modified part per number (in a tie, the one listed last), ordered by number."""
    newest: dict[int, tuple[Part, str]] = {}
    for row in rows:
        number = row[0].number
        if number not in newest or _parse_time(row[1]) >= _parse_time(newest[number][1]):
            newest[number] = row
    return [newest[number][0] for number in sorted(newest)]


def require_root(body: bytes, *names: str) -> ET.Element:
    """Return the root element, which must have one of these names. Raises StoreUnavailable: the outcome is unknown."""
    root = _parse(body)
    if _name(root) not in names:
        raise StoreUnavailable(f"expected {names[0]}, got {_name(root)}")
    return root


def parse_error(body: bytes) -> tuple[str, str] | None:
    """Return code and message of an S3 error body, None for another body. A 200 may have an error body, too."""
    if b"Error" not in body:  # a page of 1,000 parts need not be parsed twice
        return None
    try:
        root = _parse(body)
    except StoreUnavailable:
        return None
    if _name(root) != "Error":
        return None
    fields = _fields(root)
    return fields.get("Code", ""), fields.get("Message", "")


def make_store_error(status: int, code: str, message: str, *, is_head: bool = False) -> StoreError:
    """Return the error that a response means. No other function decides this.

    The code decides before the status: S3 reports errors of long operations inside a 200, and boto turns those into a
    500. An unknown outcome is `StoreUnavailable`. A missing bucket is `StoreRejected`, and a 404 without S3's code,
    which a proxy may have made, is `StoreUnavailable`: as ObjectNotFound, either would make files look lost. The
    response to a HEAD has no body and so no code.
    """
    detail = f"{status} {code}: {message}"
    if code in _THROTTLES or status == 429:
        return StoreThrottled(detail)
    if code in _FULL or status == 507:
        return NoSpace(detail)
    if code in _ABSENCES or (status == 404 and is_head):
        return ObjectNotFound(detail)
    if code in _CONFLICTS or status in {409, 412}:
        return StoreConflict(detail)
    is_from_proxy = status == 404 and code in {"", "404"}
    if code in _OUTAGES or status == 408 or is_from_proxy or (status >= 500 and code not in _REFUSALS):
        return StoreUnavailable(detail, code)
    return StoreRejected(code or str(status), message)


def _parse(body: bytes) -> ET.Element:
    # The parser reads UTF-8 whatever the document declares, and UTF-16 shows by its NULs: no encoding hides a DTD.
    if b"<!DOCTYPE" in body or b"\0" in body:
        raise StoreUnavailable("the store sent a document type declaration")
    try:
        # S3 sends white space first to keep slow responses alive.
        return ET.fromstring(body.lstrip(), parser=ET.XMLParser(encoding="utf-8"))  # noqa: S314 - see above
    except ET.ParseError as error:
        raise StoreUnavailable(f"the store sent no XML: {error}") from error


def _name(element: ET.Element) -> str:
    return element.tag.rpartition("}")[2]  # some stores omit the namespace


def _fields(element: ET.Element) -> dict[str, str]:
    return {_name(child): child.text or "" for child in element}


def _parse_time(text: str) -> datetime:
    try:
        time = datetime.fromisoformat(text)
    except ValueError as error:
        raise StoreUnavailable(f"unreadable LastModified: {text!r}") from error
    return time if time.tzinfo else time.replace(tzinfo=UTC)


def _parse_checksum(text: str) -> bytes | None:
    if not text:
        return None
    try:
        digest = b64decode(text, validate=True)
    except Base64Error as error:
        raise ValueError(f"not base64: {text!r}") from error
    if len(digest) != 32:
        raise ValueError(f"not a SHA-256: {text!r}")
    return digest
