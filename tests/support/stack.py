"""The real Postgres and the real S3 of a test session: started at first use, stopped with the session.

A killed test run leaves no server behind (see `dropbox_api.storage.embedded`), but may leave its directory in /tmp.
"""

import contextlib
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from dropbox_api.storage.embedded.postgres import EmbeddedPostgres
from dropbox_api.storage.embedded.seaweedfs import EmbeddedS3
from dropbox_api.storage.s3 import S3Config, S3Store

BUCKET = "dropbox"
WEB_ORIGIN = "http://localhost:5173"


@dataclass
class Stack:
    directory: Path
    _servers: contextlib.ExitStack = field(default_factory=contextlib.ExitStack)

    @cached_property
    def postgres(self) -> EmbeddedPostgres:
        return self._servers.enter_context(EmbeddedPostgres(self.directory / "postgres", fsync=False))

    @cached_property
    def s3(self) -> EmbeddedS3:
        server = EmbeddedS3(self.directory / "s3", access_key_id="test", secret_access_key="test-secret")
        return self._servers.enter_context(server)

    @property
    def s3_config(self) -> S3Config:
        """Return the config of the bucket that `prepare_bucket` creates, path-style."""
        return S3Config(
            bucket=BUCKET,
            endpoint_url=self.s3.endpoint_url,
            access_key_id=self.s3.access_key_id,
            secret_access_key=self.s3.secret_access_key,
        )

    def close(self) -> None:
        self._servers.close()


@contextlib.contextmanager
def running_stack() -> Iterator[Stack]:
    directory = Path(tempfile.mkdtemp(prefix="dropbox-api-tests-"))
    directory.chmod(0o711)  # Postgres runs as an unprivileged user when the tests run as root
    stack = Stack(directory)
    try:
        yield stack
    finally:
        stack.close()
        shutil.rmtree(directory, ignore_errors=True)


async def prepare_bucket(config: S3Config) -> S3Config:
    """Create the bucket with its CORS rule; return the config."""
    async with S3Store.open(config) as store:
        await store.ensure_bucket([WEB_ORIGIN])
    return config
