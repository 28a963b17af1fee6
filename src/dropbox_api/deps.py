"""FastAPI dependencies: what `create_app` put into `app.state`, and what several features read of a request.

Async, though they wait for nothing: FastAPI sends plain functions to a thread, for every request.
"""

from typing import Annotated, Any

from fastapi import Depends, Header, Request

from dropbox_api.db import Db
from dropbox_api.plumbing import limits
from dropbox_api.plumbing.limits import Limits
from dropbox_api.plumbing.mail import Mailer
from dropbox_api.settings import Settings
from dropbox_api.storage.object_store import ObjectStore
from dropbox_api.storage.probe import BucketCapabilities


async def _settings(request: Request) -> Settings:
    settings: Settings = request.app.state.settings
    return settings


async def _db(request: Request) -> Db:
    db: Db = request.app.state.db
    return db


async def _store(request: Request) -> ObjectStore:
    store: ObjectStore = request.app.state.store
    return store


async def _capabilities(request: Request) -> BucketCapabilities:
    capabilities: BucketCapabilities = request.app.state.capabilities
    return capabilities


async def _limits(request: Request) -> Limits:
    counting: Limits = request.app.state.limits
    return counting


def limited(name: limits.LimitName) -> Any:
    """Return what limits a route by the caller's address: `dependencies=[limited("public")]`. Raises RateLimited."""

    async def count(request: Request) -> None:
        address = limits.address_key(request.client.host if request.client else None)
        request.scope["limits"] = await request.app.state.limits.hit(name, address)

    return Depends(count)


async def _mailer(request: Request) -> Mailer:
    mailer: Mailer = request.app.state.mailer
    return mailer


SettingsDep = Annotated[Settings, Depends(_settings)]
DbDep = Annotated[Db, Depends(_db)]
StoreDep = Annotated[ObjectStore, Depends(_store)]
CapabilitiesDep = Annotated[BucketCapabilities, Depends(_capabilities)]
LimitsDep = Annotated[Limits, Depends(_limits)]
"""For limits by other things than addresses: `await limits.hit("mail", email)`."""
MailerDep = Annotated[Mailer, Depends(_mailer)]
IfMatch = Annotated[
    str | None,
    Header(
        alias="If-Match",
        max_length=1000,
        description="Do it only if the ETag is still one of these; else `precondition-failed`.",
        examples=['"3"'],
    ),
]
