"""Clients that repeat a journey until it succeeds, and the state that must follow.

`attempt` makes a whole journey and raises at the first failure; `persist` repeats attempts, which is all that a client
can do after a crash. `check` compares Postgres and S3 with the expected state.
"""

import asyncio
import hashlib
import random
import uuid
from abc import ABC, abstractmethod
from dataclasses import replace
from typing import Any

import httpx2
from backports import zstd
from sqlalchemy import text

from dropbox_api.context import Services
from dropbox_api.db import Db
from dropbox_api.settings import MIB, Settings
from dropbox_api.storage.object_store import ObjectStore
from dropbox_api.workers import batches, invariants, jobs
from dropbox_api.workers.sweep import sweep_orphans
from tests.support import pictures
from tests.support.senders import Sender
from tests.support.server import MULTI, Account, put, register_account, send, sha256, start_body, upload_file
from tests.support.sharing import make_folder, make_link

CHUNK = 5 * MIB
RETRYABLE = frozenset({"unavailable", "upload-completing", "upload-ended", "NoSuchUpload"})
"""Problems after which a client repeats. Another attempt may end the upload: `upload-ended`, `NoSuchUpload`."""
AND_INTERNAL = RETRYABLE | {"internal-error"}
"""The same where a failpoint may raise."""
PATIENCE_S = 60


class RequestFailed(Exception):
    """The API answered with a problem, or the store with an error."""

    def __init__(self, answer: httpx2.Response) -> None:
        self.status = answer.status_code
        if "json" in answer.headers.get("content-type", ""):
            self.code = answer.json()["code"]
        else:
            self.code = answer.text.partition("<Code>")[2].partition("</Code>")[0]
        super().__init__(f"{answer.request.method} {answer.request.url}: {answer.status_code} {answer.text}")


def require_ok(answer: httpx2.Response) -> httpx2.Response:
    if answer.is_error:
        raise RequestFailed(answer)
    return answer


class Journey(ABC):
    """One account and one task; each attempt may use another process of the API."""

    def __init__(self, seed: str) -> None:
        self.random = random.Random(seed)
        self.account: Account

    async def prepare(self, url: str) -> None:
        """Make the account and the initial state."""
        self.account = await register_account(url)
        await self.account.client.aclose()

    def account_at(self, url: str) -> Account:
        """Return the account with a client for the process at `url`; the caller closes the client."""
        bearer = {"Authorization": self.account.client.headers["Authorization"]}
        return replace(self.account, client=httpx2.AsyncClient(base_url=url, headers=bearer, timeout=60))

    async def attempt(self, url: str) -> None:
        account = self.account_at(url)
        async with account.client:
            try:
                await self._attempt(account)
            except httpx2.HTTPStatusError as error:
                raise RequestFailed(error.response) from error

    async def persist(self, url: str, *, on: frozenset[str] = RETRYABLE) -> None:
        """Repeat until an attempt succeeds; a failure with another code than `on` raises."""
        async with asyncio.timeout(PATIENCE_S):
            while True:
                try:
                    await self.attempt(url)
                except RequestFailed as failure:
                    if failure.code not in on:
                        raise
                else:
                    return
                await asyncio.sleep(0.1)

    @abstractmethod
    async def _attempt(self, account: Account) -> None: ...

    @abstractmethod
    async def check(self, url: str, db: Db) -> None: ...

    def forget(self) -> None:  # noqa: B027 - most journeys keep no state
        """Drop the state of the client, as if the client had been killed."""


class Upload(Journey):
    """Upload one file. `late`: bind the fingerprint after the first chunk is sent."""

    def __init__(self, seed: str, *, size_bytes: int = CHUNK + 1_000, late: bool = False) -> None:
        super().__init__(seed)
        self.data = self.random.randbytes(size_bytes)
        self.name = f"{seed}.bin"
        self.late = late
        self.upload_id: str | None = None
        self.files: list[dict[str, Any]] = []
        """The answer of every successful attempt."""

    def forget(self) -> None:
        self.upload_id = None

    async def _attempt(self, account: Account) -> None:
        started: dict[str, Any] = {"file": None, "upload": {"id": self.upload_id}}
        if self.upload_id is None:
            started = await self._start(account)
        while started["file"] is None:
            upload = started["upload"]
            self.upload_id = upload["id"]
            answer = require_ok(await account.client.post(f"/v1/uploads/{upload['id']}/reconcile"))
            upload = answer.json()
            missing = [
                number
                for span in filter(None, upload["missing"].split(","))
                for number in range(int(span.split("-")[0]), int(span.split("-")[-1]) + 1)
            ]
            if missing and upload["state"] == "active":
                await send(account, upload, self.data, missing)
            if upload["fingerprint"] is None:
                address = f"/v1/uploads/{upload['id']}/fingerprint"
                started = require_ok(await account.client.put(address, json={"fingerprint": sha256(self.data)})).json()
                continue
            self.files.append(await complete(account, upload["id"]))
            return
        self.files.append(started["file"])

    async def _start(self, account: Account) -> dict[str, Any]:
        # A small file is a single upload.
        big = {"strategy": "multipart", "chunk_size_bytes": CHUNK} if len(self.data) > CHUNK else {}
        body = start_body(self.data, self.name, **big)
        if self.late:
            unbound = {key: value for key, value in body.items() if key != "fingerprint"}
            answer = await account.client.post("/v1/uploads", json=unbound)
            if answer.status_code != 409:
                return dict(require_ok(answer).json())
            if answer.json().get("uploads"):  # the upload was not bound before the crash: adopt it
                return {"file": None, "upload": {"id": answer.json()["uploads"][0]}}
        answer = await account.client.post("/v1/uploads", json=body)
        if answer.status_code == 409 and answer.json()["code"] == "name-taken":
            there = require_ok(await account.client.get(f"/v1/files/{answer.json()['file_id']}")).json()
            if there["fingerprint"] == sha256(self.data):  # an earlier attempt completed it
                return {"file": there}
        return dict(require_ok(answer).json())

    async def check(self, url: str, db: Db) -> None:
        """Exactly one file with the right bytes, one revision, one creation, and nothing else charged."""
        assert len({(file["id"], file["revision_id"]) for file in self.files}) == 1, self.files
        account = self.account_at(url)
        async with account.client as client:
            (listed,) = require_ok(await client.get("/v1/files")).json()["items"]
            assert (listed["name"], listed["size_bytes"]) == (self.name, len(self.data))
            content = require_ok(await client.get(f"/v1/files/{listed['id']}/content", follow_redirects=True)).content
            assert hashlib.sha256(content).hexdigest() == sha256(self.data)
            me = await account.me()
        assert (me["used_bytes"], me["reserved_bytes"], me["used_nodes"]) == (len(self.data), 0, 1)
        node = {"id": uuid.UUID(listed["id"])}
        async with db.read() as tx:
            revisions = await tx.execute(text("SELECT count(*) FROM revisions WHERE node_id = :id"), node)
            assert revisions.scalar_one() == 1
            kinds = await tx.execute(text("SELECT kind FROM events WHERE node_id = :id ORDER BY seq"), node)
            # A single upload is verified at once: S3 compared the whole with its fingerprint.
            expected = ["file.created", "file.verified"] if len(self.data) > CHUNK else ["file.created"]
            assert list(kinds.scalars()) == expected
            outbox = await tx.execute(
                text("SELECT count(*) FROM outbox WHERE payload::text LIKE :like"), {"like": f"%{listed['id']}%"}
            )
            assert outbox.scalar_one() == len(expected)


class Photo(Upload):
    """Upload one photo, of which the worker makes thumbnails."""

    def __init__(self, seed: str) -> None:
        super().__init__(seed)
        self.data = pictures.jpeg(self.random.randrange(10**9))

    async def check(self, url: str, db: Db) -> None:
        await super().check(url, db)
        made = text("""
            SELECT state, thumbnails.attempts FROM thumbnails JOIN revisions USING (blob_id) WHERE revisions.id = :id
        """)
        async with db.read() as tx:
            row = (await tx.execute(made, {"id": uuid.UUID(self.files[0]["revision_id"])})).one()
        assert tuple(row) == ("ready", 0)


class LinkUpload(Journey):
    """Send one file into a folder below an upload link that takes nothing else; its sender has no account."""

    def __init__(self, seed: str, *, size_bytes: int = CHUNK + 1_000) -> None:
        super().__init__(seed)
        self.data = self.random.randbytes(size_bytes)
        self.sender: Sender
        self.sessions: set[str] = set()
        """The session of every successful attempt."""

    async def prepare(self, url: str) -> None:
        await super().prepare(url)
        account = self.account_at(url)
        async with account.client as client:
            folder_id = await make_folder(account, "/in")
            link = await make_link(account, folder_id, "upload", max_files=1, max_bytes=len(self.data))
        self.sender = Sender(client, link)

    async def _attempt(self, account: Account) -> None:
        async with httpx2.AsyncClient(base_url=account.client.base_url, timeout=60) as api:
            sender = replace(self.sender, api=api)
            more = {} if len(self.data) < CHUNK else {**MULTI, "fingerprint": None}
            started = await sender.post_start(self.data, "sent.bin", client_ref="one", folder_path="new", **more)
            upload = require_ok(started).json()["upload"]
            if upload["state"] == "active" and (single := started.json()["parts"]):
                require_ok(await put(single[0], self.data))
            elif upload["state"] == "active":
                missing = require_ok(await sender.ask("POST", upload["id"], "/reconcile")).json()["missing"]
                for number in filter(None, missing.replace("-", ",").split(",")):  # of the two chunks
                    await sender.send(upload, self.data, [int(number)])
            async with asyncio.timeout(PATIENCE_S):
                while upload["state"] != "completed":
                    fingerprint = sha256(self.data)
                    upload = require_ok(await sender.complete(upload, fingerprint=fingerprint)).json()
                    await asyncio.sleep(0 if upload["state"] == "completed" else 0.1)
            self.sessions.add(upload["id"])

    async def check(self, url: str, db: Db) -> None:
        """One session, one file, and the link has counted it once."""
        (upload_id,) = self.sessions
        account = self.account_at(url)
        async with account.client as client:
            (listed,) = require_ok(await client.get("/v1/files", params={"path": "/in/new"})).json()["items"]
            content = require_ok(await client.get(f"/v1/files/{listed['id']}/content", follow_redirects=True)).content
            assert sha256(content) == sha256(self.data)
            folder_id = self.sender.link["node_id"]
            (link,) = require_ok(await client.get(f"/v1/files/{folder_id}/links")).json()["items"]
            me = await account.me()
        assert (link["received_files"], link["received_bytes"]) == (1, len(self.data))
        assert (me["used_bytes"], me["reserved_bytes"], me["used_nodes"]) == (len(self.data), 0, 3)
        counts = {
            "SELECT count(*) FROM uploads WHERE link_id = :link": 1,
            "SELECT count(*) FROM revisions WHERE node_id = :node": 1,
            "SELECT count(*) FROM events WHERE node_id = :node AND kind = 'file.created'": 1,
            "SELECT count(*) FROM audit_log WHERE node_id = :node AND action = 'uploaded-by-link'": 1,
            "SELECT count(*) FROM uploads WHERE id = :upload AND state = 'completed'": 1,
        }
        ids = {"link": link["id"], "node": uuid.UUID(listed["id"]), "upload": uuid.UUID(upload_id)}
        async with db.read() as tx:
            seen = {counted: (await tx.execute(text(counted), ids)).scalar_one() for counted in counts}
        assert seen == counts


class Edit(Upload):
    """Upload new content of a file, based on its first revision; the file is renamed when the first attempt began."""

    async def prepare(self, url: str) -> None:
        await super().prepare(url)
        account = self.account_at(url)
        async with account.client as client:
            first = require_ok(await client.post("/v1/files", files={"file": ("first", b"first")})).json()
        self.destination = {"file_id": first["id"], "base_revision_id": first["revision_id"]}

    async def rename(self, url: str) -> None:
        account = self.account_at(url)
        async with account.client as client:
            require_ok(await client.patch(f"/v1/files/{self.destination['file_id']}", json={"name": self.name}))

    async def _start(self, account: Account) -> dict[str, Any]:
        body = start_body(self.data, "", strategy="multipart", chunk_size_bytes=CHUNK)
        answer = await account.client.post("/v1/uploads", json=body | {"destination": self.destination})
        return dict(require_ok(answer).json())

    async def check(self, url: str, db: Db) -> None:  # noqa: ARG002
        """One new revision of the renamed file."""
        account = self.account_at(url)
        async with account.client as client:
            (listed,) = require_ok(await client.get("/v1/files")).json()["items"]
            address = f"/v1/files/{listed['id']}"
            content = require_ok(await client.get(f"{address}/content", follow_redirects=True)).content
            revisions = require_ok(await client.get(f"{address}/revisions")).json()["items"]
            me = await account.me()
        assert (listed["id"], listed["name"]) == (self.destination["file_id"], self.name)
        assert sha256(content) == sha256(self.data)
        # The jobs have pruned the first revision.
        assert [(one["number"], one["size_bytes"]) for one in revisions] == [(2, len(self.data))]
        assert (me["used_bytes"], me["reserved_bytes"], me["used_nodes"]) == (len(self.data), 0, 1)


class Reuse(Journey):
    """Upload content whose first chunk is stored already, and leave the rest to the worker."""

    def __init__(self, seed: str) -> None:
        super().__init__(seed)
        self.base = self.random.randbytes(CHUNK + 1_000)
        self.data = self.base[:CHUNK] + self.random.randbytes(1_000)

    async def prepare(self, url: str) -> None:
        await super().prepare(url)
        account = self.account_at(url)
        async with account.client:
            await upload_file(account, self.base, "base", **MULTI)

    async def _attempt(self, account: Account) -> None:
        chunks = [
            {"sha256": sha256(chunk), "size_bytes": len(chunk)} for chunk in (self.data[:CHUNK], self.data[CHUNK:])
        ]
        body = start_body(self.data, "edited", **MULTI, chunks=chunks, destination={"on_conflict": "replace"})
        started = require_ok(await account.client.post("/v1/uploads", json=body)).json()
        if started["file"]:
            return
        address = f"/v1/uploads/{started['upload']['id']}"
        listed = await account.client.put(f"{address}/chunks", params={"from": 1}, json={"chunks": chunks})
        upload = require_ok(listed).json()
        assert "1" not in upload["missing"].split(","), upload
        if upload["missing"]:
            await send(account, upload, self.data, [2])
        require_ok(await account.client.post(f"{address}/complete"))

    async def check(self, url: str, db: Db) -> None:
        """One file of the right bytes beside the base, and its first chunk was never sent."""
        account = self.account_at(url)
        async with account.client as client:
            listed = require_ok(await client.get("/v1/files")).json()["items"]
            assert [item["name"] for item in listed] == ["base", "edited"]
            content = require_ok(
                await client.get(f"/v1/files/{listed[1]['id']}/content", follow_redirects=True)
            ).content
            assert sha256(content) == sha256(self.data)
            me = await account.me()
        assert (me["used_bytes"], me["reserved_bytes"], me["used_nodes"]) == (2 * len(self.data), 0, 2)
        states = text("""
            SELECT upload_chunks.state FROM upload_chunks JOIN uploads ON uploads.id = upload_id
            WHERE uploads.fingerprint = :fingerprint AND uploads.state = 'completed' ORDER BY number
        """)
        async with db.read() as tx:
            found = (await tx.execute(states, {"fingerprint": bytes.fromhex(sha256(self.data))})).scalars()
            assert list(found) == ["reused", "uploaded"]


class Compressed(Upload):
    """Upload one file as a zstd frame, which a worker decodes."""

    def __init__(self, seed: str) -> None:
        super().__init__(seed)
        self.data *= 2  # so that it can be compressed
        self.frame = zstd.compress(self.data, level=1)

    async def _attempt(self, account: Account) -> None:
        body = start_body(self.data, self.name, encoding="zstd", encoded_size_bytes=len(self.frame))
        body["destination"]["on_conflict"] = "replace"
        started = require_ok(await account.client.post("/v1/uploads", json=body)).json()
        if started["file"]:
            self.files.append(started["file"])
            return
        address = f"/v1/uploads/{started['upload']['id']}"
        upload = require_ok(await account.client.post(f"{address}/reconcile")).json()
        if upload["missing"]:
            await send(account, upload, self.frame)
        require_ok(await account.client.post(f"{address}/complete"))

    async def check(self, url: str, db: Db) -> None:  # noqa: ARG002
        """As for a plain upload; the worker, which has decoded the content, has verified it."""
        await self.persist(url)
        assert self.files
        account = self.account_at(url)
        async with account.client as client:
            (listed,) = require_ok(await client.get("/v1/files")).json()["items"]
            assert (listed["size_bytes"], listed["content_status"]) == (len(self.data), "verified")
            content = require_ok(await client.get(f"/v1/files/{listed['id']}/content", follow_redirects=True)).content
            assert sha256(content) == sha256(self.data)
            me = await account.me()
        assert (me["used_bytes"], me["reserved_bytes"], me["used_nodes"]) == (len(self.data), 0, 1)


class Abort(Journey):
    """Start, send one chunk, and abort."""

    def __init__(self, seed: str) -> None:
        super().__init__(seed)
        self.data = self.random.randbytes(CHUNK + 1_000)
        self.upload_id = ""

    async def prepare(self, url: str) -> None:
        await super().prepare(url)
        body = start_body(self.data, "never", strategy="multipart", chunk_size_bytes=CHUNK)
        account = self.account_at(url)
        async with account.client as client:
            upload = require_ok(await client.post("/v1/uploads", json=body)).json()["upload"]
            self.upload_id = upload["id"]
            await send(account, upload, self.data, [2])

    async def _attempt(self, account: Account) -> None:
        require_ok(await account.client.delete(f"/v1/uploads/{self.upload_id}"))

    async def check(self, url: str, db: Db) -> None:  # noqa: ARG002 - one signature for all journeys
        account = self.account_at(url)
        async with account.client as client:
            assert require_ok(await client.get(f"/v1/uploads/{self.upload_id}")).json()["state"] == "aborted"
            assert require_ok(await client.get("/v1/files")).json()["items"] == []
            me = await account.me()
        assert (me["used_bytes"], me["reserved_bytes"], me["used_nodes"]) == (0, 0, 0)


class RefusedUpload(Journey):
    """Send content whose name is taken meanwhile: the object is stored and has no file."""

    def __init__(self, seed: str) -> None:
        super().__init__(seed)
        self.data = self.random.randbytes(CHUNK + 1_000)

    async def prepare(self, url: str) -> None:
        await super().prepare(url)
        body = start_body(self.data, "name", strategy="multipart", chunk_size_bytes=CHUNK)
        account = self.account_at(url)
        async with account.client as client:
            upload = require_ok(await client.post("/v1/uploads", json=body)).json()["upload"]
            await send(account, upload, self.data)
            small = require_ok(await client.post("/v1/uploads", json=start_body(b"first", "name"))).json()
            require_ok(await put(small["parts"][0], b"first"))
            await complete(account, small["upload"]["id"])
            answer = await client.post(f"/v1/uploads/{upload['id']}/complete")
        assert answer.json()["code"] == "destination-refused", answer.text

    async def _attempt(self, account: Account) -> None:
        pass

    async def check(self, url: str, db: Db) -> None:  # noqa: ARG002
        account = self.account_at(url)
        async with account.client as client:
            (listed,) = require_ok(await client.get("/v1/files")).json()["items"]
            assert listed["size_bytes"] == len(b"first")
            me = await account.me()
        assert (me["used_bytes"], me["reserved_bytes"], me["used_nodes"]) == (len(b"first"), 0, 1)


class Copy(Journey):
    """Copy a folder under an Idempotency-Key."""

    def __init__(self, seed: str) -> None:
        super().__init__(seed)
        self.data = self.random.randbytes(1_000)
        self.key = seed
        self.folder_id = ""
        self.copies: set[str] = set()
        """The answer of every successful attempt."""

    async def prepare(self, url: str) -> None:
        await super().prepare(url)
        account = self.account_at(url)
        async with account.client as client:
            await upload_file(account, self.data, "file", destination={"folder_path": "/folder/below"})
            self.folder_id = require_ok(await client.get("/v1/files")).json()["items"][0]["id"]

    async def _attempt(self, account: Account) -> None:
        key = {"Idempotency-Key": self.key}
        address = f"/v1/files/{self.folder_id}/copy"
        self.copies.add(require_ok(await account.client.post(address, json={"name": "copy"}, headers=key)).json()["id"])

    async def check(self, url: str, db: Db) -> None:
        """One whole copy after any number of attempts; the content is stored once."""
        account = self.account_at(url)
        async with account.client as client:
            listed = require_ok(await client.get("/v1/files")).json()["items"]
            assert [item["name"] for item in listed] == ["copy", "folder"]
            assert self.copies == {listed[0]["id"]}
            below = require_ok(await client.get("/v1/files", params={"path": "/copy/below"})).json()["items"]
            assert [item["name"] for item in below] == ["file"]
            content = require_ok(await client.get(f"/v1/files/{below[0]['id']}/content", follow_redirects=True)).content
            assert content == self.data
            me = await account.me()
        assert (me["used_bytes"], me["used_nodes"]) == (len(self.data), 6)
        async with db.read() as tx:
            told = text("SELECT count(*) FROM events WHERE recipient_id = :id AND kind = 'file.created'")
            assert (await tx.execute(told, {"id": uuid.UUID(me["id"])})).scalar_one() == 6


class CopyAcross(Journey):
    """Copy a shared folder into the own tree, under an Idempotency-Key; job `copy` makes it."""

    def __init__(self, seed: str) -> None:
        super().__init__(seed)
        self.data = self.random.randbytes(1_000), self.random.randbytes(2_000)
        self.key = seed
        self.folder_id = ""
        self.copies: set[str] = set()
        """The answer of every successful attempt."""

    async def prepare(self, url: str) -> None:
        await super().prepare(url)
        owner = await register_account(url)
        async with owner.client as client:
            for number, data in enumerate(self.data):
                await upload_file(owner, data, f"file {number}", destination={"folder_path": "/folder/below"})
            self.folder_id = require_ok(await client.get("/v1/files")).json()["items"][0]["id"]
            body = {"user_id": (await self._show_account(url))["id"], "role": "viewer"}
            require_ok(await client.post(f"/v1/files/{self.folder_id}/grants", json=body))

    async def _show_account(self, url: str) -> dict[str, Any]:
        account = self.account_at(url)
        async with account.client:
            return await account.me()

    async def _attempt(self, account: Account) -> None:
        body = {"file_id": self.folder_id}
        answer = await account.client.post("/v1/copies", json=body, headers={"Idempotency-Key": self.key})
        self.copies.add(require_ok(answer).json()["id"])

    async def check(self, url: str, db: Db) -> None:
        """One whole copy after any number of attempts; each content is charged once, and nothing stays reserved."""
        (copy_id,) = self.copies
        account = self.account_at(url)
        async with account.client as client:
            assert require_ok(await client.get(f"/v1/copies/{copy_id}")).json()["state"] == "done"
            listed = require_ok(await client.get("/v1/files")).json()["items"]
            assert [item["name"] for item in listed] == ["folder"]
            below = require_ok(await client.get("/v1/files", params={"path": "/folder/below"})).json()["items"]
            for file, data in zip(below, self.data, strict=True):
                at = f"/v1/files/{file['id']}/content"
                assert require_ok(await client.get(at, follow_redirects=True)).content == data
            me = await account.me()
        assert (me["used_bytes"], me["reserved_bytes"], me["used_nodes"]) == (3_000, 0, 4)
        async with db.read() as tx:
            told = text("SELECT count(*) FROM events WHERE recipient_id = :id AND kind = 'file.created'")
            assert (await tx.execute(told, {"id": uuid.UUID(me["id"])})).scalar_one() == 4


class DeleteAccount(Journey):
    """Delete an account that has a folder, and a revision in the tree of another owner; jobs purge it."""

    def __init__(self, seed: str) -> None:
        super().__init__(seed)
        self.data = self.random.randbytes(1_000)
        self.user_id = ""
        self.owner: Account

    async def prepare(self, url: str) -> None:
        await super().prepare(url)
        self.owner = await register_account(url)
        account = self.account_at(url)
        async with account.client as client, self.owner.client as others:
            self.user_id = (await account.me())["id"]
            await upload_file(account, self.data, "file", destination={"folder_path": "/folder/below"})
            box = require_ok(await others.post("/v1/folders", json={"path": "/box"})).json()["id"]
            body = {"user_id": self.user_id, "role": "editor"}
            require_ok(await others.post(f"/v1/files/{box}/grants", json=body))
            await upload_file(account, self.data, "sent", destination={"parent_id": box})
            mine = require_ok(await client.get("/v1/files")).json()["items"][0]["id"]
            shared = {"email": "invited@example.com", "role": "viewer"}
            require_ok(await client.post(f"/v1/files/{mine}/grants", json=shared))

    async def _attempt(self, account: Account) -> None:
        answer = await account.client.post("/v1/me/deletion", json={"password": account.password})
        assert answer.status_code == 401 or require_ok(answer)

    async def check(self, url: str, db: Db) -> None:
        """The account is a tombstone; what it sent to another owner is still there."""
        tables = ("sessions", "grants", "nodes", "events", "blobs")
        async with db.read() as tx:
            row = (await tx.execute(text("SELECT * FROM users WHERE id = :id"), {"id": self.user_id})).one()
            assert (row.email, row.display_name) == (f"deleted-{self.user_id}", "Deleted account")
            assert row.deleted_at
            columns = {"sessions": "user_id", "events": "recipient_id"}
            left = {
                table: (
                    await tx.execute(
                        text(f"SELECT count(*) FROM {table} WHERE {columns.get(table, 'owner_id')} = :id"),
                        {"id": self.user_id},
                    )
                ).scalar_one()
                for table in tables
            }
        assert left == dict.fromkeys(tables, 0) | {"nodes": 1}, "the root folder stays"
        bearer = {"Authorization": self.owner.client.headers["Authorization"]}
        async with httpx2.AsyncClient(base_url=url, headers=bearer, timeout=60) as client:
            (sent,) = require_ok(await client.get("/v1/files", params={"path": "/box"})).json()["items"]
            content = require_ok(await client.get(f"/v1/files/{sent['id']}/content", follow_redirects=True)).content
        assert content == self.data
        again = await register_account(url, self.account.email)
        await again.client.aclose()


class Batch(Journey):
    """Make folders in the trees of two owners by one batch under an Idempotency-Key."""

    def __init__(self, seed: str) -> None:
        super().__init__(seed)
        self.key = seed
        self.shared_id = ""
        self.owner: Account
        self.answers: set[str] = set()
        """The answer of every successful attempt."""

    async def prepare(self, url: str) -> None:
        await super().prepare(url)
        account, self.owner = self.account_at(url), await register_account(url)
        async with account.client, self.owner.client as client:
            self.shared_id = require_ok(await client.post("/v1/folders", json={"path": "/shared"})).json()["id"]
            grant = {"user_id": (await account.me())["id"], "role": "editor"}
            require_ok(await client.post(f"/v1/files/{self.shared_id}/grants", json=grant))

    async def _attempt(self, account: Account) -> None:
        make = {"op": "create_folder", "name": "made", "on_conflict": "rename"}
        operations = [
            make,
            make | {"parent_id": self.shared_id},
            {"op": "create_folder", "parent_item": 0, "name": "in"},
        ]
        key = {"Idempotency-Key": self.key}
        answer = await account.client.post("/v1/files/batch", json={"operations": operations}, headers=key)
        assert [item["status"] for item in require_ok(answer).json()["items"]] == [201] * 3
        self.answers.add(answer.text)

    async def check(self, url: str, db: Db) -> None:
        """Every folder exists once after any number of attempts, and all of these got one answer."""
        assert len(self.answers) == 1
        account = self.account_at(url)
        async with account.client as client:
            for parent, names in (({"path": "/"}, ["made"]), ({"parent_id": self.shared_id}, ["made"])):
                listed = require_ok(await client.get("/v1/files", params=parent)).json()["items"]
                assert [item["name"] for item in listed] == names
            me = await account.me()
        assert me["used_nodes"] == 2
        async with db.read() as tx:
            told = text("SELECT count(*) FROM events WHERE owner_id = :id AND kind = 'file.created'")
            assert (await tx.execute(told, {"id": uuid.UUID(me["id"])})).scalar_one() == 2


class Purge(Journey):
    """Delete a folder with more nodes than one batch of the purge; its files share content with a kept file."""

    def __init__(self, seed: str) -> None:
        super().__init__(seed)
        self.kept, self.gone = self.random.randbytes(1_000), self.random.randbytes(2_000)
        self.folder_id = ""

    async def prepare(self, url: str) -> None:
        await super().prepare(url)
        account = self.account_at(url)
        async with account.client as client:
            await upload_file(account, self.kept, "kept")
            for data in (self.kept, self.gone):
                file = await upload_file(account, data, sha256(data), destination={"folder_path": "/folder"})
            self.folder_id = file["parent_id"]
            # A copy into itself doubles the folder.
            twice = {"parent_id": self.folder_id, "on_conflict": "rename"}
            while (await account.me())["used_nodes"] <= batches.ROWS_PER_TRANSACTION + 1:
                require_ok(await client.post(f"/v1/files/{self.folder_id}/copy", json=twice))

    async def _attempt(self, account: Account) -> None:
        answer = await account.client.delete(f"/v1/files/{self.folder_id}")
        assert answer.status_code == 404 or require_ok(answer)

    async def check(self, url: str, db: Db) -> None:
        account = self.account_at(url)
        async with account.client as client:
            (listed,) = require_ok(await client.get("/v1/files")).json()["items"]
            content = require_ok(await client.get(f"/v1/files/{listed['id']}/content", follow_redirects=True)).content
            assert content == self.kept
            assert require_ok(await client.get("/v1/trash")).json()["items"] == []
            me = await account.me()
        assert (me["used_bytes"], me["used_nodes"]) == (len(self.kept), 1)
        async with db.read() as tx:
            for table in ("revisions", "blobs"):
                left = text(f"SELECT count(*) FROM {table} WHERE owner_id = :id")
                assert (await tx.execute(left, {"id": uuid.UUID(me["id"])})).scalar_one() == 1
            told = text("SELECT count(*) FROM events WHERE node_id = :id AND kind = 'file.deleted'")
            assert (await tx.execute(told, {"id": uuid.UUID(self.folder_id)})).scalar_one() == 1


class Prune(Journey):
    """Replace a file twice; another file has its second content."""

    def __init__(self, seed: str) -> None:
        super().__init__(seed)
        self.contents = [self.random.randbytes(size) for size in (100, 200, 300)]

    async def prepare(self, url: str) -> None:
        await super().prepare(url)
        account = self.account_at(url)
        async with account.client:
            await upload_file(account, self.contents[1], "other")
            for data in self.contents:
                await upload_file(account, data, "file", destination={"on_conflict": "replace"})

    async def _attempt(self, account: Account) -> None:
        pass

    async def check(self, url: str, db: Db) -> None:
        account = self.account_at(url)
        async with account.client as client:
            files = {item["name"]: item["id"] for item in require_ok(await client.get("/v1/files")).json()["items"]}
            for name, data in {"file": self.contents[2], "other": self.contents[1]}.items():
                answer = require_ok(await client.get(f"/v1/files/{files[name]}/content", follow_redirects=True))
                assert answer.content == data
            (head,) = require_ok(await client.get(f"/v1/files/{files['file']}/revisions")).json()["items"]
            assert head["number"] == 3
            me = await account.me()
        assert me["used_bytes"] == 200 + 300
        async with db.read() as tx:
            left = text("SELECT count(*) FROM blobs WHERE owner_id = :id")
            assert (await tx.execute(left, {"id": uuid.UUID(me["id"])})).scalar_one() == 2


class Rot(Journey):
    """Store content that another account stores too; the store then loses the object."""

    def __init__(self, seed: str) -> None:
        super().__init__(seed)
        self.data = self.random.randbytes(CHUNK + 1_000)
        self.file: dict[str, Any] = {}

    async def prepare(self, url: str) -> None:
        await super().prepare(url)
        account, other = self.account_at(url), await register_account(url)
        big = {"strategy": "multipart", "chunk_size_bytes": CHUNK}
        async with account.client, other.client:
            self.file = await upload_file(account, self.data, "file", **big)
            await upload_file(other, self.data, "file", **big)

    async def rot(self, db: Db, store: ObjectStore) -> None:
        """Delete the object. Call it after the content is verified."""
        await store.delete(await self._key(db))

    async def mend(self, db: Db, store: ObjectStore, settings: Settings) -> None:
        """Scrub until the file has another object."""
        was = await self._key(db)
        async with asyncio.timeout(PATIENCE_S):
            while await self._key(db) == was:
                await jobs.JOBS["scrub"].run(Services(db, store, settings))
                await asyncio.sleep(0.05)

    async def _key(self, db: Db) -> str:
        found = text("SELECT storage_key FROM blobs JOIN revisions r ON r.blob_id = blobs.id WHERE r.id = :id")
        async with db.read() as tx:
            return str((await tx.execute(found, {"id": uuid.UUID(self.file["revision_id"])})).scalar_one())

    async def _attempt(self, account: Account) -> None:
        pass

    async def check(self, url: str, db: Db) -> None:
        """The content is whole again, and the journal has each event once."""
        account = self.account_at(url)
        async with account.client as client:
            answer = require_ok(await client.get(f"/v1/files/{self.file['id']}/content", follow_redirects=True))
            assert answer.content == self.data
            me = await account.me()
        assert me["used_bytes"] == len(self.data)
        async with db.read() as tx:
            told = text("SELECT kind FROM events WHERE node_id = :id AND recipient_id = :me ORDER BY seq")
            kinds = (await tx.execute(told, {"id": uuid.UUID(self.file["id"]), "me": uuid.UUID(me["id"])})).scalars()
            assert list(kinds) == ["file.created", "file.verified", "file.damaged", "file.repaired"]


class Stream(Journey):
    """Send a form with one file through the API; every attempt uses the same Idempotency-Key."""

    def __init__(self, seed: str, *, size_bytes: int = CHUNK + 1_000) -> None:
        super().__init__(seed)
        self.data = self.random.randbytes(size_bytes)
        self.key = seed
        self.files: list[dict[str, Any]] = []
        """The answer of every successful attempt."""

    async def _attempt(self, account: Account) -> None:
        key = {"Idempotency-Key": self.key}
        # Each attempt has another boundary: the key covers the content of the form, not its encoding.
        answer = await account.client.post("/v1/files", files={"file": (self.key, self.data)}, headers=key)
        self.files.append(require_ok(answer).json())

    async def check(self, url: str, db: Db) -> None:
        """One file with one event; objects and reservations of other attempts are gone."""
        assert self.files == self.files[:1] * len(self.files)
        account = self.account_at(url)
        async with account.client as client:
            assert require_ok(await client.get("/v1/files")).json()["items"] == self.files[:1]
            address = f"/v1/files/{self.files[0]['id']}/content"
            assert require_ok(await client.get(address, follow_redirects=True)).content == self.data
            me = await account.me()
        assert (me["used_bytes"], me["reserved_bytes"], me["used_nodes"]) == (len(self.data), 0, 1)
        async with db.read() as tx:
            told = text("SELECT kind FROM events WHERE recipient_id = :id")
            assert list((await tx.execute(told, {"id": uuid.UUID(me["id"])})).scalars()) == ["file.created"]


async def complete(account: Account, upload_id: str) -> dict[str, Any]:
    """Repeat until the upload is complete; return the file."""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            answer = require_ok(await account.client.post(f"/v1/uploads/{upload_id}/complete"))
            if answer.status_code == 200:
                return dict(answer.json()["file"])
            assert "retry-after" in answer.headers
            await asyncio.sleep(0.1)


_AGE_STATEMENTS = (
    """UPDATE uploads SET next_check_at = now() - interval '1 second'
        WHERE state IN ('active', 'completing') AND (encoding = 'zstd' OR EXISTS (
            SELECT FROM upload_chunks WHERE upload_id = uploads.id AND upload_chunks.state = 'reused'))""",
    "UPDATE uploads SET ended_at = ended_at - interval '30 days', next_check_at = now() WHERE leftover",
    "UPDATE uploads SET expires_at = now() WHERE strategy = 'stream' AND state = 'active'",
    "UPDATE blobs SET unreferenced_at = unreferenced_at - interval '30 days'",
    "UPDATE nodes SET trashed_at = trashed_at - interval '31 days' WHERE purged_at IS NULL",
    "UPDATE revisions SET superseded_at = superseded_at - interval '200 days'",
)
"""Statements that end every grace period."""


async def age_rows(db: Db) -> None:
    async with db.begin() as tx:
        for statement in _AGE_STATEMENTS:
            await tx.execute(text(statement))


async def settle(db: Db, store: ObjectStore, settings: Settings) -> None:
    """Run the jobs until no work is left; `settings` must have no grace period for the sweep."""
    async with asyncio.timeout(PATIENCE_S):
        while await _unsettled(db):
            await age_rows(db)
            uploads = ("reuse", "finish-idle", "finish-stale", "decode", "copy", "verify", "expire", "discard")
            # An account is deleted once its changes are relayed; journeys without a deletion count those that are not.
            deletion = ("relay", "delete-accounts") if await _is_deleting(db) else ()
            for name in (*uploads, *deletion, "purge", "prune", "collect", "thumbnails"):
                report = await jobs.JOBS[name].run(Services(db, store, settings))
                assert report.failed == 0, (name, report)
            await asyncio.sleep(0.05)
    await sweep_orphans(Services(db, store, settings))


_DELETING = "EXISTS (SELECT FROM users WHERE purge_at < now() AND deleted_at IS NULL)"


async def _is_deleting(db: Db) -> bool:
    async with db.read() as tx:
        return bool(await tx.scalar(text(f"SELECT {_DELETING}")))


async def _unsettled(db: Db) -> bool:
    waiting = f"""
        SELECT EXISTS (SELECT FROM uploads WHERE state = 'completing' OR leftover)
            OR EXISTS (SELECT FROM uploads WHERE state = 'active' AND strategy = 'stream')
            OR EXISTS (SELECT FROM chunk_reuses)
            OR EXISTS (SELECT FROM uploads WHERE state = 'active' AND encoding = 'zstd')
            OR EXISTS (SELECT FROM uploads JOIN upload_chunks ON upload_id = uploads.id
                       WHERE uploads.state = 'active' AND upload_chunks.state = 'reused')
            OR EXISTS (SELECT FROM copies WHERE state = 'running')
            OR {_DELETING}
            OR EXISTS (SELECT FROM blobs WHERE content_status IN ('stored', 'deleting')
                       OR unreferenced_at IS NOT NULL)
            OR EXISTS (SELECT FROM blobs WHERE content_status = 'verified' AND thumbnail_due_at IS NOT NULL)
            OR EXISTS (SELECT FROM nodes WHERE trashed_at IS NOT NULL)
            OR EXISTS (SELECT FROM revisions WHERE superseded_at IS NOT NULL)"""
    async with db.read() as tx:
        return bool((await tx.execute(text(waiting))).scalar_one())


async def check_all(db: Db, store: ObjectStore) -> None:
    """Require the invariants, and that every multipart upload at the store belongs to a session."""
    assert await invariants.find_violations(db, store) == []
    async with db.read() as tx:
        live = await tx.execute(text("SELECT s3_upload_id FROM uploads WHERE state IN ('creating', 'active')"))
        known = set(live.scalars())
    assert {upload.s3_upload_id async for upload in store.list_multiparts("blobs/")} <= known
