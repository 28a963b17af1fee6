"""Signing in at an OpenID provider.

The client makes up a verifier and opens `start` in a browser with the verifier's SHA-256. It gets a code back, in the
fragment of its page or on the port of its machine, and exchanges it with the verifier; or `error`, the reason why not.
"""

from typing import Annotated

from fastapi import APIRouter, Query, Request
from fastapi.responses import RedirectResponse

from dropbox_api.accounts import mailing, oidc
from dropbox_api.accounts.auth import AccessTokensDep, NoStore
from dropbox_api.accounts.schemas import OidcCode, OidcProvider, Tokens
from dropbox_api.deps import DbDep, SettingsDep, limited
from dropbox_api.plumbing import request_source
from dropbox_api.problems import InvalidRequest, NotFound, OidcFailed, Problem, RateLimited
from dropbox_api.responses import BODY, problem_responses
from dropbox_api.settings import Settings

router = APIRouter(prefix="/auth/oidc")

_REDIRECTS = problem_responses(InvalidRequest, NotFound, OidcFailed, RateLimited)


@router.get("", operation_id="accounts_show_oidc", responses=problem_responses())
async def show(settings: SettingsDep) -> OidcProvider:
    """Tell whether one signs in at an OpenID provider, and what to call it."""
    return OidcProvider(enabled=settings.oidc.issuer is not None, name=settings.oidc.name)


@router.get(
    "/start",
    operation_id="accounts_start_oidc",
    status_code=303,
    response_class=RedirectResponse,
    dependencies=[limited("sign_in_address")],
    responses=_REDIRECTS,
)
async def start(
    settings: SettingsDep,
    challenge: Annotated[
        str,
        Query(pattern=r"^[A-Za-z0-9_-]{43}$", description="SHA-256 of your verifier, base64url without padding."),
    ],
    redirect: Annotated[
        str,
        Query(
            max_length=1000,
            pattern=r"^/([^/\\\s#][^\\\s#]*)?$",
            description="Path on this server that gets `#code=` or `#error=`.",
        ),
    ] = "/",
    cli_port: Annotated[
        int | None,
        Query(ge=1024, le=65535, description="Instead: a port of 127.0.0.1 that gets `?code=` or `?error=`."),
    ] = None,
) -> RedirectResponse:
    """Send the browser to the provider. It comes back within ten minutes, or has to start again."""
    _require_enabled(settings)
    flow = oidc.begin(challenge=challenge, redirect=redirect, cli_port=cli_port)
    try:
        address, sealed = await oidc.start(settings, flow)
    except OidcFailed as problem:
        return _redirect(flow.destination(error=_reason(problem)))
    response = _redirect(address)
    response.set_cookie(
        _cookie(settings),
        sealed,
        max_age=oidc.STATE_TTL_S,
        httponly=True,
        secure=_is_https(settings),
        samesite="lax",  # the way back comes from the provider's site
    )
    return response


@router.get(
    "/callback",
    operation_id="accounts_finish_oidc",
    status_code=303,
    response_class=RedirectResponse,
    dependencies=[limited("sign_in_address")],
    responses=_REDIRECTS,
)
async def callback(
    request: Request,
    db: DbDep,
    settings: SettingsDep,
    state: Annotated[str, Query(max_length=200)],
    code: Annotated[str | None, Query(max_length=4000)] = None,
) -> RedirectResponse:
    """Take the browser back from the provider, and send it where the sign-in began. Not for clients.

    Only a state that this browser did not begin is answered with a problem: there is nowhere to send it.
    """
    _require_enabled(settings)
    flow = oidc.resume(settings.auth, request.cookies.get(_cookie(settings), ""), state)
    try:
        if code is None:
            raise OidcFailed("The provider did not let you in", reason="denied")
        ours, new_user_id = await oidc.finish(db, settings, flow, code)
        if new_user_id:
            await mailing.welcome(db, request.app.state.shares, new_user_id)
        response = _redirect(flow.destination(code=ours))
    except Problem as problem:
        response = _redirect(flow.destination(error=_reason(problem)))
    response.delete_cookie(_cookie(settings), secure=_is_https(settings), httponly=True, samesite="lax")
    return response


@router.post(
    "/token",
    operation_id="accounts_redeem_oidc_code",
    dependencies=[NoStore, limited("sign_in_address")],
    responses=problem_responses(*BODY, NotFound, OidcFailed, RateLimited),
)
async def token(body: OidcCode, db: DbDep, settings: SettingsDep, access_tokens: AccessTokensDep) -> Tokens:
    """Sign in with the code that the sign-in at the provider ended with. It is good once, for a minute."""
    _require_enabled(settings)
    source = request_source.get_source()
    return await oidc.redeem(
        db,
        settings.auth,
        access_tokens,
        code=body.code.get_secret_value(),
        verifier=body.verifier.get_secret_value(),
        user_agent=source.user_agent,
        address=source.address,
    )


def _require_enabled(settings: Settings) -> None:
    if settings.oidc.issuer is None:
        raise NotFound("There is no OpenID provider")


def _is_https(settings: Settings) -> bool:
    return (settings.base_url or "").startswith("https://")


def _cookie(settings: Settings) -> str:
    """Return its name: with this prefix browsers let no other host and no plain connection set it."""
    return "__Host-oidc" if _is_https(settings) else "oidc"


def _redirect(address: str) -> RedirectResponse:
    return RedirectResponse(address, 303, {"Cache-Control": "no-store", "Referrer-Policy": "no-referrer"})


def _reason(problem: Problem) -> str:
    return str(problem.extra.get("reason", problem.code))
