"""Continuous reading of events: retries, pauses and cursors."""

import json
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from dropbox_client.cli.events.watched_tree import WatchedTree
from dropbox_client.client import Client
from dropbox_client.errors import ApiError, ClientError, Stopped, Unreachable
from dropbox_client.feed import EventReader, Reconnector
from dropbox_client.models import Event
from dropbox_client.problems import CursorExpired
from dropbox_client.tokens import TokenMemory, Tokens
from tests.support.fake_server import FakeServer, Scripted, fake_server, record_pauses


def answer(document: object, **more: Any) -> Scripted:
    return Scripted(body=json.dumps(document).encode(), **more)


def problem(status: int, code: str, headers: dict[str, str] | None = None) -> Scripted:
    document = {"code": code, "status": status, "title": code, "detail": f"({code})", "retryable": status >= 429}
    return answer(document, status=status, headers=headers or {})


def cursor_expired() -> Scripted:
    document = {"code": "cursor-expired", "status": 410, "title": "", "detail": "", "retryable": False}
    return answer(document | {"reason": "restored"}, status=410)


def page(*ids: str, cursor: str, **more: Any) -> Scripted:
    events: list[dict[str, Any]] = [
        {"id": id_, "kind": "file.deleted", "file_id": f"file {id_}", "at": "2026-01-01T00:00:00Z", "file": None,
         "detail": {}}
        for id_ in ids
    ]  # fmt: skip
    return answer({"events": events, "cursor": cursor, "has_more": False, "backoff_s": None, **more})


@pytest.fixture
def server() -> Iterator[FakeServer]:
    with fake_server() as running:
        yield running


@pytest.fixture
def client(server: FakeServer) -> Iterator[Client]:
    tokens = TokenMemory(Tokens(server.url, "ada@example.org", "access-1", "refresh-1"))
    with Client(server.url, tokens, retry_for_s=0) as opened:
        yield opened


@pytest.fixture
def pauses(client: Client, monkeypatch: pytest.MonkeyPatch) -> list[float]:
    return record_pauses(client, monkeypatch)


def asked(server: FakeServer) -> list[dict[str, str]]:
    """Return the queries of the requests so far."""
    return [{name: values[0] for name, values in parse_qs(urlsplit(one.path).query).items()} for one in server.asked]


def test_events_read_all_pages_and_put_the_cursor_on_the_last_event(server: FakeServer, client: Client) -> None:
    server.script = [page("1", "2", cursor="c2", has_more=True), page("3", cursor="c3")]
    events = list(client.events.list("c0"))
    assert [(event.id, event.cursor) for event in events] == [("1", "c0"), ("2", "c2"), ("3", "c3")]
    assert events[0].at == datetime(2026, 1, 1, tzinfo=UTC)
    assert [(one["cursor"], one["wait_s"]) for one in asked(server)] == [("c0", "0"), ("c2", "0")]


def test_events_since_sends_the_time_only_once(server: FakeServer, client: Client) -> None:
    server.script = [page(cursor="c1", has_more=True), page("1", cursor="c2")]
    since = datetime(2026, 1, 1, tzinfo=UTC)
    assert [event.id for event in client.events.list(since=since)] == ["1"]
    first, second = asked(server)
    assert (first["since"], "cursor" in first) == ("2026-01-01T00:00:00+00:00", False)
    assert (second["cursor"], "since" in second) == ("c1", False)


def test_events_without_cursor_or_time_start_now(server: FakeServer, client: Client) -> None:
    server.script = [answer({"cursor": "now"}), page("1", cursor="c1")]
    assert next(client.events.follow()).id == "1"
    assert server.asked[0].path == "/v1/events/cursor"
    assert (asked(server)[1]["cursor"], asked(server)[1]["wait_s"]) == ("now", "60")


def test_follow_after_any_failure_resumes_at_the_cursor(
    server: FakeServer, client: Client, pauses: list[float]
) -> None:
    server.script = [
        page("1", cursor="c1"),
        Scripted(hang_up=True),  # a pooled connection is replaced silently, but only once
        Scripted(hang_up=True),
        problem(503, "unavailable"),
        Scripted(502, b"<html>"),
        Scripted(404, b"404 page not found"),  # a proxy without its server
        problem(401, "unauthenticated"),
        answer({"access_token": "access-2", "refresh_token": "refresh-2"}),
        page("2", cursor="c2"),
    ]
    events = client.events.follow("c0")
    assert [next(events).id, next(events).id] == ["1", "2"]
    journal = [one for one in asked(server) if one]
    assert [one["cursor"] for one in journal] == ["c0", *["c1"] * 7]
    assert server.asked[-1].headers["authorization"] == "Bearer access-2"
    assert len(pauses) == 4


def test_watched_tree_ignores_404_of_a_proxy(server: FakeServer, client: Client) -> None:
    """A proxy answers 404 while its server is away; no event may be skipped because of that."""
    folder = {
        "id": "top", "kind": "folder", "name": "in", "parent_id": "root", "path": "/in", "size_bytes": None,
        "fingerprint": None, "content_type": None, "revision_id": None, "content_status": None, "owner": "ada",
        "created_at": "2026-01-01T00:00:00Z", "modified_at": "2026-01-01T00:00:00Z", "client_modified_at": None,
        "role": "owner", "etag": "1",
    }  # fmt: skip
    root = folder | {"id": "root", "name": "", "path": "/", "parent_id": None}
    inside = folder | {"id": "file", "name": "x", "path": "/in/new/x", "parent_id": "new"}
    told = {"id": "1", "kind": "file.created", "file_id": "file", "at": "2026-01-01T00:00:00Z", "file": inside,
            "detail": {}}  # fmt: skip
    server.script = [answer(folder), answer(root), answer({"items": [], "next_cursor": None})]
    with WatchedTree() as watched:
        watched.open(client, "/in")
        server.script = [answer(folder), Scripted(404, b"404 page not found")]
        with pytest.raises(ApiError, match="404"):
            watched.find_concerning(client, Event.from_json(told))
        server.script = [problem(404, "not-found")]
        assert watched.find_concerning(client, Event.from_json(told)) is None


def test_follow_before_the_first_response_raises(server: FakeServer, client: Client) -> None:
    server.script = [Scripted(hang_up=True), problem(503, "unavailable")]
    with pytest.raises(Unreachable):
        next(client.events.follow("c0"))
    with pytest.raises(ApiError, match="unavailable"):
        next(client.events.follow("c0"))


def test_reader_pauses_for_the_requested_backoff(server: FakeServer, client: Client, pauses: list[float]) -> None:
    server.script = [page(cursor="c1", backoff_s=7.5), page("1", cursor="c2")]
    assert next(client.events.follow("c0")).id == "1"
    assert pauses == [7.5]


def test_reader_pauses_after_quick_empty_pages(server: FakeServer, client: Client, pauses: list[float]) -> None:
    server.script = [page(cursor="c1"), page(cursor="c1"), page("1", cursor="c2")]
    assert next(client.events.follow("c0")).id == "1"
    assert pauses == [1, 1]


def test_empty_page_with_more_is_followed_immediately(server: FakeServer, client: Client, pauses: list[float]) -> None:
    server.script = [page(cursor="c1", has_more=True), page("1", cursor="c2")]
    assert next(client.events.follow("c0")).id == "1"
    assert pauses == []


def test_expired_cursor_is_reported(server: FakeServer, client: Client, pauses: list[float]) -> None:
    server.script = [page("1", cursor="c1"), cursor_expired()]
    events = client.events.follow("c0")
    next(events)
    with pytest.raises(CursorExpired) as caught:
        next(events)
    assert (caught.value.code, caught.value.status, caught.value.reason) == ("cursor-expired", 410, "restored")
    assert pauses == []


def test_follow_permanent_failure_is_raised(server: FakeServer, client: Client) -> None:
    server.script = [page("1", cursor="c1"), problem(422, "invalid-cursor")]
    events = client.events.follow("c0")
    next(events)
    with pytest.raises(ApiError, match="invalid-cursor"):
        next(events)


def test_reconnector_reports_each_outage_once(server: FakeServer, client: Client, pauses: list[float]) -> None:
    heard: list[ClientError | None] = []
    lost = problem(503, "unavailable")
    server.script = [page("1", cursor="c1"), lost, lost, page("2", cursor="c2"), lost, page("3", cursor="c3")]
    reader = EventReader(client, "c0", reconnector=Reconnector(client, heard.append))
    assert [event.id for _ in range(3) for event in reader.read(60)] == ["1", "2", "3"]
    assert [str(one) for one in heard] == ["(unavailable)", "None"] * 2
    assert len(pauses) == 3


def test_close_ends_a_pause(server: FakeServer, client: Client) -> None:
    server.script = [Scripted(hang=True)]
    ended: list[type[BaseException]] = []

    def follow() -> None:
        try:
            next(client.events.follow("c0"))
        except Stopped as error:
            ended.append(type(error))

    thread = threading.Thread(target=follow)
    thread.start()
    while not server.asked:
        pass
    client.close()
    thread.join(30)
    assert ended == [Stopped]


def test_event_of_unknown_kind_is_read() -> None:
    document = {"id": "1", "kind": "file.painted", "file_id": "2", "at": "2026-01-01T00:00:00Z", "file": None,
                "detail": {"colour": "red"}, "new_member": 1}  # fmt: skip
    assert Event.from_json(document).kind == "file.painted"
