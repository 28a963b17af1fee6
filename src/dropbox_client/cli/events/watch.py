"""The loop of `dbx watch`: read events, run the command, record the position."""

import os
import signal
import time
from argparse import Namespace
from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

from dropbox_client.cli import output
from dropbox_client.cli.events.child_process import CommandRunner
from dropbox_client.cli.events.watched_tree import WatchedTree
from dropbox_client.cli.remote import format_path
from dropbox_client.client import Client
from dropbox_client.errors import ClientError
from dropbox_client.feed import LONG_WAIT_S, EventReader, Reconnector
from dropbox_client.models import Event

_MAX_EVENTS_PER_RUN = 10_000
"""`--coalesce` stops collecting at this number."""


def print_connection_change(error: ClientError | None) -> None:
    output.print_error(f"{error}; retrying" if error else "connected again")


class _Change(NamedTuple):
    event: Event
    old_path: str | None


class Watch:
    """One run of `dbx watch`."""

    def __init__(self, client: Client, tree: WatchedTree, runner: CommandRunner, options: Namespace) -> None:
        self._client = client
        self._tree = tree
        self._runner = runner
        self._options = options
        self._reconnector = Reconnector(client, print_connection_change)

    def run(self) -> int:
        """Watch until the options end it; return 1 if that is because the command failed, else 0."""
        now = self._reconnector.call(self._client.events.get_cursor)
        stored = self._reconnector.call(lambda: self._tree.open(self._client, self._options.path, cursor=now))
        output.print_note(f"watching {self._options.path} ({self._tree.size} files and folders); Ctrl-C ends it")
        reader = EventReader(self._client, stored or now, reconnector=self._reconnector)
        while True:
            events = self._read(reader, LONG_WAIT_S)
            if self._options.coalesce and events:
                self._collect(reader, events)
                runs = [events]
            else:
                runs = [[event] for event in events]
            for run in runs:
                is_last = run is runs[-1]
                failed = self._process(run, reader.cursor if is_last else None)
                if failed is not None and (self._options.once or (failed and self._options.exit_on_error)):
                    return int(failed)
            if not runs and reader.cursor:
                self._tree.settle_all(reader.cursor)

    def _read(self, reader: EventReader, wait_s: float) -> list[Event]:
        """Return the next events that are not settled."""
        events = reader.read(wait_s)
        self._tree.start_page()
        return [event for event in events if not self._tree.is_settled(event)]

    def _collect(self, reader: EventReader, events: list[Event]) -> None:
        """Add the events of the next `--coalesce` seconds."""
        end = time.monotonic() + self._options.coalesce
        while (left_s := end - time.monotonic()) > 0 and len(events) < _MAX_EVENTS_PER_RUN:
            events += self._read(reader, min(left_s, LONG_WAIT_S))

    def _process(self, events: Sequence[Event], cursor: str | None) -> bool | None:
        """Run the command for events and settle them.

        `cursor` is the position after them if they end a page. Returns whether the command failed, None if no event is
        of interest.
        """
        changes: list[_Change] = []
        for event in events:
            if concerning := self._reconnector.call(partial(self._tree.find_concerning, self._client, event)):
                old_path = self._tree.find_path_before(concerning)
                self._reconnector.call(partial(self._tree.apply, self._client, concerning))
                if not self._options.kinds or concerning.kind in self._options.kinds:
                    changes.append(_Change(concerning, old_path))
        if changes:
            self._tree.record_begun(changes)
        with self._runner.shielded():
            failed = self._run_command(changes) if changes else None
            if failed and (self._runner.is_ending or self._options.once or self._options.exit_on_error):
                return True  # not settled: these events are processed again
            if cursor:
                self._tree.settle_all(cursor)
            elif changes:
                self._tree.settle(events[-1])
        return failed

    def _run_command(self, changes: Sequence[_Change]) -> bool:
        """Run the command; report and return whether it failed."""
        command, (event, old_path) = self._options.command, changes[-1]
        path = format_path(event.file) if event.file else ""
        lines = "".join(f"{output.to_json(one, old_path=old)}\n" for one, old in changes)
        try:
            code = self._runner.run(command, _build_environment(changes[-1], len(changes)), lines.encode())
        except (OSError, ValueError) as error:  # ValueError: a value has no representation in the locale's encoding
            failure = f"cannot be run: {error}"
        else:
            if code == 0:
                return False
            names = {number.value: number.name for number in signal.Signals}
            failure = f"exited with {code}" if code > 0 else f"was killed by {names.get(-code, f'signal {-code}')}"
        if not self._runner.is_ending:
            output.print_error(f"{command[0]} {failure}, for {event.kind} {path or old_path or event.file_id}")
        return True


def _build_environment(change: _Change, count: int) -> dict[str, str]:
    event, old_path = change
    path = format_path(event.file) if event.file else ""
    environment = {name: text for name, text in os.environ.items() if name != "DBX_OLD_PATH"}
    environment |= {
        "DBX_EVENT": event.id,
        "DBX_KIND": event.kind,
        "DBX_FILE_ID": event.file_id,
        "DBX_PATH": path,
        "DBX_COUNT": str(count),
    }
    if old_path and old_path != path:
        environment["DBX_OLD_PATH"] = old_path
    return environment
