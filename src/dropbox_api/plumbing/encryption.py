"""Encryption of secrets in the database, with keys derived from the server's secret.

A copy of the database alone decrypts nothing. After a change of the server's secret, old secrets no longer decrypt.
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
    """Return the 32 byte key of one purpose, derived from the server's secret."""
    hkdf = HKDF(SHA256(), length=32, salt=None, info=f"dropbox-api {purpose}".encode())
    return hkdf.derive(settings.secret.get_secret_value().encode())


def encrypt_secret(settings: AuthSettings, purpose: str, row_id: uuid.UUID, secret: str) -> bytes:
    """Encrypt a secret for one purpose and one row; it decrypts for no other."""
    nonce = os.urandom(_NONCE_BYTES)
    return nonce + AESGCM(derive_key(settings, purpose)).encrypt(nonce, secret.encode(), row_id.bytes)


def decrypt_secret(settings: AuthSettings, purpose: str, row_id: uuid.UUID, encrypted: bytes) -> str | None:
    """Return the secret, or None when the row, the purpose or the server's secret is not that of the encryption."""
    cipher = AESGCM(derive_key(settings, purpose))
    try:
        return cipher.decrypt(encrypted[:_NONCE_BYTES], encrypted[_NONCE_BYTES:], row_id.bytes).decode()
    except InvalidTag:
        log.warning("cannot decrypt the %s of %s: encrypted with another DROPBOX_AUTH__SECRET", purpose, row_id)
        return None
