"""The sender of an upload link: a raw client of sessions under a link, without an account."""

import secrets
import uuid
from dataclasses import dataclass, field
from typing import Any

import httpx2

from tests.support.server import chunks_of, put, sha256
from tests.support.sharing import public


@dataclass
class Sender:
    """A sender with a secret of its own; `api` is not signed in."""

    api: httpx2.AsyncClient
    link: dict[str, Any]
    secret: str = field(default_factory=secrets.token_urlsafe)
    headers: dict[str, str] = field(default_factory=dict)

    def body(self, data: bytes, name: str = "sent.bin", **more: Any) -> dict[str, Any]:
        """Return an item of a start; `more` adds members."""
        return {
            "client_ref": uuid.uuid4().hex,
            "name": name,
            "size_bytes": len(data),
            "fingerprint": sha256(data),
        } | more

    @property
    def secret_sha256(self) -> str:
        return sha256(self.secret.encode())

    async def post_start(self, data: bytes, name: str = "sent.bin", **more: Any) -> httpx2.Response:
        body = {"secret_sha256": self.secret_sha256} | self.body(data, name, **more)
        return await self.api.post(public(self.link, "/uploads"), json=body, headers=self.headers)

    async def start(self, data: bytes, name: str = "sent.bin", **more: Any) -> dict[str, Any]:
        """Start a session; return it."""
        upload: dict[str, Any] = (await self.post_start(data, name, **more)).raise_for_status().json()["upload"]
        return upload

    async def ask(self, method: str, upload_id: str, path: str = "", **request: Any) -> httpx2.Response:
        """Send a request for a session with the secret."""
        address = public(self.link, f"/uploads/{upload_id}{path}")
        return await self.api.request(method, address, headers={"X-Upload-Secret": self.secret}, **request)

    async def sign(self, upload: dict[str, Any], data: bytes, numbers: list[int] | None = None) -> httpx2.Response:
        chunks = chunks_of(data, upload["chunk_size_bytes"] or 1)
        numbers = numbers or list(range(1, len(chunks) + 1))
        parts = [{"number": number, "sha256": sha256(chunks[number - 1])} for number in numbers]
        return await self.ask("POST", upload["id"], "/parts", json={"parts": parts})

    async def send(self, upload: dict[str, Any], data: bytes, numbers: list[int] | None = None) -> None:
        """Sign and send these chunks (default: all)."""
        chunks = chunks_of(data, upload["chunk_size_bytes"] or 1)
        for part in (await self.sign(upload, data, numbers)).raise_for_status().json()["parts"]:
            (await put(part, chunks[part["number"] - 1])).raise_for_status()

    async def complete(self, upload: dict[str, Any], **body: Any) -> httpx2.Response:
        return await self.ask("POST", upload["id"], "/complete", json=body)

    async def upload(self, data: bytes, name: str = "sent.bin", **more: Any) -> dict[str, Any]:
        """Send a file; return the completed session."""
        upload = await self.start(data, name, **more)
        await self.send(upload, data)
        done: dict[str, Any] = (await self.complete(upload)).raise_for_status().json()
        return done
