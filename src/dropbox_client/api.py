"""The typed Python SDK: one method for each operation of the HTTP API.

    with Client("https://files.example.org", TokenFile(path)) as client:
        client.sign_in("ada@example.org", password)
        for file in client.list_files("/photos"):
            ...

Every method that sends a request raises `ApiProblem` if the server refuses it, `Unreachable` if no response arrives in
time, `NotSignedIn` without a valid sign-in, `Stopped` after `close`. Transient failures are retried for `retry_for_s`,
Retry-After is obeyed, and an expired access token is renewed. A client is thread-safe.

`client.events(follow=True)` yields every change as it happens.

`transfer.upload.Uploader`, `transfer.download.download` and `transfer.download_folder.download_folder` transfer whole
files and folders through a client.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from dropbox_client.connection import Connection
from dropbox_client.errors import ApiProblem, CursorExpired, NotSignedIn, Stopped, Unreachable
from dropbox_client.feed import LONG_WAIT_S, EventReader
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

_UPLOADS_PER_PAGE = 100
_HITS_PER_PAGE = 100
_EVENTS_PER_PAGE = 500


@dataclass(frozen=True, slots=True)
class RetryLater:
    """The server is still working: repeat the request after `after_s` seconds."""

    after_s: float


class Client(Connection):
    """The API of one server as one user."""

    _capabilities: Capabilities | None = None

    # Accounts

    def register(self, email: str, password: str) -> None:
        """Create an account. Raises ApiProblem email-taken, registration-closed, invalid-request."""
        self._json("POST", "/v1/auth/register", body={"email": email, "password": password}, is_authenticated=False)

    def sign_in(self, email: str, password: str, otp: str | None = None) -> None:
        """Sign in and store the tokens. Raises ApiProblem invalid-credentials, second-factor-required."""
        form = _without_none(grant_type="password", username=email, password=password, otp=otp)
        document = self._json("POST", "/v1/auth/token", form=form, is_authenticated=False)
        with self._store.locked():
            self._store_tokens(email, document)

    def identity_provider(self) -> str | None:
        """Return the name of the server's identity provider; None if it has none."""
        document = self._json("GET", "/v1/auth/oidc", is_authenticated=False)
        return document["name"] if document["enabled"] else None

    def sign_in_with_code(self, code: str, verifier: str) -> None:
        """Exchange the code of a sign-in at the identity provider for tokens, and store them.

        Raises: ApiProblem oidc-failed, also if the code belongs to another verifier.
        """
        body = {"code": code, "verifier": verifier}
        document = self._json("POST", "/v1/auth/oidc/token", body=body, is_authenticated=False)
        with self._store.locked():
            self._store_tokens("", document)

    def use_token(self, token: str) -> None:
        """Store a personal access token in place of a sign-in. Raises NotSignedIn if the server rejects it."""
        self._tokens = tokens = Tokens(self.base_url, "", token, "")
        try:
            self.capabilities()
        except ApiProblem as problem:
            if problem.code != "forbidden":  # the token is valid but lacks files:read
                raise
        with self._store.locked():
            self._save(tokens)

    def sign_out(self) -> None:
        """End the sign-in here and on the server, if there is one. A personal access token is deleted only here."""
        with self._store.locked():
            tokens, self._tokens = self._load_tokens(), None
            self._store.save(None)
        if tokens and tokens.refresh_token:
            body = {"refresh_token": tokens.refresh_token}
            self._json("POST", "/v1/auth/logout", body=body, is_authenticated=False)

    def me(self) -> Me:
        """Return the account, its usage and its quota."""
        return Me.from_json(self._json("GET", "/v1/me"))

    # `password` is None for an account without one: the server then requires a sign-in of the last minutes.

    def change_password(self, current_password: str | None, new_password: str) -> None:
        """Change the password and end all other sign-ins. Raises ApiProblem invalid-credentials, weak-password."""
        body = _without_none(current_password=current_password, new_password=new_password)
        self._call("PUT", "/v1/me/password", body=body)

    def propose_second_factor(self, password: str | None) -> SecondFactorProposal:
        """Return a new secret for an authenticator app. Raises ApiProblem invalid-credentials, second-factor-state."""
        return SecondFactorProposal.from_json(
            self._json("POST", "/v1/me/second-factor", body=_without_none(password=password))
        )

    def confirm_second_factor(self, code: str) -> list[str]:
        """Turn the second factor on with a code of the app and return the recovery codes. Raises as above."""
        return self._post_for_codes("/v1/me/second-factor/confirm", {"code": code})

    def replace_recovery_codes(self, password: str | None, otp: str) -> list[str]:
        """Return new recovery codes, which invalidate the old ones. Raises as above."""
        return self._post_for_codes("/v1/me/second-factor/recovery-codes", _without_none(password=password, otp=otp))

    def _post_for_codes(self, path: str, body: Mapping[str, str]) -> list[str]:
        codes: list[str] = self._json("POST", path, body=body)["recovery_codes"]
        return codes

    def remove_second_factor(self, password: str | None, otp: str) -> None:
        """Turn the second factor off. Raises as above."""
        self._call("DELETE", "/v1/me/second-factor", body=_without_none(password=password, otp=otp))

    def list_sessions(self) -> Iterator[SignIn]:
        """Iterate over the sign-ins of the account, newest first."""
        return self._iterate("/v1/me/sessions", {}, SignIn.from_json)

    def end_session(self, session_id: str) -> None:
        """End a sign-in immediately. Raises ApiProblem not-found."""
        self._call("DELETE", f"/v1/me/sessions/{session_id}")

    def end_other_sessions(self) -> None:
        """End all other sign-ins."""
        self._call("DELETE", "/v1/me/sessions")

    def list_tokens(self) -> Iterator[ApiToken]:
        """Iterate over the valid personal access tokens, newest first."""
        return self._iterate("/v1/me/tokens", {}, ApiToken.from_json)

    def create_token(self, name: str, scopes: Sequence[str], expires_in_s: int | None = None) -> ApiToken:
        """Create a personal access token; only this result has `token`. Raises ApiProblem forbidden (scope `admin`)."""
        body = {"name": name, "scopes": list(scopes), "expires_in_s": expires_in_s}
        return ApiToken.from_json(self._json("POST", "/v1/me/tokens", body=body))

    def revoke_token(self, token_id: str) -> None:
        """Revoke a personal access token immediately. Raises ApiProblem not-found."""
        self._call("DELETE", f"/v1/me/tokens/{token_id}")

    def capabilities(self) -> Capabilities:
        """Return the limits of this server and its store; cached after the first request."""
        if self._capabilities is None:
            self._capabilities = Capabilities.from_json(self._json("GET", "/v1/capabilities"))
        return self._capabilities

    # Files

    def file(self, file_id: str) -> File:
        """Return a file or folder. Raises ApiProblem not-found."""
        return File.from_json(self._json("GET", f"/v1/files/{file_id}"))

    def file_by_path(self, path: str, *, below_id: str | None = None) -> File:
        """Return the file or folder at a path such as /photos/cat.jpg, in the caller's own tree or below a folder.

        Raises: ApiProblem not-found.
        """
        above = f"/v1/files/{below_id}" if below_id else "/v1/files"
        return File.from_json(self._json("GET", f"{above}/by-path", query={"path": path}))

    def list_files(
        self, path: str = "/", *, parent_id: str | None = None, order: Order = "name", recursive: bool = False
    ) -> Iterator[File]:
        """Iterate over the children of a folder, or with `recursive` over all descendants; `parent_id` replaces `path`.

        Raises: ApiProblem not-found, not-a-folder.
        """
        folder = {"parent_id": parent_id} if parent_id else {"path": path}
        wanted = folder | ({"order": order} if order != "name" else {})
        return self._iterate("/v1/files", wanted | ({"recursive": "true"} if recursive else {}), File.from_json)

    def search(self, text: str | None = None, *, page: int = _HITS_PER_PAGE, **filters: str | None) -> Iterator[File]:
        """Iterate over the files and folders whose names match, best first; `page` is the number per request.

        `filters` are the parameters of `GET /v1/search`: kind, content_type, path, min_bytes, modified_after, ...
        Raises: ApiProblem not-found (`path`), invalid-request.
        """
        return self._iterate("/v1/search", _without_none(q=text, limit=str(page), **filters), File.from_json)

    def download(self, file_id: str, revision_id: str | None = None) -> Download:
        """Return a signed URL for the content of the head or of `revision_id`. Raises ApiProblem not-found."""
        query = {"revision": revision_id} if revision_id else {}
        return Download.from_json(self._json("GET", f"/v1/files/{file_id}/download", query=query))

    # Changes. `if_match` is the expected ETag; if the file has another one: ApiProblem precondition-failed.

    def create_folder(self, path: str, *, parents: bool = False) -> File:
        """Create a folder. `parents` also creates missing ancestors and accepts an existing folder.

        Raises: ApiProblem not-found, not-a-folder (an ancestor), name-taken, invalid-name.
        """
        above, _, name = path.rstrip("/").rpartition("/")
        if parents:
            body = {"path": path, "on_conflict": "reuse"}
        else:
            body = {"name": name, "parent_path": above or "/"} if name else {"path": "/"}
        return File.from_json(self._json("POST", "/v1/folders", body=body, is_creation=True))

    def create_folder_in(self, parent_id: str, name: str, *, reuse: bool = False) -> File:
        """Create a folder in another; `reuse` accepts an existing one. Raises as `create_folder` does."""
        body = {"name": name, "parent_id": parent_id, "on_conflict": "reuse" if reuse else "fail"}
        return File.from_json(self._json("POST", "/v1/folders", body=body, is_creation=True))

    def move(
        self,
        file_id: str,
        *,
        name: str | None = None,
        parent_id: str | None = None,
        on_conflict: OnConflict = "fail",
        if_match: str | None = None,
    ) -> File:
        """Rename a file or folder, move it to another folder, or both.

        Raises: ApiProblem not-found, name-taken, into-itself, root-folder, processing-running, ...
        """
        body = _without_none(name=name, parent_id=parent_id, on_conflict=on_conflict)
        return File.from_json(self._json("PATCH", f"/v1/files/{file_id}", body=body, if_match=if_match))

    def copy(
        self,
        file_id: str,
        *,
        name: str | None = None,
        parent_id: str | None = None,
        on_conflict: OnConflict = "fail",
    ) -> File:
        """Copy a file or a folder tree on the server, without a transfer. Raises as `move` does."""
        body = _without_none(name=name, parent_id=parent_id, on_conflict=on_conflict)
        return File.from_json(self._json("POST", f"/v1/files/{file_id}/copy", body=body, is_creation=True))

    def trash(self, file_id: str, *, force: bool = False, if_match: str | None = None) -> None:
        """Move a file or a folder tree to the trash; `force` overrides processing-running.

        Raises: ApiProblem not-found, root-folder, processing-running (`file_ids`).
        """
        query = {"force": "true"} if force else {}
        self._call("DELETE", f"/v1/files/{file_id}", query=query, if_match=if_match)

    def list_trash(self) -> Iterator[File]:
        """Iterate over the trash, last deleted first."""
        return self._iterate("/v1/trash", {}, File.from_json)

    def restore(self, file_id: str, *, parent_path: str | None = None) -> File:
        """Restore from the trash to the old folder or to `parent_path`; a taken name gets a number.

        Raises: ApiProblem not-found (the trashed file, or the folder), parent-gone, not-a-folder.
        """
        return File.from_json(
            self._json("POST", f"/v1/files/{file_id}/restore", body=_without_none(parent_path=parent_path))
        )

    def purge(self, file_id: str) -> None:
        """Permanently delete a file or folder in the trash. Raises ApiProblem not-found."""
        self._call("DELETE", f"/v1/trash/{file_id}")

    def empty_trash(self) -> None:
        """Permanently delete the contents of the trash."""
        self._call("DELETE", "/v1/trash")

    def revisions(self, file_id: str) -> Iterator[Revision]:
        """Iterate over the revisions of a file, newest first. Raises ApiProblem not-found, not-a-file."""
        return self._iterate(f"/v1/files/{file_id}/revisions", {}, Revision.from_json)

    def restore_revision(self, file_id: str, revision_id: str) -> File:
        """Add a new head revision with the content of an older one. Raises ApiProblem not-found, not-a-file."""
        return File.from_json(
            self._json("POST", f"/v1/files/{file_id}/revisions/{revision_id}/restore", is_creation=True)
        )

    # Sharing

    def list_grants(self, file_id: str) -> Iterator[Grant]:
        """Iterate over the grants of a file or folder, own and inherited. Raises ApiProblem not-found."""
        return self._iterate(f"/v1/files/{file_id}/grants", {}, Grant.from_json)

    def grant(self, file_id: str, email: str, role: GrantedRole) -> Grant:
        """Share with an address, or change its role. Raises ApiProblem not-found, root-folder, cannot-share-with."""
        body = {"email": email, "role": role}
        return Grant.from_json(self._json("POST", f"/v1/files/{file_id}/grants", body=body, is_creation=True))

    def revoke_grant(self, file_id: str, grant_id: str) -> None:
        """Revoke a grant. Raises ApiProblem not-found."""
        self._call("DELETE", f"/v1/files/{file_id}/grants/{grant_id}")

    def shared_with_me(self) -> Iterator[File]:
        """Iterate over the files and folders shared with the caller, last shared first."""
        return self._iterate("/v1/shared-with-me", {}, File.from_json)

    def leave(self, file_id: str) -> None:
        """Give up the caller's access to a shared file or folder. Raises ApiProblem not-found."""
        self._call("DELETE", f"/v1/shared-with-me/{file_id}")

    def list_links(self, file_id: str) -> Iterator[Link]:
        """Iterate over the links to a file or folder, newest first. Raises ApiProblem not-found."""
        return self._iterate(f"/v1/files/{file_id}/links", {}, Link.from_json)

    def create_link(
        self,
        file_id: str,
        mode: LinkMode,
        *,
        password: str | None = None,
        expires_at: datetime | None = None,
        max_downloads: int | None = None,
    ) -> Link:
        """Create a public link that allows `mode`. Raises ApiProblem not-found, root-folder, not-a-folder."""
        body = {
            "mode": mode,
            "password": password,
            "expires_at": expires_at and expires_at.isoformat(),
            "max_downloads": max_downloads,
        }
        return Link.from_json(self._json("POST", f"/v1/files/{file_id}/links", body=body, is_creation=True))

    def revoke_link(self, link_id: str) -> None:
        """Revoke a link immediately and permanently. Raises ApiProblem not-found."""
        self._call("DELETE", f"/v1/links/{link_id}")

    # Events

    def events(
        self, cursor: str | None = None, *, since: datetime | None = None, follow: bool = False
    ) -> Iterator[Event]:
        """Iterate over the events after a cursor, or since a time; with neither, from now on.

        With `follow` the iterator waits for new events without end. It yields each event once across restarts of the
        server, network failures and token renewals; `retry_for_s` limits only the first request. Store
        `Event.cursor` to resume later; it is valid as long as the server keeps the events after it.

        Raises: CursorExpired if the server no longer keeps these events; ApiProblem invalid-cursor.
        """
        if cursor is None and since is None:
            cursor = self.event_cursor()
        return self._read_events(EventReader(self, cursor, since=since), follow=follow)

    def _read_events(self, reader: EventReader, *, follow: bool) -> Iterator[Event]:
        while follow or reader.has_more:
            yield from reader.read(LONG_WAIT_S if follow else 0)

    def event_cursor(self) -> str:
        """Return the current cursor. To mirror a tree, take the cursor before listing it."""
        cursor: str = self._json("GET", "/v1/events/cursor")["cursor"]
        return cursor

    def event_page(
        self,
        cursor: str | None = None,
        *,
        since: datetime | None = None,
        limit: int = _EVENTS_PER_PAGE,
        wait_s: float = 0,
    ) -> EventPage:
        """Return the next events after a cursor, or since a time; if there are none, wait up to `wait_s` (at most 90).

        Raises: CursorExpired; ApiProblem invalid-cursor.
        """
        begin = _without_none(cursor=cursor, since=since.isoformat() if since else None)
        query = {"limit": str(limit), "wait_s": f"{wait_s:.3g}", **begin}
        try:
            return EventPage.from_json(self._json("GET", "/v1/events", query=query, wait_s=wait_s))
        except ApiProblem as problem:
            if problem.code == "cursor-expired":
                raise CursorExpired.from_problem(problem) from problem
            raise

    # Uploads

    def find_fingerprint(self, fingerprint: str) -> FingerprintHit | None:
        """Return the caller's file or upload with this content; None if there is none."""
        try:
            return FingerprintHit.from_json(self._json("GET", f"/v1/fingerprints/{fingerprint}"))
        except ApiProblem as problem:
            if problem.status == 404:
                return None
            raise

    def start_upload(self, new: NewUpload) -> StartedUpload:
        """Start an upload session, join a live one, or get the file if the owner already stores the content.

        A session without a fingerprint needs `bind_fingerprint` before `complete`. A `single` upload includes its
        signed part.

        Raises: ApiProblem fingerprint-required (`uploads`: own unbound sessions of that size), quota-exceeded,
        name-taken, not-a-folder, revision-conflict, invalid-name, size-not-allowed, ...
        """
        response = self._call("POST", "/v1/uploads", body=new.to_json(), is_creation=True)
        return replace(StartedUpload.from_json(json.loads(response.body)), is_new=response.status == 201)

    def bind_fingerprint(self, upload_id: str, fingerprint: str) -> StartedUpload:
        """Bind the hash of the whole content to a session. Continue with the session or file of the result.

        Raises: ApiProblem fingerprint-mismatch if another fingerprint is bound.
        """
        path = f"/v1/uploads/{upload_id}/fingerprint"
        return StartedUpload.from_json(self._json("PUT", path, body={"fingerprint": fingerprint}))

    def upload(self, upload_id: str) -> Upload:
        """Return a session as last recorded by the server. Raises ApiProblem not-found."""
        return Upload.from_json(self._json("GET", f"/v1/uploads/{upload_id}"))

    def list_uploads(self, *, state: str | None = None, fingerprint: str | None = None) -> Iterator[Upload]:
        """Iterate over the caller's sessions."""
        query = {"state": state, "fingerprint": fingerprint, "limit": str(_UPLOADS_PER_PAGE)}
        return self._iterate("/v1/uploads", _without_none(**query), Upload.from_json)

    def upload_chunks(self, upload_id: str) -> Iterator[Chunk]:
        """Iterate over the chunks of a session by number, with their registered hashes."""
        return self._iterate(f"/v1/uploads/{upload_id}/chunks", {}, Chunk.from_json)

    def sign_parts(self, upload_id: str, hashes: Mapping[int, str]) -> list[SignedPart]:
        """Register the SHA-256 (hex) of 1..1000 chunks by number and return a signed URL for each.

        Raises: ApiProblem chunk-mismatch if a chunk is registered with another hash; upload-ended, upload-expired.
        """
        body = {"parts": [{"number": number, "sha256": sha256} for number, sha256 in hashes.items()]}
        document = self._json("POST", f"/v1/uploads/{upload_id}/parts", body=body)
        return [SignedPart.from_json(item) for item in document["parts"]]

    def reconcile(self, upload_id: str) -> Upload:
        """Make the server compare the session with the parts in the store, and return it."""
        return Upload.from_json(self._json("POST", f"/v1/uploads/{upload_id}/reconcile"))

    def complete(self, upload_id: str) -> Completed | RetryLater:
        """Turn a fully uploaded session into a file. A repeated call returns the same file.

        Raises: ApiProblem parts-missing (`missing`, `mismatched`: ranges), upload-completing, upload-ended,
        upload-expired, upload-failed, destination-refused (`problems`).
        """
        response = self._call("POST", f"/v1/uploads/{upload_id}/complete")
        if response.status == 202:
            return RetryLater(response.retry_after_s() or 1)
        return Completed.from_json(json.loads(response.body))

    def abort_upload(self, upload_id: str) -> None:
        """Abort a session and free its parts and reservation. Raises ApiProblem not-found, upload-ended."""
        self._call("DELETE", f"/v1/uploads/{upload_id}")

    def start_batch(self, items: Sequence[NewUpload]) -> list[StartedUpload]:
        """Start many small uploads (at most `capabilities().batch_items`); a result may be a `problem`."""
        body = {"items": [item.to_json() for item in items]}
        document = self._json("POST", "/v1/uploads/batch", body=body, is_creation=True)
        return [StartedUpload.from_json(item) for item in document["items"]]

    def complete_batch(self, upload_ids: Sequence[str]) -> list[CompletedItem]:
        """Complete many uploads in the order of `upload_ids`; each result is a `file` or a `problem`."""
        document = self._json("POST", "/v1/uploads/batch/complete", body={"upload_ids": list(upload_ids)})
        return [CompletedItem.from_json(item) for item in document["items"]]


def _without_none(**members: str | None) -> dict[str, str]:
    """Return the members that are not None: the server leaves members alone that a request omits."""
    return {name: value for name, value in members.items() if value is not None}
