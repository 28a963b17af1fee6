"""Places for transfers that pass the server."""

import asyncio
import uuid

import pytest

from dropbox_api import problems
from dropbox_api.plumbing import gates


async def test_one_user_leaves_places_to_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gates, "WAIT_S", 0.01)
    gate, greedy, modest = gates.Gate(8), uuid.uuid4(), uuid.uuid4()
    async with gate.entered(greedy), gate.entered(greedy):
        with pytest.raises(problems.Unavailable):
            async with gate.entered(greedy):
                pass
        async with gate.entered(modest):
            pass
    async with gate.entered(greedy):
        pass


async def test_who_waits_gets_the_place_that_becomes_free() -> None:
    gate, users = gates.Gate(1), [uuid.uuid4() for _ in range(5)]
    inside: list[uuid.UUID] = []
    peak = 0

    async def transfer(user_id: uuid.UUID) -> None:
        nonlocal peak
        async with gate.entered(user_id):
            inside.append(user_id)
            peak = max(peak, len(inside))
            await asyncio.sleep(0)
            inside.remove(user_id)

    await asyncio.gather(*map(transfer, users))
    assert peak == 1


async def test_a_place_is_given_back_whatever_happens() -> None:
    gate, user = gates.Gate(1), uuid.uuid4()
    with pytest.raises(ZeroDivisionError):
        async with gate.entered(user):
            raise ZeroDivisionError
    async with gate.entered(user):
        pass
