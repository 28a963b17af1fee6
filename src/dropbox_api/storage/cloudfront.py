"""CloudFront's signed URLs, with a custom policy: until when, and for which address, one URL of ours may be fetched.

The query strings by which S3 is told name and type of the answer are part of the resource that is signed, so nobody can
change them. The resource holds no `*`; its `?` means any one character to CloudFront, which the one in the URL is.
SHA-1 is what CloudFront takes without being told otherwise. No I/O; boto is not needed (a test compares).
Source: "Create a signed URL using a custom policy" in Amazon CloudFront's Developer Guide.
"""

import ipaddress
import json
from base64 import b64encode
from collections.abc import Mapping
from datetime import datetime
from urllib.parse import quote, urlencode

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.serialization import load_pem_private_key

MAX_BYTES = 50 * 10**9
"""Of one answer: of what is larger, CloudFront gives ranges only."""


class CloudFront:
    """One distribution in front of the bucket, and the key that it trusts."""

    def __init__(self, url: str, key_pair_id: str, private_key: str, *, bind_address: bool = False) -> None:
        """Read the key (RSA, PEM, without password). Raises ValueError, which does not tell the key."""
        try:
            key = load_pem_private_key(private_key.encode(), password=None)
        except (ValueError, TypeError):  # TypeError: there is a password
            key = None
        if not isinstance(key, rsa.RSAPrivateKey):
            raise ValueError("the private key for CloudFront is not an RSA key in PEM without a password")  # noqa: TRY004
        self._key = key
        self._url = url.rstrip("/")
        self._key_pair_id = key_pair_id
        self._bind_address = bind_address

    def serves(self, size_bytes: int) -> bool:
        """Tell whether downloads of this size go through the distribution.

        Larger ones come from the store, which sends them in one piece, but binds no URL to an address.
        """
        return self._bind_address or size_bytes <= MAX_BYTES

    def sign(self, key: str, query: Mapping[str, str], *, expires_at: datetime, address: str | None) -> str:
        """Return a URL that fetches an object (GET, HEAD) before `expires_at`, with these query parameters only.

        Where URLs are bound, only from `address`. Raises ValueError when that is not an IP address.
        """
        resource = f"{self._url}/{quote(key)}?{urlencode(query, quote_via=quote, safe='')}"
        condition: dict[str, object] = {"DateLessThan": {"AWS:EpochTime": int(expires_at.timestamp())}}
        if self._bind_address:
            condition["IpAddress"] = {"AWS:SourceIp": _exactly(address)}
        policy = json.dumps({"Statement": [{"Resource": resource, "Condition": condition}]}, separators=(",", ":"))
        signature = self._key.sign(policy.encode(), padding.PKCS1v15(), hashes.SHA1())  # noqa: S303 - theirs
        signed = f"Policy={_encode(policy.encode())}&Signature={_encode(signature)}&Key-Pair-Id={self._key_pair_id}"
        return f"{resource}&{signed}"


def _exactly(address: str | None) -> str:
    """Return the range of one address; an IPv4 address that came through an IPv6 socket is one of IPv4."""
    ip = ipaddress.ip_address(address or "")
    mapped = ip.ipv4_mapped if isinstance(ip, ipaddress.IPv6Address) else None
    return str(ipaddress.ip_network(mapped or ip))


def _encode(data: bytes) -> str:
    """Return base64 with CloudFront's own replacements for what a query string cannot hold."""
    return b64encode(data).decode().translate(str.maketrans("+=/", "-_~"))
