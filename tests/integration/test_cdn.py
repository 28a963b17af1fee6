"""Downloads through a fake CloudFront that checks policy and signature as AWS describes them."""

import asyncio
import ipaddress
import json
import re
import time
from base64 import b64decode
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

import httpx2
import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from dropbox_api.app import create_app
from dropbox_api.core.presign import Presigner
from dropbox_api.settings import MIB, Settings
from dropbox_api.storage.s3 import S3Config
from tests.support.server import (
    NO_TLS,
    Account,
    RunningServer,
    make_settings,
    migrated_database,
    register_account,
    running_server,
    upload_file,
)

KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
PEM = KEY.private_bytes(
    serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
).decode()
NAME = 'a "quoted" * é🎉.txt'
REFUSED = b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


@dataclass
class Distribution:
    """Accepts signed requests and fetches the object from the bucket with its own credentials."""

    bucket: S3Config
    url: str = ""
    late_s: int = 0
    """How far the distribution's clock is ahead."""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            writer.write(await self._answer(head, writer.get_extra_info("peername")[0]))
            await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    async def _answer(self, head: str, address: str) -> bytes:
        method, target, _ = head.split(" ", 2)
        resource, _, _ = target.partition("&Policy=")
        query = dict(parse_qsl(urlsplit(target).query))
        if not self._lets_through(self.url + resource, query, address):
            return REFUSED
        asked_range = re.search(r"\r\nrange: (.+)\r\n", head, re.IGNORECASE)
        assert self.bucket.access_key_id
        assert self.bucket.secret_access_key
        assert self.bucket.endpoint_url
        signer = Presigner(
            access_key_id=self.bucket.access_key_id,
            secret_access_key=self.bucket.secret_access_key,
            session_token=None,
            region=self.bucket.region,
            endpoint_url=self.bucket.endpoint_url,
            bucket=self.bucket.bucket,
            addressing="path",
        )
        forwarded = {name: value for name, value in query.items() if name.startswith("response-")}
        key = unquote(urlsplit(resource).path.removeprefix("/"))
        url = signer.sign(method, key, query=forwarded, headers={}, now=datetime.now(UTC), expires_s=60)
        async with httpx2.AsyncClient(verify=NO_TLS, timeout=60) as origin:
            got = await origin.request(method, url, headers={"Range": asked_range[1]} if asked_range else {})
        kept = ("content-length", "content-type", "content-disposition", "content-range", "etag")
        lines = "".join(f"{name}: {got.headers[name]}\r\n" for name in kept if name in got.headers)
        return f"HTTP/1.1 {got.status_code} Fine\r\n{lines}Connection: close\r\n\r\n".encode() + got.content

    def _lets_through(self, url: str, query: Mapping[str, str], address: str) -> bool:
        try:
            policy, signature = _decode(query["Policy"]), _decode(query["Signature"])
            KEY.public_key().verify(signature, policy, padding.PKCS1v15(), hashes.SHA1())  # noqa: S303
        except (InvalidSignature, KeyError, ValueError):
            return False
        (statement,) = json.loads(policy)["Statement"]
        condition = statement["Condition"]
        anywhere = {"AWS:SourceIp": "0.0.0.0/0"}
        return (
            query["Key-Pair-Id"] == "K123"
            and fnmatchcase(url, statement["Resource"].replace("[", "[[]"))
            and time.time() + self.late_s < condition["DateLessThan"]["AWS:EpochTime"]
            and ipaddress.ip_address(address)
            in ipaddress.ip_network(condition.get("IpAddress", anywhere)["AWS:SourceIp"])
        )


def _decode(text: str) -> bytes:
    return b64decode(text.translate(str.maketrans("-_~", "+=/")), validate=True)


@asynccontextmanager
async def distribution(bucket: S3Config) -> AsyncIterator[Distribution]:
    made = Distribution(bucket)
    server = await asyncio.start_server(made.serve, "127.0.0.1", 0)
    made.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    async with server:
        yield made


def with_cdn(settings: Settings, cdn: Distribution, **more: Any) -> Settings:
    group = {"url": cdn.url, "key_pair_id": "K123", "private_key": PEM} | more
    return Settings.model_validate(settings.model_dump() | {"cdn": group})


@pytest.fixture(scope="module")
async def cdn(s3_config: S3Config) -> AsyncIterator[Distribution]:
    async with distribution(s3_config) as made:
        yield made


@pytest.fixture(scope="module", params=[False, True], ids=["unbound", "bound"])
async def behind(
    request: pytest.FixtureRequest, postgres_url: str, s3_config: S3Config, cdn: Distribution
) -> AsyncIterator[RunningServer]:
    async with AsyncExitStack() as stack:
        url = await stack.enter_async_context(migrated_database(postgres_url))
        settings = with_cdn(make_settings(url, s3_config), cdn, bind_address=request.param)
        yield await stack.enter_async_context(running_server(settings))


@pytest.fixture
async def owner(behind: RunningServer) -> AsyncIterator[Account]:
    account = await register_account(behind.url)
    async with account.client:
        yield account


async def fetch(url: str, method: str = "GET", **headers: str) -> httpx2.Response:
    async with httpx2.AsyncClient(verify=NO_TLS, timeout=60) as client:
        return await client.request(method, url, headers=headers)


async def test_download_goes_through_the_distribution(owner: Account, cdn: Distribution) -> None:
    data = bytes(range(256)) * 4096
    file = await upload_file(owner, data, NAME, content_type="text/html")
    redirect = await owner.client.get(f"/v1/files/{file['id']}/content")
    told = (await owner.client.get(f"/v1/files/{file['id']}/download")).raise_for_status().json()
    assert redirect.status_code == 307
    for url in (redirect.headers["location"], told["url"]):
        assert url.startswith(f"{cdn.url}/blobs/")
        assert "X-Amz" not in url
        got = await fetch(url)
        assert (got.status_code, got.content) == (200, data)
        assert got.headers["content-type"] == "text/html"
        assert got.headers["content-disposition"].startswith("attachment; ")
        assert "filename*=UTF-8''a%20%22quoted%22%20%2A%20%C3%A9%F0%9F%8E%89.txt" in got.headers["content-disposition"]
    part = await fetch(redirect.headers["location"], Range="bytes=10-19")
    assert (part.status_code, part.content) == (206, data[10:20])
    head = await owner.client.head(f"/v1/files/{file['id']}/content")
    seen = await fetch(head.headers["location"], "HEAD")
    assert (seen.status_code, seen.headers["content-length"]) == (200, str(len(data)))


async def test_upload_goes_directly_to_the_store(owner: Account, cdn: Distribution, behind: RunningServer) -> None:
    body = {"fingerprint": "0" * 64, "size_bytes": 9 * MIB, "destination": {"name": "x"}}
    upload = (await owner.client.post("/v1/uploads", json=body)).raise_for_status().json()["upload"]
    parts = {"parts": [{"number": 1, "sha256": "0" * 64}]}
    signed = (await owner.client.post(f"/v1/uploads/{upload['id']}/parts", json=parts)).raise_for_status().json()
    assert signed["parts"][0]["url"].startswith(str(behind.settings.s3.endpoint_url))


async def test_url_expired_or_altered_is_refused(owner: Account, cdn: Distribution) -> None:
    file = await upload_file(owner, b"mine", "a.txt")
    other = await upload_file(owner, b"other", "b.txt")
    url, of_other = [
        (await owner.client.get(f"/v1/files/{one['id']}/content")).headers["location"] for one in (file, other)
    ]
    assert (await fetch(url)).content == b"mine"
    policy, _, signature = url.partition("&Signature=")
    altered = {
        "another object": url.replace(urlsplit(url).path, urlsplit(of_other).path),
        "another name": url.replace("a.txt", "b.txt"),
        "to be shown": url.replace("attachment", "inline"),
        "another policy": url.replace(
            url.split("Policy=")[1].split("&")[0], of_other.split("Policy=")[1].split("&")[0]
        ),
        "another signature": f"{policy}&Signature={'B' if signature[0] == 'A' else 'A'}{signature[1:]}",
        "another key": url.replace("K123", "K124"),
        "unsigned": url.partition("&Policy=")[0],
        "nothing asked": url.partition("?")[0],
    }
    assert url not in altered.values()
    assert {why: (await fetch(one)).status_code for why, one in altered.items()} == dict.fromkeys(altered, 403)
    cdn.late_s = 301
    try:
        assert (await fetch(url)).status_code == 403
        cdn.late_s = 290
        assert (await fetch(url)).content == b"mine"
    finally:
        cdn.late_s = 0


async def test_bound_url_from_another_address_is_refused(owner: Account, behind: RunningServer) -> None:
    """The same client from another address: refused only where URLs are bound."""
    file = await upload_file(owner, b"mine", "a.txt")
    url = (await owner.client.get(f"/v1/files/{file['id']}/content")).headers["location"]
    elsewhere = httpx2.AsyncHTTPTransport(local_address="127.0.0.2")
    async with httpx2.AsyncClient(transport=elsewhere, timeout=60) as client:
        assert (await client.get(url)).status_code == (403 if behind.settings.cdn.bind_address else 200)


async def test_server_with_an_unreadable_key_does_not_start(
    postgres_url: str, s3_config: S3Config, cdn: Distribution
) -> None:
    settings = with_cdn(make_settings(postgres_url, s3_config), cdn, private_key="-----BEGIN SECRET-----")
    app = create_app(settings)
    with pytest.raises(ValueError, match="DROPBOX_CDN__PRIVATE_KEY") as error:
        await app.router.lifespan_context(app).__aenter__()
    assert "SECRET" not in str(error.value)
