"""Names that the sync client neither sends nor deletes: built-in patterns, and the rules in `.dbxignore`.

`.dbxignore` in the root folder has the syntax of `.gitignore`. It is synchronized as any other file; in other folders,
such as shares of other people, it has no effect. Its rules cannot include what the built-in patterns exclude.

A rule that changes never deletes anything: an ignored file is invisible, not absent. So `State.replace_rules` removes
the base rows of all newly ignored files in the same transaction that records the rules.
"""

import re
from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import Final

from pathspec import GitIgnoreSpec

from dropbox_client.transfer.partial_file import is_partial_file
from dropbox_client.transfer.walk import LITTER

RULES_NAME: Final = ".dbxignore"
PRIVATE_NAME: Final = ".dbx"
"""The folder of the client itself: marker and local trash."""

_TEMPORARY = re.compile(
    r"""
      ~\$.* | \.~lock\..*\# | ~.*\.tmp | \.~.* | lu[0-9a-z]{4,}\.tmp(?:_)?   # Office, LibreOffice
    | .*~ | \.\#.* | \#.*\# | \..*\.sw[a-p] | \.goutputstream-.* | .*\.kate-swp # editors
    | \.fuse_hidden.* | \.nfs[0-9a-f]{8,}                                        # open files that were deleted
    | .*\.(?:part|crdownload|partial|filepart|opdownload)                        # downloads that run
    | \._.*                                                                      # forks of macOS
    """,
    re.VERBOSE | re.DOTALL | re.IGNORECASE,
)


class Ignores:
    """The built-in patterns and the rules of a root."""

    def __init__(self, rules: str = "") -> None:
        """`rules` is the text of `.dbxignore`; lines without meaning are left out and listed in `invalid_lines`."""
        self.rules = rules
        self.invalid_lines: list[int] = []
        """Numbers, from 1, of the lines that are no patterns."""
        self._spec = GitIgnoreSpec.from_lines(self._valid_lines())
        self._has_rules = any(pattern.include is not None for pattern in self._spec.patterns)

    def _valid_lines(self) -> Iterator[str]:
        for number, line in enumerate(self.rules.splitlines(), 1):
            try:
                GitIgnoreSpec.from_lines([line])
            except ValueError:
                self.invalid_lines.append(number)
            else:
                yield line

    def has_match(self, parent: str, name: str, *, is_folder: bool) -> bool:
        """Return whether an entry is ignored in a folder that is not.

        `parent` is the path of the folder below the root, "" for the root itself, with slashes and without one at its
        ends.
        """
        if is_always_ignored(name):
            return True
        if not self._has_rules:
            return False
        path = f"{parent}/{name}" if parent else name
        return self._spec.match_file(path + "/" if is_folder else path)

    def has_path(self, path: str, *, is_folder: bool) -> bool:
        """Return whether a path below the root, or a folder above it, is ignored."""
        pure = PurePosixPath(path)
        above = (folder for folder in reversed(pure.parents) if folder.name)
        return any(
            self.has_match(_join_parent(folder), folder.name, is_folder=True) for folder in above
        ) or self.has_match(_join_parent(pure), pure.name, is_folder=is_folder)


def _join_parent(path: PurePosixPath) -> str:
    return "" if str(path.parent) == "." else str(path.parent)


def is_always_ignored(name: str) -> bool:
    """Return whether a name is temporary by itself: of an editor, an office lock, a running download, the client."""
    return (
        name == PRIVATE_NAME
        or is_partial_file(name)
        or name.lower() in LITTER
        or _TEMPORARY.fullmatch(name) is not None
    )


def lock_names(name: str) -> tuple[str, ...]:
    """Return the names of the files beside a document that exist while an office program has it open.

    Word replaces the first characters of long names.
    """
    return f"~${name}", f"~${name[1:]}", f"~${name[2:]}", f".~lock.{name}#"
