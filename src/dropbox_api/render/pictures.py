"""Two thumbnails of a decoded picture: upright, in sRGB, without metadata, never enlarged."""

from io import BytesIO

from PIL import Image, ImageCms, ImageOps, WebPImagePlugin

from dropbox_api.core.thumbnails import LARGE_PX, SIZES_PX

MAX_PIXELS = 100_000_000
"""Pixels that a decoder may have to hold at once: 400 MB in colour."""
_QUALITY = 80

Image.preinit()
_LOADED = WebPImagePlugin
"""With the plug-ins of `preinit`, what Pillow would import later, when the process may no longer read files."""
_SRGB = ImageCms.createProfile("sRGB")


class RefusedError(Exception):
    """The content is not decoded."""


def reduce_picture(picture: Image.Image) -> Image.Image:
    """Return the picture at the largest size, upright, in sRGB, with alpha where it has any.

    Raises RefusedError, and what Pillow raises for damaged content.
    """
    picture.draft("RGB", (2 * LARGE_PX, 2 * LARGE_PX))  # a JPEG is decoded at a fraction of its size
    if picture.width * picture.height > MAX_PIXELS:
        raise RefusedError("too many pixels")
    profile = picture.info.get("icc_profile")
    turned = picture.getexif().get(0x0112)
    if picture.mode.startswith("I;16"):
        picture = picture.convert("I").point([value / 256 for value in range(65536)], "L")
    elif picture.mode in {"P", "PA", "1"}:
        picture = picture.convert("RGBA" if picture.has_transparency_data else "RGB")
    picture.thumbnail((LARGE_PX, LARGE_PX), reducing_gap=2.0)
    if turned:
        picture.getexif()[0x0112] = turned
        picture = ImageOps.exif_transpose(picture)
    return _convert_to_srgb(picture, profile)


def _convert_to_srgb(picture: Image.Image, profile: bytes | None) -> Image.Image:
    mode = "RGBA" if picture.has_transparency_data else "RGB"
    if profile and picture.mode in {"RGB", "RGBA", "CMYK", "L"}:
        try:
            own = ImageCms.ImageCmsProfile(BytesIO(profile))
            converted = ImageCms.profileToProfile(picture, own, _SRGB, outputMode=mode)
            picture = converted or picture
        except (ImageCms.PyCMSError, OSError):  # a profile that says nothing: the values are taken as sRGB
            pass
    return picture.convert(mode)


def encode_thumbnails(picture: Image.Image) -> list[bytes]:
    """Return the WebP images of a picture of at most `LARGE_PX`, one for each of `SIZES_PX`."""
    thumbnails = []
    for size_px in SIZES_PX:
        smaller = picture.copy()
        smaller.thumbnail((size_px, size_px), reducing_gap=2.0)
        smaller.info = {}  # Pillow would write the colour profile and the metadata
        output = BytesIO()
        smaller.save(output, "WEBP", quality=_QUALITY, method=4)
        thumbnails.append(output.getvalue())
    return thumbnails
