"""The second factor: an authenticator app, and recovery codes."""

from fastapi import APIRouter

from dropbox_api.accounts.auth import CurrentUser, Enrolling, NoStore, PasswordsDep, limited_by_user
from dropbox_api.accounts.factors import second_factor
from dropbox_api.accounts.schemas import (
    ConfirmSecondFactor,
    ConfirmWithPassword,
    ConfirmWithSecondFactor,
    RecoveryCodes,
    SecondFactorProposal,
)
from dropbox_api.problems import Forbidden, InvalidCredentials, RateLimited, SecondFactorState, Unauthenticated
from dropbox_api.responses import BODY, problem_responses

router = APIRouter(prefix="/me/second-factor", dependencies=[limited_by_user("sign_in_account")])
_ANSWERS = problem_responses(*BODY, Unauthenticated, Forbidden, InvalidCredentials, SecondFactorState, RateLimited)


@router.post("", operation_id="me_propose_second_factor", dependencies=[NoStore], responses=_ANSWERS)
async def propose(context: Enrolling, body: ConfirmWithPassword, passwords: PasswordsDep) -> SecondFactorProposal:
    """Get a secret for an authenticator app. The second factor is off until a code of it is confirmed.

    An account without a password needs none here, but a sign-in of the last ten minutes.
    """
    return await second_factor.propose_secret(context, passwords, body)


@router.post("/confirm", operation_id="me_confirm_second_factor", dependencies=[NoStore], responses=_ANSWERS)
async def confirm(context: Enrolling, body: ConfirmSecondFactor) -> RecoveryCodes:
    """Turn the second factor on with a code of the app. All other sign-ins end."""
    return await second_factor.confirm_secret(context, body.code)


@router.post("/recovery-codes", operation_id="me_replace_recovery_codes", dependencies=[NoStore], responses=_ANSWERS)
async def replace_recovery_codes(
    context: CurrentUser, body: ConfirmWithSecondFactor, passwords: PasswordsDep
) -> RecoveryCodes:
    """Get ten new recovery codes; the old ones are void."""
    return await second_factor.replace_recovery_codes(context, passwords, body)


@router.delete("", operation_id="me_delete_second_factor", status_code=204, responses=_ANSWERS)
async def turn_off(context: CurrentUser, body: ConfirmWithSecondFactor, passwords: PasswordsDep) -> None:
    """Turn the second factor off. All other sign-ins end."""
    await second_factor.turn_off(context, passwords, body)
