"""Threat 9: neither the log nor the events for Sentry hold a secret."""

import asyncio
import contextlib
import gzip
import json
import re
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import parse_qs, urlsplit

from dropbox_api.storage.s3 import S3Config
from tests.support.process import environment, running_process
from tests.support.server import PASSWORD, RunningServer, put, register_account, send, sign, start, upload_file

FAILPOINT = "uploads.complete.after_head_single"
WRONG = "wrong password of an account"


async def journey(url: str) -> list[str]:
    """Upload, sign in, refresh and fail in many ways; return every secret that was sent or received."""
    account = await register_account(url)
    secrets = [PASSWORD, WRONG, account.tokens["access_token"], account.tokens["refresh_token"]]
    async with account.client as client:
        file = await upload_file(account, b"some bytes", "a.txt")
        fetched = await client.get(f"/v1/files/{file['id']}/content")
        upload = await start(account, b"other bytes", "b.txt")
        (part,) = await sign(account, upload, b"other bytes", [1])
        await put(part, b"wrong bytes")
        for signed in (fetched.headers["location"], part["url"]):
            secrets += parse_qs(urlsplit(signed).query)["X-Amz-Signature"]

        form = {"grant_type": "password", "username": account.email, "password": WRONG}
        await client.post("/v1/auth/token", data=form)
        await client.post("/v1/auth/token", data=form | {"password": PASSWORD, "otp": "918273"})
        await client.post("/v1/auth/token", content=f'{{"password": "{PASSWORD}"')
        await client.post("/v1/auth/register", json={"email": account.email, "password": PASSWORD})
        token = "Zm9vYmFyYmF6cXV4Zm9vYmFyYmF6cXV4Zm9vYmFyMTI"
        pat = "dbx_pat_" + token
        secrets += [token, pat, "cookie-of-a-browser"]
        for path in (f"/s/{token}", f"/v1/public/links/{token}", f"/s/{token}/nothing", f"/verify-email?token={token}"):
            await client.get(path, headers={"Cookie": "__Host-x=cookie-of-a-browser"})
        await client.get("/v1/me", headers={"Authorization": f"Bearer {pat}"})
        await client.get("/v1/me", headers={"Authorization": f"Basic {token}"})
        refreshed = await client.post("/v1/auth/refresh", json={"refresh_token": account.tokens["refresh_token"]})
        secrets += [refreshed.json()["access_token"], refreshed.json()["refresh_token"]]
        await send(account, upload, b"other bytes")
        client.headers["Authorization"] = f"Bearer {refreshed.json()['access_token']}"
        unexpected = await client.post(f"/v1/uploads/{upload['id']}/complete?token={token}")
        assert unexpected.status_code == 500
        await client.post("/v1/auth/logout", json={"refresh_token": refreshed.json()["refresh_token"]})
    return secrets


async def test_log_of_a_whole_journey_holds_no_secret(
    server: RunningServer, postgres_url: str, s3_config: S3Config
) -> None:
    variables = environment(postgres_url, s3_config, LOG_LEVEL="DEBUG", LOG_FORMAT="json")
    async with running_process(variables, f"{FAILPOINT}=raise@2") as api:
        secrets = await journey(api.url)
        async with asyncio.timeout(30):
            while "/v1/auth/logout" not in (log := api.log.read_text(encoding="utf-8")):  # noqa: ASYNC110
                await asyncio.sleep(0.02)
    assert "FailpointError" in log
    for secret in [*secrets, s3_config.secret_access_key or "-"]:
        assert secret not in log
    lines = [json.loads(line) for line in log.splitlines()]
    accesses = [line for line in lines if line["logger"] == "dropbox_api.access"]
    uploading = next(line for line in accesses if line["path"] == "/v1/uploads/{upload_id}/parts")
    assert uploading["status"] == 200
    assert set(uploading) >= {"request_id", "user_id", "method", "duration_ms", "size_bytes", "time", "level"}
    assert not any(re.search(r"/s/(?!\{)|links/(?!\{)", line["path"]) for line in accesses)


@contextlib.asynccontextmanager
async def sentry() -> AsyncIterator[tuple[str, list[dict[str, Any]]]]:
    """Run a server that speaks the protocol of Sentry; yield its DSN and the events that it receives."""
    events: list[dict[str, Any]] = []

    async def receive(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
        length = re.search(r"content-length: (\d+)", head)
        body = await reader.readexactly(int(length[1])) if length else b""
        envelope = gzip.decompress(body) if "content-encoding: gzip" in head else body
        for line in envelope.splitlines():
            with contextlib.suppress(ValueError):
                found = json.loads(line)
                if isinstance(found, dict) and "event_id" in found and "level" in found:
                    events.append(found)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(receive, "127.0.0.1", 0)
    async with server:
        yield f"http://key@127.0.0.1:{server.sockets[0].getsockname()[1]}/1", events


async def test_sentry_event_of_an_unexpected_error_holds_no_secret(
    server: RunningServer, postgres_url: str, s3_config: S3Config
) -> None:
    async with sentry() as (dsn, events):
        variables = environment(postgres_url, s3_config, SENTRY_DSN=dsn, LOG_LEVEL="INFO", AUTH__HASH_CONCURRENCY="1")
        async with running_process(variables, f"{FAILPOINT}=raise") as api:
            account = await register_account(api.url)
            async with account.client as client, asyncio.timeout(30):
                upload = await start(account, b"some bytes", "a.txt")
                (part,) = await sign(account, upload, b"some bytes", [1])
                await put(part, b"some bytes")
                answer = await client.post(f"/v1/uploads/{upload['id']}/complete")
                assert (answer.status_code, answer.json()["code"]) == (500, "internal-error")
                while not events:  # noqa: ASYNC110
                    await asyncio.sleep(0.05)
    (event,) = events
    assert event["exception"]["values"][-1]["type"] == "FailpointError"
    assert "request" not in event
    content = json.dumps(event)
    for secret in (PASSWORD, account.tokens["access_token"], account.email, part["url"].split("X-Amz-Signature=")[1]):
        assert secret not in content
    assert '"vars"' not in content
