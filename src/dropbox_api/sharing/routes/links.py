"""Make links, change and revoke them."""

import uuid
from typing import Annotated

from fastapi import APIRouter, Depends, Query

from dropbox_api import problems
from dropbox_api.accounts.auth import OnceStreamedDep, PasswordsDep, SharerActor
from dropbox_api.deps import DbDep, SettingsDep
from dropbox_api.responses import BODY, problem_responses
from dropbox_api.sharing import links
from dropbox_api.sharing.link_tokens import LinkTokens
from dropbox_api.sharing.schemas import ChangeLink, CreateLink, Link, LinkList

router = APIRouter()

Limit = Annotated[int, Query(ge=1, le=1000)]
_NOT_YOURS = (problems.Unauthenticated, problems.Forbidden, problems.InvalidRequest, problems.NotFound)


async def _link_tokens(settings: SettingsDep) -> LinkTokens:
    return LinkTokens(settings.auth)


LinkTokensDep = Annotated[LinkTokens, Depends(_link_tokens)]


@router.get(
    "/files/{file_id}/links",
    operation_id="sharing_list_links",
    responses=problem_responses(*_NOT_YOURS, problems.InvalidCursor),
)
async def list_links(
    *,
    actor: SharerActor,
    db: DbDep,
    tokens: LinkTokensDep,
    file_id: uuid.UUID,
    limit: Limit = 100,
    cursor: str | None = None,
) -> LinkList:
    """List the links to it that were not revoked, newest first. The owner's to see."""
    return await links.list_links(db, tokens, actor.user_id, file_id, limit=limit, cursor=cursor)


@router.post(
    "/files/{file_id}/links",
    operation_id="sharing_create_link",
    status_code=201,
    responses=problem_responses(
        *_NOT_YOURS, *BODY, problems.RootFolder, problems.NotAFolder, problems.IdempotencyMismatch
    ),
)
async def create_link(
    *,
    actor: SharerActor,
    db: DbDep,
    passwords: PasswordsDep,
    tokens: LinkTokensDep,
    file_id: uuid.UUID,
    once: OnceStreamedDep,
    body: CreateLink,
) -> Link:
    """Make a link: whoever has its token has what `mode` says, without an account.

    Repeated under the same Idempotency-Key it answers the same link, as it is by then.
    """
    return await links.create(db, passwords, tokens, actor.user_id, file_id, body, once=once)


@router.patch("/links/{link_id}", operation_id="sharing_update_link", responses=problem_responses(*_NOT_YOURS, *BODY))
async def update_link(
    *,
    actor: SharerActor,
    db: DbDep,
    passwords: PasswordsDep,
    tokens: LinkTokensDep,
    link_id: uuid.UUID,
    body: ChangeLink,
) -> Link:
    """Set or take away password, expiry and budget. What is left out stays."""
    return await links.change(db, passwords, tokens, actor.user_id, link_id, body)


@router.delete(
    "/links/{link_id}", operation_id="sharing_delete_link", status_code=204, responses=problem_responses(*_NOT_YOURS)
)
async def delete_link(actor: SharerActor, db: DbDep, link_id: uuid.UUID) -> None:
    """Revoke a link, at once and for good. A URL of content that it gave away lives for its minutes."""
    await links.revoke(db, actor.user_id, link_id)
