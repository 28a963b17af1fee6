"""A presigned URL accepts only the request that it was signed for (security: threats 3 and 5)."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from urllib.parse import unquote

import pytest

from dropbox_api.storage.object_store import ObjectNotFound, PartToSign, ResponseHeaders, SignedRequest
from dropbox_api.storage.s3 import S3Store
from tests.support.contract import Answer, Client, Peer, sha256, upload_parts
from tests.support.stack import WEB_ORIGIN

BODY = b"the bytes that were registered"


@dataclass(frozen=True)
class Attempt:
    client: Client
    signed: SignedRequest
    expired: SignedRequest
    anonymous_url: str


def _altered(url: str, old: str, new: str) -> str:
    assert old in url
    return url.replace(old, new)


def _other_signature(url: str) -> str:
    return url[:-1] + ("0" if url[-1] != "0" else "1")


FORBIDDEN: dict[str, Callable[[Attempt], Awaitable[Answer]]] = {
    "other bytes": lambda a: a.client.send(a.signed, BODY[::-1]),
    "one byte more": lambda a: a.client.send(a.signed, BODY + b"x"),
    "one byte less": lambda a: a.client.send(a.signed, BODY[:-1]),
    "no bytes": lambda a: a.client.send(a.signed, b""),
    "no checksum header": lambda a: a.client.send(a.signed, BODY, without="x-amz-checksum-sha256"),
    "other checksum header": lambda a: a.client.send(
        replace(a.signed, headers={**a.signed.headers, "x-amz-checksum-sha256": "A" * 43 + "="}), BODY
    ),
    "other key": lambda a: a.client.send(a.signed, BODY, url=_altered(a.signed.url, "?", "-other?")),
    "other lifetime": lambda a: a.client.send(
        a.signed, BODY, url=_altered(a.signed.url, "Expires=600", "Expires=6000")
    ),
    "other signature": lambda a: a.client.send(a.signed, BODY, url=_other_signature(a.signed.url)),
    "extra parameter": lambda a: a.client.send(a.signed, BODY, url=a.signed.url + "&acl="),
    "other method": lambda a: a.client.send(a.signed, method="GET"),
    "delete": lambda a: a.client.send(a.signed, method="DELETE"),
    "expired": lambda a: a.client.send(a.expired, BODY),
    "anonymous": lambda a: a.client.send(a.signed, BODY, url=a.anonymous_url),
}
BEHAVIOUR = dict.fromkeys(["other bytes", "one byte more", "one byte less", "no bytes"], "content checked") | {
    "other upload": "unknown upload is 404"
}
BEHAVIOUR_OF_PUT = BEHAVIOUR | dict.fromkeys(["extra parameter", "other method"], "missing object or ACL refused")
FORBIDDEN_PART = FORBIDDEN | {
    "other part number": lambda a: a.client.send(
        a.signed, BODY, url=_altered(a.signed.url, "partNumber=7", "partNumber=8")
    ),
    "no part number": lambda a: a.client.send(a.signed, BODY, url=_altered(a.signed.url, "partNumber=7&", "")),
    "other upload": lambda a: a.client.send(a.signed, BODY, url=_altered(a.signed.url, "uploadId=", "uploadId=0")),
}


async def test_part_url_accepts_its_bytes_repeatedly(store: S3Store, client: Client, key: str) -> None:
    upload_id = await store.create_multipart(key)
    (signed,) = store.sign_parts(key, upload_id, [PartToSign(7, len(BODY), sha256(BODY))], 600)

    assert (await client.send(signed, BODY)).status == 200
    assert (await client.send(signed, BODY)).status == 200

    (part,) = await store.list_parts(key, upload_id)
    assert (part.number, part.size_bytes) == (7, len(BODY))
    await store.abort_multipart(key, upload_id)


@pytest.mark.parametrize("attempt", FORBIDDEN_PART)
async def test_part_url_refuses_altered_requests(
    peer: Peer, store: S3Store, store_an_hour_ago: S3Store, client: Client, key: str, attempt: str
) -> None:
    upload_id = await store.create_multipart(key)
    rows = [PartToSign(7, len(BODY), sha256(BODY))]
    (signed,) = store.sign_parts(key, upload_id, rows, 600)
    (expired,) = store_an_hour_ago.sign_parts(key, upload_id, rows, 600)
    anonymous_url = signed.url.partition("?")[0] + f"?partNumber=7&uploadId={upload_id}"

    answer = await FORBIDDEN_PART[attempt](Attempt(client, signed, expired, anonymous_url))

    with peer.shows(BEHAVIOUR.get(attempt, "presigned requests checked")):
        assert 400 <= answer.status < 500, answer
        assert await store.list_parts(key, upload_id) == []
    await store.abort_multipart(key, upload_id)


@pytest.mark.parametrize("attempt", FORBIDDEN)
async def test_put_url_refuses_altered_requests(
    peer: Peer, store: S3Store, store_an_hour_ago: S3Store, client: Client, key: str, attempt: str
) -> None:
    signed = store.sign_put(key, len(BODY), sha256(BODY), 600)
    expired = store_an_hour_ago.sign_put(key, len(BODY), sha256(BODY), 600)

    answer = await FORBIDDEN[attempt](Attempt(client, signed, expired, signed.url.partition("?")[0]))

    with peer.shows(BEHAVIOUR_OF_PUT.get(attempt, "presigned requests checked")):
        assert 400 <= answer.status < 500, answer
        assert [found async for found in store.list_objects(key)] == []


async def test_put_url_with_an_unsigned_amz_header_is_refused(
    peer: Peer, store: S3Store, client: Client, key: str
) -> None:
    signed = store.sign_put(key, len(BODY), sha256(BODY), 600)
    answer = await client.send(signed, BODY, extra={"x-amz-acl": "public-read"})
    peer.check("unsigned x-amz headers refused", answer.status == 403)


async def test_part_sent_after_completion_leaves_the_object_unchanged(
    peer: Peer, store: S3Store, client: Client, key: str
) -> None:
    uploaded = await upload_parts(store, client, key, [BODY])
    rows = [PartToSign(1, len(BODY), sha256(BODY)), PartToSign(1, 5, sha256(b"wrong"))]
    same, other = store.sign_parts(key, uploaded.upload_id, rows, 600)
    await store.complete_multipart(key, uploaded.upload_id, uploaded.parts, len(BODY))
    before = await store.head(key)

    for signed, body in ((same, BODY), (other, b"wrong")):
        with peer.shows("unknown upload is 404"):
            assert (await client.send(signed, body)).status == 404

    assert await store.head(key) == before
    assert await _read(store, key) == BODY


async def test_put_url_used_again_stores_the_same_bytes_only(
    peer: Peer, store: S3Store, client: Client, key: str
) -> None:
    signed = store.sign_put(key, len(BODY), sha256(BODY), 600)
    assert (await client.send(signed, BODY)).status == 200

    with peer.shows("content checked"):
        assert (await client.send(signed, BODY[::-1])).status == 400
    assert (await client.send(signed, BODY)).status == 200

    assert await _read(store, key) == BODY


async def test_put_url_of_an_empty_file_stores_it(store: S3Store, client: Client, key: str) -> None:
    signed = store.sign_put(key, 0, sha256(b""), 600)

    assert (await client.send(signed, b"")).status == 200

    assert (await store.head(key)).size_bytes == 0
    assert await _read(store, key) == b""


NAMES = [
    "report.pdf",
    "naïve café.txt",
    "日本語のファイル.bin",
    'quote " backslash \\ percent %41 semicolon ;.txt',
    "line\r\nX-Injected: yes\r\n.txt",
    "emoji 🎉 'single' (round).txt",
    "a+b&c=d#e?f.txt",
]


@pytest.mark.parametrize("filename", NAMES)
@pytest.mark.parametrize("inline", [False, True])
async def test_download_url_gives_the_name_and_type(
    store: S3Store, client: Client, key: str, filename: str, inline: bool
) -> None:
    await store.put(key, BODY)
    response = ResponseHeaders(filename, "text/plain; charset=utf-8", inline)
    signed = store.sign_get(key, response, method="GET", ttl_s=300)

    answer = await client.send(signed, method="GET")

    assert (answer.status, answer.body) == (200, BODY)
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"
    disposition = answer.headers["content-disposition"]
    assert disposition.partition(";")[0] == ("inline" if inline else "attachment")
    assert unquote(disposition.rpartition("filename*=UTF-8''")[2]) == filename
    assert "x-injected" not in {name.lower() for name in answer.headers}


async def test_download_url_honours_range_and_head(store: S3Store, client: Client, key: str) -> None:
    await store.put(key, BODY)
    response = ResponseHeaders("x", "text/plain", inline=False)
    get = store.sign_get(key, response, method="GET", ttl_s=300)
    head = store.sign_get(key, response, method="HEAD", ttl_s=300)

    part = await client.send(get, method="GET", extra={"range": "bytes=4-8"})
    assert (part.status, part.body) == (206, BODY[4:9])
    assert part.headers["content-range"] == f"bytes 4-8/{len(BODY)}"
    whole = await client.send(head, method="HEAD")
    assert (whole.status, whole.headers["content-length"]) == (200, str(len(BODY)))


@pytest.mark.parametrize(
    ("old", "new"), [("attachment", "inline"), ("text%2Fplain", "text%2Fhtml"), ("Expires=300", "Expires=3000")]
)
async def test_altered_download_url_is_refused(
    peer: Peer, store: S3Store, client: Client, key: str, old: str, new: str
) -> None:
    await store.put(key, BODY)
    signed = store.sign_get(key, ResponseHeaders("x", "text/plain", inline=False), method="GET", ttl_s=300)

    answer = await client.send(signed, method="GET", url=_altered(signed.url, old, new))

    with peer.shows("presigned requests checked"):
        assert answer.status == 403
        assert BODY not in answer.body
        assert (await client.send(signed, method="DELETE")).status == 403
        assert (await client.send(signed, BODY, method="PUT")).status == 403
    assert await _read(store, key) == BODY


async def test_download_url_of_a_missing_object_is_404(peer: Peer, store: S3Store, client: Client, key: str) -> None:
    signed = store.sign_get(key, ResponseHeaders("x", "text/plain", inline=False), method="GET", ttl_s=300)
    with peer.shows("missing download is 404"):
        assert (await client.send(signed, method="GET")).status == 404
    with pytest.raises(ObjectNotFound):
        await store.head(key)


async def test_cors_allows_the_configured_origin_only(peer: Peer, store: S3Store, client: Client, key: str) -> None:
    signed = store.sign_put(key, len(BODY), sha256(BODY), 600)
    preflight = {"access-control-request-method": "PUT", "access-control-request-headers": "x-amz-checksum-sha256"}
    bare = replace(signed, headers={})

    allowed = await client.send(bare, method="OPTIONS", extra={"origin": WEB_ORIGIN, **preflight})
    assert allowed.status in {200, 204}
    assert allowed.headers["access-control-allow-origin"] == WEB_ORIGIN
    refused = await client.send(bare, method="OPTIONS", extra={"origin": "https://evil.example", **preflight})
    with peer.shows("refused preflight without CORS headers"):
        assert "access-control-allow-origin" not in refused.headers
    stored = await client.send(signed, BODY, extra={"origin": WEB_ORIGIN})
    exposed = {name.strip().lower() for name in stored.headers["access-control-expose-headers"].split(",")}
    assert {"etag", "x-amz-checksum-sha256", "content-range"} <= exposed


async def _read(store: S3Store, key: str) -> bytes:
    return b"".join([block async for block in store.read(key)])
