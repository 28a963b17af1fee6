"""An encrypted secret decrypts only for its row and purpose, with the same secret of the server."""

import uuid

from dropbox_api.plumbing import encryption
from dropbox_api.settings import AuthSettings

SETTINGS = AuthSettings.model_validate({"secret": "0123456789abcdef0123456789abcdef"})
OTHER_SETTINGS = AuthSettings.model_validate({"secret": "fedcba9876543210fedcba9876543210"})
ROW_ID = uuid.UUID(int=7)
SECRET = "a secret"


def test_encrypted_secret_decrypts_only_for_its_row_purpose_and_key() -> None:
    encrypted = encryption.encrypt_secret(SETTINGS, "secrets", ROW_ID, SECRET)
    assert encryption.decrypt_secret(SETTINGS, "secrets", ROW_ID, encrypted) == SECRET
    assert SECRET.encode() not in encrypted
    assert encryption.encrypt_secret(SETTINGS, "secrets", ROW_ID, SECRET) != encrypted
    assert encryption.decrypt_secret(OTHER_SETTINGS, "secrets", ROW_ID, encrypted) is None
    assert encryption.decrypt_secret(SETTINGS, "others", ROW_ID, encrypted) is None
    assert encryption.decrypt_secret(SETTINGS, "secrets", uuid.UUID(int=8), encrypted) is None
    for at in range(len(encrypted)):
        changed = encrypted[:at] + bytes([encrypted[at] ^ 1]) + encrypted[at + 1 :]
        assert encryption.decrypt_secret(SETTINGS, "secrets", ROW_ID, changed) is None


def test_keys_of_two_purposes_differ() -> None:
    assert encryption.derive_key(SETTINGS, "a") != encryption.derive_key(SETTINGS, "b")
    assert len(encryption.derive_key(SETTINGS, "a")) == 32
