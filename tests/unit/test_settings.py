"""Settings with which a server refuses to start."""

from pathlib import Path

import pytest
import typer
from pydantic import ValidationError

from dropbox_api.__main__ import _load_settings, migrate
from dropbox_api.settings import DEV_SECRET, Settings

SECRET = "0123456789abcdef" * 2


@pytest.mark.parametrize("secret", [DEV_SECRET, SECRET[:-1], ""])
def test_production_with_a_known_or_short_secret_is_refused(secret: str) -> None:
    with pytest.raises(ValidationError, match="DROPBOX_AUTH__SECRET"):
        Settings.model_validate({"mode": "production", "auth": {"secret": secret}})


def test_mode_without_a_setting_is_production(monkeypatch: pytest.MonkeyPatch, tmp_path: object) -> None:
    monkeypatch.chdir(str(tmp_path))
    monkeypatch.delenv("DROPBOX_MODE", raising=False)
    monkeypatch.delenv("DROPBOX_AUTH__SECRET", raising=False)
    with pytest.raises(ValidationError, match="DROPBOX_AUTH__SECRET"):
        Settings()
    monkeypatch.setenv("DROPBOX_AUTH__SECRET", SECRET)
    assert Settings().mode == "production"


def test_production_with_failpoints_is_refused() -> None:
    with pytest.raises(ValidationError, match="DROPBOX_FAILPOINTS"):
        Settings.model_validate({"mode": "production", "auth": {"secret": SECRET}, "failpoints": "a=raise"})


@pytest.mark.parametrize(
    "url",
    [
        *("https://files.example.com/box", "https://files.example.com/?x", "https://u:p@files.example.com"),
        *("files.example.com", "//files.example.com", "ftp://files.example.com", "https://", "https://h:port"),
    ],
)
def test_public_url_that_is_no_host_alone_is_refused(url: str) -> None:
    with pytest.raises(ValidationError, match="public_url"):
        Settings.model_validate({"mode": "dev", "http": {"public_url": url}})


@pytest.mark.parametrize(
    ("url", "origin"),
    [
        ("https://files.example.com/", "https://files.example.com"),
        ("https://FILES.example.com:443", "https://files.example.com"),
        ("http://localhost:8000", "http://localhost:8000"),
        ("https://bücher.example", "https://xn--bcher-kva.example"),
        ("", None),
    ],
)
def test_public_url_is_the_origin_that_browsers_send(url: str, origin: str | None) -> None:
    assert Settings.model_validate({"mode": "dev", "http": {"public_url": url}}).http.public_url == origin


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("DROPBOX_DATABASE__URL", "postgresql://app:s3cret@127.0.0.1/x"),
        ("DROPBOX_DATABASE__URL", "postgresql+asyncpg://app:s3cret@127.0.0.1:port/x"),
        ("DROPBOX_DATABASE__URL", "s3cret"),
        ("DROPBOX_DATABASE__LISTEN_URL", "postgresql+asyncpg://app:s3cret@[::1/x"),
        ("DROPBOX_LIMITS__STORAGE_URL", "memcached://:s3cret@127.0.0.1"),
        ("DROPBOX_LIMITS__ADDRESS", "many/minute"),
        ("DROPBOX_S3__SECRET_ACCESS_KEY", "s3cret"),
        ("DROPBOX_SENTRY_DSN", "s3cret"),
        ("DROPBOX_SENTRY_DSN", "https://s3cret@sentry.example/"),
    ],
)
def test_malformed_setting_ends_the_program_with_its_name_and_without_its_value(
    name: str, value: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DROPBOX_MODE", "dev")
    monkeypatch.setenv(name, value)
    with pytest.raises(typer.Exit) as ended:
        _load_settings()
    text = capsys.readouterr()
    assert ended.value.exit_code == 2
    assert name.rpartition("__")[0] in text.err
    assert len(text.err.splitlines()) == 1
    assert "s3cret" not in text.err + text.out


def test_migrate_without_a_database_ends_with_one_line(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DROPBOX_MODE", "dev")
    monkeypatch.setenv("DROPBOX_DATABASE__URL", "postgresql+asyncpg://app:s3cret@127.0.0.1:1/x")
    with pytest.raises(typer.Exit) as ended:
        migrate()
    (line,) = capsys.readouterr().err.splitlines()
    assert (ended.value.exit_code, line.endswith("check DROPBOX_DATABASE__URL")) == (1, True)
    assert "s3cret" not in line
