"""`dbx`, the command line: runs what was typed and says how it ended, in words and as an exit code.

Results go to stdout (with --json one JSON object a line), progress and complaints to stderr. What can be typed is in
`arguments`, what it does in `commands`; these are imported when they run, for a person waits for every import.
"""

import os
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import TYPE_CHECKING

from dropbox_client.cli.arguments import parser
from dropbox_client.cli.signals import awake
from dropbox_client.errors import ClientError, NotSignedIn, Stopped, Unreachable, Usage

if TYPE_CHECKING:
    from argparse import Namespace

SOME_FAILED, USAGE, NOT_SIGNED_IN, UNREACHABLE, INTERRUPTED = 1, 2, 3, 4, 130
_LIST_BY_DEFAULT = frozenset({"devices", "tokens", "trash", "uploads"})


def main(arguments: Sequence[str] | None = None) -> None:
    """Run `dbx` and exit the process."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:  # whoever runs us has closed it (`>&-`)
            setattr(sys, name, open(os.devnull, "w"))  # noqa: PTH123, SIM115
        getattr(sys, name).reconfigure(errors="backslashreplace")  # names of files can be anything
    typed = list(sys.argv[1:] if arguments is None else arguments)
    if typed[:1] and typed[0] in _LIST_BY_DEFAULT and (len(typed) == 1 or typed[1] in {"--all", "--json"}):
        typed.insert(1, "list")  # the one that is meant most often
    sys.exit(_run(parser().parse_args(typed)))


def _run(options: "Namespace") -> int:
    """Run the command that was typed; return the exit code."""
    try:
        group, _, function = options.run.partition(".")
        with awake():
            failed: int = getattr(import_module(f"dropbox_client.cli.{group}.commands"), function)(options) or 0
            sys.stdout.flush()
    except (KeyboardInterrupt, Stopped):
        _complain("interrupted; run the same command again to go on from here")
        return INTERRUPTED
    except BrokenPipeError:  # whoever reads our output has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return SOME_FAILED
    except NotSignedIn as error:
        _complain(f"{error}; `dbx login` signs you in")
        return NOT_SIGNED_IN
    except Unreachable as error:
        _complain(str(error))
        return UNREACHABLE
    except Usage as error:
        _complain(str(error))
        return USAGE
    except (ClientError, OSError) as error:
        from dropbox_client.cli.output import explain  # noqa: PLC0415

        _complain(explain(error))
        return SOME_FAILED
    return SOME_FAILED if failed else 0


def _complain(text: str) -> None:
    print(f"dbx: {text}", file=sys.stderr)  # noqa: T201
