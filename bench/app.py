"""The web app in Chromium: when a list can be used, how it scrolls, and whether many uploads hold it up."""

import asyncio
import json
import shutil
import subprocess
import tempfile
import uuid
from pathlib import Path
from statistics import median, quantiles
from typing import Any

import asyncpg

from bench import browser
from bench.stack import PASSWORD, Stack
from bench.table import Row, Section, ms
from bench.tree import fill_folder

_WEB = Path(__file__).parents[1] / "src" / "dropbox_api" / "_web"
_LARGE, _UPLOADED = 10_000, 10_000
_TIMEOUT_S = 900


def measure(stack: Stack, runs: int) -> Section:
    reason = browser.prepare()
    if not reason and not (_WEB / "index.html").exists():
        reason = "the web app is not built (make web)"
    if reason:
        return Section("The web app", [], [f"Not measured: {reason}."])
    uploaded = _write_files(stack.directory)
    try:
        found = _run(stack, uploaded, runs)
    finally:
        shutil.rmtree(uploaded.parent)
        stack.empty_bucket()
    frames = sorted(found["framesMs"])
    return Section(
        "The web app",
        [
            *(
                Row(f"time until {what} can be used, {kind} cache", ms(median(found[name][page]) / 1e3), "", "", "")
                for page, what in (("small", "a folder of 1 file"), ("large", f"a folder of {_LARGE:,} files"))
                for kind, name in (("cold", "coldMs"), ("warm", "warmMs"))
            ),
            Row(
                f"frames while {_LARGE:,} files scroll, 5 lines a frame",
                f"median {median(frames):.1f} ms",
                f"99 of 100 within {quantiles(frames, n=100)[-1]:.1f} ms, longest {frames[-1]:.1f} ms",
                "",
                "",
            ),
            Row(
                f"longest main-thread task while {_UPLOADED:,} files are dropped and sent",
                browser.format_task(found["longestTaskMs"]),
                "",
                "",
                "<= 50 ms",
                found["longestTaskMs"] <= 50,
            ),
        ],
        [
            "From the start of the navigation until the list is there and the main thread is idle; cold: with an empty "
            "cache, signed in. The API serves one process on the same machine.",
            *_read_sizes(),
        ],
    )


def _run(stack: Stack, uploaded: Path, runs: int) -> Any:
    with stack.signed_in(stack.api.url) as (client, _):
        account = client.account.get()
        seeded = client.upload(b"seed", "/small/seed.pdf")
        large = client.files.create_folder("/large")
        asyncio.run(_fill(stack, account.id, large.id, seeded.revision_id))
        order = {
            "server": stack.api.page_url,
            "email": account.email,
            "password": PASSWORD,
            "pages": {"small": f"/files/{seeded.parent_id}", "large": f"/files/{large.id}"},
            "scrolled": "large",
            "folder": str(uploaded),
            "uploads": _UPLOADED,
            "runs": runs,
        }
        return json.loads(browser.run_script("app.ts", order, timeout_s=_TIMEOUT_S))


async def _fill(stack: Stack, user_id: str, folder_id: str, revision_id: str | None) -> None:
    """Put many files with the content of a revision into a folder."""
    raw = await asyncpg.connect(stack.postgres.url.replace("+asyncpg", ""))
    seed = "SELECT blob_id, size_bytes FROM revisions WHERE id = $1"
    ((blob_id, size_bytes),) = await raw.fetch(seed, revision_id)
    await raw.execute("UPDATE users SET quota_nodes = 10000000 WHERE id = $1", user_id)
    await fill_folder(raw, uuid.UUID(user_id), uuid.UUID(folder_id), blob_id, size_bytes, _LARGE)
    await raw.execute("VACUUM ANALYZE nodes")
    await raw.close()


def _write_files(directory: Path) -> Path:
    folder = Path(tempfile.mkdtemp(dir=directory)) / "many"
    folder.mkdir()
    for number in range(_UPLOADED):
        (folder / f"{number}.txt").write_text(f"content {number}")
    return folder


def _read_sizes() -> list[str]:
    command = [browser.NODE, _WEB.parents[2] / "web" / "tools" / "size.mjs"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return [f"{line[0].upper()}{line[1:]}." for line in done.stdout.splitlines()]
