"""Signals that end us are heard, also where the interpreter would lose them; and how commands that we run end."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import AbstractContextManager

import pytest

from dropbox_client.cli.events.child_process import CommandRunner
from dropbox_client.cli.signals import ExitOnSignal, interruptible

SWALLOWED = """
import os, signal, time
from dropbox_client.cli.signals import ExitOnSignal

class Dying:
    def __del__(self):
        os.kill(os.getpid(), signal.{name})

with ExitOnSignal():
    Dying()
    time.sleep(90)
"""


@pytest.mark.parametrize(("name", "code"), [("SIGINT", 130), ("SIGTERM", 143)])
def test_a_signal_that_came_in_a_destructor_ends_us(name: str, code: int) -> None:
    """Sockets and files have destructors: this is where one in some thousands comes."""
    done = subprocess.run([sys.executable, "-c", SWALLOWED.format(name=name)], check=False, timeout=60, stderr=-1)
    assert done.returncode == code
    assert b"Exception ignored" in done.stderr  # else this is a test of nothing


WAITING = """
import signal, sys, threading, time
from argparse import Namespace
from types import ModuleType
from dropbox_client import cli

def interrupt():
    time.sleep(0.2)
    signal.pthread_kill(threading.get_ident(), signal.SIGINT)

def wait(_):
    threading.Thread(target=interrupt).start()
    threading.Event().wait()

commands = ModuleType("commands")
commands.wait = wait
sys.modules["dropbox_client.cli.waiting"] = ModuleType("waiting")
sys.modules["dropbox_client.cli.waiting.commands"] = commands
sys.exit(cli._run(Namespace(run="waiting.wait")))
"""
"""The signal does not interrupt what the main thread waits for: as when it comes just before that."""


def test_a_ctrl_c_that_came_on_the_way_into_a_wait_ends_it() -> None:
    done = subprocess.run([sys.executable, "-c", WAITING], check=False, timeout=60, stderr=-1)
    assert done.returncode == 130
    assert b"interrupted" in done.stderr


@pytest.mark.parametrize("context", [ExitOnSignal, interruptible])
def test_afterwards_signals_are_heard_as_before(context: Callable[[], AbstractContextManager[object]]) -> None:
    """And the alarm of whoever is around us (here pytest-timeout) still comes."""
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGALRM)
    before = [signal.getsignal(number) for number in numbers]
    left_s, each_s = signal.getitimer(signal.ITIMER_REAL)
    with context():
        assert signal.getsignal(signal.SIGALRM) != before[-1]
    assert [signal.getsignal(number) for number in numbers] == before
    now_left_s, now_each_s = signal.getitimer(signal.ITIMER_REAL)
    assert now_each_s == each_s
    assert (now_left_s > 0) == (left_s > 0)


DAEMON = "import os, time; os.fork() or (os.setsid(), time.sleep(60))"


def test_a_command_ends_though_a_daemon_of_it_keeps_what_it_did_not_read() -> None:
    began_at = time.monotonic()
    with CommandRunner() as runner, runner.shielded():
        assert runner.run([sys.executable, "-c", DAEMON], os.environ, bytes(1 << 20)) == 0
    assert time.monotonic() - began_at < 30


def test_a_command_reads_all_that_it_is_told() -> None:
    read = "import sys; sys.exit(sys.stdin.buffer.read() != bytes(1 << 20))"
    with CommandRunner() as runner, runner.shielded():
        assert runner.run([sys.executable, "-c", read], os.environ, bytes(1 << 20)) == 0


def test_how_a_command_ended_is_known_also_where_nobody_wanted_to_know() -> None:
    """Whoever started us may ignore the end of children, and so would we."""
    before = signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    try:
        with CommandRunner() as runner, runner.shielded():
            assert runner.run([sys.executable, "-c", "raise SystemExit(7)"], os.environ, b"") == 7
        assert signal.getsignal(signal.SIGCHLD) == signal.SIG_IGN
    finally:
        signal.signal(signal.SIGCHLD, before)
