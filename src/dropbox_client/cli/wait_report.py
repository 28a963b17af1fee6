"""What `dbx` says while it waits: one line on stderr after 5 s without progress, then one every 30 s.

With --json, commands that print records of several kinds also print one on stdout.
"""

import contextlib
import json
import sys
import threading
import time
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from dropbox_client.cli import output
from dropbox_client.cli.arguments import Format
from dropbox_client.errors import ApiError
from dropbox_client.waits import Wait, Waits

if TYPE_CHECKING:
    from dropbox_client.client import Client

FIRST_S, EVERY_S = 5.0, 30.0
POLL_S = 1.0


def start_wait_report(client: "Client", output_format: Format) -> None:
    """Report the waits of a client in a thread until it is closed."""
    report = WaitReport(client.exchange.waits, output_format)

    def poll() -> None:
        while not client.stopping.wait(POLL_S):
            with contextlib.suppress(OSError, ValueError):  # stderr is closed
                report.check()

    threading.Thread(target=poll, daemon=True, name="waits").start()


class WaitReport:
    """Decides when to print a wait."""

    def __init__(self, waits: Waits, output_format: Format) -> None:
        self._waits = waits
        self._format = output_format
        self._printed_at = float("-inf")

    def check(self) -> None:
        """Print the longest wait if it is due."""
        wait, now = self._waits.find_longest(), self._waits.clock()
        if wait is None or not is_long(wait, now):
            return
        if wait.since > self._printed_at or now - self._printed_at >= EVERY_S:
            self._printed_at = now
            _print_wait(wait)
            if self._format is Format.JSON:
                _print_record(wait)


def is_long(wait: Wait, now: float) -> bool:
    """Return whether a wait is worth a line."""
    return now - wait.since >= FIRST_S


def describe_reason(wait: Wait) -> str:
    return wait.reason if isinstance(wait.reason, str) else output.describe_error(wait.reason)


def _print_wait(wait: Wait) -> None:
    end = _convert(wait.until)
    until = f", until {end:%H:%M:%S} at most" if end else ""
    output.print_error(f"waiting since {_convert(wait.since):%H:%M:%S}{until}: {describe_reason(wait)}")


def _print_record(wait: Wait) -> None:
    begin, end = _convert(wait.since), _convert(wait.until)
    code = wait.reason.code if isinstance(wait.reason, ApiError) else None
    record = {
        "reason": describe_reason(wait),
        "code": code,
        "since": begin and begin.isoformat(timespec="seconds"),
        "until": end and end.isoformat(timespec="seconds"),
    }
    output.print_text(json.dumps({"waiting": record}))
    sys.stdout.flush()


def _convert(moment: float) -> datetime | None:
    """Return the local time of a moment of the monotonic clock; None if it is never."""
    if moment == float("inf"):
        return None
    return datetime.now().astimezone() + timedelta(seconds=moment - time.monotonic())
