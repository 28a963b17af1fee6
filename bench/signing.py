"""Presigning 10,000 parts: this server, botocore, and the lower bound of a signer in Python."""

import hashlib
import time
from base64 import b64encode
from datetime import UTC, datetime
from statistics import median
from typing import Any

import botocore
import botocore.session
from botocore.config import Config

from bench.table import MIB, Row, Section, interleaved, ms, times
from dropbox_api.core.presign import Presigner

_PARTS = 10_000
_BOTOCORE_PARTS = 1_000
_BATCH = 1_000
"""The maximum of one request: signing blocks the event loop at most this long."""


def measure() -> Section:
    signer = Presigner(
        access_key_id="id",
        secret_access_key="secret",  # noqa: S106 - signs nothing real
        session_token=None,
        region="us-east-1",
        endpoint_url="http://127.0.0.1:9000",
        bucket="dropbox",
        addressing="path",
    )
    boto: Any = botocore.session.get_session().create_client(
        "s3",
        region_name="us-east-1",
        endpoint_url="http://127.0.0.1:9000",
        aws_access_key_id="id",
        aws_secret_access_key="secret",  # noqa: S106
        config=Config(signature_version="s3v4", s3={"addressing_style": "path"}),
    )
    parts = [
        (number, 8 * MIB, b64encode(hashlib.sha256(b"%d" % number).digest()).decode())
        for number in range(1, _PARTS + 1)
    ]
    batches: list[float] = []

    def ours() -> float:
        began = time.perf_counter()
        for start in range(0, _PARTS, _BATCH):
            batch_began = time.perf_counter()
            signer.sign_parts("key", "upload", parts[start : start + _BATCH], now=datetime.now(UTC), expires_s=1800)
            batches.append(time.perf_counter() - batch_began)
        return time.perf_counter() - began

    def botocores() -> float:
        began = time.perf_counter()
        for number, size_bytes, sha256 in parts[:_BOTOCORE_PARTS]:
            arguments = {
                "Bucket": "dropbox",
                "Key": "key",
                "UploadId": "upload",
                "PartNumber": number,
                "ContentLength": size_bytes,
                "ChecksumSHA256": sha256,
            }
            boto.generate_presigned_url("upload_part", arguments, ExpiresIn=1800)
        return (time.perf_counter() - began) * _PARTS / _BOTOCORE_PARTS

    inner, outer = hashlib.sha256(b"i" * 64), hashlib.sha256(b"o" * 64)
    request = b"r" * 300  # the part of the request that differs between parts, and the rest

    def floor() -> float:
        began = time.perf_counter()
        for _ in range(_PARTS):
            first, second = inner.copy(), outer.copy()
            first.update(hashlib.sha256(request).hexdigest().encode())
            second.update(first.digest())
            second.hexdigest()
        return time.perf_counter() - began

    found = {
        name: median(values)
        for name, values in interleaved(5, {"ours": ours, "botocore": botocores, "floor": floor}).items()
    }
    batch_s = median(batches)
    return Section(
        "Signing",
        [
            Row(
                f"presign {_PARTS:,} parts",
                ms(found["ours"]),
                f"botocore {botocore.__version__}: {ms(found['botocore'])}",
                f"{times(found['botocore'] / found['ours'])} as fast",
                ">= 60x",
                found["botocore"] / found["ours"] >= 60,
            ),
            Row(
                "the same, beside one bare SHA-256 and one bare HMAC a part",
                ms(found["ours"]),
                f"floor: {ms(found['floor'])}",
                times(found["ours"] / found["floor"]),
                "<= 3x",
                found["ours"] / found["floor"] <= 3,
            ),
            Row(
                f"event loop held by the largest request ({_BATCH:,} parts)",
                ms(batch_s),
                "",
                "",
                "<= 10 ms",
                batch_s <= 0.01,
            ),
        ],
        [
            f"botocore signs {_BOTOCORE_PARTS:,} parts and is extrapolated; both sign content-length and checksum.",
            f"Slowest of {len(batches)} batches: {ms(max(batches))}.",
        ],
    )
