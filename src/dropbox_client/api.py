"""The typed Python SDK: one method for each operation of the HTTP API.

    with Client("https://files.example.org", TokenFile(path)) as client:
        client.sign_in("ada@example.org", password)
        for file in client.list_files("/photos"):
            ...

Every method that talks to the server raises `ApiProblem` when it refuses, `Unreachable` when it does not answer in
time, `NotSignedIn` when there is no valid sign-in, `Stopped` after `close`. What can be repeated is repeated for
`patience_s`, with Retry-After obeyed; an access token that ran out is renewed in between. A client is thread-safe.

`client.events(follow=True)` tells of every change as it happens.

To send or fetch whole files and folders use `upload.Uploader`, `download.download` and `folder.download_folder`, which
are built on this.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from dropbox_client.connection import Connection
from dropbox_client.errors import ApiProblem, CursorExpired, NotSignedIn, Stopped, Unreachable
from dropbox_client.feed import LONG_WAIT_S, Reader
from dropbox_client.models import (
    ApiToken,
    Capabilities,
    Chunk,
    Completed,
    CompletedItem,
    Destination,
    Download,
    Event,
    EventPage,
    File,
    FingerprintHit,
    Grant,
    GrantedRole,
    Link,
    LinkMode,
    Me,
    NewUpload,
    OnConflict,
    Order,
    Revision,
    SecondFactorProposal,
    SignedPart,
    SignIn,
    StartedUpload,
    Upload,
)
from dropbox_client.tokens import Tokens

__all__ = [
    "ApiProblem",
    "Client",
    "CursorExpired",
    "Destination",
    "NewUpload",
    "NotSignedIn",
    "RetryLater",
    "Stopped",
    "Unreachable",
]

_PAGE_OF_UPLOADS = 100
_PAGE_OF_SEARCH = 100
_PAGE_OF_EVENTS = 500


@dataclass(frozen=True, slots=True)
class RetryLater:
    """The server is at work on it: ask again after so many seconds."""

    after_s: float


class Client(Connection):
    """One server, as one user."""

    _capabilities: Capabilities | None = None

    # Accounts

    def register(self, email: str, password: str) -> None:
        """Make an account. Raises ApiProblem email-taken, registration-closed, invalid-request."""
        self._json("POST", "/v1/auth/register", body={"email": email, "password": password}, signed_in=False)

    def sign_in(self, email: str, password: str, otp: str | None = None) -> None:
        """Get tokens and keep them. Raises ApiProblem invalid-credentials, second-factor-required (without `otp`)."""
        form = _members(grant_type="password", username=email, password=password, otp=otp)
        document = self._json("POST", "/v1/auth/token", form=form, signed_in=False)
        with self._store.locked():
            self._keep(email, document)

    def identity_provider(self) -> str | None:
        """Return the name of the provider at which people of this server can sign in; None when there is none."""
        document = self._json("GET", "/v1/auth/oidc", signed_in=False)
        return document["name"] if document["enabled"] else None

    def sign_in_with_code(self, code: str, verifier: str) -> None:
        """Get tokens for what the identity provider's sign-in came back with, and keep them.

        Raises: ApiProblem oidc-failed, also when the code was not made for this verifier.
        """
        body = {"code": code, "verifier": verifier}
        document = self._json("POST", "/v1/auth/oidc/token", body=body, signed_in=False)
        with self._store.locked():
            self._keep("", document)

    def use_token(self, token: str) -> None:
        """Keep a personal access token in place of a sign-in. Raises NotSignedIn when the server does not take it."""
        self._tokens = tokens = Tokens(self.base_url, "", token, "")
        try:
            self.capabilities()
        except ApiProblem as problem:
            if problem.code != "forbidden":  # it is good, if not for reading files
                raise
        with self._store.locked():
            self._save(tokens)

    def sign_out(self) -> None:
        """End the sign-in here and on the server; without one nothing happens. An access token is only forgotten."""
        with self._store.locked():
            tokens, self._tokens = self._load_tokens(), None
            self._store.save(None)
        if tokens and tokens.refresh_token:
            body = {"refresh_token": tokens.refresh_token}
            self._json("POST", "/v1/auth/logout", body=body, signed_in=False)

    def me(self) -> Me:
        """Return the account, its usage and its quota."""
        return Me.of(self._json("GET", "/v1/me"))

    # Where an account has no password, None stands for it: then it takes a sign-in of the last minutes.

    def change_password(self, current_password: str | None, new_password: str) -> None:
        """Replace the password; all other sign-ins end. Raises ApiProblem invalid-credentials, weak-password."""
        body = _members(current_password=current_password, new_password=new_password)
        self._call("PUT", "/v1/me/password", body=body)

    def propose_second_factor(self, password: str | None) -> SecondFactorProposal:
        """Get a secret for an authenticator app. Raises ApiProblem invalid-credentials, second-factor-state."""
        return SecondFactorProposal.of(self._json("POST", "/v1/me/second-factor", body=_members(password=password)))

    def confirm_second_factor(self, code: str) -> list[str]:
        """Turn the second factor on with a code of the app; return the recovery codes. Raises as above."""
        return self._recovery_codes("/v1/me/second-factor/confirm", {"code": code})

    def replace_recovery_codes(self, password: str | None, otp: str) -> list[str]:
        """Return new recovery codes; the old ones are void. Raises as above."""
        return self._recovery_codes("/v1/me/second-factor/recovery-codes", _members(password=password, otp=otp))

    def _recovery_codes(self, path: str, body: Mapping[str, str]) -> list[str]:
        codes: list[str] = self._json("POST", path, body=body)["recovery_codes"]
        return codes

    def remove_second_factor(self, password: str | None, otp: str) -> None:
        """Turn the second factor off. Raises as above."""
        self._call("DELETE", "/v1/me/second-factor", body=_members(password=password, otp=otp))

    def list_sessions(self) -> Iterator[SignIn]:
        """Iterate over where the account is signed in, newest first."""
        return self._pages("/v1/me/sessions", {}, SignIn.of)

    def end_session(self, session_id: str) -> None:
        """End a sign-in, at once. Raises ApiProblem not-found."""
        self._call("DELETE", f"/v1/me/sessions/{session_id}")

    def end_other_sessions(self) -> None:
        """End every sign-in but this one."""
        self._call("DELETE", "/v1/me/sessions")

    def list_tokens(self) -> Iterator[ApiToken]:
        """Iterate over the personal access tokens that are good, newest first."""
        return self._pages("/v1/me/tokens", {}, ApiToken.of)

    def create_token(self, name: str, scopes: Sequence[str], expires_in_s: int | None = None) -> ApiToken:
        """Make an access token; only this answer has `token`. Raises ApiProblem forbidden (the scope `admin`)."""
        body = {"name": name, "scopes": list(scopes), "expires_in_s": expires_in_s}
        return ApiToken.of(self._json("POST", "/v1/me/tokens", body=body))

    def revoke_token(self, token_id: str) -> None:
        """End an access token, at once. Raises ApiProblem not-found."""
        self._call("DELETE", f"/v1/me/tokens/{token_id}")

    def capabilities(self) -> Capabilities:
        """Return the limits of this server and its store; asked for once."""
        if self._capabilities is None:
            self._capabilities = Capabilities.of(self._json("GET", "/v1/capabilities"))
        return self._capabilities

    # Files

    def file(self, file_id: str) -> File:
        """Return a file or folder. Raises ApiProblem not-found."""
        return File.of(self._json("GET", f"/v1/files/{file_id}"))

    def file_by_path(self, path: str, *, below_id: str | None = None) -> File:
        """Return what stands at a path such as /photos/cat.jpg, of one's own tree or below a folder.

        Raises: ApiProblem not-found.
        """
        above = f"/v1/files/{below_id}" if below_id else "/v1/files"
        return File.of(self._json("GET", f"{above}/by-path", query={"path": path}))

    def list_files(
        self, path: str = "/", *, parent_id: str | None = None, order: Order = "name", recursive: bool = False
    ) -> Iterator[File]:
        """Iterate over the children of a folder, or all below it, a page at a time; `parent_id` replaces `path`.

        Raises: ApiProblem not-found, not-a-folder.
        """
        folder = {"parent_id": parent_id} if parent_id else {"path": path}
        wanted = folder | ({"order": order} if order != "name" else {})
        return self._pages("/v1/files", wanted | ({"recursive": "true"} if recursive else {}), File.of)

    def search(self, text: str | None = None, *, page: int = _PAGE_OF_SEARCH, **filters: str | None) -> Iterator[File]:
        """Iterate over what has these words in its name, best first, `page` at a time.

        `filters` are those of `GET /v1/search`: kind, content_type, path, min_bytes, max_bytes, modified_after, ...
        Raises: ApiProblem not-found (`path`), invalid-request.
        """
        return self._pages("/v1/search", _members(q=text, limit=str(page), **filters), File.of)

    def download(self, file_id: str, revision_id: str | None = None) -> Download:
        """Return a URL for the content of a file, of its head or of one revision. Raises ApiProblem not-found."""
        query = {"revision": revision_id} if revision_id else {}
        return Download.of(self._json("GET", f"/v1/files/{file_id}/download", query=query))

    # Changes. `if_match` is the ETag that was seen: when it is not that any more, ApiProblem precondition-failed.

    def create_folder(self, path: str, *, parents: bool = False) -> File:
        """Make a folder, and with `parents` all that are missing above it; then one that is there is fine, too.

        Raises: ApiProblem not-found, not-a-folder (what is above it), name-taken, invalid-name.
        """
        above, _, name = path.rstrip("/").rpartition("/")
        if parents:
            body = {"path": path, "on_conflict": "reuse"}
        else:
            body = {"name": name, "parent_path": above or "/"} if name else {"path": "/"}
        return File.of(self._json("POST", "/v1/folders", body=body, creates=True))

    def create_folder_in(self, parent_id: str, name: str, *, reuse: bool = False) -> File:
        """Make a folder in another; with `reuse` one that is there is fine. Raises as `create_folder` does."""
        body = {"name": name, "parent_id": parent_id, "on_conflict": "reuse" if reuse else "fail"}
        return File.of(self._json("POST", "/v1/folders", body=body, creates=True))

    def move(
        self,
        file_id: str,
        *,
        name: str | None = None,
        parent_id: str | None = None,
        on_conflict: OnConflict = "fail",
        if_match: str | None = None,
    ) -> File:
        """Rename a file or folder, move it to another folder, or both at once.

        Raises: ApiProblem not-found, name-taken, into-itself, root-folder, processing-running, ...
        """
        body = _members(name=name, parent_id=parent_id, on_conflict=on_conflict)
        return File.of(self._json("PATCH", f"/v1/files/{file_id}", body=body, if_match=if_match))

    def copy(
        self,
        file_id: str,
        *,
        name: str | None = None,
        parent_id: str | None = None,
        on_conflict: OnConflict = "fail",
    ) -> File:
        """Copy a file, or a folder with all that is in it; no bytes move. Raises as `move` does."""
        body = _members(name=name, parent_id=parent_id, on_conflict=on_conflict)
        return File.of(self._json("POST", f"/v1/files/{file_id}/copy", body=body, creates=True))

    def trash(self, file_id: str, *, force: bool = False, if_match: str | None = None) -> None:
        """Put a file, or a folder with all that is in it, into the trash; `force`: even while it is processed.

        Raises: ApiProblem not-found, root-folder, processing-running (`file_ids`).
        """
        query = {"force": "true"} if force else {}
        self._call("DELETE", f"/v1/files/{file_id}", query=query, if_match=if_match)

    def list_trash(self) -> Iterator[File]:
        """Iterate over what was put into the trash, last deleted first."""
        return self._pages("/v1/trash", {}, File.of)

    def restore(self, file_id: str, *, parent_path: str | None = None) -> File:
        """Take something out of the trash, to its old place or into another folder, beside what has its name now.

        Raises: ApiProblem not-found (in the trash, or the folder), parent-gone, not-a-folder.
        """
        return File.of(self._json("POST", f"/v1/files/{file_id}/restore", body=_members(parent_path=parent_path)))

    def purge(self, file_id: str) -> None:
        """Delete for good what is in the trash. Raises ApiProblem not-found."""
        self._call("DELETE", f"/v1/trash/{file_id}")

    def empty_trash(self) -> None:
        """Delete for good all that is in the trash."""
        self._call("DELETE", "/v1/trash")

    def revisions(self, file_id: str) -> Iterator[Revision]:
        """Iterate over the revisions of a file, newest first. Raises ApiProblem not-found, not-a-file."""
        return self._pages(f"/v1/files/{file_id}/revisions", {}, Revision.of)

    def restore_revision(self, file_id: str, revision_id: str) -> File:
        """Make an older revision's content the newest again. Raises ApiProblem not-found, not-a-file."""
        return File.of(self._json("POST", f"/v1/files/{file_id}/revisions/{revision_id}/restore", creates=True))

    # Sharing

    def list_grants(self, file_id: str) -> Iterator[Grant]:
        """Iterate over with whom something is shared, by itself or with a folder above. Raises ApiProblem not-found."""
        return self._pages(f"/v1/files/{file_id}/grants", {}, Grant.of)

    def grant(self, file_id: str, email: str, role: GrantedRole) -> Grant:
        """Share with somebody, or change their role. Raises ApiProblem not-found, root-folder, cannot-share-with."""
        body = {"email": email, "role": role}
        return Grant.of(self._json("POST", f"/v1/files/{file_id}/grants", body=body, creates=True))

    def revoke_grant(self, file_id: str, grant_id: str) -> None:
        """Stop sharing with somebody. Raises ApiProblem not-found."""
        self._call("DELETE", f"/v1/files/{file_id}/grants/{grant_id}")

    def shared_with_me(self) -> Iterator[File]:
        """Iterate over what others share with the caller, what was shared last first."""
        return self._pages("/v1/shared-with-me", {}, File.of)

    def leave(self, file_id: str) -> None:
        """Give up what somebody shares with the caller. Raises ApiProblem not-found."""
        self._call("DELETE", f"/v1/shared-with-me/{file_id}")

    def list_links(self, file_id: str) -> Iterator[Link]:
        """Iterate over the links to something, newest first. Raises ApiProblem not-found."""
        return self._pages(f"/v1/files/{file_id}/links", {}, Link.of)

    def create_link(
        self,
        file_id: str,
        mode: LinkMode,
        *,
        password: str | None = None,
        expires_at: datetime | None = None,
        max_downloads: int | None = None,
    ) -> Link:
        """Make a link: whoever has it has what `mode` says. Raises ApiProblem not-found, root-folder, not-a-folder."""
        body = {
            "mode": mode,
            "password": password,
            "expires_at": expires_at and expires_at.isoformat(),
            "max_downloads": max_downloads,
        }
        return Link.of(self._json("POST", f"/v1/files/{file_id}/links", body=body, creates=True))

    def revoke_link(self, link_id: str) -> None:
        """End a link, at once and for good. Raises ApiProblem not-found."""
        self._call("DELETE", f"/v1/links/{link_id}")

    # Events

    def events(
        self, cursor: str | None = None, *, since: datetime | None = None, follow: bool = False
    ) -> Iterator[Event]:
        """Iterate over what happened after a cursor, or since a time; with neither, from now on.

        With `follow` it never ends: it waits for what happens next, through restarts of the server, cuts of the network
        and new tokens, and yields each event once. Only before the first answer does it give up after `patience_s`.
        A cursor is good for as long as the journal; keep `Event.cursor` to go on from there another day.

        Raises: CursorExpired when the journal does not reach back that far; ApiProblem invalid-cursor.
        """
        if cursor is None and since is None:
            cursor = self.event_cursor()
        return self._events(Reader(self, cursor, since=since), follow=follow)

    def _events(self, reader: Reader, *, follow: bool) -> Iterator[Event]:
        while follow or reader.has_more:
            yield from reader.read(LONG_WAIT_S if follow else 0)

    def event_cursor(self) -> str:
        """Return the cursor of this moment. For a copy of everything: take it, list, then read events from it."""
        cursor: str = self._json("GET", "/v1/events/cursor")["cursor"]
        return cursor

    def event_page(
        self,
        cursor: str | None = None,
        *,
        since: datetime | None = None,
        limit: int = _PAGE_OF_EVENTS,
        wait_s: float = 0,
    ) -> EventPage:
        """Return the next events after a cursor, or since a time; when there are none, wait up to 90 s for one.

        Raises: CursorExpired; ApiProblem invalid-cursor.
        """
        begin = _members(cursor=cursor, since=since.isoformat() if since else None)
        query = {"limit": str(limit), "wait_s": f"{wait_s:.3g}", **begin}
        try:
            return EventPage.of(self._json("GET", "/v1/events", query=query, wait_s=wait_s))
        except ApiProblem as problem:
            if problem.code == "cursor-expired":
                raise CursorExpired.from_problem(problem) from problem
            raise

    # Uploads

    def find_fingerprint(self, fingerprint: str) -> FingerprintHit | None:
        """Return what the caller already has of this content, None when nothing."""
        try:
            return FingerprintHit.of(self._json("GET", f"/v1/fingerprints/{fingerprint}"))
        except ApiProblem as problem:
            if problem.status == 404:
                return None
            raise

    def start_upload(self, new: NewUpload) -> StartedUpload:
        """Start a session, find the one that is alive, or learn that there is nothing to send.

        Without a fingerprint the session must be given one by `bind_fingerprint` before `complete`. A `single` upload
        comes with its signed part.

        Raises: ApiProblem fingerprint-required (`uploads`: own unbound sessions of that size), quota-exceeded,
        name-taken, not-a-folder, revision-conflict, invalid-name, size-not-allowed, ...
        """
        reply = self._call("POST", "/v1/uploads", body=new.json(), creates=True)
        return replace(StartedUpload.of(json.loads(reply.body)), is_new=reply.status == 201)

    def bind_fingerprint(self, upload_id: str, fingerprint: str) -> StartedUpload:
        """Say what an unbound session's content hashes to; go on with the session or file of the answer.

        Raises: ApiProblem fingerprint-mismatch when it is bound to another.
        """
        path = f"/v1/uploads/{upload_id}/fingerprint"
        return StartedUpload.of(self._json("PUT", path, body={"fingerprint": fingerprint}))

    def upload(self, upload_id: str) -> Upload:
        """Return a session as the server last knew it. Raises ApiProblem not-found."""
        return Upload.of(self._json("GET", f"/v1/uploads/{upload_id}"))

    def list_uploads(self, *, state: str | None = None, fingerprint: str | None = None) -> Iterator[Upload]:
        """Iterate over the caller's sessions."""
        query = {"state": state, "fingerprint": fingerprint, "limit": str(_PAGE_OF_UPLOADS)}
        return self._pages("/v1/uploads", _members(**query), Upload.of)

    def upload_chunks(self, upload_id: str) -> Iterator[Chunk]:
        """Iterate over the chunks of a session by number, with the hashes registered so far."""
        return self._pages(f"/v1/uploads/{upload_id}/chunks", {}, Chunk.of)

    def sign_parts(self, upload_id: str, hashes: Mapping[int, str]) -> list[SignedPart]:
        """Register the SHA-256 (hex) of 1..1000 chunks by number and return a URL for each.

        Raises: ApiProblem chunk-mismatch when a chunk was registered with another hash; upload-ended, upload-expired.
        """
        body = {"parts": [{"number": number, "sha256": sha256} for number, sha256 in hashes.items()]}
        document = self._json("POST", f"/v1/uploads/{upload_id}/parts", body=body)
        return [SignedPart.of(item) for item in document["parts"]]

    def reconcile(self, upload_id: str) -> Upload:
        """Make the server ask the store which parts it has, and return the session."""
        return Upload.of(self._json("POST", f"/v1/uploads/{upload_id}/reconcile"))

    def complete(self, upload_id: str) -> Completed | RetryLater:
        """Turn a session whose chunks are all there into a file. Repeating it returns the same file.

        Raises: ApiProblem parts-missing (`missing`, `mismatched`: ranges), upload-completing, upload-ended,
        upload-expired, upload-failed, destination-refused (`problems`).
        """
        reply = self._call("POST", f"/v1/uploads/{upload_id}/complete")
        if reply.status == 202:
            return RetryLater(reply.retry_after_s() or 1)
        return Completed.of(json.loads(reply.body))

    def abort_upload(self, upload_id: str) -> None:
        """End a session and free what it holds. Raises ApiProblem not-found, upload-ended."""
        self._call("DELETE", f"/v1/uploads/{upload_id}")

    def start_batch(self, items: Sequence[NewUpload]) -> list[StartedUpload]:
        """Start many small uploads (at most `capabilities().batch_items`); each answer may be a `problem` instead."""
        body = {"items": [item.json() for item in items]}
        document = self._json("POST", "/v1/uploads/batch", body=body, creates=True)
        return [StartedUpload.of(item) for item in document["items"]]

    def complete_batch(self, upload_ids: Sequence[str]) -> list[CompletedItem]:
        """Complete many uploads, in the order of `upload_ids`; each answer is a `file` or a `problem`."""
        document = self._json("POST", "/v1/uploads/batch/complete", body={"upload_ids": list(upload_ids)})
        return [CompletedItem.of(item) for item in document["items"]]


def _members(**members: str | None) -> dict[str, str]:
    """Return what is said; what is left out of a request stays as it is."""
    return {name: value for name, value in members.items() if value is not None}
