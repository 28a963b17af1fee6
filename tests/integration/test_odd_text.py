"""Text that UTF-8, ASCII or Postgres cannot hold, in every place of a request that the server reads: no server error.

`test_schemathesis` generates such text for the operations of the OpenAPI document. Here are known places, and the
pages, which that document omits.
"""

from collections.abc import AsyncIterator
from typing import Any

import httpx2
import pytest

from dropbox_api.storage.s3 import S3Config
from tests.support.server import (
    NO_TLS,
    Account,
    RunningServer,
    problem,
    register_account,
    separate_server,
    upload_file,
)
from tests.support.sharing import make_folder, make_link, public

SURROGATE = rb'"\ud800' + b"x" * 50 + b'"'
LATIN = "é".encode("latin-1")
JSON = {"Content-Type": "application/json"}
VERIFIER = b'"' + b"v" * 43 + b'"'


@pytest.fixture(scope="module")
async def server(postgres_url: str, s3_config: S3Config) -> AsyncIterator[RunningServer]:
    """A server with an identity provider that does not answer: the routes of OIDC read what they get."""
    oidc = {"issuer": "http://127.0.0.1:9", "client_id": "client"}
    async with separate_server(postgres_url, s3_config, oidc=oidc) as running:
        yield running


@pytest.fixture
async def account(server: RunningServer) -> AsyncIterator[Account]:
    account = await register_account(server.url)
    async with account.client:
        yield account


@pytest.mark.parametrize(
    ("path", "members"),
    [
        ("/v1/auth/verify-email", {b"token": SURROGATE}),
        ("/v1/auth/reset-password", {b"token": SURROGATE, b"new_password": b'"a new pass phrase"'}),
        ("/v1/auth/reset-password", {b"token": b'"x"', b"new_password": SURROGATE}),
        ("/v1/auth/refresh", {b"refresh_token": SURROGATE}),
        ("/v1/auth/logout", {b"refresh_token": SURROGATE}),
        ("/v1/auth/oidc/token", {b"code": SURROGATE, b"verifier": VERIFIER}),
        ("/v1/auth/oidc/token", {b"code": b'"\xc3\xa9"', b"verifier": VERIFIER}),
        ("/v1/auth/oidc/token", {b"code": b'"x"', b"verifier": SURROGATE}),
        ("/v1/auth/verify-email", {b"token": b'"x"', rb"\ud800": b"1"}),  # named by the answer's pointer
    ],
)
async def test_json_that_utf8_cannot_hold_is_invalid(
    api: httpx2.AsyncClient, path: str, members: dict[bytes, bytes]
) -> None:
    body = b"{" + b",".join(b'"' + name + b'":' + value for name, value in members.items()) + b"}"
    answer = await api.post(path, content=body, headers=JSON)
    assert problem(answer)[0] == 422, answer.text


@pytest.mark.parametrize(
    ("path", "headers", "status"),
    [
        ("/v1/me", {"Authorization": b"Bearer " + LATIN}, 401),
        ("/v1/me", {"Authorization": b"Bearer dbx_pat_" + LATIN}, 401),
        ("/v1/auth/oidc/callback?state=x&code=y", {"Cookie": b"oidc=" + LATIN}, 422),
        ("/v1/auth/oidc/callback?state=x&code=y", {"Cookie": b'oidc="\\303\\251"'}, 422),
        ("/v1/auth/oidc/callback?state=%ED%A0%80&code=%00", {}, 422),
        ("/verify-email?token=%ED%A0%80", {}, 200),
        ("/s/%ED%A0%80", {}, 404),
        ("/v1/public/links/%C3%A9", {"X-Link-Password": LATIN}, 404),
        ("/metrics", {"Authorization": b"Bearer " + LATIN}, 200),
    ],
)
async def test_header_or_address_beyond_ascii_gives_no_server_error(
    api: httpx2.AsyncClient, path: str, headers: dict[str, bytes], status: int
) -> None:
    answer = await api.get(path, headers=[(name.encode(), value) for name, value in headers.items()])
    assert answer.status_code == status, answer.text


@pytest.mark.parametrize("text", [LATIN, b"\xff\xfe", b"10000000000." + LATIN * 43, b'"\\ud800"'])
async def test_password_and_pass_of_a_link_beyond_ascii_are_wrong(
    account: Account, api: httpx2.AsyncClient, text: bytes
) -> None:
    link = await make_link(account, await make_folder(account, "/a"), password="open sesame")
    shown = await api.get(public(link), headers=[(b"X-Link-Password", text)])
    assert problem(shown) == (401, "link-password-required")
    page = await api.get(f"/s/{link['token']}", headers=[(b"Cookie", b"link-pass=" + text)])
    assert page.status_code == 401
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    sent = await api.post(f"/s/{link['token']}/password", content=b"password=" + text, headers=form)
    assert sent.status_code == 401


HOSTS = [b"[", b"[::1", b"h:99999", b"h:x", LATIN, b"a b", b"a/b", b"a@b"]


@pytest.mark.parametrize("host", HOSTS)
async def test_malformed_host_gives_no_server_error(account: Account, server: RunningServer, host: bytes) -> None:
    """The routes that look at the request's own address: idempotency keys, and the cookies of link pages."""
    file = await upload_file(account, b"x", "a.txt")
    link = await make_link(account, file["id"], password="open sesame")
    bearer = account.client.headers["Authorization"].encode()
    async with httpx2.AsyncClient(base_url=server.url, verify=NO_TLS) as client:
        requests: list[tuple[str, str, dict[str, Any]]] = [
            ("POST", "/v1/folders", {"json": {"name": "x", "on_conflict": "rename"}}),
            ("GET", f"/s/{link['token']}", {}),
            ("POST", f"/s/{link['token']}/password", {"data": {"password": "open sesame"}}),
            ("GET", "/docs", {}),
            ("GET", "/docs/static/missing", {}),
            ("GET", "/v1/files/", {}),  # a trailing slash is redirected
        ]
        for method, path, arguments in requests:
            headers = [(b"Host", host), (b"Authorization", bearer), (b"Idempotency-Key", b"key")]
            answer = await client.request(method, path, headers=headers, **arguments)
            assert answer.status_code < 500, (method, path, answer.text)
