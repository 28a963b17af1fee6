"""Draw the first page of a PDF file with PDFium, which this build has without JavaScript."""

from typing import BinaryIO

import pypdfium2
from PIL import Image

from dropbox_api.core.thumbnails import LARGE_PX
from dropbox_api.render.pictures import reduce_picture

_MAX_SCALE = 4.0
"""Of a page in points (1/72 inch): a small page is drawn at 288 dots per inch at most."""


def draw_first_page(_kind: str, file: BinaryIO) -> Image.Image:
    """Return the page on white. Raises as PDFium does."""
    page = pypdfium2.PdfDocument(file)[0]
    scale = min(LARGE_PX / max(*page.get_size(), 1), _MAX_SCALE)
    return reduce_picture(page.render(scale=scale).to_pil())
