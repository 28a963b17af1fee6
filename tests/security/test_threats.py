"""Attacks on defences that other tests cover in part or not at all: each attack is made, and fails.

The numbers are those of the threats in docs/security.md, which names all tests.
"""

import ast
import asyncio
import contextlib
import io
import json
import logging
import os
import re
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx2
import pytest
import yaml
from sqlalchemy import text

from dropbox_api.accounts import oidc, oidc_flow
from dropbox_api.accounts.session_tokens import AccessTokens
from dropbox_api.app import UnsuitableStoreError, create_app
from dropbox_api.context import Services
from dropbox_api.db import Db
from dropbox_api.plumbing import logs
from dropbox_api.problems import OidcFailed
from dropbox_api.serving import HEAD_S, MAX_HEAD_BYTES
from dropbox_api.settings import DEV_SECRET, Settings
from dropbox_api.storage.object_store import CompletedPart, ObjectInfo, Part
from dropbox_api.storage.s3 import S3Config
from dropbox_api.workers.verify import verify_next_blob
from tests.conftest import Register
from tests.support.ministack import Ministack
from tests.support.plans import record_statements, texts_of
from tests.support.server import (
    MULTI,
    NO_TLS,
    PASSWORD,
    SMALLEST_CHUNK,
    Account,
    RunningServer,
    complete,
    download,
    make_settings,
    problem,
    register_account,
    running_server,
    send,
    sha256,
    sign,
    start,
    start_body,
    upload_file,
)
from tests.support.sharing import grant, make_folder, make_link, public, verify
from tests.support.stack import Stack, prepare_bucket

ROOT = Path(__file__).parents[2]
MATRIX: dict[str, dict[str, Any]] = yaml.safe_load(Path(__file__).with_name("matrix.yaml").read_text(encoding="utf-8"))
# 3: a store that does not enforce what is signed


async def test_start_with_a_store_that_checks_no_signatures_fails(postgres_url: str, stack: Stack) -> None:
    with Ministack(stack.directory / "credulous-start", checks_signatures=False) as store:
        app = create_app(make_settings(postgres_url, await prepare_bucket(store.s3_config)))
        with pytest.raises(UnsuitableStoreError, match="cannot be trusted"):
            async with app.router.lifespan_context(app):
                pass


# 4: parts are swapped between list and completion


@pytest.mark.parametrize(
    "other",
    [{"checksum_sha256": "A" * 43 + "=-2"}, {"size_bytes": 1}],
    ids=["other bytes", "other size"],
)
async def test_complete_with_a_different_object_at_the_store_makes_no_file(
    account: Account, server: RunningServer, monkeypatch: pytest.MonkeyPatch, other: dict[str, Any]
) -> None:
    """The object at the store decides, whatever parts the store was told to assemble."""
    data = os.urandom(SMALLEST_CHUNK + 1000)
    upload = await start(account, data, "a.bin", **MULTI)
    await send(account, upload, data)
    head = server.store.head

    async def looked_at(key: str) -> ObjectInfo:
        return replace(await head(key), **other)

    monkeypatch.setattr(server.store, "head", looked_at)
    assert problem(await complete(account, upload["id"])) == (409, "upload-failed")
    assert (await account.client.get("/v1/files")).json()["items"] == []
    me = await account.me()
    assert (me["used_bytes"], me["reserved_bytes"]) == (0, 0)


# 8: access outlives a revoke


def lifetime_s(url: str) -> int:
    return int(parse_qs(urlsplit(url).query)["X-Amz-Expires"][0])


async def test_signed_url_expires_after_the_configured_time(
    account: Account, api: httpx2.AsyncClient, server: RunningServer
) -> None:
    file = await upload_file(account, b"abc", "a.txt")
    folder = await make_folder(account, "/shared")
    inside = await upload_file(account, b"abc", "b.txt", destination={"parent_id": folder})
    link = await make_link(account, folder)
    at = f"/v1/files/{file['id']}"
    urls = [
        (await account.client.get(f"{at}/content")).headers["location"],
        (await account.client.head(f"{at}/content")).headers["location"],
        (await account.client.get(f"{at}/download")).json()["url"],
        (await api.get(public(link, f"/files/{inside['id']}/content"))).headers["location"],
        (await api.get(f"{link['url_path']}/files/{inside['id']}/content")).headers["location"],
    ]
    assert [lifetime_s(url) for url in urls] == [server.settings.uploads.download_url_ttl_s] * 5 == [300] * 5
    for data, more in ((b"single", {}), (b"multi", MULTI)):
        upload = await start(account, data, "c", **more)
        (part,) = await sign(account, upload, data, [1])
        assert lifetime_s(part["url"]) == server.settings.uploads.url_ttl_s == 1800


# 9: secrets in logs


@pytest.mark.parametrize("as_json", [True, False])
async def test_log_of_an_error_that_quotes_secrets_holds_none(
    account: Account, api: httpx2.AsyncClient, monkeypatch: pytest.MonkeyPatch, *, as_json: bool
) -> None:
    """Libraries word their own errors, so the server cleans each finished line, including its traceback."""
    token = account.tokens["refresh_token"]

    def fail(_: AccessTokens, presented: str) -> None:
        raise ValueError(f"could not read {presented!r}, password={PASSWORD!r}")

    monkeypatch.setattr(AccessTokens, "require", fail)
    written = io.StringIO()
    handler = logging.StreamHandler(written)
    handler.setFormatter(logs.formatter(as_json=as_json))
    logging.getLogger("dropbox_api").addHandler(handler)
    try:
        answer = await api.get("/v1/me", headers={"Authorization": f"Bearer {token}"})
    finally:
        logging.getLogger("dropbox_api").removeHandler(handler)
    assert answer.status_code == 500
    log = written.getvalue()
    assert "could not read" in log
    for secret in (token, PASSWORD):
        assert secret not in log
        assert secret not in answer.text


# 12: answers tell what others store

VARYING = [
    re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"),
    re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:.]+(Z|\+00:00)"),
    re.compile(r"[0-9]{8}T[0-9]{6}Z"),
    re.compile(r"[0-9a-f]{64}"),
    re.compile(r"[A-Za-z0-9+/]{43}="),
    re.compile(r"\b[0-9a-f]{32}\b"),
    re.compile(r"(?<=uploadId=)[^&\"]+"),
]
"""Ids, times, and hashes in hex and base64: values that differ between any two answers."""


def normalize_answer(answer: httpx2.Response, *own: str) -> tuple[int, dict[str, str], str]:
    """Return status, headers and body without the values that differ in any two answers; `own`: words of the caller."""
    # A time whose last digits are zeros is written shorter, and so is its answer.
    ignored = {"date", "x-request-id", "content-length"}
    headers = {key: normalize(value, *own) for key, value in answer.headers.items() if key not in ignored}
    return answer.status_code, headers, normalize(answer.text, *own)


def normalize(said: str, *own: str) -> str:
    for word in own:
        said = said.replace(word, "own")
    for pattern in VARYING:
        said = pattern.sub("#", said)
    return said


Ask = Callable[[Account, bytes, str, dict[str, Any]], Any]


async def ask_start(asker: Account, data: bytes, name: str, place: dict[str, Any]) -> httpx2.Response:
    return await asker.client.post("/v1/uploads", json=start_body(data, name, destination=place))


async def ask_start_in_parts(asker: Account, data: bytes, name: str, place: dict[str, Any]) -> httpx2.Response:
    body = start_body(data, name, destination=place, **MULTI)
    return await asker.client.post("/v1/uploads", json=body | {"parts": [{"number": 1, "sha256": sha256(data)}]})


async def ask_batch(asker: Account, data: bytes, name: str, place: dict[str, Any]) -> httpx2.Response:
    body = start_body(data, name, destination=place)
    return await asker.client.post("/v1/uploads/batch", json={"items": [body]})


async def ask_form(asker: Account, data: bytes, name: str, place: dict[str, Any]) -> httpx2.Response:
    """The form carries the bytes; the sender must not see that another account has them too."""
    return await asker.client.post("/v1/files", data=place, files={"file": (name, data)})


async def ask_lookup(asker: Account, data: bytes, name: str, place: dict[str, Any]) -> httpx2.Response:
    return await asker.client.get(f"/v1/fingerprints/{sha256(data)}")


async def ask_list(asker: Account, data: bytes, name: str, place: dict[str, Any]) -> httpx2.Response:
    return await asker.client.get("/v1/files", params={"fingerprint": sha256(data)})


async def ask_uploads(asker: Account, data: bytes, name: str, place: dict[str, Any]) -> httpx2.Response:
    return await asker.client.get("/v1/uploads", params={"fingerprint": sha256(data)})


ASKED = [ask_start, ask_start_in_parts, ask_batch, ask_form, ask_lookup, ask_list, ask_uploads]


@pytest.mark.parametrize("role", ["stranger", "editor"])
@pytest.mark.parametrize("ask", ASKED, ids=lambda ask: ask.__name__)
async def test_answer_about_content_of_others_equals_that_for_unknown_content(
    register: Register, db: Db, ask: Ask, role: str
) -> None:
    """Status, headers, body and SQL statements are the same for stored and for unknown content.

    Exception: the form of an editor who sends all bytes, because merging two objects takes further statements.
    """
    owner, asker = await register(), await register()
    place: dict[str, Any] = {}
    if role == "editor":
        await verify(db, asker)
        place = {"parent_id": await make_folder(owner, "/shared")}
        await grant(owner, place["parent_id"], asker, "editor")
    unique = uuid.uuid4().hex[:8]
    stored, sent, dropped, unknown = (f"{kind} {unique}".encode() for kind in ("stored", "sent..", "trash.", "none.."))
    await upload_file(owner, stored, "stored")
    await start(owner, sent, "sent")
    trashed = await upload_file(owner, dropped, "trashed")
    (await owner.client.delete(f"/v1/files/{trashed['id']}")).raise_for_status()
    await ask(asker, b"warm up " + unique.encode()[:7], "own-0", place)  # prepares statements, which are not counted
    found = []
    for n, data in enumerate((unknown, stored, sent, dropped)):
        with record_statements(db) as executed:
            answer = await ask(asker, data, f"own-{n}x", place)
        merges = role == "editor" and ask is ask_form
        found.append((*normalize_answer(answer, f"own-{n}x"), [] if merges else texts_of(executed)))
    for other in found[1:]:
        assert other == found[0]


async def test_late_fingerprint_of_others_content_reveals_nothing(register: Register, server: RunningServer) -> None:
    owner, curious = await register(), await register()
    size_bytes = 8 * 1024**2 + 1
    stored, unknown = (kind + uuid.uuid4().bytes + bytes(size_bytes - 17) for kind in (b"s", b"u"))
    file = await upload_file(owner, stored, "stored")
    while (await owner.client.get(f"/v1/files/{file['id']}")).json()["content_status"] != "verified":
        await verify_next_blob(server.services)
    found = []
    for data in (unknown, stored):
        body = {"size_bytes": size_bytes, "destination": {"name": "own"}}
        upload = (await curious.client.post("/v1/uploads", json=body)).raise_for_status().json()["upload"]
        with record_statements(server.db) as executed:
            answer = await curious.client.put(
                f"/v1/uploads/{upload['id']}/fingerprint", json={"fingerprint": sha256(data)}
            )
        found.append((*normalize_answer(answer), texts_of(executed)))
        (await curious.client.delete(f"/v1/uploads/{upload['id']}")).raise_for_status()
    assert found[0] == found[1]
    assert found[0][0] == 200


# 16: passwords are guessed


async def test_refused_sign_ins_cost_one_hash_and_are_answered_alike(
    register: Register, server: RunningServer, api: httpx2.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    known, disabled, without = await register(), await register(), await register()
    async with server.db.begin() as tx:
        for change, whose in (("disabled_at = now()", disabled), ("password_hash = NULL", without)):
            await tx.execute(text(f"UPDATE users SET {change} WHERE email = :email"), {"email": whose.email})
    passwords = server.app.state.passwords
    checks: list[str] = []

    class Watched:
        def verify_and_update(self, password: str, stored: str) -> tuple[bool, str | None]:
            checks.append(stored.rpartition("$")[0].rpartition("$")[0])  # how it is hashed, without salt and hash
            result: tuple[bool, str | None] = original.verify_and_update(password, stored)
            return result

    original = passwords._argon2
    monkeypatch.setattr(passwords, "_argon2", Watched())
    answers = []
    for email, password in (
        (known.email, "wrong and long enough"),
        (disabled.email, disabled.password),
        (without.email, without.password),
        ("unknown-" + known.email, "whatever it may be"),
    ):
        form = {"grant_type": "password", "username": email, "password": password}
        answers.append(normalize_answer(await api.post("/v1/auth/token", data=form)))
    assert answers == [answers[0]] * 4
    assert answers[0][0] == 401
    assert checks == [checks[0]] * 4


# 18: another site acts for a signed-in person

FORMS: dict[str, dict[str, Any]] = {
    "urlencoded": {"data": {"name": "forged", "parent_id": "x"}},
    "multipart": {"data": {"name": "forged"}, "files": {"file": ("forged.txt", b"forged")}},
    "text": {"content": b'{"name": "forged", "ignore": "="}', "headers": {"Content-Type": "text/plain"}},
    "nothing": {},
}
"""Requests that another site can make a browser send without a preflight: forms of three encodings, and bare ones."""

SIGNED_IN = [name for name, row in MATRIX.items() if row["kind"] in {"own", "node", "upload", "admin"}]


@pytest.mark.parametrize("form", FORMS)
async def test_forged_form_of_another_site_is_401(account: Account, api: httpx2.AsyncClient, form: str) -> None:
    """Cookies, query parameters and headers that a browser adds by itself do not authenticate a request."""
    file = await upload_file(account, b"mine", "mine.txt")
    before = [(await account.client.get(path)).json() for path in ("/v1/files", "/v1/me", "/v1/me/tokens")]
    access, refresh = account.tokens["access_token"], account.tokens["refresh_token"]
    names = ["access_token", "token", "session", "__Host-session", "Authorization", "authorization", "bearer"]
    cookies = "; ".join(
        [f"{name}={access}" for name in names]
        + [f"refresh_token={refresh}", f"link-pass={access}", f"oidc={access}", f"__Host-oidc={access}"]
        + [f"{name}={token}" for name in ("dbx-session-8000", "__Host-dbx-session") for token in (access, refresh)]
    )
    from_there = {
        "Cookie": cookies,
        "Origin": "https://evil.example",
        "Referer": "https://evil.example/",
        "Sec-Fetch-Site": "cross-site",
        "Sec-Fetch-Mode": "navigate",
    }
    for name in SIGNED_IN:
        method, path = name.split(" ")
        path = path.replace("{file_id}", file["id"]).replace("{fingerprint}", sha256(b"mine"))
        path = re.sub(r"\{\w+\}", str(uuid.uuid4()), path)
        request = dict(FORMS[form])
        headers = from_there | request.pop("headers", {})
        queries: tuple[dict[str, str], ...] = ({}, {"access_token": access, "token": access})
        for query in queries:
            answer = await api.request(method, path, headers=headers, params=query, **request)
            assert answer.status_code == 401, (name, answer.text)
            assert "access-control-allow-origin" not in answer.headers
    after = [(await account.client.get(path)).json() for path in ("/v1/files", "/v1/me", "/v1/me/tokens")]
    assert after == before


# 19: the server is made to call inside addresses

MAY_CALL = {
    "accounts/oidc_provider.py": {"httpx2"},
    "dev.py": {"socket"},
    "hooks/delivery_client.py": {"httpx2"},
    "hooks/targets.py": {"httpx2", "socket"},
    "plumbing/mail.py": {"aiosmtplib"},
    "storage/messages.py": {"aioboto3", "aiohttp"},
    "storage/s3.py": {"aioboto3", "aiohttp"},
    "storage/s3_http.py": {"aiohttp"},
    "storage/probe.py": {"aiohttp"},
    "storage/embedded/guard.py": {"socket", "urllib.request"},
}
"""Modules that open connections. The settings name the addresses, except those of webhooks."""
CALLERS = {
    *("httpx", "httpx2", "aiohttp", "requests", "urllib.request", "urllib3", "http.client", "socket"),
    *("aiosmtplib", "smtplib", "ftplib", "aioboto3", "boto3", "websockets"),
}


def test_modules_that_open_connections_are_the_known_ones() -> None:
    package = ROOT / "src" / "dropbox_api"
    found: dict[str, set[str]] = {}
    for path in package.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            named = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and node.module:
                named = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
            for name in CALLERS.intersection(named):
                found.setdefault(str(path.relative_to(package)), set()).add(name)
    assert found == MAY_CALL


def test_request_members_with_addresses_to_call_are_the_known_ones() -> None:
    """Only webhooks take an address. A new member that takes one (imports, avatars) needs a review here."""
    document = create_app(Settings(mode="dev")).openapi()
    shared = document["components"]["parameters"]
    asked = {parameter["name"] for parameter in shared.values()}
    for operations in document["paths"].values():
        for operation in operations.values():
            asked |= {parameter["name"] for parameter in operation.get("parameters", ()) if "name" in parameter}
            for content in operation.get("requestBody", {}).get("content", {}).values():
                asked |= {name for schema in schemas_of(document, content["schema"]) for name in schema["properties"]}
    assert "destination" in asked
    calling = re.compile(r"ur[il]|callback|webhook|endpoint|host|issuer|proxy|redirect", re.IGNORECASE)
    # `redirect` is a path of this server that the browser opens, tested in integration/test_oidc; `url` is a webhook's.
    assert {name for name in asked if calling.search(name)} == {"redirect", "url", "webhook_id"}


def schemas_of(document: dict[str, Any], schema: Any) -> Iterator[dict[str, Any]]:
    """Yield every object of a schema of the document, itself included."""
    if isinstance(schema, list):
        for inner in schema:
            yield from schemas_of(document, inner)
    elif isinstance(schema, dict):
        if "$ref" in schema:
            schema = document["components"]["schemas"][schema["$ref"].rsplit("/", 1)[1]]
        if "properties" in schema:
            yield schema
        for inner in schema.values():
            yield from schemas_of(document, inner)


async def test_oidc_provider_that_redirects_is_not_followed(postgres_url: str, s3_config: S3Config) -> None:
    """The server calls no address that an identity provider chooses, although the operator trusts the provider."""
    asked: list[str] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        asked.append(head.split(" ")[1])
        writer.write(b"HTTP/1.1 302 Found\r\nLocation: /inside\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as provider:
        issuer = f"http://127.0.0.1:{provider.sockets[0].getsockname()[1]}"
        settings = make_settings(postgres_url, s3_config, oidc={"issuer": issuer, "client_id": "dropbox"})
        with pytest.raises(OidcFailed):
            await oidc.start_sign_in(settings, oidc_flow.begin_flow(challenge="x" * 43, redirect="/", cli_port=None))
    assert asked == ["/.well-known/openid-configuration"]


# 20: members beyond the contract


def test_request_bodies_refuse_unknown_members() -> None:
    document = create_app(Settings(mode="dev")).openapi()
    bodies = [
        (name, schema)
        for path, operations in document["paths"].items()
        for method, operation in operations.items()
        for kind, content in operation.get("requestBody", {}).get("content", {}).items()
        for name, schema in [(f"{method} {path} {kind}", inner) for inner in schemas_of(document, content["schema"])]
    ]
    assert len(bodies) > 20
    of_browsers = [  # browsers add members of later WebAuthn levels
        document["components"]["schemas"][name]
        for name in ("PasskeyAttestation", "PasskeyRegistration", "PasskeySignature", "PasskeyAssertion")
    ]
    open_ones = {
        name for name, schema in bodies if schema.get("additionalProperties") is not False and schema not in of_browsers
    }
    assert open_ones == {"post /v1/auth/token application/x-www-form-urlencoded"}, "RFC 6749 3.2 wants them ignored"


# 21: forged cursors

LISTS = {
    "files": "/v1/files",
    "all below": "/v1/files?recursive=true",
    "by size": "/v1/files?order=size",
    "by time": "/v1/files?order=-modified",
    "by content": f"/v1/files?fingerprint={sha256(b'the same')}",
    "search": "/v1/search?q=named",
    "trash": "/v1/trash",
    "uploads": "/v1/uploads",
    "chunks": "/v1/uploads/{upload_id}/chunks",
    "revisions": "/v1/files/{file_id}/revisions",
    "activity": "/v1/files/{file_id}/activity",
    "grants": "/v1/files/{folder_id}/grants",
    "links": "/v1/files/{folder_id}/links",
    "shared": "/v1/shared-with-me",
    "sign-ins": "/v1/me/sessions",
    "tokens": "/v1/me/tokens",
}


async def furnish(account: Account, sharer: Account, db: Db) -> dict[str, str]:
    """Give an account two of everything that a list can show; return the ids for the paths of `LISTS`."""
    client = account.client
    folder = await make_folder(account, "/named folder")
    ids = {"folder_id": folder}
    for n in range(2):
        file = await upload_file(account, b"the same", f"named {n}")
        await upload_file(account, b"%d" % n, "named twice", destination={"on_conflict": "replace"})
        dropped = await upload_file(account, b"gone", f"gone {n}")
        (await client.delete(f"/v1/files/{dropped['id']}")).raise_for_status()
        parts = await start(account, bytes([n]) * (SMALLEST_CHUNK + 1), f"sending {n}", **MULTI)
        await make_link(account, folder)
        body = {"email": f"{n}.{uuid.uuid4().hex}@example.com", "role": "viewer"}
        (await client.post(f"/v1/files/{folder}/grants", json=body)).raise_for_status()
        (await client.post("/v1/me/tokens", json={"name": f"{n}", "scopes": ["files:read"]})).raise_for_status()
        form = {"grant_type": "password", "username": account.email, "password": account.password}
        (await client.post("/v1/auth/token", data=form)).raise_for_status()
        await verify(db, account)
        await grant(sharer, await make_folder(sharer, f"/for {account.email} {n}"), account, "viewer")
        ids |= {"upload_id": parts["id"], "file_id": file["id"]}
    twice = await client.get("/v1/files/by-path", params={"path": "/named twice"})
    return ids | {"file_id": twice.raise_for_status().json()["id"]}


async def ids_in(account: Account, address: str, cursor: str | None = None) -> tuple[list[str], str | None]:
    """Return the rows of one page as JSON, and the cursor of the next page."""
    page = {"limit": "1"} | ({"cursor": cursor} if cursor else {})
    answer = await account.client.get(httpx2.URL(address).copy_merge_params(page))
    if answer.status_code == 422:
        assert problem(answer) == (422, "invalid-cursor"), (address, answer.text)
        return [], None
    body = answer.raise_for_status().json()
    return [json.dumps(item, sort_keys=True) for item in body["items"]], body["next_cursor"]


async def all_in(account: Account, address: str) -> list[str]:
    found, cursor = await ids_in(account, address)
    while cursor:
        more, cursor = await ids_in(account, address, cursor)
        found += more
    return found


async def test_cursor_of_another_account_shows_no_rows_of_it(register: Register, db: Db) -> None:
    owner, thief, sharer = await register(), await register(), await register()
    of_owner, own = await furnish(owner, sharer, db), await furnish(thief, sharer, db)
    listed = {name for name in MATRIX if MATRIX[name]["kind"] in {"own", "node", "upload"} and name.startswith("GET")}
    paths = {name.removeprefix("GET ") for name in listed}
    for name, address in LISTS.items():
        assert re.sub(r"\?.*", "", address.replace("folder_id", "file_id")) in paths, name
        mine = await all_in(thief, address.format(**own))
        assert len(mine) >= 2, name
        if name != "chunks":  # chunks do not name their account
            assert not set(mine).intersection(await all_in(owner, address.format(**of_owner))), name
        _, cursor = await ids_in(owner, address.format(**of_owner))
        assert cursor, name
        while cursor:
            seen, cursor = await ids_in(thief, address.format(**own), cursor)
            assert set(seen) <= set(mine), name


# 23: default secrets, root


def test_start_without_a_secret_fails(tmp_path: Path) -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("DROPBOX_")}
    starting = [
        subprocess.Popen(
            [sys.executable, "-m", "dropbox_api", command],
            cwd=tmp_path,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for command in ("serve", "worker")
    ]
    for started in starting:
        with started:
            said, _ = started.communicate(timeout=200)
        assert started.returncode != 0
        assert "DROPBOX_AUTH__SECRET" in said
        assert DEV_SECRET not in said


def test_image_runs_as_an_unprivileged_user() -> None:
    stage = (ROOT / "Dockerfile").read_text(encoding="utf-8").rpartition("\nFROM ")[2]
    users = re.findall(r"^USER (\S+)$", stage, re.MULTILINE)
    assert users[-1:] == ["app"]
    (uid,) = re.findall(r"useradd .*--uid (\d+) .*\bapp\b", stage)
    assert int(uid) > 0
    assert stage.index("USER app") < stage.index("ENTRYPOINT")


def test_deployment_files_hold_no_default_secret() -> None:
    """Compose demands every secret from the environment (`:?`), and `.env.example` leaves them empty."""
    services = yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))["services"]
    secret = re.compile(r"SECRET|PASSWORD")
    given = [
        (name, str(value))
        for service in services.values()
        for name, value in service.get("environment", {}).items()
        if secret.search(name) or re.search("://.*@", str(value))
    ]
    assert len(given) > 4
    for name, value in given:
        wanted = r":-\}$" if "MAIL" in name else r":\?"  # mail may have no password
        assert re.search(r"\$\{\w+" + wanted, value), name
    for line in (ROOT / ".env.example").read_text(encoding="utf-8").splitlines():
        name, is_set, value = line.partition("=")
        if is_set and secret.search(name) and not line.startswith("#"):
            assert not value.strip(), name


# 25: thousands of ranges

MANY = "bytes=" + ",".join(f"{n}-{n}" for n in range(0, 8000, 2))


async def test_request_for_thousands_of_ranges_gets_at_most_the_whole(
    account: Account, api: httpx2.AsyncClient, server: RunningServer
) -> None:
    """The store may serve ranges or the whole, or refuse; the server itself serves ranges of `/docs/static` only."""
    data = os.urandom(8192)
    folder = await make_folder(account, "/folder")
    file = await upload_file(account, data, "a.bin", destination={"parent_id": folder})
    redirect = await account.client.get(f"/v1/files/{file['id']}/content", headers={"Range": MANY})
    assert (redirect.status_code, redirect.content) == (307, b"")
    zipped = await account.client.get(f"/v1/files/{folder}/archive", headers={"Range": MANY})
    assert (zipped.status_code, zipped.headers["content-type"]) == (200, "application/zip")
    static = await api.get("/docs/static/swagger-ui.css", headers={"Range": MANY})
    whole = await api.get("/docs/static/swagger-ui.css")
    assert len(static.content) <= len(whole.content)
    async with httpx2.AsyncClient(verify=NO_TLS, timeout=60) as client:
        answer = await client.get(redirect.headers["location"], headers={"Range": MANY})
        assert answer.status_code in {200, 206, 400, 416}
        assert (await client.get(redirect.headers["location"])).content == data
    assert (await api.get("/healthz")).status_code == 200


async def test_oversized_head_is_refused_at_once(server: RunningServer) -> None:
    """The limit of size applies at once; the limit of time would apply after `serving.HEAD_S`."""
    address = urlsplit(server.url)
    reader, writer = await asyncio.open_connection(address.hostname, address.port)
    writer.write(b"GET /healthz HTTP/1.1\r\nHost: x\r\nX-Large: " + b"a" * 2 * MAX_HEAD_BYTES)
    async with asyncio.timeout(HEAD_S / 2):
        with contextlib.suppress(ConnectionError):
            assert (await reader.read()).startswith((b"HTTP/1.1 400", b"HTTP/1.1 431"))
    writer.close()
    with contextlib.suppress(ConnectionError):
        await writer.wait_closed()


# 26: forged `Host`


def written_in(folder: Path) -> list[str]:
    return [path.read_text(encoding="utf-8") for path in folder.glob("*.eml")]


async def test_mail_after_a_forged_host_links_to_the_public_url(
    postgres_url: str, s3_config: S3Config, tmp_path: Path
) -> None:
    http = {"public_url": "https://files.example.org"}
    settings = make_settings(postgres_url, s3_config, mail={"file_dir": str(tmp_path)}, http=http)
    forged = {
        "Host": "evil.example",
        "X-Forwarded-Host": "evil.example",
        "X-Forwarded-Proto": "gopher",
        "Forwarded": "host=evil.example",
        "X-Original-URL": "https://evil.example/",
    }
    async with running_server(settings) as running:
        account = await register_account(running.url)
        await account.client.aclose()
        async with httpx2.AsyncClient(base_url=running.url, headers=forged, timeout=60) as api:
            body = {"email": account.email}
            assert (await api.post("/v1/auth/reset-password/request", json=body)).status_code == 202
    mails = written_in(tmp_path)  # complete, because the server has ended
    reset = [mail for mail in mails if "reset-password" in mail]
    assert len(reset) == 1
    assert "https://files.example.org/reset-password?token=" in reset[0]
    assert not any("evil" in mail or "gopher" in mail for mail in mails)


# 27: ETags that are no MD5


@pytest.mark.parametrize("more", [{}, MULTI], ids=["single", "multipart"])
async def test_upload_with_opaque_etags_is_verified(
    account: Account, server: RunningServer, monkeypatch: pytest.MonkeyPatch, more: dict[str, Any]
) -> None:
    """Under KMS an ETag is no hash: the server keeps it and hands it back, and never interprets it."""
    store = server.store
    list_parts, complete_multipart, head = store.list_parts, store.complete_multipart, store.head

    async def parts_of(key: str, upload_id: str) -> list[Part]:
        return [replace(part, etag=f"opaque {part.etag[::-1]}") for part in await list_parts(key, upload_id)]

    async def completed(key: str, upload_id: str, parts: list[CompletedPart], size_bytes: int) -> None:
        assert all(part.etag.startswith("opaque ") for part in parts)
        given = [replace(part, etag=part.etag.removeprefix("opaque ")[::-1]) for part in parts]
        await complete_multipart(key, upload_id, given, size_bytes)

    async def looked_at(key: str) -> ObjectInfo:
        found = await head(key)
        return replace(found, etag=f"opaque {found.etag[::-1]}")

    for name, stand_in in (("list_parts", parts_of), ("complete_multipart", completed), ("head", looked_at)):
        monkeypatch.setattr(store, name, stand_in)
    data = os.urandom(SMALLEST_CHUNK + 1000)
    file = await upload_file(account, data, "a", **more)
    while (seen := (await account.client.get(f"/v1/files/{file['id']}")).json())["content_status"] == "stored":
        await verify_next_blob(Services(server.db, store, server.settings))
    assert (seen["content_status"], seen["fingerprint"]) == ("verified", sha256(data))
    assert await download(account, file["id"]) == data
