"""The ETag header of a file: its version, for a later If-Match."""

from fastapi import Response

from dropbox_api.files.schemas import File


def add_etag(response: Response, file: File) -> File:
    """Set the ETag header of a response that shows a file; return the file."""
    response.headers["ETag"] = file.etag
    return file
