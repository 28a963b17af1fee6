"""Building blocks of the parser: commands, groups of commands, and the types of arguments.

This module and the `arguments` of each group import little but argparse, which keeps --help and usage errors fast.
`completion` derives from the type of an argument how to complete it.
"""

import argparse
import re
from enum import Enum
from typing import TYPE_CHECKING, NoReturn

from dropbox_client.cli.visible import hide_tokens, make_visible

if TYPE_CHECKING:
    from datetime import datetime

    Commands = argparse._SubParsersAction[argparse.ArgumentParser]  # noqa: SLF001 - has no public name

DEFAULT_SERVER = "http://127.0.0.1:8000"
SHARED, ID = "shared:", "id:"
_MAX_INT = 2**31 - 1
_MAX_DAYS = 36_500
_MAX_SIZE_BYTES = 2**50


class Format(Enum):
    """The format of results on stdout."""

    TEXT = "text"
    JSON = "json"


# Commands


class Parser(argparse.ArgumentParser):
    """A parser whose messages show the control characters of arguments, and no value that may be a secret."""

    def error(self, message: str) -> NoReturn:
        # Such as `login --token TOKEN` and `link --password=PASSWORD`, although these options read stdin.
        message = re.sub("ignored explicit argument .*", "this option takes no value", message, flags=re.DOTALL)
        kind, unrecognized, words = message.partition("unrecognized arguments: ")
        if unrecognized:
            message = kind + unrecognized + " ".join(map(_hide_value, words.split()))
        super().error(make_visible(hide_tokens(message)))


def _hide_value(word: str) -> str:
    """Return the name of an option, without its value."""
    if not word.startswith("--"):
        return word[:2] if word.startswith("-") else "..."
    name, is_given, _ = word.partition("=")
    return f"{name}=..." if is_given else name


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


def plain_text(text: str) -> str:
    """Read a text that is sent to the server."""
    if not text:
        raise argparse.ArgumentTypeError("an empty text is not allowed")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise argparse.ArgumentTypeError(f"{text!r} is not valid UTF-8") from None
    return text


def remote_path(text: str) -> str:
    """Read a path on the server: /own/path (the leading slash is optional), shared:NAME/path or id:UUID/path."""
    if not is_prefixed(_not_empty(text)):
        return own_path(text)
    prefix, _, below = plain_text(text).partition("/")
    if prefix == SHARED:
        raise argparse.ArgumentTypeError(f"{text!r} lacks the name of a shared item: write {SHARED}NAME")
    return prefix + fold(below).rstrip("/")


def own_path(text: str) -> str:
    """Read a path in the caller's own tree; the leading slash is optional."""
    return fold(plain_text(_not_empty(text)))


def fold(path: str) -> str:
    """Return a path with one slash before each name, and without the names "." and ""; "/" if it has no others."""
    return "/" + "/".join(name for name in path.split("/") if name not in {"", "."})


def is_prefixed(path: str) -> bool:
    """Return whether a path begins with shared:NAME or id:UUID, and not at the caller's own root."""
    return path.startswith(SHARED) or (path.startswith(ID) and is_id(path.removeprefix(ID).partition("/")[0]))


def local_path(text: str) -> str:
    """Read a path on this computer."""
    return _not_empty(text)


def any_path(text: str) -> str:
    """Read a path on this computer or on the server."""
    return _not_empty(text)


def command_word(text: str) -> str:
    """Read a word of another program's command line, often a path on this computer."""
    return text


def remote_path_or_id(text: str) -> str:
    """Read the old path of a file in the trash, or its id."""
    return text if is_id(text) else remote_path(text)


def _not_empty(path: str) -> str:
    if not path:  # such as a shell variable that is not set: never the root or the current folder
        raise argparse.ArgumentTypeError("an empty path is not allowed")
    return path


def object_id(text: str) -> str:
    """Read an id that a list shows."""
    if not is_id(text):
        raise argparse.ArgumentTypeError(f"{text!r} is not an id")
    return text


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
    value = _parse_positive(text)
    if value and value <= _MAX_INT:
        return value
    raise argparse.ArgumentTypeError(f"{text[:40]!r} is not an integer from 1 to {_MAX_INT}")


def duration_s(text: str) -> int:
    """Read a duration such as 90d, 12h or 30m, in seconds."""
    unit_s = {"m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}
    count, unit = _parse_positive(text[:-1]), text[-1:]
    if not count or unit not in unit_s:
        raise argparse.ArgumentTypeError(f"{text[:40]!r} is not a duration such as 30m, 12h, 7d or 2w")
    if count * unit_s[unit] > _MAX_DAYS * 86400:
        raise argparse.ArgumentTypeError(f"{text[:40]!r} is longer than {_MAX_DAYS}d")
    return count * unit_s[unit]


def size_bytes(text: str) -> int:
    """Read a size such as 500M, 10G or 10GiB (powers of 1024), or a number of bytes."""
    if match := re.fullmatch("([0-9]{1,15})(?:([KMGT])(?:iB)?)?", text, re.ASCII):
        value = int(match[1]) << 10 * " KMGT".index(match[2] or " ")
        if 0 < value <= _MAX_SIZE_BYTES:
            return value
    raise argparse.ArgumentTypeError(f"{text[:40]!r} is not a size such as 500M, 10G or a number of bytes")


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
    except (ValueError, OverflowError):
        raise argparse.ArgumentTypeError(
            f"{text[:40]!r} is not a time such as 30m, 2h, 7d or 2026-11-20T14:30"
        ) from None
