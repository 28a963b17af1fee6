"""Manifests: the chunks of a content, for clients that have a part of it already."""

import hashlib
import random
import uuid
from typing import Any

from dropbox_api.db import Db
from dropbox_api.plumbing import page_cursors
from tests.conftest import Register
from tests.support.server import Account, problem, upload_file
from tests.support.sharing import grant, make_folder, verify

MIB = 1024 * 1024
CONTENT = random.Random(1).randbytes(20 * MIB + 5)


async def read(account: Account, file_id: str, **query: Any) -> dict[str, Any]:
    answer = (await account.client.get(f"/v1/files/{file_id}/manifest", params=query)).raise_for_status()
    manifest: dict[str, Any] = answer.json()
    return manifest


async def test_manifest_lists_the_chunks_of_each_revision_in_pages(register: Register) -> None:
    account = await register()
    file = await upload_file(account, CONTENT, "film")
    newest = (await account.client.put(f"/v1/files/{file['id']}/content", content=b"short")).raise_for_status().json()

    whole = await read(account, file["id"], revision=file["revision_id"])
    assert whole == {
        "revision_id": file["revision_id"],
        "size_bytes": len(CONTENT),
        "fingerprint": hashlib.sha256(CONTENT).hexdigest(),
        "encoding": "identity",
        "chunking": f"fixed:{8 * MIB}",
        "items": [
            {
                "number": number,
                "offset_bytes": offset,
                "size_bytes": len(chunk := CONTENT[offset : offset + 8 * MIB]),
                "sha256": hashlib.sha256(chunk).hexdigest(),
            }
            for number, offset in enumerate(range(0, len(CONTENT), 8 * MIB), 1)
        ],
        "next_cursor": None,
    }
    items, cursor = [], dict[str, str]()
    while True:
        page = await read(account, file["id"], revision=file["revision_id"], limit=1, **cursor)
        items += page["items"]
        if page["next_cursor"] is None:
            break
        cursor = {"cursor": page["next_cursor"]}
        of_another_content = await account.client.get(f"/v1/files/{file['id']}/manifest", params=cursor)
        assert problem(of_another_content) == (422, "invalid-cursor")
    assert items == whole["items"]
    (blob_id,) = page_cursors.decode_key("manifest", cursor["cursor"], uuid.UUID, int)[:1]
    forged = page_cursors.encode_cursor("manifest", blob_id, 2**63 - 1)
    assert (await read(account, file["id"], revision=file["revision_id"], cursor=forged))["items"] == []

    head = await read(account, file["id"])
    assert (head["revision_id"], head["chunking"]) == (newest["revision_id"], "fixed:5")
    assert head["items"] == [
        {"number": 1, "offset_bytes": 0, "size_bytes": 5, "sha256": hashlib.sha256(b"short").hexdigest()}
    ]


async def test_manifest_of_an_empty_file_has_one_empty_chunk(register: Register) -> None:
    account = await register()
    file = await upload_file(account, b"", "empty")
    (chunk,) = (await read(account, file["id"]))["items"]
    assert (chunk["number"], chunk["size_bytes"]) == (1, 0)


async def test_manifest_without_access_is_not_found(register: Register, db: Db) -> None:
    owner, other = await register(), await register()
    await verify(db, other)
    folder = await make_folder(owner, "shared")
    file = await upload_file(owner, b"content", "file", destination={"parent_id": folder, "name": "file"})
    path = f"/v1/files/{file['id']}/manifest"
    assert problem(await other.client.get(path)) == (404, "not-found")
    await grant(owner, folder, other, "viewer")
    assert (await other.client.get(path)).status_code == 200
    assert problem(await owner.client.get(f"/v1/files/{folder}/manifest")) == (409, "not-a-file")
    unknown = {"revision": str(uuid.uuid4())}
    assert problem(await owner.client.get(path, params=unknown)) == (404, "not-found")
    assert problem(await owner.client.get(path, params={"cursor": "x"})) == (422, "invalid-cursor")
