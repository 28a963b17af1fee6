"""The server behind deploy/nginx.conf, with a self-signed certificate: the deployment of docs/operations.md."""

import asyncio
import io
import os
import ssl
import subprocess
import zipfile
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx2
import pytest
from sqlalchemy import text

from dropbox_api import serving
from dropbox_api.settings import MIB
from dropbox_api.storage.s3 import S3Config
from tests.support.ports import reserve_port
from tests.support.programs import require_program, wait_until_open
from tests.support.server import PASSWORD, RunningServer, make_settings, running_server

CONFIG = Path(__file__).parents[2] / "deploy" / "nginx.conf"
NAME = "files.example.org"


@dataclass
class Proxied:
    server: RunningServer
    http_port: int
    https_port: int
    certificate: Path
    log: Path

    def client(self, **headers: str) -> httpx2.AsyncClient:
        """Return a client that checks the certificate and connects from 127.0.0.9."""
        tls = ssl.create_default_context(cafile=str(self.certificate))
        tls.check_hostname = False  # the name is not in DNS; the certificate itself is checked
        transport = httpx2.AsyncHTTPTransport(verify=tls, local_address="127.0.0.9")
        sni = {"sni_hostname": NAME}

        async def name(request: httpx2.Request) -> None:
            request.extensions = dict(request.extensions) | sni

        return httpx2.AsyncClient(
            base_url=f"https://127.0.0.1:{self.https_port}",
            headers={"Host": NAME} | headers,
            transport=transport,
            timeout=60,
            event_hooks={"request": [name]},
        )


def rendered(directory: Path, api: str, http_port: int, https_port: int) -> str:
    """Return deploy/nginx.conf with the ports and paths of this test."""
    config = CONFIG.read_text(encoding="utf-8")
    for there, here in {
        "listen 80;": f"listen 127.0.0.1:{http_port};",
        "listen 443 ": f"listen 127.0.0.1:{https_port} ",
        "127.0.0.1:8000": api,
        "/etc/ssl/files.example.org/": f"{directory}/",
        "/run/nginx.pid": f"{directory}/nginx.pid",
        "/var/log/nginx/": f"{directory}/",
    }.items():
        assert there in config
        config = config.replace(there, here)
    return config


@pytest.fixture
def ports() -> Iterator[tuple[int, int]]:
    with reserve_port() as http_port, reserve_port() as https_port:
        yield http_port, https_port


@pytest.fixture
async def proxied(
    postgres_url: str, s3_config: S3Config, tmp_path: Path, ports: tuple[int, int]
) -> AsyncIterator[Proxied]:
    nginx, openssl = require_program("nginx"), require_program("openssl")
    certificate, key = tmp_path / "fullchain.pem", tmp_path / "privkey.pem"
    subject = ["-subj", f"/CN={NAME}", "-addext", f"subjectAltName=DNS:{NAME}"]
    new = [openssl, "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", *subject]
    subprocess.run([*new, "-keyout", key, "-out", certificate], check=True, capture_output=True)  # noqa: ASYNC221
    http = {"trusted_proxies": ["127.0.0.1"], "allowed_hosts": [NAME], "hsts_s": 60}
    limits = {"sign_in_account": "3/hour", "address": "", "user": "", "sign_in_address": ""}
    http_port, https_port = ports
    async with running_server(make_settings(postgres_url, s3_config, http=http, limits=limits)) as server:
        config = tmp_path / "nginx.conf"
        config.write_text(rendered(tmp_path, server.url.removeprefix("http://"), http_port, https_port), "utf-8")
        command = [
            nginx,
            "-p",
            str(tmp_path),
            "-e",
            str(tmp_path / "error.log"),
            "-c",
            str(config),
            "-g",
            "daemon off;",
        ]
        process = subprocess.Popen(command)  # noqa: ASYNC220 - starting is quick
        try:
            wait_until_open(process, https_port)
            yield Proxied(server, http_port, https_port, certificate, tmp_path / "access.log")
        finally:
            process.terminate()
            process.wait(60)


async def test_journey_through_nginx_works_and_audits_the_client_address(proxied: Proxied) -> None:
    forged = {"X-Forwarded-For": "203.0.113.7", "X-Forwarded-Host": "evil.example", "X-Real-IP": "203.0.113.7"}
    email = "ann@nginx.example"
    async with proxied.client(**forged) as client:
        register = await client.post("/v1/auth/register", json={"email": email, "password": PASSWORD})
        assert register.status_code == 201, register.text
        assert register.headers["strict-transport-security"] == "max-age=60; includeSubDomains"
        assert not register.headers.get("server", "nginx").startswith("nginx/")
        form = {"grant_type": "password", "username": email, "password": PASSWORD}
        tokens = (await client.post("/v1/auth/token", data=form)).raise_for_status().json()
        client.headers["Authorization"] = f"Bearer {tokens['access_token']}"

        data = os.urandom(12 * MIB)
        sent = await client.post("/v1/files", files={"file": ("large.bin", data)})
        assert sent.status_code == 201, sent.text
        file = sent.json()
        archive = (await client.get(f"/v1/files/{file['parent_id']}/archive")).raise_for_status()
        with zipfile.ZipFile(io.BytesIO(archive.content)) as unpacked:
            (inside,) = unpacked.namelist()
            assert unpacked.read(inside) == data

        form["password"] = "wrong"
        client.headers.pop("Authorization")
        statuses = []
        for n in range(3):
            attempt = await client.post("/v1/auth/token", data=form, headers={"X-Forwarded-For": f"203.0.113.{n}"})
            statuses.append(attempt.status_code)
        assert statuses == [401, 401, 429]

    audit = text("SELECT address FROM audit_log WHERE node_id = :id")
    async with proxied.server.db.read() as tx:
        addresses = {str(address) for address in (await tx.execute(audit, {"id": file["id"]})).scalars()}
    assert addresses == {"127.0.0.9"}, "the address of the client, not of the proxy and not of a forged header"


async def test_http_request_is_redirected_to_https(proxied: Proxied) -> None:
    async with httpx2.AsyncClient(
        base_url=f"http://127.0.0.1:{proxied.http_port}", headers={"Host": NAME}, timeout=60
    ) as client:
        answer = await client.post("/v1/auth/token?x=1")
    assert (answer.status_code, answer.headers["location"]) == (308, f"https://{NAME}/v1/auth/token?x=1")


async def test_nginx_access_log_holds_no_link_token(proxied: Proxied) -> None:
    token = "Zm9vYmFyYmF6cXV4Zm9vYmFyYmF6cXV4Zm9vYmFyMTI"
    async with proxied.client() as client:
        for path in (f"/s/{token}", f"/v1/public/links/{token}/files", f"/verify-email?token={token}"):
            await client.get(path)
        await client.get(f"/v1/archives/{token}")
    async with asyncio.timeout(60):
        while (log := proxied.log.read_text(encoding="utf-8")).count("\n") < 4:  # noqa: ASYNC110
            await asyncio.sleep(0.02)
    assert token not in log
    assert '"path":"/v1/public/links/-"' in log
    assert '"path":"/v1/archives/-"' in log


async def test_nginx_error_log_holds_no_link_token(proxied: Proxied, monkeypatch: pytest.MonkeyPatch) -> None:
    token = "Zm9vYmFyYmF6cXV4Zm9vYmFyYmF6cXV4Zm9vYmFyMTI"
    monkeypatch.setattr(serving.BoundedConnection, "on_headers_complete", lambda self: self.transport.close())
    async with proxied.client() as client:
        assert (await client.get(f"/s/{token}")).status_code == 502
    assert token not in (proxied.log.parent / "error.log").read_text(encoding="utf-8")
