"""Text that a terminal shows as it is, independent of its origin: names, and messages of servers.

Imported at every start: it must stay cheap.
"""

import re

_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff\ud800-\udfff]")
"""Control characters, also of bidirectional text, line separators, and bytes of names that are not Unicode."""

_TOKEN = re.compile("dbx_pat_[A-Za-z0-9_-]+")


def make_visible(text: str) -> str:
    r"""Return a line of text with escapes such as \x1b for what moves, colours or reorders the text on a terminal."""
    return _CONTROL.sub(lambda sign: sign[0].encode("unicode_escape").decode(), text)


def hide_tokens(text: str) -> str:
    """Return a message without personal access tokens, which may be typed in a wrong place."""
    return _TOKEN.sub("dbx_pat_...", text)
