"""sync, status, conflicts."""

import json
import os
import sys
import tempfile
import time
from argparse import Namespace
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final, Literal, NoReturn

from dropbox_client.cli import EXIT_NOT_SIGNED_IN, output
from dropbox_client.cli.arguments import Format
from dropbox_client.cli.environment import connect
from dropbox_client.errors import ClientError, NotSignedIn, Usage

if not all(map(find_spec, ("pathspec", "watchfiles"))):
    raise ClientError("`dbx sync` needs two more packages: pip install 'dropbox-api[sync]'")

from dropbox_client.cli.sync.roots import (
    exclude_paths,
    find_below,
    find_root,
    include_paths,
    open_client,
    open_registry,
    select_roots,
)
from dropbox_client.cli.sync.show import describe_item, describe_question, describe_snapshot
from dropbox_client.sync.config import Registry, RootConfig
from dropbox_client.sync.snapshot import Question, Snapshot
from dropbox_client.sync.state_file import STATE_NAME, read_database
from dropbox_client.sync.status import NotRunning, RootRuns, ask, find_process, hold_root, read_snapshot

_STOP_S: Final = 30.0
_LOG_POLL_S: Final = 0.3


# Running


def keep(options: Namespace) -> int:
    """Keep a folder equal to the account, in the foreground."""
    from dropbox_client.cli.sync.setup import prepare_root  # noqa: PLC0415

    registry = open_registry()
    if options.dry_run:
        return _preview(registry, options)
    known = registry.find_at(Path(options.folder))
    if known is not None:
        _require_same(known, options)
        if options.once and known.is_paused:
            raise ClientError(f"{known.path} is paused: `dbx sync resume {known.path}`")
    config = known or prepare_root(registry, options.folder, options.remote, options.name)
    registry.folder(config.id).mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        result = _keep(registry, config, options, is_new=known is None)
    except RootRuns as error:
        raise ClientError(f"{config.path}: {error}; `dbx status {config.path}` shows what it does") from None
    except NotSignedIn as error:
        if registry.read(config.id) is None:
            raise
        output.print_error(f"{error}; the state is kept: `dbx sync add {config.path}` makes a new token")
        raise SystemExit(EXIT_NOT_SIGNED_IN) from None
    finally:
        if registry.read(config.id) is None:  # it could not be added, or was removed meanwhile
            registry.remove(config.id)
    return _report_once(result, config, options.format) if result else 0


def _keep(registry: Registry, config: RootConfig, options: Namespace, *, is_new: bool) -> Snapshot | None:
    """Add a root if it is new, and run it; return what is left after a run with --once."""
    from dropbox_client.cli.sync.run import open_root, show_progress  # noqa: PLC0415
    from dropbox_client.cli.sync.setup import add_root  # noqa: PLC0415

    with hold_root(registry.folder(config.id)):  # before the root is there: the service would run it
        if is_new:
            config = add_root(registry, config)
        with (
            open_root(registry, config) as root,
            show_progress(root, options.format, tells_phases=not options.once) as observe,
        ):
            if options.once:
                return root.run(root.engine.run_once, observe, every_s=0.2)
            output.print_note(f"keeping {config.path} in sync; Ctrl-C ends it")
            return root.run(root.engine.run, observe, every_s=1)


def _require_same(config: RootConfig, options: Namespace) -> None:
    if options.remote not in {None, config.folder}:
        raise Usage(f"{config.path} belongs to {config.folder} on the server: remove it first")
    if options.name not in {None, config.device_name}:
        raise Usage(f"{config.path} was added as {config.device_name!r}: remove it first")


def _report_once(snapshot: Snapshot, config: RootConfig, output_format: Format) -> int:
    """Print what is left, and return whether it is something. As JSON it was printed already."""
    if output_format is Format.TEXT:
        output.print_note(*describe_snapshot(snapshot, config.path))
    return int(bool(snapshot.pending or snapshot.questions))


def _preview(registry: Registry, options: Namespace) -> int:
    """List what would be done first. A folder that was not added gets a state for the moment."""
    from dropbox_client.cli.sync.run import open_engine  # noqa: PLC0415
    from dropbox_client.cli.sync.setup import prepare_root, without_private_folder  # noqa: PLC0415

    config = registry.find_at(Path(options.folder))
    if config is not None:
        with hold_root(registry.folder(config.id)), open_client(registry, config) as client:
            items = open_engine(registry, config, registry.folder(config.id), client).preview()
    else:
        config = prepare_root(registry, options.folder, options.remote, options.name)
        if not config.path.is_dir():
            raise ClientError(f"{config.path} does not exist")
        with (
            without_private_folder(config.path),
            tempfile.TemporaryDirectory(dir=registry.directory, prefix="preview-") as folder,
            connect() as client,
        ):
            items = open_engine(registry, replace(config, server=client.base_url), Path(folder), client).preview()
    output.print_results(items, describe_item, options.format)
    return 0


def run(_: Namespace) -> NoReturn:
    """Keep all folders in sync: what the service runs."""
    from dropbox_client.cli.sync.run import Supervisor  # noqa: PLC0415

    code = Supervisor(open_registry()).run()
    output.print_error("no folder has a valid token: `dbx sync add DIR` makes a new one")
    raise SystemExit(code)


def service(options: Namespace) -> None:
    """Install or remove the unit of systemd."""
    from dropbox_client.sync.service import install, remove, unit_path  # noqa: PLC0415

    if options.action == "remove":
        left = remove()
        output.print_note(f"removed {unit_path()}")
    else:
        left = install()
        output.print_note(f"installed {unit_path()}: all folders of `dbx sync list` are kept in sync")
        output.print_note("It runs while you are signed in to this computer. To run it always: loginctl enable-linger")
    if left:
        output.print_note("systemctl was not found. Where it is, run:", *(f"  {line}" for line in left))


# Folders


def add(options: Namespace) -> None:
    """Add a folder, or make a new token for one."""
    from dropbox_client.cli.sync.setup import add_root, prepare_root, renew_token  # noqa: PLC0415

    registry = open_registry()
    known = registry.find_at(Path(options.folder))
    if known is not None:
        _require_same(known, options)
        renew_token(registry, known)
        return
    config = prepare_root(registry, options.folder, options.remote, options.name)
    add_root(registry, config)
    output.print_note(f"`dbx sync {config.path}` keeps it in sync now, `dbx sync service install` always")


def remove(options: Namespace) -> None:
    """End the synchronization of a folder."""
    from dropbox_client.cli.sync.setup import remove_root  # noqa: PLC0415

    registry = open_registry()
    config = find_root(registry, options.folder)
    if registry.find_at(Path(options.folder)) is None:
        raise Usage(f"{options.folder} is only a part of {config.path}: `dbx sync exclude` keeps it off this computer")
    until = time.monotonic() + _STOP_S
    while find_process(registry.folder(config.id)) is not None:
        with suppress(NotRunning):  # it is starting, or ending
            ask(registry.folder(config.id), "stop")
        if time.monotonic() > until:
            raise ClientError(f"{config.path}: the process that keeps it in sync does not end")
        time.sleep(0.1)
    remove_root(registry, config)
    output.print_note(f"{config.path} is no longer synchronized; its files stay")


def list_roots(options: Namespace) -> int:
    """List the folders; return the number of damaged ones."""
    registry = open_registry()
    for config in registry.list():
        is_running = find_process(registry.folder(config.id)) is not None
        if options.format is Format.JSON:
            output.print_text(json.dumps(_to_json(config) | {"running": is_running}))
        else:
            state = "paused" if config.is_paused else "running" if is_running else "not running"
            output.print_text(f"{state:<11}  {config.path}  {config.folder} at {config.server}  {config.device_name}")
    damaged = registry.list_damaged()
    for error in damaged:
        output.print_error(str(error))
    return len(damaged)


def _to_json(config: RootConfig) -> dict[str, Any]:
    return {
        "path": str(config.path),
        "server": config.server,
        "folder": config.folder,
        "device_id": config.device_id,
        "device_name": config.device_name,
        "excluded": sorted(config.unselected),
        "upload_bytes_s": config.upload_bytes_s,
        "download_bytes_s": config.download_bytes_s,
        "paused": config.is_paused,
    }


def _change(registry: Registry, config: RootConfig) -> None:
    """Store a changed configuration, and tell the process that runs the root."""
    registry.save(config)
    with suppress(NotRunning):
        ask(registry.folder(config.id), "configure")


def exclude(options: Namespace) -> None:
    """Keep folders of the server off this device."""
    _choose(options, exclude_paths)


def include(options: Namespace) -> None:
    """Keep excluded folders on this device again."""
    _choose(options, include_paths)


def _choose(options: Namespace, change: Callable[[frozenset[str], list[str]], frozenset[str]]) -> None:
    registry = open_registry()
    config = find_root(registry, options.folder)
    paths = [find_below(config, path) for path in options.paths]
    for path in paths:
        if path not in config.unselected and not (config.path / path).is_dir():
            output.print_note(f"{path} is no folder here yet")
    config = replace(config, unselected=change(config.unselected, paths))
    _change(registry, config)
    output.print_note(f"not kept on this device: {', '.join(sorted(config.unselected)) or 'nothing'}")


def limit(options: Namespace) -> None:
    """Set or show the limits of the bandwidth."""
    registry = open_registry()
    config = find_root(registry, options.folder)
    if options.up is not None:
        config = replace(config, upload_bytes_s=options.up or None)
    if options.down is not None:
        config = replace(config, download_bytes_s=options.down or None)
    if config != registry.read(config.id):
        _change(registry, config)
    for word, rate in (("up", config.upload_bytes_s), ("down", config.download_bytes_s)):
        output.print_text(f"{word:<4}  {output.format_bytes(rate)}/s" if rate else f"{word:<4}  no limit")


def pause(options: Namespace) -> None:
    """Pause."""
    _set_paused(options, is_paused=True)


def resume(options: Namespace) -> None:
    """End the pause."""
    _set_paused(options, is_paused=False)


def _set_paused(options: Namespace, *, is_paused: bool) -> None:
    registry = open_registry()
    for config in select_roots(registry, options.folder):
        _change(registry, replace(config, is_paused=is_paused))
        output.print_note(f"{config.path}: {'paused' if is_paused else 'resumed'}")


# Status


def status(options: Namespace) -> None:
    """Show what is done, what waits, and why."""
    registry = open_registry()
    for config in select_roots(registry, options.folder):
        snapshot = _find_snapshot(registry, config)
        if options.format is Format.JSON:
            process = find_process(registry.folder(config.id))
            output.print_json(snapshot, path=str(config.path), running=process is not None)
        else:
            output.print_text(*describe_snapshot(snapshot, config.path))


def _find_snapshot(registry: Registry, config: RootConfig) -> Snapshot:
    try:
        return read_snapshot(ask(registry.folder(config.id), "status"))
    except NotRunning as error:
        reason = f"{error}: `dbx sync {config.path}`, or `dbx sync service install`"
    questions: tuple[Question, ...] = ()
    with suppress(ClientError), read_database(registry.folder(config.id) / STATE_NAME) as database:
        rows = database.execute("SELECT kind, count(*) FROM questions GROUP BY kind") if database else ()
        questions = tuple(Question(kind, count, ()) for kind, count in rows)
    return Snapshot("stopped", reason, questions=questions)


def conflicts(options: Namespace) -> None:
    """List the conflict copies."""
    from dropbox_client.sync.state import read_conflicts  # noqa: PLC0415

    registry = open_registry()
    for config in select_roots(registry, options.folder):
        for record in read_conflicts(registry.folder(config.id) / STATE_NAME):
            if options.format is Format.JSON:
                output.print_json(record, root=str(config.path))
            else:
                moment = output.format_time(datetime.fromtimestamp(record.at, UTC))
                output.print_text(f"{moment}  {config.path / record.path}  -> {record.copy}")


def confirm(options: Namespace) -> None:
    """Let happen what was asked."""
    _answer(options, "confirmed")


def reject(options: Namespace) -> None:
    """Refuse what was asked."""
    _answer(options, "rejected")


def _answer(options: Namespace, answer: Literal["confirmed", "rejected"]) -> None:
    registry = open_registry()
    for config in select_roots(registry, options.folder):
        folder = registry.folder(config.id)
        for question in _find_snapshot(registry, config).questions:
            output.print_note(*describe_question(question, config.path))
        try:
            count = ask(folder, answer)
        except NotRunning:
            count = _answer_alone(config, folder, answer)
        result = f"{answer}, {count} entries" if count else "nothing to answer"
        output.print_note(f"{config.path}: {result}")


def _answer_alone(config: RootConfig, folder: Path, answer: Literal["confirmed", "rejected"]) -> int:
    """Answer in the state, which no process uses; return the number of entries."""
    from dropbox_client.sync.guard import RootFolder, RootLock  # noqa: PLC0415
    from dropbox_client.sync.state import State  # noqa: PLC0415

    path = folder / STATE_NAME
    with hold_root(folder), RootFolder(config.path) as root, RootLock(root, path), State(path) as state:
        return state.set_answer(answer)


# Log and doctor


def log(options: Namespace) -> None:
    """Print the log."""
    registry = open_registry()
    configs = select_roots(registry, options.folder)
    if len(configs) > 1:
        raise Usage("several folders are synchronized: name one")
    for line in _read_log(registry.folder(configs[0].id), follow=options.follow):
        output.print_text(line)
        if options.follow:
            sys.stdout.flush()


def _read_log(folder: Path, *, follow: bool) -> Iterator[str]:
    from dropbox_client.cli.sync.run import LOG_NAME  # noqa: PLC0415

    current = folder / LOG_NAME
    for path in sorted(folder.glob(f"{LOG_NAME}.?"), reverse=True):
        with suppress(FileNotFoundError), path.open(encoding="utf-8", errors="replace") as file:
            yield from (line.rstrip("\n") for line in file)
    while True:
        with suppress(FileNotFoundError), current.open(encoding="utf-8", errors="replace") as file:
            while True:
                while line := file.readline():
                    yield line.rstrip("\n")
                if not follow:
                    return
                if not os.path.samestat(os.fstat(file.fileno()), current.stat()):
                    break  # rotated
                time.sleep(_LOG_POLL_S)
        if not follow:
            return
        time.sleep(_LOG_POLL_S)


def doctor(options: Namespace) -> int:
    """Check everything; return the number of findings."""
    from dropbox_client.sync.doctor import check_root_state  # noqa: PLC0415

    registry = open_registry()
    failed = 0
    for config in select_roots(registry, options.folder):
        output.print_text(f"{config.path}")
        for finding in check_root_state(registry, config):
            failed += not finding.is_ok
            output.print_text(f"  {'ok' if finding.is_ok else '!!'}  {finding.text}")
            if finding.remedy:
                output.print_text(f"        {finding.remedy}")
    return failed
