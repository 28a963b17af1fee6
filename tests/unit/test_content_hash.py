"""One pass over content: hash and encoding, for blocks of any size."""

import hashlib

from hypothesis import given
from hypothesis import strategies as st

from dropbox_api.core.content_hash import ContentHash

CONTENT = st.one_of(st.binary(max_size=60), st.text(max_size=20).map(lambda text: text.encode(errors="replace")))


def _is_utf8(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True


@given(st.one_of(CONTENT, CONTENT.map(lambda data: data[:-1])), st.integers(1, 9))
def test_content_in_any_blocks_has_its_hash_and_encoding(data: bytes, block_bytes: int) -> None:
    content = ContentHash()
    for at in range(0, len(data), block_bytes):
        content.update(data[at : at + block_bytes])
    assert (content.digest(), content.is_utf8()) == (hashlib.sha256(data).digest(), _is_utf8(data))
