"""What `upload` and `download` print: a line per file, and a summary."""

import json
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from dropbox_client.cli import output
from dropbox_client.cli.arguments import Format
from dropbox_client.cli.remote import format_path
from dropbox_client.models import File, LinkUpload, Upload
from dropbox_client.transfer.progress import UploadItem, UploadResult
from dropbox_client.transfer.walk import Skipped


@dataclass(slots=True)
class Totals:
    """The counts of one command."""

    files: int = 0
    size_bytes: int = 0
    sent_bytes: int = 0
    """Bytes that were transferred; the others were present already."""
    reused_bytes: int = 0
    """Bytes that the server took from stored content."""
    saved_bytes: int = 0
    """Bytes that compression made unnecessary."""
    failed: int = 0
    started_at: float = field(default_factory=time.monotonic)

    def add_file(self, size_bytes: int, sent_bytes: int, reused_bytes: int = 0, saved_bytes: int = 0) -> None:
        self.files += 1
        self.reused_bytes += reused_bytes
        self.saved_bytes += saved_bytes
        self.size_bytes += size_bytes
        self.sent_bytes += sent_bytes

    def print_summary(self) -> None:
        seconds = time.monotonic() - self.started_at
        files = f"{self.files} {'file' if self.files == 1 else 'files'}, {output.format_bytes(self.size_bytes)}"
        reused = _describe_sent(self.sent_bytes, self.reused_bytes, self.saved_bytes)
        present_bytes = self.size_bytes - self.sent_bytes - self.reused_bytes - self.saved_bytes
        present = f", {output.format_bytes(present_bytes)} of it already there" if present_bytes > 0 else ""
        rate = f" ({output.format_bytes(self.sent_bytes / seconds)}/s)" if self.sent_bytes and seconds else ""
        failed = f"; {self.failed} failed" if self.failed else ""
        output.print_note(f"{files}{reused and f', {reused}'}{present}, in {seconds:.1f} s{rate}{failed}")


def print_upload(result: UploadResult, output_format: Format) -> None:
    """Print the result of one file."""
    path, file = str(result.item.path), result.file
    if output_format is Format.JSON:
        if file:
            output.print_json(
                file,
                local_path=path,
                sent_bytes=result.sent_bytes,
                reused_bytes=result.reused_bytes,
                saved_bytes=result.saved_bytes,
            )
        elif result.error:
            output.print_text(output.error_to_json(result.error, local_path=path))
    elif file:
        reused = _describe_sent(result.sent_bytes, result.reused_bytes, result.saved_bytes)
        note = f" ({reused})" if reused else _describe_present(file.size_bytes, result.sent_bytes)
        output.print_text(f"{path} -> {format_path(file)}{note}")
    if result.error:
        output.print_error(output.describe_error(result.error, path))


def print_sent(item: UploadItem, sent: LinkUpload, sent_bytes: int, output_format: Format) -> None:
    """Print a file that was sent to a link."""
    if output_format is Format.JSON:
        output.print_json(sent, local_path=str(item.path), sent_bytes=sent_bytes)
    else:
        there = "/".join(filter(None, (sent.folder_path, sent.name)))
        output.print_text(f"{item.path} -> {there}{_describe_present(sent.size_bytes, sent_bytes)}")


def print_unsent(item: UploadItem, error: Exception, output_format: Format) -> None:
    """Print a file that was not sent to a link."""
    if output_format is Format.JSON:
        output.print_text(output.error_to_json(error, local_path=str(item.path)))
    output.print_error(output.describe_error(error, str(item.path)))


def _describe_sent(sent_bytes: int, reused_bytes: int, saved_bytes: int) -> str:
    """Return how much was sent, reused and saved by compression; nothing if all was sent as it is."""
    reused = f", reused {output.format_bytes(reused_bytes)}" if reused_bytes else ""
    saved = f", saved {output.format_bytes(saved_bytes)} by compression" if saved_bytes else ""
    return f"sent {output.format_bytes(sent_bytes)}{reused}{saved}" if reused or saved else ""


def _describe_present(size_bytes: int | None, sent_bytes: int) -> str:
    return " (already there)" if size_bytes and not sent_bytes else ""


def print_skipped(skipped: Iterable[Skipped], output_format: Format) -> None:
    """Print the paths that were not uploaded."""
    for item in skipped:
        if output_format is Format.JSON:
            output.print_text(json.dumps({"local_path": str(item.path), "skipped": item.reason}))
        output.print_error(f"{item.path}: {item.reason}")


def print_litter(paths: Sequence[Path], output_format: Format, *, is_verbose: bool) -> None:
    """Print how many files of the operating system were not uploaded, and with `is_verbose` which."""
    if not paths:
        return
    if is_verbose:
        print_skipped([Skipped(path, "a file of the operating system", failed=False) for path in paths], output_format)
    hint = "" if is_verbose else "; -v lists them"
    output.print_note(f"skipped {len(paths)} {'file' if len(paths) == 1 else 'files'} of the operating system{hint}")


def print_download(file: File, target: Path, output_format: Format, *, is_unchanged: bool) -> None:
    """Print a file that is at `target`; `is_unchanged` if it was there already."""
    if output_format is Format.JSON:
        output.print_json(file, local_path=str(target), there=is_unchanged)
    else:
        output.print_text(f"{format_path(file)} -> {target}{' (already there)' if is_unchanged else ''}")


def print_failed_download(file: File, error: Exception, output_format: Format) -> None:
    if output_format is Format.JSON:
        output.print_text(output.error_to_json(error, path=file.path))
    output.print_error(output.describe_error(error, format_path(file)))


def describe_upload(upload: Upload) -> str:
    """Return a line with the state of an upload session."""
    percent = 100 * upload.uploaded_bytes // upload.size_bytes if upload.size_bytes else 0
    size = output.format_bytes(upload.size_bytes)
    names = ", ".join(place.name or f"id:{place.file_id}" for place in upload.destinations)
    expiry = f"expires {output.format_time(upload.expires_at)}"
    return f"{upload.id}  {upload.state:<10}  {percent:3}% of {size:>10}  {expiry}  {names}"
