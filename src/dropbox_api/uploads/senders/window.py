"""The window: how much of an owner's quota all open sessions under links reserve beyond what has arrived.

A session under a link reserves the parts for which URLs are signed, not its size. So the bearer of a link takes quota
from the owner only by sending.
"""

import uuid
from dataclasses import dataclass

from sqlalchemy import func, select

from dropbox_api import problems
from dropbox_api.db import Tx
from dropbox_api.files import guard
from dropbox_api.models import Upload
from dropbox_api.settings import GIB
from dropbox_api.uploads import sessions

SMALLEST_BYTES = GIB
SHARE_OF_FREE_QUOTA = 10


@dataclass(slots=True)
class Window:
    """What an owner's links may still reserve, counted down while chunks or a batch are decided."""

    free_bytes: int
    """Of the owner's quota."""
    room_bytes: int
    free_nodes: int

    def find_shortage(self, size_bytes: int) -> problems.QuotaExceeded | None:
        """Return the problem where so many more bytes do not fit into the owner's quota."""
        if size_bytes <= self.free_bytes:
            return None
        return problems.QuotaExceeded(guard.OWNER_IS_FULL, needed_bytes=size_bytes)

    def take(self, size_bytes: int) -> problems.Problem | None:
        """Take bytes; return QuotaExceeded or TooManyUploads, and take nothing, where there is no room."""
        if shortage := self.find_shortage(size_bytes):
            return shortage
        if size_bytes > self.room_bytes:
            detail = "Other uploads to this folder wait for their parts: repeat after the seconds of Retry-After"
            return problems.TooManyUploads(detail, retry_after_s=10)
        self.free_bytes -= size_bytes
        self.room_bytes -= size_bytes
        return None


async def lock_window(tx: Tx, owner_id: uuid.UUID) -> Window:
    """Lock the owner and return the window. Transaction: joins tx; takes the owner's lock."""
    owner = await guard.lock_owner(tx, owner_id)
    reserved = func.coalesce(Upload.reserved_bytes, 0) - func.coalesce(Upload.confirmed_bytes, 0)
    open_bytes = select(func.coalesce(func.sum(reserved), 0)).where(
        Upload.owner_id == owner_id, Upload.link_id.is_not(None), sessions.IS_LIVE
    )
    unconfirmed_bytes = int((await tx.execute(open_bytes)).scalar_one())
    largest_bytes = max(SMALLEST_BYTES, (owner.free_bytes + unconfirmed_bytes) // SHARE_OF_FREE_QUOTA)
    return Window(
        free_bytes=owner.free_bytes,
        room_bytes=largest_bytes - unconfirmed_bytes,
        free_nodes=owner.free_nodes,
    )
