"""Password rules: a minimum length and no common password. There are no rules of composition.

Source: OWASP ASVS 5.0, 6.2.1-6.2.5 and 6.2.9-6.2.12; the list of common passwords is zxcvbn's (11,000 of 8 characters
or more, from leaked collections).
"""

from zxcvbn.frequency_lists import FREQUENCY_LISTS  # type: ignore[import-untyped]

from dropbox_api.accounts.schemas import MAX_PASSWORD_CHARS, MIN_PASSWORD_CHARS
from dropbox_api.problems import WeakPassword

_SERVICE = ("dropbox-api", "dropbox")
_MIN_NAME_CHARS = 4
"""Shorter names occur in too many words to refuse a password for them."""

_COMMON = frozenset(password for password in FREQUENCY_LISTS["passwords"] if len(password) >= MIN_PASSWORD_CHARS)


def require_strong(password: str, email: str) -> None:
    """Refuse a password that is easy to guess, in any case (`Password1` is as weak as `password1`).

    Raises WeakPassword: reason too-short (below 8 characters), too-long (above 128), common, or
    contains-address (the address of the account, its local part, or the name of this service).
    """
    folded = password.casefold()
    local_part = email.casefold().partition("@")[0]
    names = (email.casefold(), local_part, *_SERVICE)
    if len(password) < MIN_PASSWORD_CHARS:
        raise WeakPassword(f"The password needs {MIN_PASSWORD_CHARS} characters or more", reason="too-short")
    if len(password) > MAX_PASSWORD_CHARS:
        raise WeakPassword(f"The password can have {MAX_PASSWORD_CHARS} characters at most", reason="too-long")
    if folded in _COMMON:
        raise WeakPassword("The password is a common one: attackers try it first", reason="common")
    if any(name in folded for name in names if len(name) >= _MIN_NAME_CHARS):
        raise WeakPassword("The password contains your address or the name of this service", reason="contains-address")
