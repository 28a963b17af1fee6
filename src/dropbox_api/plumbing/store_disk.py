"""The disk of a store that runs on this machine: its size and free space."""

import shutil
from dataclasses import dataclass

from dropbox_api.settings import Settings

LOW_SHARE = 0.10


@dataclass(frozen=True, slots=True)
class StoreDisk:
    total_bytes: int
    free_bytes: int

    @property
    def is_low(self) -> bool:
        """Whether the operator should make room before the store stops taking content."""
        return self.free_bytes < LOW_SHARE * self.total_bytes

    def __str__(self) -> str:
        share = self.free_bytes / max(self.total_bytes, 1)
        return f"{self.free_bytes / 1024**3:.1f} of {self.total_bytes / 1024**3:.1f} GiB free ({share:.0%})"


def read_store_disk(settings: Settings) -> StoreDisk | None:
    """Return the disk below `s3.data_dir`; None where that is unset or cannot be read."""
    if settings.s3.data_dir is None:
        return None
    try:
        usage = shutil.disk_usage(settings.s3.data_dir)
    except OSError:
        return None
    return StoreDisk(usage.total, usage.free)
