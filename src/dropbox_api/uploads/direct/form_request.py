"""Forms as requests: read one from a body, and turn its fields into the destination of its file."""

import contextlib
import uuid
from collections.abc import AsyncIterator, Iterator, Mapping

from pydantic import ValidationError

from dropbox_api import problems
from dropbox_api.files import put
from dropbox_api.files.paths import FileTarget, Target
from dropbox_api.uploads.destinations import FilePlace, FolderReference, NamedPlace, Place, choose_content_type
from dropbox_api.uploads.direct.body import RequestBody
from dropbox_api.uploads.direct.form import BadForm, FileHeader, Form
from dropbox_api.uploads.schemas import AddDestination

FORM_OVERHEAD_BYTES = 64 * 1024
"""What a form may hold beside its file."""
FORM_FIELDS = (
    "name",
    "parent_id",
    "folder_path",
    "file_id",
    "on_conflict",
    "base_revision_id",
    "content_type",
    "client_modified_at",
    "executable",
)
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


def read_named_place(form: Form) -> Place | None:
    """Return the file or the folder that the fields before the form's file name by id.

    None where they name none, or nonsense: `parse_target` refuses that, and contradictory fields, in the end.
    """
    fields = form.fields
    with contextlib.suppress(ValueError):
        if "file_id" in fields and "base_revision_id" in fields:
            return FilePlace(uuid.UUID(fields["file_id"]), uuid.UUID(fields["base_revision_id"]))
        if fields.get("parent_id") and "folder_path" not in fields:
            return NamedPlace(FolderReference(uuid.UUID(fields["parent_id"])), "", "fail")
    return None


def parse_target(file: FileHeader, fields: Mapping[str, str]) -> AddDestination:
    """Return the destination of a form's file. Raises InvalidRequest."""
    name = {} if "file_id" in fields else {"name": file.filename}
    given = {"content_type": file.content_type, **name, **fields}
    top = ("content_type", "client_modified_at", "executable")
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
    wanted: AddDestination, target: Target | FileTarget, author_id: uuid.UUID, content: put.Content
) -> put.Placement:
    """Return the placement of a form's file; `target` is that of the destination of `wanted`."""
    return put.Placement(
        destination_id=None,
        target=target,
        base_revision_id=wanted.destination.base_revision_id,
        content_type=choose_content_type(target, wanted),
        client_modified_at=wanted.client_modified_at,
        executable=wanted.executable,
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
