"""The probe that tells a full store from one that is down."""

from collections.abc import Iterator

import pytest

from dropbox_api.storage import space
from dropbox_api.storage.object_store import NoSpace, StoreRejected, StoreUnavailable
from dropbox_api.storage.space import SpaceProbe

INTERNAL = StoreUnavailable("500 InternalError", "InternalError")
SILENT = StoreUnavailable("TimeoutError")


class Store:
    """Answers each write with the next of `writes` (None: stored), and reads with `read`."""

    def __init__(self, writes: list[Exception | None], read: Exception | None = None) -> None:
        self.writes: Iterator[Exception | None] = iter(writes)
        self.read_answer = read
        self.probe = SpaceProbe(self.write, self.read)

    async def write(self) -> None:
        if answer := next(self.writes):
            raise answer

    async def read(self) -> None:
        if self.read_answer:
            raise self.read_answer


@pytest.fixture(autouse=True)
def no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(space, "_PAUSE_S", 0)


@pytest.mark.parametrize("writes", [[NoSpace("507 XMinioStorageFull")], [INTERNAL, INTERNAL]])
async def test_space_of_a_store_that_reads_and_does_not_write_is_full(writes: list[Exception | None]) -> None:
    store = Store(writes)
    with pytest.raises(NoSpace):
        await store.probe.require_space()
    with pytest.raises(NoSpace):  # the answer is kept: a further write would raise StopIteration
        await store.probe.require_space()


@pytest.mark.parametrize(
    ("writes", "read"),
    [
        ([None], None),
        ([INTERNAL, None], None),
        ([INTERNAL, INTERNAL], SILENT),
        ([SILENT], None),
        ([StoreRejected("AccessDenied", "")], None),
    ],
)
async def test_space_of_a_store_with_another_fault_is_not_full(
    writes: list[Exception | None], read: Exception | None
) -> None:
    await Store(writes, read).probe.require_space()


async def test_space_made_in_a_full_store_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    store = Store([INTERNAL, INTERNAL, None])
    with pytest.raises(NoSpace):
        await store.probe.require_space()
    monkeypatch.setattr(space, "FULL_FOR_S", 0)
    await store.probe.require_space()
