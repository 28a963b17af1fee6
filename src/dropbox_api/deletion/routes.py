"""The deletion of the caller's account, and its restore."""

from typing import Annotated

from fastapi import APIRouter, Depends

from dropbox_api.accounts.auth import AnyCaller, CurrentUser, PasswordsDep, limited_by_user
from dropbox_api.accounts.schemas import ConfirmWithPassword
from dropbox_api.context import Context
from dropbox_api.deletion import request
from dropbox_api.deletion.schemas import AccountDeletion
from dropbox_api.deps import MailerDep
from dropbox_api.problems import Forbidden, InvalidCredentials, InvalidRequest, NotFound, RateLimited, Unauthenticated
from dropbox_api.responses import BODY, problem_responses

router = APIRouter(prefix="/v1/me/deletion")


async def _require_restore_scope(context: AnyCaller) -> Context:
    if "account:restore" not in context.actor.scopes:
        raise Forbidden("No deletion of this account runs, or this is no sign-in", scope="account:restore")
    return context


@router.get("", operation_id="me_get_deletion", responses=problem_responses(Unauthenticated, Forbidden))
async def show(context: CurrentUser) -> AccountDeletion:
    """Show what a deletion of your account takes, from you and from others, before you request it."""
    return await request.show_deletion(context)


@router.post(
    "",
    operation_id="me_request_deletion",
    status_code=202,
    dependencies=[limited_by_user("sign_in_account")],
    responses=problem_responses(*BODY, InvalidRequest, Unauthenticated, Forbidden, InvalidCredentials, RateLimited),
)
async def start(
    context: CurrentUser, body: ConfirmWithPassword, passwords: PasswordsDep, mailer: MailerDep
) -> AccountDeletion:
    """Delete your account, with all its files.

    Sign-ins, tokens, webhooks, grants and open uploads end at once, and links answer 404. For 30 days a sign-in offers
    only the restore; then the server deletes everything for good. The last administrator is refused.
    """
    deletion = await request.request_deletion(context, passwords, body.password)
    mailer.send(request.compose_notice(context.actor.email, deletion))
    return deletion


@router.delete(
    "",
    operation_id="me_cancel_deletion",
    status_code=204,
    responses=problem_responses(Unauthenticated, Forbidden, NotFound),
)
async def cancel(context: Annotated[Context, Depends(_require_restore_scope)]) -> None:
    """Restore your account with a sign-in of the 30 days: files and links are as before.

    What the request ended stays ended: grants, tokens, webhooks and uploads.
    """
    await request.restore_account(context)
