"""Accounts, sign-ins and tokens."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import ClassVar, Literal

from dropbox_client.models.base import Model, read_time

AccountKind = Literal["person", "service"]
Scope = Literal["files:read", "files:write", "share", "processing", "admin"]


@dataclass(frozen=True)
class Account(Model):
    """The account of the caller, its usage and its quota."""

    _readers: ClassVar = {"created_at": read_time, "email_verified_at": read_time, "purge_at": read_time}

    id: str
    email: str
    created_at: datetime
    used_bytes: int
    reserved_bytes: int
    quota_bytes: int
    used_nodes: int
    quota_nodes: int
    kind: AccountKind = "person"
    is_admin: bool = False
    email_verified_at: datetime | None = None
    second_factor: bool | None = False
    """None, as `has_password`, for a personal access token."""
    passkeys_only: bool | None = False
    """Whether a sign-in by password needs a code although no app is set up; None as `has_password`."""
    has_password: bool | None = True
    display_name: str | None = None
    """Shown to the people with whom the account shares."""
    purge_at: datetime | None = None
    """When the account is deleted for good, unless a sign-in restores it."""


@dataclass(frozen=True)
class AccountDeletion(Model):
    """What a deletion of the account removes, and what other accounts lose by it."""

    _readers: ClassVar = {"purge_at": read_time}

    purge_at: datetime | None
    """When it is deleted for good; None: no deletion runs."""
    nodes: int
    used_bytes: int
    shared_items: int
    grantees: int
    links: int
    webhooks: int


@dataclass(frozen=True)
class ManagedUser(Account):
    """An account, as administrators see it."""

    _readers: ClassVar = {**Account._readers, "disabled_at": read_time, "deleted_at": read_time}  # noqa: SLF001

    disabled_at: datetime | None = None
    deleted_at: datetime | None = None


@dataclass(frozen=True)
class SecondFactorProposal(Model):
    """The setup of an authenticator app: `secret` to type, or `otpauth_url` to open or to show as a QR code."""

    secret: str = field(repr=False)
    otpauth_url: str = field(repr=False)


@dataclass(frozen=True)
class SignInSession(Model):
    """A sign-in of the account."""

    _readers: ClassVar = {"created_at": read_time, "last_used_at": read_time}

    id: str
    user_agent: str | None
    address: str | None
    created_at: datetime
    last_used_at: datetime
    is_current: bool


@dataclass(frozen=True)
class Passkey(Model):
    """A passkey of the account; browsers add them."""

    _readers: ClassVar = {"created_at": read_time, "last_used_at": read_time}

    id: str
    name: str
    created_at: datetime
    last_used_at: datetime | None


@dataclass(frozen=True)
class StorageUsage(Model):
    """What uses the storage of the account; each stored content counts once."""

    _readers: ClassVar = {"computed_at": read_time}

    image_bytes: int
    video_bytes: int
    audio_bytes: int
    document_bytes: int
    archive_bytes: int
    other_bytes: int
    revision_bytes: int
    """Of older revisions of files."""
    trash_bytes: int
    unplaced_bytes: int
    """Of uploads that no destination accepted."""
    used_bytes: int
    quota_bytes: int
    computed_at: datetime


@dataclass(frozen=True)
class Device(Model):
    """A device that reports how far it has read the events of the account."""

    _readers: ClassVar = {"created_at": read_time, "last_seen_at": read_time}

    id: str
    name: str
    behind: int | None
    """The number of events after its cursor; None if it has read none."""
    pending: int
    """Changes on the device that were not uploaded at its last report."""
    created_at: datetime
    last_seen_at: datetime


@dataclass(frozen=True)
class PersonalToken(Model):
    """A personal access token, without the token itself."""

    _readers: ClassVar = {"created_at": read_time, "last_used_at": read_time, "expires_at": read_time}

    id: str
    name: str
    scopes: list[Scope]
    created_at: datetime
    last_used_at: datetime | None
    expires_at: datetime | None


@dataclass(frozen=True)
class CreatedPersonalToken(PersonalToken):
    """A new personal access token: `token` is shown only here."""

    token: str = field(repr=False)
