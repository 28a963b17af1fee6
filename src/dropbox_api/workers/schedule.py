"""When the runner runs a job."""

from dataclasses import dataclass
from enum import Enum, auto

from dropbox_api.workers.reports import Job


class Schedule(Enum):
    POLL = auto()
    """Every `worker.interval_s`, and again at once while there is work."""
    ON_CHANGE = auto()
    """As POLL, and at once after any process wrote to a journal."""
    SWEEP = auto()
    """Every `worker.sweep_interval_s`; one run does all the work."""


@dataclass(frozen=True, slots=True)
class ScheduledJob:
    run: Job
    schedule: Schedule = Schedule.POLL
    logs_notes: bool = False
    """The runner logs the notes of a report as warnings."""
    makes_work: bool = False
    """After a run that did work, the `ON_CHANGE` jobs of all processes run at once."""
