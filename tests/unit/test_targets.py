"""Which addresses are called, and which never are, whatever name leads there."""

import asyncio
import ipaddress

import pytest

from dropbox_api import problems
from dropbox_api.hooks import targets
from dropbox_api.settings import HookSettings

USUAL = HookSettings()
OWN = HookSettings(allow_http=True, allowed_networks=("10.1.0.0/16", "127.0.0.0/8"))


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> dict[str, list[str]]:
    """What names lead to."""
    known: dict[str, list[str]] = {}

    async def look_up(name: str) -> list[str]:
        if name not in known:
            raise OSError(name)
        return known[name]

    monkeypatch.setattr(targets, "resolve_name", look_up)
    return known


INSIDE = [
    "127.0.0.1",
    "127.8.8.8",
    "0.0.0.0",  # noqa: S104 - refused
    "10.0.0.1",
    "10.1.2.3",
    "172.16.0.1",
    "192.168.1.1",
    "100.64.0.1",
    "169.254.169.254",
    "168.63.129.16",
    "192.0.0.192",
    "198.18.0.1",
    "203.0.113.1",
    "224.0.0.1",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "fe80::1",
    "fec0::1",
    "fc00::1",
    "fd00:ec2::254",
    "ff02::1",
    "2001:db8::1",
    "2001::1",
    "100::1",
    "::ffff:127.0.0.1",
    "::ffff:169.254.169.254",
    "::127.0.0.1",
    "64:ff9b::a9fe:a9fe",
    "64:ff9b::7f00:1",
    "64:ff9b:1::1",
    "2002:7f00:1::1",
    "2002:a9fe:a9fe::",
    "2002:a00:1::",
]
PUBLIC = ["93.184.216.34", "1.1.1.1", "2606:4700::1111", "::ffff:93.184.216.34", "64:ff9b::5db8:d822"]


@pytest.mark.parametrize("address", INSIDE)
async def test_what_is_inside_is_refused(names: dict[str, list[str]], address: str) -> None:
    names["hooks.example"] = [address]
    with pytest.raises(problems.AddressRefused) as refused:
        await targets.resolve_target(USUAL, "https://hooks.example/")
    assert refused.value.extra == {"reason": "address"}


@pytest.mark.parametrize("address", PUBLIC)
async def test_what_is_public_is_called_at_that_very_address(names: dict[str, list[str]], address: str) -> None:
    names["hooks.example"] = [address]
    target = await targets.resolve_target(USUAL, "https://hooks.example:8443/a?b=c")
    assert ipaddress.ip_address(target.url.host) == ipaddress.ip_address(address)
    assert (target.url.port, target.url.raw_path) == (8443, b"/a?b=c")
    assert (target.host, target.name) == ("hooks.example:8443", "hooks.example")


@pytest.mark.parametrize("inside", ["127.0.0.1", "::1", "fe80::1%lo"])
async def test_one_address_inside_refuses_the_name(names: dict[str, list[str]], inside: str) -> None:
    names["hooks.example"] = ["93.184.216.34", inside]
    with pytest.raises(problems.AddressRefused):
        await targets.resolve_target(USUAL, "https://hooks.example/")


@pytest.mark.parametrize("spelled", ["2130706433", "0x7f.1", "127.1", "0177.0.0.1", "localhost", "[::1]", "0"])
async def test_other_spellings_are_what_they_mean(spelled: str) -> None:
    """Asks the resolver of the machine, which knows them all."""
    with pytest.raises((problems.AddressRefused, problems.InvalidRequest)):
        await targets.resolve_target(USUAL, f"https://{spelled}/")


async def test_the_operator_allows_networks_of_their_own(names: dict[str, list[str]]) -> None:
    names |= {"inside": ["10.1.2.3"], "mapped": ["::ffff:10.1.2.3"], "other": ["10.2.0.1"], "both": ["10.1.2.3", "::1"]}
    assert (await targets.resolve_target(OWN, "http://inside/")).url.host == "10.1.2.3"
    await targets.resolve_target(OWN, "https://mapped/")
    for name in ("other", "both"):
        with pytest.raises(problems.AddressRefused):
            await targets.resolve_target(OWN, f"https://{name}/")


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("http://hooks.example/", "scheme"),
        ("ftp://hooks.example/", "scheme"),
        ("file:///etc/passwd", "scheme"),
        ("gopher://hooks.example/", "scheme"),
        ("hooks.example", "scheme"),
        ("https://user@hooks.example/", "credentials"),
        ("https://user:pass@hooks.example/", "credentials"),
        ("https://hooks.example\\@127.0.0.1/", "credentials"),
        ("https://unknown.example/", "name"),
        ("https://a..b/", "name"),
        ("https://xn--/", "name"),
    ],
)
async def test_what_is_refused_says_why(names: dict[str, list[str]], url: str, reason: str) -> None:
    names["hooks.example"] = ["93.184.216.34"]
    with pytest.raises(problems.AddressRefused) as refused:
        await targets.resolve_target(USUAL, url)
    assert refused.value.extra == {"reason": reason}


@pytest.mark.parametrize(
    "url",
    [
        "https://",
        "https:///x",
        "https://h/#a",
        "https://h#",
        "https://h:0/",
        "https://h:65536/",
        "https://h:x/",
        "https://[::1/",
    ],
)
async def test_what_is_no_url_is_no_valid_request(names: dict[str, list[str]], url: str) -> None:
    names["h"] = ["93.184.216.34"]
    with pytest.raises(problems.InvalidRequest) as refused:
        await targets.resolve_target(USUAL, url)
    assert refused.value.extra["errors"][0]["pointer"] == "/url"


async def test_a_name_without_addresses_is_none(names: dict[str, list[str]]) -> None:
    names["h"] = []
    with pytest.raises(problems.AddressRefused) as refused:
        await targets.resolve_target(USUAL, "https://h/")
    assert refused.value.extra == {"reason": "name"}


async def test_a_slow_name_server_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    async def never(_: str) -> list[str]:
        await asyncio.Event().wait()
        return []

    monkeypatch.setattr(targets, "resolve_name", never)
    monkeypatch.setattr(targets, "RESOLVE_TIMEOUT_S", 0.01)
    with pytest.raises(problems.AddressRefused) as refused:
        await targets.resolve_target(USUAL, "https://h/")
    assert refused.value.extra == {"reason": "name"}
