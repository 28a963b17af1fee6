"""Servers that some tests run for real: CI installs them from Debian; without one, its tests are left out."""

import contextlib
import os
import shutil
import socket
import subprocess
import time

import pytest

START_S = 60


def program(*names: str) -> str:
    """Return the path of the first of these programs that is there; without any, skip the test."""
    path = f"{os.defpath}:/usr/sbin:/usr/local/sbin:/usr/local/bin:/opt/homebrew/bin"
    for name in names:
        if found := shutil.which(name, path=path):
            return found
    pytest.skip(f"needs {' or '.join(names)}, which Debian has")


def wait_until_open(process: "subprocess.Popen[bytes]", port: int) -> None:
    """Wait until the process takes connections at this port."""
    until = time.monotonic() + START_S
    while True:
        assert process.poll() is None, "it ended"
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        assert time.monotonic() < until, "it does not answer"
        time.sleep(0.05)
