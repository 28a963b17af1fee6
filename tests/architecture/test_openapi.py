"""The committed openapi.yaml equals the document that the code generates, and SDKs can be generated from it."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from dropbox_api.app import create_app
from dropbox_api.problems import Problem, all_problems
from dropbox_api.responses import CODES, DEFAULT_CODES
from dropbox_api.settings import Settings

COMMITTED = Path(__file__).parents[2] / "openapi.yaml"
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


def declared(operation: dict[str, Any]) -> set[str]:
    """Return the problem codes that an operation declares."""
    return {*operation.get(CODES, ()), *(DEFAULT_CODES if "default" in operation["responses"] else ())}


def undeclared(name: str, operation: dict[str, Any]) -> Iterator[str]:
    """Yield the problems that an operation must declare and does not, and declared ones without their response."""
    expected = set(DEFAULT_CODES)
    if operation.get("security"):
        expected.add("unauthenticated")
    elif "unauthenticated" in declared(operation):
        yield f"{name}: unauthenticated, although it needs no token"
    if "{" in name or operation.get("parameters") or "requestBody" in operation:
        expected.add("invalid-request")
    if "application/json" in operation.get("requestBody", {}).get("content", {}):
        expected |= {"malformed-json", "body-too-large"}
    yield from (f"{name}: {code} is missing" for code in sorted(expected - declared(operation)))
    known = all_problems()
    statuses = {known[code].status for code in declared(operation)} - {known[code].status for code in DEFAULT_CODES}
    yield from (
        f"{name}: no response {status}" for status in sorted(statuses) if str(status) not in operation["responses"]
    )


def test_committed_document_equals_the_generated_one() -> None:
    assert yaml.safe_load(COMMITTED.read_text(encoding="utf-8")) == DOCUMENT, "run `make openapi`"


def test_operation_ids_are_unique() -> None:
    ids = [operation["operationId"] for operation in OPERATIONS.values()]
    assert len(ids) == len(set(ids))


def test_operation_ids_are_tag_and_verb() -> None:
    """SDKs are generated from them. The health probes keep their usual names."""
    offenders = [
        f"{name}: {operation['operationId']} with tags {operation['tags']}"
        for name, operation in FEATURE_OPERATIONS.items()
        if len(operation["tags"]) != 1
        or not re.fullmatch(rf"{operation['tags'][0]}_[a-z]+(_[a-z]+)*", operation["operationId"])
    ]
    assert offenders == []


def test_operations_declare_their_problems() -> None:
    offenders = [found for name, operation in FEATURE_OPERATIONS.items() for found in undeclared(name, operation)]
    assert offenders == []


def test_operations_are_described() -> None:
    assert [name for name, operation in OPERATIONS.items() if not operation.get("description")] == []


def test_rules_see_what_they_forbid() -> None:
    general: dict[str, Any] = {"responses": {"default": {}}}
    assert list(undeclared("get /x", general)) == []
    assert list(undeclared("get /x", {"responses": {}})) == [
        "get /x: internal-error is missing",
        "get /x: rate-limited is missing",
        "get /x: unavailable is missing",
    ]
    assert list(undeclared("get /{x}", general)) == ["get /{x}: invalid-request is missing"]
    assert list(undeclared("get /x", general | {"security": [{}]})) == ["get /x: unauthenticated is missing"]
    assert list(undeclared("get /x", general | {CODES: ["not-found"]})) == ["get /x: no response 404"]
    body = general | {"requestBody": {"content": {"application/json": {}}}}
    assert list(undeclared("put /x", body)) == [
        "put /x: body-too-large is missing",
        "put /x: invalid-request is missing",
        "put /x: malformed-json is missing",
    ]
    assert len(FEATURE_OPERATIONS) > 80


def test_every_problem_is_declared_by_an_operation() -> None:
    """A problem that no operation declares is either dead or a surprise for clients."""
    everywhere = {code for operation in FEATURE_OPERATIONS.values() for code in declared(operation)}
    assert set(all_problems()) - everywhere <= {"method-not-allowed"}


def test_every_problem_is_complete() -> None:
    def subclasses(cls: type[Problem]) -> set[type[Problem]]:
        return {found for sub in cls.__subclasses__() for found in {sub, *subclasses(sub)}}

    classes = subclasses(Problem)
    assert len({cls.code for cls in classes}) == len(classes) == len(all_problems())
    for cls in classes:
        assert re.fullmatch(r"[a-z]+(-[a-z]+)*", cls.code)
        assert 400 <= cls.status < 600
        assert 0 < len(cls.title) <= 30
        assert len(cls.title) < len(cls.detail)
        assert cls.retryable or cls.status not in {429, 503}
