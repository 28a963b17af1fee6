"""Pages for browsers: those of links, the start page and problems. HTML that works without script, one style sheet.

The page of a link loads one script (`web/src/link`), which adds previews and large uploads to the same HTML.

Jinja escapes names and all other user input. Nothing is inline, so that the Content-Security-Policy (`middleware`) can
forbid foreign content. Addresses in pages are relative, so that a proxy can add a prefix.
"""

import re
from datetime import datetime
from importlib import resources
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from dropbox_api.core.content_types import find_shown_type
from dropbox_api.sharing.schemas import PublicFile

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


def _find_preview(file: PublicFile) -> str | None:
    """Return how the script shows a file in the page; None for one that only its own address shows, or none."""
    shown = find_shown_type(file.content_type or "") or ""
    group = shown.partition("/")[0]
    if group in {"image", "video", "audio"}:
        return group
    if file.thumbnail_url is None:
        return None
    return "document" if shown == "application/pdf" else "picture"


def _is_shown(file: PublicFile) -> bool:
    """Tell whether a browser shows the file at its address, without running scripts in it."""
    return find_shown_type(file.content_type or "") is not None


def _has_moving_pictures(file: PublicFile) -> bool:
    """Tell whether a thumbnail shows less than the file does."""
    return file.content_type == "image/gif"


def _read_extension(name: str) -> str:
    """Return a short label for a file without a picture: PDF, DOCX."""
    stem, _, extension = name.rpartition(".")
    return extension.upper() if stem and extension.isascii() and extension.isalnum() and len(extension) < 5 else "FILE"


_environment = Environment(
    loader=PackageLoader("dropbox_api.sharing"), autoescape=True, undefined=StrictUndefined, trim_blocks=True
)
_environment.filters |= {
    "bytes": _format_bytes,
    "day": _format_day,
    "extension": _read_extension,
    "limit": _format_limit,
    "name": _isolate,
    "preview": _find_preview,
    "visible": _make_visible,
}
_environment.tests |= {"moving": _has_moving_pictures, "shown": _is_shown}


def render(template: str, **values: Any) -> str:
    """Return a page. `up` is the relative path from its address to `/s/`: "" or "../" for each level below."""
    return _environment.get_template(template).render(values)
