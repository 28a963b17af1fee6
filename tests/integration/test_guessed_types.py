"""The content type of a file whose client sends none: guessed from the name, by every way into the tree."""

import httpx2
import pytest

from tests.support.server import (
    MULTI,
    Account,
    complete,
    download,
    send,
    start,
    start_body,
    upload_file,
)
from tests.support.sharing import make_folder, make_link, public

pytestmark = pytest.mark.usefixtures("invariants_hold")


async def list_types(account: Account, path: str = "/") -> dict[str, str]:
    listed = (await account.client.get("/v1/files", params={"path": path})).raise_for_status().json()["items"]
    return {item["name"]: item["content_type"] for item in listed if item["kind"] == "file"}


async def test_upload_without_a_type_gets_that_of_its_name(account: Account) -> None:
    await upload_file(account, b"1", "single.JPG")
    multi = await start(account, b"multi", "multi.webp", **MULTI)
    more = {"destination": {"name": "second.tar.gz"}}
    (await account.client.post(f"/v1/uploads/{multi['id']}/destinations", json=more)).raise_for_status()
    await send(account, multi, b"multi")
    (await complete(account, multi["id"])).raise_for_status()
    items = [start_body(b"batch", "batch.docx"), start_body(b"batch", "declared.docx", content_type="a/b")]
    started = (await account.client.post("/v1/uploads/batch", json={"items": items})).raise_for_status().json()["items"]
    ids = list({item["upload"]["id"] for item in started})
    await send(account, started[0]["upload"], b"batch")
    (await account.client.post("/v1/uploads/batch/complete", json={"upload_ids": ids})).raise_for_status()
    stored = await account.client.post("/v1/uploads", json=start_body(b"1", "instant.html"))
    assert stored.raise_for_status().json()["file"]
    assert await list_types(account) == {
        "single.JPG": "image/jpeg",
        "multi.webp": "image/webp",
        "second.tar.gz": "application/gzip",
        "batch.docx": "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
        "declared.docx": "a/b",
        "instant.html": "text/html",
    }


async def test_form_without_a_type_gets_that_of_the_name_of_the_file(account: Account, api: httpx2.AsyncClient) -> None:
    """Clients also send `application/octet-stream` for a type that they do not know."""
    inbox = await make_folder(account, "/inbox")
    link = await make_link(account, inbox, "upload")
    forms = {
        "none.png": "",
        "unknown.md": "Content-Type: Application/Octet-Stream\r\n",
        "declared.md": "Content-Type: text/html\r\n",
    }
    for name, header in forms.items():
        for client, address in ((account.client, "/v1/files"), (api, public(link, "/upload"))):
            part = (
                f'--x\r\nContent-Disposition: form-data; name="file"; filename="{name}"\r\n{header}\r\n{name}\r\n--x--'
            )
            form = {"Content-Type": "multipart/form-data; boundary=x"}
            (await client.post(address, content=part.encode(), headers=form)).raise_for_status()
    fields = {"name": "named.csv", "content_type": "application/octet-stream"}
    (await account.client.post("/v1/files", files={"file": ("x.png", b"4")}, data=fields)).raise_for_status()
    (await account.client.post("/v1/files", files={"file": ("x", b"5")}, data={"name": "n.csv"})).raise_for_status()
    expected = {"none.png": "image/png", "unknown.md": "text/markdown", "declared.md": "text/html"}
    assert await list_types(account, "/inbox") == expected
    assert await list_types(account) == expected | {"named.csv": "application/octet-stream", "n.csv": "text/csv"}


@pytest.mark.parametrize(("name", "is_shown"), [("a.html", False), ("a.svg", False), ("a.xml", False), ("a.png", True)])
async def test_content_of_a_guessed_type_that_can_run_script_is_saved_instead_of_shown(
    account: Account, name: str, *, is_shown: bool
) -> None:
    file = await upload_file(account, b"<script>alert(1)</script>", name)
    assert await download(account, file["id"])
    answer = await account.client.get(f"/v1/files/{file['id']}/content", params={"inline": True})
    async with httpx2.AsyncClient() as store:
        content = await store.get(answer.headers["location"])
    assert content.headers["content-disposition"].startswith("inline" if is_shown else "attachment")
