"""The mails of a server: who gets which, and the tokens in their links."""

import email
import re
from email.policy import default
from pathlib import Path

import httpx2
from sqlalchemy import text

from tests.support.server import NO_TLS, Account, RunningServer, new_address, register_account

NEW_PASSWORD = "staple of wet hay"
PUBLIC_URL = "https://files.example.com"
VERIFY, RESET = "Confirm your address", "Set a new password"


class Post:
    """A server that writes its mails into a folder, and those mails."""

    def __init__(self, server: RunningServer, folder: Path) -> None:
        self.server = server
        self.folder = folder
        self.api = httpx2.AsyncClient(base_url=server.url, timeout=60, verify=NO_TLS)

    async def register(self) -> Account:
        return await register_account(self.server.url, new_address())

    async def mails(self, to: str, subject: str) -> list[str]:
        """Return the mails to this address with this subject, oldest first."""
        # Wait for mails in progress, as the server does when it stops.
        await self.server.app.state.mailer.close()
        found = [email.message_from_bytes(path.read_bytes(), policy=default) for path in sorted(self.folder.iterdir())]
        return [message.get_content() for message in found if (message["To"], message["Subject"]) == (to, subject)]

    async def token(self, to: str, subject: str) -> str:
        """Return the token in the newest of these mails."""
        found = re.search(r"\?token=([\w-]{43})\s", (await self.mails(to, subject))[-1])
        assert found
        return found[1]

    async def ask_to_reset(self, address: str) -> str:
        asked = await self.api.post("/v1/auth/reset-password/request", json={"email": address})
        assert (asked.status_code, asked.content) == (202, b"")
        return await self.token(address, RESET)

    async def reset(self, token: str, password: str = NEW_PASSWORD) -> httpx2.Response:
        return await self.api.post("/v1/auth/reset-password", json={"token": token, "new_password": password})

    async def verify(self, token: str) -> httpx2.Response:
        return await self.api.post("/v1/auth/verify-email", json={"token": token})

    async def sign_in(self, address: str, password: str, otp: str = "") -> httpx2.Response:
        form = {"grant_type": "password", "username": address, "password": password} | ({"otp": otp} if otp else {})
        return await self.api.post("/v1/auth/token", data=form)

    async def run(self, statement: str, **values: object) -> None:
        async with self.server.db.begin() as tx:
            await tx.execute(text(statement), values)
