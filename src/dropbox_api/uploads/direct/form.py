"""A form with one file in it, taken apart as its bytes come in. Pure: no I/O, and of the file nothing is kept.

Source: RFC 7578 (multipart/form-data); the HTML Standard, "multipart form data" (what browsers escape in file names).
"""

import re
from collections.abc import Collection
from dataclasses import dataclass

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

MAX_FIELD_BYTES = 16 * 1024
"""Of one field's value; the file is counted by whoever takes its bytes."""

_ESCAPES = {"%22": '"', "%0D": "\r", "%0A": "\n"}
"""All that browsers escape in a file name: any other `%` is one."""
_ESCAPED = re.compile("|".join(_ESCAPES), re.IGNORECASE)


class BadForm(ValueError):
    """This is no form that is taken here; `pointer` names the field ("" the form), the message is for people."""

    def __init__(self, pointer: str, message: str) -> None:
        super().__init__(message)
        self.pointer = pointer


@dataclass(frozen=True, slots=True)
class FileHeader:
    """What a form says about its file."""

    filename: str | None
    """Without the folders that old browsers send along."""
    content_type: str | None


class Form:
    """One form: `feed` it as long as there is something, then `close` it.

    `content_type` is the request's header, `allowed` names the fields that may come along with the `file`, each once
    and in any order. `fields` holds those that have come, whole; `file` is None before the file begins.

    Raises BadForm, here and in both methods.
    """

    def __init__(self, content_type: str, allowed: Collection[str]) -> None:
        self.fields: dict[str, str] = {}
        self.file: FileHeader | None = None
        self._allowed = allowed
        self._headers: dict[str, bytes] = {}
        self._header_name = b""
        self._header_value = b""
        self._field: str | None = None
        """The field whose value is coming, None while it is the file's."""
        self._value = b""
        self._content: list[bytes] = []
        self._is_whole = False
        kind, options = parse_options_header(content_type)
        boundary = options.get(b"boundary")
        if kind != b"multipart/form-data" or not boundary:
            raise BadForm("/Content-Type", "should be multipart/form-data with a boundary")
        try:
            self._parser = MultipartParser(
                boundary,
                {
                    "on_part_begin": self._begin,
                    "on_header_field": self._on_header_name,
                    "on_header_value": self._on_header_value,
                    "on_header_end": self._on_header_end,
                    "on_headers_finished": self._on_headers,
                    "on_part_data": self._on_data,
                    "on_part_end": self._on_end,
                    "on_end": self._on_form_end,
                },
            )
        except FormParserError as error:
            raise BadForm("/Content-Type", str(error)) from None

    def feed(self, block: bytes) -> list[bytes]:
        """Take the next bytes of the form; return those of the file among them."""
        self._content = []
        try:
            self._parser.write(block)
        except FormParserError as error:
            raise BadForm("", f"This is not a form: {error}") from None
        return self._content

    def close(self) -> FileHeader:
        """Say that this was all; return what is known about the file."""
        if not self._is_whole:
            raise BadForm("", "The form ends before its last boundary")
        if self.file is None:
            raise BadForm("/file", "Field required")
        return self.file

    # What the parser finds

    def _begin(self) -> None:
        self._headers = {}
        self._header_name = self._header_value = self._value = b""

    def _on_header_name(self, data: bytes, start: int, end: int) -> None:
        self._header_name += data[start:end]

    def _on_header_value(self, data: bytes, start: int, end: int) -> None:
        self._header_value += data[start:end]

    def _on_header_end(self) -> None:
        self._headers[self._header_name.decode("ascii").lower()] = self._header_value
        self._header_name = self._header_value = b""

    def _on_headers(self) -> None:
        kind, options = parse_options_header(self._headers.get("content-disposition"))
        if kind != b"form-data" or b"name" not in options:
            raise BadForm("", "A part of the form has no name")
        name = _text("", options[b"name"])
        if name == "file":
            if self.file is not None:
                raise BadForm("/file", "One file a request")
            self._field = None
            self.file = FileHeader(_filename(options.get(b"filename")), _content_type(self._headers))
            return
        if name not in self._allowed:
            raise BadForm("", f"There is no field of this name; the fields are file, {', '.join(self._allowed)}")
        if name in self.fields:
            raise BadForm(f"/{name}", "The field appears twice")
        self._field = name

    def _on_data(self, data: bytes, start: int, end: int) -> None:
        if self._field is None:
            self._content.append(data[start:end])
        elif len(self._value) + end - start > MAX_FIELD_BYTES:
            raise BadForm(f"/{self._field}", f"A field has at most {MAX_FIELD_BYTES} bytes")
        else:
            self._value += data[start:end]

    def _on_end(self) -> None:
        if self._field is not None:
            self.fields[self._field] = _text(f"/{self._field}", self._value)

    def _on_form_end(self) -> None:
        self._is_whole = True


def _filename(value: bytes | None) -> str | None:
    if value is None:
        return None
    name = _ESCAPED.sub(lambda found: _ESCAPES[found[0].upper()], _text("/file", value))
    return re.split(r"[/\\]", name)[-1] or None


def _content_type(headers: dict[str, bytes]) -> str | None:
    value = headers.get("content-type")
    return _text("/file", value) if value else None


def _text(pointer: str, value: bytes) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError:
        raise BadForm(pointer, "should be UTF-8") from None
