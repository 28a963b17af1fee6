"""The HTTP client of webhooks: the only code that calls addresses of users.

Each attempt resolves and checks the name anew (`targets`), connects to the address that was checked, and requires a
certificate for the name. The client follows no redirects, uses no proxy of the environment, reads at most 64 KiB of
the response, and trusts only its status. An attempt takes at most `hooks.timeout_s`.
"""

import asyncio
import ssl
import time
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import cache

import httpx2

from dropbox_api import __version__, problems
from dropbox_api.hooks.signatures import sign_message
from dropbox_api.hooks.targets import resolve_target
from dropbox_api.settings import HookSettings

MAX_ANSWER_BYTES = 64 * 1024

_DOWN = frozenset({429, 502, 503, 504})
"""Statuses that mean the receiver is down: pause this webhook."""
_GONE = 410


@dataclass(frozen=True, slots=True)
class DeliveryOutcome:
    """The result of one attempt."""

    status: int | None
    """The status of the response; None without a response."""
    error: str | None
    """A text of this server for the log of deliveries; None when the message was delivered."""

    @property
    def is_receiver_down(self) -> bool:
        """Whether any message would fail now."""
        return self.error is not None and (self.status is None or self.status in _DOWN)

    @property
    def is_gone(self) -> bool:
        """Whether the receiver wants no more calls, ever."""
        return self.status == _GONE


class DeliveryClient:
    """Sends the messages of one webhook, in order, over one kept-alive connection."""

    def __init__(self, settings: HookSettings, transport: httpx2.AsyncHTTPTransport) -> None:
        self._settings = settings
        self._transport = transport

    @classmethod
    @asynccontextmanager
    async def open(cls, settings: HookSettings) -> AsyncIterator["DeliveryClient"]:
        # A bare transport: httpx2's client would keep cookies, follow redirects and read proxies from the environment.
        # One per webhook: connections are pooled by address, and the certificate is checked only when one is made.
        async with httpx2.AsyncHTTPTransport(verify=load_trusted_authorities(), trust_env=False) as transport:
            yield cls(settings, transport)

    async def send(self, url: str, secret: str, message_id: uuid.UUID, body: bytes) -> DeliveryOutcome:
        """Sign a message, send it, and return the outcome. The receiver can cause no exception."""
        status = None
        try:
            async with asyncio.timeout(self._settings.timeout_s):
                answer = await self._post(url, secret, message_id, body)
                status = answer.status_code
                await _drain(answer)
        except problems.AddressRefused as refused:
            return DeliveryOutcome(None, f"the address was refused: {refused.extra['reason']}")
        except problems.InvalidRequest:
            return DeliveryOutcome(None, "the address was refused")
        except TimeoutError:
            error = "there was no answer in time"
        except (httpx2.HTTPError, OSError, ValueError) as failure:
            error = _describe_failure(failure)
        if status is None:  # a received status counts, even when the rest of the response fails
            return DeliveryOutcome(None, error)
        return DeliveryOutcome(status, None if 200 <= status < 300 else f"the answer was {status}")

    async def _post(self, url: str, secret: str, message_id: uuid.UUID, body: bytes) -> httpx2.Response:
        target = await resolve_target(self._settings, url)
        headers = {
            "Host": target.host,
            "User-Agent": f"dropbox-api/{__version__}",
            "Content-Type": "application/json",
            **sign_message(secret, message_id, int(time.time()), body),
        }
        to_name = {"sni_hostname": target.name}
        request = httpx2.Request("POST", target.url, headers=headers, content=body, extensions=to_name)
        return await self._transport.handle_async_request(request)


async def _drain(answer: httpx2.Response) -> None:
    """Read a short response, so that its connection can be reused; close the connection of a long one."""
    try:
        read = 0
        async for block in answer.aiter_raw():
            read += len(block)
            if read > MAX_ANSWER_BYTES:
                return
    finally:
        await answer.aclose()


@cache
def load_trusted_authorities() -> ssl.SSLContext:
    """Return the trusted certificate authorities: the usual ones, or those of SSL_CERT_FILE. Loading is slow."""
    return httpx2.create_ssl_context()


def _describe_failure(error: Exception) -> str:
    """Describe a failure in fixed words: error texts may contain internal addresses, which the user must not see."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return f"the certificate is invalid: {cause.verify_message}"
        if isinstance(cause, ssl.SSLError):
            return "TLS failed"
        cause = cause.__cause__ or cause.__context__
    if isinstance(error, httpx2.ConnectError):
        return "the connection was refused"
    return "the connection broke"
