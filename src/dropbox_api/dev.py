"""`dropbox-api dev`: all servers on one machine, in one process tree, with their data in one directory.

Postgres, SeaweedFS, API and worker are guarded children (see `storage.embedded.guard`): they end with this process,
however it ends, and a child that dies is started again. Data, ports and secrets stay between runs.
"""

import contextlib
import json
import os
import secrets
import shutil
import signal
import socket
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import ClassVar

import anyio

from dropbox_api import migrations
from dropbox_api.settings import AuthSettings, DatabaseSettings
from dropbox_api.storage.embedded.guard import EmbeddedError, GuardedServer, choose_ports, fetch
from dropbox_api.storage.embedded.postgres import EmbeddedPostgres
from dropbox_api.storage.embedded.seaweedfs import EmbeddedS3, StoreWebhook

WATCH_INTERVAL_S = 0.5
DEFAULT_PORT = 8000
_QUOTA = "DROPBOX_AUTH__DEFAULT_QUOTA_BYTES"
_PUBLIC_URL = "DROPBOX_HTTP__PUBLIC_URL"
_CORS_ORIGINS = "DROPBOX_HTTP__CORS_ORIGINS"
VITE_PORT = 5173
"""Port of the development server of web apps: its pages call the API from another origin."""
_RESERVE = 0.05
"""The share of the disk that quotas leave: SeaweedFS writes no longer into the last 1 to 3 %, and Postgres grows."""
_SECRETS = ("auth_secret", "s3_secret_access_key", "notifications_token")


class _Process(GuardedServer):
    """`dropbox-api COMMAND` as a guarded child."""

    stop_signal: ClassVar[signal.Signals] = signal.SIGTERM

    def __init__(self, data_dir: Path, command: str, environment: Mapping[str, str]) -> None:
        super().__init__(data_dir)
        self.command = command
        self.environment = environment

    name = "process"

    @property
    def log_path(self) -> Path:
        return self.data_dir / f"{self.command}.log"

    def _command(self) -> tuple[Sequence[str], Mapping[str, str], Path]:
        return [sys.executable, "-m", "dropbox_api", self.command], os.environ | self.environment, Path.cwd()

    def _is_ours(self, command_line: list[str]) -> bool:  # noqa: ARG002 - no Postgres or SeaweedFS is ours
        return False

    def _is_ready(self) -> bool:
        return True


class _Api(_Process):
    def __init__(self, data_dir: Path, environment: Mapping[str, str], url: str) -> None:
        super().__init__(data_dir, "serve", environment)
        self.url = url

    def _is_ready(self) -> bool:
        return fetch(f"{self.url}/healthz") is not None


def _read_secrets(path: Path) -> dict[str, str]:
    """Return the secrets of this directory; create the missing ones."""
    stored: dict[str, str] = json.loads(path.read_text()) if path.exists() else {}
    complete = {name: secrets.token_urlsafe(48) for name in _SECRETS} | stored
    if complete != stored:
        new = path.with_suffix(".new")
        new.touch(mode=0o600)
        new.write_text(json.dumps(complete))
        new.rename(path)
    return complete


def run(data_dir: Path, *, port: int | None = None) -> None:
    """Start all servers, print their addresses, and keep them running until Ctrl-C or SIGTERM.

    Raises EmbeddedError when a server does not start, with the end of its log.
    """
    # A handler may interrupt the wait for the queue: unlike an Event, this queue has no lock that both would need.
    signals: SimpleQueue[int] = SimpleQueue()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda number, _: signals.put(number))
    data_dir.mkdir(parents=True, exist_ok=True)
    own_secrets = _read_secrets(data_dir / "secrets.json")
    quota_bytes = int(os.environ.get(_QUOTA) or choose_quota(data_dir))
    api_port = choose_ports(data_dir / "port", port or DEFAULT_PORT, (0,))
    url = f"http://127.0.0.1:{api_port}"
    postgres = EmbeddedPostgres(data_dir / "postgres")
    s3 = EmbeddedS3(
        data_dir / "s3",
        access_key_id="dropbox",
        secret_access_key=own_secrets["s3_secret_access_key"],
        webhook=StoreWebhook(f"{url}/v1/notifications/store", own_secrets["notifications_token"]),
    )
    _say("starting Postgres and SeaweedFS ...")
    with contextlib.ExitStack() as stack:
        with socket.create_server(("127.0.0.1", api_port)):  # keeps both from choosing the API's port
            stack.enter_context(postgres)
            stack.enter_context(s3)
        anyio.run(migrations.migrate, DatabaseSettings.model_validate({"url": postgres.url}))
        environment = _make_environment(postgres, s3, own_secrets, api_port, data_dir) | {_QUOTA: str(quota_bytes)}
        _write_environment(data_dir / "env", environment)
        api = stack.enter_context(_Api(data_dir / "api", environment, url))
        worker = stack.enter_context(_Process(data_dir / "worker", "worker", environment))
        _greet(environment[_PUBLIC_URL], data_dir, quota_bytes)
        _keep_running((postgres, s3, api, worker), signals)
        _say("stopping ...")


def choose_quota(data_dir: Path) -> int:
    """Return the default quota: the usual one, or less where the disk has less room for the files of this directory."""
    disk = shutil.disk_usage(data_dir)
    stored_bytes = sum(file.stat().st_size for file in (data_dir / "s3" / "data").glob("*.dat"))
    room_bytes = disk.free + stored_bytes - int(disk.total * _RESERVE)
    return max(0, min(room_bytes, AuthSettings().default_quota_bytes))


def _make_environment(
    postgres: EmbeddedPostgres, s3: EmbeddedS3, own_secrets: Mapping[str, str], api_port: int, data_dir: Path
) -> dict[str, str]:
    """Return the settings of API and worker."""
    return {
        "DROPBOX_MODE": "dev",
        "DROPBOX_AUTH__SECRET": own_secrets["auth_secret"],
        "DROPBOX_DATABASE__URL": postgres.url,
        "DROPBOX_S3__ENDPOINT_URL": s3.endpoint_url,
        "DROPBOX_S3__ACCESS_KEY_ID": s3.access_key_id,
        "DROPBOX_S3__SECRET_ACCESS_KEY": s3.secret_access_key,
        "DROPBOX_S3__SSE": "AES256",
        "DROPBOX_S3__CREATE_BUCKET": "true",
        "DROPBOX_S3__DATA_DIR": str(s3.data_dir),
        "DROPBOX_NOTIFICATIONS__TOKEN": own_secrets["notifications_token"],
        "DROPBOX_HOOKS__ALLOW_HTTP": "true",  # webhook receivers under development run on this machine
        "DROPBOX_HOOKS__ALLOWED_NETWORKS": '["127.0.0.0/8", "::1/128"]',
        "DROPBOX_HTTP__PORT": str(api_port),
        "DROPBOX_MAIL__FILE_DIR": str(data_dir / "mail"),
        _PUBLIC_URL: os.environ.get(_PUBLIC_URL) or f"http://localhost:{api_port}",
        _CORS_ORIGINS: json.dumps(
            [f"http://{host}:{each}" for host in ("localhost", "127.0.0.1") for each in (api_port, VITE_PORT)]
            + json.loads(os.environ.get(_CORS_ORIGINS) or "[]")
        ),
    }


def _write_environment(path: Path, environment: Mapping[str, str]) -> None:
    path.touch(mode=0o600)
    path.write_text("".join(f"export {name}='{value}'\n" for name, value in environment.items()))


def _keep_running(servers: Sequence[GuardedServer], signals: "SimpleQueue[int]") -> None:
    """Restart servers that end, until a signal arrives."""
    while True:
        with contextlib.suppress(Empty):
            signals.get(timeout=WATCH_INTERVAL_S)
            return
        for server in servers:
            if server.process is None or server.process.poll() is not None:
                _say(f"{server.log_path.stem} ended and is started again (see {server.log_path})")
                _restart(server)


def _restart(server: GuardedServer) -> None:
    """Start a server that ended; after a failure, such as another server being down, the next round tries again."""
    try:
        server.start()
    except EmbeddedError as error:
        _say(str(error))


def _greet(url: str, data_dir: Path, quota_bytes: int) -> None:
    _say(
        f"""
dropbox-api runs at  {url}
API description      {url}/docs
data, logs, settings {data_dir}
mails to you         {data_dir / "mail"}
quota of an account  {quota_bytes / 1024**3:.1f} GiB

Open the address in a browser, or try in a second terminal:
  . .venv/bin/activate
  dbx login --server {url} --register
  dbx upload README.md
  dbx ls

Ctrl-C stops everything; your files stay."""
    )


def _say(message: str) -> None:
    print(message, flush=True)  # noqa: T201 - output of the command
