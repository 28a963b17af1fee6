"""Where `dbx` keeps things on this computer. Source: XDG Base Directory Specification; on macOS, ~/Library."""

import os
import sys
from pathlib import Path

PART_SUFFIX = ".dbx-part"
"""Of hidden files beside the place of a download that is not whole yet, or was cut off."""


def config_dir() -> Path:
    """Return the folder of the sign-in: DBX_CONFIG_DIR, or `dbx` in the user's configuration."""
    override = os.environ.get("DBX_CONFIG_DIR")
    return Path(override) if override else _base("XDG_CONFIG_HOME", ".config", "Library/Application Support") / "dbx"


def cache_dir() -> Path:
    """Return the folder of what can be lost."""
    return _base("XDG_CACHE_HOME", ".cache", "Library/Caches") / "dbx"


def _base(variable: str, elsewhere: str, on_macos: str) -> Path:
    named = os.environ.get(variable, "")
    if os.path.isabs(named):  # noqa: PTH117 - the specification says to ignore relative ones
        return Path(named)
    return Path.home() / (on_macos if sys.platform == "darwin" else elsewhere)
