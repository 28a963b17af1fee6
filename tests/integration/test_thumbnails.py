"""Thumbnails: made by the worker of photos, documents and videos; shown by signed URLs; swept with their content."""

import asyncio
import random
import re
import uuid
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, replace
from io import BytesIO
from typing import Any

import httpx2
import pytest
from PIL import Image
from sqlalchemy import text

from dropbox_api.context import Services
from dropbox_api.core.thumbnails import LARGE_PX, PREFIX, SMALL_PX, URL_TTL_S, VERSION, WINDOW_S, format_key
from dropbox_api.settings import MIB
from dropbox_api.storage.s3 import S3Config, S3Store
from dropbox_api.workers import thumbnail_objects
from dropbox_api.workers.collect import collect_blobs
from dropbox_api.workers.purge import purge_trash
from dropbox_api.workers.scrub import scrub_blobs
from dropbox_api.workers.sweep import sweep_orphans
from dropbox_api.workers.thumbnails import MAX_ATTEMPTS, make_thumbnails
from tests.support import pictures
from tests.support.server import (
    Account,
    RunningServer,
    assert_invariants,
    create_folder,
    is_stored,
    problem,
    register_account,
    run_until_idle,
    separate_server,
    upload_file,
)
from tests.support.sharing import grant, make_link, public, verify

SVG = pictures.svg("http://127.0.0.1/")


@dataclass
class World:
    """A server with its own database and bucket, whose worker has small limits and no grace period."""

    server: RunningServer
    s3: S3Config

    def services(self, **thumbnails: Any) -> Services:
        settings = self.server.settings
        own = settings.thumbnails.model_copy(update=thumbnails)
        worker = settings.worker.model_copy(update={"sweep_grace_s": 0, "scrub_days": 1e-9})
        settings = settings.model_copy(update={"thumbnails": own, "worker": worker})
        return Services(self.server.db, self.server.store, settings)

    async def make(self, **thumbnails: Any) -> None:
        await run_until_idle(make_thumbnails, self.services(**thumbnails))

    async def query(self, statement: str, **values: Any) -> list[Any]:
        async with self.server.db.begin() as tx:
            result = await tx.execute(text(statement), values)
            return list(result.all()) if result.returns_rows else []

    async def blob_id(self, file: dict[str, Any]) -> uuid.UUID:
        rows = await self.query("SELECT blob_id FROM revisions WHERE id = :id", id=uuid.UUID(file["revision_id"]))
        blob_id: uuid.UUID = rows[0].blob_id
        return blob_id

    async def result(self, file: dict[str, Any]) -> tuple[str, str | None]:
        found = "SELECT state, reason FROM thumbnails WHERE blob_id = :id"
        row = (await self.query(found, id=await self.blob_id(file)))[0]
        return row.state, row.reason

    async def keys(self, file: dict[str, Any]) -> list[str]:
        blob_id = await self.blob_id(file)
        return [format_key(blob_id, size_px, VERSION) for size_px in (SMALL_PX, LARGE_PX)]


@pytest.fixture(scope="module")
async def world(postgres_url: str, s3_config: S3Config) -> AsyncIterator[World]:
    async with separate_server(postgres_url, s3_config, bucket="thumbnails") as server:
        yield World(server, replace(s3_config, bucket="thumbnails"))
        await assert_invariants(server.db, server.store)


@pytest.fixture
async def account(world: World) -> AsyncIterator[Account]:
    account = await register_account(world.server.url)
    async with account.client:
        yield account


async def show(account: Account, file: dict[str, Any]) -> dict[str, Any] | None:
    """Return the thumbnails of a file as its answer has them."""
    answer = await account.client.get(f"/v1/files/{file['id']}", params={"thumbnails": True})
    shown: dict[str, Any] | None = answer.raise_for_status().json()["thumbnails"]
    return shown


async def fetch(url: str) -> Image.Image:
    """Load an image as a browser does, without credentials."""
    async with httpx2.AsyncClient() as browser:
        answer = (await browser.get(url)).raise_for_status()
    assert answer.headers["content-type"] == "image/webp"
    assert answer.headers["cache-control"] == f"private, max-age={URL_TTL_S}"
    picture = Image.open(BytesIO(answer.content), formats=["WEBP"])
    assert not picture.getexif()
    assert "icc_profile" not in picture.info
    assert pictures.PLACE.encode() not in answer.content
    return picture


def colour(picture: Image.Image, x: float, y: float) -> str:
    """Return the colour at a place, given as fractions of the width and the height."""
    pixel = picture.convert("RGBA").getpixel((int(x * picture.width), int(y * picture.height)))
    assert isinstance(pixel, tuple)
    red, green, blue, alpha = pixel
    if alpha < 128:
        return "clear"
    if max(red, green, blue) < 60:
        return "black"
    return "red" if red > blue else "blue"


SIDEWAYS, UPRIGHT = ((0.5, 0.2), (0.5, 0.8)), ((0.2, 0.5), (0.8, 0.5))
PHOTOS: dict[str, tuple[Callable[[], bytes], tuple[int, int], Any, tuple[str, str]]] = {
    "photo.jpg": (pictures.jpeg, (1200, 800), UPRIGHT, ("red", "blue")),
    "large.jpg": (lambda: pictures.jpeg(7, (4000, 2000)), (1600, 800), UPRIGHT, ("red", "blue")),
    "sideways.jpg": (pictures.sideways_jpeg, (800, 1200), SIDEWAYS, ("red", "blue")),
    "clear.png": (pictures.clear_png, (1200, 800), UPRIGHT, ("red", "clear")),
    "phone.heic": (pictures.heic, (640, 480), UPRIGHT, ("red", "blue")),
    "moving.gif": (lambda: pictures.animation("GIF"), (300, 200), UPRIGHT, ("red", "blue")),
    "moving.webp": (lambda: pictures.animation("WEBP"), (300, 200), UPRIGHT, ("red", "blue")),
    "grey.png": (
        lambda: pictures.encode(Image.new("I;16", (400, 300), 300), "PNG"),
        (400, 300),
        UPRIGHT,
        ("black", "black"),
    ),
    "print.jpg": (
        lambda: pictures.encode(pictures.paint(mode="CMYK"), "JPEG"),
        (1200, 800),
        UPRIGHT,
        ("red", "blue"),
    ),
    "scan.tiff": (lambda: pictures.encode(pictures.paint(), "TIFF"), (1200, 800), UPRIGHT, ("red", "blue")),
    "new.avif": (lambda: pictures.encode(pictures.paint((400, 300)), "AVIF"), (400, 300), UPRIGHT, ("red", "blue")),
    "paper.pdf": (pictures.pdf, (1200, 1600), UPRIGHT, ("red", "blue")),
    "clip.mp4": (pictures.video, (640, 360), UPRIGHT, ("red", "blue")),
}
"""Name -> content, size of the large thumbnail, two places and their colours."""


async def test_folder_of_photos_shows_two_upright_thumbnails_of_each(world: World, account: Account) -> None:
    folder = await create_folder(account, "/photos")
    for name, (make, *_) in PHOTOS.items():
        await upload_file(account, make(), name, destination={"parent_id": folder["id"]})
    await world.make()
    listed = await account.client.get("/v1/files", params={"parent_id": folder["id"], "thumbnails": True})
    shown = {item["name"]: item["thumbnails"] for item in listed.raise_for_status().json()["items"]}
    assert [name for name in PHOTOS if shown[name] is None] == []
    for name, (_, size, places, colours) in PHOTOS.items():
        large, small = await fetch(shown[name]["large_url"]), await fetch(shown[name]["small_url"])
        assert large.size == size, name
        assert max(small.size) == min(SMALL_PX, max(size)), name
        for picture in (large, small):
            assert tuple(colour(picture, *place) for place in places) == colours, name


@pytest.mark.parametrize(
    ("path", "params"),
    [
        ("/v1/files", {}),
        ("/v1/files", {"recursive": True}),
        ("/v1/files/recent", {}),
        ("/v1/search", {"q": "cat"}),
        ("/v1/files/by-path", {"path": "/cat.jpg"}),
    ],
    ids=["folder", "below", "recent", "search", "path"],
)
async def test_answer_shows_thumbnails_only_on_request(
    world: World, account: Account, path: str, params: dict[str, Any]
) -> None:
    await upload_file(account, pictures.jpeg(random.randrange(10**9)), "cat.jpg")
    await world.make()
    for wanted in (False, True):
        answer = (await account.client.get(path, params=params | {"thumbnails": wanted})).raise_for_status().json()
        (file,) = answer.get("items", [answer])
        assert (file["thumbnails"] is not None) == wanted


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (SVG, "type"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n", "type"),
        (b"just text", "type"),
        (b"", "type"),
        (pictures.jpeg(11)[:-900], "refused"),
        (pictures.pdf()[:300], "refused"),
        (b"\x00\x00\x00\x20ftypisom" + bytes(4000), "refused"),
        (b"\x1aE\xdf\xa3" + bytes(4000), "refused"),
    ],
    ids=["svg", "eps", "text", "empty", "cut jpeg", "cut pdf", "no mp4", "no mkv"],
)
async def test_content_without_a_picture_has_no_thumbnail(
    world: World, account: Account, data: bytes, reason: str
) -> None:
    file = await upload_file(account, data, "photo.jpg", content_type="image/jpeg")
    await world.make()
    assert await show(account, file) is None
    assert await world.result(file) == ("none", reason)
    assert not await is_stored(world.server.store, (await world.keys(file))[0])


@pytest.mark.parametrize(
    ("bomb", "expected", "limits"),
    [
        (lambda: pictures.png_bomb(40_000, 40_000, 8), "refused", {}),
        (pictures.png_bomb, "memory", {"memory_bytes": 512 * MIB}),
        (pictures.slow_pdf, "timeout", {"cpu_s": 3}),
        (pictures.nested_pdf, "crash", {}),
    ],
    ids=["pixels", "memory", "time", "crash"],
)
async def test_bomb_has_no_thumbnail_and_the_next_content_has(
    world: World, account: Account, bomb: Callable[[], bytes], expected: str, limits: dict[str, int]
) -> None:
    good = await upload_file(account, pictures.jpeg(random.randrange(10**9)), "good.jpg")
    bad = await upload_file(account, bomb(), "bad")
    await world.make(at_once=1, **limits)
    assert await world.result(bad) == ("none", expected)
    assert await show(account, bad) is None
    assert await show(account, good) is not None


async def test_large_video_is_read_at_its_ends_only(world: World, account: Account) -> None:
    data = pictures.video()
    beginning, index = data[: data.rindex(b"moov") - 4], data[data.rindex(b"moov") - 4 :]
    gap = 40 * MIB
    padded = beginning + (gap).to_bytes(4) + b"free" + bytes(gap - 8) + index
    file = await upload_file(account, padded, "film.mp4", strategy="multipart")
    await world.query("UPDATE blobs SET content_status = 'verified' WHERE id = :id", id=await world.blob_id(file))
    await world.make()
    assert (shown := await show(account, file)) is not None
    assert colour(await fetch(shown["small_url"]), 0.2, 0.5) == "red"


async def test_newest_content_comes_first(world: World, account: Account) -> None:
    await world.make()
    files = [await upload_file(account, b"%d" % random.randrange(10**12), f"{number}") for number in range(3)]
    await world.make(at_once=1)
    made = await world.query("SELECT blob_id FROM thumbnails ORDER BY made_at DESC LIMIT 3")
    assert [row.blob_id for row in made] == [await world.blob_id(file) for file in files]


async def test_unreachable_store_delays_and_keeps_the_thumbnail(world: World, account: Account) -> None:
    file = await upload_file(account, pictures.jpeg(random.randrange(10**9)), "a.jpg")
    async with S3Store.open(replace(world.s3, endpoint_url="http://127.0.0.1:9")) as away:
        report = await make_thumbnails(replace(world.services(), store=away))
    assert (report.found, report.done, report.failed) == (1, 0, 1)
    assert (await make_thumbnails(world.services())).found == 0  # not yet due again
    row = (await world.query("SELECT attempts FROM thumbnails WHERE blob_id = :id", id=await world.blob_id(file)))[0]
    assert row.attempts == 0
    await world.query("UPDATE blobs SET thumbnail_due_at = now() WHERE thumbnail_due_at IS NOT NULL")
    await world.make()
    assert await show(account, file) is not None


async def test_content_that_stopped_the_worker_three_times_has_no_thumbnail(world: World, account: Account) -> None:
    file = await upload_file(account, pictures.jpeg(random.randrange(10**9)), "a.jpg")
    row = "INSERT INTO thumbnails (blob_id, version, attempts) VALUES (:id, 1, :attempts)"
    await world.query(row, id=await world.blob_id(file), attempts=MAX_ATTEMPTS)
    await world.make()
    assert await world.result(file) == ("none", "crash")


@pytest.mark.parametrize("status", ["quarantined", "damaged", "stored"])
async def test_content_that_is_not_verified_shows_no_thumbnail(world: World, account: Account, status: str) -> None:
    shown = await upload_file(account, pictures.jpeg(random.randrange(10**9)), "shown.jpg")
    await world.make()
    due = await upload_file(account, pictures.jpeg(random.randrange(10**9)), "due.jpg")
    ids = [await world.blob_id(file) for file in (shown, due)]
    change = "UPDATE blobs SET content_status = :status WHERE id = ANY(:ids)"
    await world.query(change, status=status, ids=ids)
    await world.make()
    assert await show(account, shown) is None
    assert await world.query("SELECT FROM thumbnails WHERE blob_id = :id", id=ids[1]) == []
    await world.query(change, status="verified", ids=ids)
    await world.make()
    assert await show(account, shown) is not None
    assert await show(account, due) is not None


async def test_deleted_content_loses_its_thumbnails_with_its_object(world: World, account: Account) -> None:
    file = await upload_file(account, pictures.jpeg(random.randrange(10**9)), "a.jpg")
    used = (await account.me())["used_bytes"]
    await world.make()
    assert (await account.me())["used_bytes"] == used  # charged to no account
    keys = await world.keys(file)
    assert [await is_stored(world.server.store, key) for key in keys] == [True, True]
    await account.client.delete(f"/v1/files/{file['id']}")
    await account.client.delete("/v1/trash")
    await run_until_idle(purge_trash, world.services())
    await run_until_idle(collect_blobs, world.services())
    assert [await is_stored(world.server.store, key) for key in keys] == [False, False]
    assert await world.query("SELECT FROM thumbnails WHERE blob_id NOT IN (SELECT id FROM blobs)") == []


async def test_sweep_removes_objects_of_no_content_and_of_old_versions(world: World, account: Account) -> None:
    file = await upload_file(account, pictures.jpeg(random.randrange(10**9)), "a.jpg")
    none = await upload_file(account, b"text %d" % random.randrange(10**9), "a.txt")
    await world.make()
    keys = await world.keys(file)
    strays = [
        format_key(uuid.uuid4(), SMALL_PX, VERSION),
        format_key(await world.blob_id(file), SMALL_PX, 999),
        format_key(await world.blob_id(none), SMALL_PX, VERSION),
        f"{PREFIX}other",
    ]
    for key in strays:
        await world.server.store.put(key, b"stray")
    await sweep_orphans(world.services())
    assert [await is_stored(world.server.store, key) for key in strays] == [False] * len(strays)
    assert [await is_stored(world.server.store, key) for key in keys] == [True, True]


@pytest.mark.parametrize("finder", [scrub_blobs, thumbnail_objects.requeue_lost], ids=["scrub", "command"])
async def test_lost_thumbnail_is_made_again(world: World, account: Account, finder: Any) -> None:
    file = await upload_file(account, pictures.jpeg(random.randrange(10**9)), "a.jpg")
    await world.make()
    keys = await world.keys(file)
    await world.server.store.delete(keys[1])
    await finder(world.services())
    await world.make()
    assert [await is_stored(world.server.store, key) for key in keys] == [True, True]


async def test_thumbnails_of_an_older_version_are_made_again_by_themselves(world: World, account: Account) -> None:
    file = await upload_file(account, pictures.jpeg(random.randrange(10**9)), "a.jpg")
    none = await upload_file(account, b"text %d" % random.randrange(10**9), "a.txt")
    await world.make()
    ids = [await world.blob_id(file), await world.blob_id(none)]
    await world.query("UPDATE thumbnails SET version = :old WHERE blob_id = ANY(:ids)", ids=ids, old=VERSION - 1)
    await world.make()
    assert await world.query("SELECT FROM thumbnails WHERE version < :new", new=VERSION) == []
    assert await show(account, file) is not None


async def test_rebuild_of_all_makes_every_thumbnail_again(world: World, account: Account) -> None:
    file = await upload_file(account, pictures.jpeg(random.randrange(10**9)), "a.jpg")
    await world.make()
    await world.query("UPDATE thumbnails SET state = 'none' WHERE blob_id = :id", id=await world.blob_id(file))
    assert await thumbnail_objects.requeue_all(world.services()) >= 1
    await world.make()
    assert await show(account, file) is not None


async def test_url_is_the_same_within_its_window(world: World, account: Account) -> None:
    file = await upload_file(account, pictures.jpeg(random.randrange(10**9)), "a.jpg")
    await world.make()
    first = await show(account, file)
    for _ in range(2):
        second = await show(account, file)
        assert first is not None
        assert second is not None
        if first["expires_at"] == second["expires_at"]:
            break
        first = second  # a window ended meanwhile
    assert first == second


async def test_switched_off_server_makes_and_shows_no_thumbnails(
    world: World, postgres_url: str, s3_config: S3Config
) -> None:
    async with separate_server(postgres_url, s3_config, thumbnails={"enabled": False}) as server:
        account = await register_account(server.url)
        async with account.client:
            file = await upload_file(account, pictures.jpeg(), "a.jpg")
            await run_until_idle(make_thumbnails, server.services)
            assert await show(account, file) is None
            on = server.settings.model_copy(update={"thumbnails": world.server.settings.thumbnails})
            await run_until_idle(make_thumbnails, replace(server.services, settings=on))
            assert await show(account, file) is None


async def test_every_role_sees_thumbnails_and_strangers_see_nothing(world: World, account: Account) -> None:
    folder = await create_folder(account, "/shared")
    file = await upload_file(
        account, pictures.jpeg(random.randrange(10**9)), "a.jpg", destination={"parent_id": folder["id"]}
    )
    await world.make()
    viewer, stranger = await register_account(world.server.url), await register_account(world.server.url)
    async with viewer.client, stranger.client:
        await verify(world.server.db, viewer)
        given = await grant(account, folder["id"], viewer, "viewer")
        assert await show(viewer, file) == await show(account, file)
        await account.client.delete(f"/v1/files/{folder['id']}/grants/{given['id']}")
        for other in (viewer, stranger):
            answer = await other.client.get(f"/v1/files/{file['id']}", params={"thumbnails": True})
            assert problem(answer) == (404, "not-found")


async def test_link_gives_small_thumbnails_free_and_counts_large_ones(world: World, account: Account) -> None:
    folder = await create_folder(account, "/album")
    file = await upload_file(
        account, pictures.jpeg(random.randrange(10**9)), "a.jpg", destination={"parent_id": folder["id"]}
    )
    await upload_file(account, b"text %d" % random.randrange(10**9), "b.txt", destination={"parent_id": folder["id"]})
    await world.make()
    link = await make_link(account, folder["id"], "view", max_downloads=1)
    async with httpx2.AsyncClient(base_url=world.server.url) as bearer:
        thumbnail = public(link, f"/files/{file['id']}/thumbnail")
        for _ in range(3):
            items = (await bearer.get(public(link, "/files"), params={"thumbnails": True})).json()["items"]
            assert (await fetch(items[0]["thumbnail_url"])).width == SMALL_PX
            assert items[1]["thumbnail_url"] is None
            small = await bearer.get(thumbnail)
            assert (small.status_code, small.headers["location"]) == (307, items[0]["thumbnail_url"])
        large = await bearer.head(thumbnail, params={"size": "large"})
        assert large.status_code == 307  # without effects
        large = await bearer.get(thumbnail, params={"size": "large"})
        assert (await fetch(large.headers["location"])).width == 1200
        assert problem(await bearer.get(thumbnail)) == (404, "not-found")  # used up


async def test_page_of_a_link_shows_small_thumbnails_free_and_previews_the_large_one(
    world: World, account: Account
) -> None:
    folder = await create_folder(account, "/pictures")
    file = await upload_file(
        account, pictures.jpeg(random.randrange(10**9)), "a.jpg", destination={"parent_id": folder["id"]}
    )
    await world.make()
    async with httpx2.AsyncClient(base_url=world.server.url) as visitor:
        for node, mode in ((folder, "view"), (file, "download")):
            link = await make_link(account, node["id"], mode, max_downloads=1)
            page = await visitor.get(link["url_path"])
            (small,) = re.findall(r'<img class="thumbnail" src="([^"]+)"', page.text)
            assert (await fetch(small.replace("&amp;", "&"))).width == SMALL_PX
            (preview,) = re.findall(r'data-picture="([^"]+)"', page.text)
            large = await visitor.get(str(page.url.join(preview)))
            assert (await fetch(large.headers["location"])).width == 1200
            assert (await visitor.get(link["url_path"])).status_code == 404  # used up


async def test_upload_link_shows_no_thumbnail(world: World, account: Account) -> None:
    folder = await create_folder(account, "/inbox")
    file = await upload_file(
        account, pictures.jpeg(random.randrange(10**9)), "a.jpg", destination={"parent_id": folder["id"]}
    )
    await world.make()
    link = await make_link(account, folder["id"], "upload")
    async with httpx2.AsyncClient(base_url=world.server.url) as bearer:
        answer = await bearer.get(public(link, f"/files/{file['id']}/thumbnail"))
    assert problem(answer) == (403, "link-not-for")


async def test_thumbnail_url_lives_longer_than_an_hour_and_at_most_its_time(world: World, account: Account) -> None:
    file = await upload_file(account, pictures.jpeg(random.randrange(10**9)), "a.jpg")
    await world.make()
    shown = await show(account, file)
    assert shown is not None
    query = dict(part.split("=", 1) for part in shown["small_url"].partition("?")[2].split("&"))
    assert int(query["X-Amz-Expires"]) == URL_TTL_S
    assert int(query["X-Amz-Date"][11:13]) % (WINDOW_S // 60) == 0
    assert query["X-Amz-Date"][13:] == "00Z"


async def test_concurrent_workers_make_each_thumbnail_once(world: World, account: Account) -> None:
    files = [await upload_file(account, pictures.jpeg(random.randrange(10**9)), f"{n}.jpg") for n in range(4)]
    reports = await asyncio.gather(*(make_thumbnails(world.services()) for _ in range(2)))
    assert sum(report.done for report in reports) == len(files), reports
    assert [await show(account, file) is not None for file in files] == [True] * len(files)
