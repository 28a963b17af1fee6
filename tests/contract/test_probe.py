"""The probe tells stores apart by what they do, and refuses the one that anybody can write to."""

from dataclasses import replace

import pytest

from dropbox_api.storage.object_store import StoreRejected
from dropbox_api.storage.probe import probe_bucket
from dropbox_api.storage.s3 import S3Store
from tests.support.contract import KNOWN_DIFFERENCES, Peer
from tests.support.ministack import Ministack
from tests.support.stack import WEB_ORIGIN, Stack, prepare_bucket


async def test_a_store_is_known_by_what_it_does(peer: Peer) -> None:
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


async def test_the_probe_leaves_nothing_behind(peer: Peer, store: S3Store) -> None:
    await probe_bucket(peer.config)
    assert [found async for found in store.list_objects("probe/")] == []
    assert [upload async for upload in store.list_multiparts("probe/")] == []


async def test_an_origin_without_a_rule_is_noticed(peer: Peer) -> None:
    found = await probe_bucket(peer.config, origin="https://elsewhere.example")
    assert found.behaviours["cors_preflight"] is False
    assert found.level is not None


async def test_a_store_that_takes_anonymous_requests_is_refused(stack: Stack) -> None:
    with Ministack(stack.directory / "credulous", checks_signatures=False) as server:
        found = await probe_bucket(await prepare_bucket(server.s3_config))

    assert found.level is None
    assert found.missing == ("anonymous_refused",)


async def test_a_missing_bucket_is_said_at_once(peer: Peer) -> None:
    with pytest.raises(StoreRejected, match="NoSuchBucket"):
        await probe_bucket(replace(peer.config, bucket="there-is-no-such-bucket"))
