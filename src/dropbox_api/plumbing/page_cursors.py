"""Keyset cursors of pages, opaque to clients.

A cursor needs no signature: it only narrows a query that is already scoped to the caller, so a forged cursor shows the
caller its own rows from another position.
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
    # default: the database driver has its own class for UUIDs
    return base64.urlsafe_b64encode(orjson.dumps([kind, *key], default=str)).decode().rstrip("=")


def decode_key(kind: str, cursor: str, *types: type[KeyPart]) -> tuple[Any, ...]:
    """Return the key in a cursor. Raises InvalidCursor unless `encode_cursor` made it for this kind."""
    try:
        cursor_kind, *key = orjson.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
        if cursor_kind != kind:
            raise problems.InvalidCursor
        return tuple(_PARSERS[type_](part) for type_, part in zip(types, key, strict=True))
    except (ValueError, TypeError):
        raise problems.InvalidCursor from None


def decode_id(kind: str, cursor: str) -> uuid.UUID:
    """Return the id in a cursor whose key is one id. Raises InvalidCursor."""
    after: uuid.UUID = decode_key(kind, cursor, uuid.UUID)[0]
    return after


# Parsers accept the values that Postgres accepts. Each raises ValueError, also for another JSON type.


def _parse_text(part: Any) -> str:
    if not isinstance(part, str) or "\0" in part:
        raise ValueError(part)
    return part


def _parse_number(part: Any) -> int:
    if type(part) is not int or not -(2**63) <= part < 2**63:
        raise ValueError(part)
    return part


def _parse_datetime(part: Any) -> datetime:
    at = datetime.fromisoformat(_parse_text(part))
    if at.tzinfo is None or not 1 < at.year < MAXYEAR:
        raise ValueError(part)
    return at


_PARSERS: Mapping[type[KeyPart], Callable[[Any], KeyPart]] = {
    str: _parse_text,
    int: _parse_number,
    uuid.UUID: lambda part: uuid.UUID(_parse_text(part)),
    datetime: _parse_datetime,
}
