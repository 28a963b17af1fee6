"""The kinds of content that get thumbnails, by their first bytes. Everything else gets none: SVG, EPS, text.

Names and declared types do not count: the sender of hostile content chooses them, and with them the decoder.
"""

import re
from enum import StrEnum

_MIB = 1024**2  # the settings' constant would load their library into the confined process
HEAD_BYTES = 64
"""First bytes of the content that decide on its kind."""

IMAGE_MAX_BYTES = 100 * _MIB
DOCUMENT_MAX_BYTES = 200 * _MIB
VIDEO_FIRST_BYTES = 16 * _MIB
VIDEO_LAST_BYTES = 8 * _MIB


class Kind(StrEnum):
    """What a file is; the value names its decoder: Pillow's format, or FFmpeg's."""

    JPEG = "JPEG"
    PNG = "PNG"
    GIF = "GIF"
    WEBP = "WEBP"
    BMP = "BMP"
    TIFF = "TIFF"
    HEIF = "HEIF"
    AVIF = "AVIF"
    PDF = "pdf"
    MOV = "mov"
    MATROSKA = "matroska"

    @property
    def is_video(self) -> bool:
        return self in {Kind.MOV, Kind.MATROSKA}

    @property
    def max_bytes(self) -> int | None:
        """Largest file that is decoded; None for videos, of which only the ends are read."""
        if self.is_video:
            return None
        return DOCUMENT_MAX_BYTES if self is Kind.PDF else IMAGE_MAX_BYTES


_MAGIC = (
    (re.compile(rb"\xff\xd8\xff"), Kind.JPEG),
    (re.compile(rb"\x89PNG\r\n\x1a\n"), Kind.PNG),
    (re.compile(rb"GIF8[79]a"), Kind.GIF),
    (re.compile(rb"RIFF....WEBP", re.DOTALL), Kind.WEBP),
    (re.compile(rb"BM.{8}", re.DOTALL), Kind.BMP),
    (re.compile(rb"II\*\0|MM\0\*"), Kind.TIFF),
    (re.compile(rb"%PDF-"), Kind.PDF),
    (re.compile(rb"\x1aE\xdf\xa3"), Kind.MATROSKA),
    # ISO media: a size, `ftyp`, the major brand, a version, the compatible brands.
    (re.compile(rb"....ftyp(avif|avis|(mif1|msf1)....(.{4}){0,8}avi[fs])", re.DOTALL), Kind.AVIF),
    (re.compile(rb"....ftyp(hei[cmsx]|hev[cmsx]|mif1|msf1)", re.DOTALL), Kind.HEIF),
    (re.compile(rb"....ftyp(qt  |iso[m2-9]|mp4[12]|avc1|3g[gp2]|M4V|MSNV|dash|mmp4|f4v )", re.DOTALL), Kind.MOV),
    (re.compile(rb"....(moov|mdat|wide|free|skip|pnot)", re.DOTALL), Kind.MOV),  # QuickTime before `ftyp`
)


def find_kind(head: bytes) -> Kind | None:
    """Return the kind of content with these first `HEAD_BYTES` bytes; None: it gets no thumbnail."""
    return next((kind for magic, kind in _MAGIC if magic.match(head[:HEAD_BYTES])), None)
