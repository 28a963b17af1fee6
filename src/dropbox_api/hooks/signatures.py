"""Webhook secrets and signatures.

Source: Standard Webhooks (https://www.standardwebhooks.com), symmetric signatures.
"""

import base64
import hashlib
import hmac
import secrets
import uuid

from dropbox_api.plumbing import encryption
from dropbox_api.settings import AuthSettings

PREFIX = "whsec_"
_SECRET_BYTES = 32
_PURPOSE = "webhook secrets"


def create_secret() -> str:
    """Return a new webhook secret: 256 random bits."""
    return PREFIX + base64.b64encode(secrets.token_bytes(_SECRET_BYTES)).decode()


def encrypt_webhook_secret(settings: AuthSettings, webhook_id: uuid.UUID, secret: str) -> bytes:
    """Return a webhook's secret as the database stores it."""
    return encryption.encrypt_secret(settings, _PURPOSE, webhook_id, secret)


def decrypt_webhook_secret(settings: AuthSettings, webhook_id: uuid.UUID, encrypted: bytes) -> str | None:
    """Return a webhook's secret; None when the server's secret has changed since it was encrypted."""
    return encryption.decrypt_secret(settings, _PURPOSE, webhook_id, encrypted)


def sign_message(secret: str, message_id: uuid.UUID, at_s: int, body: bytes) -> dict[str, str]:
    """Return the headers that prove the origin and the time of a message. `at_s`: Unix time."""
    signed = f"{message_id}.{at_s}.".encode() + body
    key = base64.b64decode(secret.removeprefix(PREFIX))
    signature = base64.b64encode(hmac.digest(key, signed, hashlib.sha256)).decode()
    return {"webhook-id": str(message_id), "webhook-timestamp": str(at_s), "webhook-signature": f"v1,{signature}"}
