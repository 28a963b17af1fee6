"""Webhooks: managed through HTTP, called by the worker's jobs, received on a real socket."""

import asyncio
import datetime as dt
import ipaddress
import ssl
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from sqlalchemy import text

from dropbox_api.context import Services
from dropbox_api.db import Db
from dropbox_api.hooks import delivery_client, targets
from dropbox_api.settings import Settings
from dropbox_api.storage.s3 import S3Config
from dropbox_api.workers import invariants
from dropbox_api.workers.deliver import deliver_messages
from dropbox_api.workers.relay import relay_changes
from tests.support.receiver import Call, Receiver, running_receiver
from tests.support.server import (
    UNKNOWN_ID,
    Account,
    RunningServer,
    problem,
    register_account,
    separate_server,
    upload_file,
)
from tests.support.sharing import grant, make_folder, verify

HOOKS: dict[str, Any] = {
    "allow_http": True,
    "allowed_networks": ["127.0.0.0/8"],
    "timeout_s": 30,  # long, for a busy machine; the tests of slow receivers set their own
    "per_user": 3,
    "concurrency": 4,
}


@pytest.fixture(scope="module")
async def server(postgres_url: str, s3_config: S3Config) -> AsyncIterator[RunningServer]:
    """A server with its own database: the relay finds only changes of these tests."""
    async with separate_server(postgres_url, s3_config, hooks=HOOKS) as running:
        yield running


@pytest.fixture(autouse=True)
async def empty_queues(server: RunningServer) -> None:
    async with server.db.begin() as tx:
        for table in ("webhooks", "outbox", "relay_leases"):
            await tx.execute(text(f"DELETE FROM {table}"))


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with running_receiver() as running:
        yield running


Register = Callable[[], Awaitable[Account]]


@pytest.fixture
async def register(server: RunningServer) -> AsyncIterator[Register]:
    async with AsyncExitStack() as stack:

        async def make() -> Account:
            made = await register_account(server.url)
            await stack.enter_async_context(made.client)
            return made

        yield make


@pytest.fixture
async def account(register: Register) -> Account:
    return await register()


async def hook(account: Account, url: str, **more: Any) -> dict[str, Any]:
    answer = await account.client.post("/v1/webhooks", json={"url": url} | more)
    made: dict[str, Any] = answer.raise_for_status().json()
    return made


async def relay_all(server: RunningServer) -> None:
    while (report := await relay_changes(server.services)).found:
        assert report.failed == 0


async def run(server: RunningServer, **hooks: Any) -> Settings:
    """Relay all changes, and deliver all due messages."""
    changed = server.settings.hooks.model_copy(update=hooks)
    settings = server.settings.model_copy(update={"hooks": changed})
    await relay_all(server)
    while (await deliver_messages(Services(server.db, server.store, settings))).found:
        pass
    return settings


async def later(db: Db) -> None:
    """Make all pending deliveries due, and end all leases and pauses."""
    async with db.begin() as tx:
        await tx.execute(text("UPDATE deliveries SET next_attempt_at = now() WHERE state = 'pending'"))
        await tx.execute(text("DELETE FROM relay_leases"))


async def let_fail_for_an_hour(db: Db, webhook: dict[str, Any]) -> None:
    """Make a webhook fail since an hour ago: its next pause is minutes long, instead of 2 s after a first failure."""
    async with db.begin() as tx:
        since = text("UPDATE webhooks SET failing_since = now() - interval '1 hour' WHERE id = :id")
        await tx.execute(since, {"id": webhook["id"]})


async def log_of(account: Account, webhook: dict[str, Any], **params: Any) -> list[dict[str, Any]]:
    """Return the log of a webhook, oldest first."""
    answer = await account.client.get(f"/v1/webhooks/{webhook['id']}/deliveries", params=params)
    items: list[dict[str, Any]] = answer.raise_for_status().json()["items"]
    return items[::-1]


async def look(account: Account, webhook: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = (await account.client.get(f"/v1/webhooks/{webhook['id']}")).raise_for_status().json()
    return found


async def change(account: Account, webhook: dict[str, Any], **changes: Any) -> dict[str, Any]:
    answer = await account.client.patch(f"/v1/webhooks/{webhook['id']}", json=changes)
    changed: dict[str, Any] = answer.raise_for_status().json()
    return changed


# Creating and changing


async def test_created_webhook_shows_its_secret_once(
    server: RunningServer, account: Account, receiver: Receiver
) -> None:
    answer = await account.client.post("/v1/webhooks", json={"url": receiver.url, "kinds": ["file.stored"]})
    assert (answer.status_code, answer.headers["cache-control"]) == (201, "no-store")
    made = answer.json()
    secret = made.pop("secret")
    assert secret.startswith("whsec_")
    assert await look(account, made) == made
    assert (await account.client.get("/v1/webhooks")).json() == {"items": [made], "next_cursor": None}
    async with server.db.read() as tx:
        assert secret.encode() not in (await tx.execute(text("SELECT secret FROM webhooks"))).scalar_one()


async def test_list_of_webhooks_has_pages(account: Account, receiver: Receiver) -> None:
    made = [(await hook(account, receiver.url))["id"] for _ in range(3)]
    first = (await account.client.get("/v1/webhooks", params={"limit": 2})).json()
    rest = (await account.client.get("/v1/webhooks", params={"limit": 2, "cursor": first["next_cursor"]})).json()
    assert [one["id"] for one in first["items"] + rest["items"]] == made[::-1]
    assert rest["next_cursor"] is None


async def test_concurrent_creations_stop_at_the_limit(account: Account, receiver: Receiver) -> None:
    answers = await asyncio.gather(*(account.client.post("/v1/webhooks", json={"url": receiver.url}) for _ in range(6)))
    refused = [problem(answer) for answer in answers if answer.status_code != 201]
    assert refused == [(409, "too-many-webhooks")] * 3


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({"url": "ftp://127.0.0.1/"}, (422, "address-refused")),
        ({"url": "http://10.0.0.1/"}, (422, "address-refused")),
        ({"url": "http://169.254.169.254/latest/meta-data"}, (422, "address-refused")),
        ({"url": "https://[::1]/"}, (422, "address-refused")),
        ({"url": "http://me:secret@127.0.0.1/"}, (422, "address-refused")),
        ({"url": "http://nowhere.invalid/"}, (422, "address-refused")),
        ({"url": "http://127.0.0.1/#top"}, (422, "invalid-request")),
        ({"url": "http://127.0.0.1/a b"}, (422, "invalid-request")),
        ({"url": "http://127.0.0.1/", "kinds": ["file.burnt"]}, (422, "invalid-request")),
        ({"url": "http://127.0.0.1/", "description": "\0"}, (422, "invalid-request")),
        ({"url": "http://127.0.0.1/", "secret": "mine"}, (422, "invalid-request")),
    ],
)
async def test_webhook_with_a_forbidden_address_or_member_is_refused(
    account: Account, receiver: Receiver, body: dict[str, Any], expected: tuple[int, str]
) -> None:
    assert problem(await account.client.post("/v1/webhooks", json=body)) == expected
    if set(body) == {"url"}:
        made = await hook(account, receiver.url)
        assert problem(await account.client.patch(f"/v1/webhooks/{made['id']}", json=body)) == expected
        assert (await look(account, made))["url"] == receiver.url


async def test_change_of_a_webhook_keeps_other_members(account: Account, receiver: Receiver) -> None:
    made = await hook(account, receiver.url, kinds=["file.stored"], description="one")
    changed = await change(account, made, description="")
    assert (changed["kinds"], changed["description"], changed["url"]) == (["file.stored"], "", receiver.url)
    assert (await change(account, made, kinds=[]))["kinds"] == []
    assert await change(account, made) == await look(account, made)


async def test_webhooks_of_others_are_404(account: Account, register: Register, receiver: Receiver) -> None:
    made = await hook(account, receiver.url)
    delivery = (await account.client.post(f"/v1/webhooks/{made['id']}/test")).json()
    stranger = await register()
    own = await hook(stranger, receiver.url)
    address = f"/v1/webhooks/{made['id']}"
    for method, path in (
        ("GET", address),
        ("PATCH", address),
        ("DELETE", address),
        ("POST", f"{address}/test"),
        ("POST", f"{address}/rotate-secret"),
        ("GET", f"{address}/deliveries"),
        ("POST", f"{address}/deliveries/{delivery['id']}/redeliver"),
        ("POST", f"/v1/webhooks/{own['id']}/deliveries/{delivery['id']}/redeliver"),
        ("POST", f"/v1/webhooks/{own['id']}/deliveries/{UNKNOWN_ID}/redeliver"),
    ):
        answer = await stranger.client.request(method, path, json={} if method == "PATCH" else None)
        assert problem(answer) == (404, "not-found"), (method, path)
    assert [one["id"] for one in (await stranger.client.get("/v1/webhooks")).json()["items"]] == [own["id"]]


# Messages


async def test_deliver_sends_changes_in_order_and_signed(
    server: RunningServer, account: Account, receiver: Receiver
) -> None:
    webhook = await hook(account, receiver.url)
    file = await upload_file(account, b"content", "a")
    (await account.client.patch(f"/v1/files/{file['id']}", json={"name": "b"})).raise_for_status()
    (await account.client.patch(f"/v1/files/{file['id']}", json={"content_type": "text/html"})).raise_for_status()
    (await account.client.delete(f"/v1/files/{file['id']}")).raise_for_status()
    await run(server)
    assert [message["kind"] for message in receiver.messages] == [
        "file.created",
        "file.stored",
        "file.renamed",
        "file.updated",
        "file.trashed",
    ]
    me = (await account.me())["id"]
    assert all(call.is_signed_with(webhook["secret"]) for call in receiver.calls)
    assert all(call.headers["webhook-id"] == call.message["id"] for call in receiver.calls)
    assert len({call.message["id"] for call in receiver.calls}) == 5
    for message in receiver.messages:
        assert (message["owner_id"], message["recipient_id"], message["file_id"]) == (me, me, file["id"])
    assert receiver.messages[1]["detail"] == {"revision_id": file["revision_id"]}
    assert receiver.connections == 1
    logged = await log_of(account, webhook)
    assert [(one["event_id"], one["kind"]) for one in logged] == [(m["id"], m["kind"]) for m in receiver.messages]
    assert {(one["state"], one["attempts"], one["last_status"]) for one in logged} == {("delivered", 1, 200)}
    await run(server)
    assert len(receiver.calls) == 5


async def test_deliver_sends_only_the_selected_kinds(
    server: RunningServer, account: Account, receiver: Receiver
) -> None:
    await hook(account, receiver.url, kinds=["file.stored", "file.trashed"])
    file = await upload_file(account, b"kinds", "a")
    (await account.client.delete(f"/v1/files/{file['id']}")).raise_for_status()
    await run(server)
    assert [message["kind"] for message in receiver.messages] == ["file.stored", "file.trashed"]


async def test_deliver_to_a_former_recipient_sends_only_the_removal(
    server: RunningServer, account: Account, register: Register, receiver: Receiver
) -> None:
    other = await register()
    await verify(server.db, other)
    await hook(other, receiver.url)
    folder_id = await make_folder(account, "/shared")
    await run(server)
    assert receiver.calls == []
    granted = await grant(account, folder_id, other, "viewer")
    file = await upload_file(account, b"shared", "a", destination={"parent_id": folder_id})
    await run(server)
    assert [m["kind"] for m in receiver.messages] == ["share.granted", "file.created", "file.stored"]
    assert receiver.messages[0]["detail"]["role"] == "viewer"
    # All before the relay, which checks access when it plans the messages.
    (await account.client.patch(f"/v1/files/{file['id']}", json={"name": "secret"})).raise_for_status()
    (await account.client.delete(f"/v1/files/{folder_id}/grants/{granted['id']}")).raise_for_status()
    await upload_file(account, b"not shared", "b", destination={"parent_id": folder_id})
    receiver.calls.clear()
    await run(server)
    (message,) = receiver.messages
    assert (message["kind"], message["file_id"], message["detail"]) == ("share.revoked", folder_id, {})
    assert message["recipient_id"] == (await other.me())["id"] != message["owner_id"]


async def test_deliver_to_a_disabled_user_sends_nothing(
    server: RunningServer, account: Account, receiver: Receiver
) -> None:
    await hook(account, receiver.url)
    await upload_file(account, b"before", "before")
    await relay_changes(server.services)
    async with server.db.begin() as tx:
        disable = text("UPDATE users SET disabled_at = now() WHERE email = :email")
        await tx.execute(disable, {"email": account.email})
        planned = (await tx.execute(text("SELECT count(*) FROM deliveries"))).scalar_one()
        await tx.execute(
            text("""INSERT INTO outbox (id, aggregatetype, aggregateid, type, payload, seq, recipients)
                    SELECT gen_random_uuid(), 'file', id, 'file.created', jsonb_build_object('node_id', id), 99, '{}'
                    FROM users WHERE email = :email"""),
            {"email": account.email},
        )
    await run(server)
    assert receiver.calls == []
    async with server.db.begin() as tx:
        assert (await tx.execute(text("SELECT count(*) FROM deliveries"))).scalar_one() == planned > 0
        await tx.execute(text("UPDATE deliveries SET next_attempt_at = now() - interval '1 day'"))
    found = await invariants.find_violations(server.db, server.store)
    # The messages wait until the user is enabled.
    assert not [violation for violation in found if violation.invariant == "I12"]


async def test_deliveries_of_a_file_are_those_of_own_webhooks(
    server: RunningServer, account: Account, register: Register, receiver: Receiver
) -> None:
    await hook(account, receiver.url, kinds=["file.stored"])
    file, other_file = await upload_file(account, b"1", "a"), await upload_file(account, b"2", "b")
    stranger = await register()
    await run(server)
    answer = (await account.client.get(f"/v1/files/{file['id']}/deliveries")).raise_for_status().json()
    (delivery,) = answer["items"]
    assert (delivery["file_id"], delivery["kind"], delivery["state"]) == (file["id"], "file.stored", "delivered")
    assert other_file["id"] not in str(answer)
    assert problem(await stranger.client.get(f"/v1/files/{file['id']}/deliveries")) == (404, "not-found")
    await verify(server.db, stranger)
    await grant(account, file["id"], stranger, "viewer")
    shared = (await stranger.client.get(f"/v1/files/{file['id']}/deliveries")).json()
    assert shared["items"] == [], "deliveries of others' webhooks are hidden"


# Failures


async def test_deliver_after_failures_repeats_the_message_under_its_id(
    server: RunningServer, account: Account, receiver: Receiver
) -> None:
    webhook = await hook(account, receiver.url, kinds=["file.stored"])
    receiver.answer = lambda _: 500
    await upload_file(account, b"again", "a")
    await run(server)
    (pending,) = await log_of(account, webhook, state="pending")
    assert (pending["attempts"], pending["last_status"], pending["last_error"]) == (1, 500, "the answer was 500")
    assert pending["next_attempt_at"] > pending["created_at"]
    assert (await look(account, webhook))["failing_since"]
    await later(server.db)
    await run(server)
    await run(server)
    assert len(receiver.calls) == 2, "the retry is not due"
    receiver.answer = lambda _: 204
    await later(server.db)
    await run(server)
    assert len({(call.headers["webhook-id"], call.body) for call in receiver.calls}) == 1
    assert all(call.is_signed_with(webhook["secret"]) for call in receiver.calls)
    (delivered,) = await log_of(account, webhook)
    assert (delivered["state"], delivered["attempts"], delivered["last_error"]) == ("delivered", 3, None)
    assert (await look(account, webhook))["failing_since"] is None


async def test_retries_back_off_until_the_delivery_fails(
    server: RunningServer, account: Account, receiver: Receiver
) -> None:
    webhook = await hook(account, receiver.url, kinds=["file.stored"])
    receiver.answer = lambda _: 500
    await upload_file(account, b"given up", "a")
    for usual_s in (5, 30, 120, 600, 1800, 3600, 3600, 3600):
        began_at = dt.datetime.now(dt.UTC)
        await run(server)
        ended_at = dt.datetime.now(dt.UTC)
        async with server.db.read() as tx:
            pending = text("SELECT next_attempt_at FROM deliveries WHERE state = 'pending'")
            next_at = (await tx.execute(pending)).scalar_one()
        assert next_at - began_at > dt.timedelta(seconds=usual_s * 0.8)
        assert next_at - ended_at < dt.timedelta(seconds=usual_s * 1.2)
        await later(server.db)
    async with server.db.begin() as tx:
        await tx.execute(text("UPDATE deliveries SET created_at = now() - interval '1 day'"))
    await run(server)
    (failed,) = await log_of(account, webhook)
    assert (failed["state"], failed["attempts"], failed["next_attempt_at"]) == ("failed", 9, None)
    await later(server.db)
    await run(server)
    assert len(receiver.calls) == 9


async def test_failing_message_does_not_block_later_ones(
    server: RunningServer, account: Account, receiver: Receiver
) -> None:
    await hook(account, receiver.url, kinds=["file.stored"])
    files = [await upload_file(account, str(number).encode(), str(number)) for number in range(25)]
    receiver.answer = lambda call: 400 if call.message["file_id"] == files[3]["id"] else 200
    await run(server)
    sent_ids = [message["file_id"] for message in receiver.messages]
    assert list(dict.fromkeys(sent_ids)) == [file["id"] for file in files]
    assert set(sent_ids[25:]) <= {files[3]["id"]}  # its retry is due after 4 s at the earliest, which the run may take
    receiver.answer = lambda _: 200
    receiver.calls.clear()
    await later(server.db)
    await run(server)
    assert [message["file_id"] for message in receiver.messages] == [files[3]["id"]]


async def hang(_: asyncio.StreamWriter) -> None:
    await asyncio.Event().wait()


async def drip(writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 Fine\r\n")
    for number in range(10_000):
        writer.write(f"X-{number}: y\r\n".encode())
        await writer.drain()
        await asyncio.sleep(0.05)


async def drip_body(writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 Fine\r\nTransfer-Encoding: chunked\r\n\r\n")
    for _ in range(10_000):
        writer.write(b"1\r\nx\r\n")
        await writer.drain()
        await asyncio.sleep(0.05)


async def close(writer: asyncio.StreamWriter) -> None:
    writer.close()


async def flood(writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 Fine\r\nContent-Length: 1000000000\r\n\r\n")
    sent = 0
    while sent < 100_000_000:
        writer.write(b"x" * 100_000)
        await writer.drain()
        sent += 100_000
    raise AssertionError("the whole body was read")


@pytest.mark.parametrize(
    ("answer", "status", "error"),
    [
        (hang, None, "there was no answer in time"),
        (drip, None, "there was no answer in time"),
        (close, None, "the connection broke"),
        (b"SSH-2.0-OpenSSH\r\n\r\n", None, "the connection broke"),
        (
            b"HTTP/1.1 302 Found\r\nLocation: http://169.254.169.254/\r\nContent-Length: 0\r\n\r\n",
            302,
            "the answer was 302",
        ),
        (b"HTTP/1.1 200 Fine\r\nX: " + b"y" * 300_000, None, "the connection broke"),
        (503, 503, "the answer was 503"),
    ],
    ids=["hang", "drip", "close", "not-http", "redirect", "long-header", "away"],
)
async def test_deliver_to_a_broken_receiver_records_the_failure(
    server: RunningServer, account: Account, receiver: Receiver, answer: Any, status: int | None, error: str
) -> None:
    webhook = await hook(account, receiver.url, kinds=["file.stored"])
    receiver.answer = lambda _: answer
    await upload_file(account, b"misbehave", "a")
    await run(server, timeout_s=2 if answer in (hang, drip) else HOOKS["timeout_s"])
    (pending,) = await log_of(account, webhook)
    assert (pending["state"], pending["last_status"], pending["last_error"]) == ("pending", status, error)
    assert len(receiver.calls) == 1


@pytest.mark.parametrize("answer", [flood, drip_body])
async def test_deliver_with_a_good_status_and_an_endless_body_succeeds(
    server: RunningServer, account: Account, receiver: Receiver, answer: Any
) -> None:
    webhook = await hook(account, receiver.url, kinds=["file.stored"])
    receiver.answer = lambda _: answer
    await upload_file(account, b"endless", "a")
    await run(server, timeout_s=2)
    (delivered,) = await log_of(account, webhook)
    assert (delivered["state"], delivered["last_status"]) == ("delivered", 200)


async def test_webhook_whose_receiver_is_down_is_paused(
    server: RunningServer, account: Account, receiver: Receiver
) -> None:
    """Five pending messages cause one call. Other webhooks are called meanwhile."""
    away, here = await hook(account, receiver.url), await hook(account, receiver.url.replace("hook", "here"))
    await let_fail_for_an_hour(server.db, away)
    receiver.answer = lambda call: 200 if call.path == "/here" else 503
    for number in range(5):
        await make_folder(account, f"/{number}")
    await run(server)
    assert [call.path for call in receiver.calls].count("/hook") == 1
    assert [one["attempts"] for one in await log_of(account, away)] == [1, 0, 0, 0, 0]
    assert {one["state"] for one in await log_of(account, here)} == {"delivered"}
    receiver.answer = lambda _: 200
    receiver.calls.clear()
    await later(server.db)
    await run(server)
    assert [call.path for call in receiver.calls] == ["/hook"] * 5


async def test_ping_of_a_paused_webhook_ends_the_pause(
    server: RunningServer, account: Account, receiver: Receiver
) -> None:
    webhook = await hook(account, receiver.url)
    await let_fail_for_an_hour(server.db, webhook)
    receiver.answer = lambda _: 503
    await make_folder(account, "/a")
    await make_folder(account, "/b")
    await run(server)
    await run(server)
    assert len(receiver.calls) == 1
    receiver.answer = lambda _: 200
    await account.client.post(f"/v1/webhooks/{webhook['id']}/test")
    await run(server)
    assert [message["kind"] for message in receiver.messages] == ["file.created", "file.created", "ping"]
    assert (await look(account, webhook))["failing_since"] is None


async def test_deliver_answered_410_disables_the_webhook(
    server: RunningServer, account: Account, receiver: Receiver
) -> None:
    webhook = await hook(account, receiver.url)
    receiver.answer = lambda _: 410
    await upload_file(account, b"gone", "a")
    await run(server)
    found = await look(account, webhook)
    assert found["disabled_at"]
    assert found["disabled_reason"] == "gone"
    assert [(one["state"], one["attempts"]) for one in await log_of(account, webhook)] == [("failed", 1), ("failed", 0)]
    await make_folder(account, "/more")
    await run(server)
    assert len(receiver.calls) == 1
    receiver.answer = lambda _: 200
    found = await change(account, webhook, enabled=True)
    assert (found["disabled_at"], found["disabled_reason"], found["failing_since"]) == (None, None, None)
    failed = (await log_of(account, webhook))[1]
    again = await account.client.post(f"/v1/webhooks/{webhook['id']}/deliveries/{failed['id']}/redeliver")
    assert (again.status_code, again.json()["state"]) == (202, "pending")
    await make_folder(account, "/and-more")
    await run(server)
    assert receiver.messages[1]["id"] == failed["event_id"]
    assert [message["kind"] for message in receiver.messages[1:]] == ["file.stored", "file.created"]


async def test_webhook_that_fails_for_days_is_disabled(
    server: RunningServer, account: Account, receiver: Receiver
) -> None:
    webhook = await hook(account, receiver.url, kinds=["file.stored"])
    receiver.answer = lambda _: 500
    await upload_file(account, b"days", "a")
    await run(server)
    async with server.db.begin() as tx:
        await tx.execute(text("UPDATE webhooks SET failing_since = now() - interval '71 hours'"))
    await later(server.db)
    await run(server)
    assert (await look(account, webhook))["disabled_at"] is None
    async with server.db.begin() as tx:
        await tx.execute(text("UPDATE webhooks SET failing_since = now() - interval '73 hours'"))
    await later(server.db)
    await run(server)
    assert (await look(account, webhook))["disabled_reason"] == "failing"
    (failed,) = await log_of(account, webhook)
    assert (failed["state"], failed["attempts"]) == ("failed", 3)


async def test_redeliver_of_a_delivered_message_sends_it_again(
    server: RunningServer, account: Account, receiver: Receiver
) -> None:
    webhook = await hook(account, receiver.url, kinds=["file.stored"])
    await upload_file(account, b"twice", "a")
    await run(server)
    (delivery,) = await log_of(account, webhook)
    again = await account.client.post(f"/v1/webhooks/{webhook['id']}/deliveries/{delivery['id']}/redeliver")
    assert again.status_code == 202
    await run(server)
    assert len(receiver.calls) == 2
    assert len({call.message["id"] for call in receiver.calls}) == 1


async def test_ping_after_a_rotation_is_signed_with_the_new_secret(
    server: RunningServer, account: Account, receiver: Receiver
) -> None:
    webhook = await hook(account, receiver.url, kinds=["file.stored"])
    answer = await account.client.post(f"/v1/webhooks/{webhook['id']}/test")
    assert (answer.status_code, answer.json()["kind"], answer.json()["file_id"]) == (202, "ping", None)
    rotated = await account.client.post(f"/v1/webhooks/{webhook['id']}/rotate-secret")
    assert rotated.headers["cache-control"] == "no-store"
    await run(server)
    (call,) = receiver.calls
    assert (call.message["kind"], call.message["file_id"]) == ("ping", None)
    assert call.is_signed_with(rotated.json()["secret"])
    assert not call.is_signed_with(webhook["secret"])


async def test_deliver_skips_deleted_and_disabled_webhooks(
    server: RunningServer, account: Account, receiver: Receiver
) -> None:
    deleted, off = await hook(account, receiver.url), await hook(account, receiver.url)
    await make_folder(account, "/a")
    await relay_all(server)
    assert (await account.client.delete(f"/v1/webhooks/{deleted['id']}")).status_code == 204
    assert (await change(account, off, enabled=False))["disabled_reason"] == "user"
    await run(server)
    assert receiver.calls == []
    (failed,) = await log_of(account, off)
    assert (failed["state"], failed["last_error"]) == ("failed", "the webhook was switched off")


async def test_webhook_with_an_unreadable_secret_is_disabled(
    server: RunningServer, account: Account, receiver: Receiver
) -> None:
    webhook = await hook(account, receiver.url)
    await make_folder(account, "/a")
    async with server.db.begin() as tx:
        await tx.execute(text("UPDATE webhooks SET secret = sha256(secret)"))
    await run(server)
    assert receiver.calls == []
    assert (await look(account, webhook))["disabled_reason"] == "secret"
    secret = (await account.client.post(f"/v1/webhooks/{webhook['id']}/rotate-secret")).json()["secret"]
    await change(account, webhook, enabled=True)
    await account.client.post(f"/v1/webhooks/{webhook['id']}/test")
    await run(server)
    assert receiver.calls[-1].is_signed_with(secret)


async def test_log_of_deliveries_has_pages_and_states(
    server: RunningServer, account: Account, receiver: Receiver
) -> None:
    webhook = await hook(account, receiver.url)
    for number in range(5):
        await make_folder(account, f"/{number}")
    await run(server)
    address, params = f"/v1/webhooks/{webhook['id']}/deliveries", {"limit": "2"}
    seen: list[str] = []
    while True:
        page = (await account.client.get(address, params=params)).raise_for_status().json()
        seen += [one["event_id"] for one in page["items"]]
        if page["next_cursor"] is None:
            break
        params["cursor"] = page["next_cursor"]
    assert seen == [message["id"] for message in receiver.messages][::-1]
    assert await log_of(account, webhook, state="failed") == []
    assert problem(await account.client.get(address, params={"cursor": "x"})) == (422, "invalid-cursor")


# Names


async def test_deliver_resolves_the_name_at_each_call(
    server: RunningServer, account: Account, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """DNS rebinding: a name has an allowed address at the registration and an internal one later."""
    answers = [["127.0.0.1"]]
    asked: list[str] = []

    async def look_up(name: str) -> list[str]:
        asked.append(name)
        return answers[0]

    monkeypatch.setattr(targets, "resolve_name", look_up)
    webhook = await hook(account, receiver.url.replace("127.0.0.1", "hooks.example"), kinds=["file.stored"])
    await let_fail_for_an_hour(server.db, webhook)
    for inside in (["10.0.0.1"], ["127.0.0.1", "169.254.169.254"]):
        answers[0] = inside
        await upload_file(account, str(inside).encode(), str(inside))
        await run(server)
        await later(server.db)
    assert receiver.connections == 0
    assert {one["last_error"] for one in await log_of(account, webhook)} == {"the address was refused: address", None}
    answers[0] = ["127.0.0.1"]
    asked.clear()
    await later(server.db)
    await run(server)
    assert asked == ["hooks.example"] * 2, "once per call"
    assert {call.headers["host"].partition(":")[0] for call in receiver.calls} == {"hooks.example"}
    assert {one["state"] for one in await log_of(account, webhook)} == {"delivered"}


async def test_deliver_uses_no_proxy_of_the_environment(
    server: RunningServer, account: Account, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running_receiver() as proxy:
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
            monkeypatch.setenv(name, proxy.url.removesuffix("/hook"))
        await hook(account, receiver.url)
        await make_folder(account, "/a")
        await run(server)
        assert (len(receiver.calls), proxy.connections) == (1, 0)


def certificate(directory: Path, name: str) -> tuple[ssl.SSLContext, Path]:
    """Return a server's context for this name, and the file of its certificate authority."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = dt.datetime.now(dt.UTC)
    signed = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(hours=1))
        .not_valid_after(now + dt.timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    chain, secret = directory / "chain.pem", directory / "key.pem"
    chain.write_bytes(signed.public_bytes(serialization.Encoding.PEM))
    pem, plain = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    secret.write_bytes(key.private_bytes(serialization.Encoding.PEM, pem, plain))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(chain, secret)
    return context, chain


async def test_deliver_with_a_certificate_for_another_name_fails(
    server: RunningServer, account: Account, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    context, chain = certificate(tmp_path, "hooks.example")
    asked_for: list[str | None] = []
    context.sni_callback = lambda _socket, name, _context: asked_for.append(name)
    trusting = ssl.create_default_context(cafile=str(chain))
    monkeypatch.setattr(delivery_client, "load_trusted_authorities", lambda: trusting)

    async def look_up(_: str) -> list[str]:
        return ["127.0.0.1"]

    monkeypatch.setattr(targets, "resolve_name", look_up)
    async with running_receiver(context) as receiver:
        good = await hook(account, receiver.url.replace("127.0.0.1", "hooks.example"))
        other = await hook(account, receiver.url.replace("127.0.0.1", "other.example"))
        literal = await hook(account, receiver.url)
        await make_folder(account, "/a")
        await run(server)
        (delivered,) = await log_of(account, good)
        assert delivered["state"] == "delivered"
        for webhook in (other, literal):
            (pending,) = await log_of(account, webhook)
            assert pending["state"] == "pending"
            assert pending["last_error"].startswith("the certificate is invalid: ")
        assert len(receiver.calls) == 1
        assert receiver.calls[0].headers["host"].startswith("hooks.example:")
        assert set(asked_for) == {"hooks.example", "other.example", None}


async def test_deliver_with_default_settings_calls_no_internal_address(
    server: RunningServer, account: Account, receiver: Receiver
) -> None:
    webhook = await hook(account, receiver.url)
    await make_folder(account, "/a")
    await run(server, allow_http=False)
    await later(server.db)
    await run(server, allowed_networks=())
    assert receiver.connections == 0
    (pending,) = await log_of(account, webhook)
    assert (pending["attempts"], pending["last_error"]) == (2, "the address was refused: address")


# Several workers


async def test_concurrent_workers_deliver_in_order_and_once(
    server: RunningServer, account: Account, receiver: Receiver
) -> None:
    await hook(account, receiver.url)

    async def slowly(writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(0.002)
        writer.write(b"HTTP/1.1 200 Fine\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        await writer.drain()

    receiver.answer = lambda _: slowly
    for number in range(60):
        await make_folder(account, f"/{number}")
    await relay_all(server)
    settings = server.settings
    await asyncio.gather(*(deliver_messages(Services(server.db, server.store, settings)) for _ in range(4)))
    await run(server)
    async with server.db.read() as tx:
        journal = text("SELECT id FROM events WHERE recipient_id = :id ORDER BY seq")
        events = (await tx.execute(journal, {"id": (await account.me())["id"]})).scalars()
        assert [uuid.UUID(message["id"]) for message in receiver.messages] == list(events)


def test_call_without_a_valid_signature_fails_the_check() -> None:
    """Checks the verifier of these tests."""
    headers = {"webhook-id": "a", "webhook-timestamp": "1", "webhook-signature": "v1,"}
    assert not Call("/", headers, b"{}").is_signed_with("whsec_AAAA")
    assert ipaddress.ip_address("127.0.0.1") in ipaddress.ip_network(HOOKS["allowed_networks"][0])
