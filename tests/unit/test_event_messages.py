"""What is told, to whom, and what proves that it was us."""

import json
import time
import uuid
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from dropbox_api.hooks.event_messages import ChangeEvent, build_topic_messages, build_webhook_messages
from dropbox_api.hooks.signatures import create_secret, sign_message

EVENT_ID, OWNER_ID, FILE_ID, OTHER_ID = (uuid.UUID(int=number) for number in range(1, 5))
AT = datetime(2026, 3, 1, 12, 30, 0, 250_000, tzinfo=UTC)


def happened(kind: str, **detail: Any) -> ChangeEvent:
    return ChangeEvent(EVENT_ID, kind, AT, OWNER_ID, FILE_ID, detail)


def told(event: ChangeEvent, *, sees: bool = True) -> list[tuple[str, dict[str, Any]]]:
    said = [(message, json.loads(message.body)) for message in build_webhook_messages(event, OTHER_ID, has_access=sees)]
    assert all((str(message.id), message.kind) == (body["id"], body["kind"]) for message, body in said)
    return [(message.kind, body["detail"]) for message, body in said]


def test_a_message_names_what_happened_and_nothing_of_the_file() -> None:
    (message,) = build_webhook_messages(happened("file.renamed"), OTHER_ID, has_access=True)
    assert json.loads(message.body) == {
        "id": str(EVENT_ID),
        "kind": "file.renamed",
        "at": "2026-03-01T12:30:00.250000Z",
        "owner_id": str(OWNER_ID),
        "recipient_id": str(OTHER_ID),
        "file_id": str(FILE_ID),
        "detail": {},
    }
    (message,) = build_topic_messages(happened("file.renamed"))
    assert "recipient_id" not in json.loads(message.body)


def test_new_content_is_told_of_beside() -> None:
    for kind in ("file.created", "file.updated"):
        first, second = build_topic_messages(happened(kind, revision_id="r"))
        assert (first.kind, first.id) == (kind, EVENT_ID)
        assert (second.kind, second.id) == ("file.stored", uuid.uuid5(EVENT_ID, "file.stored"))
        assert json.loads(second.body)["detail"] == {"revision_id": "r"}
    for event in (happened("file.created"), happened("file.updated"), happened("file.verified", revision_id="r")):
        assert [message.kind for message in build_topic_messages(event)] == [event.kind]


@pytest.mark.parametrize("kind", ["file.moved", "file.trashed", "file.deleted", "share.revoked"])
def test_who_sees_it_no_more_learns_that_it_is_gone(kind: str) -> None:
    assert told(happened(kind, role="viewer"), sees=False) == [(kind, {})]
    assert told(happened(kind, role="viewer")) == [(kind, {"role": "viewer"})]


@pytest.mark.parametrize("kind", ["file.created", "file.updated", "file.verified", "share.granted"])
def test_who_sees_it_no_more_learns_nothing_else(kind: str) -> None:
    assert told(happened(kind, revision_id="r"), sees=False) == []


def test_the_signature_is_that_of_standard_webhooks() -> None:
    """Computed by openssl, with the key and the body of the specification's own examples."""
    secret, body = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", b'{"test": 2432232314}'
    message_id = uuid.UUID(int=0)
    headers = sign_message(secret, message_id, 1614265330, body)
    assert headers["webhook-id"] == str(message_id)
    assert headers["webhook-timestamp"] == "1614265330"
    # printf '%s' "$id.1614265330.$body" | openssl dgst -sha256 -mac HMAC -macopt "hexkey:$key" -binary | base64
    assert headers["webhook-signature"] == "v1,Y5/uRWupLQOPxe4D5mBYrd9dRGhY+xtWrnxDwy59WDE="


def test_the_documentation_verifies_what_we_sign() -> None:
    page = (Path(__file__).parents[2] / "docs" / "webhooks.md").read_text(encoding="utf-8")
    documented: dict[str, Any] = {}
    exec(page.partition("```python\n")[2].partition("```")[0], documented)  # noqa: S102 - our own page
    is_ours, secret, now = documented["is_ours"], create_secret(), int(time.time())
    assert is_ours(secret, sign_message(secret, EVENT_ID, now, b"{}"), b"{}")
    assert not is_ours(secret, sign_message(secret, EVENT_ID, now, b"{}"), b"{ }")
    assert not is_ours(create_secret(), sign_message(secret, EVENT_ID, now, b"{}"), b"{}")
    assert not is_ours(secret, sign_message(secret, EVENT_ID, now - 3600, b"{}"), b"{}")
    forged = sign_message(secret, EVENT_ID, now, b"{}")
    for header, wrong in (("webhook-timestamp", "\xb2"), ("webhook-timestamp", ""), ("webhook-signature", "v1,\xe4")):
        assert not is_ours(secret, forged | {header: wrong}, b"{}")
    assert not is_ours(secret, {}, b"{}")


def test_secrets_are_random() -> None:
    assert create_secret() != create_secret()
