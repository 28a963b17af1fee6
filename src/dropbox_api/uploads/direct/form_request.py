"""Forms as requests: read one from a body, and turn its fields into the destination of its file."""

import contextlib
import uuid
from collections.abc import AsyncIterator, Iterator, Mapping

from pydantic import ValidationError

from dropbox_api import problems
from dropbox_api.core.content_types import guess_content_type
from dropbox_api.files import put
from dropbox_api.uploads.destinations import NamedPlace
from dropbox_api.uploads.direct.body import RequestBody
from dropbox_api.uploads.direct.form import BadForm, FileHeader, Form
from dropbox_api.uploads.schemas import AddDestination

FORM_OVERHEAD_BYTES = 64 * 1024
"""What a form may hold beside its file."""
FORM_FIELDS = ("name", "parent_id", "folder_path", "on_conflict", "content_type", "client_modified_at")
LINK_FORM_FIELDS = ("name",)
MAX_FORM_FILES = 1_000


def open_form(body: RequestBody, fields: tuple[str, ...], max_bytes: int, max_files: int = 1) -> Form:
    """Return a parser for the form that a body brings, with at most `max_bytes` of content in all its files.

    Raises BodyTooLarge, InvalidRequest.
    """
    body.require_size(max_bytes + FORM_OVERHEAD_BYTES, max_bytes)
    with _form_problems():
        return Form(body.content_type or "", fields, max_files)


FormFile = tuple[FileHeader, AsyncIterator[bytes]]
"""The headers of a form's file, and its content, to be read before the next file."""


async def read_files(body: RequestBody, form: Form, max_bytes: int) -> AsyncIterator[FormFile]:
    """Read a form to its end; yield its files as they come, at least one.

    The fields before a file are in `form.fields` when it is yielded, the others after the content of the last file.
    Raises BodyTooLarge, InvalidRequest; also from the content, whose end is reached only in a form that is well-formed.
    """
    pieces = _read_pieces(body, form, max_bytes)
    upcoming = await anext(pieces, None)

    async def read_content() -> AsyncIterator[bytes]:
        nonlocal upcoming
        async for piece in pieces:
            if isinstance(piece, FileHeader):
                upcoming = piece
                return
            yield piece

    while isinstance(upcoming, FileHeader):
        header, upcoming = upcoming, None
        yield header, read_content()


async def _read_pieces(body: RequestBody, form: Form, max_bytes: int) -> AsyncIterator[FileHeader | bytes]:
    """Yield the headers of each file, and then its content in pieces."""
    received = 0
    async for block in body.blocks:
        received += len(block)
        if received > max_bytes + FORM_OVERHEAD_BYTES:
            raise problems.BodyTooLarge(max_bytes=max_bytes)
        with _form_problems():
            pieces = form.feed(block)
        for piece in pieces:
            yield piece
    with _form_problems():
        form.close()


def read_named_folder(form: Form) -> uuid.UUID | None:
    """Return the folder that the fields before the file name by id.

    None where they name none, or nonsense: `parse_target` refuses that, and both ways of naming a folder, in the end.
    """
    if "folder_path" in form.fields or not form.fields.get("parent_id"):
        return None
    try:
        return uuid.UUID(form.fields["parent_id"])
    except ValueError:
        return None


def parse_target(file: FileHeader, fields: Mapping[str, str]) -> AddDestination:
    """Return the destination of a form's file. Raises InvalidRequest."""
    given = {"name": file.filename, "content_type": file.content_type, **fields}
    top = ("content_type", "client_modified_at")
    values = {name: value for name, value in given.items() if value is not None}
    shape = {name: values.pop(name) for name in top if name in values} | {"destination": values}
    try:
        return AddDestination.model_validate(shape)
    except ValidationError as error:
        found = error.errors(include_url=False, include_context=False, include_input=False)
        pointers = ["".join(f"/{part}" for part in entry["loc"] if part != "destination") for entry in found]
        details = [entry["msg"].removeprefix("Value error, ") for entry in found]
        raise _invalid(*zip(pointers, details, strict=True)) from None


def make_placement(
    target: AddDestination, place: NamedPlace, folder_id: uuid.UUID, author_id: uuid.UUID, content: put.Content
) -> put.Placement:
    """Return the placement of a form's file; `place` is the parsed destination of `target`."""
    return put.Placement(
        destination_id=None,
        parent_id=folder_id,
        name=place.name,
        on_conflict=target.destination.on_conflict,
        base_revision_id=None,
        content_type=target.content_type or guess_content_type(place.name),
        client_modified_at=target.client_modified_at,
        author_id=author_id,
        content=content,
    )


@contextlib.contextmanager
def _form_problems() -> Iterator[None]:
    """Turn a malformed form into InvalidRequest."""
    try:
        yield
    except BadForm as bad:
        raise _invalid((bad.pointer, str(bad))) from None


def _invalid(*errors: tuple[str, str]) -> problems.InvalidRequest:
    return problems.InvalidRequest(errors=[{"pointer": pointer, "detail": detail} for pointer, detail in errors])
