"""Job `epoch`: store the new epoch of a database that was restored from a backup or failed over.

Requests use the new epoch from the first statement on; stored, it lasts when Postgres restarts.
"""

from dropbox_api.context import Services
from dropbox_api.plumbing.epoch import record_epoch
from dropbox_api.workers.reports import Report


async def note_restore(services: Services) -> Report:
    """Store the current epoch if it is a new one."""
    epoch = await record_epoch(services.db)
    if epoch is None:
        return Report(0, 0)
    return Report(1, 1, notes=(f"the database was restored or failed over: data epoch {epoch} begins",))
