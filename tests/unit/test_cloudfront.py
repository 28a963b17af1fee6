"""Signed URLs of CloudFront, compared with the signer of botocore and verified by OpenSSL."""

import json
import subprocess
from base64 import b64decode
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from botocore.signers import CloudFrontSigner
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa

from dropbox_api.core.content_disposition import format_content_disposition
from dropbox_api.plumbing.store_config import read_s3_config
from dropbox_api.settings import Settings
from dropbox_api.storage.cloudfront import CloudFront

KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
URL = "https://d111.cloudfront.net"
UNTIL = datetime(2030, 1, 2, 3, 4, 5, 678, tzinfo=UTC)
QUERY = {
    "response-content-disposition": format_content_disposition("a *?&=+~ é🎉.txt", inline=False),
    "response-content-type": "text/plain; charset=utf-8",
}


def pem(key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey, password: bytes | None = None) -> str:
    locked = serialization.BestAvailableEncryption(password) if password else serialization.NoEncryption()
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, locked).decode()


def signed(*, bind_address: bool = False, address: str | None = None) -> str:
    cdn = CloudFront(URL + "/", "K123", pem(KEY), bind_address=bind_address)
    return cdn.sign("blobs/a-b/c", QUERY, expires_at=UNTIL, address=address)


def decode(text: str) -> bytes:
    return b64decode(text.translate(str.maketrans("-_~", "+=/")))


def policy_of(url: str) -> bytes:
    return decode(parse_qs(urlsplit(url).query)["Policy"][0])


@pytest.mark.parametrize("address", [None, "192.0.2.7"])
def test_url_equals_botocore(address: str | None) -> None:
    url = signed(bind_address=address is not None, address=address)
    peer = CloudFrontSigner("K123", lambda policy: KEY.sign(policy, padding.PKCS1v15(), hashes.SHA1()))  # noqa: S303
    resource = url.partition("&Policy=")[0]
    policy = peer.build_policy(resource, UNTIL, ip_address=address)
    assert url == peer.generate_presigned_url(resource, policy=policy)


def test_signature_is_verified_by_openssl(tmp_path: Path) -> None:
    url = signed()
    public = KEY.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    files = {
        "key": public,
        "policy": policy_of(url),
        "signature": decode(parse_qs(urlsplit(url).query)["Signature"][0]),
    }
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    verify = ["openssl", "dgst", "-sha1", "-verify", "key", "-signature", "signature", "policy"]
    assert subprocess.run(verify, cwd=tmp_path, capture_output=True, text=True, check=True).stdout == "Verified OK\n"
    (tmp_path / "policy").write_bytes(files["policy"] + b" ")
    assert subprocess.run(verify, cwd=tmp_path, capture_output=True, check=False).returncode != 0


def test_policy_covers_exactly_this_url() -> None:
    url = signed()
    (statement,) = json.loads(policy_of(url))["Statement"]
    assert url.startswith(statement["Resource"] + "&Policy=")
    assert statement["Resource"].startswith(f"{URL}/blobs/a-b/c?response-content-disposition=")
    assert "*" not in statement["Resource"]
    assert statement["Resource"].count("?") == 1
    assert statement["Condition"] == {"DateLessThan": {"AWS:EpochTime": 1893553445}}
    asked = {name: value for name, (value,) in parse_qs(urlsplit(url).query).items() if name in QUERY}
    assert asked == QUERY


@pytest.mark.parametrize(
    ("address", "only"),
    [("192.0.2.7", "192.0.2.7/32"), ("::ffff:192.0.2.7", "192.0.2.7/32"), ("2001:db8::7", "2001:db8::7/128")],
)
def test_bound_url_is_valid_for_one_address(address: str, only: str) -> None:
    (statement,) = json.loads(policy_of(signed(bind_address=True, address=address)))["Statement"]
    assert statement["Condition"]["IpAddress"] == {"AWS:SourceIp": only}


@pytest.mark.parametrize("address", [None, "", "testclient", "192.0.2.0/24"])
def test_bound_url_without_a_client_address_is_refused(address: str | None) -> None:
    with pytest.raises(ValueError, match="address"):
        signed(bind_address=True, address=address)


def test_url_with_the_longest_name_is_within_the_limit_of_cloudfront() -> None:
    query = QUERY | {"response-content-disposition": format_content_disposition("日" * 85, inline=False)}
    assert len(CloudFront(URL, "K" * 20, pem(KEY)).sign("b" * 300, query, expires_at=UNTIL, address=None)) < 8192


def test_object_above_the_limit_is_served_only_by_bound_urls() -> None:
    assert [CloudFront(URL, "K", pem(KEY)).serves(size) for size in (0, 50 * 10**9, 50 * 10**9 + 1)] == [
        True,
        True,
        False,
    ]
    assert CloudFront(URL, "K", pem(KEY), bind_address=True).serves(10**13)


@pytest.mark.parametrize(
    "unreadable",
    [
        "",
        "-----BEGIN PRIVATE KEY-----\nc2VjcmV0\n-----END PRIVATE KEY-----\n",
        pem(KEY, password=b"locked"),
        pem(ec.generate_private_key(ec.SECP256R1())),
    ],
    ids=["nothing", "damaged", "locked", "not-rsa"],
)
def test_unreadable_key_is_refused_with_the_name_of_its_setting(unreadable: str) -> None:
    cdn = {"url": URL, "key_pair_id": "K", "private_key": unreadable}
    settings = Settings.model_validate({"mode": "dev", "cdn": cdn})
    with pytest.raises(ValueError, match="DROPBOX_CDN__PRIVATE_KEY") as error:
        read_s3_config(settings)
    shown = f"{error.value!r} {error.value.__cause__!r}"
    assert not any(line in shown for line in unreadable.splitlines() if line)


def test_repr_of_the_configuration_holds_no_key() -> None:
    cdn = {"url": URL, "key_pair_id": "K", "private_key": pem(KEY)}
    config = read_s3_config(Settings.model_validate({"mode": "dev", "cdn": cdn}))
    assert config.cdn is not None
    assert "CloudFront" not in repr(config)
