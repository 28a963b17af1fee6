"""Every setting of the server, in one frozen typed tree; the only reader of the environment.

A setting `a.b` is read from `DROPBOX_A__B` (and `.env` in the working directory). Names carry their units. Defaults
suit `dropbox-api dev`; secrets that must not be guessed have no usable default outside of it. `docs/settings.md` lists
every one, and a test keeps it so.
"""

from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, SecretStr, StringConstraints, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

MIB = 1024**2
GIB = 1024**3

DEV_SECRET = "dev-only-secret-do-not-use-anywhere-else"  # noqa: S105 - refused outside `dev`, see Settings._refuse
MIN_SECRET_CHARS = 32


class _Group(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class DatabaseSettings(_Group):
    url: SecretStr = SecretStr("postgresql+asyncpg://app@127.0.0.1:5432/dropbox")
    listen_url: SecretStr | None = Field(
        None, description="A direct connection for LISTEN where `url` is PgBouncer's; unset means `url`."
    )
    pool_size: int = Field(20, ge=1, description="Connections kept open per process.")
    pool_overflow: int = Field(5, ge=0, description="Connections opened above that under load.")
    pool_timeout_s: float = Field(10, gt=0, description="Wait for a free connection before 503.")
    connect_timeout_s: float = Field(5, gt=0)
    statement_timeout_s: float = Field(30, gt=0, description="A statement running longer is cancelled: 503.")
    prepared_statements: bool = Field(True, description="Off behind PgBouncer < 1.21 in transaction mode.")


class S3Settings(_Group):
    endpoint_url: str | None = Field(None, description="The store that the server calls; unset means AWS.")
    public_endpoint_url: str | None = Field(
        None, description="The address that presigned URLs carry; unset means endpoint_url."
    )
    region: str = "us-east-1"
    bucket: Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$")] = "dropbox"
    access_key_id: str | None = Field(None, description="Unset: the machine's own credentials (role, profile).")
    secret_access_key: SecretStr | None = None
    session_token: SecretStr | None = None
    addressing: Literal["path", "virtual"] = Field("path", description="Path style suits most self-hosted stores.")
    sse: Literal["AES256", "aws:kms"] | None = Field(None, description="Encryption at rest asked for at every upload.")
    sse_kms_key_id: str | None = None
    connect_timeout_s: float = Field(5, gt=0)
    read_timeout_s: float = Field(60, gt=0)
    max_connections: int = Field(64, ge=1)
    min_part_bytes: int = Field(5 * MIB, ge=1)
    max_part_bytes: int = Field(5 * GIB, ge=5 * MIB)
    max_parts: int = Field(9_999, ge=1, le=10_000, description="S3 takes 10,000; SeaweedFS mis-sorts the last.")
    create_bucket: bool = Field(False, description="Create the bucket and its CORS rule at start (dev).")


class UploadSettings(_Group):
    single_max_bytes: int = Field(8 * MIB, ge=0, le=5 * GIB, description="Up to here one PUT is the whole upload.")
    chunk_size_bytes: int = Field(8 * MIB, ge=5 * MIB)
    max_file_bytes: int | None = Field(None, ge=1, description="Refuse larger files; unset means what the store takes.")
    url_ttl_s: int = Field(1800, ge=60, le=7 * 86400, description="Lifetime of a signed part URL.")
    download_url_ttl_s: int = Field(300, ge=30, le=86400)
    session_ttl_s: int = Field(7 * 86400, ge=60, description="A session without activity expires after this.")
    idle_finalise_s: int = Field(900, ge=1, description="Idle sessions whose parts may all be there are looked at.")
    unplaced_ttl_s: int = Field(7 * 86400, ge=60, description="How long bytes wait whose every destination refused.")
    lease_s: float = Field(30, gt=1, description="Claim on a session while S3 is asked; renewed by heartbeat.")
    complete_wait_s: float = Field(20, ge=0, description="How long /complete waits before it answers 202.")
    max_open: int = Field(10_000, ge=1, description="Open sessions per user.")
    gone_grace_s: int = Field(900, ge=1, description="Repeated NoSuchUpload and no object for so long: failed.")
    stream_max_bytes: int = Field(
        100 * MIB, ge=0, description="Largest file taken through the API itself (form upload, PUT of content)."
    )
    streams_at_once: int = Field(16, ge=1, description="Such uploads and zip archives at a time per process.")


class FileSettings(_Group):
    trash_retention_s: int = Field(30 * 86400, ge=0, description="Then what is in the trash is purged.")
    revisions_keep: int = Field(100, ge=1, description="Revisions of one file that are kept, its head included.")
    revisions_keep_s: int = Field(
        180 * 86400, ge=0, description="A revision that was replaced longer ago is purged, however few there are."
    )


class CdnSettings(_Group):
    """CloudFront in front of the bucket: download URLs are its signed URLs. All of url, key pair and key, or none."""

    url: str | None = Field(None, description="The distribution, such as https://d111.cloudfront.net.")
    key_pair_id: str | None = Field(None, description="Id of the public key in CloudFront's key group.")
    private_key: SecretStr | None = Field(None, description="The private key, PEM (RSA 2048).")
    bind_address: bool = Field(False, description="A URL is good only for the address that asked for it.")

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if len({value is None for value in (self.url, self.key_pair_id, self.private_key)}) != 1:
            raise ValueError("DROPBOX_CDN__URL, __KEY_PAIR_ID and __PRIVATE_KEY are set together or not at all")
        return self


class AuthSettings(_Group):
    secret: SecretStr = Field(SecretStr(DEV_SECRET), description="Signs access tokens; 32 characters or more.")
    access_ttl_s: int = Field(900, ge=30)
    refresh_ttl_s: int = Field(30 * 86400, ge=60)
    session_max_s: int = Field(
        90 * 86400, ge=60, description="A sign-in ends after this, however often it is refreshed."
    )
    registration: Literal["open", "closed"] = "open"
    require_verified_email: bool = Field(False, description="Sign-in only with a verified address.")
    mail_token_ttl_s: int = Field(3600, ge=60, description="Life of a link in a mail.")
    default_quota_bytes: int = Field(100 * GIB, ge=0)
    default_quota_nodes: int = Field(1_000_000, ge=1)
    hash_concurrency: int = Field(2, ge=1, description="argon2 hashes at a time; sign-in storms queue here.")


class MailSettings(_Group):
    """Where mail goes. `dev` without a host writes it into `.dev/mail`."""

    host: str | None = Field(None, description="SMTP server; unset: nothing is sent, addresses stay unverified.")
    port: int = Field(587, ge=1, le=65535)
    security: Literal["starttls", "tls", "none"] = "starttls"
    username: str | None = None
    password: SecretStr | None = None
    sender: str = "dropbox-api <noreply@localhost>"
    timeout_s: float = Field(10, gt=0)
    file_dir: str | None = Field(None, description="Write mails into this folder instead of sending them (dev, tests).")


class OidcSettings(_Group):
    """One OpenID provider, found by its issuer's discovery document. Unset issuer: no such sign-in."""

    issuer: str | None = None
    client_id: str = ""
    client_secret: SecretStr | None = None
    scopes: str = "openid email profile"
    name: str = Field("Single sign-on", description="What the button says.")
    registration: bool = Field(True, description="Make an account for whoever the provider vouches for.")


class LimitSettings(_Group):
    """Requests per time, as `limits` writes it: "10/minute"; several separated by ";"; "" for none."""

    storage_url: str = Field("memory://", description="`redis://` or `valkey://`: shared by processes.")
    address: str = Field("1200/minute", description="All requests of one address.")
    user: str = Field("3000/minute", description="All requests of one user.")
    sign_in_address: str = Field("30/minute;200/hour", description="Attempts to sign in, by address.")
    sign_in_account: str = Field("10/minute;50/hour", description="Attempts to sign in, by account.")
    mail: str = Field("5/hour", description="Mails to one address that strangers can cause.")
    public: str = Field("300/minute", description="Requests to public links, by address.")
    link_password: str = Field("10/minute;60/hour", description="Wrong passwords of one link.")
    sign: str = Field("600/minute", description="Starts of uploads and batches of signed URLs, by user.")


class EventSettings(_Group):
    retention_s: int = Field(30 * 86400, ge=3600, description="How long journals reach back.")
    max_waiting: int = Field(20_000, ge=0, description="Long polls and streams that wait at a time per process.")
    poll_interval_s: float = Field(
        5, gt=0, description="Journals of who waits are looked at so often, should a wake-up be lost."
    )


class HookSettings(_Group):
    """Webhooks of users."""

    per_user: int = Field(20, ge=0, description="Webhooks a user may have; 0: none.")
    allow_http: bool = Field(False, description="Plain http, too (dev, or a network of your own).")
    allowed_networks: tuple[str, ...] = Field(
        (), description="Private networks that may be called all the same, such as 10.1.0.0/16."
    )
    timeout_s: float = Field(10, gt=0, description="For one attempt.")
    retry_s: int = Field(86400, ge=0, description="A delivery is given up after this.")
    disable_after_s: int = Field(3 * 86400, ge=0, description="A webhook that only fails for so long is switched off.")
    retention_s: int = Field(7 * 86400, ge=0, description="How long the log of deliveries is kept.")
    concurrency: int = Field(20, ge=1, description="Deliveries at a time per worker.")


class SnsSettings(_Group):
    """A topic that is told of every change of everybody. Keys unset: the machine's own."""

    topic_arn: str | None = None
    endpoint_url: str | None = None
    region: str = "us-east-1"
    access_key_id: str | None = None
    secret_access_key: SecretStr | None = None


class NotificationSettings(_Group):
    """What the store says of itself: an SQS queue with S3's ObjectCreated, or calls of our own address."""

    queue_url: str | None = None
    endpoint_url: str | None = None
    region: str = "us-east-1"
    access_key_id: str | None = None
    secret_access_key: SecretStr | None = None
    token: SecretStr | None = Field(
        None, description="Bearer token of `POST /v1/notifications/store`; unset: no such address."
    )


class HttpSettings(_Group):
    host: str = "127.0.0.1"
    port: int = Field(8000, ge=0, le=65535)
    workers: int = Field(1, ge=1)
    public_url: str | None = Field(None, description="Address at which people reach the server: in mails and links.")
    trusted_proxies: tuple[str, ...] = Field(
        (), description="Addresses or networks whose X-Forwarded-For and -Proto are believed."
    )
    allowed_hosts: tuple[str, ...] = Field(("*",), description="Values of the Host header that are answered.")
    hsts_s: int = Field(0, ge=0, description="Strict-Transport-Security; set it once TLS is there to stay.")
    idle_timeout_s: int = Field(75, ge=1, description="A kept connection without a request is closed after this.")
    cors_origins: tuple[str, ...] = Field((), description="Exact origins of web apps served from elsewhere.")
    max_body_bytes: int = Field(8 * MIB, ge=1024, description="Largest JSON body; longer ones are 413.")
    idempotency_ttl_s: int = Field(86400, ge=60, description="How long an Idempotency-Key is remembered.")
    metrics_token: SecretStr | None = Field(
        None, description="Bearer token of `/metrics`; unset: only `dev` has such an address."
    )


class WorkerSettings(_Group):
    interval_s: float = Field(5, gt=0, description="Pause between rounds of a job that found nothing to do.")
    sweep_interval_s: float = Field(3600, gt=0)
    sweep_grace_s: int = Field(
        3 * 86400, ge=0, description="Orphans younger than this stay; keep it above url_ttl_s and your restore window."
    )
    verify_lease_s: float = Field(60, gt=1)
    relay_lease_s: float = Field(30, gt=1)
    park_after: int = Field(10, ge=1, description="Attempts to relay a change before it is put aside.")
    scrub_days: float = Field(30, ge=0, description="All stored content is read again once in so many days; 0: never.")


class Settings(BaseSettings):
    model_config = SettingsConfigDict(
        env_prefix="DROPBOX_", env_nested_delimiter="__", env_file=".env", frozen=True, extra="ignore"
    )

    mode: Literal["dev", "production"] = "production"
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    log_format: Literal["auto", "console", "json"] = Field("auto", description="auto: json outside dev.")
    sentry_dsn: SecretStr | None = Field(None, description="Report unhandled errors to Sentry or what speaks like it.")
    failpoints: str = Field("", description='Fault injection for tests, such as "uploads.complete.after_s3=kill".')
    database: DatabaseSettings = DatabaseSettings()
    s3: S3Settings = S3Settings()
    uploads: UploadSettings = UploadSettings()
    files: FileSettings = FileSettings()
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
            return self.http.public_url.rstrip("/")
        return f"http://{self.http.host}:{self.http.port}" if self.mode == "dev" else None

    @model_validator(mode="after")
    def _refuse(self) -> Self:
        """Refuse what would lose data or let a stranger in."""
        if self.mode == "production":
            secret = self.auth.secret.get_secret_value()
            if secret == DEV_SECRET or len(secret) < MIN_SECRET_CHARS:
                raise ValueError(
                    "DROPBOX_AUTH__SECRET must be set to 32 random characters or more outside `dropbox-api dev`"
                )
            if self.failpoints:
                raise ValueError("DROPBOX_FAILPOINTS is for tests and needs DROPBOX_MODE=dev")
        if self.http.workers > 1 and self.limits.storage_url.startswith("memory"):
            raise ValueError("DROPBOX_HTTP__WORKERS > 1 needs a DROPBOX_LIMITS__STORAGE_URL that processes share")
        if not self.s3.min_part_bytes <= self.uploads.chunk_size_bytes <= self.s3.max_part_bytes:
            raise ValueError("DROPBOX_UPLOADS__CHUNK_SIZE_BYTES must lie between S3's smallest and largest part")
        if self.worker.sweep_grace_s < self.uploads.url_ttl_s and self.mode == "production":
            raise ValueError("DROPBOX_WORKER__SWEEP_GRACE_S must be longer than any signed URL lives")
        return self
