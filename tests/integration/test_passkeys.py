"""Passkeys through HTTP: add, list, rename and remove them, sign in, confirm, and require them."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import httpx2
import pyotp
import pytest
from sqlalchemy import func, select, text, update

from dropbox_api.accounts import users
from dropbox_api.accounts.factors.confirm import FRESH
from dropbox_api.db import Db
from dropbox_api.models import PasskeyChallenge, RecoveryCode, Session, User
from dropbox_api.storage.s3 import S3Config
from tests.support.authenticator import PUBLIC_URL, Authenticator, add_passkey, begin, sign_in
from tests.support.server import Account, RunningServer, problem, separate_server

Register = Callable[..., Awaitable[Account]]
KEYS = "/v1/me/passkeys"
INVALID = (401, "invalid-passkey")
TOO_OLD = (403, "forbidden")


@pytest.fixture(scope="module")
async def server(postgres_url: str, s3_config: S3Config) -> AsyncIterator[RunningServer]:
    async with separate_server(postgres_url, s3_config, http={"public_url": PUBLIC_URL}) as running:
        yield running


async def bearer(server: RunningServer, signed_in: httpx2.Response) -> httpx2.AsyncClient:
    headers = {"Authorization": f"Bearer {signed_in.raise_for_status().json()['access_token']}"}
    return httpx2.AsyncClient(base_url=server.url, headers=headers, timeout=60)


async def age_sessions(db: Db, account: Account) -> None:
    """Make the account's sign-ins and confirmations older than a confirmation may be."""
    own = Session.user_id == select(User.id).where(User.email == account.email).scalar_subquery()
    async with db.begin() as tx:
        await tx.execute(update(Session).where(own).values(created_at=func.now() - FRESH, confirmed_at=None))


async def password_sign_in(api: httpx2.AsyncClient, account: Account, **more: str) -> httpx2.Response:
    form = {"grant_type": "password", "username": account.email, "password": account.password}
    return await api.post("/v1/auth/token", data=form | more)


async def add(account: Account, name: str = "phone") -> dict[str, Any]:
    credential = Authenticator(PUBLIC_URL).create(await begin(account.client, KEYS))
    answer = await account.client.post(KEYS, json={"name": name, "credential": credential})
    added: dict[str, Any] = answer.raise_for_status().json()
    return added


async def names(account: Account) -> list[str]:
    listed = (await account.client.get(KEYS)).raise_for_status().json()
    return [item["name"] for item in listed["items"]]


class TestAdd:
    async def test_options_require_a_resident_key_and_user_verification(self, account: Account) -> None:
        answer = await account.client.post(f"{KEYS}/options")
        assert answer.headers["cache-control"] == "no-store"
        options = answer.json()
        assert options["rp"] == {"id": "files.example.com", "name": "dropbox-api"}
        assert options["user"]["name"] == account.email
        assert options["authenticatorSelection"] == {
            "residentKey": "required",
            "requireResidentKey": True,
            "userVerification": "required",
        }
        assert options["attestation"] == "none"
        assert options["excludeCredentials"] == []
        authenticator = await add_passkey(account)
        again = await begin(account.client, KEYS)
        assert [known["id"] for known in again["excludeCredentials"]] == [authenticator.get_id()]

    async def test_first_passkey_comes_with_recovery_codes_and_a_later_one_does_not(self, account: Account) -> None:
        assert len(set((await add(account))["recovery_codes"])) == 10
        assert (await add(account, "laptop"))["recovery_codes"] == []
        assert await names(account) == ["laptop", "phone"]

    async def test_app_after_a_passkey_keeps_the_recovery_codes(
        self, account: Account, api: httpx2.AsyncClient
    ) -> None:
        recovery = (await add(account))["recovery_codes"]
        proposal = (await account.client.post("/v1/me/second-factor", json={})).raise_for_status().json()
        code = {"code": pyotp.TOTP(proposal["secret"]).now()}
        confirmed = await account.client.post("/v1/me/second-factor/confirm", json=code)
        assert confirmed.raise_for_status().json() == {"recovery_codes": []}
        assert (await password_sign_in(api, account, otp=recovery[0])).status_code == 200

    async def test_add_without_a_recent_sign_in_needs_a_confirmation(self, account: Account, db: Db) -> None:
        await age_sessions(db, account)
        refused = await account.client.post(f"{KEYS}/options")
        assert (problem(refused), refused.json()["reason"]) == (TOO_OLD, "sign-in-too-old")
        (await account.client.post("/v1/me/confirm", json={"password": account.password})).raise_for_status()
        await add_passkey(account)

    async def test_same_passkey_twice_is_refused(self, register: Register) -> None:
        first, second = await register(), await register()
        authenticator = await add_passkey(first)
        for account in (first, second):
            credential = authenticator.create(await begin(account.client, KEYS))
            answer = await account.client.post(KEYS, json={"name": "copy", "credential": credential})
            assert problem(answer) == INVALID
        assert (await names(first), await names(second)) == (["phone"], [])

    @pytest.mark.parametrize("member", ["clientDataJSON", "attestationObject"])
    @pytest.mark.parametrize("value", ["", "A", "AAAA", "e30", "W10", "eyJ0eXBlIjoxfQ", "o2NmbXRkbm9uZQ"])
    async def test_malformed_credential_is_refused(self, account: Account, member: str, value: str) -> None:
        credential = Authenticator(PUBLIC_URL).create(await begin(account.client, KEYS))
        credential["response"][member] = value
        answer = await account.client.post(KEYS, json={"name": "phone", "credential": credential})
        assert problem(answer) in {INVALID, (422, "invalid-request")}
        assert await names(account) == []


class TestManage:
    async def test_rename_shows_the_new_name(self, account: Account) -> None:
        made = await add(account)
        renamed = await account.client.patch(f"{KEYS}/{made['id']}", json={"name": "old phone"})
        assert renamed.raise_for_status().json()["name"] == "old phone"
        assert await names(account) == ["old phone"]

    async def test_passkey_of_another_account_is_not_found(self, register: Register) -> None:
        owner, stranger = await register(), await register()
        path = f"{KEYS}/{(await add(owner))['id']}"
        for answer in (
            await stranger.client.patch(path, json={"name": "mine"}),
            await stranger.client.delete(path),
        ):
            assert problem(answer) == (404, "not-found")
        assert await names(owner) == ["phone"]

    async def test_removed_passkey_signs_in_no_more_and_other_sign_ins_end(
        self, server: RunningServer, account: Account, api: httpx2.AsyncClient, db: Db
    ) -> None:
        authenticator = await add_passkey(account)
        passkey = (await account.client.get(KEYS)).json()["items"][0]
        async with await bearer(server, await sign_in(api, authenticator)) as other:
            await age_sessions(db, account)
            assert problem(await account.client.delete(f"{KEYS}/{passkey['id']}")) == TOO_OLD
            (await account.client.post("/v1/me/confirm", json={"password": account.password})).raise_for_status()
            assert (await account.client.delete(f"{KEYS}/{passkey['id']}")).status_code == 204
            assert problem(await other.get("/v1/me")) == (401, "unauthenticated")
        assert problem(await sign_in(api, authenticator)) == INVALID
        assert await names(account) == []

    async def test_adding_and_removing_are_in_the_activity_of_the_root(self, account: Account) -> None:
        made = await add(account)
        (await account.client.delete(f"{KEYS}/{made['id']}")).raise_for_status()
        root = (await account.client.get("/v1/files/by-path", params={"path": "/"})).json()["id"]
        entries = (await account.client.get(f"/v1/files/{root}/activity")).raise_for_status().json()["items"]
        assert [(entry["action"], entry["detail"]) for entry in entries] == [
            ("passkey-removed", {"name": "phone"}),
            ("passkey-added", {"name": "phone"}),
        ]


class TestSignIn:
    async def test_passkey_signs_in_without_password_and_code(
        self, server: RunningServer, account: Account, api: httpx2.AsyncClient
    ) -> None:
        authenticator = await add_passkey(account)
        options = await begin(api, "/v1/auth/passkey")
        assert (options["rpId"], options["allowCredentials"], options["userVerification"]) == (
            "files.example.com",
            [],
            "required",
        )
        signed_in = await sign_in(api, authenticator)
        assert signed_in.headers["cache-control"] == "no-store"
        assert signed_in.json().keys() == account.tokens.keys()
        async with await bearer(server, signed_in) as client:
            assert (await client.get("/v1/me")).json()["email"] == account.email
            assert (await client.get(KEYS)).json()["items"][0]["last_used_at"] is not None

    async def test_disabled_account_with_a_passkey_is_refused(
        self, account: Account, api: httpx2.AsyncClient, db: Db
    ) -> None:
        authenticator = await add_passkey(account)
        async with db.begin() as tx:
            await tx.execute(update(User).where(User.email == account.email).values(disabled_at=func.now()))
        assert problem(await sign_in(api, authenticator)) == INVALID

    async def test_passkeys_only_makes_the_password_need_a_recovery_code(
        self, account: Account, api: httpx2.AsyncClient
    ) -> None:
        only = "/v1/me/passkeys-only"
        assert problem(await account.client.put(only, json={"enabled": True})) == (409, "second-factor-state")
        made = await add(account)
        assert (await password_sign_in(api, account)).status_code == 200
        assert (await account.client.put(only, json={"enabled": True})).status_code == 204
        me = await account.me()
        assert (me["second_factor"], me["passkeys_only"]) == (True, True)
        assert problem(await password_sign_in(api, account)) == (401, "second-factor-required")
        assert (await password_sign_in(api, account, otp=made["recovery_codes"][0])).status_code == 200
        assert (await account.client.delete(f"{KEYS}/{made['id']}")).status_code == 204
        assert (await account.me())["second_factor"] is False
        assert (await password_sign_in(api, account)).status_code == 200

    async def test_used_up_recovery_codes_lock_no_account_out(
        self, account: Account, api: httpx2.AsyncClient, db: Db
    ) -> None:
        await add(account)
        only, new_codes = "/v1/me/passkeys-only", "/v1/me/second-factor/recovery-codes"
        use_up = update(RecoveryCode).where(User.id == RecoveryCode.user_id, User.email == account.email)
        async with db.begin() as tx:
            await tx.execute(use_up.values(used_at=func.now()))
        assert problem(await account.client.put(only, json={"enabled": True})) == (409, "second-factor-state")
        (code, *_) = (await account.client.post(new_codes, json={})).raise_for_status().json()["recovery_codes"]
        assert (await account.client.put(only, json={"enabled": True})).status_code == 204
        assert (await password_sign_in(api, account, otp=code)).status_code == 200
        async with db.begin() as tx:
            await tx.execute(use_up.values(used_at=func.now()))
        assert len((await add(account, "laptop"))["recovery_codes"]) == 10

    async def test_new_recovery_codes_of_an_account_with_passkeys_need_no_code(
        self, account: Account, api: httpx2.AsyncClient
    ) -> None:
        old = (await add(account))["recovery_codes"]
        (await account.client.put("/v1/me/passkeys-only", json={"enabled": True})).raise_for_status()
        answer = await account.client.post("/v1/me/second-factor/recovery-codes", json={})
        new = answer.raise_for_status().json()["recovery_codes"]
        assert (await password_sign_in(api, account, otp=new[0])).status_code == 200
        assert problem(await password_sign_in(api, account, otp=old[0])) == (401, "invalid-credentials")

    async def test_concurrent_uses_of_one_signature_admit_one(self, account: Account, api: httpx2.AsyncClient) -> None:
        authenticator = await add_passkey(account)
        body = {"credential": authenticator.get(await begin(api, "/v1/auth/passkey"))}
        answers = await asyncio.gather(*(api.post("/v1/auth/passkey", json=body) for _ in range(5)))
        assert Counter(answer.status_code for answer in answers) == {200: 1, 401: 4}


class TestConfirm:
    async def test_passkey_confirms_a_sign_in(self, account: Account, db: Db) -> None:
        authenticator = await add_passkey(account)
        await age_sessions(db, account)
        token = {"name": "backup", "scopes": ["files:read"]}
        refused = await account.client.post("/v1/me/tokens", json=token)
        assert (problem(refused), refused.json()["reason"]) == (TOO_OLD, "sign-in-too-old")
        passkey = authenticator.get(await begin(account.client, "/v1/me/confirm"))
        assert (await account.client.post("/v1/me/confirm", json={"passkey": passkey})).status_code == 204
        assert (await account.client.post("/v1/me/tokens", json=token)).status_code == 201

    async def test_confirm_with_a_wrong_password_or_anothers_passkey_is_refused(
        self, register: Register, db: Db
    ) -> None:
        account, stranger = await register(), await register()
        authenticator = await add_passkey(stranger)
        await age_sessions(db, account)
        passkey = authenticator.get(await begin(account.client, "/v1/me/confirm"))
        confirm = "/v1/me/confirm"
        assert problem(await account.client.post(confirm, json={"passkey": passkey})) == INVALID
        wrong = await account.client.post(confirm, json={"password": "wrong password"})
        assert problem(wrong) == (401, "invalid-credentials")
        assert problem(await account.client.post(f"{KEYS}/options")) == TOO_OLD

    @pytest.mark.parametrize("body", [{}, {"password": None}])
    async def test_confirm_without_a_proof_is_refused(self, account: Account, body: dict[str, Any]) -> None:
        assert problem(await account.client.post("/v1/me/confirm", json=body)) == (422, "invalid-request")

    async def test_confirmation_belongs_to_its_sign_in(
        self, server: RunningServer, account: Account, api: httpx2.AsyncClient, db: Db
    ) -> None:
        async with await bearer(server, await password_sign_in(api, account)) as other:
            await age_sessions(db, account)
            (await account.client.post("/v1/me/confirm", json={"password": account.password})).raise_for_status()
            assert problem(await other.post(f"{KEYS}/options")) == TOO_OLD


async def test_database_holds_the_hash_of_a_challenge(server: RunningServer, api: httpx2.AsyncClient) -> None:
    options = await begin(api, "/v1/auth/passkey")
    async with server.db.read() as tx:
        hashes = (await tx.execute(select(PasskeyChallenge.challenge_hash))).scalars().all()
    assert hashes
    assert options["challenge"] not in repr(hashes)


async def test_operator_removes_passkeys_with_the_second_factor(
    server: RunningServer, account: Account, api: httpx2.AsyncClient
) -> None:
    authenticator = await add_passkey(account)
    await users.remove_second_factor(server.db, await users.require_user_id(server.db, account.email))
    assert problem(await sign_in(api, authenticator)) == INVALID
    assert problem(await account.client.get("/v1/me")) == (401, "unauthenticated")
    async with server.db.read() as tx:
        assert (
            await tx.scalar(
                text("SELECT count(*) FROM passkeys JOIN users ON users.id = user_id WHERE email = :email"),
                {"email": account.email},
            )
            == 0
        )


async def test_passkey_begins_a_session_in_a_cookie(account: Account, api: httpx2.AsyncClient) -> None:
    authenticator = await add_passkey(account)
    body = {"credential": authenticator.get(await begin(api, "/v1/auth/passkey"))}
    headers = {"X-Session": "cookie", "Sec-Fetch-Site": "same-origin"}
    foreign = await api.post("/v1/auth/passkey", json=body, headers=headers | {"Sec-Fetch-Site": "cross-site"})
    assert problem(foreign) == (403, "forbidden")
    answer = await api.post("/v1/auth/passkey", json=body, headers=headers)
    assert answer.raise_for_status().json()["refresh_token"] is None
    assert answer.headers["set-cookie"].startswith("__Host-dbx-session=")
