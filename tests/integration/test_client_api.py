"""The SDK and its HTTP: retries, permanent failures, and the use of tokens."""

import asyncio
import gzip
import json
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from dropbox_client.async_client import AsyncClient
from dropbox_client.cli import main
from dropbox_client.cli.completion import commands as completion
from dropbox_client.client import Client
from dropbox_client.errors import ApiError, InvalidResponse, NotSignedIn, Stopped, Unreachable
from dropbox_client.models import CreateUpload, Destination, File
from dropbox_client.problems import NotFound
from dropbox_client.tokens import TokenFile, TokenMemory, Tokens
from tests.support.fake_server import FakeServer, Scripted, fake_server, record_pauses

ME = {
    "id": "1", "email": "ada@example.org", "created_at": "2026-01-01T00:00:00Z", "used_bytes": 1, "reserved_bytes": 0,
    "quota_bytes": 2, "used_nodes": 1, "quota_nodes": 2, "new_member": "of a newer server",
}  # fmt: skip


def answer(document: object, **more: Any) -> Scripted:
    return Scripted(body=json.dumps(document).encode(), **more)


def problem(status: int, code: str, headers: dict[str, str] | None = None, **more: Any) -> Scripted:
    document = {"code": code, "status": status, "title": code, "detail": f"detail of {code}", **more}
    return answer(document, status=status, headers=headers or {})


@pytest.fixture
def server() -> Iterator[FakeServer]:
    with fake_server() as running:
        yield running


@pytest.fixture
def tokens(server: FakeServer) -> TokenMemory:
    return TokenMemory(Tokens(server.url, "ada@example.org", "access-1", "refresh-1"))


@pytest.fixture
def client(server: FakeServer, tokens: TokenMemory) -> Iterator[Client]:
    with Client(server.url, tokens) as opened:
        yield opened


@pytest.fixture
def pauses(client: Client, monkeypatch: pytest.MonkeyPatch) -> list[float]:
    return record_pauses(client, monkeypatch)


def test_transient_failures_are_retried_and_retry_after_obeyed(
    server: FakeServer, client: Client, pauses: list[float]
) -> None:
    server.script = [
        problem(503, "unavailable", {"Retry-After": "7"}),
        Scripted(502, b"<html>a proxy</html>"),
        problem(429, "rate-limited", {"Retry-After": "3"}),
        answer(ME),
    ]
    assert client.account.get().email == "ada@example.org"
    assert 7 <= pauses[0] <= 8
    assert pauses[1] <= 1
    assert 3 <= pauses[2] <= 5


def test_status_500_is_retried_a_few_times(server: FakeServer, client: Client, pauses: list[float]) -> None:
    server.script = [problem(500, "internal-error", retryable=True)] * 3
    with pytest.raises(ApiError, match="detail of internal-error"):
        client.account.get()
    assert len(pauses) == 2


def test_problem_is_raised_immediately_with_its_members(
    server: FakeServer, client: Client, pauses: list[float]
) -> None:
    server.script = [problem(409, "parts-missing", missing="1-3", mismatched="")]
    with pytest.raises(ApiError) as raised:
        client.uploads.complete("1")
    assert (raised.value.code, raised.value.status, raised.value.retryable) == ("parts-missing", 409, False)
    assert raised.value.extra == {"missing": "1-3", "mismatched": ""}
    assert pauses == []


def test_response_without_problem_document_raises_a_problem(server: FakeServer, client: Client) -> None:
    server.script = [Scripted(418, b"short and stout")]
    with pytest.raises(ApiError) as raised:
        client.account.get()
    assert raised.value.code == "http-418"


@pytest.mark.parametrize(
    "request_with",
    [
        lambda client, name: client.account.end_sign_in(name),
        lambda client, name: client.trash.purge(name),
        lambda client, name: client.files.get(name),
    ],
)
@pytest.mark.parametrize("name", ["", ".", "..", "x/../.."])
def test_id_that_would_name_another_resource_is_not_sent(
    server: FakeServer, client: Client, request_with: Callable[[Client, str], object], name: str
) -> None:
    with pytest.raises(NotFound):
        request_with(client, name)
    assert server.asked == []


def test_retried_start_repeats_the_idempotency_key(server: FakeServer, client: Client, pauses: list[float]) -> None:
    started: dict[str, Any] = {"upload": None, "file": None, "parts": []}
    server.script = [problem(503, "unavailable"), answer(started), answer(started)]
    for _ in range(2):
        client.uploads.start(CreateUpload(1, Destination("x")))
    first, repeated, other = (asked.headers["idempotency-key"] for asked in server.asked)
    assert first == repeated != other
    assert len(pauses) == 1


def test_unreachable_server_is_given_up(tokens: TokenMemory, server: FakeServer) -> None:
    server.script = [problem(503, "unavailable")]
    with Client(server.url, tokens, retry_for_s=0) as impatient, pytest.raises(ApiError, match="unavailable"):
        impatient.account.get()
    there = TokenMemory(Tokens("http://127.0.0.1:1", "ada@example.org", "a", "r"))
    with (
        Client("http://127.0.0.1:1", there, retry_for_s=0) as impatient,
        pytest.raises(Unreachable, match=r"127\.0\.0\.1:1"),
    ):
        impatient.account.get()


def test_connections_are_reused_and_a_dead_idle_one_is_replaced(
    server: FakeServer, client: Client, pauses: list[float]
) -> None:
    server.script = [answer(ME), answer(ME, close=True)]
    client.account.get()
    client.account.get()
    server.script = [answer(ME)]
    client.account.get()
    assert [asked.connection for asked in server.asked] == [1, 1, 2]
    assert pauses == []


def test_early_response_is_returned(server: FakeServer, client: Client) -> None:
    block = memoryview(bytes(2**20))
    size = 256 * len(block)
    server.script = [Scripted(403, b"<Code>AccessDenied</Code>", close=True, read_body=False)]
    reply = client.transport.send("PUT", server.url + "/part", {"Content-Length": str(size)}, lambda: [block] * 256)
    assert reply.status == 403


def test_compressed_response_is_decoded(server: FakeServer, client: Client) -> None:
    server.script = [Scripted(body=gzip.compress(json.dumps(ME).encode()), headers={"Content-Encoding": "gzip"})]
    assert client.account.get().quota_bytes == 2


def test_compressed_response_larger_than_the_limit_is_refused(
    server: FakeServer, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The limit counts decoded bytes: a small response of a hostile server must not fill the memory."""
    monkeypatch.setattr("dropbox_client.exchange.MAX_BODY_BYTES", 2**20)
    bomb = gzip.compress(b'{"quota_bytes": ' + b" " * 2**21 + b"2}")
    server.script = [Scripted(body=bomb, headers={"Content-Encoding": "gzip"})]
    with pytest.raises(InvalidResponse):
        client.account.get()


async def test_response_larger_than_the_limit_is_refused_by_both_clients(
    server: FakeServer, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in ("transport", "async_transport"):
        monkeypatch.setattr(f"dropbox_client.{module}.MAX_BODY_BYTES", 2**20)
    large = Scripted(body=b" " * 2**21 + json.dumps(ME).encode())
    server.script = [large, large]
    with pytest.raises(InvalidResponse):
        await asyncio.to_thread(client.account.get)
    async with AsyncClient(server.url, token="x", retry_for_s=0) as other:
        with pytest.raises(InvalidResponse):
            await other.account.get()


def test_list_reads_all_pages(server: FakeServer, client: Client) -> None:
    chunk = {"number": 1, "offset_bytes": 0, "size_bytes": 1, "sha256": None, "state": "planned", "etag": None}
    server.script = [
        answer({"items": [chunk], "next_cursor": "a/b"}),
        answer({"items": [chunk | {"number": 2}], "next_cursor": None}),
    ]
    assert [found.number for found in client.uploads.list_chunks("1")] == [1, 2]
    assert "cursor=a%2Fb" in server.asked[1].path


def test_expired_token_is_renewed_and_the_request_repeated(
    server: FakeServer, client: Client, tokens: TokenMemory
) -> None:
    server.script = [
        problem(401, "unauthenticated"),
        answer({"access_token": "access-2", "refresh_token": "refresh-2", "token_type": "bearer", "expires_in": 900}),
        answer(ME),
        answer(ME),
    ]
    client.account.get()
    client.account.get()
    assert [asked.headers.get("authorization") for asked in server.asked] == [
        "Bearer access-1", None, "Bearer access-2", "Bearer access-2",
    ]  # fmt: skip
    assert json.loads(server.asked[1].body) == {"refresh_token": "refresh-1"}
    kept = tokens.load()
    assert kept
    assert (kept.access_token, kept.refresh_token) == ("access-2", "refresh-2")


def test_token_renewed_by_another_process_is_used(server: FakeServer, client: Client, tokens: TokenMemory) -> None:
    tokens.save(Tokens(server.url, "ada@example.org", "access-2", "refresh-2"))
    server.script = [problem(401, "unauthenticated"), answer(ME)]
    client.account.get()
    assert server.asked[1].headers["authorization"] == "Bearer access-2"


def test_ended_sign_in_raises(server: FakeServer, client: Client) -> None:
    server.script = [problem(401, "unauthenticated"), problem(401, "invalid-refresh-token")]
    with pytest.raises(NotSignedIn):
        client.account.get()


def test_tokens_are_sent_only_to_their_server(server: FakeServer) -> None:
    of_another = TokenMemory(Tokens("https://files.example.org", "ada@example.org", "secret", "secret"))
    with Client(server.url, of_another) as client, pytest.raises(NotSignedIn):
        client.account.get()
    assert server.asked == []


def test_close_aborts_a_request(server: FakeServer, client: Client) -> None:
    server.script = [Scripted(hang=True)]
    ended: list[BaseException] = []

    def ask() -> None:
        try:
            client.account.get()
        except Stopped as error:
            ended.append(error)

    thread = threading.Thread(target=ask)
    thread.start()
    while not server.asked:
        thread.join(0.01)
    client.close()
    thread.join(30)
    assert len(ended) == 1


# The tree

NODE = {
    "id": "1", "kind": "file", "name": "a", "parent_id": "root", "path": "/a", "size_bytes": 1, "fingerprint": "0" * 64,
    "content_type": "text/plain", "revision_id": "r", "content_status": "verified", "processing": None,
    "created_at": "2026-01-01T00:00:00Z", "modified_at": "2026-01-01T00:00:00Z", "client_modified_at": None,
    "trashed_at": None, "owner": "ada@example.org", "role": "owner", "etag": '"1"',
}  # fmt: skip
FOLDER = NODE | {"kind": "folder", "size_bytes": None, "fingerprint": None, "revision_id": None, "content_status": None}
ROOT = FOLDER | {"id": "root", "name": "", "parent_id": None, "path": "/"}


@pytest.mark.parametrize(
    "create",
    [
        lambda client: client.files.create_folder("/a"),
        lambda client: client.files.copy("1", folder="2"),
        lambda client: client.revisions.restore("1", "2"),
    ],
)
def test_creations_repeat_one_idempotency_key(
    server: FakeServer, client: Client, pauses: list[float], create: Callable[[Client], File]
) -> None:
    renewed = {"access_token": "access-2", "refresh_token": "refresh-2", "token_type": "bearer", "expires_in": 900}
    lost = Scripted(hang_up=True)
    server.script = [lost, problem(401, "unauthenticated"), answer(renewed), problem(503, "unavailable"), answer(NODE)]
    create(client)
    keys = [asked.headers.get("idempotency-key") for asked in server.asked if "auth" not in asked.path]
    assert len(keys) == 4
    assert len({*keys, None}) == 2
    server.script = [answer(NODE)]
    create(client)
    assert server.asked[-1].headers["idempotency-key"] not in keys


def test_batch_start_repeats_one_idempotency_key(server: FakeServer, client: Client, pauses: list[float]) -> None:
    server.script = [problem(503, "unavailable"), answer({"items": []})]
    client.uploads.start_batch([CreateUpload(1, Destination("x"))])
    first, repeated = (asked.headers["idempotency-key"] for asked in server.asked)
    assert first == repeated


def test_unknown_and_missing_optional_members_are_accepted() -> None:
    old = {name: value for name, value in NODE.items() if name not in {"processing", "trashed_at"}}
    assert File.from_json(old | {"colour": "red"}).processing is None
    report = {"state": "failed", "detail": "too dark", "updated_at": "2026-01-01T00:00:00Z"}
    processed = File.from_json(NODE | {"processing": report, "trashed_at": "2026-01-02T00:00:00Z"})
    assert processed.processing
    assert processed.processing.updated_at == datetime(2026, 1, 1, tzinfo=UTC)
    assert processed.trashed_at == datetime(2026, 1, 2, tzinfo=UTC)


@pytest.fixture
def dbx(server: FakeServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., int]:
    """Run `dbx` in this process, signed in to the fake server."""
    TokenFile(tmp_path / "tokens.json").save(Tokens(server.url, "ada@example.org", "access", "refresh"))
    monkeypatch.setenv("DBX_CONFIG_DIR", str(tmp_path))
    monkeypatch.delenv("DBX_SERVER", raising=False)

    def run(*arguments: str) -> int:
        with pytest.raises(SystemExit) as ended:
            main(arguments)
        return int(str(ended.value.code))

    return run


CHANGED = {"code": "precondition-failed", "status": 412, "title": "Changed", "detail": "", "etag": '"2"'}
CHANGED_ITEM = {"status": 412, "file": None, "problem": CHANGED}
MOVED = NODE | {"name": "b", "path": "/b", "etag": '"2"'}


def batch_answer(*items: object) -> Scripted:
    return answer({"items": items})


def test_rm_sends_the_etag_that_it_saw(server: FakeServer, dbx: Callable[..., int]) -> None:
    server.script = [answer(NODE), batch_answer(CHANGED_ITEM), answer(NODE | {"etag": '"2"'}), Scripted(204, b"")]
    assert dbx("rm", "/a") == 0
    assert json.loads(server.asked[1].body)["operations"][0]["if_match"] == '"1"'
    assert server.asked[3].headers["if-match"] == '"2"'


def test_rm_of_a_file_that_changes_again_fails(
    server: FakeServer, dbx: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    server.script = [answer(NODE), batch_answer(CHANGED_ITEM), answer(NODE), answer(CHANGED, status=412)]
    assert dbx("rm", "/a") == 1
    assert "precondition-failed" in capsys.readouterr().err


def test_rm_with_a_lost_response_is_repeated_with_its_key(server: FakeServer, dbx: Callable[..., int]) -> None:
    done = batch_answer({"status": 204, "file": None, "problem": None})
    server.script = [answer(NODE), Scripted(hang_up=True), done]
    assert dbx("rm", "/a") == 0
    lost, repeated = (asked.headers["idempotency-key"] for asked in server.asked[1:])
    assert lost == repeated


def test_rm_of_a_file_that_is_gone_succeeds(server: FakeServer, dbx: Callable[..., int]) -> None:
    gone = {"code": "not-found", "status": 404, "title": "Not found", "detail": ""}
    server.script = [answer(NODE), batch_answer({"status": 404, "file": None, "problem": gone})]
    assert dbx("rm", "/a") == 0


def test_mv_sends_the_etag_that_it_saw(server: FakeServer, dbx: Callable[..., int]) -> None:
    now = answer(NODE | {"etag": '"2"'})
    refused = batch_answer(CHANGED_ITEM)
    server.script = [problem(404, "not-found"), answer(NODE), answer(ROOT), refused, now, answer(MOVED)]
    assert dbx("mv", "/a", "/b") == 0
    assert json.loads(server.asked[3].body)["operations"][0]["if_match"] == '"1"'
    assert [asked.headers["if-match"] for asked in server.asked if asked.method == "PATCH"] == ['"2"']


def test_mv_of_a_changed_file_is_repeated(server: FakeServer, dbx: Callable[..., int]) -> None:
    now = answer(NODE | {"etag": '"2"'})
    refused = batch_answer(CHANGED_ITEM)
    server.script = [problem(404, "not-found"), answer(NODE), answer(ROOT), refused, now, answer(MOVED)]
    assert dbx("mv", "/a", "/b", "--on-conflict", "rename") == 0
    assert server.asked[-1].method == "PATCH"


def test_mv_of_a_file_moved_meanwhile_fails(
    server: FakeServer, dbx: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    elsewhere = answer(NODE | {"path": "/elsewhere/a", "parent_id": "2", "etag": '"2"'})
    refused, again = batch_answer(CHANGED_ITEM), answer(CHANGED, status=412)
    server.script = [problem(404, "not-found"), answer(NODE), answer(ROOT), refused, elsewhere, again]
    assert dbx("mv", "/a", "/b") == 1
    assert "precondition-failed" in capsys.readouterr().err


def test_mv_with_a_lost_response_succeeds(
    server: FakeServer, dbx: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    lost, done = Scripted(hang_up=True), batch_answer({"status": 200, "file": MOVED, "problem": None})
    server.script = [problem(404, "not-found"), answer(NODE), answer(ROOT), lost, done]
    assert dbx("mv", "/a", "/b") == 0
    assert capsys.readouterr().out == "/a -> /b\n"


def test_restore_with_a_lost_response_succeeds(server: FakeServer, dbx: Callable[..., int]) -> None:
    node_id = "00000000-0000-7000-8000-000000000000"
    server.script = [Scripted(hang_up=True), problem(404, "not-found"), answer(NODE)]
    assert dbx("restore", node_id) == 0


@pytest.mark.parametrize(
    "path", ["/f/../../evil", "/f/..", "/f/./x", "/f//etc/evil", "/f/a\0b", "/f/\ud800", "/elsewhere/evil", "/f"]
)
def test_download_folder_refuses_names_that_leave_it(
    server: FakeServer, dbx: Callable[..., int], tmp_path: Path, path: str
) -> None:
    folder = FOLDER | {"name": "f", "path": "/f"}
    evil = [NODE | {"path": path}, FOLDER | {"path": path}]
    server.script = [answer(folder), answer({"items": evil, "next_cursor": None})]
    assert dbx("download", "/f", str(tmp_path / "in")) == 1
    assert [found.name for found in tmp_path.rglob("*")] == ["tokens.json", "in", "f"]


def test_download_refuses_a_name_that_leaves_the_folder(
    server: FakeServer, dbx: Callable[..., int], tmp_path: Path
) -> None:
    server.script = [answer(NODE | {"name": "../evil"})]
    assert dbx("download", "/a", str(tmp_path)) == 1
    assert [found.name for found in tmp_path.rglob("*")] == ["tokens.json"]


@pytest.mark.parametrize(
    ("prefix", "asked", "offered"),
    [
        ("/", "/", ["/a", "/b c/"]),
        ("/f/b", "/f", ["/f/b c/"]),
        ("f/a", "/f", ["f/a"]),
        ("", "/", ["a", "b c/"]),
    ],
)
def test_complete_path_lists_matching_paths(
    *,
    server: FakeServer,
    dbx: Callable[..., int],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    prefix: str,
    asked: str,
    offered: list[str],
) -> None:
    monkeypatch.setattr(completion, "_TIMEOUT_S", 60)
    server.script = [answer({"items": [NODE, FOLDER | {"name": "b c"}], "next_cursor": None})]
    assert dbx("complete-path", prefix) == 0
    assert capsys.readouterr().out.splitlines() == offered
    assert f"path={quote(asked, safe='')}" in server.asked[0].path


NOT_FOR_LS = {"asyncio", "concurrent.futures", "httpx2", "logging", "rich", "uuid"} | {
    f"dropbox_client.{name}"
    for name in (
        *("async_client", "async_resources", "problems", "transfer", "feed"),
        *(
            f"{package}.{name}"
            for package in ("calls", "resources")
            for name in ("account", "admin", "uploads", "webhooks")
        ),
        *(f"models.{name}" for name in ("account", "events", "sharing", "uploads", "webhooks")),
    )
}


def test_ls_imports_only_what_it_uses(server: FakeServer, tmp_path: Path) -> None:
    """Each module that is not needed delays every command."""
    server.script = [answer({"items": [NODE], "next_cursor": None})]
    program = f"""
import sys
before = {{*sys.modules}}
from dropbox_client.cli import main
try:
    main(["ls", "/"])
finally:
    print({NOT_FOR_LS!r} & {{*sys.modules}} - before)
"""
    environment = {
        "DBX_SERVER": server.url,
        "DBX_TOKEN": "token",
        "DBX_CONFIG_DIR": str(tmp_path),
    }
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False, env=environment)
    assert (done.returncode, done.stdout, done.stderr) == (0, f"{NODE['name']}\nset()\n", "")


def test_help_imports_no_slow_modules() -> None:
    program = (
        "import sys; import dropbox_client.cli as cli; cli.build_parser().format_help();"
        "print({'http.client', 'ssl', 'json', 'dataclasses', 'pathlib', 'rich'} & {*sys.modules} - before)"
    )
    command = [sys.executable, "-I", "-c", f"import sys; before = {{*sys.modules}}; {program}"]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == "set()\n"


def test_sign_in_with_a_rejected_token_keeps_the_sign_in(server: FakeServer, client: Client) -> None:
    server.script = [problem(401, "unauthenticated"), answer({"cursor": "c"})]
    with pytest.raises(NotSignedIn):
        client.sign_in_with_token("dbx_pat_wrong")
    assert client.events.get_cursor() == "c"
    sent = [request.headers["authorization"] for request in server.asked]
    assert sent == ["Bearer dbx_pat_wrong", "Bearer access-1"]
