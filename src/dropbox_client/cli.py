"""`dbx`, the command line: what is typed, what is printed, which exit code. The work is done in the other modules.

Results go to stdout (with --json one JSON object a line), progress and complaints to stderr. Imports
that not every command needs are made where they are needed, and options are read by argparse: a person waits for every
import, and the larger frameworks take longer to load than a small upload takes.
"""

import argparse
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from dropbox_client import output
from dropbox_client.api import Client
from dropbox_client.errors import ApiProblem, ClientError, NotSignedIn, Stopped, Unreachable
from dropbox_client.places import cache_dir, config_dir
from dropbox_client.progress import Item
from dropbox_client.tokens import TokenFile
from dropbox_client.walk import AmbiguousDestination, Walk, split_destination

SOME_FAILED, USAGE, NOT_SIGNED_IN, UNREACHABLE, INTERRUPTED = 1, 2, 3, 4, 130
DEFAULT_SERVER = "http://127.0.0.1:8000"
_PATIENCE_S = 5.0
"""Of a command that a person waits for; a transfer that has begun is more patient."""

_EPILOG = """\
exit codes:
  0    done
  1    something failed; stderr says what
  2    wrong usage
  3    not signed in
  4    the server cannot be reached
  130  interrupted with Ctrl-C: run the same command again and it goes on where it was

environment:
  DBX_SERVER      address of the server
  DBX_CONFIG_DIR  where the sign-in is kept
"""

_UPLOAD = """\
Send files and folders.

DEST is always a folder, made if need be; the root folder when left out. The last of several arguments is DEST if it
begins with "/" and there is no such thing on this computer. If there is, say --to DEST.

Content that is there already is not sent again, and an upload that was cut off goes on where it was: run the same
command again. In folders, symbolic links are reported and not followed; empty folders are not made.
"""


if TYPE_CHECKING:
    _Commands = argparse._SubParsersAction[argparse.ArgumentParser]  # noqa: SLF001 - has no public name


class _Usage(ClientError):
    """What was typed makes no sense."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run `dbx` and exit the process."""
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr] # names of files can be anything
    arguments = sys.argv[1:] if arguments is None else arguments
    if arguments[:1] == ["uploads"] and (len(arguments) == 1 or arguments[1] in {"--all", "--json"}):
        arguments = ["uploads", "list", *arguments[1:]]  # the one that is meant most often
    options = _parser().parse_args(arguments)
    sys.exit(_run(options))


def _run(options: argparse.Namespace) -> int:
    """Run the command that was typed; return the exit code."""
    try:
        failed: int = options.run(options) or 0
    except (KeyboardInterrupt, Stopped):
        output.complain("interrupted; run the same command again to go on from here")
        return INTERRUPTED
    except BrokenPipeError:  # whoever reads our output has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return SOME_FAILED
    except NotSignedIn as error:
        output.complain(f"{error}; `dbx login` signs you in")
        return NOT_SIGNED_IN
    except Unreachable as error:
        output.complain(str(error))
        return UNREACHABLE
    except (_Usage, AmbiguousDestination) as error:
        output.complain(str(error))
        return USAGE
    except (ClientError, OSError) as error:
        output.complain(output.explain(error))
        return SOME_FAILED
    return failed


# Who you are


def login(options: argparse.Namespace) -> None:
    """Sign in; what is missing is asked for."""
    server = options.server or os.environ.get("DBX_SERVER") or DEFAULT_SERVER
    if not server.startswith(("http://", "https://")):
        raise _Usage(f"{server!r} is not an address: those begin with http:// or https://")
    email = options.email or _ask("Email: ")
    password = sys.stdin.readline().rstrip("\n") if options.password_stdin else _ask_password(twice=options.register)
    with _client(server) as client:
        if options.register:
            client.register(email, password)
        client.sign_in(email, password)
    output.note(f"signed in to {client.base_url} as {email}")


def _ask(prompt: str) -> str:
    sys.stderr.write(prompt)
    sys.stderr.flush()
    answer = sys.stdin.readline()
    if not answer:
        raise _Usage("there is nobody to ask: say --email and --password-stdin")
    return answer.strip()


def _ask_password(*, twice: bool) -> str:
    import getpass  # noqa: PLC0415

    try:
        password = getpass.getpass("Password: ")
        if twice and getpass.getpass("Once more: ") != password:
            raise _Usage("these are two different passwords")
    except EOFError as error:
        raise _Usage("there is nobody to ask: say --password-stdin") from error
    return password


def logout(_: argparse.Namespace) -> None:
    """Sign out, here and on the server."""
    with _client() as client:
        client.sign_out()


def whoami(options: argparse.Namespace) -> None:
    """Show the account and how much of its quota is used."""
    with _client() as client:
        me = client.me()
    if options.json:
        output.record(me, server=client.base_url)
    else:
        output.say(f"{me.email} at {client.base_url}")
        output.quota(me)


# Files


def upload(options: argparse.Namespace) -> int:
    """Send files and folders."""
    paths, folder = split_destination(options.paths, options.to)
    walk = Walk(paths, folder, options.on_conflict)
    failed = _send(walk, json=options.json, retry_changed=options.retry_changed)
    return SOME_FAILED if failed else 0


def download(options: argparse.Namespace) -> None:
    """Fetch a file. Nothing appears under its name before every byte was verified."""
    from dropbox_client import download as fetch  # noqa: PLC0415
    from dropbox_client.display import Display  # noqa: PLC0415

    with _client() as client:
        file = client.file_by_path(_absolute(options.remote))
        if file.kind == "folder":
            raise _Usage(f"{file.path} is a folder: name a file in it")
        target: Path = options.local / file.name if options.local.is_dir() else options.local
        there = fetch.is_same(file, target)
        if not there:
            with Display(wanted=not options.json) as display:
                display.expect(file.size_bytes or 0)
                fetch.download(client, file, target, overwrite=options.overwrite, moved=display.fetched)
    output.fetched(file, target, json=options.json, there=there)


def ls(options: argparse.Namespace) -> None:
    """List a folder, or show a file."""
    path = _absolute(options.path)
    with _client() as client:
        try:
            for file in client.list_files(path):
                output.listed(file, long=options.long, json=options.json)
        except ApiProblem as problem:
            if problem.code != "not-a-folder":
                raise
            output.listed(client.file_by_path(path), long=options.long, json=options.json)


# Uploads under way


def uploads_list(options: argparse.Namespace) -> None:
    """Show what is under way: progress, until when it is kept, name."""
    with _client() as client:
        for session in client.list_uploads():
            if options.all or session.state in {"creating", "active", "completing"}:
                output.session(session, json=options.json)


def uploads_resume(options: argparse.Namespace) -> int:
    """Go on with an upload, to the place where it was meant to go."""
    size_bytes = options.path.stat().st_size
    with _client() as client:
        session = client.upload(options.id)
        if size_bytes != session.size_bytes:
            raise _Usage(f"{options.path} has {size_bytes} bytes, the upload {session.size_bytes}")
        place = session.destinations[0]
        folder = client.file(place.parent_id).path
    failed = _send([Item(options.path, folder, place.name, size_bytes, place.on_conflict)], json=options.json)
    return SOME_FAILED if failed else 0


def uploads_abort(options: argparse.Namespace) -> None:
    """Give up an upload and free what it holds."""
    with _client() as client:
        client.abort_upload(options.id)


# Helpers


def _client(server: str | None = None) -> Client:
    """Return a client of the server that was named, or of the one that we are signed in to."""
    tokens = TokenFile(config_dir() / "tokens.json")
    known = tokens.load()
    server = server or os.environ.get("DBX_SERVER") or (known.server if known else DEFAULT_SERVER)
    return Client(server, tokens, patience_s=_PATIENCE_S)


def _send(items: Walk | Sequence[Item], *, json: bool, retry_changed: bool = False) -> int:
    """Upload `items` and tell of each; return how many could not be stored."""
    from dropbox_client.cache import HashCache  # noqa: PLC0415
    from dropbox_client.display import Display  # noqa: PLC0415
    from dropbox_client.transfer import PATIENCE_S  # noqa: PLC0415
    from dropbox_client.upload import Uploader  # noqa: PLC0415

    began = time.monotonic()
    files = size_bytes = sent_bytes = failed = 0
    with _client() as client, HashCache(cache_dir() / "hashes.sqlite") as cache:
        client.capabilities()  # whoever is not signed in, or has no server, learns it at once
        client.patience_s = PATIENCE_S
        with (
            Display(wanted=not json) as display,
            Uploader(client, watcher=display, cache=cache, retry_changed=retry_changed) as uploader,
        ):
            for outcome in uploader.upload(items):
                output.sent(outcome, json=json)
                failed += outcome.error is not None
                if outcome.file:
                    files += 1
                    size_bytes += outcome.file.size_bytes or 0
                    sent_bytes += outcome.sent_bytes
    skipped = items.skipped if isinstance(items, Walk) else []
    output.skipped(skipped, json=json)
    failed += sum(item.failed for item in skipped)
    seconds = time.monotonic() - began
    output.summary(files=files, size_bytes=size_bytes, sent_bytes=sent_bytes, seconds=seconds, failed=failed)
    return failed


def _absolute(path: str) -> str:
    return "/" + path.strip("/")


# What can be typed


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "dbx",
        description="Your files, in your own bucket.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action=_Version, nargs=0, help="print the version and exit")
    json = argparse.ArgumentParser(add_help=False)
    json.add_argument("--json", action="store_true", help="print one JSON object a line")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    _account_commands(commands, json)
    _file_commands(commands, json)
    _session_commands(commands, json)
    return parser


class _Version(argparse.Action):
    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        from importlib.metadata import version  # noqa: PLC0415 - slow, and only wanted here

        output.say(f"dbx {version('dropbox-api')}")
        parser.exit()


def _account_commands(commands: "_Commands", json: argparse.ArgumentParser) -> None:
    command = commands.add_parser("login", help="sign in; what is missing is asked for")
    command.add_argument("--server", metavar="URL", help=f"address of the server (default: {DEFAULT_SERVER})")
    command.add_argument("--email", help="address of your account")
    command.add_argument("--register", action="store_true", help="make the account first")
    command.add_argument("--password-stdin", action="store_true", help="read the password from stdin")
    command.set_defaults(run=login)
    commands.add_parser("logout", help="sign out, here and on the server").set_defaults(run=logout)
    command = commands.add_parser("whoami", parents=[json], help="show the account and how much of its quota is used")
    command.set_defaults(run=whoami)


def _file_commands(commands: "_Commands", json: argparse.ArgumentParser) -> None:
    command = commands.add_parser(
        "upload",
        parents=[json],
        help="send files and folders",
        description=_UPLOAD,
        usage="dbx upload [options] PATH... [DEST]",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command.add_argument("paths", metavar="PATH... [DEST]", nargs="+", help="what to send, and where to")
    command.add_argument("--to", metavar="DEST", help="the remote folder")
    command.add_argument(
        "--on-conflict",
        choices=["fail", "rename", "replace"],
        default="replace",
        help="when the name is taken: report it, take `name (1).ext`, or add a revision to the file (default)",
    )
    command.add_argument("--retry-changed", action="store_true", help="try a file once more that changed while read")
    command.set_defaults(run=upload)

    command = commands.add_parser("download", parents=[json], help="fetch a file, verified")
    command.add_argument("remote", metavar="REMOTE", help="path of the file on the server")
    command.add_argument(
        "local", metavar="LOCAL", nargs="?", type=Path, default=Path(), help="a folder, or the new file's path"
    )
    command.add_argument("--overwrite", action="store_true", help="replace the local file if there is one")
    command.set_defaults(run=download)

    command = commands.add_parser("ls", parents=[json], help="list a folder, or show a file")
    command.add_argument("path", metavar="PATH", nargs="?", default="/")
    command.add_argument("-l", "--long", action="store_true", help="size, time and state as well")
    command.set_defaults(run=ls)


def _session_commands(commands: "_Commands", json: argparse.ArgumentParser) -> None:
    help_text = "show, resume or abort uploads that are not finished"
    group = commands.add_parser("uploads", help=help_text)
    actions = group.add_subparsers(metavar="list | resume | abort", required=True)
    command = actions.add_parser("list", parents=[json], help="show progress, name, and until when it is kept")
    command.add_argument("--all", action="store_true", help="those that have ended, too")
    command.set_defaults(run=uploads_list)
    command = actions.add_parser("resume", parents=[json], help="go on with an upload")
    command.add_argument("id", metavar="ID")
    command.add_argument("path", metavar="PATH", type=Path, help="the file that was being sent")
    command.set_defaults(run=uploads_resume)
    command = actions.add_parser("abort", help="give up an upload and free what it holds")
    command.add_argument("id", metavar="ID")
    command.set_defaults(run=uploads_abort)


if __name__ == "__main__":
    main()
