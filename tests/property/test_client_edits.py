"""What an upload of an edited file sends and what it leaves to the server, for any edits."""

import hashlib
import random

from hypothesis import given, settings
from hypothesis import strategies as st

from dropbox_client.transfer.cdc import MAX_BYTES, MIN_BYTES
from dropbox_client.transfer.chunks import CDC1, MIB, Chunks, Hashes
from dropbox_client.transfer.source import BytesSource, hash_file

OLD = random.Random(1).randbytes(40 * MIB)
EDIT = st.tuples(st.integers(0, len(OLD)), st.sampled_from([0, 1, 70_000, 6 * MIB]), st.sampled_from([0, 1, 3 * MIB]))


def cut(content: bytes) -> Hashes:
    hashes = Hashes(Chunks(len(content), CDC1))
    hashes.fingerprint = hash_file(BytesSource(content), hashes.plan, hashes.chunks.__setitem__)
    return hashes


BEFORE = cut(OLD)
STORED = {sha256: number for number, sha256 in BEFORE.chunks.items()}


@settings(max_examples=12, deadline=None)
@given(st.lists(EDIT, min_size=1, max_size=4))
def test_sent_and_reused_chunks_cover_every_byte_of_an_edited_file_once(edits: list[tuple[int, int, int]]) -> None:
    new = OLD
    for at, removed, inserted in edits:
        new = new[:at] + random.Random(at).randbytes(inserted) + new[at + removed :]
    after = cut(new)
    plan, end = after.plan, 0
    digest = hashlib.sha256()
    for number in range(1, plan.count + 1):
        assert plan.offset(number) == end
        assert MIN_BYTES <= plan.bytes_of(number) <= MAX_BYTES or number == plan.count
        end = plan.end(number)
        same = STORED.get(after.chunks[number])
        if same:  # the server makes this part from the stored bytes
            assert BEFORE.plan.bytes_of(same) == plan.bytes_of(number)
            digest.update(OLD[BEFORE.plan.offset(same) : BEFORE.plan.end(same)])
        else:
            digest.update(new[plan.offset(number) : end])
    assert end == len(new)
    assert digest.hexdigest() == hashlib.sha256(new).hexdigest() == after.fingerprint
