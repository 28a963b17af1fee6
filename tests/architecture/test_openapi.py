"""The committed openapi.yaml equals the document that the code generates, and SDKs can be generated from it."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeVar

import yaml

from dropbox_api.app import create_app
from dropbox_api.problems import Problem, all_problems
from dropbox_api.responses import CODES, DEFAULT_CODES
from dropbox_api.schemas import Answer
from dropbox_api.settings import Settings
from dropbox_client.cli.events.arguments import EVENT_KINDS

COMMITTED = Path(__file__).parents[2] / "openapi.yaml"
T = TypeVar("T")
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


def find_subclasses(cls: type[T]) -> set[type[T]]:
    return {found for sub in cls.__subclasses__() for found in {sub, *find_subclasses(sub)}}


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
    tags = {tag["name"] for tag in DOCUMENT["tags"]}
    offenders = [
        f"{name}: {operation['operationId']} with tags {operation['tags']}"
        for name, operation in FEATURE_OPERATIONS.items()
        if operation["tags"][0] not in tags
        or not re.fullmatch(rf"{operation['tags'][0]}_[a-z]+(_[a-z]+)*", operation["operationId"])
    ]
    assert offenders == []
    assert tags == {operation["tags"][0] for operation in OPERATIONS.values()}


def find_unnamed(node: Any, path: str = "") -> Iterator[str]:
    """Yield the enums and objects with members that are no components of their own."""
    if isinstance(node, list):
        for number, item in enumerate(node):
            yield from find_unnamed(item, f"{path}/{number}")
    if isinstance(node, dict):
        is_component = path.count("/") == 3 and path.startswith("/components/schemas/")
        is_extension = path.startswith("/components/schemas/") and "/allOf/" in path  # of a problem
        if "enum" in node and isinstance(node["enum"], list) and not is_component:
            yield f"{path}: enum {node['enum']}"
        if isinstance(node.get("properties"), dict) and "type" in node and not is_component and not is_extension:
            yield f"{path}: object {list(node['properties'])}"
        for key, value in node.items():
            yield from find_unnamed(value, f"{path}/{key}")


def test_enums_and_objects_are_named_components() -> None:
    assert list(find_unnamed(DOCUMENT)) == []
    assert list(find_unnamed({"paths": {"enum": ["a"]}})) == ["/paths: enum ['a']"]
    assert list(find_unnamed({"schema": {"type": "object", "properties": {"a": {}}}})) == ["/schema: object ['a']"]


def test_committed_document_is_short() -> None:
    text = COMMITTED.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 60 * len(OPERATIONS)
    assert len(text.encode()) <= 2_500 * len(OPERATIONS)


def test_members_of_answers_are_required() -> None:
    schemas = DOCUMENT["components"]["schemas"]
    offenders = [
        cls.__name__
        for cls in find_subclasses(Answer)
        if cls.__name__ in schemas
        and set(schemas[cls.__name__]["properties"]) != set(schemas[cls.__name__]["required"])
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
    classes = find_subclasses(Problem)
    assert len({cls.code for cls in classes}) == len(classes) == len(all_problems())
    for cls in classes:
        assert re.fullmatch(r"[a-z]+(-[a-z]+)*", cls.code)
        assert 400 <= cls.status < 600
        assert 0 < len(cls.title) <= 30
        assert len(cls.title) < len(cls.detail)
        assert cls.retryable or cls.status not in {429, 503}


def test_event_kinds_of_dbx_are_those_of_the_server() -> None:
    """The client does not import the server, so it repeats them."""
    assert list(EVENT_KINDS) == DOCUMENT["components"]["schemas"]["EventKind"]["enum"]
