"""Sign in at an OpenID provider: the whole flow, with a real provider and a browser that follows redirects."""

import asyncio
import base64
import hashlib
import hmac
import importlib
import json
import secrets
import time
import uuid
import warnings
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx2
import pytest
from joserfc import jwt
from joserfc.jwk import RSAKey
from sqlalchemy import text

from dropbox_api.accounts import oidc_flow, oidc_provider
from dropbox_api.problems import OidcFailed
from dropbox_api.storage.s3 import S3Config
from tests.support.browser import SAME_ORIGIN
from tests.support.browser import Browser as SessionBrowser
from tests.support.server import (
    NO_TLS,
    RunningServer,
    make_settings,
    new_address,
    problem,
    register_account,
    running_server,
)

CLIENT = {"client_id": "dropbox", "client_secret": "of the client", "name": "Our company"}


pytestmark = pytest.mark.filterwarnings("ignore:get_jwt_config:DeprecationWarning")  # the provider's own, in its thread


@pytest.fixture(scope="module")
def provider() -> Iterator[str]:
    with warnings.catch_warnings():
        importlib.import_module("authlib.deprecate")  # asks for its warnings always, when it is imported
        warnings.simplefilter("ignore")
        oidc_provider_mock = importlib.import_module("oidc_provider_mock")
    with oidc_provider_mock.run_server_in_thread(require_nonce=True) as running:
        yield f"http://localhost:{running.server_port}"


@pytest.fixture(scope="module")
async def server(postgres_url: str, s3_config: S3Config, provider: str) -> AsyncIterator[RunningServer]:
    async with running_server(make_settings(postgres_url, s3_config, oidc=CLIENT | {"issuer": provider})) as running:
        yield running


def s256(verifier: str) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()


@dataclass
class Browser:
    """One browser with cookies, and one server."""

    http: httpx2.AsyncClient
    verifier: str

    async def start(self, **query: Any) -> httpx2.Response:
        return await self.http.get("/v1/auth/oidc/start", params={"challenge": s256(self.verifier)} | query)

    async def authorize(self, location: str, subject: str, **claims: Any) -> str:
        """Sign in at the provider as this subject; return path and query of the callback."""
        address = urlsplit(location)
        provider = f"{address.scheme}://{address.netloc}"
        (await self.http.put(f"{provider}/users/{subject}", json=claims)).raise_for_status()
        answer = await self.http.post(location, data={"sub": subject})
        back = urlsplit(answer.headers["location"])
        return f"{back.path}?{back.query}"

    async def complete_flow(self, subject: str, **claims: Any) -> dict[str, str]:
        """Complete the flow; return the answer that the last page gets."""
        location = (await self.start(redirect="/files")).headers["location"]
        return answer_of(await self.http.get(await self.authorize(location, subject, **claims)))

    async def redeem(self, code: str, verifier: str | None = None) -> httpx2.Response:
        return await self.http.post("/v1/auth/oidc/token", json={"code": code, "verifier": verifier or self.verifier})

    async def me(self, code: str) -> dict[str, Any]:
        token = (await self.redeem(code)).raise_for_status().json()["access_token"]
        me = await self.http.get("/v1/me", headers={"Authorization": f"Bearer {token}"})
        found: dict[str, Any] = me.raise_for_status().json()
        return found


def answer_of(response: httpx2.Response) -> dict[str, str]:
    assert response.status_code == 303, response.text
    where = urlsplit(response.headers["location"])
    assert (where.netloc, where.path) == ("", "/files")
    return {name: values[0] for name, values in parse_qs(where.fragment).items()}


@pytest.fixture
async def browser(server: RunningServer) -> AsyncIterator[Browser]:
    async with httpx2.AsyncClient(base_url=server.url, timeout=60, verify=NO_TLS) as http:
        yield Browser(http, secrets.token_urlsafe(48))


@pytest.fixture
async def other(server: RunningServer) -> AsyncIterator[Browser]:
    async with httpx2.AsyncClient(base_url=server.url, timeout=60, verify=NO_TLS) as http:
        yield Browser(http, secrets.token_urlsafe(48))


class TestFlow:
    async def test_provider_is_announced(self, browser: Browser) -> None:
        assert (await browser.http.get("/v1/auth/oidc")).json() == {"enabled": True, "name": "Our company"}

    async def test_new_subject_gets_an_account_and_keeps_it(self, browser: Browser) -> None:
        subject, address = uuid.uuid4().hex, new_address()
        first = await browser.complete_flow(subject, email=address.upper(), email_verified=True)
        me = await browser.me(first["code"])
        assert (me["email"], me["has_password"]) == (address, False)
        assert me["email_verified_at"] is not None
        # From then on the subject identifies the account, with any address.
        again = await browser.complete_flow(subject, email=new_address(), email_verified=False)
        assert (await browser.me(again["code"]))["id"] == me["id"]

    async def test_two_subjects_get_two_accounts(self, browser: Browser) -> None:
        ids = set()
        for _ in range(2):
            found = await browser.complete_flow(uuid.uuid4().hex, email=new_address(), email_verified=True)
            ids.add((await browser.me(found["code"]))["id"])
        assert len(ids) == 2

    async def test_authorization_request_has_state_nonce_and_pkce(self, browser: Browser) -> None:
        started = await browser.start(redirect="/files")
        query = {name: values[0] for name, values in parse_qs(urlsplit(started.headers["location"]).query).items()}
        assert (query["response_type"], query["code_challenge_method"]) == ("code", "S256")
        assert all(len(query[name]) >= 43 for name in ("state", "nonce", "code_challenge"))
        assert query["code_challenge"] != s256(browser.verifier)
        cookie = started.headers["set-cookie"]
        assert "HttpOnly" in cookie
        assert "SameSite=lax" in cookie
        assert query["nonce"] not in cookie

    async def test_command_line_gets_the_code_on_its_port(self, browser: Browser) -> None:
        location = (await browser.start(cli_port=50_000)).headers["location"]
        back = await browser.authorize(location, uuid.uuid4().hex, email=new_address(), email_verified=True)
        where = urlsplit((await browser.http.get(back)).headers["location"])
        assert (where.scheme, where.netloc, where.path, where.fragment) == ("http", "127.0.0.1:50000", "/", "")
        assert (await browser.redeem(parse_qs(where.query)["code"][0])).status_code == 200

    @pytest.mark.parametrize(
        "redirect",
        [
            *("//evil.example", "/\\evil.example", "https://evil.example", "/\t/evil.example", "files", ""),
            *("/s/token", "/v1/me", "/docs", "/files/../s/token", "/files/%2e%2e/s/token", "/filesystem"),
        ],
    )
    async def test_start_with_a_redirect_outside_of_the_web_app_is_refused(
        self, browser: Browser, redirect: str
    ) -> None:
        assert problem(await browser.start(redirect=redirect)) == (422, "invalid-request")

    async def test_refusal_of_the_provider_is_reported(self, browser: Browser) -> None:
        location = (await browser.start(redirect="/files")).headers["location"]
        state = parse_qs(urlsplit(location).query)["state"][0]
        back = await browser.http.get("/v1/auth/oidc/callback", params={"error": "access_denied", "state": state})
        assert answer_of(back) == {"error": "denied"}


class TestSessionCookie:
    async def test_code_is_exchanged_for_a_session_cookie(self, browser: Browser) -> None:
        found = await browser.complete_flow(uuid.uuid4().hex, email=new_address(), email_verified=True)
        body = {"code": found["code"], "verifier": browser.verifier}
        refused = await browser.http.post("/v1/auth/oidc/token", json=body, headers={"X-Session": "cookie"})
        assert problem(refused) == (403, "forbidden")
        answer = await browser.http.post("/v1/auth/oidc/token", json=body, headers=SAME_ORIGIN)
        assert answer.headers["set-cookie"].startswith("dbx-session-")
        assert answer.json()["refresh_token"] is None
        refreshed = await browser.http.post("/v1/auth/refresh", headers=SAME_ORIGIN)
        assert refreshed.json()["user_id"] == answer.json()["user_id"]

    async def test_callback_neither_reads_nor_sets_the_session_cookie(
        self, server: RunningServer, browser: Browser
    ) -> None:
        """It is a cross-site navigation: a Strict cookie does not come with it, and none may be planted by it."""
        account = await register_account(server.url)
        async with account.client:
            session = SessionBrowser(browser.http)
            (await session.sign_in(account.email)).raise_for_status()
            before = session.cookie
            location = (await browser.start(redirect="/files")).headers["location"]
            back = await browser.authorize(location, uuid.uuid4().hex, email=new_address(), email_verified=True)
            answer = await browser.http.get(back, headers={"X-Session": "cookie", "Sec-Fetch-Site": "cross-site"})
            assert answer_of(answer)["code"]
            assert [line.partition("=")[0] for line in answer.headers.get_list("set-cookie")] == ["oidc"]
            assert session.cookie == before
            assert (await session.refresh()).json()["user_id"] == (await account.me())["id"]


class TestExistingAccounts:
    async def test_verified_address_links_an_account(self, server: RunningServer, browser: Browser) -> None:
        account = await register_account(server.url)
        async with account.client, server.db.begin() as tx:
            await tx.execute(text("UPDATE users SET email_verified_at = now() WHERE email = :e"), {"e": account.email})
        found = await browser.complete_flow(uuid.uuid4().hex, email=account.email, email_verified=True)
        me = await browser.me(found["code"])
        assert (me["email"], me["has_password"]) == (account.email, True)

    async def test_address_that_looks_alike_links_no_account(self, server: RunningServer, browser: Browser) -> None:
        tag = uuid.uuid4().hex
        account = await register_account(server.url, f"x@strasse-{tag}.de")
        async with account.client, server.db.begin() as tx:
            await tx.execute(text("UPDATE users SET email_verified_at = now() WHERE email = :e"), {"e": account.email})
        found = await browser.complete_flow(uuid.uuid4().hex, email=f"x@straße-{tag}.de", email_verified=True)
        assert (await browser.me(found["code"]))["email"] == f"x@straße-{tag}.de"

    @pytest.mark.parametrize(("verified_here", "verified_there"), [(False, True), (True, False), (False, False)])
    async def test_unverified_address_links_no_account(
        self, server: RunningServer, browser: Browser, verified_here: bool, verified_there: bool
    ) -> None:
        account = await register_account(server.url)
        async with account.client, server.db.begin() as tx:
            if verified_here:
                await tx.execute(
                    text("UPDATE users SET email_verified_at = now() WHERE email = :e"), {"e": account.email}
                )
        found = await browser.complete_flow(uuid.uuid4().hex, email=account.email, email_verified=verified_there)
        assert found == {"error": "address-not-verified"}

    @pytest.mark.parametrize(
        "claims", [{}, {"email": "x@example.com"}, {"email": "no address", "email_verified": True}]
    )
    async def test_unverified_address_creates_no_account(self, browser: Browser, claims: dict[str, Any]) -> None:
        assert await browser.complete_flow(uuid.uuid4().hex, **claims) == {"error": "address-not-verified"}

    async def test_disabled_account_is_refused(self, server: RunningServer, browser: Browser) -> None:
        subject, address = uuid.uuid4().hex, new_address()
        first = await browser.complete_flow(subject, email=address, email_verified=True)
        async with server.db.begin() as tx:
            await tx.execute(text("UPDATE users SET disabled_at = now() WHERE email = :e"), {"e": address})
        assert problem(await browser.redeem(first["code"])) == (422, "oidc-failed")
        for again in (subject, uuid.uuid4().hex):
            assert await browser.complete_flow(again, email=address, email_verified=True) == {
                "error": "account-disabled"
            }

    async def test_account_disabled_before_redeem_is_refused(self, server: RunningServer, browser: Browser) -> None:
        address = new_address()
        found = await browser.complete_flow(uuid.uuid4().hex, email=address, email_verified=True)
        waiting = text("SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE '%users%'")
        async with server.db.begin() as tx:
            await tx.execute(text("UPDATE users SET disabled_at = now() WHERE email = :e"), {"e": address})
            redeeming = asyncio.create_task(browser.redeem(found["code"]))
            while not redeeming.done() and (await tx.execute(waiting)).scalar_one() < 1:
                await asyncio.sleep(0.01)
                await tx.execute(text("SELECT pg_stat_clear_snapshot()"))
        assert refused(await redeeming) == "code"

    async def test_service_account_is_refused(self, server: RunningServer, browser: Browser) -> None:
        address = new_address()
        found = await browser.complete_flow(uuid.uuid4().hex, email=address, email_verified=True)
        async with server.db.begin() as tx:
            await tx.execute(text("UPDATE users SET kind = 'service' WHERE email = :e"), {"e": address})
        assert refused(await browser.redeem(found["code"])) == "code"


class TestAttacks:
    async def test_callback_in_another_browser_is_refused(self, browser: Browser, other: Browser) -> None:
        location = (await browser.start(redirect="/files")).headers["location"]
        back = await browser.authorize(location, uuid.uuid4().hex, email=new_address(), email_verified=True)
        assert refused(await other.http.get(back)) == "state"
        await other.start(redirect="/files")
        assert refused(await other.http.get(back)) == "state"

    @pytest.mark.parametrize("state", ["", "wrong", "ä"])
    async def test_callback_with_a_wrong_state_is_refused(self, browser: Browser, state: str) -> None:
        await browser.start(redirect="/files")
        answer = await browser.http.get("/v1/auth/oidc/callback", params={"code": "x", "state": state})
        assert refused(answer) == "state"

    async def test_callback_with_a_wrong_code_of_the_provider_is_reported(self, browser: Browser) -> None:
        location = (await browser.start(redirect="/files")).headers["location"]
        state = parse_qs(urlsplit(location).query)["state"][0]
        back = await browser.http.get("/v1/auth/oidc/callback", params={"code": "made up", "state": state})
        assert answer_of(back) == {"error": "code"}

    async def test_id_token_with_a_nonce_of_another_sign_in_is_refused(self, browser: Browser) -> None:
        """The authorization request has the nonce of another flow."""
        location = (await browser.start(redirect="/files")).headers["location"]
        nonce = parse_qs(urlsplit(location).query)["nonce"][0]
        back = await browser.authorize(
            location.replace(nonce, secrets.token_urlsafe(32)),
            uuid.uuid4().hex,
            email=new_address(),
            email_verified=True,
        )
        assert answer_of(await browser.http.get(back)) == {"error": "id-token"}

    async def test_code_works_once_and_with_its_verifier(self, browser: Browser, other: Browser) -> None:
        found = await browser.complete_flow(uuid.uuid4().hex, email=new_address(), email_verified=True)
        assert refused(await other.redeem(found["code"])) == "code"
        assert (await browser.redeem(found["code"])).status_code == 200
        assert refused(await browser.redeem(found["code"])) == "code"
        assert refused(await browser.redeem(found["code"][:-4] + "AAA=")) == "code"

    async def test_code_works_for_a_minute(self, server: RunningServer, browser: Browser) -> None:
        found = await browser.complete_flow(uuid.uuid4().hex, email=new_address(), email_verified=True)
        box = oidc_flow._fernet(server.settings.auth, "code")
        sealed = box.decrypt(found["code"])
        now = int(time.time())
        expired = box.encrypt_at_time(sealed, now - oidc_flow.CODE_TTL_S - 1).decode()
        assert refused(await browser.redeem(expired)) == "code"
        young = box.encrypt_at_time(sealed, now - oidc_flow.CODE_TTL_S // 2).decode()
        assert (await browser.redeem(young)).status_code == 200

    async def test_concurrent_redeems_of_a_code_admit_one(self, browser: Browser) -> None:
        found = await browser.complete_flow(uuid.uuid4().hex, email=new_address(), email_verified=True)
        answers = await asyncio.gather(*(browser.redeem(found["code"]) for _ in range(6)))
        assert sorted(answer.status_code for answer in answers) == [200] + [422] * 5

    async def test_cookie_as_a_code_is_refused(self, browser: Browser) -> None:
        await browser.start(redirect="/files")
        assert refused(await browser.redeem(browser.http.cookies["oidc"])) == "code"


def refused(answer: httpx2.Response) -> str:
    assert problem(answer) == (422, "oidc-failed")
    reason: str = answer.json()["reason"]
    return reason


KEY, OTHER_KEY = RSAKey.generate_key(2048, {"kid": "a"}), RSAKey.generate_key(2048, {"kid": "a"})
GOOD = {"iss": "https://idp", "aud": "dropbox", "sub": "1", "nonce": "n", "iat": 1_000_000_000, "exp": 9_999_999_999}


def check(token: str) -> dict[str, Any]:
    published = oidc_provider.PublishedKeys(keys=[dict(KEY.as_dict(private=False))])
    return oidc_provider.require_claims(token, published, "https://idp", "dropbox", "n")


def signed(change: dict[str, Any], key: RSAKey = KEY) -> str:
    claims = {name: value for name, value in (GOOD | change).items() if value is not None}
    return jwt.encode({"alg": "RS256", "kid": "a"}, claims, key, ["RS256"])


def test_valid_id_token_is_accepted() -> None:
    assert check(signed({})) == GOOD
    assert check(signed({"aud": ["dropbox"], "azp": "dropbox"}))["sub"] == "1"


@pytest.mark.parametrize(
    "change",
    [
        {"iss": "https://evil"},
        {"aud": "another"},
        {"nonce": "m"},
        {"exp": 1_000_000_001},
        {"azp": "another"},
        *({name: None} for name in GOOD),
    ],
)
def test_id_token_with_wrong_claims_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(OidcFailed):
        check(signed(change))


def altered() -> str:
    header, claims, signature = signed({}).split(".")
    there = json.loads(base64.urlsafe_b64decode(claims + "==")) | {"sub": "2"}
    return f"{header}.{base64.urlsafe_b64encode(json.dumps(there).encode()).rstrip(b'=').decode()}.{signature}"


def unsigned() -> str:
    header = base64.urlsafe_b64encode(b'{"alg":"none"}').rstrip(b"=").decode()
    return f"{header}.{signed({}).split('.')[1]}."


def signed_by_published_key() -> str:
    """Algorithm confusion: the public key as the secret of a MAC."""
    header = base64.urlsafe_b64encode(b'{"alg":"HS256","kid":"a"}').rstrip(b"=").decode()
    text = f"{header}.{signed({}).split('.')[1]}"
    mac = hmac.digest(KEY.as_pem(private=False), text.encode(), "sha256")
    return f"{text}.{base64.urlsafe_b64encode(mac).rstrip(b'=').decode()}"


@pytest.mark.parametrize(
    "forge",
    [altered, unsigned, lambda: signed({}, OTHER_KEY), lambda: "", lambda: "a.b.c", signed_by_published_key],
)
def test_forged_id_token_is_refused(forge: Callable[[], str]) -> None:
    with pytest.raises(OidcFailed):
        check(forge())


class TestConfigurations:
    @pytest.mark.parametrize("issuer", ["http://127.0.0.1:9", "http://[broken"])
    async def test_unreachable_provider_is_reported(self, postgres_url: str, s3_config: S3Config, issuer: str) -> None:
        settings = make_settings(postgres_url, s3_config, oidc=CLIENT | {"issuer": issuer})
        async with running_server(settings) as server, httpx2.AsyncClient(base_url=server.url, timeout=60) as http:
            started = await Browser(http, "v" * 43).start(redirect="/files")
            assert answer_of(started) == {"error": "provider-unavailable"}

    async def test_routes_without_a_provider_are_404(self, api_without: httpx2.AsyncClient) -> None:
        assert (await api_without.get("/v1/auth/oidc")).json()["enabled"] is False
        assert problem(await Browser(api_without, "v" * 43).start()) == (404, "not-found")
        back = await api_without.get("/v1/auth/oidc/callback", params={"code": "x", "state": "y"})
        assert problem(back) == (404, "not-found")

    async def test_closed_registration_refuses_a_new_subject(
        self, postgres_url: str, s3_config: S3Config, provider: str
    ) -> None:
        closed = CLIENT | {"issuer": provider, "registration": False}
        settings = make_settings(postgres_url, s3_config, oidc=closed)
        async with running_server(settings) as server, httpx2.AsyncClient(base_url=server.url, timeout=60) as http:
            found = await Browser(http, "v" * 43).complete_flow(
                uuid.uuid4().hex, email=new_address(), email_verified=True
            )
            assert found == {"error": "registration-closed"}

    async def test_cookie_over_https_has_the_host_prefix(
        self, postgres_url: str, s3_config: S3Config, provider: str
    ) -> None:
        settings = make_settings(
            postgres_url, s3_config, oidc=CLIENT | {"issuer": provider}, http={"public_url": "https://box.example"}
        )
        async with running_server(settings) as server, httpx2.AsyncClient(base_url=server.url, timeout=60) as http:
            started = await Browser(http, "v" * 43).start(redirect="/files")
        cookie = started.headers["set-cookie"]
        assert cookie.startswith("__Host-oidc=")
        assert all(word in cookie for word in ("Secure", "Path=/;", "HttpOnly"))
        assert "Domain" not in cookie
        query = parse_qs(urlsplit(started.headers["location"]).query)
        assert query["redirect_uri"] == ["https://box.example/v1/auth/oidc/callback"]


@pytest.mark.parametrize(("counts", "status"), [(False, 403), (True, 200)])
async def test_sign_in_at_the_provider_is_a_second_factor_by_setting(
    postgres_url: str, s3_config: S3Config, provider: str, *, counts: bool, status: int
) -> None:
    oidc = CLIENT | {"issuer": provider, "is_second_factor": counts}
    settings = make_settings(postgres_url, s3_config, oidc=oidc, auth={"require_second_factor": True})
    async with running_server(settings) as server, httpx2.AsyncClient(base_url=server.url, timeout=60) as http:
        browser = Browser(http, "v" * 43)
        answer = await browser.complete_flow(uuid.uuid4().hex, email=new_address(), email_verified=True)
        token = (await browser.redeem(answer["code"])).raise_for_status().json()["access_token"]
        files = await http.get("/v1/files", headers={"Authorization": f"Bearer {token}"})
    assert files.status_code == status


@pytest.fixture
async def api_without(postgres_url: str, s3_config: S3Config) -> AsyncIterator[httpx2.AsyncClient]:
    async with (
        running_server(make_settings(postgres_url, s3_config)) as server,
        httpx2.AsyncClient(base_url=server.url, timeout=60) as http,
    ):
        yield http
