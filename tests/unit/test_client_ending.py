"""Signals that end us are heard, also where the interpreter would lose them."""

import signal
import subprocess
import sys

import pytest

from dropbox_client.running import Ending

SWALLOWED = """
import os, signal, time
from dropbox_client.running import Ending

class Dying:
    def __del__(self):
        os.kill(os.getpid(), signal.{name})

with Ending():
    Dying()
    time.sleep(90)
"""


@pytest.mark.parametrize(("name", "code"), [("SIGINT", 130), ("SIGTERM", 143)])
def test_a_signal_that_came_in_a_destructor_ends_us(name: str, code: int) -> None:
    """Sockets and files have destructors: this is where one in some thousands comes."""
    done = subprocess.run([sys.executable, "-c", SWALLOWED.format(name=name)], check=False, timeout=60, stderr=-1)
    assert done.returncode == code
    assert b"Exception ignored" in done.stderr  # else this is a test of nothing


def test_afterwards_signals_are_heard_as_before() -> None:
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGALRM)
    before = [signal.getsignal(number) for number in numbers]
    with Ending():
        assert signal.getsignal(signal.SIGALRM) != before[-1]
    assert [signal.getsignal(number) for number in numbers] == before
    assert signal.getitimer(signal.ITIMER_REAL) == (0, 0)
