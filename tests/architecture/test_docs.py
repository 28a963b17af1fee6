"""What the documentation lists is what there is: problems and settings."""

import re
from collections.abc import Iterator
from pathlib import Path

from pydantic import BaseModel

from dropbox_api.problems import all_problems
from dropbox_api.settings import Settings

DOCS = Path(__file__).parents[2] / "docs"
FIRST_CELL = re.compile(r"^(?:\|\s*|#+ )`([^`]+)`", re.MULTILINE)


def listed(page: str) -> list[str]:
    """Return what a page lists: the code-quoted first cell of every table row, or heading."""
    return FIRST_CELL.findall((DOCS / page).read_text(encoding="utf-8"))


def variables(model: type[BaseModel], prefix: str = "DROPBOX_") -> Iterator[str]:
    for name, field in model.model_fields.items():
        group = field.annotation
        if isinstance(group, type) and issubclass(group, BaseModel):
            yield from variables(group, f"{prefix}{name.upper()}__")
        else:
            yield f"{prefix}{name.upper()}"


def test_every_problem_is_documented_once_and_no_other() -> None:
    assert sorted(listed("problems.md")) == sorted(all_problems())


def test_every_setting_is_documented_once_and_no_other() -> None:
    assert sorted(listed("settings.md")) == sorted(variables(Settings))
