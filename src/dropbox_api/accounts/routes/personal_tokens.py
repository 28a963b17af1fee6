"""Personal access tokens."""

import uuid
from typing import Annotated

from fastapi import APIRouter, Query

from dropbox_api.accounts import personal_tokens
from dropbox_api.accounts.auth import CurrentUserActor, NoStore
from dropbox_api.accounts.schemas import CreatedToken, NewToken, TokenList
from dropbox_api.deps import DbDep
from dropbox_api.problems import Forbidden, InvalidCursor, InvalidRequest, NotFound, Unauthenticated
from dropbox_api.responses import BODY, problem_responses

router = APIRouter(prefix="/me/tokens")
_ACCOUNT = (Unauthenticated, Forbidden)


@router.post(
    "",
    operation_id="accounts_create_token",
    status_code=201,
    dependencies=[NoStore],
    responses=problem_responses(*BODY, *_ACCOUNT, NotFound),
)
async def create(actor: CurrentUserActor, body: NewToken, db: DbDep) -> CreatedToken:
    """Make an access token for a program of yours. It is shown now and never again.

    This takes no `Idempotency-Key`: the answer is a secret, and is kept nowhere. Was it lost, revoke the token that the
    list shows and make another.
    """
    return await personal_tokens.create_token(
        db, actor, name=body.name, scopes=body.scopes, expires_in_s=body.expires_in_s
    )


@router.get(
    "",
    operation_id="accounts_list_tokens",
    responses=problem_responses(*_ACCOUNT, InvalidRequest, InvalidCursor),
)
async def list_tokens(
    actor: CurrentUserActor, db: DbDep, limit: Annotated[int, Query(ge=1, le=1000)] = 100, cursor: str | None = None
) -> TokenList:
    """List your access tokens that are good, newest first."""
    return await personal_tokens.list_tokens(db, actor.user_id, limit=limit, cursor=cursor)


@router.delete(
    "/{token_id}",
    operation_id="accounts_revoke_token",
    status_code=204,
    responses=problem_responses(*_ACCOUNT, InvalidRequest, NotFound),
)
async def revoke(actor: CurrentUserActor, db: DbDep, token_id: uuid.UUID) -> None:
    """Revoke an access token, at once."""
    await personal_tokens.revoke_token(db, actor.user_id, token_id)
