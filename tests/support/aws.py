"""Simulations of AWS that run on this machine: what `moto` and `ministack` have in common."""

import signal
from pathlib import Path

from dropbox_api.storage.embedded.guard import GuardedServer
from dropbox_api.storage.s3 import S3Config


class AwsSimulation(GuardedServer):
    """S3, SNS and SQS on one port, with data in memory. Subclasses define the command and the readiness."""

    stop_signal = signal.SIGTERM
    access_key_id = "test"
    secret_access_key = "test"

    def __init__(self, data_dir: Path) -> None:
        super().__init__(data_dir)
        self._port = 0

    @property
    def endpoint_url(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    @property
    def s3_config(self) -> S3Config:
        return S3Config(
            bucket="dropbox",
            endpoint_url=self.endpoint_url,
            access_key_id=self.access_key_id,
            secret_access_key=self.secret_access_key,
        )

    def _is_ours(self, command_line: list[str]) -> bool:  # noqa: ARG002
        return False  # its command line does not name the directory, and a stray process holds no data
