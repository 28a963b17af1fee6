"""Keyset cursors: where the next page starts, opaque to clients.

A cursor only ever narrows a query that is already scoped to its caller, so it needs no signature: a forged one shows
the forger their own rows from another place on.
"""

import base64
import uuid
from collections.abc import Callable
from datetime import MAXYEAR, datetime
from typing import Any, TypeVar

import orjson

from dropbox_api import problems

T = TypeVar("T")


def encode(kind: str, *key: str | int) -> str:
    """Return the cursor after the row with this key, for lists of this kind."""
    return base64.urlsafe_b64encode(orjson.dumps([kind, *key])).decode().rstrip("=")


def decode_key(kind: str, cursor: str, *types: type) -> tuple[Any, ...]:
    """Return the key in a cursor. Raises InvalidCursor for anything that `encode` did not make for this kind."""
    try:
        found, *key = orjson.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
    except (ValueError, TypeError):
        raise problems.InvalidCursor from None
    if found != kind or [type(part) for part in key] != list(types) or not all(map(_fits, key)):
        raise problems.InvalidCursor
    return tuple(key)


def decode_id(kind: str, cursor: str) -> uuid.UUID:
    """Return the id in a cursor whose key is nothing else. Raises InvalidCursor."""
    (after,) = decode_key(kind, cursor, str)
    return _parsed(uuid.UUID, after)


def decode_time_and_id(kind: str, cursor: str) -> tuple[datetime, uuid.UUID]:
    """Return the key in a cursor of rows that are ordered by a time (as `isoformat` wrote it), then by id.

    Raises InvalidCursor.
    """
    at, after = decode_key(kind, cursor, str, str)
    return _parsed(_aware, at), _parsed(uuid.UUID, after)


def _parsed(parse: Callable[[str], T], text: str) -> T:
    try:
        return parse(text)
    except ValueError:
        raise problems.InvalidCursor from None


def _fits(part: str | int) -> bool:
    """Tell whether Postgres takes the value: text without NUL, 64-bit integers."""
    return "\0" not in part if isinstance(part, str) else -(2**63) <= part < 2**63


def _aware(text: str) -> datetime:
    at = datetime.fromisoformat(text)
    if at.tzinfo is None or not 1 < at.year < MAXYEAR:
        raise ValueError(text)
    return at
