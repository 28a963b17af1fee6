"""FastAPI dependencies: what `create_app` put into `app.state`, and what several features read of a request.

Async, though they wait for nothing: FastAPI sends plain functions to a thread, for every request.
"""

from typing import Annotated

from fastapi import Depends, Header, Request

from dropbox_api.db import Db
from dropbox_api.settings import Settings
from dropbox_api.storage.probe import Capabilities
from dropbox_api.storage.s3 import S3Store


async def _settings(request: Request) -> Settings:
    settings: Settings = request.app.state.settings
    return settings


async def _db(request: Request) -> Db:
    db: Db = request.app.state.db
    return db


async def _store(request: Request) -> S3Store:
    store: S3Store = request.app.state.store
    return store


async def _capabilities(request: Request) -> Capabilities:
    capabilities: Capabilities = request.app.state.capabilities
    return capabilities


SettingsDep = Annotated[Settings, Depends(_settings)]
DbDep = Annotated[Db, Depends(_db)]
StoreDep = Annotated[S3Store, Depends(_store)]
CapabilitiesDep = Annotated[Capabilities, Depends(_capabilities)]
IfMatch = Annotated[
    str | None,
    Header(
        alias="If-Match",
        max_length=1000,
        description="Do it only if the ETag is still one of these; else `precondition-failed`.",
        examples=['"3"'],
    ),
]
