"""Authentication of requests: a route declares `context: Reader` (or another scope) and gets a `Context`.

One token check and one query for each request. `app` puts `passwords` and `access_tokens` into `app.state`. Creating
operations take `once: OnceDep` as well, because an `Idempotency-Key` belongs to one caller.
"""

import hashlib
from typing import Annotated, Any

from fastapi import Depends, Header, Request, Response
from fastapi.openapi.models import OAuth2, OAuthFlowPassword, OAuthFlows
from fastapi.security.base import SecurityBase

from dropbox_api.accounts import personal_tokens, service
from dropbox_api.accounts.passwords import Passwords
from dropbox_api.accounts.session_tokens import AccessTokens
from dropbox_api.context import Actor, Context, Scope
from dropbox_api.plumbing import idempotency, limits, request_source
from dropbox_api.problems import Forbidden, Unauthenticated


async def _passwords(request: Request) -> Passwords:
    passwords: Passwords = request.app.state.passwords
    return passwords


async def _access_tokens(request: Request) -> AccessTokens:
    access_tokens: AccessTokens = request.app.state.access_tokens
    return access_tokens


async def authenticated(request: Request) -> Actor:
    """Return who asks, whatever they may do. Raises Unauthenticated."""
    known: Actor | None = getattr(request.state, "actor", None)
    if known is not None:
        return known
    actor = await ask_again(request)
    request_source.set_actor(actor.user_id)
    await request.app.state.limits.hit("user", str(actor.user_id))
    request.state.actor = actor
    return actor


async def ask_again(request: Request) -> Actor:
    """Return who asks, as of now: for requests that wait, and go on only while their sign-in or token stands.

    Raises Unauthenticated.
    """
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer":
        raise Unauthenticated
    state = request.app.state
    if token.startswith(personal_tokens.PREFIX):
        return await personal_tokens.authenticate(state.db, token)
    return await service.authenticate(state.db, state.access_tokens.require(token))


class _Bearer(SecurityBase):
    """Both the check and its entry in OpenAPI: one dependency to solve, for every request pays for it."""

    def __init__(self, scope: Scope) -> None:
        self.scope = scope
        flow = OAuthFlowPassword(tokenUrl="/v1/auth/token", refreshUrl="/v1/auth/refresh", scopes={})
        self.model = OAuth2(flows=OAuthFlows(password=flow))
        self.scheme_name = "bearer"

    async def __call__(self, request: Request) -> Actor:
        """Return who asks. Raises Unauthenticated; Forbidden when their token lacks the scope."""
        actor = await authenticated(request)
        if self.scope not in actor.scopes:
            raise Forbidden(f"This takes a token with the scope {self.scope}", scope=self.scope)
        return actor


class _ContextBearer(_Bearer):
    async def __call__(self, request: Request) -> Context:  # type: ignore[override]
        """Return the services together with the caller. Raises Unauthenticated, Forbidden (the scope is missing)."""
        actor = await super().__call__(request)
        state = request.app.state
        return Context(state.db, state.store, state.settings, actor)


def limited_by_user(name: limits.LimitName) -> Any:
    """Return what limits a route by who asks: `dependencies=[limited_by_user("sign")]`. Raises RateLimited."""

    async def count(request: Request, actor: Annotated[Actor, Depends(authenticated)]) -> None:
        request.scope["limits"] = await request.app.state.limits.hit(name, str(actor.user_id))

    return Depends(count)


async def _no_store(response: Response) -> None:
    response.headers["Cache-Control"] = "no-store"


NoStore = Depends(_no_store)
"""For a route's `dependencies`: keeps secrets out of caches (RFC 6749 section 5.1)."""
PasswordsDep = Annotated[Passwords, Depends(_passwords)]
AccessTokensDep = Annotated[AccessTokens, Depends(_access_tokens)]
CurrentUser = Annotated[Context, Depends(_ContextBearer("account"))]
"""For operations on the caller's own account, which personal tokens cannot reach."""
Reader = Annotated[Context, Depends(_ContextBearer("files:read"))]
Writer = Annotated[Context, Depends(_ContextBearer("files:write"))]
Sharer = Annotated[Context, Depends(_ContextBearer("share"))]
Processor = Annotated[Context, Depends(_ContextBearer("processing"))]
Administrator = Annotated[Context, Depends(_ContextBearer("admin"))]
CurrentUserActor = Annotated[Actor, Depends(_Bearer("account"))]
ReaderActor = Annotated[Actor, Depends(_Bearer("files:read"))]
WriterActor = Annotated[Actor, Depends(_Bearer("files:write"))]
SharerActor = Annotated[Actor, Depends(_Bearer("share"))]
ProcessorActor = Annotated[Actor, Depends(_Bearer("processing"))]
AdministratorActor = Annotated[Actor, Depends(_Bearer("admin"))]


_IdempotencyKey = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        min_length=1,
        max_length=idempotency.MAX_KEY_CHARS,
        pattern=r"^[\x21-\x7e]+$",
        description="Any text of your own, such as a UUID: the same request under the same key is done once.",
    ),
]


async def _once(
    request: Request, actor: Annotated[Actor, Depends(authenticated)], key: _IdempotencyKey = None
) -> idempotency.Once | None:
    """Return what the request's key stands for. Raises Replayed when it was answered before, IdempotencyMismatch."""
    if key is None:
        return None
    once = _of_address(request, actor, key).of(await request.body())
    await idempotency.require_unanswered(request.app.state.db, once)
    return once


async def _once_streamed(
    request: Request, actor: Annotated[Actor, Depends(authenticated)], key: _IdempotencyKey = None
) -> idempotency.Once | None:
    """Return what the request's key stands for but for its body, which is read later: see `Once.of`."""
    return None if key is None else _of_address(request, actor, key)


def _of_address(request: Request, actor: Actor, key: str) -> idempotency.Once:
    asked = f"{request.method} {request.url.path}?{request.url.query}".encode()
    return idempotency.Once(actor.user_id, key, hashlib.sha256(asked).digest())


OnceDep = Annotated[idempotency.Once | None, Depends(_once)]
OnceStreamedDep = Annotated[idempotency.Once | None, Depends(_once_streamed)]
