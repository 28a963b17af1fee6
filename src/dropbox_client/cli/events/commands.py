"""Telling what happens, and running a command for it."""

import os
import shutil
import signal
import sys
import time
from argparse import Namespace
from collections.abc import Sequence
from contextlib import nullcontext
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import islice

from dropbox_client.api import Client
from dropbox_client.cli import output
from dropbox_client.cli.environment import connect
from dropbox_client.cli.events.child_process import Ending, Runner
from dropbox_client.cli.events.watched_tree import Watched
from dropbox_client.cli.remote import shown
from dropbox_client.errors import ClientError, CursorExpired, Usage
from dropbox_client.feed import LONG_WAIT_S, Insistence, Reader
from dropbox_client.models import Event

_LOOK_BACK = timedelta(hours=24)
_REMEMBERED = 10_000
_MOST_AT_ONCE = 10_000
"""Changes that one run of a command is for: more than that is not waited for."""


def _tell(error: ClientError | None) -> None:
    output.note(f"dbx: {error}; trying again" if error else "dbx: connected again")


# Telling


def events(options: Namespace) -> None:
    """Tell what happened, or happens now."""
    try:
        with connect() as client, Ending() if options.follow else nullcontext():
            _events(client, options)
    except CursorExpired as error:
        raise ClientError(f"{output.explain(error)}: begin with --since, and list what there is now") from error


def _reader(client: Client, options: Namespace, insist: Insistence) -> Reader:
    """Return a reader that begins where the options say."""
    if options.cursor or options.since:
        return Reader(client, options.cursor, since=options.since, insist=insist)
    if options.follow:
        return Reader(client, insist(client.event_cursor), insist=insist)
    return Reader(client, since=datetime.now(UTC) - _LOOK_BACK, insist=insist)


def _events(client: Client, options: Namespace) -> None:
    insist = Insistence(client, _tell)
    reader = _reader(client, options, insist)
    with Watched() as watched:
        if options.path:
            insist(lambda: watched.begin(client, options.path, with_trash=True))
        places = _Places(client)

        def tell(found: Event) -> None:
            event, before = found, None
            if options.path:
                concerning = insist(partial(watched.concerning, client, found))
                if concerning is None:
                    return
                event, before = concerning, watched.before(concerning)
                insist(partial(watched.apply, client, event))
            if options.kinds and event.kind not in options.kinds:
                return
            if options.json:
                output.record(event)
            else:
                output.event(event, before or insist(lambda: places.before(event)))

        while options.follow or reader.has_more:
            found = reader.read(LONG_WAIT_S if options.follow else 0)
            watched.turn_page()
            places.turn_page()
            for event in found:
                tell(event)
            sys.stdout.flush()


class _Places:
    """Where things were that are gone, for people: those told of lately, and what is in the trash."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._known: dict[str, str] = {}
        self._is_trash_read = False

    def turn_page(self) -> None:
        """Say that there are newer events: what they tell of may be in the trash since."""
        self._is_trash_read = False

    def before(self, event: Event) -> str | None:
        """Return where it was before, if that can be found out."""
        before = self._known.pop(event.file_id, None)
        if before is None and event.kind == "file.trashed" and not self._is_trash_read:
            for file in islice(self._client.list_trash(), _REMEMBERED):
                self._known.setdefault(file.id, file.path)
            self._is_trash_read = True
            before = self._known.get(event.file_id)
        place = shown(event.file) if event.file else before
        if place:
            self._known[event.file_id] = place
        while len(self._known) > _REMEMBERED:
            del self._known[next(iter(self._known))]
        return before


# Running a command


def watch(options: Namespace) -> int:
    """Run a command for every change."""
    if not shutil.which(options.command[0]):
        raise Usage(f"there is no command {options.command[0]}")
    try:
        with connect() as client, Watched(options.state) as watched, Runner() as runner:
            return _Watch(client, watched, runner, options).run()
    except CursorExpired as error:
        gone = f"; remove {options.state} to begin anew with what there is now" if options.state else ""
        raise ClientError(f"{output.explain(error)}: what changed meanwhile cannot be told{gone}") from error


class _Watch:
    """One `dbx watch`."""

    def __init__(self, client: Client, watched: Watched, runner: Runner, options: Namespace) -> None:
        self._client = client
        self._watched = watched
        self._runner = runner
        self._options = options
        self._insist = Insistence(client, _tell)

    def run(self) -> int:
        """Go on for ever, or for as long as the options say; return 1 if it ends because the command failed."""
        now = self._insist(self._client.event_cursor)
        kept = self._insist(lambda: self._watched.begin(self._client, self._options.path, cursor=now))
        output.note(f"watching {self._options.path} with {self._watched.size} files and folders; Ctrl-C ends it")
        reader = Reader(self._client, kept or now, insist=self._insist)
        while True:
            found = self._read(reader, LONG_WAIT_S)
            if self._options.coalesce and found:
                self._collect(reader, found)
                runs = [found]
            else:
                runs = [[one] for one in found]
            for run in runs:
                is_last = run is runs[-1]
                failed = self._run(run, reader.cursor if is_last else None)
                if failed is not None and (self._options.once or (failed and self._options.exit_on_error)):
                    return int(failed)
            if not runs and reader.cursor:
                self._watched.settle_all(reader.cursor)

    def _collect(self, reader: Reader, found: list[Event]) -> None:
        """Add what happens in the time for which changes are to be collected."""
        until = time.monotonic() + self._options.coalesce
        while (left_s := until - time.monotonic()) > 0 and len(found) < _MOST_AT_ONCE:
            found += self._read(reader, min(left_s, LONG_WAIT_S))

    def _run(self, found: Sequence[Event], cursor: str | None) -> bool | None:
        """Run the command for events, and keep that they were dealt with; None if none of them is of interest.

        `cursor` goes on after them, where they end a page. Returns whether the command failed.
        """
        wanted: list[tuple[Event, str | None]] = []
        for event in found:
            if concerning := self._insist(partial(self._watched.concerning, self._client, event)):
                before = self._watched.before(concerning)
                self._insist(partial(self._watched.apply, self._client, concerning))
                if not self._options.kinds or concerning.kind in self._options.kinds:
                    wanted.append((concerning, before))
        if wanted:
            self._watched.begin_with(wanted)
        with self._runner.shielded():
            failed = self._failed(wanted) if wanted else None
            if failed and (self._runner.is_ending or self._options.once or self._options.exit_on_error):
                return True  # it was not dealt with, and comes again
            if cursor:
                self._watched.settle_all(cursor)
            elif wanted:
                self._watched.settle(found[-1])
        return failed

    def _failed(self, wanted: Sequence[tuple[Event, str | None]]) -> bool:
        """Run the command; say so if it fails."""
        command, (event, before) = self._options.command, wanted[-1]
        place = shown(event.file) if event.file else ""
        environment = {name: text for name, text in os.environ.items() if name != "DBX_OLD_PATH"} | {
            "DBX_EVENT": event.id,
            "DBX_KIND": event.kind,
            "DBX_FILE_ID": event.file_id,
            "DBX_PATH": place,
            "DBX_COUNT": str(len(wanted)),
            **({"DBX_OLD_PATH": before} if before and before != place else {}),
        }
        lines = "".join(f"{output.line(one, old_path=old)}\n" for one, old in wanted)
        try:
            code = self._runner.run(command, environment, lines.encode())
        except (OSError, ValueError) as error:  # or what it is told cannot be said in the locale's encoding
            ended = f"cannot be run: {error}"
        else:
            if code == 0:
                return False
            names = {number.value: number.name for number in signal.Signals}
            ended = f"ended with {code}" if code > 0 else f"was ended by {names.get(-code, f'signal {-code}')}"
        if not self._runner.is_ending:
            output.complain(f"{command[0]} {ended}, for {event.kind} {place or before or event.file_id}")
        return True

    def _read(self, reader: Reader, wait_s: float) -> list[Event]:
        """Return the next events of the place that were not dealt with."""
        found = reader.read(wait_s)
        self._watched.turn_page()
        return [event for event in found if not self._watched.is_settled(event)]
