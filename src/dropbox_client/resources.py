"""The resources of the client: one method for each operation of the API.

A file or folder is named by a `File`, by its id, or by its path in the caller's own tree ("/photos/cat.jpg"); most
operations resolve a path with one more request. Every method raises `ApiError` if the server refuses the request,
`Unreachable` if no response arrives in time, `NotSignedIn` without a valid sign-in, `Stopped` after `close`.

`async_resources` is generated from this module: `make sdk`.
"""

import builtins
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Literal, TypeVar

from dropbox_client.call import Call, Listing
from dropbox_client.calls import account, admin, events, files, links, revisions, shares, trash, uploads, webhooks
from dropbox_client.errors import ApiError
from dropbox_client.exchange import EVENTS_PER_PAGE, LONG_WAIT_S, Feed
from dropbox_client.models import (
    KEEP,
    Account,
    AccountKind,
    Activity,
    Capabilities,
    Chunk,
    CompletedUpload,
    CompletedUploadItem,
    CreatedPersonalToken,
    CreatedUpload,
    CreatedUploadItem,
    CreatedWebhook,
    CreateUpload,
    Delivery,
    DeliveryState,
    Destination,
    DownloadUrl,
    Event,
    EventList,
    File,
    FileRef,
    FingerprintHit,
    Grant,
    GrantedRole,
    Keep,
    Link,
    LinkMode,
    ManagedUser,
    OnConflict,
    Order,
    PersonalToken,
    ProcessingState,
    RetryLater,
    Revision,
    Scope,
    SecondFactorProposal,
    SignedPart,
    SignInSession,
    Upload,
    UploadState,
    Webhook,
)

if TYPE_CHECKING:
    from dropbox_client.client import Client

T = TypeVar("T")

_HITS_PER_PAGE = 100


class _Resource:
    """A group of operations of one client."""

    def __init__(self, client: "Client") -> None:
        self._client = client

    def _run(self, call: Call[T]) -> T:
        return self._client.drive(self._client.exchange.send(call))

    def _pages(self, listing: Listing[T]) -> Iterator[T]:
        cursor: str | None = None
        while True:
            page = self._run(listing.page(cursor))
            for item in page.items:  # noqa: UP028 - as in the asynchronous form
                yield item
            cursor = page.next_cursor
            if cursor is None:
                return

    def _pages_of(self, file: FileRef, list_of: Callable[[str], Listing[T]]) -> Iterator[T]:
        for item in self._pages(list_of(self._resolve(file))):  # noqa: UP028
            yield item

    def _resolve(self, file: FileRef) -> str:
        """Return the id of a file or folder; a path needs a request. Raises NotFound."""
        if isinstance(file, File):
            return file.id
        if not file.startswith("/"):
            return file
        found = self._run(files.get_by_path(file))
        return found.id


def _path_or_id(file: FileRef) -> str:
    """Return what the server accepts itself: a path, or an id."""
    return file.id if isinstance(file, File) else file


class Files(_Resource):
    """Files and folders: look up, list, search, move, copy."""

    def get(self, file: FileRef) -> File:
        """Return the current state of a file or folder. Raises NotFound."""
        wanted = _path_or_id(file)
        return self._run(files.get_by_path(wanted) if wanted.startswith("/") else files.get(wanted))

    def resolve(self, file: FileRef) -> str:
        """Return the id of a file or folder; only a path needs a request. Raises NotFound."""
        return self._resolve(file)

    def get_below(self, folder: FileRef, path: str) -> File:
        """Return the file or folder at a path below a folder, such as a shared one. Raises NotFound."""
        return self._run(files.get_below(self._resolve(folder), path))

    def list(self, folder: FileRef = "/", *, order: Order = "name", recursive: bool = False) -> Iterator[File]:
        """Iterate over the children of a folder, or with `recursive` over all descendants.

        Raises: NotFound, NotAFolder.
        """
        return self._pages(files.list_folder(_path_or_id(folder), order, recursive=recursive))

    def search(
        self,
        text: str | None = None,
        *,
        folder: FileRef | None = None,
        kind: Literal["file", "folder"] | None = None,
        content_type: str | None = None,
        min_bytes: int | None = None,
        max_bytes: int | None = None,
        modified_after: datetime | None = None,
        modified_before: datetime | None = None,
        page_items: int = _HITS_PER_PAGE,
    ) -> Iterator[File]:
        """Iterate over the files and folders whose names match and that meet all conditions, best first.

        `page_items` is the number per request. Raises: NotFound (`folder`), InvalidRequest.
        """
        return self._pages(
            files.search(
                text,
                folder=None if folder is None else _path_or_id(folder),
                kind=kind,
                content_type=content_type,
                min_bytes=min_bytes,
                max_bytes=max_bytes,
                modified_after=modified_after,
                modified_before=modified_before,
                page_items=page_items,
            )
        )

    def sign_download(self, file: FileRef, revision_id: str | None = None) -> DownloadUrl:
        """Return a signed URL for the content of the head or of a revision. Raises NotFound, NotAFile."""
        return self._run(files.sign_download(self._resolve(file), revision_id))

    def create_folder(self, path: str) -> File:
        """Create a folder in an existing one. Raises NotFound, NotAFolder (the parent), NameTaken, InvalidName."""
        return self._run(files.create_folder(path))

    def create_folders(self, path: str) -> File:
        """Create a folder and its missing ancestors; an existing folder is accepted. Raises NotAFolder, InvalidName."""
        return self._run(files.create_folders(path))

    def create_folder_in(self, folder: FileRef, name: str, *, reuse: bool = False) -> File:
        """Create a folder in another, such as a shared one; `reuse` accepts an existing one.

        Raises: NotFound, NotAFolder, NameTaken, InvalidName.
        """
        return self._run(files.create_folder_in(self._resolve(folder), name, reuse=reuse))

    def move(
        self,
        file: FileRef,
        *,
        name: str | None = None,
        folder: FileRef | None = None,
        on_conflict: OnConflict = "fail",
        if_match: str | None = None,
    ) -> File:
        """Rename a file or folder, move it to another folder, or both; `if_match` is the expected `etag`.

        Raises: NotFound, NameTaken, IntoItself, RootFolder, ProcessingRunning, PreconditionFailed, ...
        """
        target = None if folder is None else _path_or_id(folder)
        return self._run(
            files.move(self._resolve(file), name=name, folder=target, on_conflict=on_conflict, if_match=if_match)
        )

    def copy(
        self,
        file: FileRef,
        *,
        name: str | None = None,
        folder: FileRef | None = None,
        on_conflict: OnConflict = "fail",
    ) -> File:
        """Copy a file or a folder tree on the server, without a transfer. Raises as `move` does."""
        target = None if folder is None else _path_or_id(folder)
        return self._run(files.copy(self._resolve(file), name=name, folder=target, on_conflict=on_conflict))

    def set_content_type(self, file: FileRef, content_type: str, *, if_match: str | None = None) -> File:
        """Change the content type of a file. Raises NotFound, NotAFile, PreconditionFailed."""
        return self._run(files.set_content_type(self._resolve(file), content_type, if_match=if_match))

    def move_to_trash(self, file: FileRef, *, force: bool = False, if_match: str | None = None) -> None:
        """Move a file or a folder tree to the trash; `force` overrides ProcessingRunning.

        Raises: NotFound, RootFolder, ProcessingRunning, PreconditionFailed.
        """
        return self._run(files.move_to_trash(self._resolve(file), force=force, if_match=if_match))

    def list_activity(self, file: FileRef) -> Iterator[Activity]:
        """Iterate over the audit trail of a file or folder, newest first. Raises NotFound."""
        return self._pages_of(file, files.list_activity)

    def report_processing(
        self, file: FileRef, state: ProcessingState, *, detail: str | None = None, revision_id: str | None = None
    ) -> File:
        """Report the state of a processor for a revision (default: the head). Raises NotFound, RevisionConflict."""
        return self._run(files.report_processing(self._resolve(file), state, detail=detail, revision_id=revision_id))

    def accept_content(self, file: FileRef) -> File:
        """Accept quarantined content under its actual fingerprint. Raises NotFound, NotQuarantined."""
        return self._run(files.accept_content(self._resolve(file)))


class Trash(_Resource):
    """The trash: a file in it is named by a `File` or its id."""

    def list(self) -> Iterator[File]:
        """Iterate over the trash, last deleted first."""
        return self._pages(trash.list_all())

    def restore(self, file: File | str, *, parent_path: str | None = None) -> File:
        """Restore to the old folder or to `parent_path`; a taken name gets a number.

        Raises: NotFound (the trashed file, or the folder), ParentGone, NotAFolder.
        """
        return self._run(trash.restore(_path_or_id(file), parent_path))

    def purge(self, file: File | str) -> None:
        """Delete a file or folder in the trash permanently. Raises NotFound."""
        return self._run(trash.purge(_path_or_id(file)))

    def empty(self) -> None:
        """Delete the contents of the trash permanently."""
        return self._run(trash.empty())


class Revisions(_Resource):
    """The revisions of a file."""

    def list(self, file: FileRef) -> Iterator[Revision]:
        """Iterate over the revisions of a file, newest first. Raises NotFound, NotAFile."""
        return self._pages_of(file, revisions.list_of)

    def restore(self, file: FileRef, revision_id: str) -> File:
        """Add a new head revision with the content of an older one. Raises NotFound, NotAFile."""
        return self._run(revisions.restore(self._resolve(file), revision_id))


class Shares(_Resource):
    """The access of other accounts to files and folders."""

    def list(self, file: FileRef) -> Iterator[Grant]:
        """Iterate over the grants of a file or folder, own and inherited. Raises NotFound."""
        return self._pages_of(file, shares.list_of)

    def grant(self, file: FileRef, email: str, role: GrantedRole) -> Grant:
        """Share with an address, or change its role. Raises NotFound, RootFolder, CannotShareWith."""
        return self._run(shares.grant(self._resolve(file), email, role))

    def change_role(self, file: FileRef, grant_id: str, role: GrantedRole) -> Grant:
        """Change the role of a grant. Raises NotFound."""
        return self._run(shares.change_role(self._resolve(file), grant_id, role))

    def revoke(self, file: FileRef, grant_id: str) -> None:
        """Revoke a grant. Raises NotFound."""
        return self._run(shares.revoke(self._resolve(file), grant_id))

    def list_with_me(self) -> Iterator[File]:
        """Iterate over the files and folders shared with the caller, last shared first."""
        return self._pages(shares.list_with_me())

    def leave(self, file: File | str) -> None:
        """Give up the caller's access to a shared file or folder. Raises NotFound."""
        return self._run(shares.leave(_path_or_id(file)))


class Links(_Resource):
    """Public links."""

    def list(self, file: FileRef) -> Iterator[Link]:
        """Iterate over the links to a file or folder, newest first. Raises NotFound."""
        return self._pages_of(file, links.list_of)

    def create(
        self,
        file: FileRef,
        mode: LinkMode,
        *,
        password: str | None = None,
        expires_at: datetime | None = None,
        max_downloads: int | None = None,
    ) -> Link:
        """Create a public link that allows `mode`. Raises NotFound, RootFolder, NotAFolder."""
        return self._run(
            links.create(
                self._resolve(file), mode, password=password, expires_at=expires_at, max_downloads=max_downloads
            )
        )

    def change(
        self,
        link_id: str,
        *,
        password: str | Keep | None = KEEP,
        expires_at: datetime | Keep | None = KEEP,
        max_downloads: int | Keep | None = KEEP,
    ) -> Link:
        """Change conditions of a link; None removes one, and KEEP leaves it alone. Raises NotFound."""
        expiry = expires_at.isoformat() if isinstance(expires_at, datetime) else expires_at
        members = {"password": password, "expires_at": expiry, "max_downloads": max_downloads}
        changes = {name: value for name, value in members.items() if value is not KEEP}
        return self._run(links.change(link_id, changes))

    def revoke(self, link_id: str) -> None:
        """Revoke a link immediately and permanently. Raises NotFound."""
        return self._run(links.revoke(link_id))


class Events(_Resource):
    """The changes of all files that the caller sees."""

    def follow(self, cursor: str | None = None, *, since: datetime | None = None) -> Iterator[Event]:
        """Iterate over the events after a cursor, or since a time, and wait for new ones without end.

        With neither, begin with the first `next`. Yields each event once across restarts of the server, network
        failures and token renewals; `retry_for_s` limits only the first request. Store `Event.cursor` to resume later;
        it is valid as long as the server keeps the events after it.

        Raises: CursorExpired if the server no longer keeps these events, InvalidCursor.
        """
        if cursor is None and since is None:
            cursor = self.get_cursor()
        feed = Feed(self._client.exchange, cursor, since)
        while True:
            for event in self._client.drive(feed.read(LONG_WAIT_S)):  # noqa: UP028
                yield event

    def list(self, cursor: str | None = None, *, since: datetime | None = None) -> Iterator[Event]:
        """Iterate over the events after a cursor, or since a time, up to now.

        Raises: CursorExpired, InvalidCursor; ValueError with neither.
        """
        if cursor is None and since is None:
            raise ValueError("give a cursor, or the time to begin with")
        feed = Feed(self._client.exchange, cursor, since)
        while feed.has_more:
            for event in self._client.drive(feed.read(0)):  # noqa: UP028
                yield event

    def get_cursor(self) -> str:
        """Return the current cursor. To mirror a tree, take the cursor before listing it."""
        return self._run(events.get_cursor())

    def get_page(
        self,
        cursor: str | None = None,
        *,
        since: datetime | None = None,
        limit: int = EVENTS_PER_PAGE,
        wait_s: float = 0,
    ) -> EventList:
        """Return the next events; if there are none, wait up to `wait_s` (at most 90). Raises as `list` does."""
        return self._run(events.get_page(cursor, since=since, limit=limit, wait_s=wait_s))


class Uploads(_Resource):
    """Upload sessions, step by step; `Client.upload` does all steps."""

    _capabilities: Capabilities | None = None

    def get_capabilities(self) -> Capabilities:
        """Return the limits of this server and its store; cached after the first request."""
        if self._capabilities is None:
            self._capabilities = self._run(uploads.get_capabilities())
        return self._capabilities

    def find_fingerprint(self, fingerprint: str) -> FingerprintHit | None:
        """Return the caller's file or upload with this content; None if there is none."""
        try:
            return self._run(uploads.find_fingerprint(fingerprint))
        except ApiError as error:
            if error.status == 404:
                return None
            raise

    def start(self, new: CreateUpload) -> CreatedUpload:
        """Start an upload session, join a live one, or get the file if the owner already stores the content.

        A session without a fingerprint needs `bind_fingerprint` before `complete`. A `single` upload includes its
        signed part.

        Raises: FingerprintRequired, QuotaExceeded, NameTaken, NotAFolder, RevisionConflict, InvalidName, ...
        """
        return self._run(uploads.start(new))

    def bind_fingerprint(self, upload_id: str, fingerprint: str) -> CreatedUpload:
        """Bind the hash of the whole content to a session. Continue with the session or file of the result.

        Raises: FingerprintMismatch if another fingerprint is bound.
        """
        return self._run(uploads.bind_fingerprint(upload_id, fingerprint))

    def get(self, upload_id: str) -> Upload:
        """Return a session as last recorded by the server. Raises NotFound."""
        return self._run(uploads.get(upload_id))

    def list(self, *, state: UploadState | None = None, fingerprint: str | None = None) -> Iterator[Upload]:
        """Iterate over the caller's sessions."""
        return self._pages(uploads.list_all(state, fingerprint))

    def list_chunks(self, upload_id: str) -> Iterator[Chunk]:
        """Iterate over the chunks of a session by number, with their registered hashes."""
        return self._pages(uploads.list_chunks(upload_id))

    def sign_parts(self, upload_id: str, hashes: Mapping[int, str]) -> builtins.list[SignedPart]:
        """Register the SHA-256 (hex) of 1..1000 chunks by number and return a signed URL for each.

        Raises: ChunkMismatch if a chunk is registered with another hash; UploadEnded, UploadExpired.
        """
        return self._run(uploads.sign_parts(upload_id, hashes))

    def reconcile(self, upload_id: str) -> Upload:
        """Make the server compare the session with the parts in the store, and return it."""
        return self._run(uploads.reconcile(upload_id))

    def complete(self, upload_id: str) -> CompletedUpload | RetryLater:
        """Turn a fully uploaded session into a file. A repeated call returns the same file.

        Raises: PartsMissing, UploadCompleting, UploadEnded, UploadExpired, UploadFailed, DestinationRefused.
        """
        return self._run(uploads.complete(upload_id))

    def add_destination(self, upload_id: str, destination: Destination) -> Upload:
        """Add a destination to a session, such as after DestinationRefused. Raises NothingToPlace, NameTaken, ..."""
        return self._run(uploads.add_destination(upload_id, destination))

    def abort(self, upload_id: str) -> None:
        """Abort a session and free its parts and reservation. Raises NotFound, UploadEnded."""
        return self._run(uploads.abort(upload_id))

    def start_batch(self, items: Sequence[CreateUpload]) -> builtins.list[CreatedUploadItem]:
        """Start many small uploads (at most `Capabilities.batch_items`); a result may be a `problem`."""
        return self._run(uploads.start_batch(items))

    def complete_batch(self, upload_ids: Sequence[str]) -> builtins.list[CompletedUploadItem]:
        """Complete many uploads in the order of `upload_ids`; each result is a `file` or a `problem`."""
        return self._run(uploads.complete_batch(upload_ids))


class OwnAccount(_Resource):
    """The account of the caller.

    A `password` is None for an account without one: the server then requires a sign-in of the last minutes.
    """

    def register(self, email: str, password: str) -> Account:
        """Create an account; `sign_in` follows. Raises EmailTaken, RegistrationClosed, WeakPassword."""
        return self._run(account.register(email, password))

    def find_identity_provider(self) -> str | None:
        """Return the name of the server's identity provider; None if it has none."""
        return self._run(account.find_identity_provider())

    def get(self) -> Account:
        """Return the account, its usage and its quota."""
        return self._run(account.get())

    def change_password(self, current_password: str | None, new_password: str) -> None:
        """Change the password and end all other sign-ins. Raises InvalidCredentials, WeakPassword."""
        return self._run(account.change_password(current_password, new_password))

    def request_email_verification(self) -> None:
        """Send a mail that confirms the address of the account."""
        return self._run(account.request_email_verification())

    def verify_email(self, token: str) -> None:
        """Confirm an address with the token of the mail. Raises InvalidMailToken."""
        return self._run(account.verify_email(token))

    def request_password_reset(self, email: str) -> None:
        """Send a mail that resets the password, if the address has an account."""
        return self._run(account.request_password_reset(email))

    def reset_password(self, token: str, new_password: str) -> None:
        """Set a new password with the token of the mail. Raises InvalidMailToken, WeakPassword."""
        return self._run(account.reset_password(token, new_password))

    def propose_second_factor(self, password: str | None) -> SecondFactorProposal:
        """Return a new secret for an authenticator app. Raises InvalidCredentials, SecondFactorState."""
        return self._run(account.propose_second_factor(password))

    def confirm_second_factor(self, code: str) -> builtins.list[str]:
        """Turn the second factor on with a code of the app and return the recovery codes. Raises as above."""
        return self._run(account.confirm_second_factor(code))

    def replace_recovery_codes(self, password: str | None, otp: str) -> builtins.list[str]:
        """Return new recovery codes, which invalidate the old ones. Raises as above."""
        return self._run(account.replace_recovery_codes(password, otp))

    def remove_second_factor(self, password: str | None, otp: str) -> None:
        """Turn the second factor off. Raises as above."""
        return self._run(account.remove_second_factor(password, otp))

    def list_sign_ins(self) -> Iterator[SignInSession]:
        """Iterate over the sign-ins of the account, newest first."""
        return self._pages(account.list_sign_ins())

    def end_sign_in(self, sign_in_id: str) -> None:
        """End a sign-in immediately. Raises NotFound."""
        return self._run(account.end_sign_in(sign_in_id))

    def end_other_sign_ins(self) -> None:
        """End all sign-ins but that of this client."""
        return self._run(account.end_other_sign_ins())

    def list_tokens(self) -> Iterator[PersonalToken]:
        """Iterate over the valid personal access tokens, newest first."""
        return self._pages(account.list_tokens())

    def create_token(
        self, name: str, scopes: Sequence[Scope], *, expires_in_s: int | None = None
    ) -> CreatedPersonalToken:
        """Create a personal access token; only this result has `token`. Raises Forbidden (scope `admin`)."""
        return self._run(account.create_token(name, scopes, expires_in_s))

    def revoke_token(self, token_id: str) -> None:
        """Revoke a personal access token immediately. Raises NotFound."""
        return self._run(account.revoke_token(token_id))


class Admin(_Resource):
    """The accounts of the server; for administrators. Every method raises Forbidden for other callers."""

    def list_users(self, text: str | None = None) -> Iterator[ManagedUser]:
        """Iterate over the accounts, or over those whose address contains `text`."""
        return self._pages(admin.list_users(text))

    def get_user(self, user_id: str) -> ManagedUser:
        """Return an account. Raises NotFound."""
        return self._run(admin.get_user(user_id))

    def create_user(
        self,
        email: str,
        *,
        password: str | None = None,
        kind: AccountKind = "person",
        quota_bytes: int | None = None,
        quota_nodes: int | None = None,
    ) -> ManagedUser:
        """Create an account for a person or a service. Raises EmailTaken, WeakPassword."""
        return self._run(
            admin.create_user(email, password=password, kind=kind, quota_bytes=quota_bytes, quota_nodes=quota_nodes)
        )

    def change_user(
        self,
        user_id: str,
        *,
        is_disabled: bool | None = None,
        is_admin: bool | None = None,
        quota_bytes: int | None = None,
        quota_nodes: int | None = None,
    ) -> ManagedUser:
        """Change an account; None leaves a member alone. Raises NotFound."""
        return self._run(
            admin.change_user(
                user_id, is_disabled=is_disabled, is_admin=is_admin, quota_bytes=quota_bytes, quota_nodes=quota_nodes
            )
        )

    def list_tokens(self, user_id: str) -> Iterator[PersonalToken]:
        """Iterate over the valid tokens of an account. Raises NotFound."""
        return self._pages(admin.list_tokens(user_id))

    def create_token(
        self, user_id: str, name: str, scopes: Sequence[Scope], *, expires_in_s: int | None = None
    ) -> CreatedPersonalToken:
        """Create a token of a service account; only this result has `token`. Raises NotFound."""
        return self._run(admin.create_token(user_id, name, scopes, expires_in_s))

    def revoke_token(self, user_id: str, token_id: str) -> None:
        """Revoke a token of an account immediately. Raises NotFound."""
        return self._run(admin.revoke_token(user_id, token_id))


class Webhooks(_Resource):
    """Webhooks: the server sends events to a URL."""

    def list(self) -> Iterator[Webhook]:
        """Iterate over the caller's webhooks."""
        return self._pages(webhooks.list_all())

    def get(self, webhook_id: str) -> Webhook:
        """Return a webhook. Raises NotFound."""
        return self._run(webhooks.get(webhook_id))

    def create(self, url: str, *, kinds: Sequence[str] = (), description: str = "") -> CreatedWebhook:
        """Create a webhook for `kinds` of events (default: all); only this result has `secret`.

        Raises: AddressRefused, TooManyWebhooks.
        """
        return self._run(webhooks.create(url, kinds, description))

    def change(
        self,
        webhook_id: str,
        *,
        url: str | None = None,
        kinds: Sequence[str] | None = None,
        description: str | None = None,
        is_enabled: bool | None = None,
    ) -> Webhook:
        """Change a webhook; None leaves a member alone. Raises NotFound, AddressRefused."""
        return self._run(
            webhooks.change(webhook_id, url=url, kinds=kinds, description=description, is_enabled=is_enabled)
        )

    def delete(self, webhook_id: str) -> None:
        """Delete a webhook and its pending deliveries. Raises NotFound."""
        return self._run(webhooks.delete(webhook_id))

    def rotate_secret(self, webhook_id: str) -> str:
        """Replace the secret of a webhook, and return the new one. Raises NotFound."""
        return self._run(webhooks.rotate_secret(webhook_id))

    def send_test(self, webhook_id: str) -> Delivery:
        """Send a test event. Raises NotFound."""
        return self._run(webhooks.send_test(webhook_id))

    def list_deliveries(self, webhook_id: str, *, state: DeliveryState | None = None) -> Iterator[Delivery]:
        """Iterate over the deliveries of a webhook, newest first. Raises NotFound."""
        return self._pages(webhooks.list_deliveries(webhook_id, state))

    def redeliver(self, webhook_id: str, delivery_id: str) -> Delivery:
        """Send a delivery again. Raises NotFound."""
        return self._run(webhooks.redeliver(webhook_id, delivery_id))

    def list_file_deliveries(self, file: FileRef) -> Iterator[Delivery]:
        """Iterate over the deliveries of the events of a file. Raises NotFound."""
        return self._pages_of(file, webhooks.list_file_deliveries)
