"""What is sealed opens for its row and its purpose alone, under the same secret of the server."""

import uuid

from dropbox_api.plumbing import sealing
from dropbox_api.settings import AuthSettings

SETTINGS = AuthSettings.model_validate({"secret": "0123456789abcdef0123456789abcdef"})
OTHERS = AuthSettings.model_validate({"secret": "fedcba9876543210fedcba9876543210"})
ROW_ID = uuid.UUID(int=7)
SECRET = "a secret"


def test_a_sealed_secret_opens_for_its_row_and_purpose_under_its_key_alone() -> None:
    sealed = sealing.seal(SETTINGS, "secrets", ROW_ID, SECRET)
    assert sealing.unseal(SETTINGS, "secrets", ROW_ID, sealed) == SECRET
    assert SECRET.encode() not in sealed
    assert sealing.seal(SETTINGS, "secrets", ROW_ID, SECRET) != sealed
    assert sealing.unseal(OTHERS, "secrets", ROW_ID, sealed) is None
    assert sealing.unseal(SETTINGS, "others", ROW_ID, sealed) is None
    assert sealing.unseal(SETTINGS, "secrets", uuid.UUID(int=8), sealed) is None
    for at in range(len(sealed)):
        changed = sealed[:at] + bytes([sealed[at] ^ 1]) + sealed[at + 1 :]
        assert sealing.unseal(SETTINGS, "secrets", ROW_ID, changed) is None


def test_keys_of_two_purposes_have_nothing_in_common() -> None:
    assert sealing.derived_key(SETTINGS, "a") != sealing.derived_key(SETTINGS, "b")
    assert len(sealing.derived_key(SETTINGS, "a")) == 32
