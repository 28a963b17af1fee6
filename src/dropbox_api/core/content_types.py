"""Content types as uploaders declare them, and the types that a browser may show.

A browser gets a rebuilt type, never the declared one, so that no spelling of a declared type reaches it.
Source: RFC 9110 section 8.3.1; the WHATWG's MIME Sniffing and Fetch standards ("extract a MIME type").
"""

import re

_SHOWN = frozenset(
    {
        "application/pdf",
        "audio/mpeg",
        "audio/ogg",
        "image/avif",
        "image/gif",
        "image/jpeg",
        "image/png",
        "image/webp",
        "text/plain",
        "video/mp4",
        "video/webm",
    }
)
"""Types that a browser shows without running scripts, so neither HTML nor SVG."""

_WORD = r"[A-Za-z0-9!#$%&'*+.^_`|~-]+"
_PARAMETER = rf"[ \t]*;(?:[ \t]*{_WORD}=(?:{_WORD}|\"[ !#-\[\]-~]*\"))?"
_CONTENT_TYPE = re.compile(rf"[ \t]*({_WORD}/{_WORD})((?:{_PARAMETER})*)[ \t]*")
_CHARSET = re.compile(r";[ \t]*charset=\"?([A-Za-z0-9._:+-]+)", re.IGNORECASE)


def find_shown_type(content_type: str, *, is_utf8: bool | None = None) -> str | None:
    """Return the type that makes a browser show content of a declared type; None where the browser must save it.

    Text without a declared charset is sent as UTF-8, unless `is_utf8` is known to be False: then the browser guesses.
    """
    declared = _CONTENT_TYPE.fullmatch(content_type)
    essence = declared[1].lower() if declared else ""
    if declared is None or essence not in _SHOWN:
        return None
    if essence != "text/plain":
        return essence
    charset = _CHARSET.search(declared[2])
    if charset:
        return f"{essence}; charset={charset[1].lower()}"
    return essence if is_utf8 is False else f"{essence}; charset=utf-8"
