"""Personal access tokens."""

import uuid

from fastapi import APIRouter

from dropbox_api.accounts import personal_tokens
from dropbox_api.accounts.auth import CurrentUser, NoStore
from dropbox_api.accounts.schemas import CreatedPersonalToken, CreateToken, PersonalTokenList
from dropbox_api.deps import COMPRESSED, PageLimit
from dropbox_api.problems import Forbidden, InvalidCursor, InvalidRequest, NotFound, Unauthenticated
from dropbox_api.responses import BODY, problem_responses

router = APIRouter(prefix="/me/tokens")
_ACCOUNT = (Unauthenticated, Forbidden)


@router.post(
    "",
    operation_id="tokens_create",
    status_code=201,
    dependencies=[NoStore],
    responses=problem_responses(*BODY, *_ACCOUNT, NotFound),
)
async def create(context: CurrentUser, body: CreateToken) -> CreatedPersonalToken:
    """Create an access token for a program of yours. The answer shows it once.

    This takes no `Idempotency-Key`, because the answer is a secret that the server does not store. If the answer was
    lost, revoke the token that the list shows and create another one.
    """
    return await personal_tokens.create_token(context, body)


@router.get(
    "",
    operation_id="tokens_list",
    dependencies=[COMPRESSED],
    responses=problem_responses(*_ACCOUNT, InvalidRequest, InvalidCursor),
)
async def list_tokens(context: CurrentUser, limit: PageLimit = 100, cursor: str | None = None) -> PersonalTokenList:
    """List your valid access tokens, newest first."""
    return await personal_tokens.list_tokens(context.db, context.actor_id, limit=limit, cursor=cursor)


@router.delete(
    "/{token_id}",
    operation_id="tokens_delete",
    status_code=204,
    responses=problem_responses(*_ACCOUNT, InvalidRequest, NotFound),
)
async def revoke(context: CurrentUser, token_id: uuid.UUID) -> None:
    """Revoke an access token, at once."""
    await personal_tokens.revoke_token(context.db, context.actor_id, token_id)
