"""Names of conflict copies, against the vectors that the web app shares."""

import json
from pathlib import Path
from typing import Any

import pytest

from dropbox_client.sync.names import is_conflict_name, make_conflict_names

VECTORS = json.loads((Path(__file__).parents[1] / "vectors/conflict_names.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("vector", VECTORS["names"], ids=lambda vector: vector["name"])
def test_conflict_names_are_those_of_the_vectors(vector: dict[str, Any]) -> None:
    name, copy = vector["name"], vector["copy"]
    assert is_conflict_name(name) == (copy is not None)
    if copy:
        made = next(make_conflict_names(copy["plain"], copy["device"], copy["day"]))
        assert next(make_conflict_names(name, copy["device"], copy["day"])) == made
