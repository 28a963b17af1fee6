"""Security headers, allowed hosts and origins, and clients that send too slowly or too much."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator
from typing import Any

import httpx2
import pytest

from dropbox_api import middleware, serving
from dropbox_api.openapi import operations
from dropbox_api.storage.s3 import S3Config
from dropbox_api.uploads.routes import capabilities
from tests.conftest import Register
from tests.support.server import (
    PASSWORD,
    RunningServer,
    make_settings,
    register_account,
    running_server,
    upload_file,
)

ORIGIN = "https://files.example.org"
DATA_POLICY = "default-src 'none'; base-uri 'none'; frame-ancestors 'none'"


@pytest.fixture
async def hardened(postgres_url: str, s3_config: S3Config) -> AsyncIterator[RunningServer]:
    http = {
        "allowed_hosts": ["files.example.org"],
        "hsts_s": 3600,
        "trusted_proxies": ["127.0.0.1"],
        "cors_origins": [ORIGIN],
    }
    async with running_server(make_settings(postgres_url, s3_config, http=http)) as running:
        yield running


def assert_has_security_headers(answer: httpx2.Response) -> None:
    headers = answer.headers
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["cross-origin-resource-policy"] == "same-origin"
    assert headers["cross-origin-opener-policy"] == "same-origin"
    assert headers["content-security-policy"].startswith("default-src 'none'; ")
    assert "frame-ancestors 'none'" in headers["content-security-policy"]
    assert "server" not in headers
    assert "strict-transport-security" not in headers
    assert headers["x-request-id"]


async def test_every_answer_has_the_security_headers(api: httpx2.AsyncClient, register: Register) -> None:
    for answer in (
        await api.get("/healthz"),
        await api.get("/v1/me"),
        await api.get("/nothing"),
        await api.put("/healthz"),
        await api.post("/v1/auth/refresh", content=b"{"),
        await api.post("/v1/auth/refresh", content=b"x" * (9 * 1024**2)),
        await api.get("/openapi.json"),
    ):
        assert_has_security_headers(answer)
        assert answer.headers["content-security-policy"] == DATA_POLICY
    account = await register()
    mine = await account.client.get("/v1/me")
    assert_has_security_headers(mine)
    assert mine.headers["cache-control"] == "no-store"
    assert "cache-control" not in (await api.get("/healthz")).headers


async def test_unexpected_error_has_the_security_headers_and_no_details(
    register: Register, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    account = await register()
    monkeypatch.setattr(capabilities, "read_instance", None)
    with caplog.at_level(logging.INFO, "dropbox_api"):
        answer = await account.client.get("/v1/capabilities")
    assert (answer.status_code, answer.json()["code"]) == (500, "internal-error")
    assert_has_security_headers(answer)
    assert "NoneType" not in answer.text
    assert [record.getMessage() for record in caplog.records if record.levelno == logging.ERROR] == [
        "unhandled error on GET /v1/capabilities"
    ]
    (line,) = [record for record in caplog.records if record.name == "dropbox_api.access"]
    assert (vars(line)["status"], vars(line)["path"]) == (500, "/v1/capabilities")


async def test_docs_page_policy_allows_its_own_scripts_only(api: httpx2.AsyncClient) -> None:
    policy = (await api.get("/docs")).headers["content-security-policy"]
    assert "script-src 'self' 'sha256-" in policy
    assert "unsafe-inline" not in policy.split("style-src")[0]
    assert "unsafe-eval" not in policy


@pytest.mark.parametrize("host", ["files.example.org", "FILES.example.org", "files.example.org:8443"])
async def test_allowed_host_is_answered(hardened: RunningServer, host: str) -> None:
    async with httpx2.AsyncClient(base_url=hardened.url, headers={"Host": host}, timeout=60) as client:
        assert (await client.get("/v1/me")).status_code == 401


@pytest.mark.parametrize("host", ["evil.example", "files.example.org.evil.example", "files.example.org:80:80", "x"])
async def test_other_host_is_400(hardened: RunningServer, host: str) -> None:
    forwarded = {"Host": host, "X-Forwarded-Host": "files.example.org"}
    async with httpx2.AsyncClient(base_url=hardened.url, headers=forwarded, timeout=60) as client:
        answer = await client.get("/v1/me")
        assert (answer.status_code, answer.headers["content-type"]) == (400, "application/problem+json")
        assert (await client.get("/healthz")).status_code == 200


async def test_hsts_is_sent_over_https_only(hardened: RunningServer) -> None:
    async with httpx2.AsyncClient(base_url=hardened.url, headers={"Host": "files.example.org"}, timeout=60) as client:
        assert "strict-transport-security" not in (await client.get("/v1/me")).headers
        answer = await client.get("/v1/me", headers={"X-Forwarded-Proto": "https"})
        assert answer.headers["strict-transport-security"] == "max-age=3600; includeSubDomains"


async def test_link_pass_over_https_is_a_secure_cookie(postgres_url: str, s3_config: S3Config) -> None:
    async with (
        running_server(make_settings(postgres_url, s3_config, http={"trusted_proxies": ["127.0.0.1"]})) as server,
        (account := await register_account(server.url)).client,
        httpx2.AsyncClient(base_url=server.url, headers={"X-Forwarded-Proto": "https"}, timeout=60) as browser,
    ):
        file = await upload_file(account, b"hidden", "hidden.txt")
        body = {"mode": "view", "password": PASSWORD}
        link = (await account.client.post(f"/v1/files/{file['id']}/links", json=body)).raise_for_status().json()
        page = link["url_path"]
        given = await browser.post(f"{page}/password", data={"password": PASSWORD})
        cookie = given.headers["set-cookie"]
        assert cookie.startswith("__Secure-link-pass=")
        assert all(part in cookie for part in ("Secure", "HttpOnly", f"Path={page}"))
        value = cookie.partition("=")[2].partition(";")[0]
        for name, status in (("__Secure-link-pass", 200), ("link-pass", 401)):
            shown = await browser.get(page, headers={"Cookie": f"{name}={value}"})
            assert shown.status_code == status, name


@pytest.mark.parametrize(
    "origin",
    [
        "null",
        "*",
        "https://files.example.org.evil.example",
        "https://evil-files.example.org",
        "https://sub.files.example.org",
        "http://files.example.org",
        "https://files.example.org:8443",
        "https://files.example.org/",
        "HTTPS://FILES.EXAMPLE.ORG",
        "https://files.example.org@evil.example",
        "https://filesXexample.org",
        "file://",
    ],
)
async def test_other_origin_gets_no_cors_headers(hardened: RunningServer, origin: str) -> None:
    headers = {"Host": "files.example.org", "Origin": origin}
    async with httpx2.AsyncClient(base_url=hardened.url, headers=headers, timeout=60) as client:
        asked = {"Access-Control-Request-Method": "GET"}
        for answer in (await client.get("/v1/me"), await client.options("/v1/me", headers=asked)):
            assert "access-control-allow-origin" not in answer.headers


async def test_allowed_origin_may_read_the_limit_headers(hardened: RunningServer) -> None:
    headers = {"Host": "files.example.org", "Origin": ORIGIN}
    async with httpx2.AsyncClient(base_url=hardened.url, headers=headers, timeout=60) as client:
        answer = await client.get("/v1/me")
        assert answer.headers["access-control-allow-origin"] == ORIGIN
        assert "access-control-allow-credentials" not in answer.headers
        assert {"RateLimit", "Retry-After"} <= set(answer.headers["access-control-expose-headers"].split(", "))


@contextlib.asynccontextmanager
async def connection(server: RunningServer) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    reader, writer = await asyncio.open_connection("127.0.0.1", int(server.url.rsplit(":", 1)[1]))
    try:
        yield reader, writer
    finally:
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()


@pytest.mark.parametrize("head", [b"", b"G", b"GET /healthz HTTP/1.1\r\nHost: x\r\nX-Slow: "])
async def test_endless_head_closes_the_connection(
    server: RunningServer, monkeypatch: pytest.MonkeyPatch, head: bytes
) -> None:
    monkeypatch.setattr(serving, "HEAD_S", 0.2)
    async with connection(server) as (reader, writer), asyncio.timeout(15):
        writer.write(head)
        assert await reader.read() == b"", "closed without an answer"


async def test_endless_body_is_400_and_closes_the_connection(
    server: RunningServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(middleware, "BODY_S", 0.2)
    async with connection(server) as (reader, writer):
        head = "POST /v1/auth/refresh HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
        head += "Content-Length: 100\r\n\r\n{"
        writer.write(head.encode())
        answer = await reader.read()
    assert answer.startswith(b"HTTP/1.1 400")
    assert b"connection: close" in answer.lower()


@pytest.mark.parametrize("path", ["/v1/auth/refresh", "/v1/me/tokens", "/verify-email", "/s/x/password"])
async def test_large_body_without_a_token_is_413(api: httpx2.AsyncClient, path: str) -> None:
    headers = {"Content-Type": "application/json" if path.startswith("/v1") else "application/x-www-form-urlencoded"}
    answer = await api.post(path, content=b"x" * (64 * 1024 + 1), headers=headers)
    assert answer.status_code == 413


async def test_validation_problem_lists_at_most_100_errors(api: httpx2.AsyncClient) -> None:
    answer = await api.post("/v1/auth/refresh", json=dict.fromkeys(map(str, range(5000))))
    assert (answer.status_code, len(answer.json()["errors"])) == (422, 100)


async def test_keep_alive_connection_gets_the_full_head_time_for_each_request(
    server: RunningServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The time limit of a head starts with each request and ends with its head."""
    monkeypatch.setattr(serving, "HEAD_S", 0.3)
    request = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"
    async with connection(server) as (reader, writer):
        for _ in range(4):
            writer.write(request)
            assert (await reader.readuntil(b"}")).startswith(b"HTTP/1.1 200")
            await asyncio.sleep(0.15)


async def test_uvicorn_options_follow_the_settings(postgres_url: str, s3_config: S3Config) -> None:
    http: dict[str, Any] = {"idle_timeout_s": 7, "trusted_proxies": ["10.0.0.0/8"]}
    options = serving.options(make_settings(postgres_url, s3_config, http=http))
    assert (options["timeout_keep_alive"], options["forwarded_allow_ips"]) == (7, ["10.0.0.0/8"])


def find_headers(document: dict[str, Any]) -> tuple[set[str], set[str]]:
    """Return the headers that the requests and the answers of an OpenAPI document have, in lower case."""

    def resolve(value: dict[str, Any]) -> dict[str, Any]:
        while "$ref" in value:
            _, _, section, name = value["$ref"].split("/")
            value = document["components"][section][name]
        return value

    read, answered = set[str](), set[str]()
    for operation in operations(document):
        parameters = [resolve(parameter) for parameter in operation.get("parameters", ())]
        read |= {each["name"].lower() for each in parameters if each["in"] == "header"}
        for response in operation["responses"].values():
            answered |= {name.lower() for name in resolve(response).get("headers", {})}
    return read, answered


UNDESCRIBED = {"authorization", "content-type", "x-request-id"}
"""Headers of every request: OpenAPI has other places for the first two."""
OWN_PAGES_ONLY = {"x-session"}
"""Only pages of the server itself may ask for a session cookie."""


async def test_other_origin_may_send_and_read_exactly_the_headers_of_the_document(hardened: RunningServer) -> None:
    read, answered = find_headers(hardened.app.openapi())
    read = (read | UNDESCRIBED) - OWN_PAGES_ONLY
    async with httpx2.AsyncClient(base_url=hardened.url, headers={"Host": "files.example.org"}, timeout=60) as client:
        for header in (*sorted(read), ", ".join(sorted(read))):
            asked = {
                "Origin": ORIGIN,
                "Access-Control-Request-Method": "POST",
                "Access-Control-Request-Headers": header,
            }
            preflight = await client.options("/v1/files", headers=asked)
            assert preflight.status_code == 200, (header, preflight.text)
        allowed = preflight.headers["access-control-allow-headers"].lower().split(", ")
        assert set(allowed) - {"accept", "accept-language", "content-language"} == read
        for header in ("X-Other", *OWN_PAGES_ONLY):
            refused = asked | {"Access-Control-Request-Headers": header}
            assert (await client.options("/v1/files", headers=refused)).status_code == 400
        answer = await client.get("/v1/me", headers={"Origin": ORIGIN})
    assert set(answer.headers["access-control-expose-headers"].lower().split(", ")) == answered
    assert answer.headers["www-authenticate"] == "Bearer"
