"""Every setting of the server, in one frozen typed tree; the only reader of the environment.

`DROPBOX_A__B` (or `.env` in the working directory) sets `a.b`. Names carry their units. Defaults suit
`dropbox-api dev`; secrets have no usable default outside it. `docs/settings.md` lists every setting; a test compares
the two.
"""

import re
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from limits import parse_many
from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    SecretStr,
    StringConstraints,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic_settings import BaseSettings, SettingsConfigDict
from sqlalchemy import make_url
from sqlalchemy.exc import ArgumentError
from yarl import URL

MIB = 1024**2
GIB = 1024**3

DEV_SECRET = "dev-only-secret-do-not-use-anywhere-else"  # noqa: S105 - refused outside `dev`, see Settings._refuse
MIN_SECRET_CHARS = 32


class _Group(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


def _check_database_url(url: SecretStr) -> SecretStr:
    try:
        driver = make_url(url.get_secret_value()).drivername
    except (ArgumentError, ValueError):
        driver = None
    if driver != "postgresql+asyncpg":  # without the original error, which may quote the URL
        raise ValueError(
            "write postgresql+asyncpg://USER:PASSWORD@HOST:PORT/NAME, with special characters percent-encoded"
        )
    return url


DatabaseUrl = Annotated[SecretStr, AfterValidator(_check_database_url)]


class DatabaseSettings(_Group):
    url: DatabaseUrl = SecretStr("postgresql+asyncpg://app@127.0.0.1:5432/dropbox")
    listen_url: DatabaseUrl | None = Field(
        None, description="A direct connection for LISTEN if `url` is PgBouncer's; unset means `url`."
    )
    pool_size: int = Field(20, ge=1, description="Permanent connections per process.")
    pool_overflow: int = Field(5, ge=0, description="Additional connections under load.")
    pool_timeout_s: float = Field(10, gt=0, description="Wait for a free connection; then 503.")
    connect_timeout_s: float = Field(5, gt=0)
    statement_timeout_s: float = Field(30, gt=0, description="A longer statement is cancelled; then 503.")
    prepared_statements: bool = Field(True, description="Off behind PgBouncer < 1.21 in transaction mode.")


class S3Settings(_Group):
    endpoint_url: str | None = Field(None, description="The store's address for the server; unset means AWS.")
    public_endpoint_url: str | None = Field(
        None, description="The store's address in signed URLs; unset means endpoint_url."
    )
    region: str = "us-east-1"
    bucket: Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$")] = "dropbox"
    access_key_id: str | None = Field(None, description="Unset: the machine's own credentials (role, profile).")
    secret_access_key: SecretStr | None = None
    session_token: SecretStr | None = None
    addressing: Literal["path", "virtual"] = Field("path", description="Path style suits most self-hosted stores.")
    sse: Literal["AES256", "aws:kms"] | None = Field(
        None, description="Encryption at rest, requested for every upload."
    )
    sse_kms_key_id: str | None = None
    connect_timeout_s: float = Field(5, gt=0)
    read_timeout_s: float = Field(60, gt=0)
    max_connections: int = Field(64, ge=1)
    min_part_bytes: int = Field(5 * MIB, ge=1)
    max_part_bytes: int = Field(5 * GIB, ge=5 * MIB)
    max_parts: int = Field(9_999, ge=1, le=10_000, description="S3 accepts 10,000; SeaweedFS mis-sorts the last.")
    create_bucket: bool = Field(False, description="Create the bucket and its CORS rule at start (dev).")
    reuse: Literal["auto", "copy", "relay", "off"] = Field(
        "auto",
        description="How stored chunks become parts of new uploads: the store copies, a worker relays, or they do not;"
        " auto copies where the store proves its copies.",
    )
    data_dir: str | None = Field(
        None, description="A directory on the store's disk, if this machine has it: its free space is watched."
    )

    @model_validator(mode="after")
    def _keys_come_together(self) -> Self:
        if (self.access_key_id is None) != (self.secret_access_key is None):
            raise ValueError("DROPBOX_S3__ACCESS_KEY_ID and __SECRET_ACCESS_KEY must be set together")
        return self


class UploadSettings(_Group):
    single_max_bytes: int = Field(8 * MIB, ge=0, le=5 * GIB, description="Up to this size one PUT is the whole upload.")
    chunk_size_bytes: int = Field(8 * MIB, ge=5 * MIB)
    max_file_bytes: int | None = Field(None, ge=1, description="Refuse larger files; unset means the store's limit.")
    url_ttl_s: int = Field(1800, ge=60, le=7 * 86400, description="Lifetime of a signed part URL.")
    download_url_ttl_s: int = Field(300, ge=30, le=86400)
    session_ttl_s: int = Field(7 * 86400, ge=60, description="A session without activity expires after this.")
    idle_finalise_s: int = Field(900, ge=1, description="A worker checks a fully signed session after this idle time.")
    unplaced_ttl_s: int = Field(7 * 86400, ge=60, description="Retention of content that no destination accepted.")
    retention_s: int = Field(30 * 86400, ge=60, description="Retention of ended sessions.")
    lease_s: float = Field(30, gt=1, description="Lease on a session during calls to S3; renewed by heartbeat.")
    complete_wait_s: float = Field(20, ge=0, description="Time that /complete waits before it answers 202.")
    max_open: int = Field(10_000, ge=1, description="Open sessions per user.")
    gone_grace_s: int = Field(900, ge=1, description="A session fails after NoSuchUpload and no object for this long.")
    stream_max_bytes: int = Field(
        100 * MIB, ge=0, description="Largest file accepted through the API itself (form upload, PUT of content)."
    )
    streams_at_once: int = Field(16, ge=1, description="Concurrent such uploads and zip archives per process.")


class FileSettings(_Group):
    trash_retention_s: int = Field(30 * 86400, ge=0, description="Trash older than this is purged.")
    revisions_keep: int = Field(100, ge=1, description="Retained revisions per file, including the head.")
    revisions_keep_s: int = Field(
        180 * 86400, ge=0, description="A revision replaced longer ago is purged, regardless of the number."
    )
    thin_revisions: bool = Field(True, description="Thin the revisions of files that are saved often.")
    thin_all_s: int = Field(3600, ge=0, description="Thinning keeps all revisions of this time,")
    thin_hourly_s: int = Field(86400, ge=0, description="the last one of each hour for this time,")
    thin_daily_s: int = Field(
        30 * 86400, ge=0, description="the last one of each day for this time, and then of each week."
    )
    activity_retention_s: int = Field(365 * 86400, ge=3600, description="Retention of the audit trail of files.")


class ThumbnailSettings(_Group):
    """Thumbnails of pictures, PDF files and videos."""

    enabled: bool = Field(True, description="Make and show thumbnails; the worker needs the extra `thumbnails`.")
    at_once: int = Field(2, ge=1, description="Files that a worker decodes at once, each in a process of its own.")
    memory_bytes: int = Field(GIB, ge=256 * MIB, description="Memory of such a process.")
    cpu_s: int = Field(20, ge=1, description="Processor time of such a process; three times as much on the clock.")


class CdnSettings(_Group):
    """CloudFront before the bucket: download URLs are its signed URLs. Set url, key pair and key together."""

    url: str | None = Field(None, description="The distribution, such as https://d111.cloudfront.net.")
    key_pair_id: str | None = Field(None, description="Id of the public key in CloudFront's key group.")
    private_key: SecretStr | None = Field(None, description="The private key, PEM (RSA 2048).")
    bind_address: bool = Field(False, description="Bind each URL to the network address that requested it.")

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if len({value is None for value in (self.url, self.key_pair_id, self.private_key)}) != 1:
            raise ValueError("DROPBOX_CDN__URL, __KEY_PAIR_ID and __PRIVATE_KEY must be set together")
        return self


class AuthSettings(_Group):
    secret: SecretStr = Field(SecretStr(DEV_SECRET), description="Signs access tokens; 32 characters or more.")
    access_ttl_s: int = Field(900, ge=30)
    refresh_ttl_s: int = Field(30 * 86400, ge=60)
    session_max_s: int = Field(90 * 86400, ge=60, description="Lifetime of a session, regardless of refreshes.")
    registration: Literal["open", "closed"] = "open"
    require_verified_email: bool = Field(False, description="Require a verified address to sign in.")
    require_second_factor: bool = Field(False, description="A sign-in without a second factor can only set one up.")
    mail_token_ttl_s: int = Field(3600, ge=60, description="Lifetime of a link in a mail.")
    deletion_grace_s: int = Field(30 * 86400, ge=0, description="How long a deleted account may be restored.")
    default_quota_bytes: int = Field(100 * GIB, ge=0)
    default_quota_nodes: int = Field(1_000_000, ge=1)
    passkey_rp_id: str | None = Field(
        None, description="Domain of the passkeys: the host of PUBLIC_URL (unset), or a domain above it."
    )
    hash_concurrency: int = Field(2, ge=1, description="Concurrent argon2 hashes; further sign-ins queue.")


class MailSettings(_Group):
    """The SMTP server. `dev` without a host writes mails into `.dev/mail`."""

    host: str | None = Field(None, description="SMTP server; unset: no mail is sent, addresses stay unverified.")
    port: int = Field(587, ge=1, le=65535)
    security: Literal["starttls", "tls", "none"] = "starttls"
    username: str | None = None
    password: SecretStr | None = None
    sender: str = "dropbox-api <noreply@localhost>"
    timeout_s: float = Field(10, gt=0)
    file_dir: str | None = Field(None, description="Write mails into this folder instead of sending them (dev, tests).")
    grants: bool = Field(True, description="Send a mail about each new grant.")


class OidcSettings(_Group):
    """One OpenID provider, found by its issuer's discovery document. Unset issuer: no OIDC sign-in."""

    issuer: str | None = None
    client_id: str = ""
    client_secret: SecretStr | None = None
    scopes: str = "openid email profile"
    name: str = Field("Single sign-on", description="Label of the button.")
    registration: bool = Field(True, description="Create an account at a user's first sign-in.")
    is_second_factor: bool = Field(False, description="A sign-in at the provider counts as one with a second factor.")


class LimitSettings(_Group):
    """Requests per time, in the notation of `limits`: "10/minute"; several separated by ";"; "" for none."""

    storage_url: Annotated[str, StringConstraints(pattern="^(memory|(redis|valkey)[a-z+]*)://")] = Field(
        "memory://", description="`redis://` or `valkey://` to share counters between processes."
    )
    address: str = Field("1200/minute", description="Requests of one address without a valid token.")
    user: str = Field("3000/minute", description="Requests of one user; a batch counts as one for each 50 items.")
    sign_in_address: str = Field("30/minute;200/hour", description="Attempts to sign in with a password, by address.")
    register_address: str = Field("20/minute;100/hour", description="Registrations, by address.")
    reset_address: str = Field(
        "10/minute;60/hour", description="Requests for a mail that resets a password, by address."
    )
    oidc_address: str = Field(
        "90/minute;900/hour", description="Steps of sign-ins at the provider, three each, by address."
    )
    sign_in_account: str = Field("10/minute;50/hour", description="Attempts to sign in, by account.")
    mail: str = Field("5/hour", description="Mails to one address, and requests of one account to change its address.")
    share_mail: str = Field("60/hour", description="Mails about grants, by the user who shares.")
    public: str = Field("300/minute", description="Requests to public links, by address.")
    link_password: str = Field("10/minute;60/hour", description="Wrong passwords of one link.")
    sign: str = Field(
        "600/minute", description="Starts of uploads and batches of signed URLs, by user, in the same way."
    )

    @field_validator("*")
    @classmethod
    def _is_a_rate(cls, value: str, info: ValidationInfo) -> str:
        if info.field_name != "storage_url" and value:
            parse_many(value)
        return value


class EventSettings(_Group):
    retention_s: int = Field(30 * 86400, ge=3600, description="Retention of journals.")
    max_waiting: int = Field(20_000, ge=0, description="Concurrent waiting long polls and streams per process.")
    max_devices: int = Field(100, ge=1, description="Devices that may report to one account.")
    device_retention_s: int = Field(
        90 * 86400, ge=60, description="A device without a report for this long is removed."
    )
    poll_interval_s: float = Field(
        5, gt=0, description="Interval between checks of waiting readers' journals, in case a wake-up is lost."
    )


class HookSettings(_Group):
    """Webhooks of users."""

    per_user: int = Field(20, ge=0, description="Webhooks per user; 0: none.")
    allow_http: bool = Field(False, description="Allow plain http, too (dev, or a private network).")
    allowed_networks: tuple[str, ...] = Field(
        (), description="Private networks that the server may call, such as 10.1.0.0/16."
    )
    timeout_s: float = Field(10, gt=0, description="Time limit of one attempt.")
    retry_s: int = Field(86400, ge=0, description="A delivery fails permanently after this.")
    disable_after_s: int = Field(
        3 * 86400, ge=0, description="A webhook is disabled after failures only for this long."
    )
    retention_s: int = Field(7 * 86400, ge=0, description="Retention of the delivery log.")
    concurrency: int = Field(20, ge=1, description="Concurrent deliveries per worker.")


class SnsSettings(_Group):
    """An SNS topic for all changes of all accounts. Unset keys: the machine's own credentials."""

    topic_arn: str | None = None
    endpoint_url: str | None = None
    region: str = "us-east-1"
    access_key_id: str | None = None
    secret_access_key: SecretStr | None = None


class NotificationSettings(_Group):
    """Store notifications: an SQS queue with S3's ObjectCreated, or calls of `POST /v1/notifications/store`."""

    queue_url: str | None = None
    endpoint_url: str | None = None
    region: str = "us-east-1"
    access_key_id: str | None = None
    secret_access_key: SecretStr | None = None
    token: SecretStr | None = Field(
        None, description="Bearer token of `POST /v1/notifications/store`; unset: the path is 404."
    )


class HttpSettings(_Group):
    host: str = "127.0.0.1"
    port: int = Field(8000, ge=0, le=65535)
    workers: int = Field(1, ge=1)
    public_url: str | None = Field(
        None, description="Public address of the server, without a path: for mails, links, pages and their cookies."
    )
    trusted_proxies: tuple[str, ...] = Field(
        (), description="Addresses or networks whose X-Forwarded-For and -Proto are trusted."
    )
    allowed_hosts: tuple[str, ...] = Field(("*",), description="Accepted values of the Host header.")
    hsts_s: int = Field(0, ge=0, description="Seconds of Strict-Transport-Security; set it once TLS is permanent.")
    idle_timeout_s: int = Field(75, ge=1, description="An idle connection is closed after this.")
    cors_origins: tuple[str, ...] = Field((), description="Exact origins of web apps on other hosts.")
    max_body_bytes: int = Field(8 * MIB, ge=1024, description="Largest JSON body; longer ones are 413.")
    idempotency_ttl_s: int = Field(86400, ge=60, description="Retention of an Idempotency-Key.")
    metrics_token: SecretStr | None = Field(
        None, description="Bearer token of `/metrics`; unset: 404, and open in `dev`."
    )

    @field_validator("public_url")
    @classmethod
    def _is_root_of_a_host(cls, url: str | None) -> str | None:
        if not url:
            return None
        parsed = URL(url)
        if parsed.scheme not in {"http", "https"} or not parsed.host or parsed != parsed.origin() / "":
            raise ValueError("write scheme and host alone, such as https://files.example.org: pages need a whole host")
        return str(parsed.origin())


class WorkerSettings(_Group):
    interval_s: float = Field(5, gt=0, description="Pause of an idle job.")
    sweep_interval_s: float = Field(3600, gt=0)
    sweep_grace_s: int = Field(
        3 * 86400, ge=0, description="Younger orphans stay; keep it above url_ttl_s and your restore window."
    )
    verify_lease_s: float = Field(60, gt=1)
    relay_lease_s: float = Field(30, gt=1)
    park_after: int = Field(10, ge=1, description="Attempts to relay a change before it is parked.")
    scrub_days: float = Field(
        30, ge=0, description="Every stored object is read again once in this many days; 0: never."
    )


def _check_dsn(dsn: SecretStr) -> SecretStr:
    if not re.fullmatch(r"https?://[^/@\s]+@[^/@\s]+/(\S+/)?\d+", dsn.get_secret_value()):
        raise ValueError("write the DSN of the project, as https://KEY@HOST/NUMBER")
    return dsn


class Settings(BaseSettings):
    model_config = SettingsConfigDict(
        env_prefix="DROPBOX_", env_nested_delimiter="__", env_file=".env", frozen=True, extra="ignore"
    )

    mode: Literal["dev", "production"] = "production"
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    log_format: Literal["auto", "console", "json"] = Field("auto", description="auto: json outside dev.")
    sentry_dsn: Annotated[SecretStr, AfterValidator(_check_dsn)] | None = Field(
        None, description="Report unhandled errors to Sentry or a service with its protocol."
    )
    failpoints: str = Field("", description='Fault injection for tests, such as "uploads.complete.after_s3=kill".')
    database: DatabaseSettings = DatabaseSettings()
    s3: S3Settings = S3Settings()
    uploads: UploadSettings = UploadSettings()
    files: FileSettings = FileSettings()
    thumbnails: ThumbnailSettings = ThumbnailSettings()
    cdn: CdnSettings = CdnSettings()
    auth: AuthSettings = AuthSettings()
    mail: MailSettings = MailSettings()
    oidc: OidcSettings = OidcSettings()
    limits: LimitSettings = LimitSettings()
    events: EventSettings = EventSettings()
    hooks: HookSettings = HookSettings()
    sns: SnsSettings = SnsSettings()
    notifications: NotificationSettings = NotificationSettings()
    http: HttpSettings = HttpSettings()
    worker: WorkerSettings = WorkerSettings()

    @property
    def base_url(self) -> str | None:
        """URL at which clients reach this server, without a slash at the end; None when unknown, outside `dev` only.

        Never taken from a request: the sender of the Host header would choose where a link with a secret leads.
        """
        if self.http.public_url:
            return self.http.public_url
        return f"http://{self.http.host}:{self.http.port}" if self.mode == "dev" else None

    def is_https(self, request_scheme: str) -> bool:
        """Tell whether browsers reach this server by https; a request tells it if the public address is unknown."""
        return (self.base_url or f"{request_scheme}://").startswith("https://")

    @property
    def public_port(self) -> int | None:
        """Port of the public address; None when `base_url` is."""
        return URL(self.base_url).port if self.base_url else None

    @property
    def web_origins(self) -> tuple[str, ...]:
        """Origins whose pages use presigned URLs: the server's own, where it is set, and those of other web apps."""
        return tuple(dict.fromkeys(filter(None, (self.http.public_url, *self.http.cors_origins))))

    @model_validator(mode="after")
    def _refuse(self) -> Self:
        """Refuse settings that would lose data or weaken security."""
        if self.mode == "production":
            secret = self.auth.secret.get_secret_value()
            if secret == DEV_SECRET or len(secret) < MIN_SECRET_CHARS:
                raise ValueError(
                    "DROPBOX_AUTH__SECRET must be set to 32 random characters or more outside `dropbox-api dev`"
                )
            if self.failpoints:
                raise ValueError("DROPBOX_FAILPOINTS is for tests and needs DROPBOX_MODE=dev")
        rp_id, host = self.auth.passkey_rp_id, urlsplit(self.base_url or "").hostname or ""
        if rp_id and host != rp_id and not host.endswith(f".{rp_id}"):
            raise ValueError(
                "DROPBOX_AUTH__PASSKEY_RP_ID must be the host of DROPBOX_HTTP__PUBLIC_URL or a domain above"
            )
        if self.http.workers > 1 and self.limits.storage_url.startswith("memory"):
            raise ValueError("DROPBOX_HTTP__WORKERS > 1 needs a DROPBOX_LIMITS__STORAGE_URL shared by the processes")
        if not self.s3.min_part_bytes <= self.uploads.chunk_size_bytes <= self.s3.max_part_bytes:
            raise ValueError(
                "DROPBOX_UPLOADS__CHUNK_SIZE_BYTES must lie between DROPBOX_S3__MIN_PART_BYTES and __MAX_PART_BYTES"
            )
        if self.uploads.retention_s < self.uploads.unplaced_ttl_s:
            raise ValueError("DROPBOX_UPLOADS__RETENTION_S must be at least DROPBOX_UPLOADS__UNPLACED_TTL_S")
        if self.worker.sweep_grace_s < self.uploads.url_ttl_s and self.mode == "production":
            raise ValueError("DROPBOX_WORKER__SWEEP_GRACE_S must be at least DROPBOX_UPLOADS__URL_TTL_S")
        return self
