"""Parsing of S3's responses: lists of parts and errors; file names in Content-Disposition."""

from base64 import b64encode
from collections.abc import Sequence
from hashlib import sha256
from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dropbox_api.core.content_disposition import format_content_disposition
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
from dropbox_api.storage.s3_responses import keep_newest, make_store_error, parse_error, parse_parts_page

NAMESPACE = ' xmlns="http://s3.amazonaws.com/doc/2006-03-01/"'
DIGEST = sha256(b"x").digest()


def row(number: int, *, size: int = 1, etag: str = "e", extra: str = "", modified: str = "2026-01-01T00:00:00Z") -> str:
    return (
        f"<Part><PartNumber>{number}</PartNumber><LastModified>{modified}</LastModified>"
        f"<ETag>&quot;{etag}&quot;</ETag><Size>{size}</Size>{extra}</Part>"
    )


def page(rows: Sequence[str], *, more: str = "<IsTruncated>false</IsTruncated>", namespace: str = NAMESPACE) -> bytes:
    return f'<?xml version="1.0"?>\n<ListPartsResult{namespace}>{more}{"".join(rows)}</ListPartsResult>'.encode()


@pytest.mark.parametrize("namespace", [NAMESPACE, ""])
def test_parse_page_with_or_without_namespace_and_hashes(namespace: str) -> None:
    hashed = f"<ChecksumSHA256>{b64encode(DIGEST).decode()}</ChecksumSHA256>"
    body = page([row(1, size=5, etag="abc-1", extra=hashed), row(3, extra="<ChecksumSHA256/>")], namespace=namespace)

    found = parse_parts_page(body)

    assert [part for part, _ in found.rows] == [Part(1, 5, "abc-1", DIGEST), Part(3, 1, "e", None)]
    assert found.next_marker is None


def test_parse_page_with_the_root_element_of_moto_returns_its_parts() -> None:
    body = page([row(1)]).replace(b"ListPartsResult", b"ListPartsResponse")
    assert [part.number for part, _ in parse_parts_page(body).rows] == [1]


def test_parse_truncated_page_returns_the_next_marker() -> None:
    more = "<NextPartNumberMarker>1000</NextPartNumberMarker><IsTruncated>true</IsTruncated>"
    assert parse_parts_page(page([row(1000)], more=more)).next_marker == 1000


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"not xml",
        page([row(1)])[:-5],
        b"<Other/>",
        page(["<Part><PartNumber>1</PartNumber></Part>"]),
        page([row(1).replace("<PartNumber>1<", "<PartNumber>one<")]),
        page([row(1, extra="<ChecksumSHA256>AAAA</ChecksumSHA256>")]),
        page([row(1, extra="<ChecksumSHA256>!</ChecksumSHA256>")]),
        page([], more="<IsTruncated>true</IsTruncated>"),
    ],
    ids=["empty", "text", "cut", "other root", "no size", "bad number", "short hash", "bad hash", "no marker"],
)
def test_parse_unreadable_page_is_unavailable(body: bytes) -> None:
    with pytest.raises(StoreUnavailable):
        parse_parts_page(body)


def test_parse_page_with_entities_is_refused() -> None:
    bomb = '<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">]>'
    body = f"<?xml version='1.0'?>{bomb}<ListPartsResult>&b;</ListPartsResult>"
    with pytest.raises(StoreUnavailable, match="document type"):
        parse_parts_page(body.encode())
    for hidden in (body.encode("utf-16"), body.encode("utf-16-le"), body.encode("utf-32")):
        with pytest.raises(StoreUnavailable):
            parse_parts_page(hidden)
    declaration = "<?xml version='1.0' encoding='cp037'?>"
    with pytest.raises(StoreUnavailable):
        parse_parts_page(declaration.encode() + body.partition("?>")[2].encode("cp037"))


def test_keep_newest_in_any_order_returns_the_last_modified_row() -> None:
    old, new = ("2026-01-01T00:00:00Z", "2026-01-01T00:00:00.001Z")
    rows = [
        row(2, etag="new", modified=new),
        row(2, etag="old", modified=old),
        row(1, etag="old", modified=old),
        row(1, etag="new", modified=new),
        row(3, etag="first", modified=old),
        row(3, etag="second", modified=old),
    ]
    parts = keep_newest(parse_parts_page(page(rows)).rows)
    assert [(part.number, part.etag) for part in parts] == [(1, "new"), (2, "new"), (3, "second")]


def test_parse_error_after_white_space_returns_it() -> None:
    body = b"  \n <?xml version='1.0'?>\n\n<Error><Code>InternalError</Code><Message>sorry</Message></Error>"
    assert parse_error(body) == ("InternalError", "sorry")
    assert parse_error(b"<Fine/>") is None
    assert parse_error(b"") is None
    assert parse_error(b"<html>bad gateway") is None


@pytest.mark.parametrize(
    ("status", "code", "expected"),
    [
        (404, "NoSuchKey", ObjectNotFound),
        (404, "NoSuchUpload", ObjectNotFound),
        (200, "NoSuchUpload", ObjectNotFound),
        (404, "NoSuchBucket", StoreRejected),
        (404, "", StoreUnavailable),  # made by a proxy, not by S3
        (404, "404", StoreUnavailable),
        (409, "ConditionalRequestConflict", StoreConflict),
        (409, "OperationAborted", StoreConflict),
        (412, "PreconditionFailed", StoreConflict),
        (412, "412", StoreConflict),
        (503, "SlowDown", StoreThrottled),
        (200, "SlowDown", StoreThrottled),
        (429, "", StoreThrottled),
        (507, "XMinioStorageFull", NoSpace),
        (400, "XMinioAdminBucketQuotaExceeded", NoSpace),
        (403, "QuotaExceeded", NoSpace),
        (507, "", NoSpace),
        (503, "ServiceUnavailable", StoreUnavailable),
        (500, "InternalError", StoreUnavailable),
        (200, "InternalError", StoreUnavailable),
        (502, "", StoreUnavailable),
        (501, "NotImplemented", StoreUnavailable),
        (400, "RequestTimeout", StoreUnavailable),
        (408, "", StoreUnavailable),
        (400, "InvalidPart", StoreRejected),
        (200, "InvalidPart", StoreRejected),
        (500, "InvalidPart", StoreRejected),  # how boto reports the error inside a 200
        (400, "EntityTooSmall", StoreRejected),
        (400, "BadDigest", StoreRejected),
        (403, "SignatureDoesNotMatch", StoreRejected),
        (403, "", StoreRejected),
        (301, "PermanentRedirect", StoreRejected),
        (418, "SomethingNew", StoreRejected),
    ],
)
def test_make_store_error_maps_status_and_code(status: int, code: str, expected: type[StoreError]) -> None:
    error = make_store_error(status, code, "why")
    assert type(error) is expected
    assert "why" in error.detail
    if isinstance(error, StoreRejected):
        assert error.code == (code or str(status))


def test_404_without_a_code_is_not_found_for_head_only() -> None:
    assert type(make_store_error(404, "404", "Not Found", is_head=True)) is ObjectNotFound
    assert type(make_store_error(403, "403", "Forbidden", is_head=True)) is StoreRejected
    assert type(make_store_error(503, "503", "", is_head=True)) is StoreUnavailable


@given(st.text(), st.booleans())
def test_content_disposition_of_any_name_is_one_safe_header(filename: str, inline: bool) -> None:
    value = format_content_disposition(filename, inline=inline)

    assert all(" " <= c <= "~" for c in value)
    kind, plain, extended = value.split("; ")[0], *value.split('"')[1::2], value.rpartition("; ")[2]
    assert kind == ("inline" if inline else "attachment")
    assert value == f'{kind}; filename="{plain}"; {extended}'  # exactly two quotes, none from the name
    assert not set(plain) & set('"\\/%')
    assert extended.startswith("filename*=UTF-8''")
    assert unquote(extended.removeprefix("filename*=UTF-8''")) == filename.encode(errors="replace").decode()


def test_content_disposition_of_a_plain_name_stays_readable() -> None:
    assert (
        format_content_disposition("a b.txt", inline=False)
        == "attachment; filename=\"a b.txt\"; filename*=UTF-8''a%20b.txt"
    )
    assert format_content_disposition("é.txt", inline=True) == "inline; filename=\"_.txt\"; filename*=UTF-8''%C3%A9.txt"
