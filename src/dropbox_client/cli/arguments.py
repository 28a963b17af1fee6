"""Building blocks of the parser: commands, groups of commands, and the types of arguments.

This module and the `arguments` of each group import nothing but argparse, which keeps --help and usage errors fast.
`completion` derives from the type of an argument how to complete it.
"""

import argparse
from enum import Enum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime

    Commands = argparse._SubParsersAction[argparse.ArgumentParser]  # noqa: SLF001 - has no public name

DEFAULT_SERVER = "http://127.0.0.1:8000"
SHARED, ID = "shared:", "id:"


class Format(Enum):
    """The format of results on stdout."""

    TEXT = "text"
    JSON = "json"


# Commands


def add_command(
    commands: "Commands", name: str, run: str, summary: str, *, description: str = ""
) -> argparse.ArgumentParser:
    """Add a command that runs `run`: "files.ls" is the function `ls` of `files/commands.py`."""
    command = commands.add_parser(
        name,
        help=summary,
        description=description or f"{summary[:1].upper()}{summary[1:]}.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command.set_defaults(run=run)
    return command


def add_reporting_command(
    commands: "Commands", name: str, run: str, summary: str, *, description: str = ""
) -> argparse.ArgumentParser:
    """Add a command that prints results, and therefore has --json."""
    command = add_command(commands, name, run, summary, description=description)
    command.add_argument(
        "--json",
        dest="format",
        action="store_const",
        const=Format.JSON,
        default=Format.TEXT,
        help="print one JSON object a line",
    )
    return command


def add_group(
    commands: "Commands", name: str, actions: str, summary: str, *, description: str = "Without an action: list them."
) -> "Commands":
    """Add a command whose first argument is one of the commands added to the result; `actions` names them."""
    group = commands.add_parser(
        name, help=summary, description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    return group.add_subparsers(metavar=actions, required=True)


def add_conflict_option(command: argparse.ArgumentParser, default: str, help_text: str) -> None:
    command.add_argument("--on-conflict", choices=["fail", "rename", "replace"], default=default, help=help_text)


# Types of arguments


def remote_path(text: str) -> str:
    """Read a path on the server: /own/path (the leading slash is optional), shared:NAME/path or id:UUID/path."""
    return text.rstrip("/") if is_prefixed(text) else own_path(text)


def own_path(text: str) -> str:
    """Read a path in the caller's own tree; the leading slash is optional."""
    return "/" + text.strip("/")


def is_prefixed(path: str) -> bool:
    """Return whether a path begins with shared:NAME or id:UUID, and not at the caller's own root."""
    return path.startswith(SHARED) or (path.startswith(ID) and is_id(path.removeprefix(ID).partition("/")[0]))


def local_path(text: str) -> str:
    """Read a path on this computer."""
    return text


def any_path(text: str) -> str:
    """Read a path on this computer or on the server."""
    return text


def remote_path_or_id(text: str) -> str:
    """Read the old path of a file in the trash, or its id."""
    return text if is_id(text) else remote_path(text)


def is_id(text: str) -> bool:
    """Return whether a text is a UUID."""
    return len(text) == 36 and text.count("-") == 4 and not text.strip("0123456789abcdefABCDEF-")


def server_address(text: str) -> str:
    """Read the address of a server."""
    from dropbox_client.address import read_address  # noqa: PLC0415 - few commands need it

    try:
        return read_address(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def positive_int(text: str) -> int:
    """Read a positive integer."""
    if value := _parse_positive(text):
        return value
    raise argparse.ArgumentTypeError(f"{text!r} is not a positive integer")


def duration_s(text: str) -> int:
    """Read a duration such as 90d, 12h or 30m, in seconds."""
    unit_s = {"m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}
    count, unit = _parse_positive(text[:-1]), text[-1:]
    if count and unit in unit_s:
        return count * unit_s[unit]
    raise argparse.ArgumentTypeError(f"{text!r} is not a duration such as 30m, 12h, 7d or 2w")


def _parse_positive(text: str) -> int | None:
    try:
        return max(int(text), 0) or None
    except ValueError:
        return None


def moment(text: str) -> "datetime":
    """Read a time such as 2026-11-20T14:30 (local time unless it has an offset), or a duration ago such as 2h."""
    from datetime import UTC, datetime, timedelta  # noqa: PLC0415 - few commands need it

    if text[:-1].isdecimal():
        return datetime.now(UTC) - timedelta(seconds=duration_s(text))
    try:
        return datetime.fromisoformat(text).astimezone()
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a time such as 30m, 2h, 7d or 2026-11-20T14:30") from None
