"""Times in requests: each one has bounds of its own, and a message that names them."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import text

from dropbox_api.app import create_app
from dropbox_api.db import Db
from dropbox_api.openapi import operations
from dropbox_api.settings import Settings
from tests.support.server import Account, create_folder, problem, start, start_body, upload_file
from tests.support.sharing import make_link, public

BEYOND = ("0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00")
"""Times that do not exist in UTC."""
ZERO = ("0001-01-01T00:00:00Z", "9999-12-31T23:59:59Z")
PAST = ("2020-01-01T00:00:00Z", 1)
FIELDS: dict[str, tuple[tuple[str | int, ...], str]] = {
    "uploads_create client_modified_at": (BEYOND + ZERO, "a file's time of modification"),
    "uploads_create_batch client_modified_at": (BEYOND + ZERO, "a file's time of modification"),
    "uploads_create_destination client_modified_at": (BEYOND + ZERO, "a file's time of modification"),
    "files_upload client_modified_at": (BEYOND + ZERO, "a file's time of modification"),
    "files_put_content client_modified_at": (BEYOND + ZERO, "a file's time of modification"),
    "files_update client_modified_at": (BEYOND + ZERO, "a file's time of modification"),
    "links_create expires_at": (BEYOND + ZERO + PAST, "a link expires in the future"),
    "links_update expires_at": (BEYOND + ZERO + PAST, "a link expires in the future"),
    "search_files modified_after": (BEYOND, "a time to filter by"),
    "search_files modified_before": (BEYOND, "a time to filter by"),
    "events_list since": (BEYOND + ZERO, "the time of an event"),
    "events_stream since": (BEYOND + ZERO, "the time of an event"),
}


def find_times() -> Iterator[str]:
    """Yield "operation member" for every time in a request of the document."""
    document = create_app(Settings(mode="dev")).openapi()

    def resolve(value: dict[str, Any]) -> dict[str, Any]:
        found: dict[str, Any] = document
        for part in value.get("$ref", "#")[2:].split("/") if "$ref" in value else ():
            found = found[part]
        return found if "$ref" in value else value

    def search(schema: dict[str, Any], name: str = "") -> Iterator[str]:
        schema = resolve(schema)
        if schema.get("format") == "date-time":
            yield name
        for member, child in schema.get("properties", {}).items():
            yield from search(child, member)
        for child in (*schema.get("anyOf", ()), *filter(None, [schema.get("items")])):
            yield from search(child, name)

    for operation in operations(document):
        parameters = [resolve(parameter) for parameter in operation.get("parameters", ())]
        schemas = [(each["schema"], each["name"]) for each in parameters]
        schemas += [(each["schema"], "") for each in operation.get("requestBody", {}).get("content", {}).values()]
        for schema, name in schemas:
            yield from (f"{operation['operationId']} {time}" for time in search(schema, name))


def test_times_in_requests_are_exactly_those_tested() -> None:
    assert set(find_times()) == set(FIELDS)


@pytest.mark.parametrize("field", FIELDS)
async def test_time_out_of_its_bounds_is_refused_with_the_message_of_its_field(account: Account, field: str) -> None:
    operation, member = field.split()
    values, message = FIELDS[field]
    client = account.client
    file = await upload_file(account, b"content", "a.txt")
    upload = await start(account, b"begun", "b")
    link = await make_link(account, file["id"])
    for at in values:
        time = {member: at}
        requests: dict[str, tuple[str, str, dict[str, Any]]] = {
            "uploads_create": ("POST", "/v1/uploads", {"json": start_body(b"x", "x", **time)}),
            "uploads_create_batch": ("POST", "/v1/uploads/batch", {"json": {"items": [start_body(b"x", "x", **time)]}}),
            "uploads_create_destination": (
                "POST",
                f"/v1/uploads/{upload['id']}/destinations",
                {"json": {"destination": {"name": "c"}} | time},
            ),
            "files_upload": ("POST", "/v1/files", {"files": {"file": ("f", b"x")}, "data": time}),
            "files_put_content": ("PUT", f"/v1/files/{file['id']}/content", {"content": b"x", "params": time}),
            "files_update": ("PATCH", f"/v1/files/{file['id']}", {"json": time}),
            "links_create": ("POST", f"/v1/files/{file['id']}/links", {"json": {"mode": "view"} | time}),
            "links_update": ("PATCH", f"/v1/links/{link['id']}", {"json": time}),
            "search_files": ("GET", "/v1/search", {"params": time}),
            "events_list": ("GET", "/v1/events", {"params": time}),
            "events_stream": ("GET", "/v1/events/stream", {"params": time}),
        }
        method, path, arguments = requests[operation]
        answer = await client.request(method, path, **arguments)
        assert problem(answer) == (422, "invalid-request"), (at, answer.text)
        (error,) = answer.json()["errors"]
        assert error["pointer"].endswith(f"/{member}")
        assert error["detail"].startswith(message)
    assert [each["id"] for each in (await client.get(f"/v1/files/{file['id']}/links")).json()["items"]] == [link["id"]]


async def test_repeated_create_of_an_expired_link_is_answered_by_its_key(account: Account, db: Db) -> None:
    folder = await create_folder(account, "/a")
    body = {"mode": "view", "expires_at": (datetime.now(UTC) + timedelta(hours=1)).isoformat()}
    key = {"Idempotency-Key": "one"}
    at = f"/v1/files/{folder['id']}/links"
    created = await account.client.post(at, json=body, headers=key)
    assert created.status_code == 201
    assert (await account.client.get(public(created.json()))).status_code == 200
    async with db.begin() as tx:
        expire = text("UPDATE links SET expires_at = now() - interval '1 second' WHERE id = :id")
        await tx.execute(expire, {"id": created.json()["id"]})
    again = await account.client.post(at, json=body, headers=key)
    assert (again.status_code, again.json()["id"]) == (201, created.json()["id"])
    assert problem(await account.client.get(public(created.json()))) == (404, "not-found")
