"""Names of files and folders: which are allowed, when two are the same, and what a conflict copy is called.

Names are kept as typed, in NFC. Two names in one folder are the same when their keys (`make_key`) are equal. What some
file systems cannot hold (Windows' reserved names and `:`, trailing dots and spaces) is allowed here and handled by the
sync client. Bidirectional controls are part of some names; the display handles them.
Source: Unicode 3.13 (default caseless matching), UAX #15 (NFC).
"""

import itertools
import re
import unicodedata
from collections.abc import Container
from typing import Literal

MAX_BYTES = 255
"""Of a name in UTF-8: what ext4, APFS and NTFS have in common."""
MAX_DEPTH = 100
"""Of a path, in names."""

NameReason = Literal["empty", "dot-name", "slash", "control-character", "surrogate", "too-long", "too-deep"]

_EXTENSION = re.compile(r"(?<=[^.])(?:\.tar)?\.[^.\s]{1,16}$", re.IGNORECASE)
"""`.pdf`, `.tar.gz`; not the whole of `.bashrc`, not `. and so on` in a sentence."""


_NOT_IN_ARCHIVES = re.compile(r'[\\:*?"<>|\u202a-\u202e\u2066-\u2069]|[. ]+$')
"""What Windows refuses, drops or takes for a path, and what turns the direction of all that is displayed after it."""
_DEVICE = re.compile(r"(?:con|prn|aux|nul|conin\$|conout\$|(?:com|lpt)[0-9¹²³]) *(?=\.|$)", re.IGNORECASE)


class BadName(ValueError):
    """This cannot be a name or path; `reason` is stable and may be tested, the message is for people."""

    def __init__(self, reason: NameReason, message: str) -> None:
        super().__init__(message)
        self.reason = reason


def clean_name(name: str) -> str:
    """Return the NFC form of a name of one file or folder, otherwise as typed.

    Raises: BadName (empty, dot-name, slash, control-character, surrogate, too-long).
    """
    # NFC shrinks a string at most fourfold. Ask before normalising: long runs of combining marks cost quadratic time.
    if len(name) > 4 * MAX_BYTES:
        raise _too_long()
    name = unicodedata.normalize("NFC", name)
    if not name:
        raise BadName("empty", "a name has at least one character")
    if name in {".", ".."}:
        raise BadName("dot-name", f"{name!r} means a folder, it cannot name one")
    if "/" in name:
        raise BadName("slash", "a name holds no slash")
    # U+2028 and U+2029 end a line in logs, JavaScript and headers, as control characters do.
    categories = {unicodedata.category(character) for character in name}
    if categories & {"Cc", "Zl", "Zp"}:
        raise BadName("control-character", "a name holds no control characters and no line breaks")
    if "Cs" in categories:
        raise BadName("surrogate", "a name is valid Unicode: no lone surrogates")
    if len(name.encode()) > MAX_BYTES:
        raise _too_long()
    return name


def make_key(name: str) -> str:
    """Return what makes a name unique in its folder: blind to case and to Unicode composition. Idempotent.

    A key is for comparison only; it may be longer than the name.
    """
    folded = unicodedata.normalize("NFC", name).casefold()
    return unicodedata.normalize("NFC", folded)  # folding may decompose: U+01F0


def make_conflict_name(name: str, n: int) -> str:
    """Return the `n`-th (1-based) alternative to a clean name: `report (1).pdf`, `src (1).tar.gz`.

    The result is clean: where it would exceed `MAX_BYTES`, the stem loses whole characters from its end.
    """
    match = _EXTENSION.search(name)
    stem, extension = (name[: match.start()], match[0]) if match else (name, "")
    suffix = f" ({n}){extension}"
    return stem.encode()[: MAX_BYTES - len(suffix.encode())].decode(errors="ignore") + suffix


def pick_free_name(name: str, taken_keys: Container[str]) -> str:
    """Return the clean name itself, or its first conflict name, whose key is not taken."""
    candidates = itertools.chain([name], (make_conflict_name(name, n) for n in itertools.count(1)))
    return next(candidate for candidate in candidates if make_key(candidate) not in taken_keys)


def make_archive_name(name: str) -> str:
    """Return a clean name as every system can unpack it, what some cannot hold being `_`. Clean; idempotent.

    Different names may become the same one, and then need `make_conflict_name`.
    Source: Microsoft's "Naming Files, Paths, and Namespaces".
    """
    safe = _NOT_IN_ARCHIVES.sub(lambda refused: "_" * len(refused[0]), name)
    device = _DEVICE.match(safe)
    if device is None:
        return safe
    longer = f"{safe[: device.end()]}_{safe[device.end() :]}"
    shorter = longer.encode()[:MAX_BYTES].decode(errors="ignore")
    return shorter if shorter == longer else make_archive_name(shorter)  # the cut may leave a dot or space at the end


def split_path(path: str) -> list[str]:
    """Return the clean names of `/a/b/c`, from the root down; one slash in front and one behind are optional.

    "" and "/" are the root: no names. At most `MAX_DEPTH` names.

    Raises: BadName (too-deep, or what `clean_name` raises for one of the names; "empty" for `a//b`).
    """
    inner = path.removeprefix("/")
    if not inner:
        return []
    names = inner.removesuffix("/").split("/", maxsplit=MAX_DEPTH)
    if len(names) > MAX_DEPTH:
        raise BadName("too-deep", f"a path holds at most {MAX_DEPTH} names")
    return [clean_name(name) for name in names]


def _too_long() -> BadName:
    return BadName("too-long", f"a name has at most {MAX_BYTES} bytes in UTF-8")
