"""Accounts through HTTP: register, sign in, refresh, sign out, and authentication of requests."""

import asyncio
import base64
import json
import uuid
from collections import Counter
from datetime import timedelta
from typing import Any

import httpx2
import pytest
from pwdlib.hashers.argon2 import Argon2Hasher
from sqlalchemy import func, select, update

from dropbox_api.accounts import refresh as rotation
from dropbox_api.accounts.actors import authenticate_session
from dropbox_api.accounts.factors.passwords import Passwords
from dropbox_api.accounts.refresh import REUSE_GRACE
from dropbox_api.accounts.register import register_account
from dropbox_api.accounts.session_tokens import Identity, RefreshToken
from dropbox_api.db import Db
from dropbox_api.models import Node, Session, User
from dropbox_api.problems import RegistrationClosed, Unauthenticated
from dropbox_api.settings import AuthSettings
from tests.support.server import RunningServer, new_address, sign_in

PASSWORD = "correct horse battery"


async def refresh(api: httpx2.AsyncClient, refresh_token: str) -> httpx2.Response:
    return await api.post("/v1/auth/refresh", json={"refresh_token": refresh_token})


async def logout(api: httpx2.AsyncClient, refresh_token: str) -> httpx2.Response:
    return await api.post("/v1/auth/logout", json={"refresh_token": refresh_token})


async def me(api: httpx2.AsyncClient, access_token: str) -> httpx2.Response:
    return await api.get("/v1/me", headers={"Authorization": f"Bearer {access_token}"})


def problem(response: httpx2.Response) -> tuple[int, str]:
    assert response.headers["content-type"] == "application/problem+json"
    return response.status_code, response.json()["code"]


def told(response: httpx2.Response) -> dict[str, Any]:
    """The members of a problem that are equal for equal requests."""
    return {name: value for name, value in response.json().items() if name not in {"instance", "request_id"}}


async def alter_session(db: Db, tokens: dict[str, Any], **values: Any) -> None:
    session = RefreshToken.parse(tokens["refresh_token"])
    assert session is not None
    async with db.begin() as tx:
        await tx.execute(update(Session).where(Session.id == session.session_id).values(**values))


class TestRegister:
    async def test_new_account_is_empty_and_has_a_root_folder(self, api: httpx2.AsyncClient, db: Db) -> None:
        email = new_address()
        answer = await api.post("/v1/auth/register", json={"email": email, "password": PASSWORD})
        assert answer.status_code == 201
        account = answer.json()
        assert account["email"] == email
        assert account["used_bytes"] == account["reserved_bytes"] == account["used_nodes"] == 0
        assert account["quota_bytes"] > 0
        assert account["quota_nodes"] > 0
        assert PASSWORD not in answer.text
        async with db.read() as tx:
            query = select(Node.kind, Node.name, Node.parent_id).where(Node.owner_id == uuid.UUID(account["id"]))
            nodes = (await tx.execute(query)).all()
        assert [tuple(node) for node in nodes] == [("folder", "", None)]

    async def test_address_in_another_case_is_the_same_account(self, api: httpx2.AsyncClient) -> None:
        name = uuid.uuid4().hex
        first = {"email": f"  {name}@Example.com ", "password": PASSWORD}
        assert (await api.post("/v1/auth/register", json=first)).json()["email"] == f"{name}@example.com"
        for written in (f"{name}@example.com", f"{name.upper()}@example.com", f"{name}@EXAMPLE.COM"):
            again = await api.post("/v1/auth/register", json={"email": written, "password": PASSWORD})
            assert problem(again) == (409, "email-taken")
            assert (await sign_in(api, written, PASSWORD)).status_code == 200

    async def test_addresses_that_look_alike_are_two_accounts(self, api: httpx2.AsyncClient) -> None:
        """They are different mailboxes, which case folding would merge."""
        tag = uuid.uuid4().hex
        for email in (
            f"x@strasse-{tag}.de",
            f"X@Straße-{tag}.de",
            f"sam.{tag}@example.com",
            f"\u017fam.{tag}@example.com",
        ):
            answer = await api.post("/v1/auth/register", json={"email": email, "password": PASSWORD})
            assert (answer.status_code, answer.json()["email"]) == (201, email.lower())

    async def test_password_with_a_lone_surrogate_is_refused(self, api: httpx2.AsyncClient) -> None:
        body = json.dumps({"email": new_address(), "password": PASSWORD + "\ud800"})
        answer = await api.post("/v1/auth/register", content=body, headers={"Content-Type": "application/json"})
        assert problem(answer) == (422, "invalid-request")
        assert PASSWORD not in answer.text

    async def test_concurrent_registrations_of_one_address_admit_one(self, api: httpx2.AsyncClient) -> None:
        email = new_address()
        bodies = [{"email": email, "password": f"{PASSWORD} {n}"} for n in range(8)]
        answers = await asyncio.gather(*(api.post("/v1/auth/register", json=body) for body in bodies))
        assert Counter(answer.status_code for answer in answers) == {201: 1, 409: 7}
        winner = [answer.status_code for answer in answers].index(201)
        signed_in = await asyncio.gather(*(sign_in(api, email, body["password"]) for body in bodies))
        assert [answer.status_code == 200 for answer in signed_in] == [n == winner for n in range(8)]

    @pytest.mark.parametrize(
        "change",
        [
            {"password": "1234567"},
            {"password": "x" * 129},
            {"password": None},
            {"password": 12345678},
            {"email": "anna"},
            {"email": "anna@"},
            {"email": "a\0b@example.com"},
            {"email": f"{'x' * 300}@example.com"},
            {"id": str(uuid.UUID(int=1))},
            {"quota_bytes": 2**60},
            {"disabled_at": None},
        ],
    )
    async def test_register_with_an_invalid_body_is_refused(
        self, api: httpx2.AsyncClient, change: dict[str, Any]
    ) -> None:
        body = {"email": new_address(), "password": PASSWORD} | change
        assert problem(await api.post("/v1/auth/register", json=body)) == (422, "invalid-request")

    @pytest.mark.parametrize("password", ["k3v9-x2q", "x" * 128, "        ", "пароль-пароль", "🔑" * 128])
    async def test_password_of_8_to_128_characters_is_accepted(self, api: httpx2.AsyncClient, password: str) -> None:
        email = new_address()
        body = {"email": email, "password": password}
        assert (await api.post("/v1/auth/register", json=body)).status_code == 201
        assert (await sign_in(api, email, password)).status_code == 200
        assert problem(await sign_in(api, email, password[:-1])) == (401, "invalid-credentials")

    async def test_register_with_a_common_password_is_refused(self, api: httpx2.AsyncClient) -> None:
        answer = await api.post("/v1/auth/register", json={"email": new_address(), "password": "password1"})
        assert problem(answer) == (422, "weak-password")
        assert answer.json()["reason"] == "common"

    async def test_register_on_a_closed_server_is_refused(self, db: Db) -> None:
        passwords = Passwords(1)
        settings = AuthSettings(registration="closed")
        with pytest.raises(RegistrationClosed):
            await register_account(db, settings, passwords, email=new_address(), password=PASSWORD)
        passwords.close()


class TestSignIn:
    async def test_sign_in_returns_tokens_in_the_form_of_oauth2(self, register: Any, api: httpx2.AsyncClient) -> None:
        account = await register()
        answer = await sign_in(api, account.email, account.password)
        assert answer.status_code == 200
        assert answer.headers["cache-control"] == "no-store"
        tokens = answer.json()
        assert set(tokens) == {"access_token", "token_type", "expires_in", "refresh_token", "user_id"}
        assert tokens["token_type"] == "bearer"
        assert tokens["expires_in"] > 0
        assert (await me(api, tokens["access_token"])).json()["email"] == account.email

    async def test_refused_sign_ins_get_equal_answers(self, register: Any, api: httpx2.AsyncClient, db: Db) -> None:
        known, disabled = await register(), await register()
        async with db.begin() as tx:
            await tx.execute(update(User).where(User.email == disabled.email).values(disabled_at=func.now()))
        wrong = await sign_in(api, known.email, known.password + "!")
        unknown = await sign_in(api, new_address(), known.password)
        off = await sign_in(api, disabled.email, disabled.password)
        assert problem(wrong) == problem(unknown) == problem(off) == (401, "invalid-credentials")
        assert told(wrong) == told(unknown) == told(off)
        assert set(wrong.headers) == set(unknown.headers) == set(off.headers)
        assert wrong.headers["www-authenticate"] == "Bearer"

    async def test_log_of_a_sign_in_has_the_user_id_and_no_address(
        self, register: Any, api: httpx2.AsyncClient, caplog: pytest.LogCaptureFixture
    ) -> None:
        account, stranger = await register(), new_address()
        user_id = (await account.me())["id"]
        with caplog.at_level("INFO", logger="dropbox_api.accounts"):
            await sign_in(api, account.email, account.password)
            await sign_in(api, account.email, "a wrong password")
            await sign_in(api, stranger, "a wrong password")
        lines = [record.getMessage() for record in caplog.records if record.name.startswith("dropbox_api.accounts.")]
        assert [user_id in line for line in lines] == [True, True, False]
        assert not [line for line in lines if "@" in line or "a wrong password" in line]

    @pytest.mark.parametrize("change", [{"grant_type": "client_credentials"}, {"grant_type": ""}, {"username": "a\0b"}])
    async def test_token_with_another_grant_is_refused(self, api: httpx2.AsyncClient, change: dict[str, str]) -> None:
        form = {"grant_type": "password", "username": new_address(), "password": PASSWORD} | change
        assert problem(await api.post("/v1/auth/token", data=form)) == (422, "invalid-request")

    async def test_token_with_a_json_body_is_refused(self, register: Any, api: httpx2.AsyncClient) -> None:
        account = await register()
        body = {"grant_type": "password", "username": account.email, "password": account.password}
        assert problem(await api.post("/v1/auth/token", json=body)) == (422, "invalid-request")

    async def test_token_with_unknown_form_members_ignores_them(self, register: Any, api: httpx2.AsyncClient) -> None:
        account = await register()
        form = {"grant_type": "password", "username": account.email, "password": account.password}
        answer = await api.post("/v1/auth/token", data=form | {"scope": "", "client_id": "swagger"})
        assert answer.status_code == 200

    async def test_sign_in_replaces_a_hash_of_older_parameters(
        self, register: Any, api: httpx2.AsyncClient, db: Db
    ) -> None:
        account, other = await register(), await register()
        weak = Argon2Hasher(time_cost=1, memory_cost=8, parallelism=1).hash("old password")
        async with db.begin() as tx:
            await tx.execute(update(User).where(User.email == account.email).values(password_hash=weak))
        assert (await sign_in(api, account.email, "old password")).status_code == 200
        async with db.read() as tx:
            both = select(User.password_hash).where(User.email.in_([account.email, other.email]))
            stored, current = (str(one).rsplit("$", 2)[0] for one in (await tx.execute(both)).scalars())
        assert stored == current != weak.rsplit("$", 2)[0]
        assert (await sign_in(api, account.email, "old password")).status_code == 200


class TestRefresh:
    async def test_refresh_rotates_and_both_new_tokens_work(self, register: Any, api: httpx2.AsyncClient) -> None:
        account = await register()
        tokens = account.tokens
        for _ in range(3):
            answer = await refresh(api, tokens["refresh_token"])
            assert answer.status_code == 200
            assert answer.headers["cache-control"] == "no-store"
            assert answer.json()["refresh_token"] != tokens["refresh_token"]
            tokens = answer.json()
            assert (await me(api, tokens["access_token"])).json()["email"] == account.email

    async def test_refresh_with_an_older_token_ends_the_session(self, register: Any, api: httpx2.AsyncClient) -> None:
        account = await register()
        stolen = account.tokens["refresh_token"]
        second = (await refresh(api, stolen)).json()
        newest = (await refresh(api, second["refresh_token"])).json()
        assert problem(await refresh(api, stolen)) == (401, "invalid-refresh-token")
        assert problem(await refresh(api, newest["refresh_token"])) == (401, "invalid-refresh-token")
        for tokens in (account.tokens, second, newest):
            assert problem(await me(api, tokens["access_token"])) == (401, "unauthenticated")

    async def test_refresh_with_an_older_token_leaves_other_sessions(
        self, register: Any, api: httpx2.AsyncClient
    ) -> None:
        account = await register()
        other = (await sign_in(api, account.email, account.password)).json()
        second = (await refresh(api, account.tokens["refresh_token"])).json()
        await refresh(api, second["refresh_token"])
        await refresh(api, account.tokens["refresh_token"])
        assert (await account.client.get("/v1/me")).status_code == 401
        assert (await me(api, other["access_token"])).status_code == 200
        assert (await refresh(api, other["refresh_token"])).status_code == 200

    async def test_refresh_repeated_within_the_grace_gets_the_same_successor(
        self, register: Any, api: httpx2.AsyncClient
    ) -> None:
        account = await register()
        lost = (await refresh(api, account.tokens["refresh_token"])).json()
        again = (await refresh(api, account.tokens["refresh_token"])).json()
        assert again["refresh_token"] == lost["refresh_token"]
        assert (await me(api, again["access_token"])).status_code == 200

    async def test_repetitions_do_not_prolong_the_grace(self, register: Any, api: httpx2.AsyncClient, db: Db) -> None:
        account = await register()
        newest = (await refresh(api, account.tokens["refresh_token"])).json()
        await alter_session(db, newest, last_used_at=func.now() - REUSE_GRACE / 2)
        assert (await refresh(api, account.tokens["refresh_token"])).status_code == 200
        session = RefreshToken.parse(newest["refresh_token"])
        assert session is not None
        async with db.read() as tx:
            is_old = Session.last_used_at < func.now() - REUSE_GRACE / 4
            assert await tx.scalar(select(is_old).where(Session.id == session.session_id))

    async def test_refresh_repeated_after_a_change_of_the_secret_gets_a_new_successor(
        self, register: Any, api: httpx2.AsyncClient, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        account = await register()
        lost = (await refresh(api, account.tokens["refresh_token"])).json()
        monkeypatch.setattr(rotation, "derive_key", lambda *_: b"another key")
        newest = (await refresh(api, account.tokens["refresh_token"])).json()
        assert newest["refresh_token"] != lost["refresh_token"]
        assert (await refresh(api, newest["refresh_token"])).status_code == 200

    async def test_thief_who_repeats_a_token_is_noticed_at_the_next_refresh(
        self, register: Any, api: httpx2.AsyncClient, db: Db
    ) -> None:
        account = await register()
        owner = (await refresh(api, account.tokens["refresh_token"])).json()
        thief = (await refresh(api, account.tokens["refresh_token"])).json()
        newest = (await refresh(api, thief["refresh_token"])).json()
        await alter_session(db, newest, last_used_at=func.now() - REUSE_GRACE - timedelta(seconds=1))
        assert problem(await refresh(api, owner["refresh_token"])) == (401, "invalid-refresh-token")
        assert problem(await me(api, newest["access_token"])) == (401, "unauthenticated")

    async def test_refresh_repeated_after_the_grace_ends_the_session(
        self, register: Any, api: httpx2.AsyncClient, db: Db
    ) -> None:
        account = await register()
        newest = (await refresh(api, account.tokens["refresh_token"])).json()
        await alter_session(db, newest, last_used_at=func.now() - REUSE_GRACE - timedelta(seconds=1))
        assert problem(await refresh(api, account.tokens["refresh_token"])) == (401, "invalid-refresh-token")
        assert problem(await me(api, newest["access_token"])) == (401, "unauthenticated")

    async def test_concurrent_refreshes_get_one_successor(self, register: Any, api: httpx2.AsyncClient) -> None:
        account = await register()
        token = account.tokens["refresh_token"]
        answers = await asyncio.gather(*(refresh(api, token) for _ in range(8)))
        assert {answer.status_code for answer in answers} == {200}
        (newest,) = {answer.json()["refresh_token"] for answer in answers}
        assert (await refresh(api, newest)).status_code == 200

    async def test_refresh_with_a_forged_token_is_refused_and_ends_nothing(
        self, register: Any, api: httpx2.AsyncClient
    ) -> None:
        account = await register()
        session, generation, secret = account.tokens["refresh_token"].split(".")
        forged = f"{session}.{generation}.{'A' * len(secret)}"
        ahead = f"{session}.{int(generation) + 1}.{secret}"
        foreign = f"{uuid.uuid4().hex}.{generation}.{secret}"
        for token in (forged, ahead, foreign, account.tokens["access_token"], "", "x"):
            answer = await refresh(api, token)
            assert answer.status_code in {401, 422}
        assert (await refresh(api, account.tokens["refresh_token"])).status_code == 200

    async def test_refresh_extends_a_session_until_it_expires(
        self, register: Any, api: httpx2.AsyncClient, db: Db
    ) -> None:
        account = await register()
        await alter_session(db, account.tokens, expires_at=func.now() + timedelta(hours=1))
        tokens = (await refresh(api, account.tokens["refresh_token"])).json()
        session = RefreshToken.parse(tokens["refresh_token"])
        assert session is not None
        async with db.read() as tx:
            prolonged = Session.expires_at > func.now() + timedelta(hours=2)
            assert await tx.scalar(select(prolonged).where(Session.id == session.session_id))

        await alter_session(db, tokens, expires_at=func.now() - timedelta(seconds=1))
        assert problem(await refresh(api, tokens["refresh_token"])) == (401, "invalid-refresh-token")
        assert problem(await me(api, tokens["access_token"])) == (401, "unauthenticated")

    async def test_refresh_does_not_extend_a_session_beyond_its_maximum(
        self, register: Any, server: RunningServer, api: httpx2.AsyncClient, db: Db
    ) -> None:
        account = await register()
        lived_s = server.settings.auth.session_max_s - 3600
        await alter_session(db, account.tokens, created_at=func.now() - timedelta(seconds=lived_s))
        tokens = (await refresh(api, account.tokens["refresh_token"])).json()
        session = RefreshToken.parse(tokens["refresh_token"])
        assert session is not None
        async with db.read() as tx:
            ends = Session.expires_at == Session.created_at + timedelta(seconds=server.settings.auth.session_max_s)
            assert await tx.scalar(select(ends).where(Session.id == session.session_id))

    async def test_refresh_of_a_disabled_account_is_refused(
        self, register: Any, api: httpx2.AsyncClient, db: Db
    ) -> None:
        account = await register()
        async with db.begin() as tx:
            await tx.execute(update(User).where(User.email == account.email).values(disabled_at=func.now()))
        assert problem(await account.client.get("/v1/me")) == (401, "unauthenticated")
        assert problem(await refresh(api, account.tokens["refresh_token"])) == (401, "invalid-refresh-token")

    async def test_refresh_with_unknown_members_is_refused(self, register: Any, api: httpx2.AsyncClient) -> None:
        account = await register()
        body = {"refresh_token": account.tokens["refresh_token"], "user_id": str(uuid.uuid4())}
        assert problem(await api.post("/v1/auth/refresh", json=body)) == (422, "invalid-request")
        assert problem(await api.post("/v1/auth/logout", json=body)) == (422, "invalid-request")

    async def test_database_holds_no_refresh_token(self, register: Any, db: Db) -> None:
        account = await register()
        token = RefreshToken.parse(account.tokens["refresh_token"])
        assert token is not None
        async with db.read() as tx:
            row = (await tx.execute(select(Session.__table__).where(Session.id == token.session_id))).one()
        assert row.refresh_hash == token.sha256
        assert token.text.rsplit(".", 1)[1] not in repr(row)


class TestLogout:
    async def test_sign_out_ends_the_session_and_is_idempotent(self, register: Any, api: httpx2.AsyncClient) -> None:
        account = await register()
        token = account.tokens["refresh_token"]
        assert (await account.client.get("/v1/me")).status_code == 200
        for _ in range(2):
            answer = await logout(api, token)
            assert (answer.status_code, answer.content) == (204, b"")
        assert problem(await account.client.get("/v1/me")) == (401, "unauthenticated")
        assert problem(await refresh(api, token)) == (401, "invalid-refresh-token")

    async def test_sign_out_with_a_replaced_token_ends_the_session(
        self, register: Any, api: httpx2.AsyncClient
    ) -> None:
        account = await register()
        newest = (await refresh(api, account.tokens["refresh_token"])).json()
        assert (await logout(api, account.tokens["refresh_token"])).status_code == 204
        assert problem(await me(api, newest["access_token"])) == (401, "unauthenticated")

    async def test_sign_out_leaves_other_sessions(self, register: Any, api: httpx2.AsyncClient) -> None:
        account, stranger = await register(), await register()
        other = (await sign_in(api, account.email, account.password)).json()
        await logout(api, account.tokens["refresh_token"])
        assert (await me(api, other["access_token"])).status_code == 200
        assert (await stranger.client.get("/v1/me")).status_code == 200

    async def test_sign_out_with_a_forged_token_ends_nothing(self, register: Any, api: httpx2.AsyncClient) -> None:
        account = await register()
        session, generation, secret = account.tokens["refresh_token"].split(".")
        for token in (f"{session}.{generation}.{'A' * len(secret)}", f"{session}.999999999.{secret}", "x", ""):
            assert (await logout(api, token)).status_code == 204
        assert (await account.client.get("/v1/me")).status_code == 200


class TestMe:
    async def test_me_shows_the_account_of_the_caller(self, register: Any) -> None:
        accounts = [await register(), await register()]
        shown = [(await account.client.get("/v1/me")).json() for account in accounts]
        assert [account["email"] for account in shown] == [account.email for account in accounts]
        assert shown[0]["id"] != shown[1]["id"]
        assert set(shown[0]) == {
            "id",
            "email",
            "display_name",
            "kind",
            "is_admin",
            "email_verified_at",
            "second_factor",
            "has_password",
            "passkeys_only",
            "created_at",
            "used_bytes",
            "reserved_bytes",
            "quota_bytes",
            "used_nodes",
            "quota_nodes",
            "purge_at",
        }

    async def test_session_id_of_another_user_is_refused(self, register: Any, db: Db) -> None:
        """A session id beside another user's id is refused, though both exist."""
        account, victim = await register(), await register()
        async with db.read() as tx:
            victim_id = await tx.scalar(select(User.id).where(User.email == victim.email))
        session = RefreshToken.parse(account.tokens["refresh_token"])
        assert session is not None
        assert victim_id is not None
        with pytest.raises(Unauthenticated):
            await authenticate_session(db, AuthSettings(), Identity(victim_id, session.session_id))

    async def test_mutated_access_token_is_refused(self, register: Any, api: httpx2.AsyncClient) -> None:
        account, other = await register(), await register()
        good = account.tokens["access_token"]
        for bad in mutations(good, other.tokens["access_token"]):
            response = await me(api, bad)
            assert problem(response) == (401, "unauthenticated"), bad[:400]
            assert response.headers["www-authenticate"] == "Bearer"
        assert (await me(api, good)).status_code == 200

    @pytest.mark.parametrize("header", [None, "", "Bearer", "Basic {}", "{}", "Token {}", "Bearer  {}"])
    async def test_other_authorization_headers_are_refused(
        self, register: Any, api: httpx2.AsyncClient, header: str | None
    ) -> None:
        account = await register()
        headers = {} if header is None else {"Authorization": header.format(account.tokens["access_token"])}
        response = await api.get("/v1/me", headers=headers)
        assert problem(response) == (401, "unauthenticated")
        assert response.headers["www-authenticate"] == "Bearer"

    async def test_refresh_token_or_query_parameter_does_not_authenticate(
        self, register: Any, api: httpx2.AsyncClient
    ) -> None:
        account = await register()
        assert (await me(api, account.tokens["refresh_token"])).status_code == 401
        query = {"access_token": account.tokens["access_token"]}
        assert (await api.get("/v1/me", params=query)).status_code == 401


def encode(value: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()


def decode(segment: str) -> Any:
    return json.loads(base64.urlsafe_b64decode(segment + "=" * (-len(segment) % 4)))


def mutations(token: str, of_another: str) -> list[str]:
    """Return forgeries that need no key; unit/test_tokens has those that need it."""
    header, payload, signature = token.split(".")
    claims = decode(payload)
    another_payload = of_another.split(".")[1]
    headers = [
        *({"typ": "at+jwt", "alg": alg} for alg in ("none", "None", "NONE", "HS384", "HS512", "RS256", "ES256", "", 1)),
        {"typ": "JWT", "alg": "HS256"},
        {"alg": "HS256"},
        {"typ": "at+jwt"},
        {"typ": "at+jwt", "alg": "HS256", "kid": "../../dev/null"},
        {"typ": "at+jwt", "alg": "HS256", "jwk": {"kty": "oct", "k": ""}},
        {"typ": "at+jwt", "alg": "HS256", "crit": ["exp"]},
        [],
        "HS256",
    ]
    other_claims = [claims | {"exp": claims["exp"] + 1}, claims | {"sub": decode(another_payload)["sub"]}, {}, [], None]
    return [
        *(f"{encode(other)}.{payload}.{signed}" for other in headers for signed in (signature, "")),
        *(f"{header}.{encode(other)}.{signature}" for other in other_claims),
        f"{header}.{another_payload}.{signature}",
        f"{header}.{payload}.",
        f"{header}.{payload}",
        f"{header}..{signature}",
        f"{header}.{payload}.{signature}.{signature}",
        f"{header}.{payload}.{signature}=",
        f"{header}.{payload}.{signature[:-1]}",
        f"{header}.{payload}.{signature[::-1]}",
        f"{header}.{payload}.{'A' * len(signature)}",
        f"{header}.{payload}.{signature[:-1]}{chr(ord(signature[-1]) + 1)}",
        f" {token}",
        f"{token},{token}",
        token.upper(),
        token[1:],
        "null",
        "..",
        "A" * 10_000,
        f"{header}.{'A' * 10_000}.{signature}",
        # JSON nested deeper than the interpreter's stack, and bytes that are no UTF-8.
        *(
            f"{base64.urlsafe_b64encode(raw).decode()}.{payload}.{signature}"
            for raw in (b"[" * 300, b"[" * 3000, b"\xff")
        ),
    ]
