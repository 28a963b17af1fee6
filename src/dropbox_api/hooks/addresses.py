"""Which addresses users may have us call: public ones, over TLS (`docs/security.md`, threat 19).

A name is looked up once, every address that it has is judged, and one of these very addresses is connected to: a second
look-up could answer something else (DNS rebinding). So all that is called goes through `resolve`, at each call anew;
nobody else asks for names. What stands inside another address (IPv4 in IPv6, 6to4, NAT64) is judged as itself.
"""

import asyncio
import ipaddress
import socket
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import httpx

from dropbox_api import problems
from dropbox_api.settings import HookSettings

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

LOOK_UP_TIMEOUT_S = 5

_THREADS = ThreadPoolExecutor(4, thread_name_prefix="hooks-names")
"""Of their own: strangers' name servers that are slow keep nobody else waiting."""

_NOT_PUBLIC = tuple(map(ipaddress.IPv4Network, ("168.63.129.16/32", "192.0.0.0/24", "192.88.99.0/24")))
"""What `is_global` lets pass: the host itself on Azure, the metadata of Oracle's cloud, relays of 6to4."""
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
_COMPATIBLE = ipaddress.IPv6Network("::/96")


@dataclass(frozen=True, slots=True)
class Target:
    """Where to connect to, and as what."""

    url: httpx.URL
    """With the address instead of the name."""
    host: str
    """The `Host` header: the name, and the port unless it is the scheme's."""
    name: str
    """What the certificate must be for."""


def parse(settings: HookSettings, url: str) -> httpx.URL:
    """Read an address that may be called as far as its looks go.

    Raises AddressRefused with its `reason`, InvalidRequest for what is no URL, or has a fragment.
    """
    try:
        parsed = httpx.URL(url)
    except httpx.InvalidURL:
        raise _invalid("is not a URL") from None
    if parsed.scheme != "https" and not (parsed.scheme == "http" and settings.allow_http):
        raise problems.AddressRefused("Only https is called", reason="scheme")
    if parsed.userinfo:
        raise problems.AddressRefused("An address with credentials in it is not called", reason="credentials")
    if not parsed.raw_host:  # `host` is decoded, and raises for what IDNA does not know
        raise _invalid("has no host")
    if "#" in url:
        raise _invalid("has a fragment")
    if not 0 < (443 if parsed.port is None else parsed.port) < 65536:
        raise _invalid("has no such port")
    return parsed


def _invalid(detail: str) -> problems.InvalidRequest:
    return problems.InvalidRequest(errors=[{"pointer": "/url", "detail": detail}])


async def resolve(settings: HookSettings, url: str) -> Target:
    """Look the name up, once, and return where to connect to.

    Raises what `parse` does; AddressRefused also when there is no such name (`name`), or any of its addresses is not a
    public one and in none of the allowed networks (`address`).
    """
    parsed = parse(settings, url)
    name = parsed.raw_host.decode("ascii")
    try:
        async with asyncio.timeout(LOOK_UP_TIMEOUT_S):
            found = await look_up(name)
        addresses = [ipaddress.ip_address(text) for text in found]
    except (OSError, UnicodeError, ValueError):  # a TimeoutError is an OSError
        raise problems.AddressRefused("There is no such name", reason="name") from None
    if not addresses:
        raise problems.AddressRefused("There is no such name", reason="name")
    if not all(may_call(settings, address) for address in addresses):
        raise problems.AddressRefused(reason="address")
    return Target(parsed.copy_with(host=str(addresses[0])), parsed.netloc.decode("ascii"), name)


async def look_up(name: str) -> list[str]:
    """Return the addresses of a name, the one to be preferred first. Raises OSError when it has none."""
    found = await asyncio.get_running_loop().run_in_executor(
        _THREADS, lambda: socket.getaddrinfo(name, None, type=socket.SOCK_STREAM)
    )
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


def may_call(settings: HookSettings, address: Address) -> bool:
    """Tell whether an address is public, or in a network that the operator allows."""
    address = _innermost(address)
    if any(address in ipaddress.ip_network(network, strict=False) for network in settings.allowed_networks):
        return True
    return (
        address.is_global
        and not (address.is_multicast or address.is_reserved or address.is_unspecified)
        and not (isinstance(address, ipaddress.IPv6Address) and address.is_site_local)
        and not any(address in network for network in _NOT_PUBLIC)
    )


def _innermost(address: Address) -> Address:
    """Return the IPv4 address that an IPv6 address leads to, if it does."""
    if isinstance(address, ipaddress.IPv4Address):
        return address
    inner = address.ipv4_mapped or address.sixtofour
    if inner is None and (address in _NAT64 or (address in _COMPATIBLE and int(address) > 1)):
        inner = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return inner or address
