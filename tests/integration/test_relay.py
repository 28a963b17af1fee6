"""The relay: journals of other accounts, deliveries and the bus, in order and complete after killed workers."""

import asyncio
import json
import random
import uuid
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from sqlalchemy import text

from dropbox_api import problems
from dropbox_api.context import Services
from dropbox_api.db import Db, Tx
from dropbox_api.hooks.signatures import create_secret, encrypt_webhook_secret
from dropbox_api.plumbing import failpoints
from dropbox_api.settings import HookSettings, Settings
from dropbox_api.storage import messages
from dropbox_api.storage.s3 import S3Config
from dropbox_api.workers import deliver, outbox, relay, runner
from dropbox_api.workers.deliver import deliver_messages
from dropbox_api.workers.leases import QueueLease
from dropbox_api.workers.publish import publish_changes
from dropbox_api.workers.relay import relay_changes
from tests.support.bus import Bus, running_bus
from tests.support.ministack import Ministack
from tests.support.process import environment, run_job
from tests.support.receiver import running_receiver
from tests.support.server import make_settings, migrated_database


class World:
    """A database with accounts, and with changes to relay."""

    def __init__(self, db: Db, store: Any, settings: Settings) -> None:
        self.db, self.store, self.settings = db, store, settings
        self.expected: dict[uuid.UUID, list[tuple[uuid.UUID, uuid.UUID]]] = defaultdict(list)
        """Expected events of each recipient as (owner, event), in the order of each owner."""
        self._seq: dict[uuid.UUID, int] = defaultdict(int)

    async def person(self) -> uuid.UUID:
        user_id = uuid.uuid4()
        make = text("INSERT INTO users (id, email, quota_bytes, quota_nodes) VALUES (:id, :email, 0, 0)")
        async with self.db.begin() as tx:
            await tx.execute(make, {"id": user_id, "email": f"{user_id}@example.com"})
        return user_id

    async def happen(
        self, owner_id: uuid.UUID, *recipients: uuid.UUID, kind: str = "file.trashed", payload: str = "{}"
    ) -> uuid.UUID:
        event_id = uuid.uuid4()
        self._seq[owner_id] += 1
        values = {
            "id": event_id,
            "owner_id": owner_id,
            "kind": kind,
            "payload": json.dumps({"node_id": str(uuid.uuid4())} | json.loads(payload)),
            "seq": self._seq[owner_id],
            "recipients": list(recipients),
        }
        async with self.db.begin() as tx:
            await tx.execute(
                text("""INSERT INTO outbox (id, aggregatetype, aggregateid, type, payload, seq, recipients) VALUES
                        (:id, 'file', :owner_id, :kind, CAST(:payload AS jsonb), :seq, :recipients)"""),
                values,
            )
        for user_id in recipients:
            self.expected[user_id].append((owner_id, event_id))
        return event_id

    @property
    def services(self) -> Services:
        return Services(self.db, self.store, self.settings)

    async def rows(self, query: str, **values: Any) -> list[Any]:
        async with self.db.read() as tx:
            return list((await tx.execute(text(query), values)).all())

    async def relay(self, **groups: Any) -> Any:
        settings = self.settings.model_copy(update=groups)
        return await relay_changes(Services(self.db, self.store, settings))

    async def relay_all(self) -> None:
        while (await self.relay()).done:
            pass

    async def end_leases(self) -> None:
        async with self.db.begin() as tx:
            await tx.exec_driver_sql("UPDATE relay_leases SET until = now()")

    async def check_journals(self) -> None:
        """Require that each recipient has each event once, without gaps, in the order of each owner."""
        for user_id, expected_events in self.expected.items():
            events = await self.rows("SELECT * FROM events WHERE recipient_id = :id ORDER BY seq", id=user_id)
            assert [event.seq for event in events] == list(range(1, len(expected_events) + 1))
            ((newest,),) = await self.rows("SELECT journal_seq FROM users WHERE id = :id", id=user_id)
            assert newest == len(expected_events)
            for owner_id in {owner_id for owner_id, _ in expected_events}:
                expected = [event_id for of, event_id in expected_events if of == owner_id]
                assert [event.id for event in events if event.owner_id == owner_id] == expected


@pytest.fixture
async def variables() -> dict[str, str]:
    return {}


@pytest.fixture
async def world(postgres_url: str, s3_config: S3Config, variables: dict[str, str]) -> AsyncIterator[World]:
    hooks = {"allow_http": True, "allowed_networks": ["127.0.0.0/8"], "timeout_s": 30}
    async with migrated_database(postgres_url) as url:
        settings = make_settings(url, s3_config, hooks=hooks)
        variables |= environment(
            url, s3_config, HOOKS__ALLOW_HTTP="true", HOOKS__ALLOWED_NETWORKS='["127.0.0.0/8"]', HOOKS__TIMEOUT_S="30"
        )
        async with runner.open_services(settings) as services:
            yield World(services.db, services.store, settings)


async def add_webhook(world: World, user_id: uuid.UUID, url: str) -> uuid.UUID:
    """Make a webhook as the API does; its signature does not matter here."""
    webhook_id = uuid.uuid4()
    sealed = encrypt_webhook_secret(world.settings.auth, webhook_id, create_secret())
    make = text("INSERT INTO webhooks (id, user_id, url, secret, kinds) VALUES (:id, :user_id, :url, :secret, '{}')")
    async with world.db.begin() as tx:
        await tx.execute(make, {"id": webhook_id, "user_id": user_id, "url": url, "secret": sealed})
    return webhook_id


# Journals


async def test_relay_writes_each_event_once_and_wakes_readers(world: World) -> None:
    owner, one, two = [await world.person() for _ in range(3)]
    woken: list[Any] = []
    world.db.on_commit = woken.extend
    for number in range(5):
        await world.happen(owner, one, *([two] if number % 2 else []))
    report = await world.relay()
    assert (report.found, report.done, report.failed) == (5, 5, 0)
    assert sorted(woken) == sorted([one, two])
    await world.check_journals()
    assert await world.rows("SELECT * FROM outbox") == []
    assert await world.rows("SELECT * FROM events WHERE recipient_id = :id", id=owner) == []
    assert (await world.relay()).found == 0


async def test_relayed_event_equals_the_event_of_the_owner(world: World) -> None:
    owner, one = await world.person(), await world.person()
    event_id = await world.happen(owner, one, owner, kind="file.created", payload='{"revision_id": "r"}')
    world.expected.pop(owner)
    await world.relay()
    (event,) = await world.rows("SELECT * FROM events")
    assert (event.id, event.kind, event.owner_id, event.recipient_id) == (event_id, "file.created", owner, one)
    assert event.payload == {"revision_id": "r"}


async def test_relay_to_a_deleted_account_skips_it(world: World) -> None:
    owner, one = await world.person(), await world.person()
    await world.happen(owner, one, uuid.uuid4())
    await world.relay()
    assert [event.recipient_id for event in await world.rows("SELECT * FROM events")] == [one]


async def test_relay_batches_are_bounded_by_recipients(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outbox, "BATCH", 4)
    monkeypatch.setattr(relay, "MAX_COPIES", 6)
    owner, *others = [await world.person() for _ in range(4)]
    for _ in range(9):
        await world.happen(owner, *others)
    await world.happen(owner)
    done = []
    while (report := await world.relay()).done:
        done.append(report.done)
    assert done == [2, 2, 2, 2, 2]
    await world.check_journals()


async def test_concurrent_relays_share_no_owner(world: World) -> None:
    people = [await world.person() for _ in range(6)]
    shuffled = random.Random(5)
    for _ in range(200):
        owner = shuffled.choice(people)
        await world.happen(owner, *shuffled.sample([one for one in people if one != owner], 3))
    await asyncio.gather(*(world.relay_all() for _ in range(3)))
    await world.relay_all()
    await world.check_journals()


async def test_relay_with_killed_workers_loses_and_repeats_nothing(world: World, variables: dict[str, str]) -> None:
    """Three workers relay while changes continue, and are killed one after the other."""
    people = [await world.person() for _ in range(5)]
    shuffled = random.Random(7)
    over = asyncio.Event()

    async def go_on() -> None:
        while not over.is_set():
            owner = shuffled.choice(people)
            await world.happen(owner, *shuffled.sample([one for one in people if one != owner], 2))

    async def relay_meanwhile() -> None:
        while not over.is_set():
            await world.relay()

    going_on = [asyncio.create_task(go_on()), asyncio.create_task(relay_meanwhile())]
    dying = (run_job(variables, "relay", f"workers.relay.after_fan_out=kill@{hit}") for hit in (1, 2, 3))
    codes = await asyncio.gather(*dying)
    over.set()
    await asyncio.gather(*going_on)
    assert -9 in codes
    await world.relay_all()
    await world.check_journals()


# Failing changes


async def poison(world: World, event_id: uuid.UUID) -> None:
    """Let the database refuse one change for every recipient."""
    async with world.db.begin() as tx:
        await tx.exec_driver_sql(
            f"""CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
                IF NEW.id = '{event_id}' THEN RAISE 'this one not'; END IF; RETURN NEW; END $$"""
        )
        await tx.exec_driver_sql("CREATE TRIGGER refuse BEFORE INSERT ON events FOR EACH ROW EXECUTE FUNCTION refuse()")


async def test_relay_of_a_failing_change_parks_it_and_continues(world: World) -> None:
    owner, other_owner, one = [await world.person() for _ in range(3)]
    before = [await world.happen(owner, one) for _ in range(3)]
    bad = await world.happen(owner, one)
    after = [await world.happen(owner, one) for _ in range(3)]
    elsewhere = await world.happen(other_owner, one)
    await poison(world, bad)
    worker = world.settings.worker.model_copy(update={"park_after": 3})
    first = await world.relay(worker=worker)
    assert (first.done, first.failed) == (4, 1)
    (row,) = await world.rows("SELECT * FROM outbox ORDER BY seq LIMIT 1")
    assert (row.id, row.attempts, row.parked_at) == (bad, 1, None)
    assert "this one not" in row.failure
    await world.relay(worker=worker)
    ids = {event.id for event in await world.rows("SELECT id FROM events")}
    assert ids == {*before, elsewhere}, "later changes wait"
    await world.relay(worker=worker)
    events = await world.rows("SELECT * FROM events WHERE owner_id = :id ORDER BY seq", id=owner)
    assert [event.id for event in events] == before + after
    (row,) = await world.rows("SELECT * FROM outbox")
    assert (row.id, row.attempts) == (bad, 3)
    assert row.parked_at
    assert (await world.relay(worker=worker)).found == 0
    # The operator repairs the cause and puts the change back.
    async with world.db.begin() as tx:
        await tx.exec_driver_sql("DROP TRIGGER refuse ON events")
        await tx.exec_driver_sql("UPDATE outbox SET parked_at = NULL")
    assert (await world.relay(worker=worker)).done == 1
    numbers = await world.rows("SELECT seq FROM events WHERE recipient_id = :id ORDER BY seq", id=one)
    assert [row.seq for row in numbers] == list(range(1, 9))


# Killed workers


async def test_delivery_after_a_killed_worker_is_repeated(world: World, variables: dict[str, str]) -> None:
    owner = await world.person()
    async with running_receiver() as receiver:
        await add_webhook(world, owner, receiver.url)
        ids = [str(await world.happen(owner)) for _ in range(6)]
        await world.relay_all()
        assert await run_job(variables, "deliver", "workers.deliver.after_send=kill@3") == -9
        assert [message["id"] for message in receiver.messages] == ids[:3]
        report = await deliver_messages(world.services)
        assert report.found == 0, "the lease of the killed worker holds"
        failpoints.arm("workers.deliver.after_send=raise@2")
        await world.end_leases()
        with pytest.raises(failpoints.FailpointError):
            await deliver_messages(world.services)
        await world.end_leases()
        await deliver_messages(world.services)
        # Messages in flight are sent again, and the order of first attempts stays.
        assert [message["id"] for message in receiver.messages] == [*ids[:3], *ids[2:4], *ids[3:]]
    rows = await world.rows("SELECT state, attempts FROM deliveries")
    assert [tuple(row) for row in rows] == [("delivered", 1)] * 6
    assert await world.rows("SELECT * FROM relay_leases") == []


async def test_delivery_with_a_failing_record_does_not_block_others(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, other = await world.person(), await world.person()
    async with running_receiver() as unlucky, running_receiver() as lucky:
        unlucky_id = await add_webhook(world, one, unlucky.url)
        await add_webhook(world, other, lucky.url)
        await world.happen(one)
        ids = [str(await world.happen(other)) for _ in range(5)]
        await world.relay_all()
        record = deliver._record_attempt

        async def record_or_fail(tx: Tx, settings: HookSettings, lease: QueueLease, *more: Any) -> bool:
            if lease.queue_id == unlucky_id:
                raise problems.Unavailable("The database does not answer")
            return await record(tx, settings, lease, *more)

        monkeypatch.setattr(deliver, "_record_attempt", record_or_fail)
        report = await deliver_messages(world.services)
        assert (report.done, report.failed) == (5, 1)
        assert [message["id"] for message in lucky.messages] == ids
        monkeypatch.undo()
        await world.end_leases()
        assert (await deliver_messages(world.services)).done == 1
        assert len(unlucky.messages) == 2
        assert unlucky.messages[0] == unlucky.messages[1]


# The message bus


@pytest.fixture(scope="module")
async def bus(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Bus]:
    async with running_bus(Ministack(tmp_path_factory.mktemp("bus"))) as running:
        yield running


Subscribed = tuple[dict[str, Any], Callable[[], Awaitable[list[dict[str, Any]]]]]


@pytest.fixture
async def subscribed(bus: Bus) -> AsyncIterator[Subscribed]:
    """A FIFO topic with a subscribed queue: settings, and a function that reads all messages."""
    topic, queue_url = await bus.create_topic(FifoTopic="true"), await bus.create_queue(FifoQueue="true")
    await bus.subscribe(topic, queue_url)
    keys = {"access_key_id": Ministack.access_key_id, "secret_access_key": Ministack.secret_access_key}
    async with messages.Queue.open(bus.config(queue_url)) as queue:

        async def received() -> list[dict[str, Any]]:
            found: list[dict[str, Any]] = []
            while some := await queue.receive(0):
                found += [json.loads(json.loads(one.body)["Message"]) for one in some]
                await queue.delete([one.receipt for one in some])
            return found

        yield {"topic_arn": topic, "endpoint_url": bus.endpoint_url, **keys}, received


def with_topic(settings: Settings, sns: dict[str, Any]) -> Settings:
    return Settings.model_validate(settings.model_dump() | {"sns": sns})


async def test_publish_keeps_the_order(world: World, subscribed: Subscribed) -> None:
    sns, received = subscribed
    world.settings = with_topic(world.settings, sns)
    owners, other = [await world.person() for _ in range(3)], await world.person()
    happened: dict[str, list[str]] = defaultdict(list)
    for number in range(24):
        owner = owners[number % 3]
        content = number % 2 == 0
        event_id = await world.happen(
            owner, other, kind="file.updated", payload='{"revision_id": "r"}' if content else "{}"
        )
        happened[str(owner)] += [str(event_id)] + [str(uuid.uuid5(event_id, "file.stored"))] * content
    await world.relay_all()
    await world.check_journals()
    assert len(await world.rows("SELECT * FROM outbox WHERE fanned_at IS NOT NULL")) == 24
    report = await publish_changes(world.services)
    assert (report.done, report.failed) == (24, 0)
    arrived: dict[str, list[str]] = defaultdict(list)
    for message in await received():
        assert "recipient_id" not in message
        arrived[message["owner_id"]].append(message["id"])
    assert arrived == happened
    assert await world.rows("SELECT * FROM outbox") == []
    assert await world.rows("SELECT * FROM relay_leases") == []
    assert (await publish_changes(world.services)).found == 0


async def test_publish_after_a_killed_worker_is_repeated(
    world: World, variables: dict[str, str], subscribed: Subscribed
) -> None:
    sns, received = subscribed
    variables |= {f"DROPBOX_SNS__{name.upper()}": value for name, value in sns.items()}
    world.settings = with_topic(world.settings, sns)
    owner = await world.person()
    ids = [str(await world.happen(owner)) for _ in range(12)]
    await world.relay_all()
    assert await run_job(variables, "publish", "workers.publish.after_send=kill@2") == -9
    await publish_changes(world.services)
    assert len(await world.rows("SELECT * FROM outbox")) == 7, "the lease of the killed worker holds"
    await world.end_leases()
    await publish_changes(world.services)
    assert await world.rows("SELECT * FROM outbox") == []
    arrived = [message["id"] for message in await received()]
    assert list(dict.fromkeys(arrived)) == ids


class Fake:
    """A topic that refuses the given messages."""

    def __init__(self, refused: dict[str, str], detail: str = "") -> None:
        self.refused, self.detail = refused, detail
        self.published: list[str] = []

    async def publish(self, some: list[messages.OutgoingMessage]) -> None:
        found = {one.id: self.refused[one.id] for one in some if one.id in self.refused}
        if found or self.detail:
            raise messages.MessagesError(self.detail or "some were refused", found)
        self.published += [one.id for one in some]


async def test_publish_to_a_silent_topic_is_retried(world: World, subscribed: Subscribed) -> None:
    sns, received = subscribed
    world.settings = with_topic(world.settings, sns | {"endpoint_url": "http://127.0.0.1:1"})
    owner = await world.person()
    event_id = await world.happen(owner)
    await world.relay_all()
    report = await publish_changes(world.services)
    assert (report.done, report.failed) == (0, 1)
    (row,) = await world.rows("SELECT * FROM outbox")
    assert row.parked_at is None
    assert (await publish_changes(Services(world.db, world.store, with_topic(world.settings, sns)))).done == 1
    assert [message["id"] for message in await received()] == [str(event_id)]


async def test_publish_of_a_refused_message_parks_it(
    world: World, subscribed: Subscribed, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The real topic refuses no message of the server, so a substitute refuses."""
    sns, _ = subscribed
    world.settings = with_topic(world.settings, sns)
    owner = await world.person()
    ids = [str(await world.happen(owner)) for _ in range(8)]
    await world.relay_all()
    fake = Fake({ids[1]: "InvalidParameter: too long"})
    monkeypatch.setattr(messages.Topic, "publish", lambda _, some: fake.publish(some))
    while (await publish_changes(world.services)).done:
        pass
    assert fake.published == [ids[0], *ids[2:]]
    (row,) = await world.rows("SELECT * FROM outbox")
    assert (str(row.id), row.failure) == (ids[1], "InvalidParameter: too long")
    assert row.parked_at


async def test_relay_without_a_topic_keeps_no_rows_for_it(world: World) -> None:
    await world.happen(await world.person())
    await world.relay_all()
    assert await world.rows("SELECT * FROM outbox") == []
    report = await publish_changes(world.services)
    assert (report.found, report.done) == (0, 0)
