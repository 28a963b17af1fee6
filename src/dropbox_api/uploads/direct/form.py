"""A parser for forms with files, fed block by block. Pure: no I/O, and it keeps no byte of a file.

Source: RFC 7578 (multipart/form-data); the HTML Standard, "multipart form data" (how browsers escape file names); RFC
8187 section 3.2 (`filename*`, which RFC 7578 forbids and several HTTP libraries send).
"""

import re
from collections.abc import Collection
from dataclasses import dataclass
from urllib.parse import unquote_to_bytes

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from dropbox_api.core import content_types

MAX_FIELD_BYTES = 16 * 1024
"""Of one field's value; the caller counts the bytes of the file."""

_ESCAPES = {"%22": '"', "%0D": "\r", "%0A": "\n"}
"""All that browsers escape in a file name; every other `%` is a plain character."""
_ESCAPED = re.compile("|".join(_ESCAPES), re.IGNORECASE)

_PARAMETER = re.compile(rb';\s*([^\s=;"]+)\s*=\s*("(?:[^"\\]|\\.)*"|[^;"]*)', re.DOTALL)
_EXTENDED_NAME = re.compile(rb"(UTF-8|ISO-8859-1)'[^']*'((?:[^%\s\"]|%[0-9A-F]{2})*)", re.IGNORECASE)


class BadForm(ValueError):
    """The form is malformed or unexpected; `pointer` names the field ("" the form), the message is for people."""

    def __init__(self, pointer: str, message: str) -> None:
        super().__init__(message)
        self.pointer = pointer


@dataclass(frozen=True, slots=True)
class FileHeader:
    """The headers of a form's file."""

    filename: str | None
    """Without the folders that old browsers add."""
    content_type: str | None
    """None also for `application/octet-stream`, which clients send for a type that they do not know."""


class Form:
    """One form: `feed` it block by block, then `close` it.

    `content_type` is the request's header, `allowed` names the fields that may accompany the `file`, each once and in
    any order. `fields` holds the complete ones so far; `file` is the newest of at most `max_files` files, None
    before the first one begins.

    Raises BadForm, here and in both methods.
    """

    def __init__(self, content_type: str, allowed: Collection[str], max_files: int = 1) -> None:
        self.fields: dict[str, str] = {}
        self.file: FileHeader | None = None
        self._allowed = allowed
        self._files_left = max_files
        self._headers: dict[str, bytes] = {}
        self._header_name = b""
        self._header_value = b""
        self._field: str | None = None
        """The field whose value is being read, None while it is the file."""
        self._value = b""
        self._content: list[FileHeader | bytes] = []
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

    def feed(self, block: bytes) -> list[FileHeader | bytes]:
        """Parse the next bytes of the form; return the headers and the bytes of the files among them, in order."""
        self._content = []
        try:
            self._parser.write(block)
        except FormParserError as error:
            raise BadForm("", f"This is not a form: {error}") from None
        return self._content

    def close(self) -> FileHeader:
        """End the form; return the headers of its last file."""
        if not self._is_whole:
            raise BadForm("", "The form ends before its last boundary")
        if self.file is None:
            raise BadForm("/file", "Field required")
        return self.file

    # Callbacks of the parser

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
            if not self._files_left:
                raise BadForm("/file", "There are too many files in one request")
            self._files_left -= 1
            self._field = None
            self.file = FileHeader(self._read_filename(options.get(b"filename")), _content_type(self._headers))
            self._content.append(self.file)
            return
        if name not in self._allowed:
            raise BadForm("", f"There is no field of this name; the fields are file, {', '.join(self._allowed)}")
        if name in self.fields:
            raise BadForm(f"/{name}", "The field appears twice")
        self._field = name

    def _read_filename(self, plain: bytes | None) -> str | None:
        """Return the last component of `filename*`, or else of `filename`, which is a fallback for other readers."""
        parameters = _PARAMETER.findall(self._headers["content-disposition"])
        extended = next((value for name, value in parameters if name.lower() == b"filename*"), None)
        name = None if extended is None else _decode_extended(extended.strip(b' "'))
        if name is None and plain is None and extended is not None:
            raise BadForm("/file", "Its filename* should be UTF-8'' and the percent-encoded name")
        if name is None and plain is not None:
            name = _ESCAPED.sub(lambda found: _ESCAPES[found[0].upper()], _text("/file", plain))
        return None if name is None else re.split(r"[/\\]", name)[-1] or None

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


def _decode_extended(value: bytes) -> str | None:
    """Return the name in the value of `filename*`; None if it is malformed."""
    parts = _EXTENDED_NAME.fullmatch(value)
    try:
        return unquote_to_bytes(parts[2]).decode(parts[1].decode("ascii")) if parts else None
    except UnicodeDecodeError:
        return None


def _content_type(headers: dict[str, bytes]) -> str | None:
    declared = _text("/file", headers.get("content-type", b""))
    return None if declared.strip().lower() in {"", content_types.UNKNOWN} else declared


def _text(pointer: str, value: bytes) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError:
        raise BadForm(pointer, "should be UTF-8") from None
