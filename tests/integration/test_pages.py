"""Pages for people: problems at any address that a browser opens."""

import re

import httpx2
import pytest

from dropbox_api.storage.s3 import S3Config
from tests.support.server import NO_LIMITS, RunningServer, make_settings, problem, running_server

BROWSER = {"Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"}
JAVA = {"Accept": "text/html, image/gif, image/jpeg, *; q=.2, */*; q=.2"}


def assert_is_page(answer: httpx2.Response) -> None:
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert "default-src 'none'; style-src 'self'" in answer.headers["content-security-policy"]
    assert not re.search(r"<script|<style|style=", answer.text)


async def require_style(api: httpx2.AsyncClient, page: httpx2.Response) -> None:
    (style,) = re.findall(r'rel="stylesheet" href="([^"]+)"', page.text)
    got = await api.get(str(page.url.join(style)))
    assert (got.status_code, got.headers["content-type"]) == (200, "text/css; charset=utf-8")


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/nothing", 404),
        ("GET", "/a/b/c%2Fd?x=/y/z", 404),
        ("POST", "/", 405),
        ("GET", "/v1/me", 401),
        ("GET", "/v1/public/links/unknown/files/5eb63bbb-e01e-4ed0-93cb-22bb8f5acdc3/content", 404),
        ("GET", "/v1/auth/oidc/start", 422),
        ("GET", "/v1/auth/oidc/callback?state=x", 404),
        ("POST", "/reset-password", 422),
        ("GET", "/s/token/nothing", 404),
    ],
)
async def test_problem_at_an_address_opened_in_a_browser_is_a_page(
    api: httpx2.AsyncClient, method: str, path: str, status: int
) -> None:
    page = await api.request(method, path, headers=BROWSER)
    assert (page.status_code, page.headers["vary"]) == (status, "Accept")
    assert_is_page(page)
    await require_style(api, page)


@pytest.mark.parametrize("headers", [{}, JAVA, {"Accept": "application/json"}, {"Accept": "image/avif,*/*"}])
async def test_problem_for_a_program_is_a_problem_document(api: httpx2.AsyncClient, headers: dict[str, str]) -> None:
    answer = await api.get("/v1/me", headers=headers)
    assert (problem(answer), answer.headers["vary"]) == ((401, "unauthenticated"), "Accept")


async def test_refusals_before_the_routes_are_pages_too(postgres_url: str, s3_config: S3Config) -> None:
    http = {"allowed_hosts": ["127.0.0.1"]}
    settings = make_settings(postgres_url, s3_config, limits=NO_LIMITS | {"address": "3/minute"}, http=http)
    async with running_server(settings) as strict, httpx2.AsyncClient(base_url=strict.url, timeout=60) as api:
        other = await api.get("/s/token", headers={"Host": "elsewhere.example"})
        assert other.status_code == 400
        assert_is_page(other)
        large = await api.post("/s/token/password", data={"password": "x" * 100_000})
        assert large.status_code == 413
        assert_is_page(large)
        for _ in range(3):
            limited = await api.get("/s/token")
        assert (limited.status_code, "retry-after" in limited.headers) == (429, True)
        assert_is_page(limited)


async def test_page_of_a_problem_links_to_no_other_host(server: RunningServer) -> None:
    """Whatever the path: its slashes decide where the relative address of the style leads."""
    async with httpx2.AsyncClient(timeout=60) as api:
        for path in ("//elsewhere.example/x", "/%2F%2Felsewhere.example/x", "/\\elsewhere.example"):
            page = await api.get(httpx2.URL(server.url).copy_with(raw_path=path.encode()), headers=BROWSER)
            (style,) = re.findall(r'rel="stylesheet" href="([^"]+)"', page.text)
            assert page.status_code == 404
            assert style.startswith(("s/", "../"))
