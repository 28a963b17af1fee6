"""Every operation with requests generated from its description: no server error, each answer conforms to it.

Requests derive from the operation alone, so that a failure repeats. Half of the cases address existing resources.
"""

from collections.abc import AsyncIterator
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
EXAMPLES = 25
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
    """An API with its own bucket and database, and an account with one file and one upload."""
    s3 = await prepare_bucket(replace(s3_config, bucket="schemathesis"))
    async with migrated_database(postgres_url) as url, running_process(environment(url, s3)) as api:
        account = await register_account(api.url)
        async with account.client as client:
            file = await upload_file(account, b"content", "file.txt")
            body = start_body(b"begun", "upload.txt")
            upload = (await client.post("/v1/uploads", json=body)).raise_for_status().json()["upload"]
            existing = {"file_id": file["id"], "upload_id": upload["id"], "fingerprint": file["fingerprint"]}
            yield Target(api.url, {"Authorization": client.headers["Authorization"]}, existing)


@pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE], ids=["valid", "invalid"])
@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.label)
def test_operation_with_generated_requests_conforms_to_its_description(
    operation: APIOperation[Any, Any, Any, Any], mode: GenerationMode, target: Target
) -> None:
    if mode is GenerationMode.NEGATIVE and not (operation.body or operation.query or operation.path_parameters):
        return  # the operation has no input that could be invalid
    name = operation.definition.raw["operationId"]

    @settings(
        max_examples=5 if name in SLOW else EXAMPLES,
        deadline=None,
        database=None,
        derandomize=True,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy(generation_mode=mode), is_existing=st.booleans())
    def answers_as_described(case: Case[Any], is_existing: bool) -> None:
        if is_existing:
            known = {name: value for name, value in target.existing.items() if name in case.path_parameters}
            case.path_parameters |= known
        if mode is GenerationMode.POSITIVE and "wait_s" in case.query:
            case.query["wait_s"] = 0.01  # the default would hold the long poll
        response = case.call(base_url=target.url, session=session, headers=target.headers, allow_redirects=False)
        case.validate_response(response, checks=CHECKS)

    with requests.Session() as session:
        answers_as_described()
