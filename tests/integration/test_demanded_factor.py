"""A server that demands a second factor: what a sign-in without one may do, and how it gets one."""

from collections.abc import AsyncIterator
from pathlib import Path

import httpx2
import pyotp
import pytest
from sqlalchemy import select, update

from dropbox_api.accounts import users
from dropbox_api.models import Session, User
from dropbox_api.storage.s3 import S3Config
from tests.support.authenticator import PUBLIC_URL, Authenticator, add_passkey, begin, sign_in
from tests.support.dbx import Dbx
from tests.support.server import Account, RunningServer, problem, separate_server

FACTOR = "/v1/me/second-factor"
TOKEN = {"name": "backup", "scopes": ["files:read"]}


@pytest.fixture(scope="module")
async def server(postgres_url: str, s3_config: S3Config) -> AsyncIterator[RunningServer]:
    http, auth = {"public_url": PUBLIC_URL}, {"require_second_factor": True}
    async with separate_server(postgres_url, s3_config, http=http, auth=auth) as running:
        yield running


def is_missing(answer: httpx2.Response) -> bool:
    return problem(answer) == (403, "forbidden") and answer.json()["reason"] == "second-factor-missing"


async def turn_app_on(account: Account) -> tuple[str, list[str]]:
    """Return the secret of the app and the recovery codes."""
    secret = (await account.client.post(FACTOR, json={})).raise_for_status().json()["secret"]
    confirmed = await account.client.post(f"{FACTOR}/confirm", json={"code": pyotp.TOTP(secret).now()})
    return secret, confirmed.raise_for_status().json()["recovery_codes"]


async def forget_proof(server: RunningServer, account: Account) -> None:
    """Make the sign-ins such as the identity provider begins them: without a second factor."""
    own = select(User.id).where(User.email == account.email).scalar_subquery()
    async with server.db.begin() as tx:
        await tx.execute(update(Session).where(Session.user_id == own).values(second_factor_at=None))


async def password_sign_in(api: httpx2.AsyncClient, account: Account, **more: str) -> httpx2.Response:
    form = {"grant_type": "password", "username": account.email, "password": account.password}
    return await api.post("/v1/auth/token", data=form | more)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/v1/files"),
        ("POST", "/v1/folders"),
        ("GET", "/v1/me/sessions"),
        ("POST", "/v1/me/tokens"),
        ("PUT", "/v1/me/password"),
        ("DELETE", FACTOR),
        ("PUT", "/v1/me/passkeys-only"),
        ("GET", "/v1/admin/users"),
    ],
)
async def test_sign_in_without_a_demanded_factor_is_refused(account: Account, method: str, path: str) -> None:
    assert is_missing(await account.client.request(method, path, json={}))
    assert (await account.me())["email"] == account.email


async def test_app_gives_the_sign_in_its_rights(account: Account) -> None:
    await turn_app_on(account)
    assert (await account.client.get("/v1/files")).status_code == 200
    assert (await account.client.post("/v1/me/tokens", json=TOKEN)).status_code == 201


async def test_passkey_gives_the_sign_in_its_rights(account: Account, api: httpx2.AsyncClient) -> None:
    authenticator = await add_passkey(account)
    assert (await account.client.get("/v1/files")).status_code == 200
    signed_in = (await sign_in(api, authenticator)).raise_for_status().json()
    headers = {"Authorization": f"Bearer {signed_in['access_token']}"}
    assert (await api.get("/v1/files", headers=headers)).status_code == 200


async def test_password_of_an_account_with_a_passkey_needs_a_code(account: Account, api: httpx2.AsyncClient) -> None:
    credential = Authenticator(PUBLIC_URL).create(await begin(account.client, "/v1/me/passkeys"))
    added = await account.client.post("/v1/me/passkeys", json={"name": "phone", "credential": credential})
    assert problem(await password_sign_in(api, account)) == (401, "second-factor-required")
    signed_in = await password_sign_in(api, account, otp=added.json()["recovery_codes"][0])
    headers = {"Authorization": f"Bearer {signed_in.raise_for_status().json()['access_token']}"}
    assert (await api.get("/v1/files", headers=headers)).status_code == 200


async def test_sign_in_without_the_factor_of_its_account_cannot_add_another_one(
    server: RunningServer, account: Account
) -> None:
    """Otherwise the first factor alone would replace the second one."""
    await turn_app_on(account)
    await forget_proof(server, account)
    assert is_missing(await account.client.post("/v1/me/passkeys/options"))
    await users.remove_second_factor(server.db, await users.require_user_id(server.db, account.email))


async def test_sign_in_without_the_passkey_of_its_account_cannot_set_up_an_app(
    server: RunningServer, account: Account
) -> None:
    await add_passkey(account)
    await forget_proof(server, account)
    assert is_missing(await account.client.post(FACTOR, json={"password": account.password}))


async def test_sign_in_without_the_factor_cannot_add_the_passkey_or_app_that_it_began_before(
    server: RunningServer, account: Account
) -> None:
    """A stranger with the password prepares both, and waits until the user of the account adds a passkey."""
    options = await begin(account.client, "/v1/me/passkeys")
    secret = (await account.client.post(FACTOR, json={})).raise_for_status().json()["secret"]
    await add_passkey(account)
    await forget_proof(server, account)
    passkey = {"name": "stranger", "credential": Authenticator(PUBLIC_URL).create(options)}
    assert is_missing(await account.client.post("/v1/me/passkeys", json=passkey))
    assert is_missing(await account.client.post(f"{FACTOR}/confirm", json={"code": pyotp.TOTP(secret).now()}))


async def test_code_proves_the_factor_of_a_sign_in_once(server: RunningServer, account: Account) -> None:
    _, recovery = await turn_app_on(account)
    await forget_proof(server, account)
    assert is_missing(await account.client.get("/v1/files"))
    wrong = await account.client.post("/v1/me/confirm", json={"otp": "000000"})
    assert problem(wrong) == (401, "invalid-credentials")
    assert (await account.client.post("/v1/me/confirm", json={"otp": recovery[0]})).status_code == 204
    assert (await account.client.get("/v1/files")).status_code == 200
    await forget_proof(server, account)
    again = await account.client.post("/v1/me/confirm", json={"otp": recovery[0]})
    assert problem(again) == (401, "invalid-credentials")


async def test_passkey_proves_the_factor_of_a_sign_in_and_the_password_does_not(
    server: RunningServer, account: Account
) -> None:
    authenticator = await add_passkey(account)
    await forget_proof(server, account)
    (await account.client.post("/v1/me/confirm", json={"password": account.password})).raise_for_status()
    assert is_missing(await account.client.get("/v1/files"))
    passkey = authenticator.get(await begin(account.client, "/v1/me/confirm"))
    assert (await account.client.post("/v1/me/confirm", json={"passkey": passkey})).status_code == 204
    assert (await account.client.get("/v1/files")).status_code == 200


async def test_personal_token_goes_on_without_a_factor(
    server: RunningServer, account: Account, api: httpx2.AsyncClient
) -> None:
    await turn_app_on(account)
    token = (await account.client.post("/v1/me/tokens", json=TOKEN)).raise_for_status().json()["token"]
    await users.remove_second_factor(server.db, await users.require_user_id(server.db, account.email))
    assert (await api.get("/v1/files", headers={"Authorization": f"Bearer {token}"})).status_code == 200


async def test_login_tells_where_to_set_up_the_factor(server: RunningServer, account: Account, tmp_path: Path) -> None:
    dbx = Dbx(tmp_path / "home", account)
    dbx.home.mkdir()
    login = ("login", "--server", server.url, "--email", account.email, "--password-stdin")
    told = (await dbx(*login, stdin=f"{account.password}\n")).err
    assert f"open {server.url} in a browser" in told
    assert "second-factor-missing" not in told
    assert "demands a second factor" in (await dbx("ls", code=1)).err
