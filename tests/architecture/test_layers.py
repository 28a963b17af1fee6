"""The import contracts of pyproject.toml, so that `make test` finds a wrong import without `make check`."""

import subprocess
import sys
from pathlib import Path


def test_imports_keep_the_order_of_layers() -> None:
    """The linter runs in its own process, because it disables all existing loggers."""
    linter = Path(sys.executable).with_name("lint-imports")
    config = Path(__file__).parents[2] / "pyproject.toml"
    run = subprocess.run([linter, "--config", config, "--no-cache"], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout + run.stderr
