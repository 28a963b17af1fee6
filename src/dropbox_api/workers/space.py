"""Job `space`: warn in the log before the store is full, and while it is."""

from dropbox_api.context import Services
from dropbox_api.plumbing.store_disk import read_store_disk
from dropbox_api.storage.object_store import NoSpace
from dropbox_api.workers.reports import Report

_REMEDY = "see docs/operations.md, When the store is full"


async def check_space(services: Services) -> Report:
    """Report a store that is full or will be soon, one note for each fault."""
    notes = []
    try:
        await services.store.require_space()
    except NoSpace as error:
        notes.append(f"{error.detail}: {_REMEDY}")
    disk = read_store_disk(services.settings)
    if disk is not None and disk.is_low:
        notes.append(f"disk of the store: {disk}: {_REMEDY}")
    return Report(len(notes), len(notes), notes=tuple(notes))
