"""Lists are compressed; an answer that holds a secret is not (docs/security.md, Compressed answers)."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from fastapi.routing import APIRoute, iter_route_contexts

from dropbox_api.app import create_app
from dropbox_api.deps import COMPRESSED
from dropbox_api.settings import Settings

SECRETS = re.compile(
    r"(?!has_|needs_|small_url|large_url|thumbnail_url)(.*_)?(token|secret|password|url|url_path|recovery_codes)"
)
"""The URLs of thumbnails are there on request only; such an answer is not compressed
(integration/test_compression.py)."""
SIGNED = "signatures of URLs: no two answers have the same one"
TOKEN_NAME = "`token` is the name of a token"
HARMLESS = {
    "uploads_create_batch": SIGNED,
    "uploads_sign_parts": SIGNED,
    "public_create_upload_batch": SIGNED,
    "public_sign_upload_parts": SIGNED,
    "files_create_download_batch": SIGNED,
    "events_list": TOKEN_NAME,
    "me_list_activity": TOKEN_NAME,
}
"""Compressed answers whose members only look like lasting secrets."""
UNCOMPRESSED_LISTS = {
    "links_list": "tokens of links",
    "webhooks_list": "addresses of receivers may hold secrets",
}
SMALL_LISTS = {
    "capabilities",
    "scopes",
    "kinds",
    "strategies",
    "chunkings",
    "encodings",
    "parts",
    "destinations",
    "recovery_codes",
} | {
    "pubKeyCredParams",
    "excludeCredentials",
    "allowCredentials",
    "transports",
}
"""Arrays that are a member of one resource."""

APP = create_app(Settings(mode="dev"))
DOCUMENT = APP.openapi()
ANSWERS: Mapping[str, list[dict[str, Any]]] = {
    operation["operationId"]: [
        response for status, response in operation["responses"].items() if status.startswith("2")
    ]
    for item in DOCUMENT["paths"].values()
    for operation in item.values()
    if isinstance(operation, dict)
}


def compressed_operations() -> set[str]:
    return {
        route.operation_id or route.path
        for context in iter_route_contexts(APP.routes)
        if isinstance(route := context.original_route, APIRoute) and COMPRESSED in route.dependencies
    }


def resolve(document: Mapping[str, Any], value: dict[str, Any]) -> dict[str, Any]:
    while "$ref" in value:
        _, kind, name = value["$ref"].rsplit("/", 2)
        value = document["components"][kind][name]
    return value


def members(document: Mapping[str, Any], schema: dict[str, Any], above: frozenset[str] = frozenset()) -> Iterator[str]:
    """Yield the name of every member at any depth."""
    if schema.get("$ref") in above:
        return
    above |= {schema["$ref"]} if "$ref" in schema else set()
    schema = resolve(document, schema)
    for name, member in schema.get("properties", {}).items():
        yield name
        yield from members(document, member, above)
    inner = [schema.get("items"), schema.get("additionalProperties")]
    for choices in ("anyOf", "allOf", "oneOf"):
        inner += schema.get(choices, ())
    for part in inner:
        if isinstance(part, dict):
            yield from members(document, part, above)


def schemas(operation: str) -> list[dict[str, Any]]:
    return [
        content["schema"]
        for answer in ANSWERS[operation]
        for content in resolve(DOCUMENT, answer).get("content", {}).values()
        if "schema" in content
    ]


def find_secrets(document: Mapping[str, Any], schema: dict[str, Any]) -> set[str]:
    return {name for name in members(document, schema) if SECRETS.fullmatch(name)}


def is_list(operation: str) -> bool:
    return any(
        member.get("type") == "array" and name not in SMALL_LISTS
        for schema in schemas(operation)
        for name, member in resolve(DOCUMENT, schema).get("properties", {}).items()
    )


def test_answers_with_secrets_are_not_compressed() -> None:
    with_secrets = {name for name in ANSWERS if any(find_secrets(DOCUMENT, schema) for schema in schemas(name))}
    assert {"auth_sign_in", "links_list", "me_propose_second_factor", "uploads_sign_parts"} <= with_secrets
    assert compressed_operations() & with_secrets == set(HARMLESS)


def test_every_list_without_secrets_is_compressed() -> None:
    lists = {name for name in ANSWERS if is_list(name)}
    assert lists - compressed_operations() == set(UNCOMPRESSED_LISTS)


def test_compressed_answers_have_no_etag() -> None:
    """One ETag would stand for the plain and the compressed body."""
    assert not [
        name
        for name in compressed_operations() & set(ANSWERS)
        for answer in ANSWERS[name]
        if "ETag" in resolve(DOCUMENT, answer).get("headers", {})
    ]


@pytest.mark.parametrize(
    ("schema", "found"),
    [
        ({"properties": {"token": {"type": "string"}}}, {"token"}),
        ({"properties": {"items": {"items": {"properties": {"refresh_token": {}}}}}}, {"refresh_token"}),
        ({"anyOf": [{"$ref": "#/components/schemas/Inner"}]}, {"secret"}),
        ({"properties": {"has_password": {"type": "boolean"}, "url_ttl_s": {"type": "integer"}}}, set()),
    ],
)
def test_rule_finds_secrets_at_any_depth(schema: dict[str, Any], found: set[str]) -> None:
    document = {"components": {"schemas": {"Inner": {"properties": {"secret": {"type": "string"}}}}}}
    assert find_secrets(document, schema) == found
