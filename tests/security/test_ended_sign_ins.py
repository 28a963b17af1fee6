"""What a sign-in that has ended leaves behind: nothing that a stranger could go on with."""

import asyncio
from collections.abc import AsyncIterator

import httpx2
import pyotp
import pytest
from fastapi import Request
from sqlalchemy import text

from dropbox_api.accounts import auth, mail_tokens
from dropbox_api.context import Actor
from dropbox_api.models import User
from dropbox_api.storage.s3 import S3Config
from tests.support.authenticator import PUBLIC_URL, Authenticator, begin
from tests.support.server import Account, RunningServer, problem, separate_server
from tests.support.sharing import make_folder

WEBHOOK = {"url": "https://1.1.1.1/hook"}


@pytest.fixture(scope="module")
async def server(postgres_url: str, s3_config: S3Config) -> AsyncIterator[RunningServer]:
    async with separate_server(postgres_url, s3_config, http={"public_url": PUBLIC_URL}) as running:
        yield running


async def test_request_that_waits_while_its_sign_in_ends_makes_nothing(server: RunningServer, account: Account) -> None:
    """A stranger who floods the server with such requests would keep a token, a link or a webhook after a reset."""
    client = account.client
    folder = f"/v1/files/{await make_folder(account, '/a')}"
    secret = (await client.post("/v1/me/second-factor", json={})).raise_for_status().json()["secret"]
    credential = Authenticator(PUBLIC_URL).create(await begin(client, "/v1/me/passkeys"))
    bodies = {
        "/v1/me/tokens": {"name": "t", "scopes": ["files:read"]},
        "/v1/me/passkeys": {"name": "phone", "credential": credential},
        "/v1/me/second-factor/confirm": {"code": pyotp.TOTP(secret).now()},
        "/v1/webhooks": WEBHOOK,
        f"{folder}/links": {"mode": "download"},
        f"{folder}/grants": {"email": "mallory@example.com", "role": "viewer"},
    }
    own = {"email": account.email}
    waiting = text("SELECT count(*) FROM pg_locks WHERE NOT granted")
    end = text("UPDATE sessions SET revoked_at = now() FROM users WHERE users.id = user_id AND email = :email")
    async with server.db.begin() as tx:
        await tx.execute(text("SELECT FROM users WHERE email = :email FOR NO KEY UPDATE"), own)
        tasks = [asyncio.create_task(client.post(path, json=body)) for path, body in bodies.items()]
        async with asyncio.timeout(60):
            while (await tx.execute(waiting)).scalar_one() < len(tasks):  # noqa: ASYNC110 - no event to wait for
                await asyncio.sleep(0.01)
        await tx.execute(end, own)
    answers = [problem(answer) if answer.is_error else answer.text for answer in await asyncio.gather(*tasks)]
    assert answers == [(401, "unauthenticated")] * len(bodies)


async def test_request_whose_sign_in_ends_while_its_body_arrives_changes_nothing(
    server: RunningServer, account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    checked, ended = asyncio.Event(), asyncio.Event()
    authenticate = auth.authenticate_request

    async def authenticate_request(request: Request) -> Actor:
        actor = await authenticate(request)
        checked.set()
        return actor

    async def send_slowly() -> AsyncIterator[bytes]:
        yield b'{"display_name": '
        await ended.wait()
        yield b'"Mallory"}'

    monkeypatch.setattr(auth, "authenticate_request", authenticate_request)
    monkeypatch.setattr(auth, "VALID_S", 0)
    headers = {"Content-Type": "application/json"}
    changing = asyncio.create_task(account.client.patch("/v1/me", content=send_slowly(), headers=headers))
    await checked.wait()
    end = text("UPDATE sessions SET revoked_at = now() FROM users WHERE users.id = user_id AND email = :email")
    async with server.db.begin() as tx:
        await tx.execute(end, {"email": account.email})
    ended.set()
    assert problem(await changing) == (401, "unauthenticated")


async def test_reset_of_an_unconfirmed_address_ends_the_webhooks_of_a_stranger(
    server: RunningServer, account: Account, api: httpx2.AsyncClient
) -> None:
    """A stranger who registers the address of a victim would get an event of each file of the victim."""
    (await account.client.post("/v1/webhooks", json=WEBHOOK)).raise_for_status()
    issued = await mail_tokens.issue_mail_token(server.db, server.settings.auth, "reset", User.email == account.email)
    assert issued
    password = "the victim's own words"
    body = {"token": issued.token, "new_password": password}
    (await api.post("/v1/auth/reset-password", json=body)).raise_for_status()
    form = {"grant_type": "password", "username": account.email, "password": password}
    tokens = (await api.post("/v1/auth/token", data=form)).raise_for_status().json()
    headers = {"Authorization": f"Bearer {tokens['access_token']}"}
    assert (await api.get("/v1/webhooks", headers=headers)).json()["items"] == []
