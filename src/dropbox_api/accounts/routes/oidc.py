"""Sign in at an OpenID provider.

The client generates a verifier and opens `start` in a browser with the verifier's SHA-256. It gets a code back, in the
fragment of its page or on a port of its machine, and exchanges it with the verifier; after a failure it gets `error`.
"""

from typing import Annotated

from fastapi import APIRouter, Query, Request
from fastapi.responses import RedirectResponse
from pydantic import AfterValidator

from dropbox_api.accounts import oidc, oidc_flow
from dropbox_api.accounts.auth import AccessTokensDep, NoStore
from dropbox_api.accounts.routes.mail_links import SharesDep
from dropbox_api.accounts.routes.session_cookies import TokenAnswerDep
from dropbox_api.accounts.schemas import AuthTokens, ExchangeOidcCode, OidcProvider
from dropbox_api.core.client_paths import CLIENT_PREFIXES, is_client_path
from dropbox_api.deps import DbDep, SettingsDep, limited
from dropbox_api.problems import Forbidden, InvalidRequest, NotFound, OidcFailed, Problem, RateLimited
from dropbox_api.responses import BODY, problem_responses
from dropbox_api.settings import Settings

router = APIRouter(prefix="/auth/oidc")


def _check_client_path(path: str) -> str:
    if not is_client_path(path):
        raise ValueError(f"should be / or a path at or below {', '.join(CLIENT_PREFIXES)}")
    return path


_REDIRECTS = problem_responses(InvalidRequest, NotFound, OidcFailed, RateLimited)


@router.get("", operation_id="auth_get_oidc", responses=problem_responses())
async def show(settings: SettingsDep) -> OidcProvider:
    """Show whether there is an OpenID provider to sign in at, and its name."""
    return OidcProvider(enabled=settings.oidc.issuer is not None, name=settings.oidc.name)


@router.get(
    "/start",
    operation_id="auth_start_oidc",
    status_code=303,
    response_class=RedirectResponse,
    dependencies=[limited("oidc_address")],
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
        Query(max_length=1000, description="Path of the web app that gets `#code=` or `#error=`.", examples=["/files"]),
        AfterValidator(_check_client_path),
    ] = "/",
    cli_port: Annotated[
        int | None,
        Query(ge=1024, le=65535, description="Instead: a port of 127.0.0.1 that gets `?code=` or `?error=`."),
    ] = None,
) -> RedirectResponse:
    """Send the browser to the provider. It has ten minutes to come back."""
    _require_enabled(settings)
    flow = oidc_flow.begin_flow(challenge=challenge, redirect=redirect, cli_port=cli_port)
    try:
        address, cookie = await oidc.start_sign_in(settings, flow)
    except OidcFailed as problem:
        return _redirect(flow.destination(error=_reason(problem)))
    response = _redirect(address)
    response.set_cookie(
        _cookie(settings),
        cookie,
        max_age=oidc_flow.STATE_TTL_S,
        httponly=True,
        secure=settings.is_https("http"),
        samesite="lax",  # the way back comes from the provider's site
    )
    return response


@router.get(
    "/callback",
    operation_id="auth_finish_oidc",
    status_code=303,
    response_class=RedirectResponse,
    dependencies=[limited("oidc_address")],
    responses=_REDIRECTS,
)
async def callback(
    request: Request,
    db: DbDep,
    settings: SettingsDep,
    shares: SharesDep,
    state: Annotated[str, Query(max_length=200)],
    code: Annotated[str | None, Query(max_length=4000)] = None,
) -> RedirectResponse:
    """Receive the browser from the provider, and redirect it to where the sign-in began. Not for clients.

    A state that another browser began gets a problem, because it has no destination.
    """
    _require_enabled(settings)
    flow = oidc_flow.resume_flow(settings.auth, request.cookies.get(_cookie(settings), ""), state)
    try:
        if code is None:
            raise OidcFailed("The provider refused the sign-in", reason="denied")
        response = _redirect(flow.destination(code=await oidc.finish_sign_in(db, settings, shares, flow, code)))
    except Problem as problem:
        response = _redirect(flow.destination(error=_reason(problem)))
    response.delete_cookie(_cookie(settings), secure=settings.is_https("http"), httponly=True, samesite="lax")
    return response


@router.post(
    "/token",
    operation_id="auth_exchange_oidc_code",
    dependencies=[NoStore, limited("oidc_address")],
    responses=problem_responses(*BODY, Forbidden, NotFound, OidcFailed, RateLimited),
)
async def token(
    body: ExchangeOidcCode, db: DbDep, settings: SettingsDep, access_tokens: AccessTokensDep, answer: TokenAnswerDep
) -> AuthTokens:
    """Sign in with the code of the finished sign-in at the provider. It is valid once, for a minute."""
    _require_enabled(settings)
    tokens = await oidc.redeem_code(db, settings, access_tokens, body, answer.transport)
    return await answer.compose(tokens)


def _require_enabled(settings: Settings) -> None:
    if settings.oidc.issuer is None:
        raise NotFound("This server has no OpenID provider")


def _cookie(settings: Settings) -> str:
    """Return the cookie's name: for this prefix browsers require the same host and a secure connection."""
    return "__Host-oidc" if settings.is_https("http") else "oidc"


def _redirect(address: str) -> RedirectResponse:
    return RedirectResponse(address, 303, {"Cache-Control": "no-store", "Referrer-Policy": "no-referrer"})


def _reason(problem: Problem) -> str:
    return str(problem.extra.get("reason", problem.code))
