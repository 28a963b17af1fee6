"""What `dbx` prints: for people, or as JSON Lines for programs."""

import json as jsonlib
import sys
from collections.abc import Iterable
from dataclasses import fields, is_dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from dropbox_client.display import human_bytes
from dropbox_client.errors import ApiProblem
from dropbox_client.progress import Outcome
from dropbox_client.shapes import File, Me, Processing, Revision, Upload
from dropbox_client.walk import Skipped


def say(text: str) -> None:
    """Print a result."""
    print(text)  # noqa: T201 - this is the module that prints


def note(text: str) -> None:
    """Print what is good to know and no result."""
    print(text, file=sys.stderr)  # noqa: T201


def ask(question: str) -> str:
    """Return the line that a person answers with, "" when there is nobody."""
    sys.stderr.write(question)
    sys.stderr.flush()
    return sys.stdin.readline()


def complain(text: str) -> None:
    """Print what went wrong."""
    note(f"dbx: {text}")


def record(value: object, **more: object) -> None:
    """Print a dataclass as one line of JSON, with members of ours added."""
    say(jsonlib.dumps({**_plain(value), **more}, default=_plain))


def explain(error: Exception) -> str:
    """Return what a person should read of an error; `code` is there for looking it up."""
    if not isinstance(error, ApiProblem):
        return str(error)
    details = [f"{item['pointer']}: {item['detail']}" for item in error.extra.get("errors") or ()]
    return f"{'; '.join([error.detail, *details])} ({error.code})"


def quota(me: Me) -> None:
    say(f"{human_bytes(me.used_bytes)} of {human_bytes(me.quota_bytes)} used, {me.used_nodes} files and folders")
    if me.reserved_bytes:
        say(f"{human_bytes(me.reserved_bytes)} reserved for uploads under way")


def listed(file: File, name: str, *, long: bool, json: bool) -> None:
    """Tell of a file or folder in a list, by a name or path."""
    if json:
        record(file)
        return
    name = f"{name}/" if file.kind == "folder" and name != "/" else name
    if long:
        kind = "d" if file.kind == "folder" else "-"
        when = _local(file.client_modified_at or file.modified_at)
        state = _state(file.content_status, file.processing)
        name = f"{kind} {_size(file.size_bytes)}  {when}  {state:<11}  {file.owner}  {name}"
    say(name)


def revision(found: Revision, *, json: bool) -> None:
    if json:
        record(found)
        return
    mark = "*" if found.is_head else " "
    state = _state(found.content_status, found.processing)
    when = _local(found.created_at)
    say(f"{found.number:>4}{mark} {when}  {_size(found.size_bytes)}  {state:<11}  {found.author}  {found.id}")


def trashed(file: File, *, json: bool) -> None:
    if json:
        record(file)
        return
    path = f"{file.path}/" if file.kind == "folder" else file.path
    say(f"{_local(file.trashed_at or file.modified_at)}  {_size(file.size_bytes)}  {file.id}  {path}")


def placed(source: str, file: File, *, json: bool) -> None:
    """Tell where something went."""
    if json:
        record(file, source=source)
    else:
        say(f"{source} -> {file.path}")


def session(upload: Upload, *, json: bool) -> None:
    if json:
        record(upload)
        return
    percent = 100 * upload.uploaded_bytes // upload.size_bytes if upload.size_bytes else 0
    names = ", ".join(place.name for place in upload.destinations)
    until = f"kept until {_local(upload.expires_at)}"
    say(f"{upload.id}  {upload.state:<10}  {percent:3}% of {human_bytes(upload.size_bytes):>10}  {until}  {names}")


def sent(outcome: Outcome, *, json: bool) -> None:
    """Tell what came of one file."""
    path, file = str(outcome.item.path), outcome.file
    if json and file:
        record(file, local_path=path, sent_bytes=outcome.sent_bytes)
    elif json and outcome.error:
        code = outcome.error.code if isinstance(outcome.error, ApiProblem) else type(outcome.error).__name__
        say(jsonlib.dumps({"local_path": path, "error": {"code": code, "detail": str(outcome.error)}}))
    elif file:
        instant = "" if outcome.sent_bytes or not file.size_bytes else " (already there)"
        say(f"{path} -> {file.path}{instant}")
    if outcome.error:
        complain(f"{path}: {explain(outcome.error)}")


def skipped(found: Iterable[Skipped], *, json: bool) -> None:
    for item in found:
        if json:
            say(jsonlib.dumps({"local_path": str(item.path), "skipped": item.reason}))
        complain(f"{item.path}: {item.reason}")


def summary(*, files: int, size_bytes: int, sent_bytes: int, seconds: float, failed: int) -> None:
    """Tell how an upload went."""
    rate = f" ({human_bytes(sent_bytes / seconds)}/s)" if sent_bytes and seconds else ""
    there = f", {human_bytes(size_bytes - sent_bytes)} of it there already" if size_bytes > sent_bytes else ""
    bad = f"; {failed} failed" if failed else ""
    note(
        f"{files} {'file' if files == 1 else 'files'}, {human_bytes(size_bytes)}{there}, in {seconds:.1f} s{rate}{bad}"
    )


def fetched(file: File, target: Path, *, json: bool, there: bool) -> None:
    """Tell of a download; `there`: the local file was right already."""
    if json:
        record(file, local_path=str(target), there=there)
    else:
        say(f"{file.path} -> {target}{' (already there)' if there else ''}")


def not_fetched(file: File, error: Exception, *, json: bool) -> None:
    if json:
        code = error.code if isinstance(error, ApiProblem) else type(error).__name__
        say(jsonlib.dumps({"path": file.path, "error": {"code": code, "detail": str(error)}}))
    complain(f"{file.path}: {explain(error)}")


def _size(size_bytes: int | None) -> str:
    return f"{'' if size_bytes is None else human_bytes(size_bytes):>10}"


def _local(moment: datetime) -> str:
    return f"{moment.astimezone():%Y-%m-%d %H:%M}"


def _state(content_status: str | None, processing: Processing | None) -> str:
    return "/".join(state for state in (content_status, processing and processing.state) if state)


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, ApiProblem):
        return {"code": value.code, "detail": value.detail, **value.extra}
    if is_dataclass(value):
        return {member.name: getattr(value, member.name) for member in fields(value)}
    return str(value)
