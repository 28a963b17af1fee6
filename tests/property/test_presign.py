"""Presigned URLs equal those of botocore byte for byte: all endpoint styles, all operations, hostile text."""

import string
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any, Literal
from unittest import mock

import botocore.session
import pytest
from botocore.config import Config
from hypothesis import given
from hypothesis import strategies as st

from dropbox_api.core.presign import MAX_EXPIRES_S, Presigner

Addressing = Literal["path", "virtual"]
Store = tuple[str, Addressing, str | None]

REGION, BUCKET, ACCESS_KEY_ID, SECRET = "eu-central-1", "our-bucket", "AKIDEXAMPLE", "wJalr/K7MDENG+bPxR="
NOW = datetime(2025, 11, 5, 23, 59, 59, tzinfo=UTC)
PLAIN: Store = ("http://127.0.0.1:8333", "path", None)
STORES: list[Store] = [
    PLAIN,
    ("http://[::1]:9000", "path", None),
    ("http://Store.example:80/", "path", None),
    ("https://store.example:443", "virtual", None),
    ("https://store.example:8443", "virtual", "token+/="),
    ("https://store.example", "path", "token+/="),
    ("http://localhost:9000", "virtual", None),
    ("https://gateway.example/s3/v1/", "path", None),
    ("https://gateway.example/s3/v1", "virtual", None),
    ("https://s3.eu-central-1.amazonaws.com", "virtual", "token"),
    ("https://s3.eu-central-1.amazonaws.com", "path", None),
]

text = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=40)
digests = st.text(string.ascii_letters + string.digits + "+/", min_size=43, max_size=43).map(lambda text: text + "=")
sizes = st.integers(0, 5 * 1024**3)
expiries = st.integers(1, MAX_EXPIRES_S)
moments = st.datetimes(datetime(2000, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001
stores = st.sampled_from(STORES)
every_store = pytest.mark.parametrize("store", STORES, ids=lambda store: "-".join(map(str, store)))


@cache
def botocore_client(store: Store) -> Any:
    endpoint_url, addressing, session_token = store
    return botocore.session.Session().create_client(
        "s3",
        region_name=REGION,
        endpoint_url=endpoint_url,
        aws_access_key_id=ACCESS_KEY_ID,
        aws_secret_access_key=SECRET,
        aws_session_token=session_token,
        config=Config(
            signature_version="s3v4",
            s3={"addressing_style": addressing},
            request_checksum_calculation="when_required",
        ),
    )


def botocore_url(
    store: Store, operation: str, key: str, now: datetime = NOW, expires_s: int = 900, **params: object
) -> str:
    with mock.patch("botocore.auth.get_current_datetime", return_value=now):
        url: str = botocore_client(store).generate_presigned_url(
            operation, Params={"Bucket": BUCKET, "Key": key, **params}, ExpiresIn=expires_s
        )
    return url


def presigner(store: Store) -> Presigner:
    endpoint_url, addressing, session_token = store
    return Presigner(
        access_key_id=ACCESS_KEY_ID,
        secret_access_key=SECRET,
        session_token=session_token,
        region=REGION,
        endpoint_url=endpoint_url,
        bucket=BUCKET,
        addressing=addressing,
    )


@every_store
@pytest.mark.parametrize("key", ["blobs/0197f3a2/ab12/0197", "a/ü b~(1)+", "/lead//x/../y.", "100%?&=#", "\t\n日本語"])
def test_part_url_for_each_endpoint_equals_botocore(store: Store, key: str) -> None:
    parts = [(1, 8_388_608, "uU0nuZNNPgilLlLX2n2r+sSE7+N6U4DukIj3rOLvzek="), (9_999, 1, "A" * 43 + "=")]
    assert presigner(store).sign_parts(key, "2~up/=id", parts, now=NOW, expires_s=900) == [
        botocore_url(
            store,
            "upload_part",
            key,
            PartNumber=number,
            UploadId="2~up/=id",
            ContentLength=size_bytes,
            ChecksumSHA256=sha256_base64,
        )
        for number, size_bytes, sha256_base64 in parts
    ]


@given(
    store=stores,
    key=text,
    upload_id=text,
    parts=st.lists(st.tuples(st.integers(1, 10_000), sizes, digests), max_size=3),
    now=moments,
    expires_s=expiries,
)
def test_part_url_for_any_input_equals_botocore(
    *, store: Store, key: str, upload_id: str, parts: list[tuple[int, int, str]], now: datetime, expires_s: int
) -> None:
    assert presigner(store).sign_parts(key, upload_id, parts, now=now, expires_s=expires_s) == [
        botocore_url(
            store,
            "upload_part",
            key,
            now,
            expires_s,
            PartNumber=number,
            UploadId=upload_id,
            ContentLength=size_bytes,
            ChecksumSHA256=sha256_base64,
        )
        for number, size_bytes, sha256_base64 in parts
    ]


@every_store
def test_part_url_without_checksum_and_length_equals_botocore(store: Store) -> None:
    ours = presigner(store).sign(
        "PUT", "key", query={"uploadId": "u", "partNumber": "1"}, headers={}, now=NOW, expires_s=60
    )
    assert ours == botocore_url(store, "upload_part", "key", expires_s=60, UploadId="u", PartNumber=1)


@given(store=stores, key=text, size_bytes=sizes, digest=digests, kms_key=st.text(string.printable, min_size=1))
def test_put_url_with_headers_equals_botocore(
    store: Store, key: str, size_bytes: int, digest: str, kms_key: str
) -> None:
    ours = presigner(store).sign(
        "PUT",
        key,
        query={},
        headers={
            "Content-Length": str(size_bytes),
            "x-amz-checksum-sha256": digest,
            "X-Amz-Server-Side-Encryption": "aws:kms",
            "x-amz-server-side-encryption-aws-kms-key-id": kms_key,
        },
        now=NOW,
        expires_s=900,
    )
    assert ours == botocore_url(
        store,
        "put_object",
        key,
        ContentLength=size_bytes,
        ChecksumSHA256=digest,
        ServerSideEncryption="aws:kms",
        SSEKMSKeyId=kms_key,
    )


@given(store=stores, key=text, disposition=text, content_type=text)
def test_get_url_with_response_headers_equals_botocore(
    store: Store, key: str, disposition: str, content_type: str
) -> None:
    query = {"response-content-disposition": disposition, "response-content-type": content_type}
    assert presigner(store).sign("GET", key, query=query, headers={}, now=NOW, expires_s=300) == botocore_url(
        store,
        "get_object",
        key,
        expires_s=300,
        ResponseContentDisposition=disposition,
        ResponseContentType=content_type,
    )


@every_store
def test_head_url_equals_botocore(store: Store) -> None:
    ours = presigner(store)
    assert ours.sign("HEAD", "k", query={}, headers={}, now=NOW, expires_s=900) == botocore_url(
        store, "head_object", "k"
    )
    assert ours.sign(
        "HEAD", "k", query={}, headers={"X-Amz-Checksum-Mode": "ENABLED"}, now=NOW, expires_s=900
    ) == botocore_url(store, "head_object", "k", ChecksumMode="ENABLED")


def test_get_url_after_midnight_equals_botocore() -> None:
    ours = presigner(PLAIN)
    for now in (NOW, NOW + timedelta(seconds=1), NOW):
        assert ours.sign("GET", "k", query={}, headers={}, now=now, expires_s=9) == botocore_url(
            PLAIN, "get_object", "k", now, 9
        )
