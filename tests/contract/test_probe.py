"""The probe classifies stores by their behaviour, and refuses a store that accepts anonymous writes."""

from dataclasses import replace

import pytest

from dropbox_api.storage.object_store import StoreRejected
from dropbox_api.storage.probe import REQUIRED, probe_bucket
from dropbox_api.storage.s3 import S3Store
from dropbox_api.storage.space import PROBE_KEY
from tests.support.contract import Peer
from tests.support.ministack import Ministack
from tests.support.stack import WEB_ORIGIN, Stack, prepare_bucket


async def test_probe_reports_level_and_behaviours(peer: Peer) -> None:
    found = await probe_bucket(peer.config, origins=[WEB_ORIGIN])

    signatures, content, hashes = map(peer.has, ("presigned requests checked", "content checked", "part hashes listed"))
    assert dict(found.behaviours) == {
        "signature_enforced": signatures,
        "expiry_enforced": signatures,
        "anonymous_refused": signatures,
        "length_enforced": content,
        "checksum_enforced": content,
        "checksum_listed": hashes,
        "wrong_etag_refused": True,
        "wrong_part_checksum_refused": peer.has("part hashes checked on Complete"),
        "conditional_put": True,
        "cors_preflight": True,
        "unequal_parts": True,
        "composite_returned": peer.has("composite digest returned"),
        "range_copy": peer.has("hash of a copied part returned") or not peer.has("part hashes checked on Complete"),
        "copy_proven": hashes and peer.has("hash of a copied part returned"),
    }
    assert found.missing == tuple(name for name in REQUIRED if not found.behaviours[name])
    assert found.level == (None if found.missing else "A" if hashes else "B")
    assert found.max_part_number == 9_999
    assert abs(found.clock_skew_s) < 5


async def test_probe_leaves_no_objects_and_uploads(peer: Peer, store: S3Store) -> None:
    await probe_bucket(peer.config)
    left = [found.key async for found in store.list_objects("probe/")]
    assert set(left) <= {
        PROBE_KEY
    }  # one object, which other tests make: it is written again to see whether there is room
    assert [upload async for upload in store.list_multiparts("probe/")] == []


async def test_probe_with_an_origin_without_a_cors_rule_reports_it(peer: Peer) -> None:
    found = await probe_bucket(peer.config, origins=[WEB_ORIGIN, "https://elsewhere.example"])
    assert found.behaviours["cors_preflight"] is False
    assert found.blocked_origins == ("https://elsewhere.example",)
    assert (found.level is None) is bool(found.missing)


async def test_probe_of_a_store_with_anonymous_writes_gives_no_level(stack: Stack) -> None:
    with Ministack(stack.directory / "unsigned", checks_signatures=False) as server:
        found = await probe_bucket(await prepare_bucket(server.s3_config))

    assert found.level is None
    assert found.missing == ("anonymous_refused",)


async def test_probe_of_a_missing_bucket_is_rejected(peer: Peer) -> None:
    with pytest.raises(StoreRejected, match="NoSuchBucket"):
        await probe_bucket(replace(peer.config, bucket="there-is-no-such-bucket"))
