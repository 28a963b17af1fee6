"""The tokens of one sign-in, in a private file shared by all `dbx` processes of its owner.

Refresh tokens rotate, and using one twice ends the whole sign-in. A process therefore takes the lock to refresh, and
reloads the file first: another process may have refreshed already. The file is replaced atomically.
"""

import contextlib
import fcntl
import json
import os
import re
import tempfile
import threading
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Protocol, Self

from dropbox_client.address import read_address

_BEARER_TOKEN = re.compile(r"[A-Za-z0-9._~+/-]+=*")
"""The syntax of a token in the Authorization header (RFC 6750)."""


@dataclass(frozen=True, slots=True)
class Tokens:
    """The tokens of a sign-in, or a personal access token without a refresh token. `repr` hides both."""

    server: str
    """Base URL of the server that issued them; they are sent to no other server."""
    email: str
    access_token: str = field(repr=False)
    refresh_token: str = field(repr=False)

    def __post_init__(self) -> None:
        """Raise ValueError or TypeError, without the secret, for tokens that no server can have issued."""
        read_address(self.server)
        if not isinstance(self.email, str) or not isinstance(self.refresh_token, str):
            raise TypeError("the tokens are damaged")
        if not _BEARER_TOKEN.fullmatch(self.access_token):
            raise ValueError("this is not an access token")

    @classmethod
    def from_access_token(cls, server: str, token: str) -> Self:
        """Return the tokens of a personal access token; white space around it is ignored. Raises ValueError."""
        return cls(server, "", token.strip(), "")


class TokenStore(Protocol):
    """Storage of the tokens of one client."""

    def load(self) -> Tokens | None: ...

    def save(self, tokens: Tokens | None) -> None: ...

    def locked(self) -> contextlib.AbstractContextManager[None]:
        """Hold the lock that serialises token refreshes across processes."""
        ...


class TokenFile:
    """Tokens in the file `path`, mode 0600."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)

    def load(self) -> Tokens | None:
        """Return the stored tokens; None if the file is missing or unreadable as tokens."""
        try:
            return Tokens(**json.loads(self.path.read_bytes()))
        except (FileNotFoundError, ValueError, TypeError, AttributeError, RecursionError):
            return None

    def save(self, tokens: Tokens | None) -> None:
        """Store `tokens` durably; None deletes the file. Raises OSError."""
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
        # A separate file: a lock on the token file would be lost when it is replaced.
        with self.path.with_suffix(".lock").open("a") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield

    def _make_folder(self) -> None:
        self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)


class TokenMemory:
    """Tokens in memory; several clients may share them."""

    def __init__(self, tokens: Tokens | None = None) -> None:
        self._tokens = tokens
        self._lock = threading.Lock()

    def load(self) -> Tokens | None:
        return self._tokens

    def save(self, tokens: Tokens | None) -> None:
        self._tokens = tokens

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        with self._lock:
            yield
