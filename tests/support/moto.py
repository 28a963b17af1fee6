"""moto's server, a simulation of AWS that many projects test with."""

import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from dropbox_api.storage.embedded.guard import choose_ports, fetch
from tests.support.aws import AwsSimulation


class Moto(AwsSimulation):
    name = "moto"

    def _command(self) -> tuple[Sequence[str], Mapping[str, str], Path]:
        self._port = choose_ports(self.data_dir / "port", None, [0])
        command = [sys.executable, "-m", "moto.server", "--host", "127.0.0.1", "--port", str(self._port)]
        return command, {"PATH": os.defpath, "HOME": str(self.data_dir)}, self.data_dir

    def _is_ready(self) -> bool:
        return fetch(f"{self.endpoint_url}/moto-api/data.json") is not None
