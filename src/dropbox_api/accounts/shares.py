"""The effects of a verified address on sharing.

They are functions that `app` connects, because accounts are below sharing and cannot import it.
"""

import contextlib
import uuid
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime

from dropbox_api.db import Db, Tx
from dropbox_api.problems import Unavailable


@dataclass(frozen=True, slots=True)
class Shares:
    accept_grants: Callable[[Db, uuid.UUID], Awaitable[int]]
    """Gives a user what was shared with the address that the user has just verified."""
    revoke_all: Callable[[Tx, uuid.UUID, datetime | None], Awaitable[None]]
    """Revokes the grants and links that a user made, or made since then. Transaction: joins tx with the user's lock."""


async def accept_shares(db: Db, shares: Shares, user_id: uuid.UUID) -> None:
    """Accept the grants that waited for a user's address.

    Skipped while the database is unavailable: listing `shared-with-me` accepts them as well.
    """
    with contextlib.suppress(Unavailable):
        await shares.accept_grants(db, user_id)
