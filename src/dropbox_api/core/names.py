"""Names of files and folders: validity, equality, and alternatives for taken names.

Names are kept as typed, in NFC. Two names in one folder are the same when their keys (`make_key`) are equal. What some
file systems cannot hold (Windows' reserved names and `:`, trailing dots and spaces) is allowed here and handled by the
sync client. Bidirectional controls are part of some names; the display handles them.
Source: Unicode 3.13 (default caseless matching), UAX #15 (NFC, NFKD); the Unicode CLDR (transliteration
Latin-ASCII).
"""

import itertools
import re
import unicodedata
from collections import Counter
from collections.abc import Container, Sequence
from typing import Literal

MAX_BYTES = 255
"""Limit of a name in UTF-8, common to ext4, APFS and NTFS."""
MAX_DEPTH = 100
"""Limit of a path, in names."""

_SHOWN_PATH_CHARS = 500
"""In a message; the whole path may be long."""

NameReason = Literal["empty", "dot-name", "slash", "control-character", "surrogate", "too-long", "too-deep"]

_EXTENSION = re.compile(r"(?<=[^.])(?:\.tar)?\.[^.\s]{1,16}$", re.IGNORECASE)
"""`.pdf`, `.tar.gz`; neither the whole of `.bashrc` nor the end of a sentence with spaces."""


_NOT_IN_ARCHIVES = re.compile(r'[\\:*?"<>|\u202a-\u202e\u2066-\u2069]|[. ]+$')
"""Characters that Windows refuses, drops or reads as a path, and controls that change the direction of later text."""
_DEVICE = re.compile(r"(?:con|prn|aux|nul|conin\$|conout\$|(?:com|lpt)[0-9¹²³]) *(?=\.|$)", re.IGNORECASE)


class BadName(ValueError):
    """An invalid name or path. `reason` is stable, the message is for people."""

    def __init__(self, reason: NameReason, message: str) -> None:
        super().__init__(message)
        self.reason = reason


def clean_name(name: str) -> str:
    """Return the name of one file or folder in NFC, otherwise unchanged.

    Raises: BadName (empty, dot-name, slash, control-character, surrogate, too-long).
    """
    # NFC shrinks a string at most fourfold. Check first: normalising long runs of combining marks takes quadratic time.
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
    """Return the key that is unique in a folder: equal for names that differ in case or Unicode composition only.

    Idempotent. A key is for comparison only; it may be longer than the name.
    """
    folded = unicodedata.normalize("NFC", name).casefold()
    return unicodedata.normalize("NFC", folded)  # casefold may decompose: U+01F0


_MARKS = re.compile("[\u0300-\u036f]")
"""Combining diacritical marks. The marks of other scripts stay, because they are vowels there."""
_LETTERS = str.maketrans(dict(zip("łøđðħŧŋ\u0131", "loddhtni", strict=True), æ="ae", œ="oe", þ="th"))
"""Letters whose stroke or ligature Unicode does not decompose."""


def fold_key(key: str) -> str:
    """Return a key without accents, for searches: `résumé` becomes `resume`, `łódź` becomes `lodz`.

    Folds each character by itself, so that parts of a key fold to parts of its result. The result may be empty.
    """
    return key if key.isascii() else "".join(map(_fold_character, key)).translate(_LETTERS)


def _fold_character(character: str) -> str:
    decomposed = unicodedata.normalize("NFKD", character)
    without_marks = _MARKS.sub("", decomposed).casefold()
    return character if without_marks.isspace() else unicodedata.normalize("NFC", without_marks)


SORT_VERSION = 1
"""Version of `make_sort_key`. Stored keys and cursors depend on it: docs/data.md describes a change."""
SORT_SEPARATOR = "\x01"
"""Below every character of a name, so that a shorter name comes first."""
_MAX_SORTED_BYTES = 2 * MAX_BYTES
_DIGITS = re.compile("[0-9]+")
_STABLE = unicodedata.ucd_3_2_0
"""Unicode 3.2, which every version of Python has unchanged. Newer characters are ordered as they are."""


def make_sort_key(key: str) -> str:
    """Return the place of a name in natural order, from its key: `file2` before `file10`, `äpfel` beside `apfel`.

    Compare by code points (in Postgres: collation "C"). Accents and leading zeros decide only between names that are
    equal without them, so different keys have different places. At most 4 * `MAX_BYTES` + 1 bytes: of a longer
    decomposition (`\ufdfa` is 18 letters) only the beginning counts. The same in every version of Python.
    """
    folded = key if key.isascii() else "".join(map(_fold_for_order, key))
    ordered = _DIGITS.sub(_encode_number, folded).encode()[:_MAX_SORTED_BYTES].decode(errors="ignore")
    return f"{ordered}{SORT_SEPARATOR}{key}"


def _fold_for_order(character: str) -> str:
    if _STABLE.category(character) == "Cn":
        return character
    digit = _STABLE.decimal(character, None)
    return fold_key(character) if digit is None else str(digit)


def _encode_number(digits: re.Match[str]) -> str:
    """Put the number of digits first, in nines and a last digit: numbers are then in order as text."""
    significant = digits[0].lstrip("0")
    nines, rest = divmod(len(significant), 9)
    return f"{'9' * nines}{rest}{significant}"


def make_conflict_name(name: str, n: int) -> str:
    """Return the `n`-th (1-based) alternative to a clean name: `report (1).pdf`, `src (1).tar.gz`.

    The result is clean: the stem loses whole characters from its end where the name would exceed `MAX_BYTES`.
    """
    match = _EXTENSION.search(name)
    stem, extension = (name[: match.start()], match[0]) if match else (name, "")
    suffix = f" ({n}){extension}"
    return stem.encode()[: MAX_BYTES - len(suffix.encode())].decode(errors="ignore") + suffix


def pick_free_name(name: str, taken_keys: Container[str]) -> str:
    """Return the name itself if its key is free, else its first conflict name with a free key."""
    candidates = itertools.chain([name], (make_conflict_name(name, n) for n in itertools.count(1)))
    return next(candidate for candidate in candidates if make_key(candidate) not in taken_keys)


def make_distinct(names: Sequence[str]) -> list[str]:
    """Return clean names, in order, with another key each: repeated ones become conflict names."""
    taken = {make_key(name) for name in names}
    given: set[str] = set()
    numbers: Counter[str] = Counter()
    distinct = []
    for name in names:
        key, other = make_key(name), name
        while key in given and make_key(other) in taken:
            numbers[key] += 1
            other = make_conflict_name(name, numbers[key])
        given.add(key)
        taken.add(make_key(other))
        distinct.append(other)
    return distinct


def make_archive_name(name: str) -> str:
    """Return a name that every system can unpack: unsuitable characters of a clean name become `_`. Clean; idempotent.

    Different names may become equal and then need `make_conflict_name`.
    Source: Microsoft's "Naming Files, Paths, and Namespaces".
    """
    safe = _NOT_IN_ARCHIVES.sub(lambda refused: "_" * len(refused[0]), name)
    device = _DEVICE.match(safe)
    if device is None:
        return safe
    longer = f"{safe[: device.end()]}_{safe[device.end() :]}"
    shorter = longer.encode()[:MAX_BYTES].decode(errors="ignore")
    return shorter if shorter == longer else make_archive_name(shorter)  # the cut may end in a dot or space


def split_path(path: str) -> list[str]:
    """Return the clean names of `/a/b/c`, from the root down; "" and "/" are the root, an empty list.

    As in POSIX, `//` counts as `/`, and `.` and slashes at the ends are dropped. `..` is refused: a name that a client
    failed to resolve would lead elsewhere. At most `MAX_DEPTH` names.

    Raises: BadName (too-deep, or what `clean_name` raises for one of the names), whose message names the path.
    """
    try:
        return _clean_segments([segment for segment in path.split("/") if segment not in {"", "."}])
    except BadName as bad:
        raise BadName(bad.reason, f"path {_shorten(path)!r}: {bad}") from None


def _clean_segments(segments: list[str]) -> list[str]:
    if len(segments) > MAX_DEPTH:
        raise BadName("too-deep", f"a path holds at most {MAX_DEPTH} names")
    if ".." in segments:
        raise BadName("dot-name", "'..' is not resolved, name the folder itself")
    return [clean_name(segment) for segment in segments]


def _shorten(path: str) -> str:
    return path if len(path) <= _SHOWN_PATH_CHARS else f"{path[:_SHOWN_PATH_CHARS]}..."


def _too_long() -> BadName:
    return BadName("too-long", f"a name has at most {MAX_BYTES} bytes in UTF-8")
