"""`dbx` says what it waits for: the API, the store, a limit, room in the store."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from dropbox_client.cli import environment, main, wait_report
from dropbox_client.tokens import TokenFile, Tokens
from tests.support.fake_server import FakeServer, Scripted, fake_server


@pytest.fixture
def server() -> Iterator[FakeServer]:
    with fake_server() as running:
        yield running


@pytest.fixture
def dbx(server: FakeServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., int]:
    """Run `dbx` in this process; it reports every wait at once."""
    TokenFile(tmp_path / "tokens.json").save(Tokens(server.url, "ada@example.org", "access", "refresh"))
    monkeypatch.setenv("DBX_CONFIG_DIR", str(tmp_path))
    monkeypatch.delenv("DBX_SERVER", raising=False)
    monkeypatch.delenv("DBX_TOKEN", raising=False)
    monkeypatch.setattr(wait_report, "FIRST_S", 0)
    monkeypatch.setattr(wait_report, "POLL_S", 0.01)
    monkeypatch.setattr(environment, "RETRY_FOR_S", 60)

    def run(*arguments: str) -> int:
        with pytest.raises(SystemExit) as ended:
            main(arguments)
        return int(str(ended.value.code))

    return run


def refusal(status: int, code: str) -> Scripted:
    """Return a problem that asks to wait long enough for a report."""
    body = json.dumps({"code": code, "status": status, "detail": f"detail of {code}", "retryable": True}).encode()
    return Scripted(status, body, headers={"Retry-After": "1"})


FORBIDDEN = Scripted(403, b'{"code": "forbidden", "status": 403, "detail": "no"}')


@pytest.mark.parametrize(("status", "code"), [(429, "rate-limited"), (503, "unavailable"), (507, "store-full")])
def test_retried_request_is_reported(
    server: FakeServer, dbx: Callable[..., int], capsys: pytest.CaptureFixture[str], status: int, code: str
) -> None:
    server.script = [refusal(status, code), FORBIDDEN]
    assert dbx("upload", __file__, "/to", "--json") == 1
    text = capsys.readouterr()
    assert "dbx: waiting since " in text.err
    assert f"detail of {code} ({code})" in text.err
    assert code in {json.loads(line)["waiting"]["code"] for line in text.out.splitlines()}


def test_list_as_json_has_no_record_of_a_wait(
    server: FakeServer, dbx: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    server.script = [refusal(503, "unavailable"), Scripted(body=b'{"items": [], "next_cursor": null}')]
    assert dbx("ls", "--json") == 0
    text = capsys.readouterr()
    assert text.out == ""
    assert "waiting since " in text.err
