"""Codes of a second factor: the vectors of RFC 6238, the window, and recovery codes."""

import base64

import pytest

from dropbox_api.accounts.factors import codes
from dropbox_api.settings import AuthSettings

SETTINGS = AuthSettings.model_validate({"secret": "0123456789abcdef0123456789abcdef"})
OTHER_SETTINGS = AuthSettings.model_validate({"secret": "fedcba9876543210fedcba9876543210"})
SECRET = base64.b32encode(b"12345678901234567890").decode()


@pytest.mark.parametrize(
    ("at_s", "eight_digits"),
    [
        (1111111109, "07081804"),
        (1111111111, "14050471"),
        (1234567890, "89005924"),
        (2000000000, "69279037"),
        (20000000000, "65353130"),
    ],
)
def test_code_of_the_rfc_6238_vectors_is_found_within_its_window(at_s: int, eight_digits: str) -> None:
    """Appendix B, SHA-1: the code of six digits is the end of the code of eight."""
    code = eight_digits[-6:]
    assert codes.find_step(SECRET, code, after_step=0, now_s=at_s) == at_s // 30
    assert codes.find_step(SECRET, code, after_step=at_s // 30, now_s=at_s) is None
    assert codes.find_step(SECRET, code, after_step=0, now_s=at_s + 30) == at_s // 30
    assert codes.find_step(SECRET, code, after_step=0, now_s=at_s - 30) == at_s // 30
    assert codes.find_step(SECRET, code, after_step=0, now_s=at_s + 60) is None
    assert codes.find_step(SECRET, code, after_step=0, now_s=at_s - 60) is None


@pytest.mark.parametrize("code", ["", "94287082", "28708", "28708\uff12", "0x1234"])
def test_malformed_code_is_refused(code: str) -> None:
    assert codes.find_step(SECRET, code, after_step=0, now_s=59) is None


def test_recovery_codes_and_their_hashes_are_distinct() -> None:
    made = codes.make_recovery_codes()
    assert len(set(made)) == 10
    assert len({codes.hash_recovery_code(SETTINGS, code) for code in made}) == 10
    assert codes.hash_recovery_code(SETTINGS, made[0]) == codes.hash_recovery_code(SETTINGS, f" {made[0].upper()} ")
    assert codes.hash_recovery_code(SETTINGS, made[0]) != codes.hash_recovery_code(OTHER_SETTINGS, made[0])
