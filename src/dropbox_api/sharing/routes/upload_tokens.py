"""`/v1/upload-tokens`: tokens for pages of other sites, which send files into one folder."""

import uuid

from fastapi import APIRouter

from dropbox_api import problems
from dropbox_api.accounts.auth import NoStore, Reader, Writer
from dropbox_api.deps import COMPRESSED, PageLimit
from dropbox_api.responses import BODY, problem_responses
from dropbox_api.sharing import upload_tokens
from dropbox_api.sharing.routes.links import LinkSecurityDep
from dropbox_api.sharing.schemas import CreatedUploadToken, CreateUploadToken, UploadTokenList

router = APIRouter(prefix="/upload-tokens")

_PROBLEMS = (problems.Unauthenticated, problems.Forbidden, problems.InvalidRequest)


@router.post(
    "",
    operation_id="uploads_create_token",
    status_code=201,
    dependencies=[NoStore],
    responses=problem_responses(*_PROBLEMS, *BODY, problems.NotFound, problems.NotAFolder, problems.RootFolder),
)
async def create_token(context: Writer, security: LinkSecurityDep, body: CreateUploadToken) -> CreatedUploadToken:
    """Create a token with which a page without an account sends files into a folder, and does nothing else.

    It works as `{token}` of `/v1/public/links/{token}/uploads`, until it expires or the sign-in or personal token that
    made it ends.
    """
    return await upload_tokens.create_token(context, security.tokens, body)


@router.get(
    "",
    operation_id="uploads_list_tokens",
    dependencies=[COMPRESSED],
    responses=problem_responses(*_PROBLEMS, problems.InvalidCursor),
)
async def list_tokens(context: Reader, limit: PageLimit = 100, cursor: str | None = None) -> UploadTokenList:
    """List the upload tokens that you made and that did not expire, newest first, without their values."""
    return await upload_tokens.list_tokens(context, limit=limit, cursor=cursor)


@router.delete(
    "/{token_id}",
    operation_id="uploads_revoke_token",
    status_code=204,
    responses=problem_responses(*_PROBLEMS, problems.NotFound),
)
async def revoke_token(context: Writer, token_id: uuid.UUID) -> None:
    """Revoke an upload token and end the uploads under it, at once and for good."""
    await upload_tokens.revoke_token(context, token_id)
