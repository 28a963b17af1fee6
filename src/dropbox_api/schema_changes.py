"""Steps of migrations for big tables, during which the server reads and writes on.

Each step commits by itself and may be killed: the next run of `dropbox-api migrate` repeats the migration, and its
finished steps do nothing. So let a migration consist of such steps alone, or of one transaction without them.
CONTRIBUTING.md has the rules, and an architecture test checks them.
"""

import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from alembic import op
from sqlalchemy import Connection, TextClause, text

LOCK_TIMEOUT_S = 3
"""How long a migration waits for a lock: as long may requests stop, which queue behind it."""
ROWS_PER_BATCH = 1_000
"""A request that changes a row of a batch waits for the whole batch, whose rows have a dozen indexes."""


def create_index(
    name: str,
    table: str,
    columns: Sequence[str | TextClause],
    *,
    unique: bool = False,
    using: str = "btree",
    where: str | None = None,
) -> None:
    """Create an index without blocking writes; first remove the invalid one that a killed run left.

    Postgres waits for all transactions that are open now, without a timeout, because nothing queues behind it.
    """
    with _without_transaction("0") as connection:
        is_valid = text("SELECT indisvalid FROM pg_index WHERE indexrelid = to_regclass(:name)")
        if connection.execute(is_valid, {"name": name}).scalar_one_or_none() is False:
            _drop_index(name, table)
        op.create_index(
            name,
            table,
            columns,
            unique=unique,
            if_not_exists=True,
            postgresql_concurrently=True,
            postgresql_using=using,
            postgresql_where=text(where) if where else None,
        )


def drop_index(name: str, table: str) -> None:
    """Drop an index without blocking reads or writes."""
    with _without_transaction("0"):
        _drop_index(name, table)


def _drop_index(name: str, table: str) -> None:
    op.drop_index(name, table, if_exists=True, postgresql_concurrently=True)


def backfill(table: str, assignment: str, condition: str, *, key: str = "id") -> None:
    """Set columns of the rows that meet a condition, in batches by key; each batch is one short transaction.

    The assignment must make the condition false, so that a repeated run skips the finished rows.
    """
    first = f"SELECT {key} FROM {table} ORDER BY {key} LIMIT {ROWS_PER_BATCH}"
    following = f"SELECT {key} FROM {table} WHERE {key} > :after ORDER BY {key} LIMIT {ROWS_PER_BATCH}"
    statement = f"""
        WITH batch AS ({{keys}}), changed AS (
            UPDATE {table} SET {assignment} FROM batch WHERE {table}.{key} = batch.{key} AND ({condition})
        )
        SELECT {key} FROM batch ORDER BY {key} DESC LIMIT 1"""
    with _without_transaction(f"{LOCK_TIMEOUT_S}s") as connection:
        after = connection.execute(text(statement.format(keys=first))).scalar_one_or_none()
        while after is not None:
            bound = {"after": after}
            after = connection.execute(text(statement.format(keys=following)), bound).scalar_one_or_none()


def backfill_computed(
    table: str,
    column: str,
    source: str,
    compute: Callable[[str], str | None],
    condition: str,
    *,
    unset: str = "IS NULL",
) -> None:
    """Set an unset column to what `compute` makes of another one, where a condition holds, in batches by id.

    `unset` is the SQL test of the column for its default. Each batch is one short transaction. A row whose source
    changes meanwhile keeps what that change wrote.
    """
    read = text(f"""
        SELECT id, {source} FROM {table} WHERE id > :after AND {column} {unset} AND ({condition})
        ORDER BY id LIMIT {ROWS_PER_BATCH}""")
    write = text(f"""
        UPDATE {table} SET {column} = batch.value
        FROM unnest(CAST(:ids AS uuid[]), CAST(:sources AS text[]), CAST(:values AS text[])) AS batch(id, source, value)
        WHERE {table}.id = batch.id AND {table}.{source} = batch.source AND {table}.{column} {unset}""")
    after = uuid.UUID(int=0)
    with _without_transaction(f"{LOCK_TIMEOUT_S}s") as connection:
        while rows := connection.execute(read, {"after": after}).all():
            after = rows[-1][0]
            computed = [(row_id, value, result) for row_id, value in rows if (result := compute(value)) is not None]
            if computed:
                ids, sources, values = map(list, zip(*computed, strict=True))
                connection.execute(write, {"ids": ids, "sources": sources, "values": values})


@contextmanager
def _without_transaction(lock_timeout: str) -> Iterator[Connection]:
    """Commit the migration so far, and run the block's statements one by one in autocommit mode."""
    with op.get_context().autocommit_block():
        connection = op.get_bind()
        set_timeout = text("SELECT set_config('lock_timeout', :value, false)")
        connection.execute(set_timeout, {"value": lock_timeout})
        yield connection
        connection.execute(set_timeout, {"value": f"{LOCK_TIMEOUT_S}s"})
