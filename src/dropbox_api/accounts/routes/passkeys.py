"""Passkeys: sign in with them, manage them, and confirm a session.

The options go to the browser's `parseCreationOptionsFromJSON()` or `parseRequestOptionsFromJSON()`; what the browser
returns comes back as its `toJSON()`.
"""

import uuid
from functools import partial

from fastapi import APIRouter

from dropbox_api.accounts.auth import AccessTokensDep, CurrentUser, Enrolling, NoStore, PasswordsDep, limited_by_user
from dropbox_api.accounts.factors import confirm, notices, passkey_sign_in, passkeys
from dropbox_api.accounts.factors.schemas import (
    AddedPasskey,
    AddPasskey,
    ConfirmSession,
    Passkey,
    PasskeyCreationOptions,
    PasskeyList,
    PasskeyRequestOptions,
    SignInWithPasskey,
    UpdatePasskey,
    UpdatePasskeysOnly,
)
from dropbox_api.accounts.routes.session_cookies import TokenAnswerDep
from dropbox_api.accounts.schemas import AuthTokens
from dropbox_api.deps import COMPRESSED, DbDep, MailerDep, SettingsDep, limited
from dropbox_api.problems import (
    Forbidden,
    InvalidCredentials,
    InvalidPasskey,
    InvalidRequest,
    NotFound,
    PasskeysUnavailable,
    SecondFactorState,
    Unauthenticated,
)
from dropbox_api.responses import BODY, problem_responses

router = APIRouter()
_ACCOUNT = (Unauthenticated, Forbidden)
_BY_ADDRESS = limited("sign_in_address")
_BY_ACCOUNT = limited_by_user("sign_in_account")


@router.post(
    "/auth/passkey/options",
    operation_id="auth_begin_passkey",
    dependencies=[NoStore, _BY_ADDRESS],
    responses=problem_responses(PasskeysUnavailable),
)
async def begin_sign_in(db: DbDep, settings: SettingsDep) -> PasskeyRequestOptions:
    """Get a challenge for a sign-in with a passkey. The browser offers the passkeys that it has for this server."""
    return await passkey_sign_in.begin_sign_in(db, settings)


@router.post(
    "/auth/passkey",
    operation_id="auth_sign_in_with_passkey",
    dependencies=[NoStore, _BY_ADDRESS],
    responses=problem_responses(*BODY, InvalidPasskey, PasskeysUnavailable, Forbidden),
)
async def sign_in(
    body: SignInWithPasskey, db: DbDep, settings: SettingsDep, access_tokens: AccessTokensDep, answer: TokenAnswerDep
) -> AuthTokens:
    """Sign in with a passkey, which replaces both the password and the second factor."""
    tokens = await passkey_sign_in.sign_in(db, settings, access_tokens, body.credential, answer.transport)
    return await answer.compose(tokens)


@router.post(
    "/me/confirm/options",
    operation_id="me_begin_confirmation",
    dependencies=[NoStore, _BY_ACCOUNT],
    responses=problem_responses(*_ACCOUNT, PasskeysUnavailable),
)
async def begin_confirmation(context: Enrolling) -> PasskeyRequestOptions:
    """Get a challenge for a confirmation with a passkey."""
    return await confirm.begin_confirmation(context)


@router.post(
    "/me/confirm",
    operation_id="me_confirm",
    status_code=204,
    dependencies=[_BY_ACCOUNT],
    responses=problem_responses(*BODY, *_ACCOUNT, InvalidCredentials, InvalidPasskey, PasskeysUnavailable),
)
async def confirm_session(context: Enrolling, body: ConfirmSession, passwords: PasswordsDep) -> None:
    """Confirm by password or passkey that you are at this sign-in. It is valid for ten minutes.

    A passkey or a code also proves the second factor, where the server demands one and this sign-in lacks it.

    Adding passkeys and tokens, and other changes of how you sign in, need this or a sign-in of the last ten minutes.
    """
    await confirm.confirm_session(context, passwords, body)


@router.post(
    "/me/passkeys/options",
    operation_id="me_begin_passkey",
    dependencies=[NoStore, _BY_ACCOUNT],
    responses=problem_responses(*_ACCOUNT, PasskeysUnavailable),
)
async def begin_registration(context: Enrolling) -> PasskeyCreationOptions:
    """Get a challenge for a new passkey. This needs a recent sign-in or confirmation."""
    return await passkeys.begin_registration(context)


@router.post(
    "/me/passkeys",
    operation_id="me_add_passkey",
    status_code=201,
    dependencies=[NoStore, _BY_ACCOUNT],
    responses=problem_responses(*BODY, *_ACCOUNT, InvalidPasskey, PasskeysUnavailable, SecondFactorState),
)
async def add(context: Enrolling, body: AddPasskey, mailer: MailerDep) -> AddedPasskey:
    """Add the passkey that the browser made. A confirmed address gets a mail about it.

    The first second factor of an account comes with ten recovery codes, shown once.
    """
    added = await passkeys.add_passkey(context, body)
    happened = f"A passkey was added to your account: {added.name}."
    mailer.send_composed(partial(notices.compose_notice, context.db, context.actor_id, "New passkey", happened))
    return added


@router.get(
    "/me/passkeys",
    operation_id="me_list_passkeys",
    dependencies=[COMPRESSED],
    responses=problem_responses(*_ACCOUNT),
)
async def list_passkeys(context: Enrolling) -> PasskeyList:
    """List your passkeys, newest first."""
    return await passkeys.list_passkeys(context)


@router.patch(
    "/me/passkeys/{passkey_id}",
    operation_id="me_update_passkey",
    responses=problem_responses(*BODY, *_ACCOUNT, NotFound),
)
async def rename(context: CurrentUser, passkey_id: uuid.UUID, body: UpdatePasskey) -> Passkey:
    """Rename a passkey."""
    return await passkeys.rename_passkey(context, passkey_id, body.name)


@router.delete(
    "/me/passkeys/{passkey_id}",
    operation_id="me_remove_passkey",
    status_code=204,
    responses=problem_responses(*_ACCOUNT, InvalidRequest, NotFound),
)
async def remove(context: CurrentUser, passkey_id: uuid.UUID, mailer: MailerDep) -> None:
    """Remove a passkey. All other sign-ins end. This needs a recent sign-in or confirmation."""
    name = await passkeys.remove_passkey(context, passkey_id)
    happened = f"A passkey was removed from your account: {name}."
    mailer.send_composed(partial(notices.compose_notice, context.db, context.actor_id, "Passkey removed", happened))


@router.put(
    "/me/passkeys-only",
    operation_id="me_set_passkeys_only",
    status_code=204,
    responses=problem_responses(*BODY, *_ACCOUNT, SecondFactorState),
)
async def set_passkeys_only(context: CurrentUser, body: UpdatePasskeysOnly) -> None:
    """Choose whether the password alone signs in no more: it then needs a recovery code or a code of the app.

    This needs a passkey, and a recent sign-in or confirmation.
    """
    await passkeys.set_passkeys_only(context, enabled=body.enabled)
