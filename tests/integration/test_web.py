"""The web app as the server sends it: at which paths, with which headers. The tests write a small build."""

import base64
import gzip
import hashlib
import re
from collections.abc import AsyncIterator
from pathlib import Path

import httpx2
import pytest

from dropbox_api import web
from dropbox_api.core.client_paths import CLIENT_PREFIXES
from dropbox_api.storage.s3 import S3Config
from tests.support.server import NO_TLS, RunningServer, make_settings, running_server

PAGE = '<!doctype html><meta property="csp-nonce" nonce="NONCE-OF-THE-ANSWER"><script src="/assets/hashed/app-1a.js">'
OFFLINE = "<!doctype html><style>p { margin: 0 }</style><p>No connection</p><script>reload()</script>"
SCRIPT = "// " + "built " * 1000


@pytest.fixture(scope="module")
def build(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("web")
    files = {
        "index.html": PAGE,
        "offline.html": OFFLINE,
        "sw.js": "// worker",
        "manifest.webmanifest": "{}",
        ".vite/manifest.json": "{}",
        "assets/link.js": "// link",
        "assets/hashed/app-1a.js": SCRIPT,
    }
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    (folder / "assets/hashed/app-1a.js.gz").write_bytes(gzip.compress(SCRIPT.encode()))
    (folder / "assets/hashed/app-1a.js.br").write_bytes(b"as brotli")
    return folder


@pytest.fixture(scope="module")
async def web_server(postgres_url: str, s3_config: S3Config, build: Path) -> AsyncIterator[RunningServer]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(web, "FOLDER", build)
        async with running_server(make_settings(postgres_url, s3_config)) as running:
            yield running


@pytest.fixture
async def browser(web_server: RunningServer) -> AsyncIterator[httpx2.AsyncClient]:
    async with httpx2.AsyncClient(base_url=web_server.url, verify=NO_TLS) as client:
        yield client


@pytest.mark.parametrize("path", ["/", *CLIENT_PREFIXES, "/files/0198f5f0", "/account/security?x=1"])
async def test_page_answers_at_paths_of_the_app_and_is_never_stored(browser: httpx2.AsyncClient, path: str) -> None:
    answer = await browser.get(path)
    assert (answer.status_code, answer.headers["cache-control"]) == (200, "no-store")
    assert answer.headers["content-type"].startswith("text/html")
    assert "camera=()" in answer.headers["permissions-policy"]


@pytest.mark.parametrize(
    "path",
    [
        "/v1/unknown",
        "/filesystem",
        "/assets/hashed/app-2b.js",
        "/assets/../index.html",
        "/assets/%2e%2e/index.html",
        "/.vite/manifest.json",
        "/index.html",
        "/assets/hashed/app-1a.js.gz",
        "/s/unknown/x",
    ],
)
async def test_page_answers_at_no_other_path(browser: httpx2.AsyncClient, path: str) -> None:
    answer = await browser.get(path)
    assert answer.status_code == 404
    assert "csp-nonce" not in answer.text


async def test_page_has_a_new_nonce_in_each_answer_which_its_policy_names(browser: httpx2.AsyncClient) -> None:
    answers = [await browser.get("/files") for _ in range(2)]
    nonces = [re.findall(r'nonce="([^"]+)"', answer.text) for answer in answers]
    assert len({nonce for (nonce,) in nonces}) == 2
    for answer, (nonce,) in zip(answers, nonces, strict=True):
        assert f"style-src 'self' 'nonce-{nonce}';" in answer.headers["content-security-policy"]


async def test_policy_of_the_page_allows_script_of_the_server_and_content_of_the_bucket(
    browser: httpx2.AsyncClient, s3_config: S3Config
) -> None:
    answer = await browser.get("/")
    policy = dict(rule.strip().split(" ", 1) for rule in answer.headers["content-security-policy"].split(";"))
    bucket = f"{s3_config.endpoint_url}/{s3_config.bucket}/"
    assert policy.pop("style-src").startswith("'self' 'nonce-")
    assert policy == {
        "default-src": "'none'",
        "script-src": "'self' 'wasm-unsafe-eval'",
        "worker-src": "'self'",
        "font-src": "'self'",
        "img-src": f"'self' blob: data: {bucket}",
        "media-src": f"'self' blob: {bucket}",
        "connect-src": f"'self' {bucket}",
        "manifest-src": "'self'",
        "base-uri": "'none'",
        "form-action": "'self'",
        "frame-ancestors": "'none'",
    }


@pytest.mark.parametrize(
    ("accepted", "coding", "body"),
    [("br, gzip", "br", b"as brotli"), ("gzip", "gzip", SCRIPT.encode()), ("identity", None, SCRIPT.encode())],
)
async def test_hashed_file_comes_as_the_build_compressed_it_and_is_kept_for_ever(
    browser: httpx2.AsyncClient, accepted: str, coding: str | None, body: bytes
) -> None:
    async with browser.stream("GET", "/assets/hashed/app-1a.js", headers={"Accept-Encoding": accepted}) as answer:
        received = b"".join([piece async for piece in answer.aiter_raw()])
    assert (gzip.decompress(received) if coding == "gzip" else received) == body
    assert answer.headers.get("content-encoding") == coding
    assert answer.headers["cache-control"] == "public, max-age=31536000, immutable"
    assert answer.headers["vary"] == "Accept-Encoding"
    assert answer.headers["content-type"] == "text/javascript; charset=utf-8"


@pytest.mark.parametrize("path", ["/sw.js", "/assets/link.js"])
async def test_script_without_a_hash_is_asked_for_each_time_and_has_the_policy_of_workers(
    browser: httpx2.AsyncClient, s3_config: S3Config, path: str
) -> None:
    answer = await browser.get(path)
    assert answer.headers["cache-control"] == "no-cache"
    assert answer.headers["content-security-policy"] == (
        "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; "
        f"connect-src 'self' {s3_config.endpoint_url}/{s3_config.bucket}/"
    )
    again = await browser.get(path, headers={"If-None-Match": f'"x", W/{answer.headers["etag"]}'})
    assert (again.status_code, again.content) == (304, b"")
    assert again.headers["content-security-policy"] == answer.headers["content-security-policy"]
    assert (await browser.get(path, headers={"If-None-Match": '"x"'})).status_code == 200


async def test_page_without_connection_has_a_policy_of_its_own_and_is_asked_for_each_time(
    browser: httpx2.AsyncClient,
) -> None:
    answer = await browser.get("/offline.html")
    assert answer.headers["cache-control"] == "no-cache"
    script, style = (
        base64.b64encode(hashlib.sha256(text).digest()).decode() for text in (b"reload()", b"p { margin: 0 }")
    )
    assert answer.headers["content-security-policy"] == (
        f"default-src 'none'; script-src 'sha256-{script}'; style-src 'sha256-{style}'; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
    again = await browser.get("/offline.html", headers={"If-None-Match": answer.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")


async def test_files_that_a_browser_shares_without_its_service_worker_are_refused_by_a_page(
    browser: httpx2.AsyncClient,
) -> None:
    answer = await browser.post("/share-target", files={"files": b"content"})
    assert (answer.status_code, answer.headers["location"]) == (303, "/share-target?failed=1")


async def test_files_of_the_app_are_outside_of_the_limit_by_address(
    postgres_url: str, s3_config: S3Config, build: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(web, "FOLDER", build)
    settings = make_settings(postgres_url, s3_config, limits={"address": "2/hour"})
    async with running_server(settings) as running, httpx2.AsyncClient(base_url=running.url, verify=NO_TLS) as client:
        paths = ["/assets/hashed/app-1a.js", "/assets/link.js", "/sw.js", "/manifest.webmanifest", "/offline.html"]
        assert [(await client.get(path)).status_code for path in paths * 2] == [200] * 10
        assert [(await client.get("/")).status_code for _ in range(3)] == [200, 200, 429]


async def test_server_without_a_build_says_so_at_the_start_page_alone(
    postgres_url: str, s3_config: S3Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(web, "FOLDER", tmp_path)
    settings = make_settings(postgres_url, s3_config)
    async with running_server(settings) as running, httpx2.AsyncClient(base_url=running.url, verify=NO_TLS) as client:
        start = await client.get("/")
        assert (start.status_code, "without its web app" in start.text) == (200, True)
        assert (await client.get("/files")).status_code == 404


async def test_password_managers_find_the_page_that_changes_the_password(browser: httpx2.AsyncClient) -> None:
    answer = await browser.get("/.well-known/change-password")
    assert (answer.status_code, answer.headers["location"]) == (302, "/account/security")
