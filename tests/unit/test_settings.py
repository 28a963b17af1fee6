"""Settings with which a server refuses to start."""

import pytest
from pydantic import ValidationError

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
