"""What a sign-in that has ended leaves behind: nothing that a stranger could go on with."""

import asyncio
from collections.abc import AsyncIterator

import httpx2
import pytest
from fastapi import Request
from sqlalchemy import text

from dropbox_api.accounts import auth, mail_tokens
from dropbox_api.context import Actor
from dropbox_api.models import User
from dropbox_api.storage.s3 import S3Config
from tests.support.authenticator import PUBLIC_URL
from tests.support.server import Account, RunningServer, problem, separate_server

WEBHOOK = {"url": "https://1.1.1.1/hook"}


@pytest.fixture(scope="module")
async def server(postgres_url: str, s3_config: S3Config) -> AsyncIterator[RunningServer]:
    async with separate_server(postgres_url, s3_config, http={"public_url": PUBLIC_URL}) as running:
        yield running


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
