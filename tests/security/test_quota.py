"""Concurrent requests never exceed the quota together."""

import asyncio
from collections import Counter

import pytest
from sqlalchemy import text

from dropbox_api.db import Db
from dropbox_api.settings import MIB
from tests.support.server import Account, RunningServer, assert_invariants, start_body


@pytest.mark.parametrize("way", ["start", "batch", "form"])
async def test_hundred_concurrent_starts_with_room_for_one_admit_one(
    account: Account, db: Db, server: RunningServer, way: str
) -> None:
    size_bytes = 1000 if way == "form" else MIB
    # A form reserves its whole body, and keeps what its file needs.
    room = {"email": account.email, "room": size_bytes + 400 if way == "form" else 2 * size_bytes - 1}
    async with db.begin() as tx:
        await tx.execute(text("UPDATE users SET quota_bytes = :room WHERE email = :email"), room)

    async def attempt(number: int) -> int:
        data = b"%09d" % number
        if way == "form":
            files = {"file": (f"{number}", data.ljust(size_bytes))}
            return (await account.client.post("/v1/files", files=files)).status_code
        body = start_body(data, f"{number}") | {"size_bytes": size_bytes}
        if way == "start":
            return (await account.client.post("/v1/uploads", json=body)).status_code
        answer = await account.client.post("/v1/uploads/batch", json={"items": [body]})
        problem = answer.json()["items"][0]["problem"]
        return problem["status"] if problem else 201

    answers = Counter(await asyncio.gather(*map(attempt, range(100))))
    assert answers == {201: 1, 413: 99}
    assert (await account.me())["reserved_bytes"] == (0 if way == "form" else size_bytes)
    await assert_invariants(db, server.store)
