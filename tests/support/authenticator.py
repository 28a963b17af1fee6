"""An authenticator in software: it makes P-256 passkeys and signs with them as a browser would send it.

Every check of the server can be provoked: the arguments of `create` and `get` set what an honest browser and
authenticator would not.
"""

import base64
import hashlib
import json
import secrets
from dataclasses import dataclass, field
from typing import Any

import cbor2
import httpx2
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256

from tests.support.server import Account

_PRESENT, _VERIFIED, _HAS_CREDENTIAL = 0x01, 0x04, 0x40


def encode(value: bytes) -> str:
    return base64.urlsafe_b64encode(value).rstrip(b"=").decode()


def decode(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


@dataclass
class Authenticator:
    """Holds one passkey after `create`; `counts`: whether it counts signatures, as hardware keys do."""

    origin: str
    counts: bool = False
    credential_id: bytes = field(default_factory=lambda: secrets.token_bytes(32))
    user_handle: bytes = b""
    sign_count: int = 0
    _key: ec.EllipticCurvePrivateKey = field(default_factory=lambda: ec.generate_private_key(ec.SECP256R1()))

    def create(
        self, options: dict[str, Any], *, origin: str | None = None, rp_id: str | None = None, verified: bool = True
    ) -> dict[str, Any]:
        """Make the passkey and return the JSON of the browser's `PublicKeyCredential`."""
        self.user_handle = decode(options["user"]["id"])
        numbers = self._key.public_key().public_numbers()
        cose_key = {1: 2, 3: -7, -1: 1, -2: numbers.x.to_bytes(32, "big"), -3: numbers.y.to_bytes(32, "big")}
        attested = bytes(16) + len(self.credential_id).to_bytes(2, "big") + self.credential_id + cbor2.dumps(cose_key)
        data = self._data(rp_id or options["rp"]["id"], verified=verified, extra=_HAS_CREDENTIAL) + attested
        attestation = cbor2.dumps({"fmt": "none", "attStmt": {}, "authData": data})
        return self._credential(
            clientDataJSON=encode(self._client_data("webauthn.create", options["challenge"], origin)),
            attestationObject=encode(attestation),
            transports=["internal", "hybrid"],
            authenticatorData=encode(data),
        )

    def get(
        self,
        options: dict[str, Any],
        *,
        origin: str | None = None,
        rp_id: str | None = None,
        verified: bool = True,
        cross_origin: bool = False,
        user_handle: bytes | None = None,
    ) -> dict[str, Any]:
        """Sign the challenge and return the JSON of the browser's `PublicKeyCredential`."""
        self.sign_count += self.counts
        data = self._data(rp_id or options["rpId"], verified=verified)
        client_data = self._client_data("webauthn.get", options["challenge"], origin, cross_origin=cross_origin)
        signature = self._key.sign(data + hashlib.sha256(client_data).digest(), ec.ECDSA(SHA256()))
        return self._credential(
            clientDataJSON=encode(client_data),
            authenticatorData=encode(data),
            signature=encode(signature),
            userHandle=encode(self.user_handle if user_handle is None else user_handle),
        )

    def get_id(self) -> str:
        return encode(self.credential_id)

    def _credential(self, **response: Any) -> dict[str, Any]:
        credential_id = encode(self.credential_id)
        return {
            "id": credential_id,
            "rawId": credential_id,
            "type": "public-key",
            "response": response,
            "clientExtensionResults": {},
            "authenticatorAttachment": "platform",
        }

    def _data(self, rp_id: str, *, verified: bool, extra: int = 0) -> bytes:
        flags = _PRESENT | (_VERIFIED if verified else 0) | extra
        return hashlib.sha256(rp_id.encode()).digest() + bytes([flags]) + self.sign_count.to_bytes(4, "big")

    def _client_data(self, kind: str, challenge: str, origin: str | None, *, cross_origin: bool = False) -> bytes:
        return json.dumps(
            {"type": kind, "challenge": challenge, "origin": origin or self.origin, "crossOrigin": cross_origin}
        ).encode()


PUBLIC_URL = "https://files.example.com"
"""Public address of servers whose passkeys are tested; the tests reach them at another one."""


async def begin(client: httpx2.AsyncClient, path: str) -> dict[str, Any]:
    """Return the options of a ceremony: path is `/v1/auth/passkey`, `/v1/me/passkeys` or `/v1/me/confirm`."""
    options: dict[str, Any] = (await client.post(f"{path}/options")).raise_for_status().json()
    return options


async def add_passkey(account: Account, name: str = "phone", *, counts: bool = False) -> Authenticator:
    """Add a passkey to the account and return its authenticator."""
    authenticator = Authenticator(PUBLIC_URL, counts)
    credential = authenticator.create(await begin(account.client, "/v1/me/passkeys"))
    answer = await account.client.post("/v1/me/passkeys", json={"name": name, "credential": credential})
    assert answer.status_code == 201, answer.text
    return authenticator


async def sign_in(api: httpx2.AsyncClient, authenticator: Authenticator, **faults: Any) -> httpx2.Response:
    """Sign in with a passkey; `faults` are arguments of `Authenticator.get`."""
    credential = authenticator.get(await begin(api, "/v1/auth/passkey"), **faults)
    return await api.post("/v1/auth/passkey", json={"credential": credential})
