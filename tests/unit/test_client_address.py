"""The address of a server, as people type it."""

import pytest

from dropbox_client import AsyncClient, Client
from dropbox_client.address import read_address


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("https://files.example.org", "https://files.example.org"),
        ("http://127.0.0.1:8000/", "http://127.0.0.1:8000"),
        ("http://[::1]:8000", "http://[::1]:8000"),
        ("https://example.org/files/", "https://example.org/files"),
        ("https://bücher.example", "https://bücher.example"),
        ("http://h\r\n", "http://h"),
    ],
)
def test_address_valid_is_read(typed: str, meant: str) -> None:
    assert read_address(typed) == meant


@pytest.mark.parametrize(
    "typed",
    [
        "", "h", "h:8000", "//h", "ftp://h", "http:h", "http://", "http://:80",
        "http://h:99999", "http://h:abc", "http://h:0", "http://h:-1", "http://[::1", "http://..", "http://a..b",
        "http://.", "http://a b", "http://h/a b", "http://h\n.example", "http://h\x00", "http://\udcff",
        "http://h/\udcff", "http://h/ü", "http://h?x=1", "http://h#x", f"http://{'a' * 64}.example",
    ],
)  # fmt: skip
def test_address_invalid_is_refused(typed: str) -> None:
    with pytest.raises(ValueError, match="address"):
        read_address(typed)


@pytest.mark.parametrize("address", ["http://ada:pass-word@h", "http://pass-word@h:x", "http://ada:pass-word@[::1"])
@pytest.mark.parametrize("kind", [Client, AsyncClient])
def test_address_with_a_password_is_refused_without_showing_it(
    kind: type[Client] | type[AsyncClient], address: str
) -> None:
    with pytest.raises(ValueError, match="address") as refused:
        kind(address)
    assert "pass-word" not in str(refused.value)
