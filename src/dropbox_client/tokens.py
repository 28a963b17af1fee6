"""The tokens of one sign-in, in a file that only its owner can read, shared by every `dbx` process of that owner.

Refresh tokens rotate, and a second use of one ends the whole sign-in. Therefore whoever refreshes holds the lock, and
looks again first: another process may have done it meanwhile. The file is replaced whole, never written in place.
"""

import contextlib
import fcntl
import json
import os
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Tokens:
    server: str
    """The address that they are for; they are never sent to another."""
    email: str
    access_token: str
    refresh_token: str


class TokenStore(Protocol):
    """Where a client keeps its tokens."""

    def load(self) -> Tokens | None: ...

    def save(self, tokens: Tokens | None) -> None: ...

    def locked(self) -> contextlib.AbstractContextManager[None]:
        """Keep every other user of this store, in any process, from refreshing."""
        ...


class TokenFile:
    """Tokens in `path`, mode 0600."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def load(self) -> Tokens | None:
        """Return what is stored; None when there is nothing, or nothing that can be read as tokens."""
        try:
            return Tokens(**json.loads(self.path.read_bytes()))
        except (FileNotFoundError, ValueError, TypeError):
            return None

    def save(self, tokens: Tokens | None) -> None:
        """Store `tokens` durably, or forget what is stored. Raises OSError."""
        if tokens is None:
            self.path.unlink(missing_ok=True)
            return
        self._make_folder()
        fd, name = tempfile.mkstemp(dir=self.path.parent, prefix=f".{self.path.name}.")  # mode 0600
        try:
            with os.fdopen(fd, "w", encoding="utf-8") as file:
                json.dump(asdict(tokens), file)
                file.flush()
                os.fsync(file.fileno())
            Path(name).replace(self.path)
        except BaseException:
            Path(name).unlink()
            raise

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        self._make_folder()
        # A file of its own: the token file is replaced, and a lock on a replaced file locks nobody out.
        with self.path.with_suffix(".lock").open("a") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield

    def _make_folder(self) -> None:
        self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)


class TokenMemory:
    """Tokens that end with the process."""

    def __init__(self, tokens: Tokens | None = None) -> None:
        self._tokens = tokens

    def load(self) -> Tokens | None:
        return self._tokens

    def save(self, tokens: Tokens | None) -> None:
        self._tokens = tokens

    def locked(self) -> contextlib.AbstractContextManager[None]:
        return contextlib.nullcontext()
