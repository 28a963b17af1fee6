"""Sign-ins through HTTP: listed, ended, and ended by a new password."""

import asyncio
import json
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import httpx2
import pytest
from pydantic import SecretStr
from sqlalchemy import func, insert, select, update

from dropbox_api.accounts.factors.confirm import FRESH
from dropbox_api.accounts.factors.passwords import Passwords
from dropbox_api.accounts.schemas import SignInForm
from dropbox_api.accounts.session_tokens import AccessTokens, RefreshToken
from dropbox_api.accounts.sign_in import sign_in as sign_in_by_password
from dropbox_api.db import Db
from dropbox_api.models import MailToken, Session, User
from dropbox_api.problems import Forbidden
from dropbox_api.settings import AuthSettings
from tests.support.server import Account, problem

Register = Callable[..., Awaitable[Account]]
NEW_PASSWORD = "an entirely new password"


async def sign_in(api: httpx2.AsyncClient, account: Account, **change: Any) -> httpx2.Response:
    form = {"grant_type": "password", "username": account.email, "password": account.password}
    return await api.post("/v1/auth/token", data=form | change)


async def bearer(api: httpx2.AsyncClient, account: Account, agent: str = "test") -> dict[str, str]:
    """Sign in again; return the headers of the new session."""
    form = {"grant_type": "password", "username": account.email, "password": account.password}
    answer = await api.post("/v1/auth/token", data=form, headers={"User-Agent": agent})
    return {"Authorization": f"Bearer {answer.raise_for_status().json()['access_token']}"}


async def sessions(account: Account, **query: Any) -> dict[str, Any]:
    listed: dict[str, Any] = (await account.client.get("/v1/me/sessions", params=query)).raise_for_status().json()
    return listed


async def alter(db: Db, account: Account, **values: Any) -> None:
    async with db.begin() as tx:
        await tx.execute(update(User).where(User.email == account.email).values(**values))


@pytest.fixture
async def passwords() -> AsyncIterator[Passwords]:
    pool = Passwords(1)
    yield pool
    pool.close()


class TestList:
    async def test_list_shows_client_address_and_times(self, account: Account, api: httpx2.AsyncClient) -> None:
        await bearer(api, account, "a phone")
        listed = await sessions(account)
        phone, first = listed["items"]
        assert listed["next_cursor"] is None
        assert (phone["user_agent"], phone["address"], phone["is_current"]) == ("a phone", "127.0.0.1", False)
        assert first["is_current"] is True
        assert phone["created_at"] >= first["created_at"]
        parsed = RefreshToken.parse(account.tokens["refresh_token"])
        assert parsed is not None
        assert first["id"] == str(parsed.session_id)

    async def test_list_of_sign_ins_has_pages(self, account: Account, api: httpx2.AsyncClient) -> None:
        for agent in ("one", "two", "three"):
            await bearer(api, account, agent)
        page = await sessions(account, limit=3)
        assert [one["user_agent"] for one in page["items"]] == ["three", "two", "one"]
        rest = await sessions(account, limit=3, cursor=page["next_cursor"])
        assert [one["is_current"] for one in rest["items"]] == [True]
        assert rest["next_cursor"] is None
        assert problem(await account.client.get("/v1/me/sessions", params={"cursor": "x"})) == (422, "invalid-cursor")

    async def test_list_omits_ended_sign_ins_and_other_accounts(
        self, register: Register, api: httpx2.AsyncClient, db: Db
    ) -> None:
        account, _ = await register(), await register()
        signed_out = (await sign_in(api, account)).json()
        await api.post("/v1/auth/logout", json={"refresh_token": signed_out["refresh_token"]})
        expired = RefreshToken.parse((await sign_in(api, account)).json()["refresh_token"])
        assert expired is not None
        async with db.begin() as tx:
            await tx.execute(update(Session).where(Session.id == expired.session_id).values(expires_at=func.now()))
        assert [one["is_current"] for one in (await sessions(account))["items"]] == [True]


class TestEnd:
    async def test_end_of_one_sign_in_works_at_once(self, account: Account, api: httpx2.AsyncClient) -> None:
        other = await sign_in(api, account)
        headers = {"Authorization": f"Bearer {other.json()['access_token']}"}
        session_id = (await sessions(account))["items"][0]["id"]
        assert (await account.client.delete(f"/v1/me/sessions/{session_id}")).status_code == 204
        assert problem(await api.get("/v1/me", headers=headers)) == (401, "unauthenticated")
        refreshed = await api.post("/v1/auth/refresh", json={"refresh_token": other.json()["refresh_token"]})
        assert problem(refreshed) == (401, "invalid-refresh-token")
        assert problem(await account.client.delete(f"/v1/me/sessions/{session_id}")) == (404, "not-found")
        assert (await account.client.get("/v1/me")).status_code == 200

    async def test_end_of_a_sign_in_of_another_account_is_404(self, register: Register) -> None:
        account, other = await register(), await register()
        session_id = (await sessions(other))["items"][0]["id"]
        assert problem(await account.client.delete(f"/v1/me/sessions/{session_id}")) == (404, "not-found")
        assert problem(await account.client.delete(f"/v1/me/sessions/{uuid.uuid4()}")) == (404, "not-found")
        assert (await account.client.delete("/v1/me/sessions")).status_code == 204
        assert (await other.client.get("/v1/me")).status_code == 200

    async def test_end_of_all_other_sign_ins_works_at_once(self, account: Account, api: httpx2.AsyncClient) -> None:
        others = [await bearer(api, account) for _ in range(2)]
        assert (await account.client.delete("/v1/me/sessions")).status_code == 204
        for headers in others:
            assert problem(await api.get("/v1/me", headers=headers)) == (401, "unauthenticated")
        assert (await account.client.get("/v1/me")).status_code == 200


class TestPassword:
    async def test_new_password_replaces_the_old_and_ends_other_sign_ins(
        self, account: Account, api: httpx2.AsyncClient
    ) -> None:
        other = await bearer(api, account)
        body = {"current_password": account.password, "new_password": NEW_PASSWORD}
        assert (await account.client.put("/v1/me/password", json=body)).status_code == 204
        assert problem(await sign_in(api, account)) == (401, "invalid-credentials")
        assert (await sign_in(api, account, password=NEW_PASSWORD)).status_code == 200
        assert problem(await api.get("/v1/me", headers=other)) == (401, "unauthenticated")
        assert (await account.client.get("/v1/me")).status_code == 200
        refreshed = await api.post("/v1/auth/refresh", json={"refresh_token": account.tokens["refresh_token"]})
        assert refreshed.status_code == 200

    async def test_change_without_the_old_password_is_refused(self, account: Account, api: httpx2.AsyncClient) -> None:
        for body in ({"current_password": "wrong password"}, {"current_password": None}, {}):
            answer = await account.client.put("/v1/me/password", json=body | {"new_password": NEW_PASSWORD})
            assert problem(answer) == (401, "invalid-credentials")
        assert (await sign_in(api, account)).status_code == 200

    @pytest.mark.parametrize("new", ["short", "x" * 129, None])
    async def test_change_to_an_invalid_password_is_refused(self, account: Account, new: str | None) -> None:
        body = {"current_password": account.password, "new_password": new}
        assert problem(await account.client.put("/v1/me/password", json=body)) == (422, "invalid-request")

    async def test_change_to_a_weak_password_is_refused(self, account: Account, api: httpx2.AsyncClient) -> None:
        for new, reason in (("password1", "common"), (account.email, "contains-address")):
            body = {"current_password": account.password, "new_password": new}
            refused = await account.client.put("/v1/me/password", json=body)
            assert problem(refused) == (422, "weak-password")
            assert refused.json()["reason"] == reason
        assert (await sign_in(api, account)).status_code == 200

    @pytest.mark.parametrize("member", ["current_password", "new_password"])
    async def test_change_to_a_password_with_a_lone_surrogate_is_refused(self, account: Account, member: str) -> None:
        body = {"current_password": account.password, "new_password": NEW_PASSWORD, member: "half a pair \ud800"}
        headers = {"Content-Type": "application/json"}
        answer = await account.client.put("/v1/me/password", content=json.dumps(body), headers=headers)
        assert problem(answer) == (422, "invalid-request")

    async def test_concurrent_password_changes_admit_one(self, account: Account, api: httpx2.AsyncClient) -> None:
        def body(number: int) -> dict[str, str]:
            return {"current_password": account.password, "new_password": f"{NEW_PASSWORD} {number}"}

        answers = await asyncio.gather(*(account.client.put("/v1/me/password", json=body(n)) for n in range(4)))
        assert Counter(answer.status_code for answer in answers) == {204: 1, 401: 3}
        signed_in = [await sign_in(api, account, password=f"{NEW_PASSWORD} {n}") for n in range(4)]
        assert [one.status_code == 200 for one in signed_in] == [one.status_code == 204 for one in answers]

    async def test_change_of_password_voids_open_reset_mails(self, account: Account, db: Db) -> None:
        user_id = uuid.UUID((await account.me())["id"])
        mailed = {
            "token_hash": uuid.uuid4().bytes,
            "user_id": user_id,
            "purpose": "reset",
            "email": account.email,
            "expires_at": func.now() + FRESH,
        }
        async with db.begin() as tx:
            await tx.execute(insert(MailToken).values(mailed))
        body = {"current_password": account.password, "new_password": NEW_PASSWORD}
        (await account.client.put("/v1/me/password", json=body)).raise_for_status()
        async with db.read() as tx:
            assert await tx.scalar(select(MailToken.used_at).where(MailToken.user_id == user_id)) is not None

    async def test_first_password_needs_a_fresh_sign_in(
        self, register: Register, api: httpx2.AsyncClient, db: Db
    ) -> None:
        fresh, old = await register(), await register()
        for account in (fresh, old):
            await alter(db, account, password_hash=None)
            assert (await account.me())["has_password"] is False
            assert problem(await sign_in(api, account)) == (401, "invalid-credentials")
        aged = update(Session).values(created_at=func.now() - FRESH)
        async with db.begin() as tx:
            await tx.execute(aged.where(Session.user_id == uuid.UUID((await old.me())["id"])))
        refused = await old.client.put("/v1/me/password", json={"new_password": NEW_PASSWORD})
        assert problem(refused) == (403, "forbidden")
        assert (await fresh.client.put("/v1/me/password", json={"new_password": NEW_PASSWORD})).status_code == 204
        assert (await sign_in(api, fresh, password=NEW_PASSWORD)).status_code == 200
        assert (await fresh.me())["has_password"] is True


async def test_sign_in_without_a_required_verified_address_is_403(
    account: Account, db: Db, passwords: Passwords
) -> None:
    settings = AuthSettings(require_verified_email=True)

    async def enter() -> None:
        grant = SignInForm(
            grant_type="password", username=account.email, password=SecretStr(account.password), otp=None
        )
        await sign_in_by_password(db, settings, passwords, AccessTokens(settings), grant, "bearer")

    with pytest.raises(Forbidden) as refused:
        await enter()
    assert refused.value.extra == {"reason": "address-not-verified"}
    await alter(db, account, email_verified_at=func.now())
    await enter()
