"""Content that a browser shows: which types, in which charset, and embedded by pages of other origins."""

from collections.abc import AsyncIterator
from typing import Any

import httpx2
import pytest

from dropbox_api.context import Services
from dropbox_api.storage.s3 import S3Config
from dropbox_api.workers.scrub import scrub_blobs
from dropbox_api.workers.verify import verify_next_blob
from tests.support.server import (
    MULTI,
    NO_TLS,
    Account,
    RunningServer,
    problem,
    run_until_idle,
    separate_server,
    upload_file,
)
from tests.support.sharing import make_folder, make_link, public

UTF_8, LATIN_1 = "Grüße\n".encode(), "Grüße\n".encode("latin-1")
REFUSED = (403, "link-not-for")


@pytest.fixture(scope="module")
async def server(postgres_url: str, s3_config: S3Config) -> AsyncIterator[RunningServer]:
    """Own database and bucket: the jobs run until they find nothing."""
    async with separate_server(postgres_url, s3_config, bucket="shown-content") as running:
        yield running


async def show(client: httpx2.AsyncClient, address: str) -> tuple[str, str]:
    """Return type and disposition of content that a browser asks to show."""
    redirect = await client.get(address, params={"inline": "true"}, follow_redirects=False)
    assert redirect.status_code == 307, redirect.text
    async with httpx2.AsyncClient(verify=NO_TLS, timeout=60) as anonymous:
        got = (await anonymous.get(redirect.headers["location"])).raise_for_status()
    return got.headers["content-type"], got.headers["content-disposition"].partition(";")[0]


async def show_file(account: Account, file: dict[str, Any]) -> tuple[str, str]:
    return await show(account.client, f"/v1/files/{file['id']}/content")


# Types

SHOWN = {
    "IMAGE/PNG": "image/png",
    "application/pdf; version=1.7": "application/pdf",
    "video/webm;codecs=vp9": "video/webm",
    "audio/x-wav": "audio/wav",
    "text/markdown": "text/plain; charset=utf-8",
    "text/plain;charset=ISO-8859-1": "text/plain; charset=iso-8859-1",
}
SAVED = [
    "Text/HTML; charset=utf-8",
    "IMAGE/SVG+XML",
    "text/plain; charset=utf-8,text/html",
    'image/png; x="a",text/html',
]


@pytest.mark.parametrize("declared", SHOWN)
async def test_safe_type_in_any_spelling_is_shown_by_files_and_view_links(
    account: Account, api: httpx2.AsyncClient, declared: str
) -> None:
    file = await upload_file(account, b"x", "file", content_type=declared)
    expected = (SHOWN[declared], "inline")
    assert await show_file(account, file) == expected
    link = await make_link(account, file["id"], "view")
    assert await show(api, public(link, f"/files/{file['id']}/content")) == expected
    assert ">View</a>" in (await api.get(link["url_path"])).text
    assert await show(api, f"{link['url_path']}/files/{file['id']}/content") == expected


@pytest.mark.parametrize("declared", SAVED)
async def test_dangerous_type_in_any_spelling_is_saved_or_refused(
    account: Account, api: httpx2.AsyncClient, declared: str
) -> None:
    top = await make_folder(account, "/top")
    file = await upload_file(account, b"x", "f", destination={"parent_id": top}, content_type=declared)
    assert (await show_file(account, file))[1] == "attachment"
    for node_id in (file["id"], top):
        link = await make_link(account, node_id, "view")
        assert problem(await api.get(public(link, f"/files/{file['id']}/content"))) == REFUSED
        assert problem(await api.get(public(link, f"/files/{file['id']}/download"))) == REFUSED
        assert ">View<" not in (await api.get(link["url_path"])).text


# The charset of text


@pytest.mark.parametrize(("data", "shown"), [(UTF_8, "text/plain; charset=utf-8"), (LATIN_1, "text/plain")])
async def test_text_of_a_form_or_put_is_shown_in_its_charset(account: Account, data: bytes, shown: str) -> None:
    sent = await account.client.post("/v1/files", files={"file": ("a.txt", data, "text/plain")})
    file = sent.raise_for_status().json()
    assert await show_file(account, file) == (shown, "inline")
    at = f"/v1/files/{file['id']}/content"
    more = data + b"more\n"
    (await account.client.put(at, content=more, headers={"Content-Type": "text/plain"})).raise_for_status()
    assert await show_file(account, file) == (shown, "inline")


@pytest.mark.parametrize(("data", "shown"), [(UTF_8, "text/plain; charset=utf-8"), (LATIN_1, "text/plain")])
@pytest.mark.parametrize("more", [{}, MULTI])
async def test_text_by_signed_url_is_utf8_until_a_job_has_read_it(
    account: Account, server: RunningServer, data: bytes, shown: str, more: dict[str, Any]
) -> None:
    """Job `verify` reads multipart content, job `scrub` the rest."""
    file = await upload_file(account, data + bytes(len(more)), "a.txt", content_type="text/plain", **more)
    assert await show_file(account, file) == ("text/plain; charset=utf-8", "inline")
    await run_until_idle(verify_next_blob, server.services)
    if not more:
        worker = server.settings.worker.model_copy(update={"scrub_days": 1e-9})
        await scrub_blobs(Services(server.db, server.store, server.settings.model_copy(update={"worker": worker})))
    assert await show_file(account, file) == (shown, "inline")


# Embedded


async def test_content_of_a_link_may_be_embedded_by_other_origins(account: Account, api: httpx2.AsyncClient) -> None:
    file = await upload_file(account, b"png", "a.png", content_type="image/png")
    link = await make_link(account, file["id"], "view")
    for base in (public(link), link["url_path"]):
        redirect = await api.get(f"{base}/files/{file['id']}/content")
        assert (redirect.status_code, redirect.headers["cross-origin-resource-policy"]) == (307, "cross-origin")
    own = await account.client.get(f"/v1/files/{file['id']}/content")
    assert own.headers["cross-origin-resource-policy"] == "same-origin"


@pytest.mark.parametrize(
    ("mode", "inline", "disposition"),
    [("view", "false", "inline"), ("download", "false", "attachment"), ("download", "true", "inline")],
)
async def test_download_url_of_a_link_serves_the_content_and_counts(
    account: Account, api: httpx2.AsyncClient, mode: str, inline: str, disposition: str
) -> None:
    file = await upload_file(account, b"png", "a.png", content_type="image/png")
    link = await make_link(account, file["id"], mode, max_downloads=1)
    answer = await api.get(public(link, f"/files/{file['id']}/download"), params={"inline": inline})
    told = answer.raise_for_status().json()
    assert (told["size_bytes"], told["fingerprint"], told["revision_id"]) == (
        3,
        file["fingerprint"],
        file["revision_id"],
    )
    assert answer.headers["cache-control"] == "no-store"
    async with httpx2.AsyncClient(verify=NO_TLS, timeout=60) as anonymous:
        got = await anonymous.get(told["url"])
    assert (got.content, got.headers["content-disposition"].partition(";")[0]) == (b"png", disposition)
    assert problem(await api.get(public(link, f"/files/{file['id']}/download"))) == (404, "not-found")
