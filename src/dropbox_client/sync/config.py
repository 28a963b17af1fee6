"""What a person chose for each synchronized folder, and where this user of the machine keeps it.

Each root has a private folder: `config.json`, `token.json` (the token of this device), the state of the engine, the log
and the socket of the process that runs it. Files are replaced atomically; a process that runs the root reads them again
when it is told.
"""

import builtins
import json
import os
import shutil
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Final

from dropbox_client.errors import ClientError
from dropbox_client.tokens import TokenFile

_CONFIG: Final = "config.json"


@dataclass(frozen=True, slots=True)
class RootConfig:
    """A folder on this machine, and the folder of the account that it is kept equal to."""

    id: str
    """Of this root on this machine: the name of its state folder."""
    path: Path
    """The folder on disk, absolute."""
    server: str
    """The address of the server."""
    device_id: str
    """A UUID: the id under which the server lists this device."""
    device_name: str
    """For conflict copies and the list of devices."""
    folder: str = "/"
    """The path of the folder on the server; shares are mounted in the root folder only."""
    unselected: frozenset[str] = frozenset()
    """Paths of folders below `folder` that are not kept on this device, as `photos/2019`."""
    upload_bytes_s: int | None = None
    """The most bytes sent in a second; None without a limit."""
    download_bytes_s: int | None = None
    is_paused: bool = False
    token_id: str | None = None
    """The id of the device's token, to revoke it; None of a token that the person made."""


def new_id() -> str:
    """Return an id for a new root."""
    return uuid.uuid4().hex[:12]


class Registry:
    """The roots of this user of the machine, each in a folder of `directory`."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def list(self) -> list[RootConfig]:
        """Return the roots, by path, without damaged ones: one of them must not stop the others."""
        found = [one for one in self._read_all() if isinstance(one, RootConfig)]
        return sorted(found, key=lambda config: config.path)

    def list_damaged(self) -> builtins.list[ClientError]:
        """Return what is wrong with the roots that cannot be read."""
        return [one for one in self._read_all() if isinstance(one, ClientError)]

    def _read_all(self) -> Iterator[RootConfig | ClientError | None]:
        for path in sorted(self.directory.glob(f"*/{_CONFIG}")):
            try:
                yield self._read(path)
            except ClientError as error:
                yield error

    def read(self, root_id: str) -> RootConfig | None:
        """Return a root as it is configured now, None if it was removed. Raises ClientError for a damaged file."""
        return self._read(self.folder(root_id) / _CONFIG)

    def find_at(self, path: Path) -> RootConfig | None:
        """Return the root that a path is; None if it is none, or lies in one."""
        config = self.find(path)
        return config if config and config.path.resolve() == path.resolve() else None

    def find(self, path: Path) -> RootConfig | None:
        """Return the root that a path is in, or is; None if there is none."""
        real = path.resolve()
        return next((config for config in self.list() if real.is_relative_to(config.path.resolve())), None)

    def folder(self, root_id: str) -> Path:
        """Return the private folder of a root."""
        return self.directory / root_id

    def tokens(self, root_id: str) -> TokenFile:
        """Return the file with the token of a root."""
        return TokenFile(self.folder(root_id) / "token.json")

    def save(self, config: RootConfig) -> None:
        """Store a root durably. Raises OSError."""
        folder = self.folder(config.id)
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        document = asdict(config) | {"path": os.fspath(config.path), "unselected": sorted(config.unselected)}
        fd, name = tempfile.mkstemp(dir=folder, prefix=f".{_CONFIG}.")  # mode 0600
        try:
            with os.fdopen(fd, "w", encoding="utf-8") as file:
                json.dump(document, file, indent=1)  # surrogates of names that are not Unicode become escapes
                file.flush()
                os.fsync(file.fileno())
            Path(name).replace(folder / _CONFIG)
        except BaseException:
            Path(name).unlink()
            raise

    def remove(self, root_id: str) -> None:
        """Forget a root with its token and its state; its files stay. Raises OSError."""
        folder = self.folder(root_id)
        (folder / _CONFIG).unlink(missing_ok=True)  # first: what a kill leaves is no root
        with suppress(FileNotFoundError):
            shutil.rmtree(folder)

    def _read(self, path: Path) -> RootConfig | None:
        try:
            document = json.loads(path.read_bytes())
            known = {member.name: document[member.name] for member in fields(RootConfig) if member.name in document}
            return RootConfig(
                **known | {"path": Path(document["path"]), "unselected": frozenset(document["unselected"])}
            )
        except FileNotFoundError:
            return None
        except (ValueError, TypeError, LookupError) as error:
            raise ClientError(
                f"{path} is damaged: remove {path.parent}, and add the synchronized folder again"
            ) from error
