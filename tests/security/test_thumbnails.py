"""The process that decodes content: what confines it, seen from inside, and content that attacks it."""

import asyncio
import json
import socket
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from dropbox_api.render.kinds import Kind, find_kind
from dropbox_api.render.subprocess import NoPicture, probe, render
from dropbox_api.settings import MIB, ThumbnailSettings
from tests.support import pictures

SETTINGS = ThumbnailSettings(cpu_s=5)

_TRY_ALL = """
import json, os, resource, socket, sys
from dropbox_api.render.confinement import confine

def attempt(action):
    try:
        action()
    except (OSError, MemoryError) as error:
        return type(error).__name__
    return "done"

own, port = sys.argv[1], int(sys.argv[2])
confine(512 << 20, 5)
for descriptor in range(3, 256):
    assert attempt(lambda: os.fstat(descriptor)) == "OSError"
print(json.dumps({
    "environment": sorted(set(os.environ) - {"LC_CTYPE"}),
    "read": attempt(lambda: open(own).read()),
    "list": attempt(lambda: os.listdir("/")),
    "write": attempt(lambda: open("/tmp/new", "w")),
    "connect": attempt(lambda: socket.create_connection(("127.0.0.1", port), timeout=5)),
    "send": attempt(lambda: socket.socket(type=socket.SOCK_DGRAM).sendto(b"x", ("127.0.0.1", port))),
    "signal": attempt(lambda: os.kill(os.getppid(), 0)),
    "grow": attempt(lambda: bytearray(600 << 20)),
    "limits": [resource.getrlimit(limit)[0] for limit in (resource.RLIMIT_CPU, resource.RLIMIT_FSIZE,
        resource.RLIMIT_NPROC, resource.RLIMIT_CORE)],
    "privileges": attempt(lambda: os.setuid(0)),
}))
"""


@contextmanager
def listener() -> Iterator[tuple[int, list[str]]]:
    """Yield a port of this machine, and the list of the connections to it."""
    seen: list[str] = []
    with socket.create_server(("127.0.0.1", 0)) as server:

        def accept() -> None:
            while True:
                try:
                    server.accept()[0].close()
                except OSError:
                    return
                seen.append("connected")

        thread = threading.Thread(target=accept, daemon=True)
        thread.start()
        yield server.getsockname()[1], seen
        server.shutdown(socket.SHUT_RDWR)
        thread.join(5)


async def test_confined_process_reaches_no_file_no_network_and_no_process() -> None:
    """A kernel or container with neither namespaces nor Landlock 4 fails here, and in `doctor`."""
    confinement = await probe(SETTINGS)
    assert confinement.is_confined
    has_landlock = confinement.landlock_version > 0
    with listener() as (port, seen), tempfile.NamedTemporaryFile() as own:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-I", "-c", _TRY_ALL, own.name, str(port)),
            stdout=asyncio.subprocess.PIPE,
            env={},
            cwd="/",
        )
        output, _ = await process.communicate()
    assert seen == []
    found = json.loads(output)
    if confinement.has_namespaces:
        assert (found.pop("send"), found.pop("privileges")) == ("OSError", "OSError")
    if has_landlock:
        assert [found.pop(name) for name in ("read", "list", "write")] == ["PermissionError"] * 3
    if confinement.landlock_version >= 6:
        assert found.pop("signal") == "PermissionError"
    assert found.pop("connect") in {"PermissionError", "OSError"}
    always = {"environment": [], "grow": "MemoryError", "limits": [5, 0, 0, 0]}
    assert {name: found[name] for name in always} == always


async def _render(data: bytes, kind: Kind | None = None, **limits: int) -> list[bytes] | NoPicture | None:
    kind = kind or find_kind(data)
    if kind is None:
        return None
    with tempfile.TemporaryFile() as file:
        file.write(data)
        file.flush()
        return await render(kind, file, SETTINGS.model_copy(update=limits))


async def test_process_of_a_content_starts_without_environment() -> None:
    async def read_environment() -> bytes:
        while True:
            for child in _find_children():
                if b"dropbox_api.render" in (child / "cmdline").read_bytes():
                    return (child / "environ").read_bytes()
            await asyncio.sleep(0)

    result, environment = await asyncio.gather(_render(pictures.slow_pdf(), cpu_s=3), read_environment())
    assert environment == b""
    assert result == NoPicture("timeout")


def _find_children() -> list[Path]:
    """Return the folders in /proc of the children of this process."""
    children = Path(f"/proc/self/task/{threading.get_native_id()}/children").read_text(encoding="ascii").split()
    return [Path("/proc", child) for child in children]


async def test_content_with_addresses_of_other_content_loads_none_of_them() -> None:
    with listener() as (port, seen):
        address = f"http://127.0.0.1:{port}/secret"
        playlist = f"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n{address}\n".encode()
        attacks = [
            pictures.svg(address),
            f"%!PS\n({address}) (r) file\n".encode(),
            f"push graphic-context\nimage over 0,0 0,0 'url({address})'\n".encode(),
            playlist,
        ]
        assert [await _render(attack) for attack in attacks] == [None] * len(attacks)
        # Even a decoder that gets such content by mistake opens no address.
        for kind in (Kind.MOV, Kind.MATROSKA, Kind.PDF, Kind.PNG):
            assert await _render(playlist, kind) == NoPicture("refused")
        assert seen == []


@pytest.mark.parametrize(
    ("data", "reason", "limits"),
    [
        (pictures.png_bomb(40_000, 40_000, 8), "refused", {}),
        (pictures.png_bomb(), "memory", {"memory_bytes": 512 * MIB}),
        (pictures.slow_pdf(), "timeout", {"cpu_s": 3}),
        (pictures.nested_pdf(), "crash", {"cpu_s": 20}),
    ],
    ids=["pixels", "memory", "time", "crash"],
)
async def test_bomb_ends_at_its_limit(data: bytes, reason: str, limits: dict[str, int]) -> None:
    assert await _render(data, None, **limits) == NoPicture(reason)
