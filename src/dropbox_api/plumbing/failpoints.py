"""Named points where a test makes the server fail; inert unless `DROPBOX_FAILPOINTS` arms them (dev mode only).

The setting is a comma-separated list of `name=action[@hit]`: `raise` raises, `kill` ends the process as SIGKILL does,
`delay:SECONDS` waits. `@2` fires at the second hit; without it, at the first. Each entry fires once in a process. The
table is global on purpose: code anywhere reaches a failpoint without a parameter.
"""

import asyncio
import os
import signal
from dataclasses import dataclass


class FailpointError(Exception):
    """Raised by an armed `raise`; no code expects it."""


@dataclass(slots=True)
class _Armed:
    action: str
    hits_left: int


_armed: dict[str, _Armed] = {}


def arm(setting: str) -> None:
    """Arm the failpoints of a setting and disarm all others. Raises ValueError for an entry that cannot be parsed."""
    _armed.clear()
    for entry in filter(None, (part.strip() for part in setting.split(","))):
        name, _, action = entry.partition("=")
        action, _, hit = action.partition("@")
        if not name or not (action in {"raise", "kill"} or action.startswith("delay:")):
            raise ValueError(f"not a failpoint: {entry!r}")
        _armed[name] = _Armed(action, int(hit or 1))


async def failpoint(name: str) -> None:
    """Run the armed action, if any."""
    if not _armed:
        return
    armed = _armed.get(name)
    if armed is None:
        return
    armed.hits_left -= 1
    if armed.hits_left:
        return
    del _armed[name]
    if armed.action == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    elif armed.action == "raise":
        raise FailpointError(name)
    else:
        await asyncio.sleep(float(armed.action.removeprefix("delay:")))
