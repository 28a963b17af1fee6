"""Start the confined process for one file, and take nothing from it on trust."""

import asyncio
import signal
import sys
from dataclasses import dataclass
from importlib.util import find_spec
from typing import IO

from dropbox_api.core.thumbnails import SIZES_PX
from dropbox_api.render import outcomes
from dropbox_api.render.confinement import Confinement
from dropbox_api.render.kinds import Kind
from dropbox_api.settings import MIB, ThumbnailSettings

_LIBRARIES = ("PIL", "av", "pillow_heif", "pypdfium2")
_MAX_OUTPUT_BYTES = 8 * MIB
_WALL_PER_CPU = 3
"""Seconds on the clock for each second of processor time: the machine may be busy."""


class CannotRenderError(Exception):
    """The process does not work on this machine; the content is not the reason."""


@dataclass(frozen=True, slots=True)
class NoPicture:
    """The content gives no thumbnail, and would not another time either."""

    reason: str


def has_libraries() -> bool:
    """Tell whether the extra `thumbnails` is installed."""
    return all(map(find_spec, _LIBRARIES))


async def probe(settings: ThumbnailSettings) -> Confinement:
    """Return how the process is confined on this machine. Raises CannotRenderError."""
    status, output = await _run(outcomes.PROBE, None, settings)
    if status != outcomes.DONE:
        raise CannotRenderError(f"the process ended with status {status}")
    has_namespaces, version = map(int, output.split())
    return Confinement(bool(has_namespaces), version)


async def render(kind: Kind, file: IO[bytes], settings: ThumbnailSettings) -> list[bytes] | NoPicture:
    """Return the WebP images of a file, one for each of `SIZES_PX`. Raises CannotRenderError."""
    try:
        status, output = await _run(kind, file, settings)
    except TimeoutError:
        return NoPicture("timeout")
    if status == outcomes.DONE and (images := _split(output)):
        return images
    if status == outcomes.CANNOT_START:
        raise CannotRenderError("the process cannot be confined, or a library of the extra `thumbnails` is missing")
    if status == outcomes.OUT_OF_MEMORY:
        return NoPicture("memory")
    if status == -signal.SIGXCPU:
        return NoPicture("timeout")
    return NoPicture("refused" if status == outcomes.REFUSED else "crash")


async def _run(kind: str, file: IO[bytes] | None, settings: ThumbnailSettings) -> tuple[int, bytes]:
    """Run the process on an open file; return its exit status and its output.

    Raises TimeoutError, CannotRenderError.
    """
    command = (sys.executable, "-I", "-m", "dropbox_api.render", kind)
    limits = (str(settings.memory_bytes), str(settings.cpu_s))
    if file is not None:
        file.seek(0)
    try:
        process = await asyncio.create_subprocess_exec(
            *command,
            *limits,
            stdin=asyncio.subprocess.DEVNULL if file is None else file,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
            env={},
            cwd="/",
        )
    except OSError as error:
        raise CannotRenderError(str(error)) from error
    assert process.stdout  # noqa: S101 - a pipe
    try:
        async with asyncio.timeout(_WALL_PER_CPU * settings.cpu_s):
            output = bytearray()
            while len(output) <= _MAX_OUTPUT_BYTES and (block := await process.stdout.read(MIB)):
                output += block
            if len(output) > _MAX_OUTPUT_BYTES:
                process.kill()
            return await process.wait(), bytes(output)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


def _split(output: bytes) -> list[bytes]:
    """Return the WebP images of an output; none unless it is exactly that."""
    images = []
    while output:
        size_bytes = int.from_bytes(output[:4])
        image, output = output[4 : 4 + size_bytes], output[4 + size_bytes :]
        is_webp = image[:4] == b"RIFF" and image[8:12] == b"WEBP"
        if not is_webp or len(image) != size_bytes or int.from_bytes(image[4:8], "little") + 8 != size_bytes:
            return []
        images.append(image)
    return images if len(images) == len(SIZES_PX) else []
