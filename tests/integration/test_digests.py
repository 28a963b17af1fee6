"""Digests and preconditions in the headers of uploads through the API."""

import base64
import hashlib
from collections.abc import Callable, Coroutine
from typing import Any

import httpx2
import pytest

from tests.support.server import Account, create_folder, download, problem, upload_file
from tests.support.sharing import make_link, public

pytestmark = pytest.mark.usefixtures("invariants_hold")

OLD, NEW = b"old content", b"new content"
Send = Callable[[httpx2.AsyncClient, str, dict[str, str]], Coroutine[Any, Any, httpx2.Response]]


def encode(algorithm: str, body: bytes) -> str:
    return base64.b64encode(hashlib.new(algorithm, body).digest()).decode()


def announce(body: bytes) -> dict[str, str]:
    sha256 = encode("sha256", body)
    return {
        "Content-Digest": f"sha-256=:{sha256}:",
        "Repr-Digest": f"sha-256=:{sha256}:",
        "Digest": f"SHA-256={sha256}",
        "Content-MD5": encode("md5", body),
    }


BOUNDARY = {"Content-Type": "multipart/form-data; boundary=x"}
FORM = b'--x\r\nContent-Disposition: form-data; name="file"; filename="sent.txt"\r\n\r\nnew content\r\n--x--\r\n'


@pytest.mark.parametrize("header", announce(b""))
async def test_body_with_another_digest_changes_nothing(account: Account, header: str) -> None:
    client = account.client
    folder = await create_folder(account, "/folder")
    file = await upload_file(account, OLD, "a.txt")
    link = await make_link(account, folder["id"], "upload")
    routes: list[tuple[str, str, bytes, dict[str, str]]] = [
        ("PUT", f"/v1/files/{file['id']}/content", NEW, {}),
        ("POST", "/v1/files", FORM, BOUNDARY),
        ("POST", public(link, "/upload"), FORM, BOUNDARY),
        ("POST", f"/s/{link['token']}/upload", FORM, BOUNDARY),
    ]
    me = await account.me()
    for method, path, body, headers in routes:
        wrong = headers | {header: announce(body + b"x")[header]}
        answer = await client.request(method, path, content=body, headers=wrong)
        assert answer.status_code == 422, (path, answer.text)
        if path.startswith("/v1/"):
            assert problem(answer) == (422, "digest-mismatch")
            assert answer.json()["header"] == header
    assert await account.me() == me, "nothing is stored or reserved"
    assert await download(account, file["id"]) == OLD
    for method, path, body, headers in routes:
        right = headers | {header: announce(body)[header]}
        assert (await client.request(method, path, content=body, headers=right)).status_code < 400, path
    assert await download(account, file["id"]) == NEW


async def test_malformed_digest_is_invalid_before_the_body(account: Account) -> None:
    file = await upload_file(account, OLD, "a.txt")
    headers = {"Content-MD5": "not base64"}
    answer = await account.client.put(f"/v1/files/{file['id']}/content", content=NEW, headers=headers)
    assert problem(answer) == (422, "invalid-request")
    assert answer.json()["errors"][0]["pointer"] == "/Content-MD5"


@pytest.mark.parametrize(
    ("header", "status"), [("*", 412), ("{etag}", 412), ('"999", W/{etag}', 412), ('"999"', 200), ("nonsense", 422)]
)
async def test_put_of_content_obeys_if_none_match(account: Account, header: str, status: int) -> None:
    file = await upload_file(account, OLD, "a.txt")
    headers = {"If-None-Match": header.format(etag=file["etag"])}
    answer = await account.client.put(f"/v1/files/{file['id']}/content", content=NEW, headers=headers)
    assert answer.status_code == status, answer.text
    assert await download(account, file["id"]) == (NEW if status == 200 else OLD)


async def test_header_in_several_lines_is_read_as_one_list(account: Account) -> None:
    file = await upload_file(account, OLD, "a.txt")
    right, wrong = f"sha-256=:{encode('sha256', NEW)}:", f"sha-512=:{encode('sha512', OLD)}:"
    lines = {
        "If-None-Match": ('"999"', "*"),
        "If-Match": ('"998"', '"999"'),
        "Content-Digest": (right, wrong),
        "Repr-Digest": (right, wrong),
        "Content-MD5": (encode("md5", NEW), encode("md5", OLD)),
    }
    for name, values in lines.items():
        headers = [(name, value) for value in values]
        answer = await account.client.put(f"/v1/files/{file['id']}/content", content=NEW, headers=headers)
        assert answer.status_code in {412, 422}, name
    assert await download(account, file["id"]) == OLD
    either = [("If-Match", '"999"'), ("If-Match", file["etag"])]
    answer = await account.client.put(f"/v1/files/{file['id']}/content", content=NEW, headers=either)
    assert answer.status_code == 200, answer.text
