"""The SDK and its HTTP: what it repeats, what it gives up, and whom it shows its tokens."""

import gzip
import json
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from dropbox_client.api import Client
from dropbox_client.errors import ApiProblem, NotSignedIn, Stopped, Unreachable
from dropbox_client.shapes import Destination, NewUpload
from dropbox_client.tokens import TokenMemory, Tokens
from tests.support.fake_server import FakeServer, Scripted, fake_server

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
    """The pauses that the client would have made."""
    made: list[float] = []

    def wait(pause_s: float) -> bool:
        made.append(pause_s)
        return False

    monkeypatch.setattr(client.stopping, "wait", wait)
    return made


def test_busy_is_asked_again_and_retry_after_obeyed(server: FakeServer, client: Client, pauses: list[float]) -> None:
    server.script = [
        problem(503, "unavailable", {"Retry-After": "7"}),
        Scripted(502, b"<html>a proxy</html>"),
        problem(429, "rate-limited", {"Retry-After": "3"}),
        answer(ME),
    ]
    assert client.me().email == "ada@example.org"
    assert 7 <= pauses[0] <= 8
    assert pauses[1] <= 1
    assert 3 <= pauses[2] <= 5


def test_a_bug_is_not_asked_for_ever(server: FakeServer, client: Client, pauses: list[float]) -> None:
    server.script = [problem(500, "internal-error", retryable=True)] * 3
    with pytest.raises(ApiProblem, match="detail of internal-error"):
        client.me()
    assert len(pauses) == 2


def test_a_refusal_is_raised_at_once_with_its_members(server: FakeServer, client: Client, pauses: list[float]) -> None:
    server.script = [problem(409, "parts-missing", missing="1-3", mismatched="")]
    with pytest.raises(ApiProblem) as raised:
        client.complete("1")
    assert (raised.value.code, raised.value.status, raised.value.retryable) == ("parts-missing", 409, False)
    assert raised.value.extra == {"missing": "1-3", "mismatched": ""}
    assert pauses == []


def test_what_is_no_problem_document_is_a_problem_all_the_same(server: FakeServer, client: Client) -> None:
    server.script = [Scripted(418, b"short and stout")]
    with pytest.raises(ApiProblem) as raised:
        client.me()
    assert raised.value.code == "http-418"


def test_a_repeated_start_carries_the_same_idempotency_key(
    server: FakeServer, client: Client, pauses: list[float]
) -> None:
    started: dict[str, Any] = {"upload": None, "file": None, "parts": []}
    server.script = [problem(503, "unavailable"), answer(started), answer(started)]
    for _ in range(2):
        client.start_upload(NewUpload(1, Destination("x")))
    first, repeated, other = (asked.headers["idempotency-key"] for asked in server.asked)
    assert first == repeated != other
    assert len(pauses) == 1


def test_a_server_that_is_not_there_is_given_up(tokens: TokenMemory, server: FakeServer) -> None:
    server.script = [problem(503, "unavailable")]
    with Client(server.url, tokens, patience_s=0) as impatient, pytest.raises(ApiProblem, match="unavailable"):
        impatient.me()
    there = TokenMemory(Tokens("http://127.0.0.1:1", "ada@example.org", "a", "r"))
    with (
        Client("http://127.0.0.1:1", there, patience_s=0) as impatient,
        pytest.raises(Unreachable, match=r"127\.0\.0\.1:1"),
    ):
        impatient.me()


def test_connections_are_kept_and_one_that_died_idle_is_replaced_silently(
    server: FakeServer, client: Client, pauses: list[float]
) -> None:
    server.script = [answer(ME), answer(ME, close=True)]
    client.me()
    client.me()
    server.script = [answer(ME)]
    client.me()
    assert [asked.connection for asked in server.asked] == [1, 1, 2]
    assert pauses == []


def test_an_answer_that_comes_before_the_body_was_read_is_heard(server: FakeServer, client: Client) -> None:
    block = memoryview(bytes(2**20))
    size = 256 * len(block)
    server.script = [Scripted(403, b"<Code>AccessDenied</Code>", close=True, read_body=False)]
    reply = client.wire.send("PUT", server.url + "/part", {"Content-Length": str(size)}, lambda: [block] * 256)
    assert reply.status == 403


def test_compressed_answers(server: FakeServer, client: Client) -> None:
    server.script = [Scripted(body=gzip.compress(json.dumps(ME).encode()), headers={"Content-Encoding": "gzip"})]
    assert client.me().quota_bytes == 2


def test_pages_are_followed_to_the_end(server: FakeServer, client: Client) -> None:
    chunk = {"number": 1, "offset_bytes": 0, "size_bytes": 1, "sha256": None, "state": "planned", "etag": None}
    server.script = [
        answer({"items": [chunk], "next_cursor": "a/b"}),
        answer({"items": [chunk | {"number": 2}], "next_cursor": None}),
    ]
    assert [found.number for found in client.upload_chunks("1")] == [1, 2]
    assert "cursor=a%2Fb" in server.asked[1].path


def test_an_expired_token_is_renewed_and_the_request_repeated(
    server: FakeServer, client: Client, tokens: TokenMemory
) -> None:
    server.script = [
        problem(401, "unauthenticated"),
        answer({"access_token": "access-2", "refresh_token": "refresh-2", "token_type": "bearer", "expires_in": 900}),
        answer(ME),
        answer(ME),
    ]
    client.me()
    client.me()
    assert [asked.headers.get("authorization") for asked in server.asked] == [
        "Bearer access-1", None, "Bearer access-2", "Bearer access-2",
    ]  # fmt: skip
    assert json.loads(server.asked[1].body) == {"refresh_token": "refresh-1"}
    kept = tokens.load()
    assert kept
    assert (kept.access_token, kept.refresh_token) == ("access-2", "refresh-2")


def test_a_token_that_another_process_renewed_is_used(server: FakeServer, client: Client, tokens: TokenMemory) -> None:
    tokens.save(Tokens(server.url, "ada@example.org", "access-2", "refresh-2"))
    server.script = [problem(401, "unauthenticated"), answer(ME)]
    client.me()
    assert server.asked[1].headers["authorization"] == "Bearer access-2"


def test_a_sign_in_that_ended(server: FakeServer, client: Client) -> None:
    server.script = [problem(401, "unauthenticated"), problem(401, "invalid-refresh-token")]
    with pytest.raises(NotSignedIn):
        client.me()


def test_tokens_are_shown_to_their_own_server_only(server: FakeServer) -> None:
    of_another = TokenMemory(Tokens("https://files.example.org", "ada@example.org", "secret", "secret"))
    with Client(server.url, of_another) as client, pytest.raises(NotSignedIn):
        client.me()
    assert server.asked == []


def test_close_ends_a_request_that_waits(server: FakeServer, client: Client) -> None:
    server.script = [Scripted(hang=True)]
    ended: list[BaseException] = []

    def ask() -> None:
        try:
            client.me()
        except Stopped as error:
            ended.append(error)

    thread = threading.Thread(target=ask)
    thread.start()
    while not server.asked:
        thread.join(0.01)
    client.close()
    thread.join(10)
    assert len(ended) == 1
