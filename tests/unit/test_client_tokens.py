"""The token file: private, replaced atomically, one refresh at a time."""

import threading
from pathlib import Path

import pytest

from dropbox_client.tokens import TokenFile, Tokens

TOKENS = Tokens("https://files.example.org", "ada@example.org", "access", "refresh")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "dbx" / "tokens.json"


def test_saved_tokens_are_loaded_and_deleted(path: Path) -> None:
    tokens = TokenFile(path)
    assert tokens.load() is None
    tokens.save(TOKENS)
    assert TokenFile(path).load() == TOKENS
    tokens.save(None)
    tokens.save(None)
    assert tokens.load() is None


def test_token_file_is_private(path: Path) -> None:
    TokenFile(path).save(TOKENS)
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("text", ["", "{", "[]", '{"server": "x"}', '{"other": 1}'])
def test_damaged_token_file_loads_none(path: Path, text: str) -> None:
    path.parent.mkdir()
    path.write_text(text)
    assert TokenFile(path).load() is None


def test_failed_save_keeps_the_old_tokens(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tokens = TokenFile(path)
    tokens.save(TOKENS)

    def no_space(*_: object) -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr("os.fsync", no_space)
    with pytest.raises(OSError, match="no space"):
        tokens.save(Tokens("https://files.example.org", "ada@example.org", "new", "new"))
    assert tokens.load() == TOKENS
    assert [entry.name for entry in path.parent.iterdir()] == ["tokens.json"]


def test_lock_is_exclusive_while_the_file_is_replaced(path: Path) -> None:
    inside: list[int] = []
    most = 0

    def refresh() -> None:
        nonlocal most
        tokens = TokenFile(path)  # as in another process
        for number in range(20):
            with tokens.locked():
                inside.append(number)
                most = max(most, len(inside))
                tokens.save(TOKENS)
                inside.pop()

    threads = [threading.Thread(target=refresh) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == 1
