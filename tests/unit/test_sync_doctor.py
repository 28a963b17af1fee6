"""What the doctor says about the server: its clock, another server, a revoked token."""

import json
import sqlite3
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from dropbox_client.sync.config import Registry, RootConfig
from dropbox_client.sync.doctor import check_root_state
from dropbox_client.sync.state import State
from dropbox_client.sync.state_file import STATE_NAME
from dropbox_client.tokens import Tokens
from tests.support.fake_server import Scripted, fake_server

NUMBERS = (
    *("single_max_bytes", "chunk_size_bytes", "min_part_bytes", "max_part_bytes", "max_parts", "max_file_bytes"),
    *("url_ttl_s", "session_ttl_s", "batch_items"),
)
REVOKED = Scripted(401, json.dumps({"code": "unauthenticated", "detail": "no"}).encode())


def capabilities(behind_s: float) -> Scripted:
    now = datetime.now(UTC) - timedelta(seconds=behind_s)
    more = {"proof_level": "A", "server_time": now.isoformat(), "instance_id": "this", "data_epoch": "1"}
    return Scripted(body=json.dumps(dict.fromkeys(NUMBERS, 1) | more).encode())


@pytest.mark.parametrize(
    ("answers", "instance", "expected"),
    [
        (lambda: [capabilities(90), REVOKED], "this", ["the clocks of this computer", "rejects this access token"]),
        (lambda: [capabilities(0), REVOKED], "this", ["rejects this access token"]),
        (lambda: [capabilities(0)], "another", ["another server answers"]),
        (lambda: [Scripted(200, b"<html>")], "this", ["does not answer as dropbox-api"]),
    ],
)
def test_doctor_names_what_is_wrong_with_the_server(
    tmp_path: Path, answers: Callable[[], list[Scripted]], instance: str, expected: list[str]
) -> None:
    registry = Registry(tmp_path / "sync")
    root = tmp_path / "files"
    root.mkdir()
    with fake_server() as server:
        server.script = answers()
        config = RootConfig("one", root, server.url, "d", "laptop")
        registry.save(config)
        registry.tokens("one").save(Tokens.from_access_token(server.url, "dbx_pat_x"))
        path = registry.folder("one") / STATE_NAME
        with State(path) as state:
            state.set_fact("instance", instance)
        found = list(check_root_state(registry, config))
    wrong = [one for one in found if not one.is_ok]
    assert all(one.remedy for one in wrong)
    local = ("no process keeps", "has not been bound")
    texts = [one.text for one in wrong if not one.text.startswith(local) and "bound" not in one.text]
    assert len(texts) == len(expected), texts
    assert all(part in text for part, text in zip(expected, texts, strict=True))
    with closing(sqlite3.connect(path)) as database:
        assert database.execute("SELECT value FROM meta WHERE key = 'instance'").fetchone() == (instance,)
