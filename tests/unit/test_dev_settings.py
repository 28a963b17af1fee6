"""The settings of `dropbox-api dev`: one public host, and every origin from which developers open pages."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from dropbox_api import dev

PUBLIC_URL = "DROPBOX_HTTP__PUBLIC_URL"


def make_environment() -> dict[str, str]:
    postgres: Any = SimpleNamespace(url="postgresql+asyncpg://x")
    s3: Any = SimpleNamespace(endpoint_url="http://x", access_key_id="x", secret_access_key="x", data_dir=Path("x"))
    secrets = {"auth_secret": "x", "notifications_token": "x"}
    return dev._make_environment(postgres, s3, secrets, 8123, Path("x"))


def test_dev_is_at_localhost_and_allows_pages_of_both_names_and_of_vite(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(PUBLIC_URL, raising=False)
    environment = make_environment()
    assert environment[PUBLIC_URL] == "http://localhost:8123"
    assert set(json.loads(environment["DROPBOX_HTTP__CORS_ORIGINS"])) == {
        *("http://localhost:8123", "http://127.0.0.1:8123"),
        *("http://localhost:5173", "http://127.0.0.1:5173"),
    }


def test_dev_allows_pages_of_the_origins_in_the_environment_as_well(monkeypatch: pytest.MonkeyPatch) -> None:
    own = set(json.loads(make_environment()["DROPBOX_HTTP__CORS_ORIGINS"]))
    monkeypatch.setenv("DROPBOX_HTTP__CORS_ORIGINS", '["http://site.local:3000"]')
    assert set(json.loads(make_environment()["DROPBOX_HTTP__CORS_ORIGINS"])) == {*own, "http://site.local:3000"}


def test_dev_keeps_a_public_url_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(PUBLIC_URL, "http://box.local:8123")
    assert make_environment()[PUBLIC_URL] == "http://box.local:8123"
