"""`dbx`, the command line.

Results go to stdout (with --json one JSON object a line); progress, notes and errors go to stderr. Each group of
commands has a folder: `arguments` defines its options for `parser`, `commands` implements it and is imported only when
it runs, which keeps the start-up fast.
"""

import os
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import TYPE_CHECKING

from dropbox_client.cli.parser import build_parser
from dropbox_client.cli.signals import interruptible
from dropbox_client.errors import ClientError, NotSignedIn, Stopped, Unreachable, Usage

if TYPE_CHECKING:
    from argparse import Namespace

EXIT_FAILED, EXIT_USAGE, EXIT_NOT_SIGNED_IN, EXIT_UNREACHABLE, EXIT_INTERRUPTED = 1, 2, 3, 4, 130
_GROUPS_WITH_LIST = frozenset({"devices", "tokens", "trash", "uploads"})


def main(arguments: Sequence[str] | None = None) -> None:
    """Run `dbx` and exit the process."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:  # the parent process closed it (`>&-`)
            setattr(sys, name, open(os.devnull, "w"))  # noqa: PTH123, SIM115
        getattr(sys, name).reconfigure(errors="backslashreplace")  # file names may be any bytes
    typed = list(sys.argv[1:] if arguments is None else arguments)
    if typed[:1] and typed[0] in _GROUPS_WITH_LIST and (len(typed) == 1 or typed[1] in {"--all", "--json"}):
        typed.insert(1, "list")  # the default action of these groups
    sys.exit(_run(build_parser().parse_args(typed)))


def _run(options: "Namespace") -> int:
    """Run the command and return the exit code."""
    try:
        group, _, function = options.run.partition(".")
        with interruptible():
            failed: int = getattr(import_module(f"dropbox_client.cli.{group}.commands"), function)(options) or 0
            sys.stdout.flush()
    except (KeyboardInterrupt, Stopped):
        _print_error("interrupted; run the same command again to continue")
        return EXIT_INTERRUPTED
    except BrokenPipeError:  # the reader of stdout has closed it
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
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
    return EXIT_FAILED if failed else 0


def _print_error(text: str) -> None:
    print(f"dbx: {text}", file=sys.stderr)  # noqa: T201
