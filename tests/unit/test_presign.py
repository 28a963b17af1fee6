"""Presigning: the example published by AWS, and refused inputs. Equality with botocore: tests/property."""

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from dropbox_api.core.presign import MAX_EXPIRES_S, Presigner

NOW = datetime(2013, 5, 24, tzinfo=UTC)


def example(**changes: Any) -> Presigner:
    """Return a signer with the credentials of the examples in the documentation of AWS."""
    arguments: dict[str, Any] = {
        "access_key_id": "AKIAIOSFODNN7EXAMPLE",
        "secret_access_key": "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
        "session_token": None,
        "region": "us-east-1",
        "endpoint_url": "https://s3.amazonaws.com",
        "bucket": "examplebucket",
        "addressing": "virtual",
    }
    return Presigner(**(arguments | changes))


def test_url_of_the_aws_example_is_the_published_one() -> None:
    url = example().sign("GET", "test.txt", query={}, headers={}, now=NOW, expires_s=86_400)
    assert url == (
        "https://examplebucket.s3.amazonaws.com/test.txt?X-Amz-Algorithm=AWS4-HMAC-SHA256"
        "&X-Amz-Credential=AKIAIOSFODNN7EXAMPLE%2F20130524%2Fus-east-1%2Fs3%2Faws4_request"
        "&X-Amz-Date=20130524T000000Z&X-Amz-Expires=86400&X-Amz-SignedHeaders=host"
        "&X-Amz-Signature=aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404"
    )


def test_url_of_the_same_moment_in_another_zone_is_the_same() -> None:
    tokyo = NOW.astimezone(timezone(timedelta(hours=9)))
    signer = example()
    assert signer.sign("GET", "k", query={}, headers={}, now=tokyo, expires_s=1) == signer.sign(
        "GET", "k", query={}, headers={}, now=NOW, expires_s=1
    )


def test_sign_parts_equals_sign() -> None:
    signer, digest = example(session_token="t/="), "uU0nuZNNPgilLlLX2n2r+sSE7+N6U4DukIj3rOLvzek="
    assert signer.sign_parts("k", "u", [(7, 5, digest)], now=NOW, expires_s=60) == [
        # The order of query parameters is that of botocore: those of the operation first.
        signer.sign(
            "PUT",
            "k",
            query={"partNumber": "7", "uploadId": "u"},
            headers={"CONTENT-LENGTH": "5", "X-Amz-Checksum-Sha256": f"  {digest} "},
            now=NOW,
            expires_s=60,
        )
    ]


def test_each_signed_value_changes_the_signature() -> None:
    def signature(
        key: str = "k", upload_id: str = "u", part: tuple[int, int, str] = (1, 5, "a"), ttl_s: int = 60
    ) -> str:
        [url] = example().sign_parts(key, upload_id, [part], now=NOW, expires_s=ttl_s)
        return url.rpartition("=")[2]

    signatures = {
        signature(),
        signature(key="other"),
        signature(upload_id="other"),
        signature(part=(2, 5, "a")),
        signature(part=(1, 6, "a")),
        signature(part=(1, 5, "b")),
        signature(ttl_s=61),
    }
    assert len(signatures) == 7


def test_sign_parts_of_nothing_returns_nothing() -> None:
    assert example().sign_parts("k", "u", [], now=NOW, expires_s=60) == []


@pytest.mark.parametrize("expires_s", [-1, 0, MAX_EXPIRES_S + 1])
def test_expiry_outside_the_limits_of_s3_is_refused(expires_s: int) -> None:
    with pytest.raises(ValueError, match="lives"):
        example().sign_parts("k", "u", [], now=NOW, expires_s=expires_s)
    with pytest.raises(ValueError, match="lives"):
        example().sign("GET", "k", query={}, headers={}, now=NOW, expires_s=expires_s)


def test_sign_with_a_naive_time_is_refused() -> None:
    with pytest.raises(ValueError, match="aware"):
        example().sign("GET", "k", query={}, headers={}, now=NOW.replace(tzinfo=None), expires_s=1)


@pytest.mark.parametrize(
    "changes",
    [
        {"endpoint_url": "s3.amazonaws.com"},
        {"endpoint_url": "ftp://s3.amazonaws.com"},
        {"endpoint_url": "https://"},
        {"endpoint_url": "https://user@s3.amazonaws.com"},
        {"endpoint_url": "https://s3.amazonaws.com?x=1"},
        {"endpoint_url": "https://s3.amazonaws.com#x"},
        {"endpoint_url": "http://127.0.0.1:8333"},
        {"endpoint_url": "http://[::1]:8333"},
        {"bucket": "dotted.bucket"},
        {"bucket": "Upper"},
    ],
)
def test_endpoint_that_cannot_be_addressed_is_refused(changes: dict[str, str]) -> None:
    with pytest.raises(ValueError, match=r"endpoint|virtual"):
        example(**changes)


def test_dotted_bucket_is_addressed_by_path() -> None:
    url = example(bucket="dotted.bucket", addressing="path").sign(
        "GET", "k", query={}, headers={}, now=NOW, expires_s=1
    )
    assert url.startswith("https://s3.amazonaws.com/dotted.bucket/k?X-Amz-Algorithm=")


def test_repr_of_the_signer_holds_no_secret() -> None:
    assert "wJalr" not in repr(example(session_token="wJalr"))


def test_sign_keys_equals_sign_of_each_key() -> None:
    values: dict[str, Any] = {"query": {"a": "1 2"}, "headers": {"b": "2"}, "now": NOW, "expires_s": 60}
    keys, signer = ["a/ä b.webp", "c"], example()
    assert signer.sign_keys("GET", keys, **values) == [example().sign("GET", key, **values) for key in keys]
    assert signer.sign_keys("GET", [], **values) == []
