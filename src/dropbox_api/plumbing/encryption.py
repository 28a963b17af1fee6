"""Keys derived from the server's secret, and what is kept in the database only sealed with one.

A copy of the database alone opens nothing, and another secret of the server makes void what the old one sealed.
AES-GCM; HKDF (RFC 5869).
"""

import logging
import os
import uuid

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from dropbox_api.settings import AuthSettings

_NONCE_BYTES = 12

log = logging.getLogger(__name__)


def derive_key(settings: AuthSettings, purpose: str) -> bytes:
    """Return the 32 bytes that the server's secret stands for in one purpose, and in no other."""
    hkdf = HKDF(SHA256(), length=32, salt=None, info=f"dropbox-api {purpose}".encode())
    return hkdf.derive(settings.secret.get_secret_value().encode())


def encrypt_secret(settings: AuthSettings, purpose: str, row_id: uuid.UUID, secret: str) -> bytes:
    """Encrypt a secret for one purpose and one row: in another one it opens nothing."""
    nonce = os.urandom(_NONCE_BYTES)
    return nonce + AESGCM(derive_key(settings, purpose)).encrypt(nonce, secret.encode(), row_id.bytes)


def decrypt_secret(settings: AuthSettings, purpose: str, row_id: uuid.UUID, sealed: bytes) -> str | None:
    """Return the secret; None if it was sealed for another row or purpose, or under another secret of the server."""
    cipher = AESGCM(derive_key(settings, purpose))
    try:
        return cipher.decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], row_id.bytes).decode()
    except InvalidTag:
        log.warning("of the %s, that of %s was made under another DROPBOX_AUTH__SECRET", purpose, row_id)
        return None
