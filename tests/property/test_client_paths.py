"""Return paths of a sign-in: whatever the text, a browser stays in the web app."""

from urllib.parse import urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st
from yarl import URL

from dropbox_api.core.client_paths import CLIENT_PREFIXES, is_client_path

BASE = URL("https://box.example/sign-in")
PIECES = [
    *CLIENT_PREFIXES,
    "/",
    "//",
    "\\",
    ".",
    "..",
    "%2e",
    "%2E",
    "%2f",
    "?",
    "#",
    "@",
    ":",
    "evil.example",
    "v1",
    "s",
]
PIECES += ["\t", "\n", " ", "a", "é", "%", "https:"]
ADDRESSES = st.one_of(
    st.lists(st.sampled_from(PIECES), max_size=6).map("".join),
    st.builds(lambda prefix, rest: prefix + rest, st.sampled_from(CLIENT_PREFIXES), st.text(max_size=10)),
    st.text(max_size=20),
)


@given(address=ADDRESSES)
def test_client_path_leads_a_browser_nowhere_else(address: str) -> None:
    if not is_client_path(address):
        return
    target = BASE.join(URL(address))  # resolves dots and hosts as browsers do
    assert (target.scheme, target.host, target.fragment) == ("https", "box.example", "")
    assert target.path == "/" or any(f"{target.path}/".startswith(f"{prefix}/") for prefix in CLIENT_PREFIXES)
    assert urlsplit(address).netloc == ""


@pytest.mark.parametrize("prefix", CLIENT_PREFIXES)
def test_client_path_may_go_deeper_and_have_a_query(prefix: str) -> None:
    for address in (prefix, f"{prefix}/", f"{prefix}/a/b.txt", f"{prefix}?next=/v1", f"{prefix}/%C3%A9?a=b&c"):
        assert is_client_path(address), address


@pytest.mark.parametrize(
    "address",
    [
        *("", "files", "/v1/me", "/s/token", "/docs", "/filesystem", "//files", "/\\files", "/%2ffiles", "/FILES"),
        *("/files/../v1", "/files/..", "/files/%2e%2E/v1", "/files/.%2e/", "/files/./x", "/files#x", "/files\\..\\v1"),
        *("/files\n", "/files /x", "https://box.example/files", "javascript:/files", "/files?x#y", "/files?\ty"),
    ],
)
def test_other_path_is_no_client_path(address: str) -> None:
    assert not is_client_path(address)
