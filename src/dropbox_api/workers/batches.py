"""Limits and batches of the jobs that delete many rows. A batch is one transaction under its owner's lock."""

from collections.abc import Iterator, Sequence
from typing import TypeVar

ROWS_PER_TRANSACTION = 2_000
"""Bounds how long a batch holds its owner's lock."""
ROWS_PER_QUERY = 100_000
"""Bounds the memory of a run."""

T = TypeVar("T")


def split_into_batches(rows: Sequence[T]) -> Iterator[Sequence[T]]:
    """Yield slices of at most `ROWS_PER_TRANSACTION` rows."""
    return (rows[start : start + ROWS_PER_TRANSACTION] for start in range(0, len(rows), ROWS_PER_TRANSACTION))
