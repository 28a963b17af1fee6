"""Delivery of signals that the interpreter would lose, and the exit of child processes."""

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
def test_signal_in_a_destructor_ends_the_process(name: str, code: int) -> None:
    """Sockets and files have destructors: about one signal in some thousands arrives inside one."""
    done = subprocess.run([sys.executable, "-c", SWALLOWED.format(name=name)], check=False, timeout=60, stderr=-1)
    assert done.returncode == code
    assert b"Exception ignored" in done.stderr  # the signal arrived inside the destructor


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
"""The signal does not interrupt the wait of the main thread, as if it had arrived just before."""


WRITING = """
import signal, sys
from argparse import Namespace
from types import ModuleType
from dropbox_client import cli
from dropbox_client.cli import output

def write(_):
    ticks = []
    def tick(*_):
        ticks.append(1)
        if len(ticks) == 3:
            print("interrupted", file=sys.stderr, flush=True)
    signal.signal(signal.SIGALRM, tick)
    signal.setitimer(signal.ITIMER_REAL, 0.01, 0.01)
    sys.stdout.buffer.write(b"x" * 1_000_000)
    output.print_text("y" * 1_000_000)

commands = ModuleType("commands")
commands.write = write
sys.modules["dropbox_client.cli.writing"] = ModuleType("writing")
sys.modules["dropbox_client.cli.writing.commands"] = commands
cli.build_parser = lambda: type("Parser", (), {"parse_args": lambda *_: Namespace(run="writing.write")})()
cli.main([])
"""
"""The output blocks in a full pipe while signals arrive."""


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_output_interrupted_by_signals_is_complete(unbuffered: str) -> None:
    environment = os.environ | {"PYTHONUNBUFFERED": unbuffered}
    with subprocess.Popen([sys.executable, "-c", WRITING], env=environment, stdout=-1, stderr=-1) as process:
        assert process.stdout
        assert process.stderr
        assert process.stderr.readline() == b"interrupted\n"
        out = process.stdout.read()
        assert process.wait() == 0
    assert out == b"x" * 1_000_000 + b"y" * 1_000_000 + b"\n"


def test_ctrl_c_just_before_a_blocking_wait_ends_it() -> None:
    done = subprocess.run([sys.executable, "-c", WAITING], check=False, timeout=60, stderr=-1)
    assert done.returncode == 130
    assert b"interrupted" in done.stderr


@pytest.mark.parametrize("context", [ExitOnSignal, interruptible])
def test_signal_handlers_and_timers_are_restored(context: Callable[[], AbstractContextManager[object]]) -> None:
    """The timer of the surrounding code, here pytest-timeout, stays active."""
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


def test_command_ends_although_its_daemon_keeps_stdin_open() -> None:
    began_at = time.monotonic()
    with CommandRunner() as runner, runner.shielded():
        assert runner.run([sys.executable, "-c", DAEMON], os.environ, bytes(1 << 20)) == 0
    assert time.monotonic() - began_at < 30


def test_command_reads_its_whole_stdin() -> None:
    read = "import sys; sys.exit(sys.stdin.buffer.read() != bytes(1 << 20))"
    with CommandRunner() as runner, runner.shielded():
        assert runner.run([sys.executable, "-c", read], os.environ, bytes(1 << 20)) == 0


def test_exit_code_is_known_although_sigchld_is_ignored() -> None:
    """A process inherits an ignored SIGCHLD from its parent."""
    before = signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    try:
        with CommandRunner() as runner, runner.shielded():
            assert runner.run([sys.executable, "-c", "raise SystemExit(7)"], os.environ, b"") == 7
        assert signal.getsignal(signal.SIGCHLD) == signal.SIG_IGN
    finally:
        signal.signal(signal.SIGCHLD, before)
