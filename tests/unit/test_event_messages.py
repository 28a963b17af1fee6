"""Messages about events: their content, their recipients and their signature."""

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


def build_event(kind: str, **detail: Any) -> ChangeEvent:
    return ChangeEvent(EVENT_ID, kind, AT, OWNER_ID, FILE_ID, detail)


def build_details(event: ChangeEvent, *, has_access: bool = True) -> list[tuple[str, dict[str, Any]]]:
    messages = [
        (message, json.loads(message.body))
        for message in build_webhook_messages(event, OTHER_ID, has_access=has_access)
    ]
    assert all((str(message.id), message.kind) == (body["id"], body["kind"]) for message, body in messages)
    return [(message.kind, body["detail"]) for message, body in messages]


def test_message_names_the_event_and_nothing_of_the_file() -> None:
    (message,) = build_webhook_messages(build_event("file.renamed"), OTHER_ID, has_access=True)
    assert json.loads(message.body) == {
        "id": str(EVENT_ID),
        "kind": "file.renamed",
        "at": "2026-03-01T12:30:00.250000Z",
        "owner_id": str(OWNER_ID),
        "recipient_id": str(OTHER_ID),
        "file_id": str(FILE_ID),
        "detail": {},
    }
    (message,) = build_topic_messages(build_event("file.renamed"))
    assert "recipient_id" not in json.loads(message.body)


def test_new_content_adds_a_file_stored_message() -> None:
    for kind in ("file.created", "file.updated"):
        first, second = build_topic_messages(build_event(kind, revision_id="r"))
        assert (first.kind, first.id) == (kind, EVENT_ID)
        assert (second.kind, second.id) == ("file.stored", uuid.uuid5(EVENT_ID, "file.stored"))
        assert json.loads(second.body)["detail"] == {"revision_id": "r"}
    for event in (
        build_event("file.created"),
        build_event("file.updated"),
        build_event("file.verified", revision_id="r"),
    ):
        assert [message.kind for message in build_topic_messages(event)] == [event.kind]


@pytest.mark.parametrize("kind", ["file.moved", "file.trashed", "file.deleted", "share.revoked"])
def test_removal_for_recipient_without_access_has_no_detail(kind: str) -> None:
    assert build_details(build_event(kind, role="viewer"), has_access=False) == [(kind, {})]
    assert build_details(build_event(kind, role="viewer")) == [(kind, {"role": "viewer"})]


@pytest.mark.parametrize("kind", ["file.created", "file.updated", "file.verified", "share.granted"])
def test_other_event_for_recipient_without_access_sends_nothing(kind: str) -> None:
    assert build_details(build_event(kind, revision_id="r"), has_access=False) == []


def test_signature_equals_the_one_of_standard_webhooks() -> None:
    """Computed by openssl, with the key and the body of the specification's own examples."""
    secret, body = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", b'{"test": 2432232314}'
    message_id = uuid.UUID(int=0)
    headers = sign_message(secret, message_id, 1614265330, body)
    assert headers["webhook-id"] == str(message_id)
    assert headers["webhook-timestamp"] == "1614265330"
    # printf '%s' "$id.1614265330.$body" | openssl dgst -sha256 -mac HMAC -macopt "hexkey:$key" -binary | base64
    assert headers["webhook-signature"] == "v1,Y5/uRWupLQOPxe4D5mBYrd9dRGhY+xtWrnxDwy59WDE="


def test_documented_check_accepts_our_signature_and_refuses_forgeries() -> None:
    page = (Path(__file__).parents[2] / "docs" / "webhooks.md").read_text(encoding="utf-8")
    documented: dict[str, Any] = {}
    exec(page.partition("```python\n")[2].partition("```")[0], documented)  # noqa: S102 - our own page
    is_genuine, secret, now = documented["is_genuine"], create_secret(), int(time.time())
    assert is_genuine(secret, sign_message(secret, EVENT_ID, now, b"{}"), b"{}")
    assert not is_genuine(secret, sign_message(secret, EVENT_ID, now, b"{}"), b"{ }")
    assert not is_genuine(create_secret(), sign_message(secret, EVENT_ID, now, b"{}"), b"{}")
    assert not is_genuine(secret, sign_message(secret, EVENT_ID, now - 3600, b"{}"), b"{}")
    forged = sign_message(secret, EVENT_ID, now, b"{}")
    for header, wrong in (("webhook-timestamp", "\xb2"), ("webhook-timestamp", ""), ("webhook-signature", "v1,\xe4")):
        assert not is_genuine(secret, forged | {header: wrong}, b"{}")
    assert not is_genuine(secret, {}, b"{}")


def test_secrets_are_random() -> None:
    assert create_secret() != create_secret()
