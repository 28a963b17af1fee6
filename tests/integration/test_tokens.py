"""Personal access tokens through HTTP: created, shown once, used within their scopes, revoked at once."""

import asyncio
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from datetime import timedelta
from typing import Any, cast

import httpx2
import pytest
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute, iter_route_contexts
from sqlalchemy import func, select, update

from dropbox_api.accounts import actors, auth
from dropbox_api.accounts.actors import GRANTABLE
from dropbox_api.accounts.personal_tokens import PREFIX
from dropbox_api.app import create_app
from dropbox_api.context import Scope
from dropbox_api.db import Db
from dropbox_api.models import PersonalToken, User
from dropbox_api.settings import Settings
from tests.support.plans import record_statements, texts_of
from tests.support.server import Account, RunningServer, problem, register_account

Register = Callable[..., Awaitable[Account]]
TOKENS = "/v1/me/tokens"
OUT = (401, "unauthenticated")


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


async def make(account: Account, *scopes: str, **more: Any) -> dict[str, Any]:
    body = {"name": "a program", "scopes": scopes or ["files:read"]} | more
    created: dict[str, Any] = (await account.client.post(TOKENS, json=body)).raise_for_status().json()
    return created


async def use(api: httpx2.AsyncClient, token: str, path: str = "/v1/files") -> httpx2.Response:
    return await api.get(path, headers=bearer(token))


async def alter(db: Db, account: Account, **values: Any) -> None:
    async with db.begin() as tx:
        await tx.execute(update(User).where(User.email == account.email).values(**values))


async def alter_token(db: Db, token: dict[str, Any], **values: Any) -> None:
    async with db.begin() as tx:
        await tx.execute(update(PersonalToken).where(PersonalToken.id == uuid.UUID(token["id"])).values(**values))


def guarded(dependant: Dependant) -> Iterator[Scope]:
    for dependency in dependant.dependencies:
        if isinstance(dependency.call, auth._Bearer) and dependency.call.scope is not None:
            yield dependency.call.scope
        yield from guarded(dependency)


def operations() -> dict[tuple[str, str], Scope]:
    """Return the scope of every operation that needs one, by method and path."""
    found: dict[tuple[str, str], Scope] = {}
    for context in iter_route_contexts(create_app(Settings(mode="dev")).routes):
        route = context.original_route
        if isinstance(route, APIRoute):
            for scope in guarded(route.dependant):
                found |= {(method, cast("str", context.path)): scope for method in route.methods or ()}
    return found


OPERATIONS = operations()


@pytest.fixture(scope="module")
async def lacking(server: RunningServer) -> AsyncIterator[dict[Scope, dict[str, str]]]:
    """Headers of an administrator's tokens, by the one scope that each lacks; every token lacks those of accounts."""
    account = await register_account(server.url)
    async with account.client:
        await alter(server.db, account, is_admin=True)
        scopes: tuple[Scope, ...] = (*GRANTABLE, "account", "account:enrol")
        tokens = {scope: await make(account, *set(GRANTABLE) - {scope}) for scope in scopes}
        yield {scope: bearer(token["token"]) for scope, token in tokens.items()}
        await alter(server.db, account, is_admin=False)


@pytest.mark.parametrize(("method", "path"), OPERATIONS)
async def test_operation_with_a_token_without_its_scope_is_forbidden(
    api: httpx2.AsyncClient, lacking: dict[Scope, dict[str, str]], method: str, path: str
) -> None:
    """A token with every other scope is `forbidden`, before any other check. Without a token: 401."""
    scope = OPERATIONS[method, path]
    address = "/".join(str(uuid.UUID(int=1)) if part.startswith("{") else part for part in path.split("/"))
    refused = await api.request(method, address, headers=lacking[scope])
    anonymous = await api.request(method, address)
    if method == "HEAD":  # has no body
        assert (refused.status_code, anonymous.status_code) == (403, 401)
    else:
        assert problem(refused) == (403, "forbidden")
        assert refused.json()["scope"] == scope
        assert problem(anonymous) == OUT


def test_account_and_admin_operations_have_scopes_of_their_own() -> None:
    about_files = ("/v1/me/activity", "/v1/me/contacts", "/v1/me/devices", "/v1/me/storage")
    for (_, path), scope in OPERATIONS.items():
        is_of_account = path.startswith(("/v1/me", "/v1/auth")) and not path.startswith(about_files)
        assert (scope in {"account", "account:enrol"}) == is_of_account, path
        assert (scope == "admin") == path.startswith("/v1/admin")


@pytest.mark.parametrize("scope", ["files:read", "files:write", "share", "processing"])
async def test_token_of_any_scope_gets_usage_and_quota_and_not_how_the_account_signs_in(
    account: Account, api: httpx2.AsyncClient, scope: str
) -> None:
    me = await account.me()
    assert (me["second_factor"], me["has_password"]) == (False, True)
    shown = await use(api, (await make(account, scope))["token"], "/v1/me")
    assert shown.json() == me | dict.fromkeys(("second_factor", "passkeys_only", "has_password"))


class TestCreate:
    async def test_created_token_is_shown_once(self, account: Account, db: Db) -> None:
        answer = await account.client.post(TOKENS, json={"name": " backup ", "scopes": ["share", "files:read"]})
        assert answer.status_code == 201
        assert answer.headers["cache-control"] == "no-store"
        created = answer.json()
        token = created.pop("token")
        assert token.startswith(PREFIX)
        assert len(token) == len(PREFIX) + 43
        assert created["name"] == "backup"
        assert created["scopes"] == ["files:read", "share"]
        assert created["expires_at"] is None
        assert (await account.client.get(TOKENS)).json() == {"items": [created], "next_cursor": None}
        async with db.read() as tx:
            row = (
                await tx.execute(select(PersonalToken.__table__).where(PersonalToken.id == uuid.UUID(created["id"])))
            ).one()
        assert token not in repr(row)
        assert token.removeprefix(PREFIX) not in repr(row)

    @pytest.mark.parametrize(
        "change",
        [
            {"scopes": []},
            {"scopes": ["account"]},
            {"scopes": ["files:read", "everything"]},
            {"scopes": None},
            {"name": ""},
            {"name": " "},
            {"name": "x" * 101},
            {"name": "a\0b"},
            {"expires_in_s": 0},
            {"expires_in_s": 10**12},
            {"user_id": str(uuid.UUID(int=1))},
        ],
    )
    async def test_create_token_with_an_invalid_body_is_refused(self, account: Account, change: dict[str, Any]) -> None:
        body = {"name": "a program", "scopes": ["files:read"]} | change
        assert problem(await account.client.post(TOKENS, json=body)) == (422, "invalid-request")

    async def test_admin_scope_needs_an_administrator(self, account: Account, db: Db) -> None:
        body = {"name": "a program", "scopes": ["files:read", "admin"]}
        refused = await account.client.post(TOKENS, json=body)
        assert problem(refused) == (403, "forbidden")
        await alter(db, account, is_admin=True)
        assert (await account.client.post(TOKENS, json=body)).status_code == 201
        await alter(db, account, is_admin=False)

    async def test_list_of_tokens_has_pages_and_only_own_tokens(self, register: Register) -> None:
        account, other = await register(), await register()
        await make(other)
        made = [(await make(account, name=f"number {number}"))["id"] for number in range(3)]
        page = (await account.client.get(TOKENS, params={"limit": 2})).json()
        rest = (await account.client.get(TOKENS, params={"limit": 2, "cursor": page["next_cursor"]})).json()
        assert [one["id"] for one in page["items"] + rest["items"]] == made[::-1]
        assert rest["next_cursor"] is None
        assert problem(await account.client.get(TOKENS, params={"cursor": "x"})) == (422, "invalid-cursor")


class TestUse:
    async def test_token_works_within_its_scopes(self, account: Account, api: httpx2.AsyncClient) -> None:
        reads, writes = await make(account), await make(account, "files:write")
        assert (await use(api, reads["token"])).status_code == 200
        refused = await use(api, writes["token"])
        assert problem(refused) == (403, "forbidden")
        assert refused.json()["scope"] == "files:read"
        body = {"name": "made by a program"}
        assert (await api.post("/v1/folders", json=body, headers=bearer(writes["token"]))).status_code == 201
        assert problem(await api.post("/v1/folders", json=body, headers=bearer(reads["token"]))) == (403, "forbidden")
        listed = (await use(api, reads["token"])).json()["items"]
        assert [one["name"] for one in listed] == ["made by a program"]

    async def test_token_of_every_scope_does_not_reach_the_account(
        self, account: Account, api: httpx2.AsyncClient
    ) -> None:
        token = (await make(account, *(scope for scope in GRANTABLE if scope != "admin")))["token"]
        body = {"name": "another", "scopes": ["files:read"]}
        assert problem(await api.post(TOKENS, json=body, headers=bearer(token))) == (403, "forbidden")
        assert problem(await api.delete("/v1/me/sessions", headers=bearer(token))) == (403, "forbidden")

    async def test_token_works_with_an_idempotency_key(self, account: Account, api: httpx2.AsyncClient) -> None:
        headers = bearer((await make(account, "files:write"))["token"]) | {"Idempotency-Key": uuid.uuid4().hex}
        answers = [await api.post("/v1/folders", json={"name": "once"}, headers=headers) for _ in range(2)]
        assert [answer.status_code for answer in answers] == [201, 201]
        assert answers[0].json() == answers[1].json()

    async def test_personal_token_is_no_refresh_token(self, account: Account, api: httpx2.AsyncClient) -> None:
        token = (await make(account))["token"]
        assert problem(await api.post("/v1/auth/refresh", json={"refresh_token": token})) == (
            401,
            "invalid-refresh-token",
        )

    async def test_altered_token_is_refused(self, account: Account, api: httpx2.AsyncClient) -> None:
        token = (await make(account))["token"]
        secret = token.removeprefix(PREFIX)
        for wrong in (
            PREFIX,
            secret,
            token[:-1],
            token + "A",
            token.upper(),
            token.swapcase(),
            f"{PREFIX}{'A' * 43}",
            f"{PREFIX} {secret}",
            f"{PREFIX}{secret},{token}",
            f"{PREFIX}{'A' * 10_000}",
            f"{PREFIX}%00",
            f"{PREFIX}'; --",
        ):
            assert problem(await use(api, wrong)) == OUT, wrong[:100]
        assert (await use(api, token)).status_code == 200

    async def test_use_of_a_token_is_recorded_once_a_minute(
        self, account: Account, api: httpx2.AsyncClient, db: Db
    ) -> None:
        async def noted() -> Any:
            return (await account.client.get(TOKENS)).json()["items"][0]["last_used_at"]

        token = await make(account)
        assert await noted() is None
        await asyncio.gather(*(use(api, token["token"]) for _ in range(4)))
        first = await noted()
        assert first is not None
        await use(api, token["token"])
        assert await noted() == first
        await alter_token(db, token, last_used_at=func.now() - timedelta(seconds=61))
        await use(api, token["token"])
        assert await noted() > first

    async def test_authentication_by_token_takes_one_query(self, account: Account, db: Db) -> None:
        token = (await make(account))["token"]
        await actors.authenticate_token(db, token)
        with record_statements(db) as executed:
            await actors.authenticate_token(db, token)
        assert [statement.split()[0] for statement in texts_of(executed) if "api_tokens" in statement] == ["SELECT"]


class TestRevoke:
    async def test_revoked_token_is_refused_at_once(self, account: Account, api: httpx2.AsyncClient) -> None:
        token, other = await make(account), await make(account)
        assert (await use(api, token["token"])).status_code == 200
        assert (await account.client.delete(f"{TOKENS}/{token['id']}")).status_code == 204
        assert problem(await use(api, token["token"])) == OUT
        assert problem(await account.client.delete(f"{TOKENS}/{token['id']}")) == (404, "not-found")
        assert (await use(api, other["token"])).status_code == 200
        assert [one["id"] for one in (await account.client.get(TOKENS)).json()["items"]] == [other["id"]]

    async def test_revoke_of_a_token_of_another_account_is_404(
        self, register: Register, api: httpx2.AsyncClient
    ) -> None:
        account, other = await register(), await register()
        token = await make(other)
        assert problem(await account.client.delete(f"{TOKENS}/{token['id']}")) == (404, "not-found")
        assert (await use(api, token["token"])).status_code == 200

    async def test_expired_token_is_refused(self, account: Account, api: httpx2.AsyncClient, db: Db) -> None:
        token = await make(account, expires_in_s=3600)
        assert token["expires_at"] > token["created_at"]
        assert (await use(api, token["token"])).status_code == 200
        await alter_token(db, token, expires_at=func.now())
        assert problem(await use(api, token["token"])) == OUT
        assert (await account.client.get(TOKENS)).json()["items"] == []

    async def test_token_of_a_disabled_account_is_refused_at_once(
        self, account: Account, api: httpx2.AsyncClient, db: Db
    ) -> None:
        token = await make(account)
        await alter(db, account, disabled_at=func.now())
        assert problem(await use(api, token["token"])) == OUT

    async def test_admin_scope_ends_with_the_admin_role(
        self, account: Account, api: httpx2.AsyncClient, db: Db
    ) -> None:
        await alter(db, account, is_admin=True)
        token = (await make(account, "admin", "files:read"))["token"]
        assert (await use(api, token, "/v1/admin/users")).status_code == 200
        await alter(db, account, is_admin=False)
        assert problem(await use(api, token, "/v1/admin/users")) == (403, "forbidden")
        assert (await use(api, token)).status_code == 200

    async def test_tokens_outlive_a_new_password(self, account: Account, api: httpx2.AsyncClient) -> None:
        token = (await make(account))["token"]
        body = {"current_password": account.password, "new_password": "an entirely new password"}
        (await account.client.put("/v1/me/password", json=body)).raise_for_status()
        assert (await use(api, token)).status_code == 200
