"""Pages for browsers: those of links, the start page and problems. Plain HTML without script, one style sheet.

Jinja escapes names and all other user input. Nothing is inline, so that the Content-Security-Policy (`middleware`) can
forbid foreign content. Addresses in pages are relative, so that a proxy can add a prefix.
"""

import re
from datetime import datetime
from importlib import resources
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

STYLE = resources.files(__package__).joinpath("templates", "links.css").read_text(encoding="utf-8")


def _format_bytes(size_bytes: int) -> str:
    """Return a readable size: 999 B, 1.4 MB (powers of 1000)."""
    size, unit = float(size_bytes), "B"
    for bigger in ("kB", "MB", "GB", "TB"):
        if size < 999.5:
            break
        size, unit = size / 1000, bigger
    return f"{size:.0f} {unit}" if unit == "B" or size >= 99.5 else f"{size:.1f} {unit}"


def _format_day(at: datetime) -> str:
    return f"{at.day} {at:%B %Y}"


def _format_limit(size_bytes: int) -> str:
    """Return a limit exactly: 100 MiB, or bytes where it is not a whole number of MiB."""
    return f"{size_bytes >> 20} MiB" if size_bytes % (1 << 20) == 0 else f"{size_bytes:,} bytes"


_INVISIBLE = re.compile("[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]")
"""Control characters, and controls that change the direction of the text around them: `gpj.exe` reads as `exe.jpg`."""


def _make_visible(name: str) -> str:
    return _INVISIBLE.sub("\N{REPLACEMENT CHARACTER}", name)


def _isolate(name: str) -> Markup:
    """Return a name as HTML, whose direction does not affect the text around it."""
    return Markup("<bdi>{}</bdi>").format(_make_visible(name))


_environment = Environment(
    loader=PackageLoader("dropbox_api.sharing"), autoescape=True, undefined=StrictUndefined, trim_blocks=True
)
_environment.filters |= {
    "bytes": _format_bytes,
    "day": _format_day,
    "limit": _format_limit,
    "name": _isolate,
    "visible": _make_visible,
}


def render(template: str, **values: Any) -> str:
    """Return a page. `up` is the relative path from its address to `/s/`: "" or "../" for each level below."""
    return _environment.get_template(template).render(values)
