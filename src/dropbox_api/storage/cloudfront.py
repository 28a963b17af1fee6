"""CloudFront's signed URLs with a custom policy: expiry, and optionally the client's address.

The signed resource includes the query string that sets name and type of the response, so clients cannot change them.
The resource contains no `*`; its `?` is CloudFront's wildcard for one character and matches the `?` of the URL. SHA-1
is CloudFront's default. No I/O and no boto; a test compares the URLs with botocore's.
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
"""Largest response of CloudFront; of larger objects it serves ranges only."""


class CloudFront:
    """One distribution in front of the bucket, and the private key for its signed URLs."""

    def __init__(self, url: str, key_pair_id: str, private_key: str, *, bind_address: bool = False) -> None:
        """Load the key (RSA, PEM, without password). Raises ValueError; its message does not contain the key."""
        try:
            key = load_pem_private_key(private_key.encode(), password=None)
        except (ValueError, TypeError):  # TypeError: the key has a password
            key = None
        if not isinstance(key, rsa.RSAPrivateKey):
            raise ValueError("the private key for CloudFront is not an RSA key in PEM without a password")  # noqa: TRY004
        self._key = key
        self._url = url.rstrip("/")
        self._key_pair_id = key_pair_id
        self._bind_address = bind_address

    @property
    def address_prefix(self) -> str:
        """How every URL begins."""
        return f"{self._url}/"

    def serves(self, size_bytes: int) -> bool:
        """Tell whether downloads of this size go through the distribution.

        Larger objects come from the store in one response, unless URLs must be bound to addresses.
        """
        return self._bind_address or size_bytes <= MAX_BYTES

    def sign(self, key: str, query: Mapping[str, str], *, expires_at: datetime, address: str | None) -> str:
        """Return a URL that fetches an object (GET, HEAD) before `expires_at`, with exactly these query parameters.

        With `bind_address` it works from `address` only. Raises ValueError when that is not an IP address.
        """
        resource = f"{self._url}/{quote(key)}?{urlencode(query, quote_via=quote, safe='')}"
        condition: dict[str, object] = {"DateLessThan": {"AWS:EpochTime": int(expires_at.timestamp())}}
        if self._bind_address:
            condition["IpAddress"] = {"AWS:SourceIp": _single_address_range(address)}
        policy = json.dumps({"Statement": [{"Resource": resource, "Condition": condition}]}, separators=(",", ":"))
        signature = self._key.sign(policy.encode(), padding.PKCS1v15(), hashes.SHA1())  # noqa: S303 - CloudFront's choice
        signed = f"Policy={_encode_base64(policy.encode())}&Signature={_encode_base64(signature)}"
        return f"{resource}&{signed}&Key-Pair-Id={self._key_pair_id}"


def _single_address_range(address: str | None) -> str:
    """Return the range of one address; an IPv4-mapped IPv6 address becomes its IPv4 address."""
    ip = ipaddress.ip_address(address or "")
    mapped = ip.ipv4_mapped if isinstance(ip, ipaddress.IPv6Address) else None
    return str(ipaddress.ip_network(mapped or ip))


def _encode_base64(data: bytes) -> str:
    """Return base64 with CloudFront's replacements for the characters that a query string cannot contain."""
    return b64encode(data).decode().translate(str.maketrans("+=/", "-_~"))
