"""Rules for passwords."""

import pytest

from dropbox_api.accounts.factors.password_rules import require_strong
from dropbox_api.problems import WeakPassword

EMAIL = "anna.smith@example.com"


@pytest.mark.parametrize(
    "password",
    [
        "correct horse battery",
        "x9 zqfmw",  # eight characters, the minimum
        "пароль в три слова",
        "🔑" * 8,
        "no capital no digit",
        "x" * 64 + "y" * 64,
        "smith of anna",  # parts of the address alone
    ],
)
def test_strong_password_is_accepted(password: str) -> None:
    require_strong(password, EMAIL)


@pytest.mark.parametrize(
    ("password", "reason"),
    [
        ("x9 zqfm", "too-short"),
        ("🔑" * 7, "too-short"),
        ("x9" * 64 + "z", "too-long"),
        ("12345678", "common"),
        ("iloveyou", "common"),
        ("PassWord1", "common"),
        ("my anna.smith@example.com", "contains-address"),
        ("ANNA.SMITH 1987", "contains-address"),
        ("my-Dropbox-2024", "contains-address"),
    ],
)
def test_weak_password_is_refused_with_its_reason(password: str, reason: str) -> None:
    with pytest.raises(WeakPassword) as refused:
        require_strong(password, EMAIL)
    assert refused.value.extra["reason"] == reason
    assert password not in str(refused.value)


def test_password_with_a_short_name_of_the_address_is_accepted() -> None:
    require_strong("banana boat trip", "ana@example.com")
