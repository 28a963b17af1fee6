"""What `dbx` prints: for people, or as JSON Lines for programs."""

import json as jsonlib
import sys
from collections.abc import Iterable
from dataclasses import fields, is_dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from dropbox_client.cli.arguments import ID
from dropbox_client.cli.progress_bars import human_bytes
from dropbox_client.cli.remote import shown
from dropbox_client.errors import ApiProblem, Usage
from dropbox_client.models import ApiToken, Event, File, Grant, Link, Me, Processing, Revision, SignIn, Upload
from dropbox_client.transfer.progress import Outcome
from dropbox_client.transfer.walk import Skipped


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


def ask_secret(question: str, *, twice: bool = False, instead: str = "it on stdin") -> str:
    """Return what a person types unseen; without a terminal the next line of stdin. Raises Usage."""
    if not sys.stdin.isatty():
        if answer := sys.stdin.readline().rstrip("\n"):
            return answer
        raise Usage(f"there is nobody to ask: say {instead}")
    import getpass  # noqa: PLC0415

    answer = getpass.getpass(question)
    if twice and getpass.getpass("Once more: ") != answer:
        raise Usage("these are two different ones")
    return answer


def complain(text: str) -> None:
    """Print what went wrong."""
    note(f"dbx: {text}")


def record(value: object, **more: object) -> None:
    """Print a dataclass as one line of JSON, with members of ours added."""
    say(line(value, **more))


def line(value: object, **more: object) -> str:
    """Write a dataclass as one line of JSON, with members of ours added."""
    return jsonlib.dumps({**_plain(value), **more}, default=_plain)


def explain(error: Exception) -> str:
    """Return what a person should read of an error; `code` is there for looking it up."""
    if not isinstance(error, ApiProblem):
        return str(error)
    details = [f"{item['pointer']}: {item['detail']}" for item in error.extra.get("errors") or ()]
    return f"{'; '.join([error.detail, *details])} ({error.code})"


def account(me: Me, server: str) -> None:
    """Tell whose sign-in this is, what is particular about it, and how much is used."""
    say(f"{me.email} at {server}")
    notes = (
        (me.kind == "service", "service account"),
        (me.is_admin, "administrator"),
        (me.kind == "person" and not me.email_verified_at, "address not confirmed"),
        (me.second_factor, "second factor on"),
        (me.kind == "person" and not me.has_password, "no password"),
    )
    if said := ", ".join(text for is_so, text in notes if is_so):
        say(said)
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


def shared(file: File, *, long: bool, json: bool) -> None:
    """Tell of something that others share, by what to call it."""
    if json:
        record(file)
        return
    name = f"{shown(file)}/" if file.kind == "folder" else shown(file)
    if long:
        kind = "d" if file.kind == "folder" else "-"
        when = _local(file.client_modified_at or file.modified_at)
        name = f"{kind} {_size(file.size_bytes)}  {when}  {file.role:<6}  {file.owner}  {file.id}  {name}"
    say(name)


def grant(found: Grant, *, json: bool) -> None:
    """Tell who has access, or has it from now on."""
    if json:
        record(found)
        return
    waiting = "  (waits for them to confirm the address)" if found.pending else ""
    above = "  (by a folder above)" if found.inherited else ""
    say(f"{found.role:<6}  {found.email or found.user_id}{waiting}{above}")


def link(found: Link, address: str, *, json: bool) -> None:
    """Tell of a link that there is."""
    if json:
        record(found, url=address)
        return
    most = "" if found.max_downloads is None else f" of {found.max_downloads}"
    until = f"  until {_local(found.expires_at)}" if found.expires_at else ""
    password = "  with a password" if found.has_password else ""
    say(f"{found.id}  {found.mode:<8}  {found.downloads}{most} downloads{until}{password}  {address}")


def token(found: ApiToken, *, json: bool) -> None:
    """Tell of an access token that there is."""
    if json:
        record(found)
        return
    used = _local(found.last_used_at) if found.last_used_at else "never used"
    until = f"until {_local(found.expires_at)}" if found.expires_at else "until revoked"
    say(f"{found.id}  {used:<16}  {until:<22}  {','.join(sorted(found.scopes))}  {found.name}")


def sign_in(found: SignIn, *, json: bool) -> None:
    """Tell where somebody is signed in."""
    if json:
        record(found)
        return
    mark = "*" if found.is_current else " "
    say(f"{mark} {found.id}  {_local(found.last_used_at)}  {found.address or '-':<15}  {found.user_agent or '-'}")


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
        say(f"{source} -> {shown(file)}")


_HAPPENED = {
    "file.created": "added",
    "file.updated": "changed",
    "file.renamed": "renamed",
    "file.moved": "moved",
    "file.trashed": "to the trash",
    "file.restored": "brought back",
    "file.deleted": "deleted",
    "file.verified": "verified",
    "file.quarantined": "quarantined",
    "file.damaged": "damaged",
    "file.repaired": "repaired",
    "file.processing": "processing",
    "share.granted": "shared",
    "share.changed": "role changed",
    "share.revoked": "unshared",
}


def event(found: Event, before: str | None) -> None:
    """Tell what happened to what, and whose it is; `before`: where it was, if that is known."""
    file, detail = found.file, found.detail
    place = shown(file) if file else before or f"{ID}{found.file_id}"
    if file and file.kind == "folder" and not place.endswith("/"):
        place += "/"
    if file and before and before != place.rstrip("/") and before != place:
        place = f"{before} -> {place}"
    happened = _HAPPENED.get(found.kind, found.kind)
    if found.kind == "file.processing" and "state" in detail:
        happened = f"{happened} {detail['state']}"
    if found.kind.startswith("share.") and "email" in detail:
        place += f"  with {detail['email']} ({detail.get('role')})"
    whose = f"  of {file.owner}" if file and file.role != "owner" else ""
    size = _size(file.size_bytes if file else None)
    say(f"{found.at.astimezone():%Y-%m-%d %H:%M:%S}  {happened:<20} {size}  {place}{whose}")


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
        say(f"{path} -> {shown(file)}{instant}")
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
        say(f"{shown(file)} -> {target}{' (already there)' if there else ''}")


def not_fetched(file: File, error: Exception, *, json: bool) -> None:
    if json:
        code = error.code if isinstance(error, ApiProblem) else type(error).__name__
        say(jsonlib.dumps({"path": file.path, "error": {"code": code, "detail": str(error)}}))
    complain(f"{shown(file)}: {explain(error)}")


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
