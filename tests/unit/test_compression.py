"""The choice of a content coding by Accept-Encoding (RFC 9110 section 12.5.3)."""

import gzip
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dropbox_api.compression import CODINGS, choose_coding

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd


@pytest.mark.parametrize(
    ("accept", "coding"),
    [
        ("", None),
        ("gzip", "gzip"),
        ("GZIP", "gzip"),
        ("gzip, deflate, br, zstd", "zstd"),
        ("zstd;q=0.5, gzip;q=1.0", "gzip"),
        ("gzip; q=0.2", "gzip"),
        ("gzip;q=0", None),
        ("zstd;q=0, gzip", "gzip"),
        ("identity, gzip;q=0.5", None),
        ("identity;q=0, gzip;q=0.1", "gzip"),
        ("*", None),
        ("br", None),
        ("gzip;q=x", None),
        ("gzip;level=9", None),
        ("gzipped", None),
    ],
)
def test_coding_is_the_preferred_supported_one(accept: str, coding: str | None) -> None:
    assert choose_coding(accept) == coding


@given(st.text(max_size=60))
def test_arbitrary_header_chooses_a_named_coding_or_none(accept: str) -> None:
    coding = choose_coding(accept)
    assert coding is None or coding in accept.lower()


@given(st.binary(max_size=10_000))
def test_compressed_body_decodes_to_the_original(body: bytes) -> None:
    assert gzip.decompress(CODINGS["gzip"](body)) == body
    assert zstd.decompress(CODINGS["zstd"](body)) == body
