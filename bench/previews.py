"""Thumbnails: how many a worker makes, what memory it takes, and what their URLs cost in a list."""

import asyncio
import os
import random
import sys
import time
import uuid
from io import BytesIO
from pathlib import Path
from statistics import median

import asyncpg
import httpx2
from PIL import Image

from bench import processes
from bench.processes import Usage
from bench.stack import Stack
from bench.table import Row, Section, interleaved, mib, ms, s, times
from dropbox_api.core import thumbnails
from dropbox_client.client import Client
from dropbox_client.tokens import TokenFile

_PHOTOS = int(os.environ.get("BENCH_PHOTOS", "100"))
_PHOTO_PX = (4000, 3000)
_LISTED, _CALLS = 1_000, 30
_DBX = Path(sys.executable).with_name("dbx")

_DECODE = """
import sys
from pathlib import Path
from dropbox_api.render.images import decode_image
from dropbox_api.render.pictures import encode_thumbnails
for path in Path(sys.argv[1]).iterdir():
    with path.open("rb") as file:
        encode_thumbnails(decode_image("JPEG", file))
"""


def measure(stack: Stack, runs: int) -> Section:
    photo = _take_photo()
    worker, bare = _make(stack, photo)
    plain_s, with_s = _list(stack, runs)
    ratio, list_ratio = worker.cpu_s / bare.cpu_s, with_s / plain_s
    return Section(
        "Thumbnails",
        [
            Row("photos of 12 megapixels per second, two sizes of each", f"{_PHOTOS / worker.wall_s:.1f}", "", "", ""),
            Row(
                "processor time a photo",
                ms(worker.cpu_s / _PHOTOS),
                f"Pillow in one process, unconfined: {ms(bare.cpu_s / _PHOTOS)}",
                times(ratio),
                "<= 2x",
                ratio <= 2,
            ),
            Row(
                "memory of the worker with its decoders: peak",
                mib(worker.tree_peak_bytes),
                f"the worker alone: {mib(worker.peak_bytes)}",
                "",
                "<= 500 MB",
                worker.tree_peak_bytes <= 500e6,
            ),
            Row(
                f"a list of {_LISTED:,} files with the URLs of their thumbnails",
                ms(with_s),
                f"without: {ms(plain_s)}",
                times(list_ratio),
                "<= 1.5x",
                list_ratio <= 1.5,
            ),
        ],
        [
            f"{_PHOTOS} photos of {mib(len(photo))} (JPEG) in the store, one run of job `thumbnails` in "
            f"{s(worker.wall_s)}, start of Python included: each photo is fetched, decoded in a confined process of "
            "its own, two at once, and its two images are stored. Processor time has all of that, without the store's.",
            "Memory is the sum of resident memory, seen twice a second; pages that processes share count in each.",
            f"The list is one page, medians of {_CALLS * runs} calls, the two in turns. Its thumbnails are rows only: "
            "their URLs are signed, and not fetched.",
        ],
    )


def _take_photo() -> bytes:
    """Return a JPEG with the detail of a photo: noise over a gradient."""
    noise = Image.effect_noise(_PHOTO_PX, 30)
    gradient = Image.linear_gradient("L").resize(_PHOTO_PX)
    mixed = Image.blend(gradient, noise, 0.3)
    output = BytesIO()
    picture = Image.merge("RGB", (mixed, gradient, mixed.transpose(Image.Transpose.FLIP_LEFT_RIGHT)))
    picture.save(output, "JPEG", quality=88)
    return output.getvalue()


# Making them


def _make(stack: Stack, photo: bytes) -> tuple[Usage, Usage]:
    """Return the usage of the worker, and of a process that only decodes and encodes."""
    folder = stack.directory / "photos"
    folder.mkdir()
    for number in range(_PHOTOS):  # decoders ignore what follows the image
        (folder / f"{number:04}.jpg").write_bytes(photo + number.to_bytes(4))
    stack.empty_bucket()
    with stack.signed_in(stack.api.url) as (client, signed_in):
        processes.run([_DBX, "upload", folder], signed_in)
        command = [sys.executable, "-m", "dropbox_api", "worker", "--once"]
        environment = {"PATH": os.defpath, **stack.api.environment}
        worker = processes.run([*command, "thumbnails"], environment)
        made = sum(bool(file.thumbnails) for file in client.files.list("/photos", thumbnails=True))
        assert made == _PHOTOS, f"{made} of {_PHOTOS} photos have thumbnails"
    bare = processes.run([sys.executable, "-c", _DECODE, folder], environment)
    for path in folder.iterdir():
        path.unlink()
    folder.rmdir()
    stack.empty_bucket()
    return worker, bare


# Listing them


def _list(stack: Stack, runs: int) -> tuple[float, float]:
    """Return the time of a list without and with thumbnails."""
    with stack.signed_in(stack.api.url) as (client, environment):
        _fill(stack, client, environment)
        tokens = TokenFile(Path(environment["HOME"]) / "dbx" / "tokens.json").load()
        assert tokens
        headers = {"Authorization": f"Bearer {tokens.access_token}"}
        with httpx2.Client(base_url=stack.api.url, headers=headers, timeout=60) as api:

            def read(*, wanted: bool) -> float:
                address = f"/v1/files?path=/listed&limit={_LISTED}&thumbnails={wanted}"
                began = time.perf_counter()
                answer = api.get(address).raise_for_status()
                took_s = time.perf_counter() - began
                items = answer.json()["items"]
                assert sum(bool(item["thumbnails"]) for item in items) == (_LISTED if wanted else 0)
                assert len(items) == _LISTED
                return took_s

            works = {"plain": lambda: read(wanted=False), "with": lambda: read(wanted=True)}
            found = interleaved(_CALLS * runs, works)
    stack.empty_bucket()
    return median(found["plain"]), median(found["with"])


def _fill(stack: Stack, client: Client, environment: dict[str, str]) -> None:
    """Upload tiny files, and note thumbnails of them."""
    folder = Path(environment["HOME"]) / "listed"
    folder.mkdir()
    for number in range(_LISTED):
        (folder / f"IMG_{number:04}.jpg").write_bytes(random.randbytes(16))
    processes.run([_DBX, "upload", folder], environment)
    asyncio.run(_note_thumbnails(stack.postgres.url, uuid.UUID(client.account.get().id)))


async def _note_thumbnails(url: str, owner_id: uuid.UUID) -> None:
    connection = await asyncpg.connect(url.replace("+asyncpg", ""))
    try:
        await connection.execute(
            "INSERT INTO thumbnails (blob_id, version, state) SELECT id, $2, 'ready' FROM blobs WHERE owner_id = $1",
            owner_id,
            thumbnails.VERSION,
        )
        await connection.execute("UPDATE blobs SET thumbnail_due_at = NULL WHERE owner_id = $1", owner_id)
        await connection.execute("ANALYZE thumbnails, blobs")
    finally:
        await connection.close()
