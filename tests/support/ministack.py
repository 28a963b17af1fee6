"""ministack, a substitute for AWS: the only store in the tests that lists the hashes of parts (level A).

It pins an older botocore than the server, so it has its own environment under `.peers`, made at first use and kept.
"""

import fcntl
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from dropbox_api.storage.embedded.guard import EmbeddedError, choose_ports, fetch
from tests.support.aws import AwsSimulation

VERSION = "1.5.33"
_HOME = Path(__file__).parents[2] / ".peers" / "ministack"


class Ministack(AwsSimulation):
    """`checks_signatures=False` gives a store that accepts unsigned writes; a server must refuse to use it."""

    name = "ministack"

    def __init__(self, data_dir: Path, *, checks_signatures: bool = True) -> None:
        super().__init__(data_dir)
        self._checks_signatures = checks_signatures

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
