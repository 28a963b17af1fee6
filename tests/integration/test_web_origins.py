"""Pages and their origins: the bucket's CORS rule, the host of the store, and the one host of `dev`."""

import logging
from collections.abc import AsyncIterator

import httpx2
import pytest

from dropbox_api.plumbing.store_config import find_shared_host
from dropbox_api.settings import Settings
from dropbox_api.storage.s3 import S3Config
from tests.support.server import RunningServer, make_settings, running_server
from tests.support.stack import WEB_ORIGIN

NAVIGATION = {"Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"}
BLOCKED = "https://blocked.example"


async def test_bucket_that_blocks_browsers_is_told_at_start_and_by_readyz(
    postgres_url: str, s3_config: S3Config, caplog: pytest.LogCaptureFixture
) -> None:
    http = {"public_url": BLOCKED, "cors_origins": [WEB_ORIGIN]}
    with caplog.at_level(logging.WARNING, "dropbox_api"):
        async with (
            running_server(make_settings(postgres_url, s3_config, http=http)) as server,
            httpx2.AsyncClient(base_url=server.url, timeout=60) as api,
        ):
            answer = await api.get("/readyz")
    assert answer.status_code == 200, "all other clients work"
    assert answer.json()["browsers"] == f"the bucket's CORS rule refuses pages of {BLOCKED}"
    assert [record for record in caplog.records if f"refuses pages of {BLOCKED}" in record.getMessage()]


async def test_bucket_that_allows_every_origin_is_ready_for_browsers(postgres_url: str, s3_config: S3Config) -> None:
    http = {"public_url": WEB_ORIGIN, "cors_origins": [WEB_ORIGIN]}
    async with (
        running_server(make_settings(postgres_url, s3_config, http=http)) as server,
        httpx2.AsyncClient(base_url=server.url, timeout=60) as api,
    ):
        assert (await api.get("/readyz")).json()["browsers"] == "ok"


@pytest.mark.parametrize(
    ("http", "s3", "cdn", "shared"),
    [
        ("https://box.example", {"endpoint_url": "https://box.example:9000"}, None, True),
        ("https://box.example", {"endpoint_url": "http://box.example:9000"}, None, True),
        (
            "https://box.example",
            {"endpoint_url": "http://store", "public_endpoint_url": "https://BOX.example"},
            None,
            True,
        ),
        (
            "https://box.example",
            {"endpoint_url": "https://box.example", "public_endpoint_url": "https://s3"},
            None,
            False,
        ),
        ("https://box.example", {"endpoint_url": "https://box.example", "addressing": "virtual"}, None, False),
        ("https://dropbox.box.example", {"endpoint_url": "https://box.example", "addressing": "virtual"}, None, True),
        ("https://box.example", {}, "https://box.example:444", True),
        ("https://box.example", {}, None, False),
        ("http://box.example", {"endpoint_url": "http://box.example:9000"}, None, False),
        (None, {"endpoint_url": "http://box.example:9000"}, None, False),
    ],
)
def test_store_at_the_host_of_the_server_is_found_over_https(
    http: str | None, s3: dict[str, str], cdn: str | None, shared: bool
) -> None:
    groups = {"s3": s3, "http": {"public_url": http}}
    if cdn:
        groups["cdn"] = {"url": cdn, "key_pair_id": "x", "private_key": "x"}
    settings = Settings.model_validate({"mode": "dev", **groups})
    assert (find_shared_host(settings) is not None) is shared


async def test_store_at_the_host_of_the_server_is_told_at_start(
    postgres_url: str, s3_config: S3Config, caplog: pytest.LogCaptureFixture
) -> None:
    for host, warnings in (("127.0.0.1", 1), ("box.example", 0)):
        caplog.clear()
        with caplog.at_level(logging.WARNING, "dropbox_api.app"):
            async with running_server(make_settings(postgres_url, s3_config, http={"public_url": f"https://{host}"})):
                pass
        told = [record for record in caplog.records if "session cookie to the store" in record.getMessage()]
        assert len(told) == warnings


@pytest.fixture(scope="module")
async def localhost(postgres_url: str, s3_config: S3Config) -> AsyncIterator[RunningServer]:
    settings = make_settings(postgres_url, s3_config, http={"public_url": "http://localhost:8000"})
    async with running_server(settings) as running:
        yield running


@pytest.mark.parametrize("path", ["/", "/docs", "/s/token?a=%C3%A9&b", "//evil.example", "/files/a%2Fb"])
async def test_page_at_the_address_of_dev_is_redirected_to_localhost(localhost: RunningServer, path: str) -> None:
    async with httpx2.AsyncClient(timeout=60, headers=NAVIGATION) as browser:
        answer = await browser.get(localhost.url + path)
        assert answer.status_code == 307
        assert answer.headers["location"] == f"http://localhost:8000{path}"
        named = await browser.get(localhost.url + path, headers={"Host": "localhost:8000"})
        assert named.status_code != 307


async def test_programs_and_forms_at_the_address_of_dev_are_answered(localhost: RunningServer) -> None:
    async with httpx2.AsyncClient(base_url=localhost.url, timeout=60) as program:
        assert (await program.get("/healthz")).status_code == 200
        assert (await program.get("/v1/me")).status_code == 401
        assert (await program.post("/verify-email", data={"token": "x"}, headers=NAVIGATION)).status_code == 422


async def test_page_of_another_public_address_is_not_redirected(postgres_url: str, s3_config: S3Config) -> None:
    settings = make_settings(postgres_url, s3_config, http={"public_url": "https://box.example"})
    async with (
        running_server(settings) as server,
        httpx2.AsyncClient(base_url=server.url, timeout=60, headers=NAVIGATION) as browser,
    ):
        assert (await browser.get("/")).status_code == 200
