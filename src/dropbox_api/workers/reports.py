"""The signature of a job, and the report of one run."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from dropbox_api.context import Services


@dataclass(frozen=True, slots=True)
class Report:
    """Counts of one run. While `done` > 0 the runner runs the job again at once."""

    found: int
    done: int
    failed: int = 0
    notes: tuple[str, ...] = ()
    """Facts for the operator, one line each."""


Job = Callable[[Services], Awaitable[Report]]
"""A job claims a small amount of work, does it, and records it. A worker may die at any point: another run repeats the
unrecorded work. Several workers run the same jobs: a claim skips rows that another worker holds."""
