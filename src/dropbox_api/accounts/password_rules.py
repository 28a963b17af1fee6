"""What a password must be: long enough and not among the first that somebody would try. No rules of composition.

Source: OWASP ASVS 5.0, 6.2.1-6.2.5 and 6.2.9-6.2.12; the list of common passwords is zxcvbn's (11,000 of 8 characters
or more, from leaked collections).
"""

from zxcvbn.frequency_lists import FREQUENCY_LISTS  # type: ignore[import-untyped]

from dropbox_api.accounts.schemas import MAX_PASSWORD_CHARS, MIN_PASSWORD_CHARS
from dropbox_api.problems import WeakPassword

_SERVICE = ("dropbox-api", "dropbox")
_MIN_NAME_CHARS = 4
"""Shorter names are inside too many words to be a reason."""

_COMMON = frozenset(password for password in FREQUENCY_LISTS["passwords"] if len(password) >= MIN_PASSWORD_CHARS)


def check(password: str, email: str) -> None:
    """Let a password pass that is hard enough to guess; case does not make it harder.

    Raises WeakPassword: reason too-short (below 8 characters), too-long (above 128), common, or
    contains-address (the address of the account, its local part, or the name of this service).
    """
    folded = password.casefold()
    local_part = email.casefold().partition("@")[0]
    names = (email.casefold(), local_part, *_SERVICE)
    if len(password) < MIN_PASSWORD_CHARS:
        raise WeakPassword(f"It takes {MIN_PASSWORD_CHARS} characters or more", reason="too-short")
    if len(password) > MAX_PASSWORD_CHARS:
        raise WeakPassword(f"It takes {MAX_PASSWORD_CHARS} characters at most", reason="too-long")
    if folded in _COMMON:
        raise WeakPassword("It is one of the first that others would try", reason="common")
    if any(name in folded for name in names if len(name) >= _MIN_NAME_CHARS):
        raise WeakPassword("It contains your address or the name of this service", reason="contains-address")
