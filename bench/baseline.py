"""A minimal server for GET /v1/me: Starlette and the same two queries over asyncpg.

It checks no token, validates nothing, and does not reset the connections of its pool.
"""

import os
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

_ACTOR = """
SELECT u.email FROM users u JOIN sessions s ON s.user_id = u.id
WHERE u.id = $1 AND s.id = $2 AND u.disabled_at IS NULL AND s.revoked_at IS NULL AND s.expires_at > now()
"""
_ACCOUNT = """
SELECT id, email, created_at, used_bytes, reserved_bytes, quota_bytes, used_nodes, quota_nodes
FROM users WHERE id = $1
"""


async def me(request: Request) -> JSONResponse:
    user_id, session_id = request.app.state.ids
    async with request.app.state.pool.acquire() as connection:
        await connection.fetchval(_ACTOR, user_id, session_id)
        account = await connection.fetchrow(_ACCOUNT, user_id)
    answer = dict(account)
    return JSONResponse(answer | {"id": str(answer["id"]), "created_at": answer["created_at"].isoformat()})


async def healthz(_: Request) -> JSONResponse:
    return JSONResponse({})


async def _keep(_: object) -> None:
    """Return a connection to the pool without a reset."""


@asynccontextmanager
async def _lifespan(app: Starlette) -> AsyncIterator[None]:
    app.state.ids = uuid.UUID(os.environ["BENCH_USER"]), uuid.UUID(os.environ["BENCH_SESSION"])
    url = os.environ["BENCH_DATABASE_URL"]
    async with asyncpg.create_pool(url, min_size=10, max_size=20, reset=_keep) as app.state.pool:
        yield


app = Starlette(routes=[Route("/v1/me", me), Route("/healthz", healthz)], lifespan=_lifespan)
