"""Decode the first frame of a video with FFmpeg's libraries.

FFmpeg gets the container's name and an open file, so that it neither guesses another demuxer, such as a playlist, nor
opens an address from the content.
"""

from typing import BinaryIO

import av
import av.subtitles.stream
import av.video.reformatter
from PIL import Image

from dropbox_api.core.thumbnails import LARGE_PX
from dropbox_api.render.pictures import MAX_PIXELS, RefusedError, reduce_picture

_LOADED = (av.subtitles.stream, av.video.reformatter)
"""Modules that PyAV would import later, when the process may no longer read files."""
av.logging.set_level(None)


def decode_first_frame(kind: str, file: BinaryIO) -> Image.Image:
    """Return the frame upright. Raises RefusedError, and as PyAV does."""
    with av.open(file, "r", format=kind, options={"protocol_whitelist": ""}) as container:
        stream = next(iter(container.streams.video), None)
        if stream is None or stream.width * stream.height > MAX_PIXELS:
            raise RefusedError("no video, or too many pixels")
        stream.thread_type, stream.thread_count = "NONE", 1
        frame = next(container.decode(stream))
        scale = min(LARGE_PX / max(frame.width, frame.height), 1)
        size = (max(1, round(frame.width * scale)), max(1, round(frame.height * scale)))
        picture = frame.reformat(*size, format="rgb24").to_image()  # type: ignore[no-untyped-call]
        return reduce_picture(picture.rotate(frame.rotation, expand=True))
