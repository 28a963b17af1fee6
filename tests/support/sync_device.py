"""A device: a folder, its state, and an engine against a running server."""

import uuid
from asyncio import to_thread
from dataclasses import dataclass, field
from pathlib import Path

from dropbox_client.client import Client
from dropbox_client.sync.config import RootConfig
from dropbox_client.sync.engine import Engine
from dropbox_client.sync.snapshot import Snapshot
from tests.support.sdk import stored_tokens
from tests.support.server import Account, RunningServer


@dataclass
class Device:
    """A folder that is kept equal to an account by runs of an engine."""

    server: RunningServer
    account: Account
    home: Path
    folder: str = "/"
    unselected: frozenset[str] = frozenset()
    device_id: str = field(default_factory=lambda: str(uuid.uuid4()))

    @property
    def root(self) -> Path:
        return self.home / "root"

    @property
    def name(self) -> str:
        return self.home.name

    def make_engine(self) -> Engine:
        """Return an engine of this device; `stop` ends it."""
        self.root.mkdir(parents=True, exist_ok=True)
        config = RootConfig(
            *("one", self.root, self.server.url, self.device_id, self.name),
            folder=self.folder,
            unselected=self.unselected,
        )
        client = Client(self.server.url, stored_tokens(self.server, self.account), retry_for_s=5)
        return Engine(config, self.home / "state", client)

    def run_once(self) -> Snapshot:
        """Make both sides equal; for a thread."""
        engine = self.make_engine()
        try:
            return engine.run_once()
        finally:
            engine.stop()

    async def sync(self) -> Snapshot:
        """Make both sides equal."""
        return await to_thread(self.run_once)

    def read(self) -> dict[str, bytes | None]:
        """Return the contents by path, None for a folder; without the client's own folder."""
        return {
            str(path.relative_to(self.root)): None if path.is_dir() else path.read_bytes()
            for path in sorted(self.root.rglob("*"))
            if path.relative_to(self.root).parts[0] != ".dbx"
        }
