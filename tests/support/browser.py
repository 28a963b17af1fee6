"""A browser as far as session cookies need one: it keeps cookies, and says where a request comes from."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx2

from tests.support.server import NO_TLS, PASSWORD

SAME_ORIGIN = {"Sec-Fetch-Site": "same-origin", "X-Session": "cookie"}
"""What a page of the server adds to its requests."""


class Browser:
    """One browser with its cookies; `headers` are those of a page of the server."""

    def __init__(self, http: httpx2.AsyncClient) -> None:
        self.http = http

    @property
    def cookie(self) -> str | None:
        """The refresh token in the session cookie."""
        (cookie,) = [cookie.value for cookie in self.http.cookies.jar if "dbx-session" in cookie.name] or [None]
        return cookie

    @cookie.setter
    def cookie(self, token: str) -> None:
        """Put an earlier token into the cookie, as after a crash or as a thief."""
        (cookie,) = [cookie for cookie in self.http.cookies.jar if "dbx-session" in cookie.name]
        cookie.value = token

    async def sign_in(self, email: str, **headers: str) -> httpx2.Response:
        form = {"grant_type": "password", "username": email, "password": PASSWORD}
        return await self.http.post("/v1/auth/token", data=form, headers=SAME_ORIGIN | headers)

    async def refresh(self, **headers: str) -> httpx2.Response:
        return await self.http.post("/v1/auth/refresh", headers=SAME_ORIGIN | headers)

    async def sign_out(self, **headers: str) -> httpx2.Response:
        return await self.http.post("/v1/auth/logout", headers=SAME_ORIGIN | headers)

    async def me(self, tokens: dict[str, Any]) -> httpx2.Response:
        return await self.http.get("/v1/me", headers={"Authorization": f"Bearer {tokens['access_token']}"})


@asynccontextmanager
async def open_browser(url: str) -> AsyncIterator[Browser]:
    async with httpx2.AsyncClient(base_url=url, timeout=60, verify=NO_TLS) as http:
        yield Browser(http)
