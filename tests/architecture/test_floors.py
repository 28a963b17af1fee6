"""The import contracts of pyproject.toml, so that `make test` alone finds a wrong import, too."""

import subprocess
import sys
from pathlib import Path


def test_imports_keep_to_the_floors() -> None:
    """In a process of its own: the linter switches off all loggers that it finds."""
    linter = Path(sys.executable).with_name("lint-imports")
    config = Path(__file__).parents[2] / "pyproject.toml"
    run = subprocess.run([linter, "--config", config, "--no-cache"], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout + run.stderr
