"""The upload pipeline: number of signing calls, repeated parts, and its end after an error."""

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

import pytest

from dropbox_api.core.ranges import encode_ranges
from dropbox_client.client import Client
from dropbox_client.errors import Stopped, TransferFailed
from dropbox_client.models import ListedChunk, SignedPart, Upload
from dropbox_client.transfer.chunks import MIB, Chunks, Hashes, fixed
from dropbox_client.transfer.concurrency import ConcurrencyLimit
from dropbox_client.transfer.parts import PartResult, PartSender
from dropbox_client.transfer.pipeline import SessionGone, UploadPipeline
from dropbox_client.transfer.source import Source

CHUNK = 8 * MIB
NOW = datetime.now(UTC)


class Signer:
    """Signs any part and records the batches."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.uploads = self

    def sign_parts(self, _: str, hashes: Mapping[int, str]) -> list[SignedPart]:
        self.batches.append(list(hashes))
        return [SignedPart(number, "", {}, (number - 1) * CHUNK, CHUNK, NOW) for number in hashes]

    def close(self) -> None: ...


class Sender:
    """Stores every part immediately, except for the scripted `answers` of its first attempts."""

    def __init__(self, answers: Mapping[int, list[PartResult | Exception]] | None = None) -> None:
        self.cancelled = threading.Event()
        self.answers = {number: list(many) for number, many in (answers or {}).items()}
        self.landed: list[int] = []

    def send(self, part: SignedPart, _: str) -> PartResult:
        if self.cancelled.is_set():
            raise Stopped("stopped")
        answer = self.answers.get(part.number) and self.answers[part.number].pop(0)
        if isinstance(answer, Exception):
            raise answer
        if answer:
            return answer
        self.landed.append(part.number)
        return PartResult.STORED


@pytest.fixture
def senders() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(4) as pool:
        yield pool


@pytest.fixture
def source(tmp_path: Path) -> Iterator[Source]:
    path = tmp_path / "file"
    path.touch()
    with Source(path) as opened:
        yield opened


def make_upload(count: int, **more: Any) -> Upload:
    members: dict[str, Any] = dict.fromkeys(("created_at", "last_activity_at", "expires_at"), NOW)
    return Upload(
        id="1", state="active", fingerprint=None, size_bytes=count * CHUNK, strategy="multipart",
        chunk_size_bytes=CHUNK, chunk_count=count, uploaded="", mismatched="", uploaded_bytes=0, destinations=[],
        **members, **more,
    )  # fmt: skip


def make_pipeline(
    count: int,
    signer: Signer,
    sender: Sender,
    senders: ThreadPoolExecutor,
    source: Source,
    *,
    listed: int | None = None,
    on_present: Callable[[int], None] = lambda _: None,
) -> UploadPipeline:
    """Make the pipeline of a fixed plan, whose first `listed` hashes the server has."""
    upload = make_upload(count, missing=f"1-{count}")
    plan = Chunks(count * CHUNK, fixed(CHUNK))
    hashes = Hashes(plan, {number: f"{number:064x}" for number in range(1, count + 1)}, fingerprint="f" * 64)
    return UploadPipeline(
        client=cast("Client", signer), senders=senders, concurrency=ConcurrencyLimit(),
        sender=cast("PartSender", sender), source=source, upload=upload, hashes=hashes,
        listed=count if listed is None else listed, on_present=on_present,
    )  # fmt: skip


def run(pipeline: UploadPipeline, todo: list[int], signed: list[SignedPart] | None = None) -> None:
    pipeline.run(todo, signed or [], also_hash=(), on_fingerprint=lambda _: None)


def test_6400_parts_need_few_signing_calls_with_a_small_first_one(senders: ThreadPoolExecutor, source: Source) -> None:
    signer, sender = Signer(), Sender()
    run(make_pipeline(6400, signer, sender, senders, source), list(range(1, 6401)))
    sizes = [len(batch) for batch in signer.batches]
    assert sizes[:3] == [4, 8, 16]
    assert len(sizes) <= 50
    assert max(sizes) <= 1000
    assert sorted(sender.landed) == list(range(1, 6401))


def test_only_missing_parts_are_signed_and_sent(senders: ThreadPoolExecutor, source: Source) -> None:
    signer, sender = Signer(), Sender()
    run(make_pipeline(10, signer, sender, senders, source), [2, 3, 9])
    assert sorted(sender.landed) == [2, 3, 9]
    assert signer.batches == [[2, 3, 9]]


def test_presigned_parts_need_no_signing_call(senders: ThreadPoolExecutor, source: Source) -> None:
    signer, sender = Signer(), Sender()
    part = SignedPart(1, "", {}, 0, CHUNK, NOW)
    run(make_pipeline(1, signer, sender, senders, source), [1], [part])
    assert sender.landed == [1]
    assert signer.batches == []


def test_expired_url_is_signed_again(senders: ThreadPoolExecutor, source: Source) -> None:
    signer, sender = Signer(), Sender({2: [PartResult.URL_EXPIRED, PartResult.URL_EXPIRED]})
    run(make_pipeline(3, signer, sender, senders, source), [1, 2, 3])
    assert sorted(sender.landed) == [1, 2, 3]
    assert sorted(number for batch in signer.batches for number in batch) == [1, 2, 2, 2, 3]


def test_url_that_stays_refused_fails_the_upload(senders: ThreadPoolExecutor, source: Source) -> None:
    with pytest.raises(TransferFailed, match="part 2"):
        run(make_pipeline(3, Signer(), Sender({2: [PartResult.URL_EXPIRED] * 99}), senders, source), [1, 2, 3])


@pytest.mark.parametrize(
    ("answer", "error"),
    [(PartResult.SESSION_GONE, SessionGone), (TransferFailed("no"), TransferFailed), (KeyError("x"), KeyError)],
)
def test_error_stops_all_senders(
    answer: PartResult | Exception, error: type[Exception], senders: ThreadPoolExecutor, source: Source
) -> None:
    sender = Sender({5: [answer]})
    started = make_pipeline(2000, Signer(), sender, senders, source)
    with pytest.raises(error):
        run(started, list(range(1, 2001)))
    assert sender.cancelled.is_set()
    assert all(future.done() for future in tuple(started._futures))
    assert len(sender.landed) < 2000


@pytest.mark.timeout(20)  # a failure would block forever
def test_ctrl_c_during_bookkeeping_ends_the_pipeline(
    senders: ThreadPoolExecutor, source: Source, monkeypatch: pytest.MonkeyPatch
) -> None:
    started = make_pipeline(10, Signer(), Sender(), senders, source)

    def note(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(started, "_record", note)
    with pytest.raises(KeyboardInterrupt):
        run(started, list(range(1, 11)))


class ListingSigner(Signer):
    """A server that lacks some of the chunks, and makes the others from stored bytes."""

    def __init__(self, lacking: set[int]) -> None:
        super().__init__()
        self.lacking = lacking
        self.pages: list[range] = []

    def add_chunks(self, _: str, first: int, chunks: Sequence[ListedChunk]) -> Upload:
        page = range(first, first + len(chunks))
        self.pages.append(page)
        assert [chunk.sha256 for chunk in chunks] == [f"{number:064x}" for number in page]
        known = range(1, page[-1] + 1)
        return make_upload(
            6400,
            missing=encode_ranges(number for number in known if number in self.lacking),
            reusing=encode_ranges(number for number in known if number not in self.lacking),
        )


def test_chunks_are_listed_in_few_pages_and_only_those_sent_that_the_server_lacks(
    senders: ThreadPoolExecutor, source: Source
) -> None:
    signer, sender, present = ListingSigner({2, 3000, 6400}), Sender(), list[int]()
    pipeline = make_pipeline(6400, signer, sender, senders, source, listed=1, on_present=present.append)
    run(pipeline, [])
    assert [number for page in signer.pages for number in page] == list(range(2, 6401))
    assert len(signer.pages) <= 10
    assert sorted(sender.landed) == [2, 3000, 6400]
    assert pipeline.left == set(range(2, 6401)) - signer.lacking
    assert sum(present) == len(pipeline.left) * CHUNK


def test_chunks_that_are_sent_after_all_are_not_left_to_the_server(senders: ThreadPoolExecutor, source: Source) -> None:
    sender = Sender()
    pipeline = make_pipeline(3, Signer(), sender, senders, source)
    pipeline.left = {2, 3}
    run(pipeline, [3])
    assert (sender.landed, pipeline.left) == ([3], {2})
