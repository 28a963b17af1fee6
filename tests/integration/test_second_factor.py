"""The second factor through HTTP: turn on and off, sign in, and use every code once."""

import asyncio
import time
import uuid
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any

import httpx2
import pyotp
import pytest
from sqlalchemy import func, select, text, update

from dropbox_api.accounts.factors import codes
from dropbox_api.accounts.factors.confirm import FRESH
from dropbox_api.db import Db
from dropbox_api.models import RecoveryCode, Session, User
from tests.support.server import PASSWORD, Account, problem

Register = Callable[..., Awaitable[Account]]
FACTOR = "/v1/me/second-factor"
WRONG = (401, "invalid-credentials")


async def sign_in(api: httpx2.AsyncClient, account: Account, otp: str | None = None, **change: str) -> httpx2.Response:
    form = {"grant_type": "password", "username": account.email, "password": account.password} | change
    return await api.post("/v1/auth/token", data=form if otp is None else form | {"otp": otp})


async def me(api: httpx2.AsyncClient, signed_in: httpx2.Response) -> httpx2.Response:
    return await api.get("/v1/me", headers={"Authorization": f"Bearer {signed_in.json()['access_token']}"})


async def alter(db: Db, account: Account, **values: Any) -> None:
    async with db.begin() as tx:
        await tx.execute(update(User).where(User.email == account.email).values(**values))


async def fresh_code(db: Db, account: Account, secret: str) -> str:
    """Return the current code, and forget that it was used."""
    await alter(db, account, totp_last_step=0)
    return pyotp.TOTP(secret).now()


def code_in(secret: str, steps: int) -> str:
    return pyotp.TOTP(secret).generate_otp(int(time.time()) // codes.STEP_S + steps)


async def propose(account: Account) -> str:
    answer = await account.client.post(FACTOR, json={"password": account.password})
    secret: str = answer.raise_for_status().json()["secret"]
    return secret


async def turn_on(account: Account) -> tuple[str, list[str]]:
    """Return the secret of the app and the recovery codes."""
    secret = await propose(account)
    answer = await account.client.post(f"{FACTOR}/confirm", json={"code": pyotp.TOTP(secret).now()})
    return secret, answer.raise_for_status().json()["recovery_codes"]


class TestTurnOn:
    async def test_second_factor_is_on_after_a_confirmed_code(
        self, account: Account, api: httpx2.AsyncClient, db: Db
    ) -> None:
        proposal = await account.client.post(FACTOR, json={"password": account.password})
        assert proposal.status_code == 200
        assert proposal.headers["cache-control"] == "no-store"
        secret = proposal.json()["secret"]
        parsed = pyotp.parse_uri(proposal.json()["otpauth_url"])
        assert isinstance(parsed, pyotp.TOTP)
        assert (parsed.secret, parsed.name, parsed.interval, parsed.digits) == (secret, account.email, 30, 6)
        assert (await sign_in(api, account)).status_code == 200
        assert (await account.me())["second_factor"] is False

        confirmed = await account.client.post(f"{FACTOR}/confirm", json={"code": pyotp.TOTP(secret).now()})
        assert confirmed.status_code == 200
        assert confirmed.headers["cache-control"] == "no-store"
        assert len(set(confirmed.json()["recovery_codes"])) == 10
        assert (await account.me())["second_factor"] is True
        assert problem(await sign_in(api, account)) == (401, "second-factor-required")
        assert problem(await sign_in(api, account, "")) == (401, "second-factor-required")
        code = await fresh_code(db, account, secret)
        assert (await me(api, await sign_in(api, account, code))).status_code == 200

    async def test_confirm_with_a_wrong_code_is_refused(self, account: Account, api: httpx2.AsyncClient) -> None:
        assert problem(await account.client.post(f"{FACTOR}/confirm", json={"code": "123456"})) == (
            409,
            "second-factor-state",
        )
        secret = await propose(account)
        for code in (code_in(secret, -2), code_in(secret, 3), code_in(pyotp.random_base32(), 0)):
            assert problem(await account.client.post(f"{FACTOR}/confirm", json={"code": code})) == WRONG
        assert (await sign_in(api, account)).status_code == 200

    async def test_later_proposal_replaces_the_earlier_one(self, account: Account) -> None:
        first, second = await propose(account), await propose(account)
        answer = await account.client.post(f"{FACTOR}/confirm", json={"code": pyotp.TOTP(first).now()})
        assert problem(answer) == WRONG
        answer = await account.client.post(f"{FACTOR}/confirm", json={"code": pyotp.TOTP(second).now()})
        assert answer.status_code == 200

    async def test_propose_while_on_is_refused(self, account: Account, db: Db) -> None:
        secret, _ = await turn_on(account)
        answer = await account.client.post(FACTOR, json={"password": account.password})
        assert problem(answer) == (409, "second-factor-state")
        code = await fresh_code(db, account, secret)
        answer = await account.client.post(f"{FACTOR}/confirm", json={"code": code})
        assert problem(answer) == (409, "second-factor-state")

    async def test_propose_with_a_wrong_password_is_refused(self, account: Account) -> None:
        assert problem(await account.client.post(FACTOR, json={"password": "wrong password"})) == WRONG

    async def test_confirm_ends_all_other_sign_ins(self, account: Account, api: httpx2.AsyncClient) -> None:
        other = await sign_in(api, account)
        assert (await me(api, other)).status_code == 200
        await turn_on(account)
        assert problem(await me(api, other)) == (401, "unauthenticated")
        assert (await account.client.get("/v1/me")).status_code == 200

    async def test_concurrent_confirmations_admit_one(self, account: Account, db: Db) -> None:
        secret = await propose(account)
        body = {"code": pyotp.TOTP(secret).now()}
        answers = await asyncio.gather(*(account.client.post(f"{FACTOR}/confirm", json=body) for _ in range(6)))
        assert Counter(answer.status_code for answer in answers) == {200: 1, 409: 5}
        query = select(func.count()).select_from(RecoveryCode).join(User, User.id == RecoveryCode.user_id)
        async with db.read() as tx:
            assert await tx.scalar(query.where(User.email == account.email)) == 10

    async def test_propose_without_a_password_needs_a_fresh_sign_in(self, account: Account, db: Db) -> None:
        await alter(db, account, password_hash=None)
        secret, _ = await turn_on(account)
        old = update(Session).values(created_at=func.now() - FRESH)
        async with db.begin() as tx:
            await tx.execute(old.where(Session.user_id == uuid.UUID((await account.me())["id"])))
        body = {"otp": await fresh_code(db, account, secret)}
        refused = await account.client.request("DELETE", FACTOR, json=body)
        assert problem(refused) == (403, "forbidden")
        assert refused.json()["reason"] == "sign-in-too-old"
        assert (await account.me())["second_factor"] is True


class TestSignIn:
    async def test_code_works_once(self, account: Account, api: httpx2.AsyncClient, db: Db) -> None:
        secret = await propose(account)
        first = pyotp.TOTP(secret).now()
        (await account.client.post(f"{FACTOR}/confirm", json={"code": first})).raise_for_status()
        assert problem(await sign_in(api, account, first)) == WRONG
        code = await fresh_code(db, account, secret)
        assert (await sign_in(api, account, code)).status_code == 200
        assert problem(await sign_in(api, account, code)) == WRONG

    async def test_older_code_after_a_newer_one_is_refused(
        self, account: Account, api: httpx2.AsyncClient, db: Db
    ) -> None:
        secret, _ = await turn_on(account)
        await alter(db, account, totp_last_step=0)
        older, newer = code_in(secret, 0), code_in(secret, 1)
        assert (await sign_in(api, account, newer)).status_code == 200
        assert problem(await sign_in(api, account, older)) == WRONG

    async def test_concurrent_uses_of_a_code_admit_one(self, account: Account, api: httpx2.AsyncClient, db: Db) -> None:
        secret, recovery = await turn_on(account)
        for code in (await fresh_code(db, account, secret), recovery[0]):
            answers = await asyncio.gather(*(sign_in(api, account, code) for _ in range(6)))
            assert Counter(answer.status_code for answer in answers) == {200: 1, 401: 5}

    async def test_recovery_code_works_once_in_any_spelling(self, account: Account, api: httpx2.AsyncClient) -> None:
        _, recovery = await turn_on(account)
        one, two, three, four = recovery[:4]
        written = {one: one, two: two.upper(), three: three.replace("-", ""), four: f" {four} "}
        for code, otp in written.items():
            assert (await sign_in(api, account, otp)).status_code == 200
            assert problem(await sign_in(api, account, code)) == WRONG

    async def test_code_of_another_account_is_refused(
        self, register: Register, api: httpx2.AsyncClient, db: Db
    ) -> None:
        account, other = await register(), await register()
        await turn_on(account)
        secret, recovery = await turn_on(other)
        for code in (await fresh_code(db, other, secret), recovery[0]):
            assert problem(await sign_in(api, account, code)) == WRONG
            assert (await sign_in(api, other, code)).status_code == 200

    async def test_wrong_password_gets_an_equal_answer_and_uses_no_code(
        self, register: Register, api: httpx2.AsyncClient, db: Db
    ) -> None:
        account = await register()
        secret, _ = await turn_on(account)
        code = await fresh_code(db, account, secret)
        wrong = {"password": "another password"}
        answers = [
            await sign_in(api, account, **wrong),
            await sign_in(api, account, code, **wrong),
            await sign_in(api, account, "000000", **wrong),
            await sign_in(api, account, code, username=f"{uuid.uuid4().hex}@example.com"),
            await sign_in(api, account, "000000"),
        ]
        told = [{name: answer.json()[name] for name in ("code", "title", "detail", "type")} for answer in answers]
        assert all(one == told[0] for one in told)
        assert {problem(answer) for answer in answers} == {WRONG}
        assert (await sign_in(api, account, code)).status_code == 200

    async def test_disabled_account_with_a_code_is_refused(
        self, account: Account, api: httpx2.AsyncClient, db: Db
    ) -> None:
        secret, recovery = await turn_on(account)
        await alter(db, account, disabled_at=func.now())
        for code in (None, await fresh_code(db, account, secret), recovery[0]):
            assert problem(await sign_in(api, account, code)) == WRONG

    @pytest.mark.parametrize("otp", ["\0", "é" * 6, "x" * 41, "123456\n"])
    async def test_malformed_code_is_refused(self, account: Account, api: httpx2.AsyncClient, otp: str) -> None:
        assert problem(await sign_in(api, account, otp)) == (422, "invalid-request")

    async def test_code_without_a_second_factor_is_ignored(self, account: Account, api: httpx2.AsyncClient) -> None:
        assert (await sign_in(api, account, "123456")).status_code == 200


class TestTurnOff:
    async def test_turn_off_needs_both_factors_and_ends_other_sign_ins(
        self, account: Account, api: httpx2.AsyncClient, db: Db
    ) -> None:
        secret, recovery = await turn_on(account)
        other = await sign_in(api, account, recovery[0])
        code = await fresh_code(db, account, secret)
        for body in (
            {"password": account.password, "otp": "000000"},
            {"password": account.password, "otp": recovery[0]},
            {"password": "wrong password", "otp": code},
            {"password": account.password},
        ):
            assert problem(await account.client.request("DELETE", FACTOR, json=body)) == WRONG
        assert (await account.me())["second_factor"] is True

        body = {"password": account.password, "otp": code}
        assert (await account.client.request("DELETE", FACTOR, json=body)).status_code == 204
        assert (await account.me())["second_factor"] is False
        assert problem(await me(api, other)) == (401, "unauthenticated")
        assert (await sign_in(api, account)).status_code == 200
        body = {"password": account.password, "otp": recovery[1]}
        assert problem(await account.client.request("DELETE", FACTOR, json=body)) == (409, "second-factor-state")

    async def test_turn_off_with_a_recovery_code_is_accepted(self, account: Account) -> None:
        _, recovery = await turn_on(account)
        body = {"password": account.password, "otp": recovery[3]}
        assert (await account.client.request("DELETE", FACTOR, json=body)).status_code == 204
        secret, again = await turn_on(account)
        assert not set(recovery) & set(again)
        assert secret

    async def test_new_recovery_codes_void_the_old_ones(self, account: Account, api: httpx2.AsyncClient) -> None:
        body = {"password": account.password, "otp": "123456"}
        assert problem(await account.client.post(f"{FACTOR}/recovery-codes", json=body)) == (409, "second-factor-state")
        _, old = await turn_on(account)
        body = {"password": account.password, "otp": old[0]}
        answer = await account.client.post(f"{FACTOR}/recovery-codes", json=body)
        new = answer.raise_for_status().json()["recovery_codes"]
        assert len(set(new) - set(old)) == 10
        assert problem(await account.client.post(f"{FACTOR}/recovery-codes", json=body)) == WRONG
        assert problem(await sign_in(api, account, old[1])) == WRONG
        assert (await sign_in(api, account, new[1])).status_code == 200


async def test_database_holds_neither_secret_nor_code(account: Account, db: Db) -> None:
    secret, recovery = await turn_on(account)
    async with db.read() as tx:
        user = (await tx.execute(select(User.__table__).where(User.email == account.email))).one()
        kept = (await tx.execute(select(RecoveryCode.__table__).where(RecoveryCode.user_id == user.id))).all()
    everything = repr(user) + repr(kept)
    assert secret not in everything
    assert not [code for code in recovery if code in everything or code.replace("-", "") in everything]


async def test_secret_in_another_row_is_not_decrypted(register: Register, api: httpx2.AsyncClient, db: Db) -> None:
    """An attacker with write access to the database alone cannot bind an own app to another account."""
    mallory, victim = await register(), await register(password=PASSWORD)
    secret, _ = await turn_on(mallory)
    await turn_on(victim)
    moved = text(
        "UPDATE users SET totp_last_step = 0, totp_secret = (SELECT totp_secret FROM users WHERE email = :mallory) "
        "WHERE email = :victim"
    )
    async with db.begin() as tx:
        await tx.execute(moved, {"mallory": mallory.email, "victim": victim.email})
    assert problem(await sign_in(api, victim, pyotp.TOTP(secret).now())) == WRONG
