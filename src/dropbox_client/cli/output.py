"""Printing and prompting: results as text or JSON lines on stdout, notes, errors and prompts on stderr."""

import contextlib
import json
import sys
from collections.abc import Callable, Iterable
from dataclasses import fields, is_dataclass
from datetime import datetime
from typing import Any, TextIO, TypeVar

from dropbox_client.cli.arguments import Format
from dropbox_client.cli.remote import format_path
from dropbox_client.cli.visible import hide_tokens, make_visible
from dropbox_client.errors import ApiError, Usage
from dropbox_client.models import File, Processing

_KIB = 1024
_WRITE_TO_STDIN = "write it to stdin"

T = TypeVar("T")


# Printing


def print_text(*lines: str) -> None:
    """Print lines of the result; a terminal gets them without control characters."""
    for line in lines:
        sys.stdout.write(f"{_fit(line, sys.stdout)}\n")  # one call: another thread may print, too


def print_note(*lines: str) -> None:
    """Print information that is not a result."""
    for line in lines:
        sys.stderr.write(f"{_fit(line, sys.stderr)}\n")


def _fit(line: str, stream: TextIO) -> str:
    return make_visible(line) if stream.isatty() else line


def print_error(text: str) -> None:
    print_note(f"dbx: {hide_tokens(text)}")


def print_json(value: object, **more: object) -> None:
    """Print a dataclass as a line of JSON, with additional members."""
    print_text(to_json(value, **more))


def print_result(value: T, describe: Callable[[T], str], output_format: Format) -> None:
    """Print a dataclass as a line of JSON, or the text that `describe` returns."""
    if output_format is Format.JSON:
        print_json(value)
    else:
        print_text(describe(value))


def print_results(values: Iterable[T], describe: Callable[[T], str], output_format: Format) -> None:
    for value in values:
        print_result(value, describe, output_format)


def print_placed(source: str, file: File, output_format: Format) -> None:
    """Print the new path of a moved, copied or restored file."""
    if output_format is Format.JSON:
        print_json(file, source=source)
    else:
        print_text(f"{source} -> {format_path(file)}")


# Prompts


def ask(question: str) -> str:
    """Return the next line of stdin, "" at its end."""
    sys.stderr.write(question)
    sys.stderr.flush()
    return _read_line()


def ask_required(question: str, alternative: str) -> str:
    """Return a non-empty answer. Raises Usage, which suggests `alternative`."""
    answer = ask(question).strip()
    if not answer:
        raise _no_answer(question, alternative)
    return answer


def read_secret() -> str:
    """Return the next line of stdin without its end, also a CRLF. Raises Usage for an empty line."""
    if secret := _read_line().rstrip("\r\n"):
        return secret
    raise Usage("stdin has no password")


def ask_secret(question: str, *, alternative: str = _WRITE_TO_STDIN) -> str:
    """Return a secret, without echo on a terminal, else from the next line of stdin. Raises Usage."""
    if not sys.stdin.isatty():
        if answer := _read_line().rstrip("\r\n"):
            return answer
        raise _no_answer(question, alternative)
    import getpass  # noqa: PLC0415

    return getpass.getpass(question)


def ask_new_secret(question: str, *, alternative: str = _WRITE_TO_STDIN) -> str:
    """Like `ask_secret`, but a terminal prompts twice. Raises Usage if the two inputs differ."""
    secret = ask_secret(question, alternative=alternative)
    if sys.stdin.isatty() and ask_secret("Repeat: ") != secret:
        raise Usage("the two inputs differ")
    return secret


def _read_line() -> str:
    try:
        line = sys.stdin.readline()
        line.encode()
    except UnicodeError:  # raised by either, depending on the locale
        raise Usage("the text on stdin is not valid UTF-8") from None
    return line


def _no_answer(question: str, alternative: str) -> Usage:
    return Usage(f"no answer to {question.strip(' :')!r}: {alternative}")


# Text


def describe_error(error: Exception, subject: str = "") -> str:
    """Return the text of an error, of a problem its details and its code, after its subject unless it is part of it.

    The subject that `remote.naming` added takes precedence.
    """
    text = str(error)
    if isinstance(error, ApiError):
        details = [f"{item.pointer}: {item.detail}" for item in getattr(error, "errors", None) or ()]
        text = f"{'; '.join(details) or error.detail} ({error.code})"
    subject = next(iter(getattr(error, "__notes__", ())), subject)
    return f"{subject}: {text}" if subject not in text else text


def format_bytes(size_bytes: float) -> str:
    """Format a size in the largest binary unit of which it has at least one: 1.5 MiB."""
    units = ["B", "KiB", "MiB", "GiB", "TiB"]
    while size_bytes >= _KIB and len(units) > 1:
        size_bytes /= _KIB
        units.pop(0)
    return f"{size_bytes:.0f} B" if units[0] == "B" else f"{size_bytes:.1f} {units[0]}"


def format_size_column(size_bytes: int | None) -> str:
    return f"{'' if size_bytes is None else format_bytes(size_bytes):>10}"


def format_time(moment: datetime, pattern: str = "%Y-%m-%d %H:%M") -> str:
    """Format a time in the zone of this computer."""
    with contextlib.suppress(OverflowError, OSError, ValueError):  # at the ends of the years 1 and 9999
        moment = moment.astimezone()
    return f"{moment:{pattern}}"


def format_state_column(content_status: str | None, processing: Processing | None) -> str:
    state = "/".join(state for state in (content_status, processing and processing.state) if state)
    return f"{state:<11}"


# JSON


def to_json(value: object, **more: object) -> str:
    """Return a dataclass as a line of JSON, with additional members."""
    return json.dumps({**_to_plain(value), **more}, default=_to_plain)


def error_to_json(error: Exception, **more: object) -> str:
    """Return an error as a line of JSON: `more`, and `error` with code and detail."""
    code = error.code if isinstance(error, ApiError) else type(error).__name__
    return json.dumps({**more, "error": {"code": code, "detail": str(error)}})


def _to_plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, ApiError):
        return {"code": value.code, "detail": value.detail, **value.extra}
    if is_dataclass(value):
        return {member.name: getattr(value, member.name) for member in fields(value)}
    return str(value)
