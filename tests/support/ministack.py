"""ministack, a substitute for AWS: the only store in the tests that lists the hashes of parts (level A).

It pins an older botocore than the server, so it has its own environment under `.peers`, made at first use and kept.
Its data is in memory.
"""

import fcntl
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from dropbox_api.storage.embedded.guard import EmbeddedError, GuardedServer, choose_ports, fetch
from dropbox_api.storage.s3 import S3Config

VERSION = "1.5.33"
_HOME = Path(__file__).parents[2] / ".peers" / "ministack"


class Ministack(GuardedServer):
    """`checks_signatures=False` gives a store that accepts unsigned writes; a server must refuse to use it."""

    name = "ministack"
    stop_signal = signal.SIGTERM
    access_key_id = "test"
    secret_access_key = "test"

    def __init__(self, data_dir: Path, *, checks_signatures: bool = True) -> None:
        super().__init__(data_dir)
        self._checks_signatures = checks_signatures
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

    def _command(self) -> tuple[Sequence[str], Mapping[str, str], Path]:
        program = _installed()
        self._port = choose_ports(self.data_dir / "port", None, [0])
        environment = {
            "PATH": os.defpath,
            "HOME": str(self.data_dir),
            "AUTH": "true" if self._checks_signatures else "false",
            "GATEWAY_PORT": str(self._port),
            "BIND_HOST": "127.0.0.1",
            "MINISTACK_HOST": "127.0.0.1",
        }
        return [str(program)], environment, self.data_dir

    def _is_ready(self) -> bool:
        return fetch(f"{self.endpoint_url}/_ministack/health") is not None

    def _is_ours(self, command_line: list[str]) -> bool:  # noqa: ARG002
        return False  # its command line does not name the directory, and a stray process holds no data


def _installed() -> Path:
    """Return the program; install it at first use."""
    _HOME.mkdir(parents=True, exist_ok=True)
    program, complete = _HOME / "venv" / "bin" / "ministack", _HOME / f"complete-{VERSION}"
    with (_HOME / "lock").open("w") as lock:  # another test run may be installing it right now
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not complete.exists():
            for command in (
                [sys.executable, "-m", "venv", "--clear", str(_HOME / "venv")],
                [str(_HOME / "venv/bin/python"), "-m", "pip", "install", "-q", f"ministack=={VERSION}"],
            ):
                done = subprocess.run(command, capture_output=True, text=True, check=False)
                if done.returncode != 0:
                    raise EmbeddedError(f"ministack cannot be installed:\n{done.stdout}{done.stderr}")
            complete.touch()
    return program
