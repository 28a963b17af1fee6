"""Photos, a document and a video, made here, and content that attacks decoders."""

import random
import struct
import zlib
from io import BytesIO
from typing import Any

import av
import pillow_heif
from PIL import Image, ImageCms

RED, BLUE = (200, 30, 30), (30, 30, 200)
ORIENTATION, GPS = 0x0112, 0x8825
PLACE = "Secret Harbour"


def paint(size: tuple[int, int] = (1200, 800), mode: str = "RGB", seed: int = 0) -> Image.Image:
    """Return a picture whose left half is red and whose right half is blue; `seed` makes its bytes unique."""
    picture = Image.new("RGB", size, RED)
    picture.paste(BLUE, (size[0] // 2, 0, *size))
    dots = random.Random(seed)
    for at in range(8):
        picture.putpixel((at, 0), (dots.randrange(256), dots.randrange(256), dots.randrange(256)))
    return picture.convert(mode)


def encode(picture: Image.Image, kind: str, **options: Any) -> bytes:
    output = BytesIO()
    picture.save(output, kind, **options)
    return output.getvalue()


def jpeg(seed: int = 0, size: tuple[int, int] = (1200, 800)) -> bytes:
    return encode(paint(size, seed=seed), "JPEG")


def sideways_jpeg() -> bytes:
    """A photo that a camera stored on its side, with the place and a colour profile."""
    exif = Image.Exif()
    exif[ORIENTATION] = 6  # turn right to see it
    exif[0x010E] = PLACE
    exif.get_ifd(GPS)[1] = "N"
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    return encode(paint(seed=1), "JPEG", exif=exif, icc_profile=profile)


def heic() -> bytes:
    pillow_heif.register_heif_opener()
    return encode(paint((640, 480), seed=2), "HEIF")


def clear_png() -> bytes:
    """Red on the left, transparent on the right."""
    picture = paint(seed=3, mode="RGBA")
    picture.paste((0, 0, 0, 0), (600, 0, 1200, 800))
    return encode(picture, "PNG")


def animation(kind: str) -> bytes:
    """Two frames: the first red and blue, the second black."""
    frames = [paint((300, 200), seed=4), Image.new("RGB", (300, 200))]
    return encode(frames[0], kind, save_all=True, append_images=frames[1:], duration=100)


def pdf() -> bytes:
    return encode(paint((600, 800), seed=5), "PDF")


def video(size: tuple[int, int] = (640, 360)) -> bytes:
    output = BytesIO()
    container = av.open(output, "w", format="mp4")
    stream = container.add_stream("mpeg4", rate=24)
    stream.width, stream.height = size
    stream.pix_fmt = "yuv420p"
    for _ in range(5):
        frame = av.VideoFrame.from_image(paint(size))  # type: ignore[no-untyped-call]
        container.mux(stream.encode(frame))
    container.mux(stream.encode())
    container.close()
    return output.getvalue()


# Attacks


def _png_chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png_bomb(width: int = 9_900, height: int = 9_900, bits: int = 16) -> bytes:
    """A PNG file of a few hundred kilobytes, of `width` times `height` pixels of four channels."""
    rows = zlib.compressobj(9)
    row = bytes(1 + width * 4 * bits // 8)
    packed = b"".join(rows.compress(row) for _ in range(height)) + rows.flush()
    header = struct.pack(">IIBBBBB", width, height, bits, 6, 0, 0, 0)
    chunks = _png_chunk(b"IHDR", header) + _png_chunk(b"IDAT", packed) + _png_chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + chunks


def slow_pdf(fills: int = 300_000) -> bytes:
    """A page that is painted as a whole `fills` times."""
    return _write_pdf([b"0 0 600 800 re f\n" * fills])


def nested_pdf(depth: int = 12, width: int = 10) -> bytes:
    """A page that draws a form `width` ** `depth` times: each form draws the next one `width` times."""
    return _write_pdf([b"/F Do " * width] * depth + [b"0 0 500 500 re f"])


def _write_pdf(drawings: list[bytes]) -> bytes:
    """Return a PDF file whose page is the first drawing; `/F` in a drawing is the next one."""
    form = b"/Type /XObject /Subtype /Form /BBox [0 0 600 800]"
    objects = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
        b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 600 800] /Contents 4 0 R"
        b" /Resources << /XObject << /F 5 0 R >> >> >>",
    ]
    for number, drawing in enumerate(drawings, 4):
        resources = b"/Resources << /XObject << /F %d 0 R >> >>" % (number + 1)
        parts = (form, resources, len(drawing), drawing)
        objects.append(b"<< %s %s /Length %d >>\nstream\n%s\nendstream" % parts)
    output, places = b"%PDF-1.7\n", []
    for number, body in enumerate(objects, 1):
        places.append(len(output))
        output += b"%d 0 obj\n%s\nendobj\n" % (number, body)
    table = b"".join(b"%010d 00000 n \n" % place for place in places)
    size = len(objects) + 1
    end = (size, table, size, len(output))
    return (
        output + b"xref\n0 %d\n0000000000 65535 f \n%strailer << /Size %d /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF" % end
    )


def svg(address: str) -> bytes:
    """An SVG image that loads another one."""
    image = f'<image href="{address}" xlink:href="{address}" width="10" height="10"/>'
    spaces = 'xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink"'
    return f'<?xml version="1.0"?><svg {spaces} width="10" height="10">{image}</svg>'.encode()
