"""Every command of `dbx` with hostile arguments, environments and servers: one clear line, no secret, no traceback.

The commands come from the parser, so that a new one cannot be left out.
"""

import argparse
import io
import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from dropbox_client.cli import arguments as kinds
from dropbox_client.cli import environment, main
from dropbox_client.cli.parser import build_parser
from dropbox_client.tokens import TokenFile, Tokens
from tests.support.process import Ran

UUID = "01900000-0000-7000-8000-000000000000"
SECRETS = ("pass-word-1", "access-secret", "refresh-secret", "dbx_pat_secret")
STDIN = "pass-word-1\n" * 4


# Commands


@dataclass(frozen=True)
class Command:
    words: tuple[str, ...]
    actions: tuple[argparse.Action, ...]

    @property
    def name(self) -> str:
        return " ".join(self.words)

    def arguments(self, replaced: argparse.Action | None = None, value: str = "") -> list[str]:
        """Return valid arguments, with `value` for the argument or option `replaced`."""
        options, positional = list(EXTRA.get(self.name, ())), []
        for action in self.actions:
            text = value if action is replaced else _find_valid_value(action)
            if self.name in ONLINE_OF_SYNC and action.dest == "folder" and action is not replaced:
                text = "synchronized"
            if not action.option_strings:
                positional.append(text)
            elif action is replaced or action.required:
                options.append(f"{action.option_strings[-1]}={text}")
        return [*self.words, *options, *(["--", *positional] if positional else [])]


EXTRA = {
    "login": ("--email=ada@example.org", "--password-stdin"),
    "trash empty": ("--yes",),
    "search": ("--kind=file",),
    "second-factor disable": ("--otp=123456",),
    "second-factor recovery-codes": ("--otp=123456",),
}
"""Options with which a command sends requests without a prompt."""


def _find_valid_value(action: argparse.Action) -> str:
    if action.choices:
        return str(next(iter(action.choices)))
    values: dict[object, str] = {
        kinds.local_path: __file__,
        kinds.any_path: __file__,
        kinds.command_word: "true",
        kinds.object_id: UUID,
        kinds.duration_s: "1h",
        kinds.moment: "1h",
        kinds.positive_int: "1",
        kinds.size_bytes: "1G",
        kinds.server_address: "http://127.0.0.1:1",
    }
    return values.get(action.type, "/a")


def _list_commands(parser: argparse.ArgumentParser, words: tuple[str, ...] = ()) -> Iterator[Command]:
    groups = [action for action in parser._actions if isinstance(action, argparse._SubParsersAction)]
    for group in groups:
        for name, command in group.choices.items():
            yield from _list_commands(command, (*words, name))
    if not groups:
        yield Command(words, tuple(action for action in parser._actions if action.nargs != 0))


PARSER = build_parser()
COMMANDS = list(_list_commands(PARSER))
ONLINE_OF_SYNC = {"sync add", "sync keep"}
OFFLINE = {"completion", "status", "conflicts"} | {
    command.name for command in COMMANDS if command.words[0] == "sync" and command.name not in ONLINE_OF_SYNC
}
VALUES = [(command, action) for command in COMMANDS for action in command.actions]
every_command = pytest.mark.parametrize(
    "command", [command for command in COMMANDS if command.name not in OFFLINE], ids=lambda command: command.name
)
every_value = pytest.mark.parametrize(
    ("command", "action"), VALUES, ids=lambda value: value.name if isinstance(value, Command) else value.dest
)


def test_every_command_is_listed() -> None:
    assert {"upload", "login", "trash empty", "uploads resume", "complete-path"} <= {one.name for one in COMMANDS}


# Servers


class HostileServer:
    """A server that gives every connection the same bytes, and counts the requests."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._thread = threading.Thread(target=self._serve)
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self.answer = b""
        self.requests: list[bytes] = []

    def __enter__(self) -> "HostileServer":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._listener.close()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            with connection:
                connection.settimeout(20)
                try:
                    self.requests.append(_read_request(connection))
                    connection.sendall(self.answer)
                    connection.shutdown(socket.SHUT_WR)
                    while connection.recv(65536):
                        pass
                except OSError:  # the client has seen enough
                    continue


def _read_request(connection: socket.socket) -> bytes:
    data = b""
    while b"\r\n\r\n" not in data:
        block = connection.recv(65536)
        if not block:
            break
        data += block
    return data


@pytest.fixture(scope="module")
def hostile() -> Iterator[HostileServer]:
    with HostileServer() as server:
        yield server


@pytest.fixture
def server(hostile: HostileServer) -> HostileServer:
    hostile.answer, hostile.requests = http(200, b"{}"), []
    return hostile


def http(status: int, body: bytes, *headers: str) -> bytes:
    lines = [f"HTTP/1.1 {status} Any", f"Content-Length: {len(body)}", "Connection: close", *headers, "", ""]
    return "\r\n".join(lines).encode("latin-1") + body


ESCAPES = "\x1b[2J\x07\r\u202e"
HTML = b"<html><title>502 Bad Gateway</title></html>"
PROBLEM = {
    "code": f"forbidden{ESCAPES}", "status": "x", "detail": f"no{ESCAPES}", "errors": 5, "problems": {}, "retryable": []
}  # fmt: skip
GARBAGE = {
    "not JSON": http(200, HTML, "Content-Type: text/html"),
    "empty object": http(200, b"{}"),
    "empty": http(200, b""),
    "null": http(200, b"null"),
    "number": http(200, b"5"),
    "text": http(200, b'"text"'),
    "list": http(200, b"[[], {}, 5]"),
    "deep": http(200, b"[" * 100_000),
    "truncated JSON": http(200, b'{"items": [{"id":'),
    "invalid UTF-8": http(200, b'{"items": "\xff\xfe"}'),
    "NaN": http(200, b'{"items": NaN, "next_cursor": Infinity, "size_bytes": -1e999}'),
    "items of another type": http(200, b'{"items": 5, "next_cursor": null}'),
    "item of another type": http(200, b'{"items": [5], "next_cursor": null}'),
    "members of another type": http(200, json.dumps(
        {name: [] for name in ("id", "kind", "name", "email", "token", "cursor", "enabled", "access_token", "state")}
    ).encode()),
    "tokens with control characters": http(
        200, b'{"access_token": "access-secret\\r\\nX: y", "refresh_token": 5, "enabled": true, "name": "\\u001b[2J"}'
    ),
    "not gzip": http(200, b"{}", "Content-Encoding: gzip"),
    "short body": http(200, b"{}").replace(b"Content-Length: 2", b"Content-Length: 99"),
    "huge length": http(200, b"{}").replace(b"Content-Length: 2", b"Content-Length: 999999999999999999999999"),
    "length that is no number": http(200, b"{}").replace(b"Content-Length: 2", b"Content-Length: two"),
    "chunks of another size": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n{}\r\n",
    "no HTTP": b"SSH-2.0-OpenSSH_9.2\r\n",
    "closed": b"",
    "cut in the headers": b"HTTP/1.1 200 OK\r\nContent-",
    "too many headers": b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 500 + b"\r\n",
    "redirect": http(307, b"", "Location: /v1/me"),
    "404 page": http(404, HTML, "Content-Type: text/html"),
    "502 page": http(502, HTML, "Content-Type: text/html"),
    "503 for a long time": http(503, b"{}", "Retry-After: 99999999999999999999999"),
    "500 without a body": http(500, b""),
    "problem with members of another type": http(403, json.dumps(PROBLEM).encode()),
    "problem that is a list": http(400, b'[{"code": 5}]'),
}  # fmt: skip
"""Answers that no server of this API gives."""


# Runs


class Ended(Ran):
    def is_clear(self, command: Command, codes: set[int]) -> None:
        """Check the exit code, and that one line says why, without a secret and without a traceback."""
        text = self.out + self.err
        assert self.code in codes, (command.name, self)
        assert "Traceback" not in text
        assert "internal error" not in text, (command.name, self)
        assert not [secret for secret in SECRETS if secret in text], (command.name, self)
        if self.code and command.name != "complete-path":
            lines = [line for line in self.err.splitlines() if line.startswith(("dbx: ", "dbx " + command.words[0]))]
            assert len(lines) == 1, (command.name, self)


Run = Callable[..., Ended]


def save_sign_in(server: HostileServer, folder: Path) -> None:
    TokenFile(folder / "tokens.json").save(Tokens(server.url, "ada@example.org", "access-secret", "refresh-secret"))


@pytest.fixture
def run(
    server: HostileServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Run:
    """Run `dbx` in this process, signed in to the hostile server; requests are not repeated."""
    save_sign_in(server, tmp_path)
    monkeypatch.chdir(tmp_path)  # some commands write to the paths that they get
    monkeypatch.setenv("DBX_CONFIG_DIR", str(tmp_path))
    monkeypatch.setenv("DBX_SERVER", server.url)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("DBX_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.delenv("DBX_TOKEN", raising=False)
    monkeypatch.setattr("dropbox_client.cli.build_parser", lambda: PARSER)  # building it takes longer than most runs
    monkeypatch.setattr(environment, "RETRY_FOR_S", 0)
    monkeypatch.setattr("dropbox_client.cli.account.commands.RETRY_FOR_S", 0)

    def run_once(*typed: str, on_terminal: bool = False) -> Ended:
        monkeypatch.setattr(sys, "stdin", io.StringIO(STDIN))
        for stream in (sys.stdout, sys.stderr):
            monkeypatch.setattr(stream, "isatty", lambda: on_terminal)
        with pytest.raises(SystemExit) as ended:
            main(typed)
        text = capsys.readouterr()
        return Ended(int(str(ended.value.code)), text.out, text.err)

    return run_once


@every_command
def test_command_at_a_server_that_answers_garbage_fails_clearly(
    command: Command, run: Run, server: HostileServer, tmp_path: Path
) -> None:
    for name, server.answer in GARBAGE.items():
        if not (tmp_path / "tokens.json").exists():  # after a logout
            save_sign_in(server, tmp_path)
        server.requests.clear()
        ended = run(*command.arguments())
        try:
            ended.is_clear(command, {0} if command.name == "complete-path" else {1, 3, 4})
        except AssertionError as error:
            error.add_note(f"at: {name}")
            raise
        assert server.requests


@every_value
@pytest.mark.parametrize("value", ["", "\udcff"], ids=["empty", "not Unicode"])
def test_value_that_cannot_be_sent_is_a_usage_error(
    command: Command, action: argparse.Action, value: str, run: Run, server: HostileServer
) -> None:
    is_local = action.type in {kinds.local_path, kinds.command_word} or command.name == "complete-path"
    is_upload = action.type is kinds.any_path and action.dest == "paths"
    ended = run(*command.arguments(action, value))
    if value and (is_local or is_upload):  # local names may be any bytes
        ended.is_clear(command, {0, 1, 2, 3, 4})
    elif not is_local or action.type is kinds.local_path:
        ended.is_clear(command, {2})
        assert server.requests == []


HOSTILE_TEXTS = [
    "-1",
    "99999999999999999999999",
    "9" * 5000,
    "9" * 20 + "d",
    "0001-01-01",
    "9999-12-31T23:59:59",
    ESCAPES,
    "x" * 100_000,
    "../..",
    "%2e",
    "shared:",
    "id:",
]


@every_value
def test_hostile_value_fails_clearly(command: Command, action: argparse.Action, run: Run) -> None:
    for value in HOSTILE_TEXTS:
        run(*command.arguments(action, value)).is_clear(command, {0, 1, 2, 3, 4})


MALFORMED = {
    "DBX_SERVER": [
        "http://h:99999", "http://h:abc", "http://[::1", "http://..", "http://a b", "h:80", "http://u:pass-word-1@h",
        "\udcff",
    ],
    "DBX_TOKEN": ["dbx_pat_secret\r\nX: y", "dbx_pat_secret x", "dbx_pat_secret\udcff", "dbx_pat_secretü", " "],
}  # fmt: skip


@every_command
def test_malformed_environment_is_a_usage_error(
    command: Command, run: Run, server: HostileServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    if command.name == "login":
        monkeypatch.setitem(EXTRA, "login", ("--token",))
    for variable, values in MALFORMED.items():
        for value in values:
            with monkeypatch.context() as changed:
                changed.setenv(variable, value)
                ended = run(*command.arguments())
            ended.is_clear(command, {0} if command.name == "complete-path" else {2})
            assert server.requests == []


@pytest.mark.parametrize("around", ["\n", "\r\n", "\r", " "])
def test_token_with_white_space_around_it_is_sent_without(
    around: str, run: Run, server: HostileServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DBX_TOKEN", f"dbx_pat_secret{around}")
    run("ls").is_clear(COMMANDS[0], {1})
    assert b"Authorization: Bearer dbx_pat_secret\r\n" in server.requests[0]


@pytest.mark.parametrize(
    "typed",
    [
        "login --token dbx_pat_secret",
        "login --token=dbx_pat_secret",
        "login --password pass-word-1",
        "login --password-stdin=pass-word-1",
        "login --email a@example.org pass-word-1",
        "login -ppass-word-1",
        "whoami --token=pass-word-1",
        "password pass-word-1",
        "link /a --password pass-word-1",
        "link /a --password=pass-word-1",
        "second-factor disable pass-word-1",
        "ls dbx_pat_secret",
        "unlink dbx_pat_secret",
        "upload dbx_pat_secret",
        "rm dbx_pat_secret",
        "dbx_pat_secret",
    ],
)
def test_secret_typed_where_none_belongs_is_not_shown(typed: str, run: Run, server: HostileServer) -> None:
    server.answer = http(404, b'{"code": "not-found", "status": 404, "detail": "nothing at /dbx_pat_secret"}')
    run(*typed.split()).is_clear(Command((typed.split(maxsplit=1)[0],), ()), {1, 2})


# Environments


def _remove_home(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def find_no_home() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("DBX_CONFIG_DIR")
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    monkeypatch.setattr(Path, "home", find_no_home)


def _put_a_file_at_the_config_folder(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "file").write_bytes(b"")
    monkeypatch.setenv("DBX_CONFIG_DIR", str(folder / "file"))  # as if it could not be written to


def _put_a_folder_at_the_tokens(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "tokens.json").unlink()
    (folder / "tokens.json").mkdir()


def _damage_the_tokens(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "tokens.json").write_bytes(b'{"access_token": "access-secret\xff')


def _store_a_token_that_cannot_be_sent(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tokens = json.loads((folder / "tokens.json").read_text())
    (folder / "tokens.json").write_text(json.dumps(tokens | {"access_token": "access-secret\r\nX: y"}))


@pytest.mark.parametrize(
    "damage",
    [
        _remove_home,
        _put_a_file_at_the_config_folder,
        _put_a_folder_at_the_tokens,
        _damage_the_tokens,
        _store_a_token_that_cannot_be_sent,
    ],
)
@every_command
def test_damaged_environment_fails_clearly(
    command: Command,
    damage: Callable[[Path, pytest.MonkeyPatch], None],
    run: Run,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with monkeypatch.context() as changed:
        damage(tmp_path, changed)
        ended = run(*command.arguments())
    codes = {0} if command.name == "complete-path" else {0, 1, 2, 3} if command.name == "logout" else {1, 2, 3}
    ended.is_clear(command, codes)


@every_command
def test_text_of_a_server_on_a_terminal_has_no_control_characters(
    command: Command, run: Run, server: HostileServer
) -> None:
    for document in ({"code": "forbidden", "detail": f"no{ESCAPES}"}, {"code": f"x{ESCAPES}", "detail": "no"}):
        server.answer = http(403, json.dumps(document).encode())
        ended = run(*command.arguments(), on_terminal=True)
        assert not set(ESCAPES) - {"[", "2", "J"} & set(ended.out + ended.err)
        if command.name not in {"complete-path", "logout"}:
            assert "\\x1b[2J\\x07\\r\\u202e" in ended.err


def list_of(name: str) -> bytes:
    node = {
        "id": UUID, "kind": "file", "name": name, "parent_id": UUID, "path": f"/{name}", "size_bytes": 1,
        "fingerprint": "0" * 64, "content_type": "text/plain", "revision_id": UUID, "content_status": "verified",
        "created_at": "0001-01-01T00:00:00Z", "modified_at": "9999-12-31T23:59:59Z", "client_modified_at": None,
        "owner": name, "role": "viewer", "etag": "1",
    }  # fmt: skip
    return http(200, json.dumps({"items": [node], "next_cursor": None}).encode())


@pytest.mark.parametrize("typed", [["ls", "-l"], ["search", "x"], ["shared", "-l"], ["trash"]], ids=" ".join)
@pytest.mark.parametrize("zone", ["UTC", "Asia/Tokyo", "America/Los_Angeles"])
def test_hostile_name_is_escaped_on_a_terminal_and_exact_elsewhere(
    typed: list[str], zone: str, run: Run, server: HostileServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TZ", zone)
    time.tzset()
    name = f"cat{ESCAPES}gpj.exe"
    server.answer = list_of(name)
    shown = run(*typed, on_terminal=True)
    assert shown.code == 0, shown
    assert not set(ESCAPES) - {"[", "2", "J"} & set(shown.out)
    assert "cat\\x1b[2J\\x07\\r\\u202egpj.exe" in shown.out
    assert name in run(*typed).out
    exact = json.loads(run(typed[0], "--json", *typed[1:][-1:] if typed[0] == "search" else ()).out)
    assert exact["name"] == name
    monkeypatch.undo()
    time.tzset()


@pytest.mark.parametrize(
    ("shell", "code"),
    [
        ("dbx ls $(printf '\\377')", 2),
        ("dbx upload $(printf '\\377') --to /x", 4),
        ("dbx ls <&- >&- 2>&-", 4),
        ("dbx login --password-stdin --email a@b.c <&-", 2),
        ("dbx trash empty <&-", 2),
        ("printf '\\377\\n' | dbx login --password-stdin --email a@b.c", 2),
        ("printf 'dbx_pat_secret x\\r\\n' | dbx login --token", 2),
        ("dbx completion bash >/dev/full", 1),
        ("dbx --help >/dev/full", 1),
        ("dbx ls 2>/dev/full", 4),
        ("dbx ls --unknown 2>/dev/full", 2),
        ("env -u HOME DBX_CONFIG_DIR= dbx ls", 4),
    ],
)
@pytest.mark.parametrize("locale", ["C", "C.UTF-8"])
def test_process_in_a_hostile_environment_ends_clearly(shell: str, code: int, locale: str, tmp_path: Path) -> None:
    variables = {
        "PATH": os.environ["PATH"], "HOME": str(tmp_path), "DBX_CONFIG_DIR": str(tmp_path), "LC_ALL": locale,
        "DBX_SERVER": "http://127.0.0.1:1", "DBX_TOKEN": "dbx_pat_secret",
    }  # fmt: skip
    if "login --token" in shell:
        del variables["DBX_TOKEN"]
    program = f'"{sys.executable}" -m dropbox_client'
    done = subprocess.run(
        ["/bin/sh", "-c", shell.replace("dbx ", f"{program} ", 1)],
        env=variables,
        cwd=tmp_path,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=60,
        check=False,
    )
    text = (done.stdout + done.stderr).decode(errors="replace")
    assert done.returncode == code, text
    assert "Traceback" not in text
    assert "Exception ignored" not in text
    assert "internal error" not in text
    assert "dbx_pat_secret" not in text
