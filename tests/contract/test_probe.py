"""The probe classifies stores by their behaviour, and refuses a store that accepts anonymous writes."""

from dataclasses import replace

import pytest

from dropbox_api.storage.object_store import StoreRejected
from dropbox_api.storage.probe import probe_bucket
from dropbox_api.storage.s3 import S3Store
from tests.support.contract import KNOWN_DIFFERENCES, Peer
from tests.support.ministack import Ministack
from tests.support.stack import WEB_ORIGIN, Stack, prepare_bucket


async def test_probe_reports_level_and_behaviours(peer: Peer) -> None:
    found = await probe_bucket(peer.config, origin=WEB_ORIGIN)

    lists_hashes = "part hashes listed" not in KNOWN_DIFFERENCES[peer.name]
    assert found.level == ("A" if lists_hashes else "B")
    assert found.missing == ()
    assert dict(found.behaviours) == {
        "signature_enforced": True,
        "expiry_enforced": True,
        "anonymous_refused": True,
        "length_enforced": True,
        "checksum_enforced": True,
        "checksum_listed": lists_hashes,
        "wrong_etag_refused": True,
        "wrong_part_checksum_refused": True,
        "conditional_put": True,
        "cors_preflight": True,
        "unequal_parts": True,
        "composite_returned": True,
        "range_copy": "hash of a copied part returned" not in KNOWN_DIFFERENCES[peer.name],
    }
    assert found.max_part_number == 9_999
    assert abs(found.clock_skew_s) < 5


async def test_probe_leaves_no_objects_and_uploads(peer: Peer, store: S3Store) -> None:
    await probe_bucket(peer.config)
    assert [found async for found in store.list_objects("probe/")] == []
    assert [upload async for upload in store.list_multiparts("probe/")] == []


async def test_probe_with_an_origin_without_a_cors_rule_reports_it(peer: Peer) -> None:
    found = await probe_bucket(peer.config, origin="https://elsewhere.example")
    assert found.behaviours["cors_preflight"] is False
    assert found.level is not None


async def test_probe_of_a_store_with_anonymous_writes_gives_no_level(stack: Stack) -> None:
    with Ministack(stack.directory / "unsigned", checks_signatures=False) as server:
        found = await probe_bucket(await prepare_bucket(server.s3_config))

    assert found.level is None
    assert found.missing == ("anonymous_refused",)


async def test_probe_of_a_missing_bucket_is_rejected(peer: Peer) -> None:
    with pytest.raises(StoreRejected, match="NoSuchBucket"):
        await probe_bucket(replace(peer.config, bucket="there-is-no-such-bucket"))
