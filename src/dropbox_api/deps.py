"""FastAPI dependencies: what `create_app` put into `app.state`."""

from typing import Annotated

from fastapi import Depends, Request

from dropbox_api.db import Db
from dropbox_api.settings import Settings
from dropbox_api.storage.probe import Capabilities
from dropbox_api.storage.s3 import S3Store


def _settings(request: Request) -> Settings:
    settings: Settings = request.app.state.settings
    return settings


def _db(request: Request) -> Db:
    db: Db = request.app.state.db
    return db


def _store(request: Request) -> S3Store:
    store: S3Store = request.app.state.store
    return store


def _capabilities(request: Request) -> Capabilities:
    capabilities: Capabilities = request.app.state.capabilities
    return capabilities


SettingsDep = Annotated[Settings, Depends(_settings)]
DbDep = Annotated[Db, Depends(_db)]
StoreDep = Annotated[S3Store, Depends(_store)]
CapabilitiesDep = Annotated[Capabilities, Depends(_capabilities)]
