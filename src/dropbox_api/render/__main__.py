"""The confined process: reads one file from standard input, writes its thumbnails to standard output.

`python -I -m dropbox_api.render KIND MEMORY_BYTES CPU_S`, or `probe` for KIND: then it writes what confines it.
Each thumbnail follows its length in 4 bytes. The exit status tells the parent what failed.
"""

import sys
from collections.abc import Callable
from importlib import import_module
from typing import BinaryIO

from dropbox_api.render import outcomes
from dropbox_api.render.confinement import confine
from dropbox_api.render.kinds import Kind


def main(kind: str, memory_bytes: int, cpu_s: int) -> int:
    """Write the thumbnails; return the exit status."""
    try:
        pictures = import_module("dropbox_api.render.pictures")
        decode = None if kind == outcomes.PROBE else _import_decoder(Kind(kind))
        confinement = confine(memory_bytes, cpu_s)
    except Exception as error:  # noqa: BLE001 - an installation without a decoder says nothing about the content
        sys.stderr.write(f"{type(error).__name__}: {error}")
        return outcomes.CANNOT_START
    if decode is None:
        sys.stdout.write(f"{int(confinement.has_namespaces)} {confinement.landlock_version}")
        return outcomes.DONE
    try:
        thumbnails = pictures.encode_thumbnails(decode(kind, sys.stdin.buffer))
    except MemoryError:
        return outcomes.OUT_OF_MEMORY
    except Exception:  # noqa: BLE001 - decoders raise anything
        return outcomes.REFUSED
    for thumbnail in thumbnails:
        sys.stdout.buffer.write(len(thumbnail).to_bytes(4) + thumbnail)
    sys.stdout.buffer.flush()
    return outcomes.DONE


def _import_decoder(kind: Kind) -> Callable[[str, BinaryIO], object]:
    """Import only what this kind needs: each decoder is code, and takes memory."""
    if kind.is_video:
        module, function = "videos", "decode_first_frame"
    elif kind is Kind.PDF:
        module, function = "documents", "draw_first_page"
    else:
        module, function = "images", "decode_image"
    decode: Callable[[str, BinaryIO], object] = getattr(import_module(f"dropbox_api.render.{module}"), function)
    return decode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3])))
