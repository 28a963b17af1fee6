"""Grants of files and folders, and the lists of what is shared with and by the caller."""

import uuid
from functools import partial

from fastapi import APIRouter, Response

from dropbox_api import problems
from dropbox_api.accounts.auth import OnceDep, Reader, Sharer
from dropbox_api.deps import COMPRESSED, LimitsDep, MailerDep, PageLimit
from dropbox_api.files.schemas import FileList
from dropbox_api.responses import BODY, problem_responses
from dropbox_api.sharing import contacts, grants, invitations, own_shares
from dropbox_api.sharing.schemas import ContactList, CreateGrant, Grant, GrantList, OwnShareList, UpdateGrant

router = APIRouter()

_PROBLEMS = (problems.Unauthenticated, problems.Forbidden, problems.InvalidRequest, problems.NotFound)
_OWN_LIST = (problems.Unauthenticated, problems.Forbidden, problems.InvalidRequest, problems.InvalidCursor)
"""Of the lists of a caller, which name no file."""


@router.get(
    "/files/{file_id}/grants",
    operation_id="grants_list",
    dependencies=[COMPRESSED],
    responses=problem_responses(*_PROBLEMS, problems.InvalidCursor),
)
async def list_grants(
    context: Sharer, file_id: uuid.UUID, limit: PageLimit = 100, cursor: str | None = None
) -> GrantList:
    """List the grants on the file or folder and on the folders above it. Only for the owner."""
    return await grants.list_grants(context, file_id, limit=limit, cursor=cursor)


@router.post(
    "/files/{file_id}/grants",
    operation_id="grants_create",
    status_code=201,
    responses={
        200: {"model": Grant, "description": "The grant existed already; it has this role now."},
        **problem_responses(
            *_PROBLEMS, *BODY, problems.RootFolder, problems.CannotShareWith, problems.IdempotencyMismatch
        ),
    },
)
async def create_grant(
    *,
    context: Sharer,
    response: Response,
    file_id: uuid.UUID,
    once: OnceDep,
    body: CreateGrant,
    mailer: MailerDep,
    limits: LimitsDep,
) -> Grant:
    """Share the file or folder, with all its content, with an address or an account.

    An account that has verified its address has access at once. For any other address the grant is `pending` until an
    account verifies it; the answer does not reveal whether an account with this address exists. A new grant sends one
    mail.
    """
    grant, is_new = await grants.create_grant(context, file_id, body, once)
    if is_new and context.settings.mail.grants:
        mailer.send_composed(partial(invitations.compose_invitation, context, limits, grant.id))
    response.status_code = 201 if is_new else 200
    return grant


@router.patch(
    "/files/{file_id}/grants/{grant_id}",
    operation_id="grants_update",
    responses=problem_responses(*_PROBLEMS, *BODY),
)
async def update_grant(context: Sharer, file_id: uuid.UUID, grant_id: uuid.UUID, body: UpdateGrant) -> Grant:
    """Change the role of a grant."""
    return await grants.change_grant(context, file_id, grant_id, body.role)


@router.delete(
    "/files/{file_id}/grants/{grant_id}",
    operation_id="grants_delete",
    status_code=204,
    responses=problem_responses(*_PROBLEMS),
)
async def delete_grant(context: Sharer, file_id: uuid.UUID, grant_id: uuid.UUID) -> None:
    """Revoke a grant as the owner, or give it up as its grantee, at once."""
    await grants.revoke_grant(context, file_id, grant_id)


@router.get(
    "/shared-with-me",
    operation_id="grants_list_received",
    dependencies=[COMPRESSED],
    responses=problem_responses(*_OWN_LIST),
)
async def list_shared_with_me(context: Reader, limit: PageLimit = 100, cursor: str | None = None) -> FileList:
    """List what others share with you, newest grant first. List a folder with `GET /v1/files?parent_id=`."""
    return await grants.list_shared_with_me(context, limit=limit, cursor=cursor)


@router.get(
    "/me/contacts",
    operation_id="me_list_contacts",
    dependencies=[COMPRESSED],
    responses=problem_responses(*_OWN_LIST),
)
async def list_contacts(context: Sharer, limit: PageLimit = 100, cursor: str | None = None) -> ContactList:
    """List the people with whom you share now, in either direction, newest share first: for completing addresses."""
    return await contacts.list_contacts(context, limit=limit, cursor=cursor)


@router.get(
    "/shared-by-me",
    operation_id="grants_list_given",
    dependencies=[COMPRESSED],
    responses=problem_responses(*_OWN_LIST),
)
async def list_shared_by_me(context: Reader, limit: PageLimit = 100, cursor: str | None = None) -> OwnShareList:
    """List what you share, by grants or by links that work, last shared first. The trash is excluded."""
    return await own_shares.list_own_shares(context, limit=limit, cursor=cursor)


@router.delete(
    "/shared-with-me/{file_id}",
    operation_id="grants_leave",
    status_code=204,
    responses=problem_responses(*_PROBLEMS),
)
async def leave(context: Sharer, file_id: uuid.UUID) -> None:
    """Give up a file or folder that is shared with you, at once. Access by a folder above it stays."""
    await grants.leave_share(context, file_id)
