"""Topics and queues of SNS and SQS (ministack and moto), and the job that reads notifications of the store."""

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import text

from dropbox_api.context import Services
from dropbox_api.settings import NotificationSettings, Settings
from dropbox_api.storage.messages import MessagesError, OutgoingMessage, Queue, Topic
from dropbox_api.storage.object_store import StoreUnavailable
from dropbox_api.storage.s3 import S3Config, S3Store
from dropbox_api.workers.consume import consume_notifications
from tests.conftest import Register
from tests.support.bus import CONFIG, Bus, running_bus
from tests.support.ministack import Ministack
from tests.support.moto import Moto
from tests.support.server import SMALLEST_CHUNK, Account, RunningServer, send, start
from tests.support.sharing import make_folder
from tests.support.stack import BUCKET, Stack

NOWHERE = "http://127.0.0.1:9"


@pytest.fixture(scope="module", params=[Ministack, Moto], ids=lambda simulation: simulation.name)
async def bus(request: pytest.FixtureRequest, stack: Stack) -> AsyncIterator[Bus]:
    async with running_bus(request.param(stack.directory / f"messages-{request.param.name}")) as running:
        yield running


def outgoing(number: int, **changes: Any) -> OutgoingMessage:
    message = OutgoingMessage(f"message-{number}", f'{{"number": {number}}}', {"kind": "file.stored"}, "owner")
    return replace(message, **changes)


async def drained(queue: Queue, count: int) -> list[dict[str, Any]]:
    """Receive and delete this many messages; return their SNS envelopes."""
    bodies: list[dict[str, Any]] = []
    async with asyncio.timeout(30):
        while len(bodies) < count:
            received = await queue.receive(1)
            bodies += [json.loads(message.body) for message in received]
            await queue.delete([message.receipt for message in received])
    assert await queue.receive(0) == []
    return bodies


async def test_published_message_arrives_with_its_attributes(bus: Bus) -> None:
    topic_arn, queue_url = await bus.create_topic(), await bus.create_queue()
    await bus.subscribe(topic_arn, queue_url)
    async with Topic.open(bus.config(topic_arn)) as topic, Queue.open(bus.config(queue_url)) as queue:
        await topic.publish([outgoing(number) for number in range(10)])
        await topic.publish([outgoing(10, body="n\u00e4chstes")])
        bodies = await drained(queue, 11)
    expected = {f'{{"number": {number}}}' for number in range(10)} | {"n\u00e4chstes"}
    assert {body["Message"] for body in bodies} == expected
    assert {body["MessageAttributes"]["kind"]["Value"] for body in bodies} == {"file.stored"}


async def test_fifo_topic_keeps_order_and_deduplicates(bus: Bus) -> None:
    topic_arn, queue_url = await bus.create_topic(FifoTopic="true"), await bus.create_queue(FifoQueue="true")
    await bus.subscribe(topic_arn, queue_url)
    async with Topic.open(bus.config(topic_arn)) as topic, Queue.open(bus.config(queue_url)) as queue:
        for _ in range(2):  # the second time is a retry after a lost answer
            await topic.publish([outgoing(number) for number in range(5)])
        bodies = await drained(queue, 5)
    assert [json.loads(body["Message"])["number"] for body in bodies] == list(range(5))


async def test_message_is_received_again_until_it_is_deleted(bus: Bus) -> None:
    hidden, back = await bus.create_queue(VisibilityTimeout="60"), await bus.create_queue(VisibilityTimeout="1")
    for queue_url in (hidden, back):
        await bus.send(queue_url, "again")
    async with Queue.open(bus.config(hidden)) as queue:
        (message,) = await queue.receive()
        assert message.body == "again"
        assert await queue.receive(0) == []
        await queue.delete([message.receipt])
        await queue.delete([])
    assert await bus.count_messages(hidden) == 0
    async with Queue.open(bus.config(back)) as queue:
        assert [[message.body for message in await queue.receive()] for _ in range(2)] == [["again"]] * 2


async def test_failures_of_the_bus_raise_one_error(bus: Bus) -> None:
    arn = "arn:aws:sns:us-east-1:000000000000:unknown"
    async with Topic.open(bus.config(arn)) as topic, Queue.open(bus.config(f"{bus.endpoint_url}/0/unknown")) as queue:
        for failing in (topic.publish([outgoing(1)]), queue.receive(0), queue.delete(["no receipt"])):
            with pytest.raises(MessagesError):
                await failing
    away = replace(CONFIG, name=arn, endpoint_url=NOWHERE)
    async with Topic.open(away) as topic:
        with pytest.raises(MessagesError) as refusal:
            await topic.publish([outgoing(1)])
    assert not refusal.value.refused, "the outcome is unknown"
    assert "secret" not in repr(away)


async def test_partly_accepted_batch_names_the_refused_messages(bus: Bus) -> None:
    topic_arn = await bus.create_topic()
    async with Topic.open(bus.config(topic_arn)) as topic:
        with pytest.raises(MessagesError) as refusal:
            await topic.publish([outgoing(1), outgoing(2, body="x" * 300_000)])
    assert refusal.value.refused.keys() == {"message-2"}


# The job


def consuming(server: RunningServer, bus: Bus, queue_url: str) -> Settings:
    where = {
        "queue_url": queue_url,
        "endpoint_url": bus.endpoint_url,
        "access_key_id": CONFIG.access_key_id,
        "secret_access_key": CONFIG.secret_access_key,
    }
    return server.settings.model_copy(update={"notifications": NotificationSettings.model_validate(where)})


def event(key: str) -> str:
    s3 = {"bucket": {"name": BUCKET}, "object": {"key": key}}
    return json.dumps({"Records": [{"eventName": "ObjectCreated:Put", "s3": s3}]})


async def sent(account: Account, server: RunningServer, name: str, **wanted: Any) -> tuple[str, str]:
    """Send a part of a session; return its id and its storage key."""
    data = bytes(SMALLEST_CHUNK) + name.encode()
    upload = await start(account, data, name, strategy="multipart", chunk_size_bytes=SMALLEST_CHUNK, **wanted)
    await send(account, upload, data, [2])
    async with server.db.read() as tx:
        key = await tx.execute(text("SELECT storage_key FROM uploads WHERE id = :id"), {"id": upload["id"]})
        return upload["id"], key.scalar_one()


async def missing(account: Account, upload_id: str) -> str:
    return str((await account.client.get(f"/v1/uploads/{upload_id}")).raise_for_status().json()["missing"])


async def test_consume_reconciles_the_named_sessions_and_deletes_messages(
    server: RunningServer, account: Account, bus: Bus
) -> None:
    queue_url = await bus.create_queue(VisibilityTimeout="60")
    uploads = [await sent(account, server, f"consumed-{number}") for number in range(3)]
    wrapped = json.dumps({"Type": "Notification", "Message": event(uploads[0][1])})
    for body in (
        wrapped,
        *(event(key) for _, key in uploads),
        event("unknown"),
        "no JSON",
        '{"Event": "s3:TestEvent"}',
    ):
        await bus.send(queue_url, body)
    report = await consume_notifications(Services(server.db, server.store, consuming(server, bus, queue_url)))
    assert (report.found, report.done, report.failed) == (7, 7, 0)
    assert [await missing(account, upload_id) for upload_id, _ in uploads] == ["1"] * 3
    assert await bus.count_messages(queue_url) == 0


async def test_consume_with_a_failing_store_keeps_the_message(
    server: RunningServer, account: Account, bus: Bus, s3_config: S3Config
) -> None:
    queue_url = await bus.create_queue(VisibilityTimeout="60")
    upload_id, key = await sent(account, server, "later")
    await bus.send(queue_url, event(key))
    settings = consuming(server, bus, queue_url)
    async with S3Store.open(replace(s3_config, endpoint_url=NOWHERE)) as away:
        with pytest.raises(StoreUnavailable):
            await away.list_parts(key, "any")
        report = await consume_notifications(Services(server.db, away, settings))
    assert (report.found, report.done, report.failed) == (1, 0, 1)
    assert await bus.count_messages(queue_url) == 1
    assert await missing(account, upload_id) == "1-2"


async def test_consume_of_a_failing_session_does_not_block_others(
    server: RunningServer, register: Register, bus: Bus
) -> None:
    queue_url = await bus.create_queue(VisibilityTimeout="60")
    owner, editor = await register(), await register()
    folder_id = await make_folder(owner, "/shared")
    body = {"user_id": (await editor.me())["id"], "role": "editor"}
    (await owner.client.post(f"/v1/files/{folder_id}/grants", json=body)).raise_for_status()
    _, key = await sent(editor, server, "homeless", destination={"parent_id": folder_id})
    (await owner.client.delete(f"/v1/files/{folder_id}")).raise_for_status()
    await bus.send(queue_url, event(key))
    report = await consume_notifications(Services(server.db, server.store, consuming(server, bus, queue_url)))
    assert (report.found, report.done, report.failed) == (1, 1, 0)


async def test_consume_without_a_queue_does_nothing(server: RunningServer) -> None:
    report = await consume_notifications(server.services)
    assert (report.found, report.done) == (0, 0)
