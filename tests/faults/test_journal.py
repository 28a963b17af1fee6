"""The API and the relay are killed at random during reads and writes: no event is missed, repeated or reordered."""

import asyncio
import os
import random
from typing import Any

from dropbox_api.storage.s3 import S3Config
from tests.support.process import environment, run_job
from tests.support.restarts import RestartingApi
from tests.support.server import Account, migrated_database, register_account

LONG = os.environ.get("FAULTS") == "long"
RELAYS, WRITERS, CHANGES, READERS = (10, 64, 12, 10) if LONG else (2, 8, 8, 2)
REQUESTS_UNTIL_KILL = (20, 200) if LONG else (10, 40)
REMOVALS = {"file.trashed", "file.deleted"}


async def follow(api: RestartingApi, who: Account, cursor: str, last: asyncio.Event) -> list[dict[str, Any]]:
    """Read from a cursor until a page that was read after `last` was set is the last one."""
    seen: list[dict[str, Any]] = []
    while True:
        is_over = last.is_set()
        query = {"cursor": cursor, "wait_s": 0 if is_over else 0.5, "limit": api.random.choice([1, 7, 500])}
        page = (await who.client.request("GET", "/v1/events", params=query)).raise_for_status().json()
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
        api = RestartingApi(variables, seed, requests=REQUESTS_UNTIL_KILL)
        async with api.running():
            owner, guest = [api.sign_in(await register_account(api.url)) for _ in range(2)]
            async with owner.client, guest.client:
                guest_id = (await guest.me())["id"]
                made = await owner.client.request("POST", "/v1/folders", json={"path": "/shared"})
                shared_id = made.raise_for_status().json()["id"]
                grant = {"user_id": guest_id, "role": "editor"}
                await owner.client.request("POST", f"/v1/files/{shared_id}/grants", json=grant)
                assert await run_job(variables, "relay") == 0
                people = (owner, guest)
                starts = [(await who.client.request("GET", "/v1/events/cursor")).json()["cursor"] for who in people]

                async def write(number: int) -> None:
                    writer = people[number % 2]
                    for step in range(CHANGES):
                        folder = {"name": f"{number}-{step}", "parent_id": shared_id}
                        made = await writer.client.request("POST", "/v1/folders", json=folder)
                        assert made.status_code == 201
                        if step % 3 == 2:
                            gone = await writer.client.request("DELETE", f"/v1/files/{made.json()['id']}")
                            assert gone.status_code in {
                                204,
                                404,
                            }  # 404: an earlier attempt deleted it and its answer was lost

                async def relay() -> None:
                    for _ in range(RELAYS):
                        where = f"workers.relay.after_fan_out=kill@{api.random.randint(1, 2)}"
                        await run_job(variables, "relay", where)  # it may find no change to relay

                last = asyncio.Event()
                following = [
                    asyncio.create_task(follow(api, people[number % 2], starts[number % 2], last))
                    for number in range(READERS)
                ]
                api.killing.set()
                relaying = asyncio.create_task(relay())
                await asyncio.gather(*map(write, range(WRITERS)))
                await relaying
                api.killing.clear()
                assert api.kills >= 1
                await write(WRITERS)
                assert await run_job(variables, "relay", "workers.relay.after_fan_out=kill@1") == -9
                assert await run_job(variables, "relay") == 0
                last.set()
                heard = await asyncio.gather(*following)
                query = {"parent_id": shared_id, "limit": 1000}
                listed = (
                    (await owner.client.request("GET", "/v1/files", params=query)).raise_for_status().json()["items"]
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
