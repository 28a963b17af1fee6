"""events, activity, watch."""

import shutil
import sys
from argparse import Namespace
from collections.abc import Callable
from contextlib import nullcontext
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import islice
from typing import TypeVar

from dropbox_client.cli import output
from dropbox_client.cli.arguments import ID, Format
from dropbox_client.cli.environment import connect
from dropbox_client.cli.events.child_process import CommandRunner
from dropbox_client.cli.events.watch import Watch, print_connection_change
from dropbox_client.cli.events.watched_tree import WatchedTree
from dropbox_client.cli.remote import format_path
from dropbox_client.cli.signals import ExitOnSignal
from dropbox_client.client import Client
from dropbox_client.errors import ClientError, Usage
from dropbox_client.feed import LONG_WAIT_S, EventReader, Reconnector
from dropbox_client.models import Event, EventActor
from dropbox_client.problems import CursorExpired

_DEFAULT_SINCE = timedelta(hours=24)
_MAX_PATHS = 10_000
_MAX_PER_PAGE = 1000
_LABELS = {
    "file.created": "added",
    "file.updated": "changed",
    "file.renamed": "renamed",
    "file.moved": "moved",
    "file.trashed": "trashed",
    "file.restored": "restored",
    "file.deleted": "deleted",
    "file.verified": "verified",
    "file.quarantined": "quarantined",
    "file.damaged": "damaged",
    "file.repaired": "repaired",
    "file.processing": "processing",
    "share.granted": "shared",
    "share.changed": "role changed",
    "share.revoked": "unshared",
}

T = TypeVar("T")


# events


def events(options: Namespace) -> None:
    """List or follow events."""
    try:
        with connect(options.format) as client, ExitOnSignal() if options.follow else nullcontext():
            _EventList(client, options).run()
    except CursorExpired as error:
        raise ClientError(f"{output.describe_error(error)}: use --since, and list the current files") from error


class _EventList:
    """One run of `dbx events`."""

    def __init__(self, client: Client, options: Namespace) -> None:
        self._client = client
        self._options = options
        self._reconnector = Reconnector(client, print_connection_change)
        self._paths = _LastPaths(client)

    def run(self) -> None:
        reader = self._open_reader()
        path, wait_s = self._options.path, LONG_WAIT_S if self._options.follow else 0
        with WatchedTree() as tree:
            if path:
                self._call(lambda: tree.open(self._client, path))
                self._call(lambda: tree.add_trash(self._client))
            while self._options.follow or reader.has_more:
                events = reader.read(wait_s)
                tree.start_page()
                self._paths.start_page()
                for event in events:
                    if path:
                        self._print_watched(tree, event)
                    else:
                        self._print(event, None)
                sys.stdout.flush()

    def _open_reader(self) -> EventReader:
        if self._options.cursor or self._options.since:
            cursor, since = self._options.cursor, self._options.since
        elif self._options.follow:
            cursor, since = self._call(self._client.events.get_cursor), None
        else:
            cursor, since = None, datetime.now(UTC) - _DEFAULT_SINCE
        return EventReader(self._client, cursor, since=since, reconnector=self._reconnector)

    def _print_watched(self, tree: WatchedTree, event: Event) -> None:
        """Print an event if it concerns the tree, and apply it to the tree."""
        concerning = self._call(partial(tree.find_concerning, self._client, event))
        if concerning:
            old_path = tree.find_path_before(concerning)
            self._call(partial(tree.apply, self._client, concerning))
            self._print(concerning, old_path)

    def _print(self, event: Event, old_path: str | None) -> None:
        if self._options.kinds and event.kind not in self._options.kinds:
            return
        if self._options.format is Format.JSON:
            output.print_json(event)
        else:
            output.print_text(_describe_event(event, old_path or self._call(partial(self._paths.find, event))))

    def _call(self, request: Callable[[], T]) -> T:
        return self._reconnector.call(request)


def _describe_event(event: Event, old_path: str | None) -> str:
    file, detail = event.file, event.detail
    path = format_path(file) if file else old_path or f"{ID}{event.file_id}"
    if file and file.kind == "folder" and not path.endswith("/"):
        path += "/"
    if file and old_path and old_path not in {path, path.rstrip("/")}:
        path = f"{old_path} -> {path}"
    label = _LABELS.get(event.kind, event.kind)
    if event.kind == "file.processing" and "state" in detail:
        label = f"{label} {detail['state']}"
    if event.kind.startswith("share.") and "email" in detail:
        path += f"  with {detail['email']} ({detail.get('role')})"
    owner = f"  of {file.owner}" if file and file.role != "owner" else ""
    size = output.format_size_column(file.size_bytes if file else None)
    return f"{output.format_time(event.at, '%Y-%m-%d %H:%M:%S')}  {label:<20} {size}  {path}{owner}"


class _LastPaths:
    """The last known paths of files, from earlier events and the trash, for the text output."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._paths: dict[str, str] = {}
        self._is_trash_current = False

    def start_page(self) -> None:
        """Forget that the trash was read: files of new events may have been trashed since."""
        self._is_trash_current = False

    def find(self, event: Event) -> str | None:
        """Return the path of the event's file before the event, None if unknown; record its current path."""
        old_path = self._paths.pop(event.file_id, None)
        if old_path is None and event.kind == "file.trashed" and not self._is_trash_current:
            for file in islice(self._client.trash.list(), _MAX_PATHS):
                self._paths.setdefault(file.id, file.path)
            self._is_trash_current = True
            old_path = self._paths.get(event.file_id)
        path = format_path(event.file) if event.file else old_path
        if path:
            self._paths[event.file_id] = path
        while len(self._paths) > _MAX_PATHS:
            del self._paths[next(iter(self._paths))]
        return old_path


# activity


def activity(options: Namespace) -> None:
    """List what happened, newest first, and who did it."""
    with connect() as client:
        page_items = min(options.limit, _MAX_PER_PAGE)
        for event in islice(client.events.list_activity(options.kind, page_items=page_items), options.limit):
            output.print_result(event, _describe_activity, options.format)


def _describe_activity(event: Event) -> str:
    return f"{_describe_event(event, None)}  by {_describe_actor(event.actor)}"


def _describe_actor(actor: EventActor | None) -> str:
    if actor is None:
        return "-"
    if actor.kind != "account":
        return "the server" if actor.kind == "server" else "a link"
    name = actor.display_name or actor.email or "another account"
    return f"{name} with token {actor.token}" if actor.token else name


# watch


def watch(options: Namespace) -> int:
    """Run a command for every change."""
    if not shutil.which(options.command[0]):
        raise Usage(f"command not found: {options.command[0]}")
    try:
        with connect() as client, WatchedTree(options.state) as tree, CommandRunner() as runner:
            return Watch(client, tree, runner, options).run()
    except CursorExpired as error:
        hint = f"; delete {options.state} to start from the current state" if options.state else ""
        raise ClientError(f"{output.describe_error(error)}: the changes in between are lost{hint}") from error
