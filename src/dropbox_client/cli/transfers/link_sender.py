"""`dbx upload PATH... LINK`: send files and folders to an upload link, without an account."""

import hashlib
import hmac
import os
import re
import secrets
import sys
from argparse import Namespace
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from dropbox_client.address import read_address
from dropbox_client.cli import output
from dropbox_client.cli.environment import RETRY_FOR_S, token_file
from dropbox_client.cli.transfers import report
from dropbox_client.cli.wait_report import start_wait_report
from dropbox_client.client import Client
from dropbox_client.errors import ClientError, NotSignedIn, Stopped, Unreachable, Usage
from dropbox_client.problems import LinkPasswordRequired
from dropbox_client.retry import TRANSFER_RETRY_FOR_S
from dropbox_client.tokens import TokenMemory
from dropbox_client.transfer.progress import UploadItem, UploadResult
from dropbox_client.transfer.walk import Skipped, Walk

if TYPE_CHECKING:
    from dropbox_client.cli.progress_bars import ProgressBars
    from dropbox_client.models import LinkUpload

_STDIN = "-"
_KEY_BYTES = 32


@dataclass(frozen=True)
class LinkAddress:
    """The address of a link, as `https://files.example.org/s/TOKEN`."""

    server: str
    token: str


def find_link(argument: str) -> LinkAddress | None:
    """Return the link that an argument is the address of. Raises Usage for a web address that is none."""
    if not argument.lower().startswith(("http://", "https://")):
        return None
    server, _, token = argument.rstrip("/").rpartition("/s/")
    if not re.fullmatch("[A-Za-z0-9_-]+", token):
        raise Usage("the address of an upload link is https://SERVER/s/TOKEN")
    try:
        return LinkAddress(read_address(server), token)
    except ValueError as error:
        raise Usage(str(error)) from None


def send_files(link: LinkAddress, paths: Sequence[str], options: Namespace) -> int:
    """Send files and folders, or stdin, to an upload link; return how many failed."""
    from dropbox_client.cli.progress_bars import open_progress_bars  # noqa: PLC0415

    if not paths:
        raise Usage("name the files to send before the address of the link")
    if options.name and options.password_stdin:
        raise Usage("stdin is the content: it cannot give the password, too")
    if options.on_conflict == "fail" or options.retry_changed:
        raise Usage("--on-conflict fail and --retry-changed are not for upload links")
    walk = Walk(paths, "/", "rename")
    items: Iterable[UploadItem] = [UploadItem(Path(_STDIN), "/", options.name, 0)] if options.name else walk
    totals = report.Totals()
    with Client(link.server, TokenMemory(), retry_for_s=RETRY_FOR_S) as client:
        start_wait_report(client, options.format)
        password = _open_link(client, link, options)
        client.retry_for_s = TRANSFER_RETRY_FOR_S
        secret = _derive_secret(link)
        with open_progress_bars(options.format, client.exchange.waits) as bars:
            for item in items:
                try:
                    sent, sent_bytes = _send(client, link, item, password, secret, bars)
                except (NotSignedIn, Stopped, Unreachable, BrokenPipeError):
                    raise
                except (ClientError, OSError) as error:
                    report.print_unsent(item, error, options.format)
                    totals.failed += 1
                else:
                    report.print_sent(item, sent, sent_bytes, options.format)
                    totals.add_file(sent.size_bytes, sent_bytes)
    reason = "an empty folder is not sent to a link"
    empty = [Skipped(Path(folder), reason, failed=False) for folder in walk.empty_folders]
    report.print_skipped([*walk.skipped, *empty], options.format)
    report.print_litter(walk.litter, options.format, is_verbose=options.verbose)
    totals.failed += sum(skipped.failed for skipped in walk.skipped)
    totals.print_summary()
    return totals.failed


def _send(
    client: Client, link: LinkAddress, item: UploadItem, password: str | None, secret: str, bars: "ProgressBars"
) -> "tuple[LinkUpload, int]":
    """Send one file; return its session, and how many bytes were transferred."""
    from dropbox_client.transfer.content import open_source  # noqa: PLC0415
    from dropbox_client.transfer.link_upload import LinkTarget, send_to_link  # noqa: PLC0415

    sent_bytes = 0

    def count(size_bytes: int) -> None:
        nonlocal sent_bytes
        sent_bytes += size_bytes
        bars.on_bytes(item, size_bytes)

    bars.on_item(item)
    target = LinkTarget(link.token, password, secret, item.name, item.folder.strip("/") or None)
    try:
        with open_source(sys.stdin.buffer if item.path == Path(_STDIN) else item.path, client.check) as source:
            steps = send_to_link(
                client.exchange, target, source, count, lambda size_bytes: bars.on_bytes(item, size_bytes)
            )
            return client.drive(steps), sent_bytes
    finally:
        bars.on_result(UploadResult(item))


def _open_link(client: Client, link: LinkAddress, options: Namespace) -> str | None:
    """Return the password of the link, asked for where it has one. Raises Usage for a link of another mode."""
    password = output.read_secret() if options.password_stdin else None
    try:
        shown = client.public.get_link(link.token, password=password)
    except LinkPasswordRequired:
        if password is not None:
            raise
        if options.name:
            raise Usage("the link has a password, which stdin cannot give beside the content: use a file") from None
        password = output.ask_secret("Password of the link: ", alternative="use --password-stdin")
        shown = client.public.get_link(link.token, password=password)
    if shown.mode != "upload":
        raise Usage("this link takes no files: ask its owner for an upload link")
    return password


def _derive_secret(link: LinkAddress) -> str:
    """Return the secret by which the server knows this computer under a link: a repeated command continues.

    It is derived from a random key in the configuration folder, so that no two links see the same secret.
    """
    tokens = token_file()
    path = tokens.path.with_name("sender-key")
    with tokens.locked():
        key = path.read_bytes() if path.exists() else b""
        if len(key) != _KEY_BYTES:  # missing, or cut off by a full disk
            key = secrets.token_bytes(_KEY_BYTES)
            with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:  # noqa: PTH123
                file.write(key)
    return hmac.digest(key, link.token.encode(), hashlib.sha256).hex()
