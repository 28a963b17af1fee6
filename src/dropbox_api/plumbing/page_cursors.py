"""Keyset cursors: where the next page starts, opaque to clients.

A cursor only ever narrows a query that is already scoped to its caller, so it needs no signature: a forged one shows
the forger their own rows from another place on.
"""

import base64
import uuid
from collections.abc import Callable, Mapping
from datetime import MAXYEAR, datetime
from typing import Any

import orjson

from dropbox_api import problems

KeyPart = str | int | uuid.UUID | datetime


def encode_cursor(kind: str, *key: KeyPart) -> str:
    """Return the cursor after the row with this key, for lists of this kind."""
    # default: the database driver's ids are of a class of their own
    return base64.urlsafe_b64encode(orjson.dumps([kind, *key], default=str)).decode().rstrip("=")


def decode_key(kind: str, cursor: str, *types: type[KeyPart]) -> tuple[Any, ...]:
    """Return the key in a cursor. Raises InvalidCursor for anything that `encode_cursor` did not make for this kind."""
    try:
        found, *key = orjson.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
        if found != kind:
            raise problems.InvalidCursor
        return tuple(_PARSERS[type_](part) for type_, part in zip(types, key, strict=True))
    except (ValueError, TypeError):
        raise problems.InvalidCursor from None


def decode_id(kind: str, cursor: str) -> uuid.UUID:
    """Return the id in a cursor whose key is nothing else. Raises InvalidCursor."""
    after: uuid.UUID = decode_key(kind, cursor, uuid.UUID)[0]
    return after


# What a cursor says, as far as Postgres takes it. Each raises ValueError, for another type of JSON, too.


def _text(part: Any) -> str:
    if not isinstance(part, str) or "\0" in part:
        raise ValueError(part)
    return part


def _number(part: Any) -> int:
    if type(part) is not int or not -(2**63) <= part < 2**63:
        raise ValueError(part)
    return part


def _time(part: Any) -> datetime:
    at = datetime.fromisoformat(_text(part))
    if at.tzinfo is None or not 1 < at.year < MAXYEAR:
        raise ValueError(part)
    return at


_PARSERS: Mapping[type[KeyPart], Callable[[Any], KeyPart]] = {
    str: _text,
    int: _number,
    uuid.UUID: lambda part: uuid.UUID(_text(part)),
    datetime: _time,
}
