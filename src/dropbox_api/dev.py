"""`dropbox-api dev`: everything on one bare machine, in one process tree, with its data in one directory.

Postgres, SeaweedFS, API and worker are guarded children (see `storage.embedded`): whatever way this process ends, they
end too, and one that dies is started again. Data, ports and secrets are kept between runs.
"""

import contextlib
import json
import os
import secrets
import signal
import socket
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import ClassVar

import anyio

from dropbox_api import migrations
from dropbox_api.settings import DatabaseSettings
from dropbox_api.storage.embedded.guard import EmbeddedError, GuardedServer, choose_ports, fetch
from dropbox_api.storage.embedded.postgres import EmbeddedPostgres
from dropbox_api.storage.embedded.seaweedfs import EmbeddedS3, StoreWebhook

WATCH_INTERVAL_S = 0.5
DEFAULT_PORT = 8000
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

    def _is_ours(self, command_line: list[str]) -> bool:  # noqa: ARG002 - nothing of ours runs under those names
        return False

    def _is_ready(self) -> bool:
        return True


class _Api(_Process):
    def __init__(self, data_dir: Path, environment: Mapping[str, str], url: str) -> None:
        super().__init__(data_dir, "serve", environment)
        self.url = url

    def _is_ready(self) -> bool:
        return fetch(f"{self.url}/healthz") is not None


def _secrets(path: Path) -> dict[str, str]:
    """Return this directory's own secrets, each made when it is first needed."""
    kept: dict[str, str] = json.loads(path.read_text()) if path.exists() else {}
    found = {name: secrets.token_urlsafe(48) for name in _SECRETS} | kept
    if found != kept:
        new = path.with_suffix(".new")
        new.touch(mode=0o600)
        new.write_text(json.dumps(found))
        new.rename(path)
    return found


def run(data_dir: Path, *, port: int | None = None) -> None:
    """Start everything, print where it is, and keep it running until Ctrl-C or SIGTERM.

    Raises EmbeddedError when a server does not come up, with the end of its log.
    """
    stopping = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stopping.set())
    data_dir.mkdir(parents=True, exist_ok=True)
    own = _secrets(data_dir / "secrets.json")
    api_port = choose_ports(data_dir / "port", port or DEFAULT_PORT, (0,))
    url = f"http://127.0.0.1:{api_port}"
    postgres = EmbeddedPostgres(data_dir / "postgres")
    s3 = EmbeddedS3(
        data_dir / "s3",
        access_key_id="dropbox",
        secret_access_key=own["s3_secret_access_key"],
        webhook=StoreWebhook(f"{url}/v1/notifications/store", own["notifications_token"]),
    )
    _say("starting Postgres and SeaweedFS ...")
    with contextlib.ExitStack() as servers_below:
        with socket.create_server(("127.0.0.1", api_port)):  # so that none of them chooses the API's port
            servers_below.enter_context(postgres)
            servers_below.enter_context(s3)
        anyio.run(migrations.migrate, DatabaseSettings.model_validate({"url": postgres.url}))
        environment = {
            "DROPBOX_MODE": "dev",
            "DROPBOX_AUTH__SECRET": own["auth_secret"],
            "DROPBOX_DATABASE__URL": postgres.url,
            "DROPBOX_S3__ENDPOINT_URL": s3.endpoint_url,
            "DROPBOX_S3__ACCESS_KEY_ID": s3.access_key_id,
            "DROPBOX_S3__SECRET_ACCESS_KEY": s3.secret_access_key,
            "DROPBOX_S3__SSE": "AES256",
            "DROPBOX_S3__CREATE_BUCKET": "true",
            "DROPBOX_NOTIFICATIONS__TOKEN": own["notifications_token"],
            "DROPBOX_HOOKS__ALLOW_HTTP": "true",  # receivers that one writes run on this machine
            "DROPBOX_HOOKS__ALLOWED_NETWORKS": '["127.0.0.0/8", "::1/128"]',
            "DROPBOX_HTTP__PORT": str(api_port),
            "DROPBOX_MAIL__FILE_DIR": str(data_dir / "mail"),
            "DROPBOX_HTTP__CORS_ORIGINS": json.dumps([url, "http://localhost:5173"]),
        }
        environment_file = data_dir / "env"
        environment_file.touch(mode=0o600)
        environment_file.write_text("".join(f"export {name}='{value}'\n" for name, value in environment.items()))
        with (
            _Api(data_dir / "api", environment, url) as api,
            _Process(data_dir / "worker", "worker", environment) as worker,
        ):
            _greet(url, data_dir)
            servers: tuple[GuardedServer, ...] = (postgres, s3, api, worker)
            while not stopping.wait(WATCH_INTERVAL_S):
                for server in servers:
                    if server.process is None or server.process.poll() is not None:
                        _say(f"{server.log_path.stem} ended and is started again (see {server.log_path})")
                        _revive(server)
            _say("stopping ...")


def _revive(server: GuardedServer) -> None:
    """Start a server that died; one that needs another that is down as well is tried again at the next round."""
    try:
        server.start()
    except EmbeddedError as error:
        _say(str(error))


def _greet(url: str, data_dir: Path) -> None:
    _say(
        f"""
dropbox-api runs at  {url}
API description      {url}/docs
data, logs, settings {data_dir}
mails to you         {data_dir / "mail"}

Try next, in a second terminal:
  . .venv/bin/activate
  dbx login --server {url} --register
  dbx upload README.md
  dbx ls

Ctrl-C stops everything; your files stay."""
    )


def _say(message: str) -> None:
    print(message, flush=True)  # noqa: T201 - a person is looking
