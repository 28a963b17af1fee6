"""What is sealed opens for its row and its purpose alone, under the same secret of the server."""

import uuid

from dropbox_api.plumbing import encryption
from dropbox_api.settings import AuthSettings

SETTINGS = AuthSettings.model_validate({"secret": "0123456789abcdef0123456789abcdef"})
OTHERS = AuthSettings.model_validate({"secret": "fedcba9876543210fedcba9876543210"})
ROW_ID = uuid.UUID(int=7)
SECRET = "a secret"


def test_a_sealed_secret_opens_for_its_row_and_purpose_under_its_key_alone() -> None:
    sealed = encryption.encrypt_secret(SETTINGS, "secrets", ROW_ID, SECRET)
    assert encryption.decrypt_secret(SETTINGS, "secrets", ROW_ID, sealed) == SECRET
    assert SECRET.encode() not in sealed
    assert encryption.encrypt_secret(SETTINGS, "secrets", ROW_ID, SECRET) != sealed
    assert encryption.decrypt_secret(OTHERS, "secrets", ROW_ID, sealed) is None
    assert encryption.decrypt_secret(SETTINGS, "others", ROW_ID, sealed) is None
    assert encryption.decrypt_secret(SETTINGS, "secrets", uuid.UUID(int=8), sealed) is None
    for at in range(len(sealed)):
        changed = sealed[:at] + bytes([sealed[at] ^ 1]) + sealed[at + 1 :]
        assert encryption.decrypt_secret(SETTINGS, "secrets", ROW_ID, changed) is None


def test_keys_of_two_purposes_have_nothing_in_common() -> None:
    assert encryption.derive_key(SETTINGS, "a") != encryption.derive_key(SETTINGS, "b")
    assert len(encryption.derive_key(SETTINGS, "a")) == 32
