"""The SQL statements that the API executes, and their plans: tests compare plans, never times."""

import re
from collections.abc import Iterator, Set
from contextlib import contextmanager
from typing import Any

import orjson
from sqlalchemy import event

from dropbox_api.db import Db

Statement = tuple[str, Any]
"""SQL text and bound values."""


@contextmanager
def record_statements(db: Db) -> Iterator[list[Statement]]:
    """Yield a list that collects every statement executed in the block."""
    seen: list[Statement] = []

    def record(_connection: Any, _cursor: Any, statement: str, bound: Any, _context: Any, _many: bool) -> None:
        seen.append((statement, bound))

    engine = db._engine.sync_engine
    event.listen(engine, "before_cursor_execute", record)
    try:
        yield seen
    finally:
        event.remove(engine, "before_cursor_execute", record)


def texts_of(seen: list[Statement]) -> list[str]:
    """Return the SQL texts without the bound values."""
    return [statement for statement, _ in seen]


async def explain(db: Db, statement: Statement, **settings: str) -> list[dict[str, Any]]:
    """Return every node of the plan, from the top, under these settings of Postgres."""
    sql, bound = statement
    async with db.begin() as tx:
        for name, value in ({"plan_cache_mode": "force_custom_plan"} | settings).items():
            await tx.exec_driver_sql("SELECT set_config($1, $2, true)", (name.replace("__", "."), value))
        (answer,) = (await tx.exec_driver_sql(f"EXPLAIN (FORMAT JSON) {sql}", bound)).one()
    nodes = []
    waiting = [(orjson.loads(answer) if isinstance(answer, str) else answer)[0]["Plan"]]
    while waiting:
        node = waiting.pop(0)
        nodes.append(node)
        waiting += node.get("Plans", ())
    return nodes


# Scans of whole tables

BIG_TABLES = frozenset(
    {
        *("nodes", "revisions", "blobs", "blob_chunks", "grants", "events", "audit_log"),
        *("uploads", "upload_chunks", "upload_destinations", "deliveries", "sessions", "idempotency_keys"),
    }
)
"""Tables that grow with use. The others have few rows, or few that are not deleted within the hour."""


def list_hot_statements(seen: list[Statement]) -> list[Statement]:
    """Return one example of each statement that reads or changes rows."""
    verbs = ("SELECT", "WITH", "INSERT", "UPDATE", "DELETE")
    examples: dict[str, Statement] = {}
    for sql, bound in seen:
        if sql.lstrip().upper().startswith(verbs):
            examples.setdefault(sql, (sql, bound[0] if isinstance(bound, list) else bound))
    return list(examples.values())


async def explain_scans(db: Db, statement: Statement, tables: Set[str], **settings: str) -> list[str]:
    """Return the scans in the plan that read one of these tables from its beginning to its end."""
    found = []
    for node in await explain(db, statement, **settings):
        table = re.sub(r"_p\d\d$", "", node.get("Relation Name", ""))
        if table in tables and node["Node Type"] == "Seq Scan":
            found.append(f"{node['Node Type']} on {table}")
    return found
