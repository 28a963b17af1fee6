"""Programs from Debian that some tests run; tests of a missing program are skipped, and fail under CI."""

import contextlib
import os
import shutil
import socket
import subprocess
import time

import pytest

START_S = 60


def require_program(*names: str) -> str:
    """Return the path of the first installed program of these; skip the test if none is installed, or fail in CI."""
    path = f"{os.defpath}:/usr/sbin:/usr/local/sbin:/usr/local/bin:/opt/homebrew/bin"
    for name in names:
        if found := shutil.which(name, path=path):
            return found
    reason = f"needs {' or '.join(names)}, a Debian package"
    if os.environ.get("CI") in {"1", "true"}:
        pytest.fail(reason)
    pytest.skip(reason)


def wait_until_open(process: "subprocess.Popen[bytes]", port: int) -> None:
    """Wait until the process accepts connections at this port."""
    until = time.monotonic() + START_S
    while True:
        assert process.poll() is None, "the process ended"
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        assert time.monotonic() < until, "the process accepts no connections"
        time.sleep(0.05)
