"""The import contracts of pyproject.toml, so that `make test` alone finds a wrong import, too."""

from pathlib import Path

from importlinter import cli


def test_imports_keep_to_the_floors() -> None:
    config = Path(__file__).parents[2] / "pyproject.toml"
    assert cli.lint_imports(config_filename=str(config), no_cache=True) == 0
