"""The API and the relay are killed at random during reads and writes: no event is missed, repeated or reordered."""

import asyncio
import os
import random
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx2

from dropbox_api.storage.s3 import S3Config
from tests.support.process import environment, run_job, running_process
from tests.support.server import NO_TLS, Account, migrated_database, register_account

LONG = os.environ.get("FAULTS") == "long"
KILLS, WRITERS, CHANGES, READERS = (10, 64, 12, 10) if LONG else (2, 8, 8, 2)
REMOVALS = {"file.trashed", "file.deleted"}


class Service:
    """An API that restarts at another address after each kill, and a client that repeats its requests."""

    def __init__(self, variables: dict[str, str], seed: int) -> None:
        self.variables = variables
        self.chance = random.Random(seed)
        self.url = ""
        self.is_up = asyncio.Event()
        self.client = httpx2.AsyncClient(timeout=60, verify=NO_TLS)

    async def run(self, begin_killing: asyncio.Event) -> None:
        for n in range(KILLS + 1):
            async with running_process(self.variables) as api:
                self.url = api.url
                self.is_up.set()
                await begin_killing.wait()
                if n == KILLS:
                    await asyncio.Event().wait()
                await asyncio.sleep(self.chance.uniform(0.1, 0.6))
                self.is_up.clear()
                api.process.kill()
                await api.wait_for_exit()

    async def call(self, who: Account, method: str, path: str, **more: Any) -> httpx2.Response:
        """Send until there is an answer other than 503. A POST has an idempotency key, so that it creates once."""
        more["headers"] = {"Authorization": who.client.headers["Authorization"]}
        if method == "POST":
            more["headers"]["Idempotency-Key"] = str(uuid.uuid4())
        while True:
            await self.is_up.wait()
            try:
                answer = await self.client.request(method, f"{self.url}{path}", **more)
            except httpx2.TransportError:
                await asyncio.sleep(0.02)
                continue
            if answer.status_code != 503:
                return answer


@asynccontextmanager
async def running(service: Service, begin_killing: asyncio.Event) -> AsyncIterator[None]:
    task = asyncio.create_task(service.run(begin_killing))
    try:
        await asyncio.wait_for(service.is_up.wait(), 60)
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await service.client.aclose()


async def follow(service: Service, who: Account, cursor: str, last: asyncio.Event) -> list[dict[str, Any]]:
    """Read from a cursor until a page that was read after `last` was set is the last one."""
    seen: list[dict[str, Any]] = []
    while True:
        is_over = last.is_set()
        query = {"cursor": cursor, "wait_s": 0 if is_over else 0.5, "limit": service.chance.choice([1, 7, 500])}
        page = (await service.call(who, "GET", "/v1/events", params=query)).raise_for_status().json()
        seen += page["events"]
        cursor = page["cursor"]
        if is_over and not page["has_more"]:
            return seen


async def test_journal_with_killed_api_and_relay_is_read_complete_and_in_order(
    postgres_url: str, s3_config: S3Config
) -> None:
    seed = random.randrange(10**6)
    print(f"seed {seed}")
    async with migrated_database(postgres_url) as url:
        variables = environment(url, s3_config)
        service, begin_killing = Service(variables, seed), asyncio.Event()
        async with running(service, begin_killing):
            owner, guest = await register_account(service.url), await register_account(service.url)
            async with owner.client, guest.client:
                guest_id = (await guest.me())["id"]
                made = await service.call(owner, "POST", "/v1/folders", json={"path": "/shared"})
                shared_id = made.raise_for_status().json()["id"]
                grant = {"user_id": guest_id, "role": "editor"}
                await service.call(owner, "POST", f"/v1/files/{shared_id}/grants", json=grant)
                assert await run_job(variables, "relay") == 0
                people = (owner, guest)
                starts = [(await service.call(who, "GET", "/v1/events/cursor")).json()["cursor"] for who in people]

                async def write(number: int) -> None:
                    writer = people[number % 2]
                    for step in range(CHANGES):
                        folder = {"name": f"{number}-{step}", "parent_id": shared_id}
                        made = await service.call(writer, "POST", "/v1/folders", json=folder)
                        assert made.status_code == 201
                        if step % 3 == 2:
                            gone = await service.call(writer, "DELETE", f"/v1/files/{made.json()['id']}")
                            assert gone.status_code in {
                                204,
                                404,
                            }  # 404: an earlier attempt deleted it and its answer was lost

                async def relay() -> None:
                    for _ in range(KILLS):
                        where = f"workers.relay.after_fan_out=kill@{service.chance.randint(1, 2)}"
                        await run_job(variables, "relay", where)  # it may find no change to relay

                last = asyncio.Event()
                following = [
                    asyncio.create_task(follow(service, people[number % 2], starts[number % 2], last))
                    for number in range(READERS)
                ]
                begin_killing.set()
                relaying = asyncio.create_task(relay())
                await asyncio.gather(*map(write, range(WRITERS)))
                await relaying
                await write(WRITERS)
                assert await run_job(variables, "relay", "workers.relay.after_fan_out=kill@1") == -9
                assert await run_job(variables, "relay") == 0
                last.set()
                heard = await asyncio.gather(*following)
                query = {"parent_id": shared_id, "limit": 1000}
                listed = (
                    (await service.call(owner, "GET", "/v1/files", params=query)).raise_for_status().json()["items"]
                )
                assert len(listed) == (WRITERS + 1) * len([step for step in range(CHANGES) if step % 3 != 2])
                for events in heard:
                    there = {event["file_id"] for event in events if event["kind"] == "file.created"}
                    there -= {event["file_id"] for event in events if event["kind"] in REMOVALS}
                    assert there == {item["id"] for item in listed}
                ids = [[event["id"] for event in events] for events in heard]
                owners = ids[0]
                assert len(set(owners)) == len(owners) == (WRITERS + 1) * (CHANGES + CHANGES // 3)
                assert all(other == owners for other in ids[::2])
                # The order is the same for all. Guests get only the removal of a file that the relay found gone.
                gone = {event["file_id"] for event in heard[0] if event["kind"] in REMOVALS}
                untold = {
                    event["id"] for event in heard[0] if event["kind"] == "file.created" and event["file_id"] in gone
                }
                for guests in ids[1::2]:
                    assert len(set(guests)) == len(guests)
                    assert set(owners) - set(guests) <= untold
                    assert guests == [event_id for event_id in owners if event_id in set(guests)]
