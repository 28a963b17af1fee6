"""What a person chose for one synchronized folder."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class RootConfig:
    """A folder on this machine, and the folder of the account that it is kept equal to."""

    id: str
    """Of this root on this machine: the name of its state folder."""
    path: Path
    """The folder on disk, absolute."""
    server: str
    """The address of the server."""
    device_id: str
    """A UUID: the id under which the server lists this device."""
    device_name: str
    """For conflict copies and the list of devices."""
    folder: str = "/"
    """The path of the folder on the server; shares are mounted in the root folder only."""
    unselected: frozenset[str] = frozenset()
    """Paths of folders below `folder` that are not kept on this device, as `photos/2019`."""
    upload_bytes_s: int | None = None
    """The most bytes sent in a second; None without a limit."""
    download_bytes_s: int | None = None
    is_paused: bool = False
