"""Names of thumbnails: their sizes, the version of the code that makes them, and their keys in the store."""

import re
import uuid
from datetime import datetime

SIZES_PX = (360, 1600)
"""Longest sides; a smaller picture is not enlarged."""
SMALL_PX, LARGE_PX = SIZES_PX
VERSION = 1
"""Raise it when thumbnails should look different, or more kinds of content get some: the worker makes all again."""
PREFIX = "thumbs/"

WINDOW_S = 30 * 60
"""URLs are equal within a window, so that browsers find the images in their cache."""
URL_TTL_S = 90 * 60
"""Lifetime of a URL from the start of its window: it works for an hour at least after it was handed out."""

_KEY = re.compile(rf"{PREFIX}([0-9a-f-]{{36}})/({'|'.join(map(str, SIZES_PX))})-v([0-9]{{1,9}})\.webp")


def format_key(blob_id: uuid.UUID, size_px: int, version: int) -> str:
    """Return the key of one thumbnail."""
    return f"{PREFIX}{blob_id}/{size_px}-v{version}.webp"


def parse_key(key: str) -> tuple[uuid.UUID, int] | None:
    """Return blob and version of a thumbnail's key; None for any other key."""
    found = _KEY.fullmatch(key)
    return (uuid.UUID(found[1]), int(found[3])) if found else None


def find_window_start(now: datetime) -> datetime:
    """Return the start of the window of `now` (aware)."""
    seconds = int(now.timestamp())
    return datetime.fromtimestamp(seconds - seconds % WINDOW_S, now.tzinfo)
