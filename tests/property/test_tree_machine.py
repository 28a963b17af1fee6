"""After any history of changes the tree equals the model, also when two clients change it concurrently.

The model is `tests/support/model_tree.py`. After each round the test reads the whole account and compares folders,
trash, revisions, ETags and counters. Two concurrent operations must have the answers and the tree of one of the two
orders. At the end the test replays the journal and checks every invariant.

A failing history is printed with its operations, and as a program that repeats it (a race may need several runs).
FAULTS=long runs many more histories.
"""

import asyncio
import itertools
import os
import random
from collections import Counter
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, TypeVar

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test

from dropbox_api.core import names
from dropbox_api.problems import all_problems
from dropbox_api.workers.purge import purge_trash
from tests.support.model_tree import ROOT, Node, Operation, Refused, Tree, Where, Which
from tests.support.server import Account, RunningServer, assert_invariants, journal, put, register_account, sha256

LONG = os.environ.get("FAULTS") == "long"
EXAMPLES = 300 if LONG else 14
STEPS = 40 if LONG else 30
MOST_NODES = 100
"""Above this number of nodes the test copies no folders: copies of copies would fill the account."""

CONTENTS = [b"", b"one", b"two", b"three"]
TYPES = ["text/plain", "image/png"]
OFTEN = ["a", "A", "b", "x.txt", "X.txt", "\u00e9", "e\u0301"]
SELDOM = [
    *["a (1)", "x (1).txt", "\u00df", "SS", "a.", ".bashrc", "s.tar.gz", "\U0001f600.png", "\u05e9\u05dc\u05d5\u05dd"],
    *["n" * 251 + ".txt", "N" * 251 + ".txt", "", "..", "a/b", "n" * 256],
]
"""Names that differ in case or composition, carry a number, are special to a system, are longest, or are invalid."""
ACTIONS = [
    *["upload"] * 4,
    *["make_folder", "change", "delete", "restore"] * 3,
    *["copy", "restore_revision", "replace_content"] * 2,
    *["make_path", "report", "purge", "empty_trash", "work", "show", "find"],
]
SEEDS = st.integers(0, 2**32 - 1)
ABOUT_THE_TRASH = {"restore", "purge", "empty_trash", "work"}

T = TypeVar("T")
Answer = tuple[int, dict[str, Any]]
"""Status and body."""


# Drawing operations


@dataclass
class Choice:
    """Draws an operation: mostly a valid one, preferably about the nodes in `near`."""

    random: random.Random
    """Not Hypothesis: the choices depend on the outcome of earlier races, which Hypothesis cannot repeat."""
    tree: Tree
    known: "Known"
    near: dict[str, Any] = field(default_factory=dict)
    """Arguments of the concurrent operation, if there is one."""

    def operation(self) -> Operation:
        is_idle = not self.tree.trash() and self.chance(90)
        action = self.pick([action for action in ACTIONS if not (is_idle and action in ABOUT_THE_TRASH)])
        return Operation(action, getattr(self, action)())

    def pick(self, values: Sequence[T]) -> T:
        return self.random.choice(values)

    def chance(self, percent: int) -> bool:
        return self.random.randint(1, 100) <= percent

    def maybe(self, value: T, percent: int = 50) -> T | None:
        return value if self.chance(percent) else None

    def number(self, fits: Sequence[Node], better: Sequence[Node] = ()) -> int:
        """Choose a node that fits, half of the time one of `better`, and rarely any node."""
        numbers = [node.number for node in fits]
        near = [number for number in numbers if number in {self.near.get("number"), self.near.get("where")}]
        if near and self.chance(60):
            return self.pick(near)
        if better and self.chance(50):
            return self.pick([node.number for node in better])
        # Children of a copy that a concurrent operation trashed were never listed: their ids are unknown.
        any_known = [number for kind, number, _ in self.known.server if kind == "id"]
        return self.pick(numbers if numbers and self.chance(93) else any_known)

    def file(self) -> int:
        return self.number([node for node in self.below_root() if not node.is_folder])

    def node(self) -> int:
        return self.number(self.below_root())

    def full(self, nodes: Sequence[Node]) -> list[Node]:
        """Return the folders that have or had children."""
        return [node for node in nodes if any(other.parent == node.number for other in self.tree.nodes)]

    def below_root(self) -> list[Node]:
        return self.tree.below(self.tree.nodes[ROOT])[1:]

    def where(self) -> int | str:
        folders = [node for node in self.tree.below(self.tree.nodes[ROOT]) if node.is_folder]
        number = self.number(folders)
        return self.tree.path(self.tree.nodes[number]) if self.chance(20) else number

    def name(self) -> str:
        near = self.near.get("name")
        return near if near and self.chance(60) else self.pick(OFTEN if self.chance(75) else SELDOM)

    def policy(self) -> str:
        return self.pick(["fail", "rename", "replace"])

    def if_match(self, number: int) -> int | None:
        versions = [version for kind, of, version in self.known.server if (kind, of) == ("etag", number)]
        return self.pick(sorted(versions)[-2:]) if versions and self.chance(30) else None

    def revision(self, number: int) -> Which:
        known = [(of, which) for kind, of, which in self.known.server if kind == "revision"]
        own = [which for which in known if which[0] == number]
        return self.pick(sorted(own if own and self.chance(90) else known))

    # The arguments of each operation of the model

    def make_folder(self) -> dict[str, Any]:
        policy = self.pick(["fail", "rename", "reuse"])
        return {"where": self.maybe(self.where()), "name": self.name(), "on_conflict": policy}

    def make_path(self) -> dict[str, Any]:
        return {"path": self.path(), "on_conflict": self.pick(["fail", "rename", "reuse"])}

    def path(self) -> str:
        folder = self.where()
        above = folder if isinstance(folder, str) else self.tree.path(self.tree.nodes[folder])
        return "/".join([above.rstrip("/"), *(self.name() for _ in range(self.pick([0, 1, 1, 2])))])

    def upload(self) -> dict[str, Any]:
        policy = self.policy()
        base = self.revision(self.file()) if policy == "replace" and self.chance(40) else None
        name = self.name()
        where: Where = self.maybe(self.where(), 70)
        if base and self.chance(80):  # an edit mostly goes to the place of the file
            where, name = self.tree.nodes[base[0]].parent, self.tree.nodes[base[0]].name
        return self.content() | {"where": where, "name": name, "on_conflict": policy, "base": base}

    def replace_content(self) -> dict[str, Any]:
        number = self.file()
        named = {"name": self.maybe(self.name(), 30), "on_conflict": self.policy()}
        return {"number": number, **self.content(), **named, "if_match": self.if_match(number)}

    def content(self) -> dict[str, Any]:
        # Of two concurrent operations only one sends new content, because they would share the session.
        contents = [content for content in CONTENTS if content in self.tree.stored] if self.near else CONTENTS
        return {"content": self.pick(contents or CONTENTS[:1]), "content_type": self.pick(TYPES)}

    def copy(self) -> dict[str, Any]:
        fits = self.below_root() if len(self.tree.nodes) < MOST_NODES else [self.tree.nodes[ROOT]]
        return self.placed(self.number(fits, better=self.full(fits))) | {"on_conflict": self.policy()}

    def change(self) -> dict[str, Any]:
        content_type = self.maybe(self.pick(TYPES), 20)
        placed = self.placed(self.node())
        if not content_type and placed["where"] is None and placed["name"] is None:
            placed["name"] = self.name()  # a change needs at least one member
        return placed | {"content_type": content_type, "on_conflict": self.policy()}

    def restore(self) -> dict[str, Any]:
        trash = self.tree.trash()
        nested = [node for node in trash if node.parent and not self.tree.is_live(self.tree.nodes[node.parent])]
        placed = self.placed(self.number(trash, better=nested))
        return placed | {"on_conflict": self.pick(["fail", "rename"])}

    def placed(self, number: int) -> dict[str, Any]:
        where, name = self.maybe(self.where()), self.maybe(self.name())
        return {"number": number, "where": where, "name": name, "if_match": self.if_match(number)}

    def restore_revision(self) -> dict[str, Any]:
        number = self.file()
        return {"number": number, "revision": self.revision(number), "if_match": self.if_match(number)}

    def report(self) -> dict[str, Any]:
        number = self.file()
        revision = self.revision(number) if self.chance(30) else None
        state = self.pick(["running", "running", "succeeded"])
        return {"number": number, "revision": revision, "state": state, "if_match": self.if_match(number)}

    def delete(self) -> dict[str, Any]:
        below_root = self.below_root()
        number = self.number(below_root, better=self.full(below_root))
        return {"number": number, "force": self.chance(20), "if_match": self.if_match(number)}

    def purge(self) -> dict[str, Any]:
        number = self.number(self.tree.trash())
        return {"number": number, "if_match": self.if_match(number)}

    def empty_trash(self) -> dict[str, Any]:
        return {}

    def work(self) -> dict[str, Any]:
        return {}

    def show(self) -> dict[str, Any]:
        return {"number": self.node()}

    def find(self) -> dict[str, Any]:
        return {"path": self.path()}

    def concurrent_with(self, first: Operation) -> Operation:
        """Draw the concurrent operation: the same again, the reverse, or another one about the same nodes."""
        arguments = first.arguments
        if self.chance(15):
            return first
        if isinstance(arguments.get("where"), int) and "number" in arguments and self.chance(50):
            crossing = {"number": arguments["where"], "where": arguments["number"], "if_match": None}
            return Operation(first.action, arguments | crossing)
        self.near = {"where": ROOT} | arguments
        return self.operation()


# Names of the model and of the server


Key = tuple[str, int, int]
"""("id", node, 0), ("etag", node, version) or ("revision", file, number), as the model numbers them."""


@dataclass
class Known:
    """The ids of the server for the numbers of the model: one each, never shared by two."""

    server: dict[Key, str] = field(default_factory=dict)
    model: dict[tuple[str, str], Key] = field(default_factory=dict)

    def pair(self, key: Key, value: str) -> None:
        kind, number, _ = key
        scope = f"etag of {number}" if kind == "etag" else kind
        assert self.server.setdefault(key, value) == value, f"{key} is {self.server[key]}, not {value}"
        assert self.model.setdefault((scope, value), key) == key, f"{value} is {self.model[scope, value]}, not {key}"

    def id(self, number: int) -> str:
        return self.server["id", number, 0]

    def has(self, file: dict[str, Any]) -> bool:
        """Return whether the file was compared before with this ETag."""
        _, number, _ = self.model.get(("id", file["id"]), ("", -1, 0))
        return (f"etag of {number}", file["etag"]) in self.model

    def copy(self) -> "Known":
        return Known(dict(self.server), dict(self.model))


# Sending operations


STATUS = {
    **dict.fromkeys(["make_folder", "make_path", "copy"], 201),
    **dict.fromkeys(["upload", "change", "replace_content", "restore", "restore_revision", "report"], 200),
    **dict.fromkeys(["show", "find"], 200),
    **dict.fromkeys(["delete", "purge", "empty_trash", "work"], 204),
}
ADDRESS = {
    "make_folder": "POST /v1/folders",
    "make_path": "POST /v1/folders",
    "upload": "POST /v1/uploads",
    "copy": "POST /v1/files/{id}/copy",
    "change": "PATCH /v1/files/{id}",
    "restore": "POST /v1/files/{id}/restore",
    "restore_revision": "POST /v1/files/{id}/revisions/{revision}/restore",
    "replace_content": "PUT /v1/files/{id}/content",
    "report": "PUT /v1/files/{id}/processing",
    "delete": "DELETE /v1/files/{id}",
    "purge": "DELETE /v1/trash/{id}",
    "empty_trash": "DELETE /v1/trash",
    "show": "GET /v1/files/{id}",
    "find": "GET /v1/files/by-path",
}


@dataclass
class Wire:
    """Sends the operations of the model, and reads the resulting account."""

    server: RunningServer
    account: Account
    known: Known

    async def perform(self, operation: Operation) -> Answer:
        if operation.action == "work":
            await purge_trash(self.server.services)
            return 204, {}
        arguments = dict(operation.arguments)
        number, if_match = arguments.pop("number", None), arguments.pop("if_match", None)
        content: bytes | None = arguments.pop("content", None)
        marks = {"id": self.known.id(number) if number is not None else ""}
        if revision := arguments.pop("revision", None):
            marks["revision"] = arguments["revision_id"] = self.known.server["revision", *revision]
        if if_match:
            arguments["if_match"] = self.known.server["etag", number, if_match]
        where: Where = arguments.pop("where", None)
        if where is not None:
            by_path = "folder_path" if operation.action == "upload" else "parent_path"
            arguments |= {by_path: where} if isinstance(where, str) else {"parent_id": self.known.id(where)}
        if base := arguments.pop("base", None):
            arguments["base_revision_id"] = self.known.server["revision", *base]
        if operation.action == "upload":
            assert content is not None
            return await self.upload(content, arguments)
        method, path = ADDRESS[operation.action].format(**marks).split(" ")
        headers = {"If-Match": arguments.pop("if_match")} if if_match else {}
        given = {name: value for name, value in arguments.items() if value is not None}
        if operation.action == "restore_revision":
            given = {}
        if content is not None:
            headers["Content-Type"] = given.pop("content_type")
        is_json = method in {"POST", "PUT", "PATCH"} and content is None
        body = {"json": given} if is_json and given else {"params": given, "content": content}
        return await self.ask(method, path, headers=headers, **body)

    async def upload(self, content: bytes, destination: dict[str, Any]) -> Answer:
        content_type = destination.pop("content_type")
        body = {"fingerprint": sha256(content), "size_bytes": len(content), "content_type": content_type}
        status, started = await self.ask("POST", "/v1/uploads", json=body | {"destination": destination})
        if status == 201:
            (part,) = started["parts"]
            (await put(part, content)).raise_for_status()
            status, started = await self.ask("POST", f"/v1/uploads/{started['upload']['id']}/complete")
        return status, started["file"] if status == 200 else started

    async def ask(self, method: str, path: str, **request: Any) -> Answer:
        answer = await self.account.client.request(method, path, **request)
        assert answer.status_code < 500, f"{method} {path}: {answer.text}"
        body = answer.json() if answer.content else {}
        assert "etag" not in body or answer.headers.get("etag") in {None, body["etag"]}
        return answer.status_code, body

    async def world(self, look_again: set[str]) -> "World":
        """Read the whole account; revisions only of changed files and of the files in `look_again`."""
        me, trash, files = await asyncio.gather(
            self.account.me(), self.items("/v1/trash"), self.items("/v1/files", recursive=True)
        )
        changed = [
            file["id"]
            for file in files
            if file["kind"] == "file" and (file["id"] in look_again or not self.known.has(file))
        ]
        lists = await asyncio.gather(*(self.items(f"/v1/files/{file_id}/revisions") for file_id in changed))
        return World(me, trash, files, dict(zip(changed, lists, strict=True)))

    async def items(self, path: str, **params: Any) -> list[dict[str, Any]]:
        status, body = await self.ask("GET", path, params=params | {"limit": 1000})
        assert status == 200, body
        assert body["next_cursor"] is None
        items: list[dict[str, Any]] = body["items"]
        return items


@dataclass
class World:
    """The whole content of an account."""

    me: dict[str, Any]
    trash: list[dict[str, Any]]
    files: list[dict[str, Any]]
    """Files and folders; each folder is followed by all that is in it."""
    revisions: dict[str, list[dict[str, Any]]]
    """By id of the file."""


# Comparing


@dataclass
class Comparison:
    """Compares one history of the model with the server; adds ids of new things to `known`."""

    tree: Tree
    known: Known

    def step(self, operation: Operation, answer: Answer, *, is_alone: bool) -> None:
        """Apply the operation to the model, and compare the answers."""
        self.tree, expected = self.tree.after(operation)
        status, body = answer
        seen = body.get("code", status)
        if isinstance(expected, Refused):
            assert seen == expected.code, f"{operation}: {answer}, expected {expected!r}"
            assert (body["status"], status) == (all_problems()[seen].status,) * 2
            named = set(body.get("file_ids", ())) | ({body["file_id"]} if "file_id" in body else set())
            assert named == {self.known.id(number) for number in expected.about}
            return
        assert seen == STATUS[operation.action], f"{operation}: {answer}, expected {expected}"
        if expected is None:
            assert body == {}
        elif is_alone or operation.action != "upload":
            self.file(expected, body)
        else:  # the server reads the file of an upload after the commit: the other operation may have changed it
            self.known.pair(("id", expected.number, 0), body["id"])

    def file(self, node: Node, seen: dict[str, Any]) -> None:
        self.known.pair(("id", node.number, 0), seen["id"])
        self.known.pair(("etag", node.number, node.version), seen["etag"])
        assert (node.parent is None) == (seen["parent_id"] is None)
        if node.parent is not None:
            self.known.pair(("id", node.parent, 0), seen["parent_id"])
        expected = {
            "name": node.name,
            "kind": "folder" if node.is_folder else "file",
            "path": self.tree.path(node),
            "fingerprint": None if node.is_folder else sha256(node.head.content),
            "size_bytes": None if node.is_folder else len(node.head.content),
            "content_type": None if node.is_folder else node.head.content_type,
        }
        assert {name: seen[name] for name in expected} == expected
        processing = seen["processing"] and seen["processing"]["state"]
        assert processing == (None if node.is_folder else node.head.processing)
        assert (seen["trashed_at"] is not None) == node.is_trashed
        if not node.is_folder:
            self.known.pair(("revision", node.number, len(node.revisions)), seen["revision_id"])

    def world(self, world: World) -> None:
        below_root = self.tree.below(self.tree.nodes[ROOT])[1:]
        assert [file["path"] for file in world.files] == [self.tree.path(node) for node in below_root]
        for node, file in zip(below_root, world.files, strict=True):
            self.file(node, file)
            if file["id"] in world.revisions:
                self.revisions(node, world.revisions[file["id"]])
        deleted = [(file["trashed_at"], file["id"]) for file in world.trash]
        assert deleted == sorted(deleted, reverse=True)
        in_trash = {file["id"]: file for file in world.trash}
        assert in_trash.keys() == {self.known.id(node.number) for node in self.tree.trash()}
        for node in self.tree.trash():
            self.file(node, in_trash[self.known.id(node.number)])
        assert world.me["used_nodes"] == self.tree.used_nodes
        assert world.me["used_bytes"] == sum(map(len, self.tree.stored))
        assert world.me["reserved_bytes"] == 0

    def revisions(self, node: Node, seen: list[dict[str, Any]]) -> None:
        expected = [
            (number, sha256(revision.content), revision.content_type, revision.processing, revision is node.head)
            for number, revision in enumerate(node.revisions, 1)
        ]
        states = [one["processing"] and one["processing"]["state"] for one in seen]
        members = ("number", "fingerprint", "content_type")
        found = [
            (*(one[name] for name in members), state, one["is_head"]) for one, state in zip(seen, states, strict=True)
        ]
        assert found[::-1] == expected
        for one in seen:
            self.known.pair(("revision", node.number, one["number"]), one["id"])


class Changes(RuleBasedStateMachine):
    """Each example has an account of its own, and each step is a round of one operation or of two at once."""

    server: ClassVar[RunningServer]
    loop: ClassVar[asyncio.AbstractEventLoop]
    steps: ClassVar[Counter[str]] = Counter()

    def __init__(self) -> None:
        super().__init__()
        self.tree = Tree()
        self.known = Known()
        self.history: list[str] = []
        self.is_settled = False
        """The last round was explained: the account equals the model."""
        self.account = self.wait(register_account(self.server.url))

    def wait(self, work: Coroutine[Any, Any, T]) -> T:
        """Run it in the event loop of the tests, where the server runs."""
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(60)

    @initialize()
    def first_files(self) -> None:
        root = self.wait(self.account.client.get("/v1/files/by-path", params={"path": "/"})).json()
        Comparison(self.tree, self.known).file(self.tree.nodes[ROOT], root)
        self.round(Operation("make_path", {"path": "/a/b", "on_conflict": "fail"}))
        for where, content in [("/", CONTENTS[0]), ("/a/b", CONTENTS[1])]:
            first: dict[str, Any] = {"on_conflict": "fail", "content_type": TYPES[0], "base": None}
            self.round(Operation("upload", {"where": where, "name": "x.txt", "content": content, **first}))
        # A file in the trash whose folder may be deleted too, or copied.
        self.round(Operation("delete", {"number": len(self.tree.nodes) - 1, "force": False, "if_match": None}))

    def teardown(self) -> None:
        try:
            if self.is_settled:
                self.wait(self.list_folders())
                self.replay(self.wait(journal(self.server.db, self.account)))
        finally:
            self.wait(self.account.client.aclose())

    @rule(seed=SEEDS)
    def one(self, seed: int) -> None:
        self.round(Choice(random.Random(seed), self.tree, self.known).operation())

    @rule(seed=SEEDS)
    def two_at_once(self, seed: int) -> None:
        choice = Choice(random.Random(seed), self.tree, self.known, near={"where": ROOT})
        first = choice.operation()
        self.round(first, choice.concurrent_with(first))

    def round(self, *operations: Operation) -> None:
        """Send these concurrently; the result must be that of one of their orders."""
        self.history.append("   and   ".join(map(str, operations)))
        self.is_settled = False
        answers, world = self.wait(self.send(operations))
        why: list[str] = []
        for order in itertools.permutations(range(len(operations))):
            comparison = Comparison(self.tree, self.known.copy())
            try:
                for at in order:
                    comparison.step(operations[at], answers[at], is_alone=len(operations) == 1)
                comparison.world(world)
            except (AssertionError, KeyError) as error:
                why.append(f"in the order {order}: {error!r}")
                continue
            self.tree, self.known, self.is_settled = comparison.tree, comparison.known, True
            for operation, (status, body) in zip(operations, answers, strict=True):
                self.steps[f"{operation.action} {body.get('code', status)}"] += 1
            return
        pytest.fail("\n".join([*self.history, *map(str, answers), *why]))

    async def send(self, operations: Sequence[Operation]) -> tuple[list[Answer], World]:
        wire = Wire(self.server, self.account, self.known)
        answers = await asyncio.gather(*map(wire.perform, operations))
        numbers = [operation.arguments.get("number") for operation in operations]
        return answers, await wire.world({self.known.id(number) for number in numbers if number is not None})

    async def list_folders(self) -> None:
        """Require that each folder lists the children that the recursive list showed, in natural order."""
        wire = Wire(self.server, self.account, self.known)
        for node in self.tree.below(self.tree.nodes[ROOT]):
            if node.is_folder:
                seen = await wire.items("/v1/files", parent_id=self.known.id(node.number))
                natural = sorted(
                    self.tree.children(node.number), key=lambda child: names.make_sort_key(names.make_key(child.name))
                )
                assert [file["id"] for file in seen] == [self.known.id(child.number) for child in natural]

    def replay(self, events: list[tuple[str, str]]) -> None:
        """Require that the journal leads to the present files, and has one event for each new ETag."""
        there: set[str] = set()
        told: Counter[str] = Counter()
        for kind, node_id in events:
            if kind in {"file.created", "file.restored"}:
                assert node_id not in there
                there.add(node_id)
            elif kind in {"file.trashed", "file.deleted"}:
                assert (node_id in there) == (kind == "file.trashed")
                there.discard(node_id)
            told[node_id] += kind not in {"file.processing", "file.deleted"}
        below_root = self.tree.nodes[1:]
        assert there == {self.known.id(node.number) for node in below_root if not node.is_trashed}
        assert told == {self.known.id(node.number): node.version for node in below_root}


@pytest.mark.timeout(4 * 3600 if LONG else 600)  # the machine may be busy
async def test_tree_after_any_history_equals_the_model(server: RunningServer) -> None:
    limits = settings(
        max_examples=EXAMPLES,
        stateful_step_count=STEPS,
        deadline=None,
        database=None,
        derandomize=not LONG,
        phases=[Phase.generate, Phase.shrink],
        suppress_health_check=list(HealthCheck),
        print_blob=True,
    )
    Changes.server, Changes.loop = server, asyncio.get_running_loop()
    await asyncio.to_thread(run_state_machine_as_test, Changes, settings=limits)
    await assert_invariants(server.db, server.store)
