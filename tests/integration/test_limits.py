"""A request that exceeds a limit is 429 with Retry-After, and no header of the client evades the limit."""

import asyncio
import contextlib
import logging
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

import httpx2
import pytest
from limits.aio.storage import Storage

from dropbox_api.accounts.factors import passwords
from dropbox_api.plumbing import health
from dropbox_api.plumbing.limits import address_key
from dropbox_api.storage.s3 import S3Config
from tests.support.server import (
    NO_LIMITS,
    PASSWORD,
    Account,
    RunningServer,
    make_settings,
    problem,
    register_account,
    running_server,
    sign_in,
    start_body,
)

Serve = Callable[..., AbstractAsyncContextManager[tuple[RunningServer, httpx2.AsyncClient]]]


@pytest.fixture
def serve(postgres_url: str, s3_config: S3Config) -> Serve:
    @contextlib.asynccontextmanager
    async def with_limits(
        http: dict[str, Any] | None = None, **limits: str
    ) -> AsyncIterator[tuple[RunningServer, httpx2.AsyncClient]]:
        settings = make_settings(postgres_url, s3_config, limits=NO_LIMITS | limits, http=http or {})
        async with running_server(settings) as running, httpx2.AsyncClient(base_url=running.url, timeout=60) as client:
            yield running, client

    return with_limits


def is_refused(answer: httpx2.Response) -> bool:
    if answer.status_code != 429:
        return False
    assert problem(answer) == (429, "rate-limited")
    assert 1 <= int(answer.headers["retry-after"]) <= 3600
    assert ";r=0;t=" in answer.headers["ratelimit"]
    return True


async def test_address_beyond_its_limit_is_429(serve: Serve) -> None:
    async with serve(address="3/hour") as (_, client):
        assert [(await client.get("/v1/me")).status_code for _ in range(3)] == [401] * 3
        answer = await client.get("/v1/me")
        assert is_refused(answer)
        assert answer.headers["ratelimit-policy"] == '"address-hour";q=3;w=3600'
        assert answer.headers["x-content-type-options"] == "nosniff"
        for path in ("/healthz", "/readyz", "/docs/static/swagger-ui.css"):
            assert (await client.get(path)).status_code == 200


async def test_readyz_asked_at_once_checks_the_store_once(
    server: RunningServer, api: httpx2.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks = 0

    async def counted() -> float:
        nonlocal looks
        looks += 1
        return await asked()

    asked = server.store.clock_skew_s
    monkeypatch.setattr(server.store, "clock_skew_s", counted)
    monkeypatch.setattr(health, "CACHE_S", 60)
    server.app.state.health.clear_cache()
    answers = await asyncio.gather(*(api.get("/readyz") for _ in range(20)))
    assert {answer.status_code for answer in answers} == {200}
    assert looks == 1


@pytest.mark.parametrize("header", ["X-Forwarded-For", "X-Real-IP", "Forwarded", "X-Forwarded-Host"])
async def test_forged_forwarding_header_leaves_the_limit_unchanged(serve: Serve, header: str) -> None:
    async with serve(address="3/hour") as (_, client):
        answers = [await client.get("/v1/me", headers={header: f"192.0.2.{n}"}) for n in range(4)]
        assert [is_refused(answer) for answer in answers] == [False] * 3 + [True]


async def test_address_from_a_trusted_proxy_is_limited(serve: Serve) -> None:
    async with serve(address="2/hour", http={"trusted_proxies": ["127.0.0.0/8"]}) as (_, client):
        for address in ("192.0.2.1", "192.0.2.2"):
            # The client may write the entries to the left.
            headers = [{"X-Forwarded-For": f"198.51.100.{n}, {address}"} for n in range(3)]
            answers = [await client.get("/v1/me", headers=each) for each in headers]
            assert [is_refused(answer) for answer in answers] == [False, False, True]


async def test_user_beyond_the_limit_is_429_and_other_users_are_not(serve: Serve) -> None:
    async with serve(user="3/hour") as (server, _):
        account, other = await register_account(server.url), await register_account(server.url)
        async with account.client, other.client:
            answers = [await account.client.get("/v1/me") for _ in range(4)]
            assert [is_refused(answer) for answer in answers] == [False] * 3 + [True]
            assert (await other.client.get("/v1/me")).status_code == 200


async def test_requests_with_a_token_leave_the_limit_of_their_address_alone(serve: Serve) -> None:
    async with serve(address="8/hour", user="5/hour") as (server, client):
        accounts = [await register_account(server.url) for _ in range(2)]  # two requests without a token each
        async with accounts[0].client, accounts[1].client:
            for account in accounts:
                answers = [await account.client.get("/v1/me") for _ in range(6)]
                assert [is_refused(answer) for answer in answers] == [False] * 5 + [True]
        assert [is_refused(await client.get("/v1/me")) for _ in range(5)] == [False] * 4 + [True]


@pytest.mark.parametrize("token", ["x", "dropbox_pat_x", "a.b.c"])
async def test_wrong_token_counts_for_its_address(serve: Serve, token: str) -> None:
    headers = {"Authorization": f"Bearer {token}"}
    async with serve(address="3/hour") as (_, client):
        for path in ("/v1/me", "/v1/public/links/x", "/openapi.json"):
            await client.get(path, headers=headers)
        assert is_refused(await client.get("/v1/me", headers=headers))
        assert is_refused(await client.get("/openapi.json", headers=headers))


async def test_batch_counts_as_one_request_for_each_fifty_items(serve: Serve) -> None:
    async with serve(user="10/hour", sign="3/hour") as (server, _):
        account = await register_account(server.url)
        async with account.client as client:
            missing = {"file_id": str(uuid.uuid4())}
            trash = {"operations": [missing | {"op": "trash"}] * 101}  # 3 requests
            assert (await client.post("/v1/files/batch", json=trash)).status_code == 200
            downloads = {"items": [missing] * 100}  # 2 requests
            assert (await client.post("/v1/files/download-batch", json=downloads)).status_code == 200
            uploads = {
                "items": [start_body(b"x", "x", destination={"parent_id": missing["file_id"]})] * 101
            }  # 3 requests
            assert (await client.post("/v1/uploads/batch", json=uploads)).status_code == 200
            assert is_refused(await client.post("/v1/uploads", json=start_body(b"x", "x"))), "the limit `sign`"
            assert (await client.get("/v1/me")).status_code == 200, "the tenth request of the user"
            completed = {"upload_ids": [str(uuid.uuid4())] * 51}
            assert is_refused(await client.post("/v1/uploads/batch/complete", json=completed))


async def test_sign_ins_are_limited_by_account_known_or_unknown(serve: Serve) -> None:
    async with serve(sign_in_account="3/hour") as (server, client):
        account = await register_account(server.url)  # one attempt
        async with account.client:
            for email, left in ((account.email, 2), ("unknown@example.com", 3)):
                spellings = (email.upper(), email.title(), email)[:left]
                assert [(await sign_in(client, each, "wrong")).status_code for each in spellings] == [401] * left
                assert is_refused(await sign_in(client, email, PASSWORD))


async def test_sign_ins_are_limited_by_address_and_say_what_is_left(serve: Serve) -> None:
    async with serve(sign_in_address="2/minute;3/hour") as (_, client):
        answer = await sign_in(client, "one@example.com", "wrong")
        assert answer.status_code == 401
        policy = '"sign-in-address-hour";q=3;w=3600, "sign-in-address-minute";q=2;w=60'
        assert sorted(answer.headers["ratelimit-policy"].split(", ")) == sorted(policy.split(", "))
        assert '"sign-in-address-minute";r=1;t=' in answer.headers["ratelimit"]
        await sign_in(client, "two@example.com", "wrong")
        assert is_refused(await sign_in(client, "three@example.com", "wrong"))


OTHERS_BY_ADDRESS: dict[str, tuple[str, str, dict[str, Any]]] = {
    "register_address": ("POST", "/v1/auth/register", {"json": {"email": "weak@example.com", "password": "password1"}}),
    "reset_address": ("POST", "/v1/auth/reset-password/request", {"json": {"email": "unknown@example.com"}}),
    "oidc_address": ("POST", "/v1/auth/oidc/token", {"json": {"code": "x", "verifier": "v" * 43}}),
}


@pytest.mark.parametrize("limit", OTHERS_BY_ADDRESS)
async def test_other_ways_in_have_a_limit_of_their_own_by_address(serve: Serve, limit: str) -> None:
    """A network with one address, whose users register, does not lock itself out of signing in."""
    method, path, arguments = OTHERS_BY_ADDRESS[limit]
    async with serve(sign_in_address="1/hour", **{limit: "2/hour"}) as (_, client):
        answers = [await client.request(method, path, **arguments) for _ in range(3)]
        assert [is_refused(answer) for answer in answers] == [False, False, True]
        assert (await sign_in(client, "one@example.com", "wrong")).status_code == 401
        assert is_refused(await sign_in(client, "two@example.com", "wrong"))


async def test_mails_of_changes_are_limited_by_account_and_by_address(serve: Serve) -> None:
    async with serve(mail="2/hour") as (server, _):

        async def request(account: Account, address: str) -> bool:
            answer = await account.client.post("/v1/me/email", json={"email": address})
            assert answer.status_code in {403, 429}, "this server sends no mail"
            return is_refused(answer)

        ada, bert, carl = [await register_account(server.url) for _ in range(3)]
        async with ada.client, bert.client, carl.client:
            assert [await request(ada, f"{n}@example.com") for n in range(3)] == [False, False, True]
            assert [await request(one, "0@example.com") for one in (bert, carl)] == [False, True]


async def test_starts_and_batches_of_urls_are_limited_by_user(serve: Serve) -> None:
    async with serve(sign="2/hour") as (server, _):
        account = await register_account(server.url)
        async with account.client as client:
            started = await client.post("/v1/uploads", json=start_body(b"a", "a"))
            assert started.headers["ratelimit"].startswith('"sign-hour";r=1;t=')
            items = {"items": [start_body(b"b", "b")]}
            assert (await client.post("/v1/uploads/batch", json=items)).status_code == 200
            address = f"/v1/uploads/{started.json()['upload']['id']}/parts"
            assert is_refused(await client.post(address, json={"parts": []}))
            assert is_refused(await client.post("/v1/uploads", json=start_body(b"c", "c")))
            assert (await client.get("/v1/uploads")).status_code == 200


class Down(Storage):
    """A store of counters that is down."""

    STORAGE_SCHEME = ["async+redisdown"]  # noqa: RUF012 - the library requires it
    base_exceptions = ConnectionError

    async def incr(self, *_: Any) -> Any:
        raise ConnectionError("unknown@example.com")

    get = get_expiry = check = reset = clear = incr  # type: ignore[assignment]


async def test_limits_without_their_store_let_all_requests_pass(serve: Serve, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "dropbox_api.plumbing.limits"):
        async with serve(address="1/hour", storage_url="redisdown://") as (_, client):
            assert [(await client.get("/v1/me")).status_code for _ in range(5)] == [401] * 5
    assert [record.getMessage() for record in caplog.records if "limits" in record.name] == [
        "limits are not counted, their store does not answer: ConnectionError"
    ]


@pytest.fixture
def costly_hashes(server: RunningServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let sign-ins of unknown accounts take as long as in production."""
    monkeypatch.setattr(server.app.state.passwords, "_decoy", passwords.Passwords(1)._decoy)


@pytest.mark.usefixtures("costly_hashes")
async def test_sign_in_storm_leaves_other_requests_answered(server: RunningServer) -> None:
    account = await register_account(server.url)
    many = httpx2.Limits(max_connections=None)
    async with account.client, httpx2.AsyncClient(base_url=server.url, timeout=60, limits=many) as client:
        storm = [asyncio.create_task(sign_in(client, f"{n}@example.com", "wrong")) for n in range(200)]
        while not server.app.state.passwords._taken:  # noqa: ASYNC110
            await asyncio.sleep(0)
        for _ in range(5):
            assert (await account.client.get("/v1/me")).status_code == 200
            assert (await account.client.get("/healthz")).status_code == 200
        assert server.app.state.passwords._taken, "these answers came while sign-ins still waited"
        answers = await asyncio.gather(*storm)
    assert {answer.status_code for answer in answers} <= {401, 503}
    assert all(int(answer.headers["retry-after"]) >= 1 for answer in answers if answer.status_code == 503)


@pytest.mark.usefixtures("costly_hashes")
async def test_sign_in_with_a_full_queue_is_503(
    server: RunningServer, api: httpx2.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert server.app.state.passwords._most == 2 + passwords.MAX_WAITING
    monkeypatch.setattr(server.app.state.passwords, "_most", 2)
    answers = await asyncio.gather(*(sign_in(api, f"{n}@example.com", "wrong") for n in range(8)))
    assert sorted({answer.status_code for answer in answers}) == [401, 503]
    turned_away = next(answer for answer in answers if answer.status_code == 503)
    assert (turned_away.json()["code"], turned_away.headers["retry-after"]) == ("unavailable", "3")
    assert (await sign_in(api, "one@example.com", "wrong")).status_code == 401, "all slots are free again"


def test_address_key_of_an_ipv6_address_is_its_network() -> None:
    assert address_key("2001:db8:1:2::1") == address_key("2001:db8:1:2:ffff::9") != address_key("2001:db8:1:3::1")
    assert address_key("::ffff:192.0.2.1") == address_key("192.0.2.1") != address_key("192.0.2.2")
    assert address_key(None) == ""
