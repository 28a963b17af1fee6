"""Decode images with Pillow, by the one decoder of their kind; of an animation, the first frame."""

from typing import BinaryIO

import pillow_heif
from PIL import AvifImagePlugin, Image, ImageFile, MpoImagePlugin, TiffImagePlugin

from dropbox_api.render.pictures import reduce_picture

pillow_heif.register_heif_opener()
pillow_heif.options.DECODE_THREADS = 1
Image.MAX_IMAGE_PIXELS = None  # `reduce_picture` has a limit, after the reduction of a JPEG
ImageFile.LOAD_TRUNCATED_IMAGES = False
_LOADED = (AvifImagePlugin, MpoImagePlugin, TiffImagePlugin)
"""Modules that Pillow would import later, when the process may no longer read files."""


def decode_image(kind: str, file: BinaryIO) -> Image.Image:
    """Return the image, reduced. Raises as Pillow and `reduce_picture` do."""
    return reduce_picture(Image.open(file, formats=[kind]))
