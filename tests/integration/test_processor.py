"""`examples/processor.py` as a process: notified of a new file by webhook or by SNS and SQS, it reports on the file."""

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import pytest

from dropbox_api.accounts import personal_tokens, users
from dropbox_api.accounts.factors.passwords import Passwords
from dropbox_api.accounts.schemas import CreateToken, CreateUser
from dropbox_api.context import Services
from dropbox_api.settings import Settings, SnsSettings
from dropbox_api.storage.s3 import S3Config
from dropbox_api.workers.deliver import deliver_messages
from dropbox_api.workers.publish import publish_changes
from dropbox_api.workers.relay import relay_changes
from tests.support.bus import CONFIG, Bus, running_bus
from tests.support.fault_proxy import Fault, FaultProxy, running_proxy
from tests.support.ministack import Ministack
from tests.support.ports import reserve_port
from tests.support.server import (
    Account,
    RunningServer,
    register_account,
    separate_server,
    sha256,
    upload_file,
)
from tests.support.stack import Stack

PROGRAM = Path(__file__).parents[2] / "examples" / "processor.py"
FORGED = {"webhook-id": "1", "webhook-timestamp": "4102444800", "webhook-signature": "v1,AAAA v1,BBBB"}
DATA = b"to be processed" * 1000


@dataclass
class Place:
    """A server, an owner with a folder, and the token of a service account that may read the folder."""

    server: RunningServer
    owner: Account
    folder_id: str
    token: str

    def environment(self, **more: str) -> dict[str, str]:
        return {"PATH": os.defpath, "DROPBOX_URL": self.server.url, "DROPBOX_TOKEN": self.token, **more}

    async def upload(self, name: str) -> str:
        file = await upload_file(self.owner, DATA, name, destination={"parent_id": self.folder_id})
        return str(file["id"])

    async def processed(self, file_id: str, settings: Settings, jobs: Sequence[Any]) -> list[str]:
        """Run the jobs until the file's processing has ended; return the states in its journal."""
        async with asyncio.timeout(60):
            while True:
                for job in jobs:
                    await job(Services(self.server.db, self.server.store, settings))
                file = (await self.owner.client.get(f"/v1/files/{file_id}")).raise_for_status().json()
                if file["processing"] and file["processing"]["state"] in {"succeeded", "failed"}:
                    assert file["processing"]["detail"] == f"SHA-256 {sha256(DATA)}"
                    break
                await asyncio.sleep(0.05)
        events = (await self.owner.client.get("/v1/events", params={"since": "2020-01-01T00:00:00Z"})).json()["events"]
        return [
            event["detail"]["state"]
            for event in events
            if event["kind"] == "file.processing" and event["file_id"] == file_id
        ]


@pytest.fixture(scope="module")
async def place(postgres_url: str, s3_config: S3Config) -> AsyncIterator[Place]:
    hooks = {"allow_http": True, "allowed_networks": ["127.0.0.0/8"]}
    async with separate_server(postgres_url, s3_config, hooks=hooks) as server:
        owner = await register_account(server.url)
        folder = (await owner.client.post("/v1/folders", json={"path": "/to process"})).raise_for_status().json()
        passwords = Passwords(1)
        new = CreateUser.model_validate({"email": "processor@example.com", "kind": "service"})
        service = await users.create_user(server.db, server.settings.auth, passwords, new)
        passwords.close()
        wanted = CreateToken(name="hashes", scopes={"files:read", "processing"})
        made = await personal_tokens.create_service_token(server.db, service.id, wanted)
        grant = {"email": service.email, "role": "viewer"}
        (await owner.client.post(f"/v1/files/{folder['id']}/grants", json=grant)).raise_for_status()
        yield Place(server, owner, folder["id"], made.token)
        await owner.client.aclose()


@pytest.fixture
async def bus(stack: Stack) -> AsyncIterator[Bus]:
    async with running_bus(Ministack(stack.directory / "processor")) as running:
        yield running


@pytest.fixture
def port() -> Iterator[int]:
    with reserve_port() as port:
        yield port


@contextmanager
def running(environment: dict[str, str], *arguments: str) -> Iterator[subprocess.Popen[bytes]]:
    """Run the program until the block ends, and require that it has not exited before."""
    with subprocess.Popen([sys.executable, str(PROGRAM), *arguments], env=environment) as program:
        try:
            yield program
            assert program.poll() is None
        finally:
            program.terminate()


@pytest.fixture
async def proxy(place: Place) -> AsyncIterator[FaultProxy]:
    host, _, port = place.server.url.removeprefix("http://").partition(":")
    async with running_proxy(host, int(port)) as running:
        yield running


async def test_processor_with_a_webhook_reports_on_a_stored_file(place: Place, proxy: FaultProxy, port: int) -> None:
    url = f"http://127.0.0.1:{port}/"
    hook = {"url": url, "kinds": ["file.stored"]}
    webhook = (await place.owner.client.post("/v1/webhooks", json=hook)).raise_for_status().json()
    environment = place.environment(WEBHOOK_SECRET=webhook["secret"], DROPBOX_URL=proxy.url)
    proxy.inject(Fault("cut", times=2))  # the API is unreachable for two requests
    with running(environment, "--port", str(port)):
        async with httpx2.AsyncClient(timeout=60) as client, asyncio.timeout(30):
            while True:
                try:
                    forged = await client.post(url, json={"kind": "file.stored"}, headers=FORGED)
                    break
                except httpx2.TransportError:
                    await asyncio.sleep(0.05)
        assert forged.status_code == 401
        file_id = await place.upload("by webhook")
        states = await place.processed(file_id, place.server.settings, [relay_changes, deliver_messages])
    assert states == ["running", "succeeded"]
    (await place.owner.client.delete(f"/v1/webhooks/{webhook['id']}")).raise_for_status()


async def test_processor_with_a_queue_reports_on_a_stored_file(place: Place, bus: Bus) -> None:
    topic_arn, queue_url = await bus.create_topic(FifoTopic="true"), await bus.create_queue(FifoQueue="true")
    await bus.subscribe(topic_arn, queue_url)
    keys = {"access_key_id": CONFIG.access_key_id or "", "secret_access_key": CONFIG.secret_access_key or ""}
    sns = {"topic_arn": topic_arn, "endpoint_url": bus.endpoint_url, **keys}
    settings = place.server.settings.model_copy(update={"sns": SnsSettings.model_validate(sns)})
    environment = place.environment(
        AWS_ENDPOINT_URL=bus.endpoint_url,
        AWS_DEFAULT_REGION="us-east-1",
        AWS_ACCESS_KEY_ID=keys["access_key_id"],
        AWS_SECRET_ACCESS_KEY=keys["secret_access_key"],
    )
    with running(environment, "--queue", queue_url):
        file_id = await place.upload("by queue")
        states = await place.processed(file_id, settings, [relay_changes, publish_changes])
    assert states == ["running", "succeeded"]


async def test_processor_after_garbage_messages_reports_on_the_next_file(place: Place, bus: Bus) -> None:
    queue_url = await bus.create_queue()
    file_id = await place.upload("after garbage")
    file = (await place.owner.client.get(f"/v1/files/{file_id}")).raise_for_status().json()
    stored = {"kind": "file.stored", "file_id": file_id, "detail": {"revision_id": file["revision_id"]}}
    strange = [
        stored | {"file_id": "a\nb"},
        stored | {"detail": {}},
        {"Type": "Notification", "Message": "hello"},
        [],
        7,
    ]
    for body in ("garbage", *map(json.dumps, [*strange, stored])):
        await bus.send(queue_url, body)
    environment = place.environment(
        AWS_ENDPOINT_URL=bus.endpoint_url,
        AWS_DEFAULT_REGION="us-east-1",
        AWS_ACCESS_KEY_ID=CONFIG.access_key_id or "",
        AWS_SECRET_ACCESS_KEY=CONFIG.secret_access_key or "",
    )
    with running(environment, "--queue", queue_url):
        assert await place.processed(file_id, place.server.settings, []) == ["running", "succeeded"]
