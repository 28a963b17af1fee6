"""Session cookies under attack: login CSRF, session fixation, theft by script. CSRF and stolen tokens: see
`integration/test_session_cookies`, and the actor `cookie` of `test_matrix`.
"""

from collections.abc import AsyncIterator
from typing import Any

import httpx2
import pytest

from dropbox_api.storage.s3 import S3Config
from tests.support.browser import SAME_ORIGIN, Browser, open_browser
from tests.support.server import PASSWORD, Account, RunningServer, make_settings, problem, running_server, sign_in

EVIL = "https://evil.example"
FORM = {"Origin": EVIL, "Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Accept": "text/html"}


@pytest.fixture
async def browser(server: RunningServer) -> AsyncIterator[Browser]:
    async with open_browser(server.url) as opened:
        yield opened


@pytest.mark.parametrize("headers", [FORM, {"Origin": EVIL}, {"Origin": "null"}, {}])
async def test_form_of_another_site_signs_no_browser_in(
    account: Account, browser: Browser, headers: dict[str, str]
) -> None:
    """Login CSRF: a form plants the attacker's session, and the victim uploads into the attacker's account."""
    form = {"grant_type": "password", "username": account.email, "password": PASSWORD}
    answer = await browser.http.post("/v1/auth/token", data=form, headers=headers)
    assert "set-cookie" not in answer.headers
    assert browser.cookie is None


async def test_script_of_another_site_cannot_ask_for_a_cookie(postgres_url: str, s3_config: S3Config) -> None:
    """Even an origin that CORS allows gets no permission for the header, and none for credentials."""
    settings = make_settings(postgres_url, s3_config, http={"cors_origins": [EVIL]})
    async with running_server(settings) as server, httpx2.AsyncClient(base_url=server.url, timeout=60) as script:
        preflight = {"Origin": EVIL, "Access-Control-Request-Method": "POST"}
        for path in ("token", "refresh", "logout", "oidc/token"):
            for asked in ("x-session", "content-type"):
                headers = preflight | {"Access-Control-Request-Headers": asked}
                answer = await script.options(f"/v1/auth/{path}", headers=headers)
                assert answer.status_code == (400 if asked == "x-session" else 200)
                assert "x-session" not in answer.headers["access-control-allow-headers"].lower()
                assert "access-control-allow-credentials" not in answer.headers
            answer = await script.post(f"/v1/auth/{path}", headers={"Origin": EVIL})
            assert "access-control-allow-credentials" not in answer.headers


async def test_planted_cookie_is_replaced_by_a_sign_in_and_void(
    account: Account, register: Any, browser: Browser
) -> None:
    """Session fixation: the attacker knows the cookie that the victim's browser has before the sign-in."""
    attacker = await register()
    planted = (await browser.sign_in(attacker.email)).json()
    token = browser.cookie
    assert token
    signed_in = (await browser.sign_in(account.email)).json()
    assert browser.cookie != token
    assert (await browser.me(signed_in)).json()["id"] == signed_in["user_id"] != planted["user_id"]
    browser.cookie = token
    assert problem(await browser.refresh()) == (401, "invalid-refresh-token")


async def test_cookie_without_the_prefix_is_ignored_over_https(postgres_url: str, s3_config: S3Config) -> None:
    """Another host of the domain can set cookies for all its hosts, but none with the prefix `__Host-`."""
    settings = make_settings(postgres_url, s3_config, http={"public_url": "https://box.example"})
    async with running_server(settings) as server, open_browser(server.url) as browser:
        (
            await browser.http.post("/v1/auth/register", json={"email": "e@example.com", "password": PASSWORD})
        ).raise_for_status()
        answer = await browser.sign_in("e@example.com")
        token = answer.headers["set-cookie"].partition("=")[2].partition(";")[0]
        browser.http.cookies.clear()
        for name in (
            "dbx-session",
            "dbx-session-443",
            "Host-dbx-session",
            "__host-dbx-session",
            "__Secure-dbx-session",
        ):
            assert (await browser.refresh(Cookie=f"{name}={token}")).status_code == 204  # as without a cookie
        assert (await browser.refresh(Cookie=f"__Host-dbx-session={token}")).status_code == 200


async def test_no_answer_shows_a_cookie_to_scripts(account: Account, browser: Browser) -> None:
    """Theft by script: the token is in no body, and the cookie that has it is HttpOnly."""
    answers = [await browser.sign_in(account.email), await browser.refresh(), await browser.refresh()]
    tokens = answers[-1].json()
    bearer = {"Authorization": f"Bearer {tokens['access_token']}"}
    cookies = [answer.headers["set-cookie"] for answer in answers]
    secrets = [cookie.partition("=")[2].partition(";")[0] for cookie in cookies]
    assert all("HttpOnly" in cookie for cookie in cookies)
    headers = bearer | {"Cookie": cookies[-1].partition(";")[0]}
    answers += [await browser.http.get(path, headers=headers) for path in ("/v1/me", "/v1/me/sessions")]
    for answer in answers:
        assert answer.status_code == 200
        assert not [secret for secret in secrets if secret.rsplit(".", 1)[1] in answer.text]


async def test_stolen_access_token_neither_renews_nor_becomes_a_cookie(account: Account, browser: Browser) -> None:
    """What a script can steal from a page lives for minutes."""
    stolen = (await browser.sign_in(account.email)).json()["access_token"]
    name = next(cookie.name for cookie in browser.http.cookies.jar)
    browser.http.cookies.clear()
    headers = SAME_ORIGIN | {"Authorization": f"Bearer {stolen}", "Cookie": f"{name}={stolen}"}
    assert problem(await browser.http.post("/v1/auth/refresh", headers=headers)) == (401, "invalid-refresh-token")
    body = {"refresh_token": stolen}
    del headers["Cookie"], headers["X-Session"]
    answer = await browser.http.post("/v1/auth/refresh", headers=headers, json=body)
    assert answer.status_code in {401, 422}


async def test_bearer_client_gets_no_cookie(account: Account, browser: Browser) -> None:
    answer = await sign_in(browser.http, account.email)
    body = {"refresh_token": answer.json()["refresh_token"]}
    refreshed = await browser.http.post("/v1/auth/refresh", json=body)
    assert refreshed.json()["refresh_token"]
    assert "set-cookie" not in refreshed.headers
