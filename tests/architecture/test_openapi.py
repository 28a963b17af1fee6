"""The committed openapi.yaml is what the code says, and what it says can be built on."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from dropbox_api.app import create_app
from dropbox_api.problems import Problem, all_problems
from dropbox_api.settings import Settings

COMMITTED = Path(__file__).parents[2] / "openapi.yaml"
PROBLEM = "application/problem+json"
METHODS = {"get", "put", "post", "delete", "patch"}


def build() -> dict[str, Any]:
    return create_app(Settings(mode="dev")).openapi()


DOCUMENT = build()
OPERATIONS: dict[str, dict[str, Any]] = {
    f"{method} {path}": operation
    for path, item in DOCUMENT["paths"].items()
    for method, operation in item.items()
    if method in METHODS
}
FEATURE_OPERATIONS = {name: operation for name, operation in OPERATIONS.items() if operation["tags"] != ["health"]}


def declared(operation: dict[str, Any]) -> dict[int, set[str]]:
    """Return the problem codes that an operation declares, by status."""
    return {
        int(status): set(response["content"][PROBLEM]["examples"])
        for status, response in operation["responses"].items()
        if PROBLEM in response.get("content", {})
    }


def test_openapi_yaml_is_what_the_code_says() -> None:
    assert yaml.safe_load(COMMITTED.read_text(encoding="utf-8")) == DOCUMENT, "run `make openapi`"


def test_operation_ids_are_unique() -> None:
    ids = [operation["operationId"] for operation in OPERATIONS.values()]
    assert len(ids) == len(set(ids))


@pytest.mark.parametrize("name", FEATURE_OPERATIONS)
def test_operation_ids_are_feature_and_verb(name: str) -> None:
    """SDKs are generated from them. The health probes keep the names that the world gave them."""
    operation = FEATURE_OPERATIONS[name]
    (feature,) = operation["tags"]
    assert re.fullmatch(rf"{feature}_[a-z]+(_[a-z]+)*", operation["operationId"])


@pytest.mark.parametrize("name", FEATURE_OPERATIONS)
def test_operations_declare_their_problems(name: str) -> None:
    operation = FEATURE_OPERATIONS[name]
    codes = declared(operation)
    known = all_problems()
    assert all(known[code].status == status for status, found in codes.items() for code in found)
    assert "internal-error" in codes[500]
    assert "unavailable" in codes[503]
    assert ("unauthenticated" in codes.get(401, ())) == bool(operation.get("security"))
    if "{" in name or operation.get("parameters") or "requestBody" in operation:
        assert "invalid-request" in codes[422]
    if "application/json" in operation.get("requestBody", {}).get("content", {}):
        assert codes.get(400, set()) >= {"malformed-json"}
        assert codes.get(413, set()) >= {"body-too-large"}


@pytest.mark.parametrize("name", OPERATIONS)
def test_operations_are_described(name: str) -> None:
    assert OPERATIONS[name]["description"]


def test_problems_that_no_operation_declares_are_general() -> None:
    """A problem that is raised nowhere is dead; one that is raised and not declared surprises a client."""
    everywhere = {
        code for operation in FEATURE_OPERATIONS.values() for codes in declared(operation).values() for code in codes
    }
    undeclared = set(all_problems()) - everywhere
    assert undeclared <= {"method-not-allowed"}


def test_every_problem_is_complete() -> None:
    def subclasses(cls: type[Problem]) -> set[type[Problem]]:
        return {found for sub in cls.__subclasses__() for found in {sub, *subclasses(sub)}}

    classes = subclasses(Problem)
    assert len({cls.code for cls in classes}) == len(classes) == len(all_problems())
    for cls in classes:
        assert re.fullmatch(r"[a-z]+(-[a-z]+)*", cls.code)
        assert 400 <= cls.status < 600
        assert cls.title
        assert cls.retryable or cls.status not in {429, 503}
