"""Each broken rule of the planner is found by the tests of the planner. FAULTS=long runs them; else they only apply."""

import os
from pathlib import Path

import pytest

from tests.support.sync_mutants import MUTANTS, apply, find

LONG = os.environ.get("FAULTS") == "long"


@pytest.mark.parametrize("name", MUTANTS)
def test_mutant_applies_and_is_found(name: str, tmp_path: Path) -> None:
    if not LONG:
        apply(MUTANTS[name], tmp_path)
        return
    assert find(MUTANTS[name])
