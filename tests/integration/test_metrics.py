"""/metrics and /readyz: access, names and values."""

import re
import uuid
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import httpx2
import pytest
from prometheus_client.parser import text_string_to_metric_families

from dropbox_api.plumbing.health import Health
from dropbox_api.storage.s3 import S3Config, S3Store
from dropbox_api.workers import runner
from tests.support.server import (
    RunningServer,
    make_settings,
    register_account,
    running_server,
    separate_server,
    upload_file,
)
from tests.support.store_proxy import store_proxy

TOKEN = "a-token-of-the-scraper"
Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


@pytest.fixture(scope="module")
async def watched(postgres_url: str, s3_config: S3Config) -> AsyncIterator[RunningServer]:
    """A server whose database no other test changes."""
    async with separate_server(postgres_url, s3_config, bucket="metrics") as server:
        yield server


async def scrape(url: str) -> Samples:
    async with httpx2.AsyncClient(base_url=url, timeout=60) as client:
        answer = (await client.get("/metrics")).raise_for_status()
    assert answer.headers["content-type"].startswith("text/plain")
    families = text_string_to_metric_families(answer.text)
    return {(s.name, frozenset(s.labels.items())): s.value for family in families for s in family.samples}


def value(samples: Samples, name: str, **labels: str) -> float:
    return samples.get((f"dropbox_{name}", frozenset(labels.items())), 0)


async def test_metrics_count_requests_by_route_template(watched: RunningServer) -> None:
    account = await register_account(watched.url)
    async with account.client as client:
        file = await upload_file(account, b"counted", "a")
        before = await scrape(watched.url)
        for _ in range(3):
            await client.get(f"/v1/files/{file['id']}")
        for path in (f"/v1/files/{uuid.uuid4()}", "/nowhere/at/all", f"/s/{uuid.uuid4().hex}"):
            await client.get(path)
        await client.request("PROPFIND", "/healthz")
    after = await scrape(watched.url)

    def grown(name: str, **labels: str) -> float:
        return value(after, name, **labels) - value(before, name, **labels)

    route = "/v1/files/{file_id}"
    assert grown("http_requests_total", method="GET", route=route, status="200") == 3
    assert grown("http_requests_total", method="GET", route=route, status="404") == 1
    assert grown("http_requests_total", method="GET", route="-", status="404") >= 1
    assert grown("http_requests_total", method="other", route="/healthz", status="405") == 1
    assert grown("http_request_duration_seconds_count", method="GET", route=route) == 4
    assert grown("http_bytes_total", direction="out") > 1000
    assert value(after, "http_requests_in_flight") == 1, "this request"
    labels = {text for _, pairs in after for _, text in pairs}
    assert not [text for text in labels if re.search(r"[0-9a-f]{8}", text)], "no ids"


async def test_metrics_show_content_uploads_outbox_and_jobs_of_the_database(watched: RunningServer) -> None:
    account = await register_account(watched.url)
    before = await scrape(watched.url)
    async with account.client as client:
        await upload_file(account, b"x" * 1000, "a")
        body = {"fingerprint": "0" * 64, "size_bytes": 5, "destination": {"name": "open"}}
        (await client.post("/v1/uploads", json=body)).raise_for_status()
    after = await scrape(watched.url)
    assert value(after, "content_objects", status="verified") - value(before, "content_objects", status="verified") == 1
    assert value(after, "content_bytes", status="verified") - value(before, "content_bytes", status="verified") == 1000
    assert value(after, "uploads_open", state="active") - value(before, "uploads_open", state="active") == 1
    assert value(after, "outbox_rows") > value(before, "outbox_rows")
    assert value(after, "relay_lag_seconds") > 0
    assert value(after, "content_objects", status="damaged") == 0
    assert (value(after, "tombstones"), value(after, "tombstones_oldest_seconds")) == (0, 0)
    assert ("dropbox_content_objects", frozenset({("status", "damaged")})) in after, "present although it is zero"
    while (await runner.run_once(watched.settings, "relay")).done:
        pass
    relayed = await scrape(watched.url)
    assert (value(relayed, "outbox_rows"), value(relayed, "relay_lag_seconds")) == (0, 0)
    assert value(relayed, "job_runs", job="relay") >= 2
    assert value(relayed, "job_done", job="relay") >= 1
    assert value(relayed, "job_failing", job="relay") == 0
    assert 0 <= value(relayed, "job_last_success_age_seconds", job="relay") < 60
    assert value(relayed, "database_up") == 1


async def test_metrics_without_their_token_are_404(postgres_url: str, s3_config: S3Config) -> None:
    limits = {"limits": {"address": "5/hour"}}
    settings = make_settings(postgres_url, s3_config, http={"metrics_token": TOKEN}, **limits)
    async with running_server(settings) as server, httpx2.AsyncClient(base_url=server.url, timeout=60) as client:
        for authorization in (b"", b"Bearer wrong", f"Basic {TOKEN}".encode(), b"Bearer \xfc"):
            assert (await client.get("/metrics", headers=[(b"authorization", authorization)])).status_code == 404
        for _ in range(10):  # exempt from limits
            good = await client.get("/metrics", headers={"Authorization": f"Bearer {TOKEN}"})
            assert good.status_code == 200


async def ready(url: str) -> tuple[int, dict[str, Any]]:
    async with httpx2.AsyncClient(base_url=url, timeout=60) as client:
        answer = await client.get("/readyz")
        return answer.status_code, answer.json()


async def test_readyz_with_all_servers_up_is_200(server: RunningServer) -> None:
    status, said = await ready(server.url)
    assert (status, set(said.values())) == (200, {"ready", "ok"})
    assert set(said) == {"status", "database", "schema", "store", "clock", "space", "browsers"}


@pytest.mark.parametrize(("skew_s", "said"), [(600, "behind"), (-600, "ahead of")])
async def test_readyz_with_a_clock_skew_is_503(postgres_url: str, s3_config: S3Config, skew_s: int, said: str) -> None:
    settings = make_settings(postgres_url, s3_config)
    async with (
        running_server(settings) as server,
        store_proxy(s3_config.endpoint_url or "") as proxy,
        S3Store.open(replace(s3_config, endpoint_url=proxy.url)) as store,
    ):
        server.app.state.health = Health(server.db, store, settings)
        assert (await ready(server.url))[0] == 200
        server.app.state.health.clear_cache()
        proxy.ahead_s = skew_s
        status, checks = await ready(server.url)
    assert (status, checks["store"], checks["database"]) == (503, "ok", "ok")
    assert said in checks["clock"]
    assert 595 <= int(checks["clock"].split(" ")[0]) <= 605
