"""What the settings refuse, so that no server starts with it."""

import pytest
from pydantic import ValidationError

from dropbox_api.settings import DEV_SECRET, Settings

SECRET = "0123456789abcdef" * 2


@pytest.mark.parametrize("secret", [DEV_SECRET, SECRET[:-1], ""])
def test_production_takes_no_secret_that_others_know_or_guess(secret: str) -> None:
    with pytest.raises(ValidationError, match="DROPBOX_AUTH__SECRET"):
        Settings.model_validate({"mode": "production", "auth": {"secret": secret}})


def test_unless_told_otherwise_it_is_production(monkeypatch: pytest.MonkeyPatch, tmp_path: object) -> None:
    monkeypatch.chdir(str(tmp_path))
    monkeypatch.delenv("DROPBOX_MODE", raising=False)
    monkeypatch.delenv("DROPBOX_AUTH__SECRET", raising=False)
    with pytest.raises(ValidationError, match="DROPBOX_AUTH__SECRET"):
        Settings()
    monkeypatch.setenv("DROPBOX_AUTH__SECRET", SECRET)
    assert Settings().mode == "production"


def test_production_takes_no_failpoints() -> None:
    with pytest.raises(ValidationError, match="DROPBOX_FAILPOINTS"):
        Settings.model_validate({"mode": "production", "auth": {"secret": SECRET}, "failpoints": "a=raise"})
