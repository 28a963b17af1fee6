"""Slots for transfers through the server."""

import asyncio
import uuid

import pytest

from dropbox_api import problems
from dropbox_api.plumbing import transfer_slots


async def test_slots_of_one_user_are_limited_and_leave_some_to_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transfer_slots, "WAIT_S", 0.01)
    slots, greedy, modest = transfer_slots.TransferSlots(8), uuid.uuid4(), uuid.uuid4()
    async with slots.hold(greedy), slots.hold(greedy):
        with pytest.raises(problems.Unavailable):
            async with slots.hold(greedy):
                pass
        async with slots.hold(modest):
            pass
    async with slots.hold(greedy):
        pass


async def test_waiting_transfer_gets_the_next_free_slot() -> None:
    slots, users = transfer_slots.TransferSlots(1), [uuid.uuid4() for _ in range(5)]
    inside: list[uuid.UUID] = []
    peak = 0

    async def transfer(user_id: uuid.UUID) -> None:
        nonlocal peak
        async with slots.hold(user_id):
            inside.append(user_id)
            peak = max(peak, len(inside))
            await asyncio.sleep(0)
            inside.remove(user_id)

    await asyncio.gather(*map(transfer, users))
    assert peak == 1


async def test_slot_is_free_again_after_an_error() -> None:
    slots, user = transfer_slots.TransferSlots(1), uuid.uuid4()
    with pytest.raises(ZeroDivisionError):
        async with slots.hold(user):
            raise ZeroDivisionError
    async with slots.hold(user):
        pass
