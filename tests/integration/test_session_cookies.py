"""Sessions of browsers: the cookie, where it is valid, who may set it, and how its token rotates."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import timedelta
from typing import ClassVar

import httpx2
import pytest
from sqlalchemy import func, select, update

from dropbox_api.accounts.refresh import REUSE_GRACE
from dropbox_api.accounts.session_tokens import RefreshToken
from dropbox_api.db import Db
from dropbox_api.models import Session
from dropbox_api.storage.s3 import S3Config
from tests.support.browser import SAME_ORIGIN, Browser, open_browser
from tests.support.server import Account, RunningServer, make_settings, problem, register_account, running_server

LATER = REUSE_GRACE + timedelta(seconds=1)
OVER_HTTP = {"HttpOnly", "SameSite=strict", "Path=/v1/auth"}
OVER_HTTPS = {"HttpOnly", "SameSite=strict", "Path=/", "Secure"}
Register = Callable[..., Awaitable[Account]]


@pytest.fixture
async def browser(server: RunningServer) -> AsyncIterator[Browser]:
    async with open_browser(server.url) as opened:
        yield opened


@pytest.fixture
async def thief(server: RunningServer) -> AsyncIterator[Browser]:
    async with open_browser(server.url) as opened:
        yield opened


@pytest.fixture(scope="module")
async def https_server(postgres_url: str, s3_config: S3Config) -> AsyncIterator[RunningServer]:
    settings = make_settings(postgres_url, s3_config, http={"public_url": "https://box.example"})
    async with running_server(settings) as running:
        yield running


def parse_cookie(answer: httpx2.Response) -> tuple[str, str, set[str]]:
    """Return name, value and attributes of the one cookie that an answer sets."""
    (line,) = answer.headers.get_list("set-cookie")
    first, *attributes = line.split("; ")
    name, _, value = first.partition("=")
    return name, value, set(attributes)


def parse_value(answer: httpx2.Response) -> str:
    return parse_cookie(answer)[1] if answer.status_code == 200 else ""


async def pass_time(db: Db, token: str | None, since: timedelta = LATER) -> None:
    """Move the last rotation of a session into the past."""
    parsed = RefreshToken.parse(token or "")
    assert parsed is not None
    async with db.begin() as tx:
        moved = update(Session).where(Session.id == parsed.session_id).values(last_used_at=func.now() - since)
        await tx.execute(moved)


async def sign_in(browser: Browser, account: Account, **headers: str) -> str:
    """Sign in; return the token in the cookie."""
    (await browser.sign_in(account.email, **headers)).raise_for_status()
    assert browser.cookie is not None
    return browser.cookie


async def refresh(browser: Browser, token: str | None = None) -> str:
    """Refresh with this token, by default the cookie's; return the token in the cookie."""
    if token is not None:
        browser.cookie = token
    (await browser.refresh()).raise_for_status()
    assert browser.cookie is not None
    return browser.cookie


async def assert_ended(browser: Browser, *tokens: str) -> None:
    """Assert that a session has ended for each of these tokens."""
    for token in tokens:
        browser.cookie = token
        assert problem(await browser.refresh()) == (401, "invalid-refresh-token")


class TestCookie:
    async def test_sign_in_over_http_sets_a_cookie_of_this_port_and_path(
        self, server: RunningServer, account: Account, browser: Browser
    ) -> None:
        answer = await browser.sign_in(account.email)
        name, value, attributes = parse_cookie(answer)
        assert name == f"dbx-session-{server.settings.http.port}"
        max_age = f"Max-Age={server.settings.auth.refresh_ttl_s}"
        assert attributes == OVER_HTTP | {max_age}
        assert RefreshToken.parse(value) is not None
        assert answer.json()["refresh_token"] is None
        assert value not in answer.text
        assert answer.json()["user_id"] == (await account.me())["id"]
        assert answer.headers["cache-control"] == "no-store"

    async def test_cookie_over_https_is_bound_to_host_and_tls(self, https_server: RunningServer) -> None:
        account = await register_account(https_server.url)
        async with account.client, open_browser(https_server.url) as browser:
            name, value, attributes = parse_cookie(await browser.sign_in(account.email))
            assert (name, attributes) == ("__Host-dbx-session", OVER_HTTPS | {"Max-Age=2592000"})
            cookie = {"Cookie": f"{name}={value}"}
            name, _, attributes = parse_cookie(await browser.refresh(**cookie))
            assert (name, attributes) == ("__Host-dbx-session", OVER_HTTPS | {"Max-Age=2592000"})
            name, value, attributes = parse_cookie(await browser.sign_out(**cookie))
            assert (name, value.strip('"')) == ("__Host-dbx-session", "")
            assert OVER_HTTPS | {"Max-Age=0"} <= attributes

    async def test_temporary_cookie_has_no_max_age_after_a_refresh_either(
        self, account: Account, browser: Browser
    ) -> None:
        first = await browser.sign_in(account.email, **{"X-Session": "temporary-cookie"})
        assert parse_cookie(first)[2] == OVER_HTTP
        assert parse_cookie(await browser.refresh())[2] == OVER_HTTP

    async def test_sign_in_without_the_header_sets_no_cookie(self, account: Account, browser: Browser) -> None:
        form = {"grant_type": "password", "username": account.email, "password": account.password}
        answer = await browser.http.post("/v1/auth/token", data=form, headers={"Sec-Fetch-Site": "same-origin"})
        assert "set-cookie" not in answer.headers
        assert answer.json()["refresh_token"]

    async def test_refused_sign_in_sets_no_cookie(self, account: Account, browser: Browser) -> None:
        form = {"grant_type": "password", "username": account.email, "password": "wrong"}
        answer = await browser.http.post("/v1/auth/token", data=form, headers=SAME_ORIGIN)
        assert problem(answer) == (401, "invalid-credentials")
        assert "set-cookie" not in answer.headers

    async def test_sign_out_ends_the_session_and_clears_the_cookie(self, account: Account, browser: Browser) -> None:
        tokens = (await browser.sign_in(account.email)).json()
        answer = await browser.sign_out()
        _, _, attributes = parse_cookie(answer)
        assert answer.status_code == 204
        assert OVER_HTTP | {"Max-Age=0"} <= attributes
        assert browser.cookie is None
        assert (await browser.me(tokens)).status_code == 401
        assert (await browser.sign_out()).status_code == 204, "without a cookie, too"

    async def test_sign_in_ends_the_session_that_the_cookie_held(
        self, account: Account, register: Register, browser: Browser
    ) -> None:
        first = (await browser.sign_in(account.email)).json()
        other = await register()
        second = (await browser.sign_in(other.email)).json()
        assert (await browser.me(first)).status_code == 401
        assert (await browser.me(second)).json()["id"] == second["user_id"] != first["user_id"]

    async def test_refresh_says_whose_session_the_cookie_is(self, account: Account, browser: Browser) -> None:
        signed_in = (await browser.sign_in(account.email)).json()
        refreshed = (await browser.refresh()).json()
        assert refreshed["user_id"] == signed_in["user_id"]
        assert refreshed["refresh_token"] is None
        assert (await browser.me(refreshed)).status_code == 200

    @pytest.mark.parametrize("path", ["/v1/auth/refresh", "/v1/auth/logout"])
    async def test_cookie_beside_a_token_in_the_body_is_refused(
        self, account: Account, browser: Browser, path: str
    ) -> None:
        token = await sign_in(browser, account)
        body = {"refresh_token": account.tokens["refresh_token"]}
        for headers in (SAME_ORIGIN, {}):
            answer = await browser.http.post(path, json=body, headers=headers)
            assert problem(answer) == (422, "invalid-request")
            assert answer.json()["errors"][0]["pointer"] == "/refresh_token"
        assert await refresh(browser, token), "neither session was touched"
        assert (await account.client.get("/v1/me")).status_code == 200

    @pytest.mark.parametrize("path", ["/v1/auth/refresh", "/v1/auth/logout"])
    async def test_request_without_any_token_is_refused(self, api: httpx2.AsyncClient, path: str) -> None:
        for body in (b"", b"{}", b"null", b'{"refresh_token": null}'):
            answer = await api.post(path, content=body, headers={"Content-Type": "application/json"})
            assert problem(answer) == (422, "invalid-request")

    async def test_refresh_without_a_cookie_is_204(self, browser: Browser) -> None:
        answer = await browser.refresh()
        assert (answer.status_code, answer.content) == (204, b"")

    @pytest.mark.parametrize("value", ["", "x", "%00", '"quoted"', "é", "a" * 4000])
    async def test_refresh_with_a_damaged_cookie_is_401(
        self, server: RunningServer, api: httpx2.AsyncClient, value: str
    ) -> None:
        cookie = f"dbx-session-{server.settings.http.port}={value}".encode()
        headers = [(name.encode(), text.encode()) for name, text in SAME_ORIGIN.items()]
        answer = await api.post("/v1/auth/refresh", headers=[*headers, (b"Cookie", cookie)])
        assert problem(answer) == (401, "invalid-refresh-token")

    async def test_another_value_of_the_header_is_refused(self, account: Account, browser: Browser) -> None:
        answer = await browser.sign_in(account.email, **{"X-Session": "yes"})
        assert problem(answer) == (422, "invalid-request")


class TestOrigin:
    REFUSED: ClassVar[list[dict[str, str]]] = [
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Sec-Fetch-Site": "none"},
        {"Sec-Fetch-Site": ""},
        {"Sec-Fetch-Site": "cross-site", "Origin": "{own}"},
        {"Origin": "null"},
        {"Origin": "https://evil.example"},
        {"Origin": "{own}.evil.example"},
        {"Origin": "https://{host}"},
        {"Origin": ""},
        {},
    ]

    @pytest.mark.parametrize("place", REFUSED)
    async def test_request_of_another_site_is_refused(
        self, server: RunningServer, account: Account, browser: Browser, place: dict[str, str]
    ) -> None:
        token = await sign_in(browser, account)
        host = server.url.removeprefix("http://")
        headers = {"X-Session": "cookie"}
        headers |= {name: value.format(own=server.url, host=host) for name, value in place.items()}
        form = {"grant_type": "password", "username": account.email, "password": account.password}
        for path, body in (("token", form), ("refresh", None), ("logout", None)):
            answer = await browser.http.post(f"/v1/auth/{path}", data=body, headers=headers)
            assert problem(answer) == (403, "forbidden")
            assert answer.json()["reason"] == "not-same-origin"
            assert "set-cookie" not in answer.headers
        assert await refresh(browser, token), "the session is untouched"

    async def test_origin_of_the_host_is_accepted_without_sec_fetch_site(
        self, server: RunningServer, account: Account, browser: Browser
    ) -> None:
        form = {"grant_type": "password", "username": account.email, "password": account.password}
        headers = {"X-Session": "cookie", "Origin": server.url}
        answer = await browser.http.post("/v1/auth/token", data=form, headers=headers)
        assert answer.status_code == 200
        assert browser.cookie

    @pytest.mark.parametrize(("origin", "status"), [("https://box.example", 200), ("http://box.example", 403)])
    async def test_insecure_page_of_the_same_host_is_another_origin(
        self, https_server: RunningServer, origin: str, status: int
    ) -> None:
        account = await register_account(https_server.url)
        form = {"grant_type": "password", "username": account.email, "password": account.password}
        headers = {"X-Session": "cookie", "Origin": origin, "Host": "box.example"}
        async with account.client:
            answer = await account.client.post("/v1/auth/token", data=form, headers=headers)
        assert answer.status_code == status


class TestRotation:
    async def test_two_tabs_that_refresh_at_once_get_one_successor(self, account: Account, browser: Browser) -> None:
        token = await sign_in(browser, account)
        answers = await asyncio.gather(*(browser.refresh() for _ in range(8)))
        assert {answer.status_code for answer in answers} == {200}
        assert len({parse_cookie(answer)[1] for answer in answers} - {token}) == 1
        assert await refresh(browser)

    async def test_lost_answer_is_given_again(self, account: Account, browser: Browser, db: Db) -> None:
        token = await sign_in(browser, account)
        lost = await refresh(browser)
        assert await refresh(browser, token) == lost
        await pass_time(db, token)
        assert await refresh(browser, lost) != lost

    async def test_answers_out_of_order_leave_the_session_alive(
        self, account: Account, browser: Browser, db: Db
    ) -> None:
        """The late answer of one tab puts a token into the cookie that another tab has exchanged already."""
        first = await sign_in(browser, account)
        late = await refresh(browser)
        await pass_time(db, late)
        newest = await refresh(browser)
        assert await refresh(browser, late) == newest
        await pass_time(db, newest)
        assert await refresh(browser, late) not in {first, late, newest}

    async def test_many_tabs_within_a_minute_get_one_token(self, account: Account, browser: Browser, db: Db) -> None:
        """A tab sends the cookie of before or after the refresh of another one, however many refresh."""
        first = await sign_in(browser, account)
        token = await refresh(browser)
        for sent in (token, first, token, first):
            assert await refresh(browser, sent) == token
        await pass_time(db, token)
        assert await refresh(browser) != token

    async def test_browser_killed_after_a_refresh_continues_with_its_old_cookie(
        self, account: Account, browser: Browser, db: Db
    ) -> None:
        """The cookie of 5 s before the crash was not on disk yet; the browser starts again after 2 minutes."""
        token = await sign_in(browser, account)
        lost = await refresh(browser)
        await pass_time(db, token, timedelta(minutes=2))
        newest = await refresh(browser, token)
        assert newest not in {lost, token}
        assert await refresh(browser, token) == newest, "two tabs start again"
        await pass_time(db, token)
        assert await refresh(browser, newest)

    async def test_successor_that_a_restart_replaced_ends_the_session(
        self, account: Account, browser: Browser, db: Db
    ) -> None:
        token = await sign_in(browser, account)
        void = await refresh(browser)
        await pass_time(db, token)
        newest = await refresh(browser, token)
        await assert_ended(browser, void, newest)

    async def test_bearer_token_repeated_late_ends_the_session(
        self, account: Account, api: httpx2.AsyncClient, db: Db
    ) -> None:
        """A program stores its token before it uses it: only browsers come back with an old one."""
        body = {"refresh_token": account.tokens["refresh_token"]}
        (await api.post("/v1/auth/refresh", json=body)).raise_for_status()
        await pass_time(db, account.tokens["refresh_token"])
        assert problem(await api.post("/v1/auth/refresh", json=body)) == (401, "invalid-refresh-token")
        assert (await account.client.get("/v1/me")).status_code == 401

    async def test_thief_before_the_owner_loses_the_session(
        self, account: Account, browser: Browser, thief: Browser, db: Db
    ) -> None:
        stolen = await sign_in(browser, account)
        await sign_in(thief, account)
        taken = await refresh(thief, stolen)
        await pass_time(db, stolen)
        own = await refresh(browser, stolen)
        await pass_time(db, stolen)
        await assert_ended(thief, taken)
        await assert_ended(browser, own)

    async def test_thief_long_before_the_owner_loses_the_session(
        self, account: Account, browser: Browser, thief: Browser, db: Db
    ) -> None:
        stolen = await sign_in(browser, account)
        await sign_in(thief, account)
        once = await refresh(thief, stolen)
        await pass_time(db, once)
        taken = await refresh(thief, once)
        await assert_ended(browser, stolen)
        await assert_ended(thief, taken)

    async def test_thief_after_the_owner_loses_the_session(
        self, account: Account, browser: Browser, thief: Browser, db: Db
    ) -> None:
        stolen = await sign_in(browser, account)
        await sign_in(thief, account)
        own = await refresh(browser)
        await pass_time(db, stolen)
        taken = await refresh(thief, stolen)
        await pass_time(db, stolen)
        await assert_ended(browser, own)
        await assert_ended(thief, taken)

    async def test_thief_beside_the_owner_is_noticed_at_the_next_refresh(
        self, account: Account, browser: Browser, thief: Browser, db: Db
    ) -> None:
        stolen = await sign_in(browser, account)
        await sign_in(thief, account)
        shared = await refresh(browser)
        assert await refresh(thief, stolen) == shared
        await pass_time(db, shared)
        own = await refresh(browser)
        await pass_time(db, own)
        taken = await refresh(thief, shared)
        await assert_ended(browser, own)
        await assert_ended(thief, taken)

    async def test_token_of_a_cookie_in_a_body_ends_the_session(
        self, account: Account, browser: Browser, api: httpx2.AsyncClient
    ) -> None:
        token = await sign_in(browser, account)
        answer = await api.post("/v1/auth/refresh", json={"refresh_token": token})
        assert problem(answer) == (401, "invalid-refresh-token")
        await assert_ended(browser, token)

    async def test_bearer_token_in_a_cookie_is_refused(self, account: Account, browser: Browser) -> None:
        await sign_in(browser, account)
        browser.cookie = account.tokens["refresh_token"]
        answer = await browser.refresh()
        assert problem(answer) == (401, "invalid-refresh-token")
        assert "set-cookie" not in answer.headers

    async def test_forged_cookie_ends_nothing(
        self, account: Account, browser: Browser, api: httpx2.AsyncClient
    ) -> None:
        token = await sign_in(browser, account)
        session, generation, secret = token.split(".")
        await refresh(browser)
        newest = browser.cookie
        older = f"{session}.1.{'A' * 43}"  # the id of a session is in lists and access tokens
        for forged in (older, f"{session}.2.{'A' * 43}", f"{session}.3.{secret}", f"{'0' * 32}.{generation}.{secret}"):
            browser.cookie = forged
            assert problem(await browser.refresh()) == (401, "invalid-refresh-token")
            signed_out = await api.post("/v1/auth/logout", json={"refresh_token": forged})
            assert signed_out.status_code == 204
        assert await refresh(browser, newest)

    async def test_concurrent_restarts_and_thefts_leave_one_live_token_at_most(
        self, account: Account, browser: Browser, db: Db
    ) -> None:
        """Old and new tokens at once, in any order: requests of one session follow each other under its lock."""
        for _ in range(5):
            first = await sign_in(browser, account)
            second = await refresh(browser)
            await pass_time(db, second)
            cookies = [{"Cookie": f"dbx-session-8000={token}"} for token in (first, second) * 4]
            browser.http.cookies.clear()
            answers = await asyncio.gather(*(browser.refresh(**cookie) for cookie in cookies))
            issued = [token for answer in answers if (token := RefreshToken.parse(parse_value(answer)))]
            assert len({token.text for token in issued}) == 1, "the first to come determines the successor"
            query = select(Session.revoked_at, Session.refresh_hash).where(Session.id == issued[0].session_id)
            async with db.read() as tx:
                row = (await tx.execute(query)).one()
            assert row.revoked_at is not None, "the other token was replaced, and came again"
            assert row.refresh_hash == issued[0].sha256
