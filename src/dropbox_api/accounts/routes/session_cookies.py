"""Sessions of browsers: the refresh token in a cookie that no script can read (ADR 0022).

A route that signs in declares `answer: TokenAnswerDep`, passes `answer.transport` to `sessions.begin_session`, and
returns `await answer.compose(tokens)`. The cookie renews and ends its session, and authenticates no other request.

Only pages of this server may set or use it: a page of another site cannot send `X-Session`, because CORS does not allow
that header, and the browser states where a request comes from.
"""

from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Header, Request, Response

from dropbox_api.accounts import sessions
from dropbox_api.accounts.refresh import PresentedToken
from dropbox_api.accounts.schemas import AuthTokens, RefreshTokens
from dropbox_api.accounts.session_tokens import CookieTransport, SessionTransport
from dropbox_api.problems import Forbidden, InvalidRequest
from dropbox_api.settings import Settings

SessionHeader = Annotated[
    CookieTransport | None,
    Header(
        alias="X-Session",
        description="From a page of this server: keep the refresh token in a cookie. A browser deletes a "
        "`temporary-cookie` when it closes.",
    ),
]


@dataclass(frozen=True, slots=True)
class TokenAnswer:
    """How the answer to a sign-in hands over the refresh token."""

    transport: SessionTransport
    request: Request
    response: Response

    async def compose(self, tokens: AuthTokens) -> AuthTokens:
        """Return the tokens, without the refresh token if it becomes a cookie; end the session that this replaces."""
        if self.transport == "bearer":
            return tokens
        replaced = read_cookie(self.request)
        if replaced is not None:
            state = self.request.app.state
            await sessions.sign_out(state.db, state.settings.auth, replaced)
        return set_cookie(self.request, self.response, tokens, self.transport)


async def _get_answer(request: Request, response: Response, x_session: SessionHeader = None) -> TokenAnswer:
    """Raises Forbidden when another site asks for a cookie."""
    if x_session is not None:
        _require_same_origin(request)
    return TokenAnswer(x_session or "bearer", request, response)


TokenAnswerDep = Annotated[TokenAnswer, Depends(_get_answer)]


def read_token(
    request: Request, x_session: SessionTransport | None, body: RefreshTokens | None
) -> PresentedToken | None:
    """Return the refresh token of a request, from its body or, with X-Session, from its cookie (None without a cookie).

    Raises InvalidRequest for a body beside a cookie, or neither; Forbidden when another site sends the request.
    """
    in_body = body.refresh_token.get_secret_value() if body and body.refresh_token is not None else None
    cookie = read_cookie(request)
    if x_session is None and in_body is None:
        raise _refuse_token("is missing; a page whose session is a cookie sends X-Session: cookie")
    if in_body is not None and (x_session is not None or cookie is not None):
        raise _refuse_token("must not come with a session cookie: leave it out and send X-Session: cookie")
    if in_body is not None:
        return PresentedToken(in_body, "body")
    _require_same_origin(request)
    return None if cookie is None else PresentedToken(cookie, "cookie")


def read_cookie(request: Request) -> str | None:
    """Return the refresh token in the session cookie of a request."""
    return request.cookies.get(_find_scope(request).name)


def set_cookie(request: Request, response: Response, tokens: AuthTokens, transport: SessionTransport) -> AuthTokens:
    """Move the refresh token from the answer into the session cookie."""
    auth = _get_settings(request).auth
    max_age_s = min(auth.refresh_ttl_s, auth.session_max_s)
    scope = _find_scope(request)
    response.set_cookie(
        scope.name,
        tokens.refresh_token or "",
        max_age=max_age_s if transport == "cookie" else None,
        path=scope.path,
        secure=scope.is_secure,
        httponly=True,
        samesite="strict",
    )
    return tokens.model_copy(update={"refresh_token": None})


def delete_cookie(request: Request, response: Response) -> None:
    """Make the browser forget the session cookie."""
    scope = _find_scope(request)
    response.delete_cookie(scope.name, path=scope.path, secure=scope.is_secure, httponly=True, samesite="strict")


def _refuse_token(detail: str) -> InvalidRequest:
    return InvalidRequest.at("/refresh_token", detail)


def _require_same_origin(request: Request) -> None:
    """Refuse a request that no page of this server sent. Raises Forbidden.

    Browsers send Sec-Fetch-Site only to https and to localhost; elsewhere the origin must be the server's address.
    """
    headers, settings = request.headers, _get_settings(request)
    site = headers.get("sec-fetch-site")
    scheme = "https" if settings.is_https(request.url.scheme) else "http"
    own_origins = {settings.http.public_url, f"{scheme}://{headers.get('host')}"}
    if site != "same-origin" and (site is not None or headers.get("origin") not in own_origins - {None}):
        detail = "A session cookie is for pages of this server: send the request from its own origin"
        raise Forbidden(detail, reason="not-same-origin")


@dataclass(frozen=True, slots=True)
class _CookieScope:
    name: str
    path: str
    is_secure: bool


def _find_scope(request: Request) -> _CookieScope:
    """Return where the session cookie is valid.

    Over https the prefix `__Host-` makes the browser refuse one that another host or an insecure page sets. Over http
    nothing protects it; the port keeps servers on one host apart, because cookies ignore ports.
    """
    settings = _get_settings(request)
    if settings.is_https(request.url.scheme):
        return _CookieScope("__Host-dbx-session", "/", is_secure=True)
    port = settings.public_port or request.url.port or 80
    return _CookieScope(f"dbx-session-{port}", "/v1/auth", is_secure=False)


def _get_settings(request: Request) -> Settings:
    settings: Settings = request.app.state.settings
    return settings
