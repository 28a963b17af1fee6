"""Every operation with requests generated from its description: no server error, each answer conforms to it.

Requests derive from the operation alone, so that a failure repeats. Half of the cases address existing resources.
`spoiled` requests carry text that UTF-8, HTTP or Postgres cannot hold. FAULTS=long runs many more.
"""

import os
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, replace
from typing import Any

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis import Case, GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.core.result import Ok
from schemathesis.schemas import APIOperation
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from dropbox_api.app import create_app
from dropbox_api.settings import Settings
from dropbox_api.storage.s3 import S3Config
from tests.support.process import environment, running_process
from tests.support.server import migrated_database, register_account, start_body, upload_file
from tests.support.stack import prepare_bucket

CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]
LONG = os.environ.get("FAULTS") == "long"
EXAMPLES = 500 if LONG else 25
SPOILED_EXAMPLES = 500 if LONG else 10
SLOW = {"auth_register", "auth_sign_in", "uploads_create_batch"}
"""Operations with few examples: each hashes a password, or takes hundreds of items, which are slow to generate."""

SCHEMA = schemathesis.openapi.from_dict(create_app(Settings(mode="dev")).openapi())
ENDLESS = "/v1/events/stream"
"""An endless stream, tested in tests/integration/test_events.py."""
OPERATIONS = [
    found.ok() for found in SCHEMA.get_all_operations() if isinstance(found, Ok) and found.ok().path != ENDLESS
]


@dataclass
class Target:
    url: str
    headers: dict[str, str]
    existing: dict[str, str]
    """Path parameters of existing resources."""


@pytest.fixture(scope="module")
async def target(postgres_url: str, s3_config: S3Config) -> AsyncIterator[Target]:
    """An API with its own bucket and database, and an account with one file and one upload.

    Its identity provider does not answer, so that the routes of OIDC read what they get.
    """
    s3 = await prepare_bucket(replace(s3_config, bucket="schemathesis"))
    async with migrated_database(postgres_url) as url:
        provider = {"DROPBOX_OIDC__ISSUER": "http://127.0.0.1:9", "DROPBOX_OIDC__CLIENT_ID": "client"}
        async with running_process(environment(url, s3) | provider) as api:
            account = await register_account(api.url)
            async with account.client as client:
                file = await upload_file(account, b"content", "file.txt")
                body = start_body(b"begun", "upload.txt")
                upload = (await client.post("/v1/uploads", json=body)).raise_for_status().json()["upload"]
                existing = {"file_id": file["id"], "upload_id": upload["id"], "fingerprint": file["fingerprint"]}
                yield Target(api.url, {"Authorization": client.headers["Authorization"]}, existing)


def run_examples(examples: int) -> settings:
    return settings(
        max_examples=examples,
        deadline=None,
        database=None,
        derandomize=True,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )


def prepare_case(case: Case[Any], target: Target, *, is_existing: bool) -> None:
    if is_existing:
        case.path_parameters |= {name: value for name, value in target.existing.items() if name in case.path_parameters}
    if "wait_s" in case.query and case.meta and case.meta.generation.mode is GenerationMode.POSITIVE:
        case.query["wait_s"] = 0.01  # the default would hold the long poll


@pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE], ids=["valid", "invalid"])
@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.label)
def test_operation_with_generated_requests_conforms_to_its_description(
    operation: APIOperation[Any, Any, Any, Any], mode: GenerationMode, target: Target
) -> None:
    if mode is GenerationMode.NEGATIVE and not (operation.body or operation.query or operation.path_parameters):
        return  # the operation has no input that could be invalid
    name = operation.definition.raw["operationId"]

    @run_examples(5 if name in SLOW else EXAMPLES)
    @given(case=operation.as_strategy(generation_mode=mode), is_existing=st.booleans())
    def answers_as_described(case: Case[Any], is_existing: bool) -> None:
        prepare_case(case, target, is_existing=is_existing)
        response = case.call(base_url=target.url, session=session, headers=target.headers, allow_redirects=False)
        case.validate_response(response, checks=CHECKS)

    with requests.Session() as session:
        answers_as_described()


SPOILED_TEXTS = st.sampled_from(
    [
        ["\ud800", "a\udfff", "\udcff\udc80"],  # lone surrogates: JSON can spell them, UTF-8 cannot hold them
        ["\0", "a\0b", "\x01", "\t", "\r\n", "\x1b[2J", "\x7f", "\x85", "\u2028"],  # controls: Postgres refuses NUL
        ["ÿ", "é", "Ω", "\u0663", "😀", "\u202e", "\ufeff", "e\u0301", "\ufb01", "İ", "\uffff"],
        ["", " ", "%", "%00", "%zz", "\\", "'", '"', ";", ",", "=", "\\x", "*", "(" * 50, "a" * 70_000],
    ]
).flatmap(st.sampled_from)
SPOILED_BYTES = st.sampled_from(
    [b"\xff", b"\xed\xa0\x80", b"\xc3", b"\xc0\x80", b"\x00", b"a\x00b", b"\xf4\x90\x80\x80", b"\x80" * 50]
)
HEADERS = [
    *("Authorization", "Cookie", "If-Match", "If-None-Match", "Idempotency-Key", "Last-Event-ID", "X-Link-Password"),
    "X-Link-Pass",
    *("Content-MD5", "Content-Digest", "Repr-Digest", "Digest", "Content-Type", "Content-Encoding", "Content-Range"),
    *(
        "Accept",
        "Accept-Encoding",
        "Range",
        "User-Agent",
        "Host",
        "X-Request-Id",
        "Origin",
        "Forwarded",
        "X-Forwarded-For",
    ),
]
HEADER_FORMS = [
    "{}",
    "Bearer {}",
    "Bearer dbx_pat_{}",
    "oidc={}; link-pass={}",
    '"{}"',
    ":{}:",
    "sha-256={}",
    "a/b; c={}",
]


def find_texts(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield the path of every text and of every object in a JSON value."""
    if isinstance(value, str | dict):
        yield path
    children = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, child in children:
        yield from find_texts(child, (*path, key))


def spoil_json(body: Any, draw: Any) -> Any:
    """Replace or extend one text of a JSON body, or add a member with a spoiled name."""
    text = draw(SPOILED_TEXTS)
    path = draw(st.sampled_from(list(find_texts(body)) or [()]))
    if not path:
        return body | {text: text} if isinstance(body, dict) else text
    holder = body
    for key in path[:-1]:
        holder = holder[key]
    old = holder[path[-1]]
    holder[path[-1]] = old | {text: text} if isinstance(old, dict) else draw(st.sampled_from([text, old + text]))
    return body


def spoil_request(arguments: dict[str, Any], draw: Any) -> None:
    """Spoil one place of a request: a text of its body, a member of its query, or a header."""
    places = ["header", "query"] + (["body"] * 3 if arguments.get("json") is not None else [])
    place = draw(st.sampled_from(places))
    if place == "body":
        arguments["json"] = spoil_json(arguments["json"], draw)
        return
    value = draw(SPOILED_BYTES | SPOILED_TEXTS.map(lambda text: text.encode("utf-8", "surrogatepass")))
    if place == "query":
        known = dict(arguments.get("params") or {"cursor": ""})
        arguments["params"] = known | {draw(st.sampled_from(sorted(known))): value}
        return
    form = draw(st.sampled_from(HEADER_FORMS)).encode()
    name = draw(st.sampled_from(HEADERS))
    sendable = value.replace(b"\r", b"").replace(b"\n", b"")[:8000]
    arguments["headers"] = dict(arguments["headers"]) | {name: form.replace(b"{}", sendable).strip()}


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.label)
def test_operation_with_spoiled_text_gives_no_server_error(
    operation: APIOperation[Any, Any, Any, Any], target: Target
) -> None:
    name = operation.definition.raw["operationId"]

    @run_examples(5 if name in SLOW and not LONG else SPOILED_EXAMPLES)
    @given(case=operation.as_strategy(), is_existing=st.booleans(), data=st.data())
    def answers_without_error(case: Case[Any], is_existing: bool, data: st.DataObject) -> None:
        prepare_case(case, target, is_existing=is_existing)
        arguments = case.as_transport_kwargs(base_url=target.url, headers=target.headers)
        spoil_request(arguments, data.draw)
        response = session.request(**arguments, allow_redirects=False)
        assert response.status_code < 500, (arguments, response.text)

    with requests.Session() as session:
        answers_without_error()
