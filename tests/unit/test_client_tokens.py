"""The token file: private, replaced atomically, one refresh at a time."""

import threading
from pathlib import Path

import pytest

from dropbox_client import AsyncClient, Client
from dropbox_client.tokens import TokenFile, TokenMemory, Tokens

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


@pytest.mark.parametrize("text", [
    "",
    "{",
    "[]",
    "[" * 100_000,
    '{"server": "x"}',
    '{"other": 1}',
    '{"server": 1, "email": "", "access_token": "a", "refresh_token": ""}',
    '{"server": "x", "email": "", "access_token": "a", "refresh_token": ""}',
    '{"server": "http://h", "email": "", "access_token": 1, "refresh_token": ""}',
    '{"server": "http://h", "email": "", "access_token": "a\\n", "refresh_token": ""}',
    '{"server": "http://h", "email": "", "access_token": "a", "refresh_token": null}',
])  # fmt: skip
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


@pytest.mark.parametrize("around", ["", "\n", "\r\n", "\t ", "\u2028"])
def test_token_with_white_space_around_it_is_stripped(around: str) -> None:
    tokens = Tokens.from_access_token("http://h", f"{around}dbx_pat_abc.DEF-123_~+/=={around}")
    assert tokens.access_token == "dbx_pat_abc.DEF-123_~+/=="


@pytest.mark.parametrize(
    "token", ["", " ", "secret\r\nX: y", "secret x", "secret\x00", "secretü", "secret\udcff", "=secret"]
)
@pytest.mark.parametrize("kind", [Client, AsyncClient])
def test_token_that_cannot_be_in_a_header_is_refused_without_showing_it(
    kind: type[Client] | type[AsyncClient], token: str
) -> None:
    with pytest.raises(ValueError, match="not an access token") as refused:
        kind("http://h", token=token)
    assert "secret" not in str(refused.value)
    with Client("http://h", TokenMemory()) as client, pytest.raises(ValueError, match="not an access token"):
        client.sign_in_with_token(token)


def test_tokens_are_not_in_their_representation() -> None:
    assert repr(TOKENS) == "Tokens(server='https://files.example.org', email='ada@example.org')"
