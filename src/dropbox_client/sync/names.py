"""Names on disk and on the server: keys, escapes, and names for what cannot have its own.

The server keeps names in NFC and holds two names of one key (`models.files.normalize_name`) only in different folders.
A disk keeps bytes; what it takes as equal, and cannot hold, is probed for each root (`RootTraits`). Base remembers the
pair of names, so nothing here has to be an inverse of `read_name`: only `read_name(write_name(x)) == x` must hold, or
a name would change on its way through a disk.
"""

import itertools
import re
import unicodedata
from collections.abc import Callable, Container, Iterator
from dataclasses import dataclass
from typing import Final

from dropbox_client.models.files import normalize_name

MAX_BYTES: Final = 255
"""Of a name in UTF-8, on the server and on ext4, APFS and NTFS."""
_MAX_DEVICE_BYTES = 60

_EXTENSION = re.compile(r"(?<=[^.])(?:\.tar)?\.[^.\s]{1,16}$", re.IGNORECASE)
"""`.pdf`, `.tar.gz`; as the server cuts names."""
_CONFLICT = re.compile(
    r"(?a: \(conflict copy of [^()]+ \d{4}-\d\d-\d\d(?: \d+)?\))(?=(?:\.tar)?\.[^.\s]{1,16}$|$)", re.IGNORECASE
)
"""The web app has the same (`conflictNames.ts`)."""
_NOT_ON_WINDOWS = re.compile(r'[<>:"\\|?*]|%(?=[0-9A-F]{2})|[. ]$')
_DEVICE_FILE = re.compile(r"(?:con|prn|aux|nul|conin\$|conout\$|(?:com|lpt)[0-9¹²³]) *(?=\.|$)", re.IGNORECASE)
_ESCAPE = re.compile("%([2-7][0-9A-F])")


class BadLocalName(ValueError):
    """A name that the other side cannot hold; the message is for people."""


@dataclass(frozen=True, slots=True)
class RootTraits:
    """What the file system of a root does to names, as probed when the root is added."""

    is_case_blind: bool = False
    """`a` and `A`, and NFC and NFD, are one name (APFS, NTFS, ext4 with casefold)."""
    is_decomposed: bool = False
    """Names come back in NFD (HFS+)."""
    is_windows: bool = False
    """Refuses the characters and names that Windows refuses: they are escaped as `%3A`."""


PLAIN: Final = RootTraits()
"""A disk that keeps every name as it is, as the server does."""


def make_local_key(name: bytes, traits: RootTraits) -> bytes:
    """Return the key that is unique in a directory of this root."""
    if not (traits.is_case_blind or traits.is_decomposed):
        return name
    text = name.decode(errors="surrogateescape")
    key = normalize_name(text) if traits.is_case_blind else unicodedata.normalize("NFC", text)
    return key.encode(errors="surrogateescape")


def read_name(name: bytes, traits: RootTraits) -> str:
    """Return the server's name for one on disk. Raises: BadLocalName."""
    try:
        text = unicodedata.normalize("NFC", name.decode())
    except UnicodeDecodeError:
        raise BadLocalName("the name is not valid UTF-8") from None
    if traits.is_windows:
        plain = _ESCAPE.sub(lambda match: chr(int(match[1], 16)), text)
        if _escape(plain) == text:
            text = plain
    if any(unicodedata.category(character) in {"Cc", "Zl", "Zp"} for character in text):
        raise BadLocalName("the name holds a control character or a line break")
    if not text or text in {".", ".."} or "/" in text:
        raise BadLocalName("the server cannot hold such a name")
    if len(text.encode()) > MAX_BYTES:
        raise BadLocalName(f"the name has more than {MAX_BYTES} bytes in UTF-8")
    return text


def write_name(name: str, traits: RootTraits) -> bytes:
    """Return the name on disk for one of the server.

    Raises: BadLocalName: too long when escaped or decomposed, or it would come back as another name.
    """
    written = _encode(name, traits)
    if len(written) > MAX_BYTES:
        raise BadLocalName(f"the name has more than {MAX_BYTES} bytes on this disk")
    if traits.is_windows and read_name(written, traits) != name:  # an accent after `<` would join the C of `%3C`
        raise BadLocalName("this disk cannot hold such a name")
    return written


def _encode(name: str, traits: RootTraits) -> bytes:
    text = _escape(name) if traits.is_windows else name
    return (unicodedata.normalize("NFD", text) if traits.is_decomposed else text).encode()


def _escape(name: str) -> str:
    """Replace what Windows refuses, and each `%` that would read as an escape, by `%XX`."""
    escaped = _NOT_ON_WINDOWS.sub(lambda match: f"%{ord(match[0]):02X}", name)
    return f"%{ord(escaped[0]):02X}{escaped[1:]}" if _DEVICE_FILE.match(escaped) else escaped


def make_conflict_names(name: str, device: str, day: str, traits: RootTraits = PLAIN) -> Iterator[str]:
    """Yield names for the conflict copy of `name`: `NAME (conflict copy of DEVICE 2026-11-30).ext`, then with numbers.

    `day` is `YYYY-MM-DD`. The mark of an earlier conflict is replaced: a copy of a copy has one mark.
    """
    plain = _CONFLICT.sub("", name)
    shown = re.sub(r"[()/\s]+|[^\w\s.-]+", " ", unicodedata.normalize("NFC", device)).strip() or "another device"
    shown = _cut(shown, _MAX_DEVICE_BYTES).strip()
    return _make_marked(plain, lambda n: f" (conflict copy of {shown} {day}{f' {n}' if n > 1 else ''})", traits)


def is_conflict_name(name: str) -> bool:
    """Return whether a name is one that `make_conflict_names` yields."""
    return _CONFLICT.search(name) is not None


def make_twin_names(name: str, traits: RootTraits = PLAIN) -> Iterator[str]:
    """Yield names beside a taken one: `report (1).pdf`, as the server makes them."""
    return _make_marked(name, lambda n: f" ({n})", traits)


def make_park_names(name: str, token: str, traits: RootTraits = PLAIN) -> Iterator[str]:
    """Yield names of an entry on its way: `report (moving 1a2b).pdf`."""
    return _make_marked(name, lambda n: f" (moving {token}{f' {n}' if n > 1 else ''})", traits)


def pick_free_name(names: Iterator[str], taken: Container[str]) -> str:
    """Return the first name whose key is not taken."""
    return next(name for name in names if normalize_name(name) not in taken)


def _make_marked(name: str, mark: Callable[[int], str], traits: RootTraits) -> Iterator[str]:
    """Yield `name` with the marks of 1, 2, ... before its extension; the stem is cut to `MAX_BYTES` in all, on the
    server and on disk.
    """
    match = _EXTENSION.search(name)
    stem, extension = (name[: match.start()], match[0]) if match else (name, "")
    for n in itertools.count(1):
        end = mark(n) + extension
        fitting = _cut(stem, MAX_BYTES - len(end.encode()))
        while fitting and len(_encode(fitting + end, traits)) > MAX_BYTES:
            fitting = fitting[:-1]
        yield fitting + end


def _cut(text: str, size_bytes: int) -> str:
    return text.encode()[:size_bytes].decode(errors="ignore")
