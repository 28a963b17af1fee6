"""An API process that is killed at random requests and starts again, and clients that repeat their requests."""

import asyncio
import random
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

import httpx2

from tests.support.process import running_process
from tests.support.server import NO_TLS, Account


class RestartingApi:
    """An API that begins to die when `killing` is set, each time at a random request, and starts at another address."""

    def __init__(self, variables: dict[str, str], seed: int, *, requests: tuple[int, int]) -> None:
        """Kill after a number of requests between the two `requests`."""
        self.variables = variables
        self.requests = requests
        self.random = random.Random(seed)
        self.url = ""
        self.kills = 0
        self.killing = asyncio.Event()
        self.is_up = asyncio.Event()
        self._death = asyncio.Event()
        self._left = 0

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        task = asyncio.create_task(self._run())
        try:
            waiting = asyncio.create_task(self.is_up.wait())
            await asyncio.wait({task, waiting}, return_when=asyncio.FIRST_COMPLETED)
            waiting.cancel()
            if task.done():
                task.result()
            yield
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def _run(self) -> None:
        while True:
            async with running_process(self.variables) as api:
                self._left = self.random.randint(*self.requests)
                self._death.clear()
                self.url = api.url
                self.is_up.set()
                await self._death.wait()
                self.is_up.clear()
                api.process.kill()
                await api.wait_for_exit()
                self.kills += 1

    def count_request(self) -> None:
        """Kill the API while it answers this request, if its time has come."""
        self._left -= 1
        if self._left <= 0 and self.killing.is_set():
            self._death.set()

    def sign_in(self, account: Account) -> Account:
        """Return the account with a client that repeats requests; the caller closes the client."""
        bearer = {"Authorization": account.client.headers["Authorization"]}
        client = httpx2.AsyncClient(base_url="http://api", headers=bearer, transport=_Repeating(self), timeout=60)
        return replace(account, client=client)


class _Repeating(httpx2.AsyncBaseTransport):
    """Sends a request to the API of the moment until there is an answer other than 503.

    A POST to the tree gets an idempotency key, so that it creates once.
    """

    def __init__(self, api: RestartingApi) -> None:
        self.api = api
        self.inner = httpx2.AsyncHTTPTransport(verify=NO_TLS, limits=httpx2.Limits(max_connections=None))

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        if request.method == "POST":
            request.headers["Idempotency-Key"] = str(uuid.uuid4())
        content = await request.aread()
        while True:
            await self.api.is_up.wait()
            self.api.count_request()
            url = httpx2.URL(self.api.url).join(request.url.raw_path.decode())
            try:
                attempt = httpx2.Request(
                    request.method, url, headers=request.headers, content=content, extensions=request.extensions
                )
                answer = await self.inner.handle_async_request(attempt)
                body = await answer.aread()
            except httpx2.TransportError:
                await asyncio.sleep(0.02)
                continue
            if answer.status_code != 503:
                kept = [(name, value) for name, value in answer.headers.items() if not name.startswith("content-e")]
                return httpx2.Response(answer.status_code, headers=kept, content=body, request=request)

    async def aclose(self) -> None:
        await self.inner.aclose()
