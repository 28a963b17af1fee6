"""The measured servers: Postgres (fsync on), SeaweedFS and the API, in a temporary directory."""

import asyncio
import contextlib
import json
import os
import re
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar, cast
from urllib.parse import urlsplit

from bench import processes
from dropbox_api import migrations
from dropbox_api.settings import DatabaseSettings
from dropbox_api.storage.embedded.guard import GuardedServer, choose_ports, fetch
from dropbox_api.storage.embedded.postgres import EmbeddedPostgres
from dropbox_api.storage.embedded.seaweedfs import EmbeddedS3
from dropbox_api.storage.s3 import S3Config, S3Store
from dropbox_client.client import Client
from dropbox_client.tokens import TokenFile

BUCKET = "dropbox"
GUEST_BUCKET = "guest"
"""A bucket for a server of another project, whose credentials reach nothing else."""
_QUOTA_BYTES = 2**55
PASSWORD = secrets.token_urlsafe()


class WebServer(GuardedServer):
    """A Python web server as a process; `{port}` in `command` stands for the port."""

    name = "web"
    stop_signal: ClassVar[signal.Signals] = signal.SIGTERM

    def __init__(self, data_dir: Path, command: Sequence[str], environment: Mapping[str, str], ready: str) -> None:
        super().__init__(data_dir)
        self._template = command
        self.environment = environment
        self._ready = ready
        self._port = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    @property
    def page_url(self) -> str:
        """The address of the server's own pages, from which the store takes requests."""
        return f"http://localhost:{self._port}"

    def _command(self) -> tuple[Sequence[str], Mapping[str, str], Path]:
        self._port = choose_ports(self.data_dir / "port", None, [0])
        port = str(self._port)
        own = {"DROPBOX_HTTP__PORT": port, "DROPBOX_HTTP__PUBLIC_URL": self.page_url}
        environment = {"PATH": os.defpath, **own, **self.environment}
        return [sys.executable, *(part.format(port=port) for part in self._template)], environment, self.data_dir

    def _is_ready(self) -> bool:
        return fetch(self.url + self._ready) is not None

    def _is_ours(self, command_line: list[str]) -> bool:  # noqa: ARG002 - its directory is new
        return False

    @property
    def server_pid(self) -> int:
        """The id of the server process, a child of its guard."""
        assert self.process is not None
        return processes.tree(self.process.pid)[1]


class Store(EmbeddedS3):
    """SeaweedFS with a second identity, that of a guest."""

    def __init__(self, data_dir: Path) -> None:
        super().__init__(data_dir, access_key_id="bench", secret_access_key=secrets.token_urlsafe())
        self.guest_secret = secrets.token_urlsafe()

    def _identities(self) -> object:
        guest = {
            "name": "guest",
            "credentials": [{"accessKey": "guest", "secretKey": self.guest_secret}],
            "actions": [f"{action}:{GUEST_BUCKET}" for action in ("Read", "Write", "List", "Tagging")],
        }
        own = cast("dict[str, list[object]]", super()._identities())
        return {"identities": [*own["identities"], guest]}


@dataclass
class Stack:
    directory: Path
    postgres: EmbeddedPostgres
    s3: Store
    api: WebServer
    page_port: int
    """Pages of `http://localhost:PORT` may call the API and the store."""

    @property
    def s3_config(self) -> S3Config:
        return S3Config(
            bucket=BUCKET,
            endpoint_url=self.s3.endpoint_url,
            access_key_id=self.s3.access_key_id,
            secret_access_key=self.s3.secret_access_key,
        )

    @property
    def page_origin(self) -> str:
        return f"http://localhost:{self.page_port}"

    @contextlib.contextmanager
    def api_behind(self, public_endpoint_url: str, **settings: str) -> Iterator[WebServer]:
        """Run a second API on the same data, whose signed URLs name a proxy; `settings` are further variables."""
        extra = {"DROPBOX_S3__PUBLIC_ENDPOINT_URL": public_endpoint_url, **settings}
        directory = self.directory / f"api-{uuid.uuid4().hex}"
        with _api(directory, self.postgres, self.s3, self.page_origin, extra) as api:
            yield api

    @contextlib.contextmanager
    def signed_in(self, url: str) -> Iterator[tuple[Client, dict[str, str]]]:
        """Yield a client of a new account, and the environment in which `dbx` is signed in to it.

        A new account owns no content, so that deduplication saves nothing.
        """
        home = Path(tempfile.mkdtemp(dir=self.directory))
        client = Client(url, TokenFile(home / "dbx" / "tokens.json"))
        email = f"{uuid.uuid4().hex}@example.com"
        client.account.register(email, PASSWORD)
        client.sign_in(email, PASSWORD)
        environment = {"PATH": os.defpath, "HOME": str(home), "XDG_CONFIG_HOME": str(home), "XDG_CACHE_HOME": str(home)}
        yield client, environment
        client.close()
        shutil.rmtree(home)

    def verify(self) -> None:
        """Let the worker verify the fingerprints of multipart uploads, until none is left.

        Blobs of earlier subjects are missing from the bucket, and the worker finds that too.
        """
        command = [sys.executable, "-m", "dropbox_api", "worker", "--once", "verify"]
        environment = {"PATH": os.defpath, **self.api.environment}
        said = ""
        while "found 0" not in said:
            done = subprocess.run(command, env=environment, cwd=self.directory, check=True, stdout=subprocess.PIPE)
            said = done.stdout.decode()

    def empty_bucket(self, name: str = BUCKET) -> None:
        """Delete all objects and unfinished uploads, free the disk, and wait until all writes are on disk.

        Every measured transfer begins here, so that none includes work of the one before.
        """
        asyncio.run(_delete_objects(replace(self.s3_config, bucket=name)))
        fetch(f"http://127.0.0.1:{(urlsplit(self.s3.endpoint_url).port or 0) + 1}/vol/vacuum?garbageThreshold=0.01")
        os.sync()


def count_calls(url: str) -> int:
    """Return the requests that the API has answered since its start, without health checks and scrapes."""
    text = (fetch(f"{url}/metrics") or b"").decode()
    rows = re.findall(r"^dropbox_http_requests_total\{(.*?)\} ([0-9.e+]+)$", text, re.MULTILINE)
    return int(sum(float(value) for labels, value in rows if "/v1/" in labels and "notifications" not in labels))


async def _delete_objects(config: S3Config) -> None:
    async with S3Store.open(config) as store:
        keys = [found.key async for found in store.list_objects("")]
        gate = asyncio.Semaphore(16)

        async def delete(key: str) -> None:
            async with gate:
                await store.delete(key)

        await asyncio.gather(*map(delete, keys))
        for upload in [upload async for upload in store.list_multiparts("")]:
            await store.abort_multipart(upload.key, upload.s3_upload_id)


@contextlib.contextmanager
def running_stack() -> Iterator[Stack]:
    directory = Path(tempfile.mkdtemp(prefix="dropbox-api-bench-"))
    directory.chmod(0o711)  # the embedded Postgres runs as another user when the bench runs as root
    try:
        postgres = EmbeddedPostgres(directory / "postgres")
        s3 = Store(directory / "s3")
        page_port = _find_free_port()
        with postgres, s3:
            asyncio.run(migrations.migrate(DatabaseSettings.model_validate({"url": postgres.url})))
            with _api(directory / "api", postgres, s3, f"http://localhost:{page_port}", {}) as api:
                yield Stack(directory, postgres, s3, api, page_port)
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def _find_free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


def _api(
    directory: Path, postgres: EmbeddedPostgres, s3: EmbeddedS3, page_origin: str, extra: Mapping[str, str]
) -> WebServer:
    environment = {
        "DROPBOX_MODE": "dev",
        "DROPBOX_LOG_LEVEL": "WARNING",
        "DROPBOX_AUTH__DEFAULT_QUOTA_BYTES": str(_QUOTA_BYTES),
        "DROPBOX_LIMITS__ADDRESS": "",  # all clients use one address and few users
        "DROPBOX_LIMITS__USER": "",
        "DROPBOX_DATABASE__URL": postgres.url,
        "DROPBOX_S3__ENDPOINT_URL": s3.endpoint_url,
        "DROPBOX_S3__BUCKET": BUCKET,
        "DROPBOX_S3__ACCESS_KEY_ID": s3.access_key_id,
        "DROPBOX_S3__SECRET_ACCESS_KEY": s3.secret_access_key,
        "DROPBOX_S3__CREATE_BUCKET": "true",
        "DROPBOX_HTTP__CORS_ORIGINS": json.dumps([page_origin]),
        **extra,
    }
    return WebServer(directory, ["-m", "dropbox_api", "serve"], environment, "/healthz")
