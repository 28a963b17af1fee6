"""One attempt to deliver one message to one webhook: the only code that calls addresses of users.

The name is looked up and judged anew (`addresses`), the connection goes to the very address that was judged, and the
certificate must be for the name. No redirect is followed, no proxy of the environment used, nothing is believed of the
answer but its status, little of it is read, and all of it together takes no longer than `hooks.timeout_s`.
"""

import asyncio
import ssl
import time
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import cache

import httpx

from dropbox_api import __version__, problems
from dropbox_api.hooks import addresses, outward
from dropbox_api.settings import HookSettings

MAX_ANSWER_BYTES = 64 * 1024

_AWAY = frozenset({429, 502, 503, 504})
"""Answers that are not about this message: whoever sends them has no ear for the next one either."""
_GONE = 410


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of an attempt."""

    status: int | None
    """What was answered; None when nothing was."""
    error: str | None
    """In our own words, for the log of deliveries; None: delivered."""

    @property
    def is_away(self) -> bool:
        """Whether there is nobody now who would take any message."""
        return self.error is not None and (self.status is None or self.status in _AWAY)

    @property
    def is_gone(self) -> bool:
        """Whether the receiver asks never to be called again."""
        return self.status == _GONE


class Sender:
    """Sends the messages of one webhook, one after another, over one connection while that lasts."""

    def __init__(self, settings: HookSettings, transport: httpx.AsyncHTTPTransport) -> None:
        self._settings = settings
        self._transport = transport

    @classmethod
    @asynccontextmanager
    async def open(cls, settings: HookSettings) -> AsyncIterator["Sender"]:
        # A transport alone: a client would keep cookies, follow redirects and ask the environment for proxies. One a
        # webhook, for connections are kept by address, and a certificate is checked when they are made.
        async with httpx.AsyncHTTPTransport(verify=trusted(), trust_env=False) as transport:
            yield cls(settings, transport)

    async def send(self, url: str, secret: str, message_id: uuid.UUID, body: bytes) -> Outcome:
        """Sign a message as of now, send it, and say what came of it. Raises nothing that the receiver can provoke."""
        status = None
        try:
            async with asyncio.timeout(self._settings.timeout_s):
                answer = await self._ask(url, secret, message_id, body)
                status = answer.status_code
                await _read(answer)
        except problems.AddressRefused as refused:
            return Outcome(None, f"the address was refused: {refused.extra['reason']}")
        except problems.InvalidRequest:
            return Outcome(None, "the address was refused")
        except TimeoutError:
            error = "there was no answer in time"
        except (httpx.HTTPError, OSError, ValueError) as failure:
            error = _explained(failure)
        if status is None:  # once it is known it stands, whatever becomes of the rest
            return Outcome(None, error)
        return Outcome(status, None if 200 <= status < 300 else f"the answer was {status}")

    async def _ask(self, url: str, secret: str, message_id: uuid.UUID, body: bytes) -> httpx.Response:
        target = await addresses.resolve(self._settings, url)
        headers = {
            "Host": target.host,
            "User-Agent": f"dropbox-api/{__version__}",
            "Content-Type": "application/json",
            **outward.sign(secret, message_id, int(time.time()), body),
        }
        to_name = {"sni_hostname": target.name}
        request = httpx.Request("POST", target.url, headers=headers, content=body, extensions=to_name)
        return await self._transport.handle_async_request(request)


async def _read(answer: httpx.Response) -> None:
    """Read a short answer, so that its connection can be used again; leave a long one."""
    try:
        read = 0
        async for block in answer.aiter_raw():
            read += len(block)
            if read > MAX_ANSWER_BYTES:
                return
    finally:
        await answer.aclose()


@cache
def trusted() -> ssl.SSLContext:
    """Return whose certificates are believed: the usual authorities, or those of SSL_CERT_FILE. Loading takes long."""
    return httpx.create_ssl_context()


def _explained(error: Exception) -> str:
    """Say what failed without quoting anybody: error texts name addresses that are not the user's to know."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return f"the certificate does not hold: {cause.verify_message}"
        if isinstance(cause, ssl.SSLError):
            return "TLS failed"
        cause = cause.__cause__ or cause.__context__
    if isinstance(error, httpx.ConnectError):
        return "nobody answers there"
    return "the connection broke"
