"""Pages of links for browsers: plain HTML without script, one style sheet.

Jinja escapes names and all other user input. Nothing is inline, so that the Content-Security-Policy (`middleware`) can
forbid foreign content. Addresses in pages are relative, so that a proxy can add a prefix.
"""

from datetime import datetime
from importlib import resources
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

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


_environment = Environment(
    loader=PackageLoader("dropbox_api.sharing"), autoescape=True, undefined=StrictUndefined, trim_blocks=True
)
_environment.filters |= {"bytes": _format_bytes, "day": _format_day}


def render(template: str, **values: Any) -> str:
    """Return a page. `up` is the relative path from its address to `/s/`: "" or "../" for each level below."""
    return _environment.get_template(template).render(values)
