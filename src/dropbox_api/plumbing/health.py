"""Whether this process can do its work: the checks of `/readyz` and `dropbox-api doctor`."""

import asyncio
import time
from collections.abc import Sequence

from dropbox_api import migrations, problems
from dropbox_api.db import Db
from dropbox_api.plumbing.store_disk import read_store_disk
from dropbox_api.settings import Settings
from dropbox_api.storage.object_store import NoSpace, ObjectStore, StoreError

MAX_SKEW_S = 300.0
"""The server's clock dates signed URLs. S3 accepts a clock skew of 15 minutes, and a URL lives for 5."""
CACHE_S = 1.0
CORS_CACHE_S = 60.0
_TIMEOUT_S = 10.0


class Health:
    """Checks of one process, cached for a second so that many probes cost as much as one."""

    def __init__(self, db: Db, store: ObjectStore, settings: Settings) -> None:
        self._db = db
        self._store = store
        self._settings = settings
        self._lock = asyncio.Lock()
        self._checks: dict[str, str] = {}
        self._checked_at_s = float("-inf")
        self._browsers = ""
        self._browsers_checked_at_s = float("-inf")

    async def check(self) -> dict[str, str]:
        """Return "ok", or what is wrong, for each of database, schema, store, clock, space and browsers.

        Without space the process still serves everything but new content, and without browsers all other clients.
        """
        async with self._lock:
            if time.monotonic() - self._checked_at_s > CACHE_S:
                (database, schema), (store, clock) = await asyncio.gather(self._check_database(), self._check_store())
                space = browsers = "not known: the store does not answer"
                if store == "ok":
                    space, browsers = await asyncio.gather(self._check_space(), self._check_browsers())
                self._checks = {"database": database, "schema": schema, "store": store, "clock": clock}
                self._checks |= {"space": space, "browsers": browsers}
                self._checked_at_s = time.monotonic()
            return self._checks

    def clear_cache(self) -> None:
        """Make the next `check` run the checks."""
        self._checked_at_s = self._browsers_checked_at_s = float("-inf")

    async def _check_database(self) -> tuple[str, str]:
        unknown = "not known: the database does not answer"
        try:
            async with asyncio.timeout(_TIMEOUT_S):
                async with self._db.read() as tx:
                    await tx.exec_driver_sql("SELECT 1")
                return "ok", find_schema_fault(await migrations.current(self._settings.database)) or "ok"
        except (problems.Unavailable, OSError) as error:  # TimeoutError is an OSError
            return str(error) or type(error).__name__, unknown

    async def _check_store(self) -> tuple[str, str]:
        unknown = "not known: the store does not answer"
        try:
            async with asyncio.timeout(_TIMEOUT_S):
                skew_s = await self._store.clock_skew_s()
        except TimeoutError:
            return f"does not answer within {_TIMEOUT_S:.0f} s", unknown
        except StoreError:  # its text is for operators: `doctor` shows it
            return "does not answer, or refuses the request", unknown
        return "ok", find_clock_fault(skew_s) or "ok"

    async def _check_space(self) -> str:
        try:
            await self._store.require_space()
        except NoSpace:
            return "the store is full: new content is refused"
        disk = read_store_disk(self._settings)
        return "the store's disk is almost full" if disk and disk.is_low else "ok"

    async def _check_browsers(self) -> str:
        if time.monotonic() - self._browsers_checked_at_s > CORS_CACHE_S:
            try:
                async with asyncio.timeout(_TIMEOUT_S):
                    blocked = await self._store.find_blocked_origins(self._settings.web_origins)
            except (StoreError, TimeoutError):
                return "not known: the store does not answer"
            self._browsers = find_cors_fault(blocked) or "ok"
            self._browsers_checked_at_s = time.monotonic()
        return self._browsers


def find_cors_fault(blocked_origins: Sequence[str]) -> str | None:
    """Return what is wrong with a bucket whose CORS rule refuses these web origins, None without any."""
    if not blocked_origins:
        return None
    return f"the bucket's CORS rule refuses pages of {', '.join(blocked_origins)}"


def find_schema_fault(revision: str | None) -> str | None:
    """Return what is wrong with the schema of a database at this revision, None when it is current."""
    needed = migrations.head()
    return None if revision == needed else f"at {revision}, needs {needed}"


def find_clock_fault(skew_s: float) -> str | None:
    """Return what is wrong with a clock that differs from the store's by `skew_s`, None when signed URLs work."""
    if abs(skew_s) <= MAX_SKEW_S:
        return None
    way = "ahead of" if skew_s > 0 else "behind"
    return f"{abs(skew_s):.0f} s {way} the store's: signed URLs do not work"
