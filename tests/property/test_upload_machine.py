"""Any order of calls agrees with a plain model of uploads, and every invariant holds at the end.

The machine talks to a real API in a process of its own. A chunk is 5 MiB, the smallest that S3 assembles, so
examples are few and short; a failing one is printed as a program that repeats it.
"""

import asyncio
import random
import uuid
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

import httpx2
import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    precondition,
    rule,
    run_state_machine_as_test,
)

from dropbox_api.settings import MIB, Settings
from dropbox_api.storage.s3 import S3Config
from dropbox_api.workers import invariants, runner
from tests.support.process import environment, running_process
from tests.support.server import PASSWORD, make_settings, migrated_database, sha256
from tests.support.stack import prepare_bucket

CHUNK = 5 * MIB
EXAMPLES = 12
STEPS = 30
CONTENTS = {
    # Two of each size, so that a late start meets content and sessions of its size.
    "small": random.Random(1).randbytes(10),
    "other small": random.Random(2).randbytes(10),
    "big": random.Random(3).randbytes(CHUNK + 1),
    "other big": random.Random(4).randbytes(CHUNK + 1),
}
NAMES = ("a", "b")


@dataclass
class Session:
    """What the model knows of an upload."""

    id: str
    content: str
    is_bound: bool
    destinations: set[str]
    sent: set[int] = field(default_factory=set)
    """Chunks that S3 took."""
    signed: dict[int, dict[str, Any]] = field(default_factory=dict)
    state: str = "active"

    @property
    def chunks(self) -> list[bytes]:
        data = CONTENTS[self.content]
        return [data[at : at + CHUNK] for at in range(0, len(data), CHUNK)]

    @property
    def is_live(self) -> bool:
        return self.state == "active"


@dataclass
class World:
    url: str
    settings: Settings


@pytest.fixture(scope="module")
async def world(postgres_url: str, s3_config: S3Config) -> AsyncIterator[World]:
    s3 = await prepare_bucket(replace(s3_config, bucket="upload-machine"))
    async with (
        migrated_database(postgres_url) as url,
        running_process(environment(url, s3, UPLOADS__SINGLE_MAX_BYTES="1024")) as api,
    ):
        yield World(api.url, make_settings(url, s3))


class Uploads(RuleBasedStateMachine):
    """Each example has an account of its own."""

    world: ClassVar[World]

    def __init__(self) -> None:
        super().__init__()
        self.client = httpx2.Client(base_url=self.world.url, timeout=60)
        self.sessions: list[Session] = []
        self.files: dict[str, str] = {}
        """Name -> content."""
        self.verified: set[str] = set()

    @initialize()
    def sign_in(self) -> None:
        email = f"{uuid.uuid4().hex}@example.com"
        self.ask("POST", "/v1/auth/register", 201, json={"email": email, "password": PASSWORD})
        form = {"grant_type": "password", "username": email, "password": PASSWORD}
        token = self.ask("POST", "/v1/auth/token", 200, data=form)["access_token"]
        self.client.headers["Authorization"] = f"Bearer {token}"

    def teardown(self) -> None:
        self.client.close()

    # Requests, and the answers that the model expects

    def ask(self, method: str, path: str, *allowed: int | str, **request: Any) -> dict[str, Any]:
        """Send a request whose answer must be one of the allowed statuses or problem codes; return its body."""
        answer = self.client.request(method, path, **request)
        body: dict[str, Any] = answer.json() if answer.content else {}
        seen = body.get("code", answer.status_code) if answer.is_error else answer.status_code
        assert seen in allowed, f"{method} {path}: {answer.status_code} {answer.text}, expected {allowed}"
        return body | {"seen": seen}

    def live(self, content: str) -> Session | None:
        """Return the live bound session of a content; there is at most one."""
        found = [s for s in self.sessions if s.is_live and s.is_bound and s.content == content]
        assert len(found) < 2
        return found[0] if found else None

    def place(self, content: str, names: set[str]) -> set[str]:
        """Put a content at the names that are free or hold it verified; return these names."""
        same = content if content in self.verified else None
        placed = {name for name in names if self.files.get(name) in {None, same}}
        self.files |= dict.fromkeys(placed, content)
        return placed

    @rule(content=st.sampled_from(sorted(CONTENTS)), name=st.sampled_from(NAMES), is_late=st.booleans())
    def start(self, content: str, name: str, is_late: bool) -> None:
        data = CONTENTS[content]
        is_single = len(data) <= 1024
        body: dict[str, Any] = {"size_bytes": len(data), "destination": {"name": name}, "chunk_size_bytes": CHUNK}
        if not is_late:
            body["fingerprint"] = sha256(data)
        same_size = {other for other, bytes_ in CONTENTS.items() if len(bytes_) == len(data)}
        is_known = bool(same_size & self.contents_stored()) or any(
            s.is_live and s.content in same_size for s in self.sessions
        )
        there = self.files.get(name)
        expected: int | str
        if is_late and is_single:
            expected = "fingerprint-required"
        elif not is_late and there == content and content in self.verified:
            expected = 200
        elif there is not None:
            expected = "name-taken"
        elif is_late:
            expected = "fingerprint-required" if is_known else 201
        else:
            expected = 200 if content in self.verified or self.live(content) else 201
        answer = self.ask("POST", "/v1/uploads", expected, json=body)
        if expected == 201:
            session = Session(answer["upload"]["id"], content, not is_late, {name})
            session.signed = {part["number"]: part for part in answer["parts"]}
            self.sessions.append(session)
        elif expected == 200 and content in self.verified:
            assert answer["file"]["fingerprint"] == sha256(data)
            self.files[name] = content
        elif expected == 200:
            session = self.live(content) or pytest.fail("no session")
            assert answer["upload"]["id"] == session.id
            session.destinations.add(name)

    def contents_stored(self) -> set[str]:
        return set(self.files.values()) | self.kept

    @property
    def kept(self) -> set[str]:
        """Contents of completed sessions, also those that no destination took."""
        return {s.content for s in self.sessions if s.state == "completed"}

    @precondition(lambda self: self.sessions)
    @rule(data=st.data())
    def sign_and_put(self, data: st.DataObject) -> None:
        session = data.draw(st.sampled_from(self.sessions))
        number = data.draw(st.integers(1, len(session.chunks)))
        is_right = data.draw(st.sampled_from([True, True, False]))
        chunk = session.chunks[number - 1]
        parts = {"parts": [{"number": number, "sha256": sha256(chunk)}]}
        expected = 200 if session.is_live else "upload-ended"
        answer = self.ask("POST", f"/v1/uploads/{session.id}/parts", expected, json=parts)
        if expected != 200:
            return
        (part,) = answer["parts"]
        body = chunk if is_right else bytes(len(chunk))
        stored = httpx2.put(part["url"], headers=part["headers"], content=body, timeout=60)
        assert stored.is_success == is_right, stored.text
        if is_right:
            session.sent.add(number)

    @precondition(lambda self: self.sessions)
    @rule(data=st.data())
    def register_another_hash(self, data: st.DataObject) -> None:
        session = data.draw(st.sampled_from(self.sessions))
        parts = {"parts": [{"number": 1, "sha256": sha256(b"something else")}]}
        # A chunk without a hash would take this one, and the session could never be finished.
        if 1 in session.sent or len(session.chunks) == 1:
            expected = "chunk-mismatch" if session.is_live else "upload-ended"
            self.ask("POST", f"/v1/uploads/{session.id}/parts", expected, json=parts)

    @precondition(lambda self: self.sessions)
    @rule(data=st.data())
    def reconcile(self, data: st.DataObject) -> None:
        session = data.draw(st.sampled_from(self.sessions))
        answer = self.ask("POST", f"/v1/uploads/{session.id}/reconcile", 200)
        assert answer["state"] == session.state
        if session.is_live:
            assert answer["uploaded_bytes"] == sum(len(session.chunks[number - 1]) for number in session.sent)
            assert answer["mismatched"] == ""

    @precondition(lambda self: any(s.is_live for s in self.sessions))
    @rule(data=st.data())
    def send_the_rest(self, data: st.DataObject) -> None:
        session = data.draw(st.sampled_from([s for s in self.sessions if s.is_live]))
        numbers = [number for number in range(1, len(session.chunks) + 1) if number not in session.sent]
        for number in numbers:
            chunk = session.chunks[number - 1]
            parts = {"parts": [{"number": number, "sha256": sha256(chunk)}]}
            (part,) = self.ask("POST", f"/v1/uploads/{session.id}/parts", 200, json=parts)["parts"]
            assert httpx2.put(part["url"], headers=part["headers"], content=chunk, timeout=60).is_success
            session.sent.add(number)

    @precondition(lambda self: any(s.is_live and len(s.sent) == len(s.chunks) for s in self.sessions))
    @rule(data=st.data())
    def complete_what_is_there(self, data: st.DataObject) -> None:
        whole = [s for s in self.sessions if s.is_live and len(s.sent) == len(s.chunks)]
        self.finish(data.draw(st.sampled_from(whole)))

    @precondition(lambda self: self.sessions)
    @rule(data=st.data())
    def complete(self, data: st.DataObject) -> None:
        self.finish(data.draw(st.sampled_from(self.sessions)))

    def finish(self, session: Session) -> None:
        path = f"/v1/uploads/{session.id}/complete"
        if session.state == "completed":
            self.ask("POST", path, 200, "destination-refused")
        elif not session.is_live:
            self.ask("POST", path, "upload-ended")
        elif not session.is_bound:
            self.ask("POST", path, "fingerprint-required")
        elif len(session.sent) < len(session.chunks):
            self.ask("POST", path, "parts-missing")
        else:
            if len(session.chunks) == 1:  # S3 itself checked the fingerprint
                self.verified.add(session.content)
            placed = self.place(session.content, session.destinations)
            answer = self.ask("POST", path, 200 if placed else "destination-refused")
            session.state = "completed"
            if placed:
                assert answer["file"]["fingerprint"] == sha256(CONTENTS[session.content])

    @precondition(lambda self: len(self.sessions) > 2)
    @rule(data=st.data())
    def abort(self, data: st.DataObject) -> None:
        session = data.draw(st.sampled_from(self.sessions))
        self.ask("DELETE", f"/v1/uploads/{session.id}", "upload-ended" if session.state == "completed" else 204)
        if session.is_live:
            session.state = "aborted"

    @precondition(lambda self: self.sessions)
    @rule(data=st.data())
    def bind(self, data: st.DataObject) -> None:
        session = data.draw(st.sampled_from(self.sessions))
        path = f"/v1/uploads/{session.id}/fingerprint"
        body = {"fingerprint": sha256(CONTENTS[session.content])}
        if session.state == "aborted":
            # A merged session names the one that took over its destinations.
            answer = self.ask("PUT", path, "upload-ended", 200, json=body)
            twin = self.live(session.content)
            assert answer["seen"] == "upload-ended" or (twin and answer["upload"]["id"] == twin.id)
            return
        if session.is_bound:
            self.ask("PUT", path, 200, json=body)
            return
        twin = self.live(session.content)
        answer = self.ask("PUT", path, 200, json=body)
        kept = session
        if twin:
            kept, dropped = (twin, session) if answer["upload"]["id"] == twin.id else (session, twin)
            assert size(kept) >= size(dropped), "the fuller one is kept"
            kept.destinations |= dropped.destinations
            dropped.state = "aborted"
        assert answer["upload"]["id"] == kept.id
        kept.is_bound = True

    @precondition(lambda self: self.sessions)
    @rule(data=st.data(), name=st.sampled_from(NAMES))
    def add_destination(self, data: st.DataObject, name: str) -> None:
        session = data.draw(st.sampled_from(self.sessions))
        path, body = f"/v1/uploads/{session.id}/destinations", {"destination": {"name": name}}
        if session.is_live:
            self.ask("POST", path, 200, json=body)
            session.destinations.add(name)
        elif session.state == "completed":
            there = self.files.get(name)
            # The server may leave a name that holds this very content alone; that depends on its proof of the content.
            allowed = (200, "name-taken") if there == session.content else (200,) if there is None else ("name-taken",)
            self.ask("POST", path, *allowed, json=body)
            self.files.setdefault(name, session.content)
        else:
            self.ask("POST", path, "upload-ended", json=body)

    @rule()
    def look(self) -> None:
        listed = self.ask("GET", "/v1/files", 200)["items"]
        found = {file["name"]: file["fingerprint"] for file in listed}
        assert found == {name: sha256(CONTENTS[content]) for name, content in self.files.items()}
        me = self.ask("GET", "/v1/me", 200)
        live = [s for s in self.sessions if s.is_live]
        assert me["reserved_bytes"] == sum(len(CONTENTS[s.content]) for s in live)


def size(session: Session) -> int:
    return sum(len(session.chunks[number - 1]) for number in session.sent)


async def test_any_order_of_calls_keeps_the_invariants(world: World) -> None:
    limits = settings(
        max_examples=EXAMPLES,
        stateful_step_count=STEPS,
        deadline=None,
        database=None,
        derandomize=True,
        phases=[Phase.generate, Phase.shrink],
        suppress_health_check=list(HealthCheck),
        print_blob=True,
    )
    Uploads.world = world
    await asyncio.to_thread(run_state_machine_as_test, Uploads, settings=limits)
    async with runner.open_services(world.settings) as services:
        assert await invariants.find_violations(services.db, services.store) == []
