"""Decide which addresses of users the server calls: public ones, over TLS (`docs/security.md`, threat 19).

`resolve_target` resolves the name once, checks all its addresses, and returns one of them to connect to. A second
resolution could return another address (DNS rebinding), so every call goes through `resolve_target` and no other code
resolves names. An IPv4 address inside an IPv6 address (mapped, 6to4, NAT64) is checked as itself.
"""

import asyncio
import ipaddress
import socket
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import httpx2

from dropbox_api import problems
from dropbox_api.settings import HookSettings

IpAddress = ipaddress.IPv4Address | ipaddress.IPv6Address

RESOLVE_TIMEOUT_S = 5

_THREADS = ThreadPoolExecutor(4, thread_name_prefix="hooks-names")
"""Separate threads: slow name servers of users must not delay other name resolution."""

_NOT_PUBLIC = tuple(map(ipaddress.IPv4Network, ("168.63.129.16/32", "192.0.0.0/24", "192.88.99.0/24")))
"""Refused although `is_global` holds: the host on Azure, the metadata service of Oracle's cloud, 6to4 relays."""
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
_COMPATIBLE = ipaddress.IPv6Network("::/96")


@dataclass(frozen=True, slots=True)
class WebhookTarget:
    """The address to connect to, and the names to send."""

    url: httpx2.URL
    """The URL with the IP address in place of the name."""
    host: str
    """The `Host` header: the name, with the port unless it is the scheme's default."""
    name: str
    """The name in the certificate."""


def parse_target_url(settings: HookSettings, url: str) -> httpx2.URL:
    """Parse and check a URL, without resolving its name.

    Raises AddressRefused with its `reason`, InvalidRequest (not a URL, or a URL with a fragment).
    """
    try:
        parsed = httpx2.URL(url)
    except httpx2.InvalidURL:
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
    return problems.InvalidRequest.at("/url", detail)


async def resolve_target(settings: HookSettings, url: str) -> WebhookTarget:
    """Check a URL, resolve its name once, and return the target of a connection.

    Raises as `parse_target_url`, and AddressRefused when the name does not exist (`name`) or one of its addresses is
    neither public nor in an allowed network (`address`).
    """
    parsed = parse_target_url(settings, url)
    name = parsed.raw_host.decode("ascii")
    try:
        async with asyncio.timeout(RESOLVE_TIMEOUT_S):
            texts = await resolve_name(name)
        addresses = [ipaddress.ip_address(text) for text in texts]
    except (OSError, UnicodeError, ValueError):  # a TimeoutError is an OSError
        raise problems.AddressRefused("There is no such name", reason="name") from None
    if not addresses:
        raise problems.AddressRefused("There is no such name", reason="name")
    if not all(is_allowed(settings, address) for address in addresses):
        raise problems.AddressRefused(reason="address")
    return WebhookTarget(parsed.copy_with(host=str(addresses[0])), parsed.netloc.decode("ascii"), name)


async def resolve_name(name: str) -> list[str]:
    """Return the IP addresses of a name, in order of preference. Raises OSError when it has none."""
    entries = await asyncio.get_running_loop().run_in_executor(
        _THREADS, lambda: socket.getaddrinfo(name, None, type=socket.SOCK_STREAM)
    )
    return list(dict.fromkeys(str(entry[4][0]) for entry in entries))


def is_allowed(settings: HookSettings, address: IpAddress) -> bool:
    """Return whether an address is public, or in a network that the operator allows."""
    address = _unwrap_ipv4(address)
    if any(address in ipaddress.ip_network(network, strict=False) for network in settings.allowed_networks):
        return True
    return (
        address.is_global
        and not (address.is_multicast or address.is_reserved or address.is_unspecified)
        and not (isinstance(address, ipaddress.IPv6Address) and address.is_site_local)
        and not any(address in network for network in _NOT_PUBLIC)
    )


def _unwrap_ipv4(address: IpAddress) -> IpAddress:
    """Return the IPv4 address inside an IPv6 address; other addresses as they are."""
    if isinstance(address, ipaddress.IPv4Address):
        return address
    inner = address.ipv4_mapped or address.sixtofour
    if inner is None and (address in _NAT64 or (address in _COMPATIBLE and int(address) > 1)):
        inner = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return inner or address
