"""Authentication of requests: a route declares `context: Reader` (or another scope) and gets a `Context`.

One token check and one query for each request. `app` puts `passwords` and `access_tokens` into `app.state`. Creating
operations take `once: OnceDep` as well, because an `Idempotency-Key` belongs to one caller.
"""

import hashlib
import time
from collections.abc import Awaitable, Callable
from typing import Annotated, Any

from fastapi import Depends, Header, Request, Response
from fastapi.openapi.models import OAuth2, OAuthFlowPassword, OAuthFlows
from fastapi.security.base import SecurityBase

from dropbox_api.accounts import actors
from dropbox_api.accounts.factors.passwords import Passwords
from dropbox_api.accounts.session_tokens import AccessTokens
from dropbox_api.context import Actor, Context, Scope, Services
from dropbox_api.deps import from_state
from dropbox_api.plumbing import idempotency, limits, request_source
from dropbox_api.problems import Forbidden, Unauthenticated

VALID_S = 1.0
"""How long a request relies on one check. The first one is before the body, which may take a minute to arrive."""


async def get_actor(request: Request) -> Actor:
    """Return the caller, whatever the scopes, and count the request against the caller's limit.

    Raises Unauthenticated, RateLimited. Asked and counted once per request: the actor is kept in `request.state`; asked
    again after a slow body, because the sign-in may have ended meanwhile.
    """
    known: Actor | None = getattr(request.state, "actor", None)
    if known is not None and time.monotonic() - request.state.checked_at_s < VALID_S:
        return known
    actor = await authenticate_request(request)
    request_source.set_actor(actor.user_id, actor.token_name)
    if known is None:
        await request.app.state.limits.hit("user", str(actor.user_id))
    request.state.actor, request.state.checked_at_s = actor, time.monotonic()
    return actor


async def authenticate_request(request: Request) -> Actor:
    """Check the token of a request and return its caller; a long response repeats it while it runs.

    Raises Unauthenticated.
    """
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer":
        raise Unauthenticated
    state = request.app.state
    return await actors.authenticate(state.db, state.settings.auth, state.access_tokens, token)


class _Bearer(SecurityBase):
    """The check and its entry in OpenAPI: one dependency, because every request pays for resolving it."""

    def __init__(self, scope: Scope | None) -> None:
        self.scope = scope
        flow = OAuthFlowPassword(tokenUrl="/v1/auth/token", refreshUrl="/v1/auth/refresh", scopes={})
        self.model = OAuth2(flows=OAuthFlows(password=flow))
        self.scheme_name = "bearer"

    async def __call__(self, request: Request) -> Context:
        """Return the services and the caller. Raises Unauthenticated; Forbidden when the token lacks the scope."""
        actor = await get_actor(request)
        if self.scope is not None and self.scope not in actor.scopes:
            if actor.scopes == {"account:enrol"}:
                detail = (
                    "This server demands a second factor: add a passkey or an app, or confirm with the one you have"
                )
                raise Forbidden(detail, scope=self.scope, reason="second-factor-missing")
            if actor.scopes == {"account:restore"}:
                detail = "This account is being deleted: restore it, or sign out"
                raise Forbidden(detail, scope=self.scope, reason="being-deleted")
            raise Forbidden(f"This needs a token with the scope {self.scope}", scope=self.scope)
        services: Services = request.app.state.services
        return Context(services.db, services.store, services.settings, actor, tasks=services.tasks)


def limited_by_user(name: limits.LimitName) -> Any:
    """Return a dependency that limits a route per caller: `dependencies=[limited_by_user("sign")]`.

    Raises RateLimited.
    """

    async def count(request: Request, actor: Annotated[Actor, Depends(get_actor)]) -> None:
        request.scope["limits"] = await request.app.state.limits.hit(name, str(actor.user_id))

    return Depends(count)


ITEMS_PER_REQUEST = 50
"""A batch counts as one request for each so many items that it begins."""
CountItems = Callable[[int], Awaitable[None]]
"""Counts the items of a batch. Raises RateLimited."""


def count_items(*names: limits.LimitName) -> Any:
    """Return a dependency on a function that counts the items of a batch against limits of the caller.

    The request itself is counted already, by `get_actor` and `limited_by_user`: it pays for the first items.
    """

    async def get_counter(request: Request, actor: Annotated[Actor, Depends(get_actor)]) -> CountItems:
        async def count(items: int) -> None:
            further = (items - 1) // ITEMS_PER_REQUEST
            for name in names if further > 0 else ():
                await request.app.state.limits.hit(name, str(actor.user_id), further)

        return count

    return Depends(get_counter)


CountItemsDep = Annotated[CountItems, count_items("user")]
CountSignedItemsDep = Annotated[CountItems, count_items("user", "sign")]


async def _no_store(response: Response) -> None:
    response.headers["Cache-Control"] = "no-store"


NoStore = Depends(_no_store)
"""For a route's `dependencies`: keeps secrets out of caches (RFC 6749 section 5.1)."""
PasswordsDep = Annotated[Passwords, from_state("passwords")]
AccessTokensDep = Annotated[AccessTokens, from_state("access_tokens")]
AnyCaller = Annotated[Context, Depends(_Bearer(None))]
"""For operations that answer every token what its scopes allow."""
CurrentUser = Annotated[Context, Depends(_Bearer("account"))]
"""For operations on the caller's own account, which personal tokens cannot reach."""
Enrolling = Annotated[Context, Depends(_Bearer("account:enrol"))]
"""For operations that set up or prove a second factor, which a sign-in without a demanded one can reach, too."""
Reader = Annotated[Context, Depends(_Bearer("files:read"))]
Writer = Annotated[Context, Depends(_Bearer("files:write"))]
Sharer = Annotated[Context, Depends(_Bearer("share"))]
Processor = Annotated[Context, Depends(_Bearer("processing"))]
Administrator = Annotated[Context, Depends(_Bearer("admin"))]


_IdempotencyKey = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        min_length=1,
        max_length=idempotency.MAX_KEY_CHARS,
        pattern=r"^[\x21-\x7e]+$",
        description="A text of your choice, such as a UUID: the same request under the same key is done once.",
    ),
]


async def _once(
    request: Request, actor: Annotated[Actor, Depends(get_actor)], key: _IdempotencyKey = None
) -> idempotency.Once | None:
    """Return the request under its key. Raises Replayed when it was answered before, IdempotencyMismatch."""
    if key is None:
        return None
    once = _build_once(request, actor, key).of(await request.body())
    await idempotency.require_unanswered(request.app.state.db, once)
    return once


async def _once_without_body(
    request: Request, actor: Annotated[Actor, Depends(get_actor)], key: _IdempotencyKey = None
) -> idempotency.Once | None:
    """Return the request under its key without its body, which the operation adds later by `Once.of`."""
    return None if key is None else _build_once(request, actor, key)


def _build_once(request: Request, actor: Actor, key: str) -> idempotency.Once:
    target = f"{request.method} {request.url.path}?{request.url.query}".encode()
    return idempotency.Once(actor.user_id, key, hashlib.sha256(target).digest())


OnceDep = Annotated[idempotency.Once | None, Depends(_once)]
OnceWithoutBodyDep = Annotated[idempotency.Once | None, Depends(_once_without_body)]
