"""`dbx`, the command line.

Results go to stdout (with --json one JSON object a line); progress, notes and errors go to stderr. Each group of
commands has a folder: `arguments` defines its options for `parser`, `commands` implements it and is imported only when
it runs, which keeps the start-up fast.
"""

import contextlib
import io
import os
import sys
from collections.abc import Callable, Sequence
from importlib import import_module
from typing import TYPE_CHECKING

from dropbox_client.cli.parser import build_parser
from dropbox_client.cli.signals import interruptible
from dropbox_client.cli.sync.arguments import SYNC_WORDS
from dropbox_client.cli.visible import hide_tokens, make_visible
from dropbox_client.errors import ClientError, NotSignedIn, Stopped, Unreachable, Usage

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

EXIT_FAILED, EXIT_USAGE, EXIT_NOT_SIGNED_IN, EXIT_UNREACHABLE, EXIT_INTERRUPTED = 1, 2, 3, 4, 130
_GROUPS_WITH_LIST = frozenset({"devices", "passkeys", "sign-ins", "tokens", "trash", "upload-tokens", "uploads"})


def main(arguments: Sequence[str] | None = None) -> None:
    """Run `dbx` and exit the process."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:  # the parent process closed it (`>&-`)
            setattr(sys, name, open(os.devnull, mode))  # noqa: PTH123, SIM115
    for name in ("stdout", "stderr"):
        setattr(sys, name, _make_reliable(getattr(sys, name)))
    typed = list(sys.argv[1:] if arguments is None else arguments)
    try:
        parser = build_parser()
        _insert_default_action(parser, typed)
        code = _run(parser.parse_args(typed))
    except SystemExit as end:  # of the parser, or of a signal
        code = end.code if isinstance(end.code, int) else 0
    except KeyboardInterrupt:
        code = EXIT_INTERRUPTED
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError):  # otherwise the interpreter reports it at its exit, with a code of its own
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
            code = code or EXIT_FAILED
    sys.exit(code)


def _insert_default_action(parser: "ArgumentParser", typed: list[str]) -> None:
    """Insert the action that may be left out."""
    group, word = (*typed, "", "")[:2]
    if group in _GROUPS_WITH_LIST and word in {"", "--all", "--json"}:
        typed.insert(1, "list")
    elif group == "sync" and word and word not in SYNC_WORDS:
        # A mistyped action must not become a folder that is filled with all files.
        if not (word.startswith("-") or "/" in word or os.path.isdir(word)):  # noqa: PTH112 - quick
            parser.error(f"sync has no action {word!r}; a new folder of this name is written ./{word}")
        typed.insert(1, "keep")


def _make_reliable(stream: io.TextIOWrapper) -> io.TextIOWrapper:
    """Return a stream that writes all of any text, also with PYTHONUNBUFFERED and file names that are not Unicode."""
    # A signal ends writes of a raw stream early, and the rest would be lost. The stream keeps its descriptor.
    if isinstance(stream.buffer, io.RawIOBase):
        return open(
            stream.fileno(), "w", buffering=1, encoding=stream.encoding, errors="backslashreplace", closefd=False
        )
    stream.reconfigure(errors="backslashreplace")
    return stream


def _run(options: "Namespace") -> int:
    """Run the command and return the exit code."""
    try:
        with interruptible():
            failed = _load_command(options)(options)
            sys.stdout.flush()
    except (KeyboardInterrupt, Stopped):
        _print_error("interrupted; run the same command again to continue")
        return EXIT_INTERRUPTED
    except BrokenPipeError:  # the reader of stdout has closed it
        return EXIT_FAILED
    except NotSignedIn as error:
        _print_error(f"{error}; run `dbx login`")
        return EXIT_NOT_SIGNED_IN
    except Unreachable as error:
        _print_error(str(error))
        return EXIT_UNREACHABLE
    except Usage as error:
        _print_error(str(error))
        return EXIT_USAGE
    except (ClientError, OSError) as error:
        from dropbox_client.cli.output import describe_error  # noqa: PLC0415

        _print_error(describe_error(error))
        return EXIT_FAILED
    except Exception as error:  # noqa: BLE001 - a traceback could show a secret
        _print_error(f"internal error, please report it: {_locate(error)}")
        return EXIT_FAILED
    return EXIT_FAILED if failed else 0


def _load_command(options: "Namespace") -> Callable[["Namespace"], int | None]:
    """Return the function of the command; its result is the number of failures."""
    group, _, function = options.run.partition(".")
    command: Callable[[Namespace], int | None] = getattr(
        import_module(f"dropbox_client.cli.{group}.commands"), function
    )
    return command


def _locate(error: Exception) -> str:
    """Return the type of an exception and the line that raised it, without its text."""
    trace = error.__traceback__
    while trace and trace.tb_next:
        trace = trace.tb_next
    place = f" at {os.path.basename(trace.tb_frame.f_code.co_filename)}:{trace.tb_lineno}" if trace else ""  # noqa: PTH119
    return f"{type(error).__name__}{place}"


def _print_error(text: str) -> None:
    text = hide_tokens(text)
    if sys.stderr.isatty():
        text = make_visible(text)
    with contextlib.suppress(OSError):  # there is nowhere to report it
        print(f"dbx: {text}", file=sys.stderr)  # noqa: T201
