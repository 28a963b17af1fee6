"""What an operation works with: `Services` for the server's own work, `Context` for work on behalf of a caller.

Routes get a `Context` from `accounts.auth`, jobs get `Services` from the worker. A function that takes either one owns
its transactions; a function that joins a transaction takes `tx` and the values that it needs (ADR 0001).
"""

import uuid
from dataclasses import dataclass, field
from typing import Literal

from dropbox_api.db import Db
from dropbox_api.settings import Settings
from dropbox_api.storage.object_store import ObjectStore
from dropbox_api.tasks import TaskPool

Kind = Literal["person", "service"]
Scope = Literal[
    "files:read", "files:write", "share", "processing", "admin", "account", "account:enrol", "account:restore"
]
"""What a token permits. `account` (sign-ins, tokens, second factor, password) is never part of a personal token.

`account:enrol` (setting up a second factor) is the only one of a sign-in that lacks a demanded factor,
`account:restore` while a deletion of the account runs."""


@dataclass(frozen=True, slots=True)
class Actor:
    """The caller: an active account, authenticated by a live sign-in or a valid personal token."""

    user_id: uuid.UUID
    email: str
    kind: Kind
    is_admin: bool
    scopes: frozenset[Scope]
    session_id: uuid.UUID | None
    """None for a caller with a personal token."""
    token_name: str | None = None
    """Name of the personal token; None for a caller with a sign-in."""
    token_id: uuid.UUID | None = None
    """Id of the personal token; None for a caller with a sign-in."""


@dataclass(frozen=True, slots=True)
class Services:
    """Database, object store and settings of one application or worker, and its tasks that outlive requests."""

    db: Db
    store: ObjectStore
    settings: Settings
    tasks: TaskPool = field(default_factory=TaskPool, kw_only=True)


@dataclass(frozen=True, slots=True)
class Context(Services):
    """Services, and the caller on whose behalf an operation runs."""

    actor: Actor

    @property
    def actor_id(self) -> uuid.UUID:
        return self.actor.user_id
