"""Create, list, change and revoke links."""

import uuid
from typing import Annotated

from fastapi import APIRouter, Depends, Request

from dropbox_api import problems
from dropbox_api.accounts.auth import OnceWithoutBodyDep, Sharer
from dropbox_api.deps import PageLimit
from dropbox_api.responses import BODY, problem_responses
from dropbox_api.sharing import links
from dropbox_api.sharing.bearers import LinkSecurity
from dropbox_api.sharing.schemas import CreateLink, Link, LinkList, UpdateLink

router = APIRouter()

_PROBLEMS = (problems.Unauthenticated, problems.Forbidden, problems.InvalidRequest, problems.NotFound)


async def _link_security(request: Request) -> LinkSecurity:
    state = request.app.state
    return LinkSecurity(state.link_tokens, state.passwords, state.limits)


LinkSecurityDep = Annotated[LinkSecurity, Depends(_link_security)]


@router.get(
    "/files/{file_id}/links",
    operation_id="links_list",
    responses=problem_responses(*_PROBLEMS, problems.InvalidCursor),
)
async def list_links(
    context: Sharer, security: LinkSecurityDep, file_id: uuid.UUID, limit: PageLimit = 100, cursor: str | None = None
) -> LinkList:
    """List the links that were not revoked, newest first. Only for the owner."""
    return await links.list_links(context, security.tokens, file_id, limit=limit, cursor=cursor)


@router.post(
    "/files/{file_id}/links",
    operation_id="links_create",
    status_code=201,
    responses=problem_responses(
        *_PROBLEMS, *BODY, problems.RootFolder, problems.NotAFolder, problems.IdempotencyMismatch
    ),
)
async def create_link(
    context: Sharer, security: LinkSecurityDep, file_id: uuid.UUID, once: OnceWithoutBodyDep, body: CreateLink
) -> Link:
    """Create a link: the bearer of its token has the access that `mode` allows, without an account.

    A repeated request under the same Idempotency-Key returns the current state of the same link.
    """
    return await links.create_link(context, security, file_id, body, once)


@router.patch("/links/{link_id}", operation_id="links_update", responses=problem_responses(*_PROBLEMS, *BODY))
async def update_link(context: Sharer, security: LinkSecurityDep, link_id: uuid.UUID, body: UpdateLink) -> Link:
    """Set or remove password, expiry and budget. A missing member stays as it is."""
    return await links.change_link(context, security, link_id, body)


@router.delete(
    "/links/{link_id}", operation_id="links_delete", status_code=204, responses=problem_responses(*_PROBLEMS)
)
async def delete_link(context: Sharer, link_id: uuid.UUID) -> None:
    """Revoke a link, at once and for good. A content URL that it handed out works for some more minutes."""
    await links.revoke_link(context, link_id)
