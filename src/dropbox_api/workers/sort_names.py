"""Job `sort-names`: give a node its place in natural order after a server of an older version wrote its name."""

from sqlalchemy import text

from dropbox_api.context import Services
from dropbox_api.core import names
from dropbox_api.models import HAS_OTHER_SORT
from dropbox_api.workers import batches
from dropbox_api.workers.reports import Report

_UNSORTED = text(f"""
    SELECT id, name_key FROM nodes WHERE {HAS_OTHER_SORT} ORDER BY id LIMIT :limit FOR NO KEY UPDATE SKIP LOCKED
""")
_SORT = text("""
    UPDATE nodes SET name_sort = sorted.key
    FROM unnest(CAST(:ids AS uuid[]), CAST(:keys AS text[])) AS sorted(id, key) WHERE nodes.id = sorted.id
""")


async def sort_names(services: Services) -> Report:
    """Compute a batch of keys that do not belong to their names.

    Transaction: one, without the owner's lock: rows that a change holds wait for the next run.
    """
    async with services.db.begin() as tx:
        rows = (await tx.execute(_UNSORTED, {"limit": batches.ROWS_PER_TRANSACTION})).all()
        if rows:
            keys = [names.make_sort_key(row.name_key) for row in rows]
            await tx.execute(_SORT, {"ids": [row.id for row in rows], "keys": keys})
    return Report(len(rows), len(rows))
