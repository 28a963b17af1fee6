"""Attacks on passkeys: replays, phishing pages, challenges of others, copies, authenticators that verify no user."""

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import httpx2
import pytest
from sqlalchemy import text

from dropbox_api.accounts import mail_tokens
from dropbox_api.models import User
from dropbox_api.storage.s3 import S3Config
from tests.support.authenticator import PUBLIC_URL, Authenticator, add_passkey, begin, sign_in
from tests.support.server import Account, RunningServer, problem, separate_server
from tests.support.server import sign_in as sign_in_by_password

Register = Callable[..., Awaitable[Account]]
KEYS = "/v1/me/passkeys"
INVALID = (401, "invalid-passkey")
FAULTS: list[dict[str, Any]] = [
    {"origin": "https://files.example.com.evil.example"},
    {"origin": "http://files.example.com"},
    {"rp_id": "example.com"},
    {"verified": False},
]


@pytest.fixture(scope="module")
async def server(postgres_url: str, s3_config: S3Config) -> AsyncIterator[RunningServer]:
    async with separate_server(postgres_url, s3_config, http={"public_url": PUBLIC_URL}) as running:
        yield running


@pytest.mark.parametrize("fault", [*FAULTS, {"cross_origin": True}, {"user_handle": b"another account"}], ids=str)
async def test_sign_in_of_a_wrong_page_or_without_verification_is_refused(
    account: Account, api: httpx2.AsyncClient, fault: dict[str, Any]
) -> None:
    authenticator = await add_passkey(account)
    assert problem(await sign_in(api, authenticator, **fault)) == INVALID
    assert (await sign_in(api, authenticator)).status_code == 200


@pytest.mark.parametrize("fault", FAULTS, ids=str)
async def test_registration_of_a_wrong_page_or_without_verification_is_refused(
    account: Account, fault: dict[str, Any]
) -> None:
    credential = Authenticator(PUBLIC_URL).create(await begin(account.client, KEYS), **fault)
    answer = await account.client.post(KEYS, json={"name": "phone", "credential": credential})
    assert problem(answer) == INVALID


async def test_replayed_sign_in_and_registration_are_refused(account: Account, api: httpx2.AsyncClient) -> None:
    authenticator = Authenticator(PUBLIC_URL)
    new = {"name": "phone", "credential": authenticator.create(await begin(account.client, KEYS))}
    made = (await account.client.post(KEYS, json=new)).raise_for_status().json()
    (await account.client.delete(f"{KEYS}/{made['id']}")).raise_for_status()
    assert problem(await account.client.post(KEYS, json=new)) == INVALID

    authenticator = await add_passkey(account)
    body = {"credential": authenticator.get(await begin(api, "/v1/auth/passkey"))}
    assert (await api.post("/v1/auth/passkey", json=body)).status_code == 200
    assert problem(await api.post("/v1/auth/passkey", json=body)) == INVALID


async def test_expired_challenge_is_refused(server: RunningServer, account: Account, api: httpx2.AsyncClient) -> None:
    authenticator = await add_passkey(account)
    body = {"credential": authenticator.get(await begin(api, "/v1/auth/passkey"))}
    async with server.db.begin() as tx:
        await tx.execute(text("UPDATE passkey_challenges SET expires_at = now()"))
    assert problem(await api.post("/v1/auth/passkey", json=body)) == INVALID


async def test_challenge_of_another_purpose_is_refused(account: Account, api: httpx2.AsyncClient) -> None:
    """A signature that confirms must not sign in, nor the other way round."""
    authenticator = await add_passkey(account)
    confirmation = authenticator.get(await begin(account.client, "/v1/me/confirm"))
    assert problem(await api.post("/v1/auth/passkey", json={"credential": confirmation})) == INVALID
    new = await begin(account.client, KEYS)
    confirmation = authenticator.get({"challenge": new["challenge"], "rpId": new["rp"]["id"]})
    assert problem(await account.client.post("/v1/me/confirm", json={"passkey": confirmation})) == INVALID
    signed_in = authenticator.get(await begin(api, "/v1/auth/passkey"))
    assert problem(await account.client.post("/v1/me/confirm", json={"passkey": signed_in})) == INVALID


async def test_challenge_of_another_sign_in_is_refused(
    server: RunningServer, account: Account, api: httpx2.AsyncClient
) -> None:
    """An attacker with an old session must not use what the owner's authenticator signs for another session."""
    authenticator = await add_passkey(account)
    tokens = (await sign_in_by_password(api, account.email, account.password)).json()
    headers = {"Authorization": f"Bearer {tokens['access_token']}"}
    passkey = authenticator.get(await begin(account.client, "/v1/me/confirm"))
    assert problem(await api.post("/v1/me/confirm", json={"passkey": passkey}, headers=headers)) == INVALID
    credential = Authenticator(PUBLIC_URL).create(await begin(account.client, KEYS))
    new = {"name": "attacker", "credential": credential}
    assert problem(await api.post(KEYS, json=new, headers=headers)) == INVALID


async def test_registration_after_the_session_of_its_challenge_ended_is_refused(account: Account) -> None:
    credential = Authenticator(PUBLIC_URL).create(await begin(account.client, KEYS))
    logout = {"refresh_token": account.tokens["refresh_token"]}
    (await account.client.post("/v1/auth/logout", json=logout)).raise_for_status()
    answer = await account.client.post(KEYS, json={"name": "phone", "credential": credential})
    assert problem(answer) == (401, "unauthenticated")


async def test_signature_of_another_key_is_refused(account: Account, api: httpx2.AsyncClient) -> None:
    """The attacker knows the id and the account of a passkey, but not its key."""
    authenticator = await add_passkey(account)
    forger = Authenticator(PUBLIC_URL, credential_id=authenticator.credential_id, user_handle=authenticator.user_handle)
    assert problem(await sign_in(api, forger)) == INVALID


async def test_copy_of_a_counting_authenticator_is_refused(account: Account, api: httpx2.AsyncClient) -> None:
    authenticator = await add_passkey(account, counts=True)
    for _ in range(2):
        assert (await sign_in(api, authenticator)).status_code == 200
    authenticator.sign_count -= 1
    assert problem(await sign_in(api, authenticator)) == INVALID
    assert (await sign_in(api, authenticator)).status_code == 200


async def test_unknown_passkey_and_disabled_account_get_equal_answers(
    server: RunningServer, account: Account, api: httpx2.AsyncClient
) -> None:
    authenticator, unknown = await add_passkey(account), Authenticator(PUBLIC_URL, user_handle=b"x" * 16)
    async with server.db.begin() as tx:
        await tx.execute(text("UPDATE users SET disabled_at = now() WHERE email = :email"), {"email": account.email})
    answers = [await sign_in(api, one) for one in (authenticator, unknown)]
    told = [{name: answer.json()[name] for name in ("code", "title", "detail", "status")} for answer in answers]
    assert told[0] == told[1]
    assert problem(answers[0]) == INVALID


@pytest.mark.parametrize("path", ["/v1/me/passkeys/options", "/v1/me/passkeys-only", "/v1/me/tokens"])
async def test_change_of_factors_with_an_old_sign_in_is_refused(
    server: RunningServer, account: Account, path: str
) -> None:
    """A stolen session must not give its thief a lasting way in."""
    aged = text(
        "UPDATE sessions SET created_at = now() - interval '11 minutes' FROM users "
        "WHERE users.id = user_id AND email = :email"
    )
    async with server.db.begin() as tx:
        await tx.execute(aged, {"email": account.email})
    body: dict[str, Any] = {"enabled": False} if path.endswith("only") else {"name": "x", "scopes": ["files:read"]}
    answer = await account.client.request("PUT" if path.endswith("only") else "POST", path, json=body)
    assert (problem(answer), answer.json()["reason"]) == ((403, "forbidden"), "sign-in-too-old")


async def test_reset_of_an_unconfirmed_address_removes_the_passkeys_of_a_stranger(
    server: RunningServer, account: Account, api: httpx2.AsyncClient
) -> None:
    """A stranger registers the address of a victim and adds a passkey, waiting for the victim to use the account."""

    async def reset() -> None:
        issued = await mail_tokens.issue_mail_token(
            server.db, server.settings.auth, "reset", User.email == account.email
        )
        assert issued
        body = {"token": issued.token, "new_password": "the victim's own words"}
        (await api.post("/v1/auth/reset-password", json=body)).raise_for_status()

    authenticator = await add_passkey(account)
    await reset()
    assert problem(await sign_in(api, authenticator)) == INVALID
    tokens = (await sign_in_by_password(api, account.email, "the victim's own words")).raise_for_status().json()
    account.client.headers["Authorization"] = f"Bearer {tokens['access_token']}"
    authenticator = await add_passkey(account)
    await reset()
    assert (await sign_in(api, authenticator)).status_code == 200
