"""What the API asks of Postgres, and how Postgres goes about it: plans are compared, never times."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import orjson
from sqlalchemy import event

from dropbox_api.db import Db

Asked = tuple[str, Any]
"""A statement and what was bound to it."""


@contextmanager
def asked(db: Db) -> Iterator[list[Asked]]:
    """Collect what is asked of the database in the block."""
    seen: list[Asked] = []

    def see(_connection: Any, _cursor: Any, statement: str, bound: Any, _context: Any, _many: bool) -> None:
        seen.append((statement, bound))

    engine = db._engine.sync_engine
    event.listen(engine, "before_cursor_execute", see)
    try:
        yield seen
    finally:
        event.remove(engine, "before_cursor_execute", see)


def words(seen: list[Asked]) -> list[str]:
    """Return the statements without what was bound to them."""
    return [statement for statement, _ in seen]


async def plan(db: Db, question: Asked, **settings: str) -> list[dict[str, Any]]:
    """Return every node of the plan, from the top, under settings of Postgres."""
    statement, bound = question
    async with db.begin() as tx:
        for name, value in ({"plan_cache_mode": "force_custom_plan"} | settings).items():
            await tx.exec_driver_sql("SELECT set_config($1, $2, true)", (name.replace("__", "."), value))
        (told,) = (await tx.exec_driver_sql(f"EXPLAIN (FORMAT JSON) {statement}", bound)).one()
    nodes = []
    waiting = [(orjson.loads(told) if isinstance(told, str) else told)[0]["Plan"]]
    while waiting:
        node = waiting.pop(0)
        nodes.append(node)
        waiting += node.get("Plans", ())
    return nodes
