"""Keyset cursors: where the next page starts, opaque to clients.

A cursor only ever narrows a query that is already scoped to its caller, so it needs no signature: a forged one shows
the forger their own rows from another place on.
"""

import base64
from typing import Any

import orjson

from dropbox_api import problems


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


def _fits(part: str | int) -> bool:
    """Tell whether Postgres takes the value: text without NUL, 64-bit integers."""
    return "\0" not in part if isinstance(part, str) else -(2**63) <= part < 2**63
