"""The typed Python SDK: one method for each operation of the HTTP API.

    with Client("https://files.example.org", TokenFile(path)) as client:
        client.sign_in("ada@example.org", password)
        for file in client.list_files("/photos"):
            ...

Every method that talks to the server raises `ApiProblem` when it refuses, `Unreachable` when it does not answer in
time, `NotSignedIn` when there is no valid sign-in, `Stopped` after `close`. What can be repeated is repeated for
`patience_s`, with Retry-After obeyed; an access token that ran out is renewed in between. A client is thread-safe.

To send or fetch whole files and folders use `upload.Uploader`, `download.download` and `folder.download_folder`, which
are built on this.
"""

import json
import threading
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from types import TracebackType
from typing import Any, Self, TypeVar
from urllib.parse import quote, urlencode

from dropbox_client.errors import ApiProblem, NotSignedIn, Stopped, Unreachable
from dropbox_client.retry import Backoff, Patience
from dropbox_client.shapes import (
    Capabilities,
    Chunk,
    Completed,
    CompletedItem,
    Destination,
    Download,
    File,
    FingerprintHit,
    Me,
    NewUpload,
    OnConflict,
    Order,
    Revision,
    SignedPart,
    StartedUpload,
    Upload,
)
from dropbox_client.tokens import Tokens, TokenStore
from dropbox_client.wire import Reply, Wire

__all__ = [
    "ApiProblem",
    "Client",
    "Destination",
    "NewUpload",
    "NotSignedIn",
    "RetryLater",
    "Stopped",
    "Unreachable",
]

_PASSING = frozenset({429, 502, 503, 504})
_BUG_TRIES = 3
"""500 is more often a bug than a moment's weakness."""
_PAGE = 1000
_PAGE_OF_UPLOADS = 100
_PAGE_OF_SEARCH = 100

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class RetryLater:
    """The server is at work on it: ask again after so many seconds."""

    after_s: float


class Client:
    """A connection to one server, as one user. A context manager: leaving it closes it."""

    def __init__(self, base_url: str, tokens: TokenStore, *, wire: Wire | None = None, patience_s: float = 60) -> None:
        """Talk to `base_url` (such as https://files.example.org) with the tokens that `tokens` holds for it.

        `patience_s` is how long a request is repeated before its last failure is raised.
        """
        self.base_url = base_url.rstrip("/")
        self.patience_s = patience_s
        self.wire = wire or Wire()
        self.stopping = threading.Event()
        self._store = tokens
        self._tokens = self._load_tokens()
        self._capabilities: Capabilities | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """End every request under way; each raises Stopped. Any thread may call it."""
        self.stopping.set()
        self.wire.close()

    # Accounts

    def register(self, email: str, password: str) -> None:
        """Make an account. Raises ApiProblem email-taken, registration-closed, invalid-request."""
        self._json("POST", "/v1/auth/register", body={"email": email, "password": password}, signed_in=False)

    def sign_in(self, email: str, password: str) -> None:
        """Get tokens and keep them. Raises ApiProblem invalid-credentials."""
        form = {"grant_type": "password", "username": email, "password": password}
        document = self._json("POST", "/v1/auth/token", form=form, signed_in=False)
        with self._store.locked():
            self._keep(email, document)

    def sign_out(self) -> None:
        """End the sign-in here and on the server; without one nothing happens."""
        with self._store.locked():
            tokens, self._tokens = self._load_tokens(), None
            self._store.save(None)
        if tokens:
            body = {"refresh_token": tokens.refresh_token}
            self._json("POST", "/v1/auth/logout", body=body, signed_in=False)

    def me(self) -> Me:
        """Return the account, its usage and its quota."""
        return Me.of(self._json("GET", "/v1/me"))

    def capabilities(self) -> Capabilities:
        """Return the limits of this server and its store; asked for once."""
        if self._capabilities is None:
            self._capabilities = Capabilities.of(self._json("GET", "/v1/capabilities"))
        return self._capabilities

    # Files

    def file(self, file_id: str) -> File:
        """Return a file or folder. Raises ApiProblem not-found."""
        return File.of(self._json("GET", f"/v1/files/{file_id}"))

    def file_by_path(self, path: str) -> File:
        """Return what stands at an absolute path such as /photos/cat.jpg. Raises ApiProblem not-found."""
        return File.of(self._json("GET", "/v1/files/by-path", query={"path": path}))

    def list_files(self, path: str = "/", *, order: Order = "name", recursive: bool = False) -> Iterator[File]:
        """Iterate over the children of a folder, or all below it, a page at a time.

        Raises: ApiProblem not-found, not-a-folder.
        """
        wanted = {"path": path} | ({"order": order} if order != "name" else {})
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

    # Requests

    def _pages(self, path: str, query: Mapping[str, str], read: Callable[[Any], T]) -> Iterator[T]:
        cursor: str | None = None
        while True:
            page = {"limit": str(_PAGE), **query, **({"cursor": cursor} if cursor else {})}
            document = self._json("GET", path, query=page)
            yield from map(read, document["items"])
            cursor = document["next_cursor"]
            if cursor is None:
                return

    def _json(self, method: str, path: str, **how: Any) -> Any:
        reply = self._call(method, path, **how)
        return json.loads(reply.body) if reply.body else None

    def _call(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: object = None,
        form: Mapping[str, str] | None = None,
        signed_in: bool = True,
        creates: bool = False,
        if_match: str | None = None,
    ) -> Reply:
        """Send a request until it is answered for good; return the answer if it is a success.

        What `creates` carries one Idempotency-Key through all its repetitions: a lost answer makes nothing twice.
        """
        url = self.base_url + quote(path) + (f"?{urlencode(query)}" if query else "")
        headers = {"Accept": "application/json", "Accept-Encoding": "gzip"}
        payload = b""
        if form is not None:
            headers["Content-Type"], payload = "application/x-www-form-urlencoded", urlencode(form).encode()
        elif body is not None:
            headers["Content-Type"], payload = "application/json", json.dumps(body).encode()
        if creates:
            headers["Idempotency-Key"] = str(uuid.uuid4())
        if if_match is not None:
            headers["If-Match"] = if_match
        if not signed_in:
            return self._until_answered(method, url, headers, payload)

        tokens = self._tokens or self._load_tokens()
        if tokens is None:
            raise NotSignedIn("you are not signed in")
        try:
            return self._until_answered(method, url, _with_bearer(headers, tokens), payload)
        except ApiProblem as problem:
            if problem.status != 401:
                raise
        return self._until_answered(method, url, _with_bearer(headers, self._renewed(tokens)), payload)

    def _until_answered(self, method: str, url: str, headers: Mapping[str, str], payload: bytes) -> Reply:
        backoff = Backoff(Patience(self.patience_s))
        tries = 0
        while True:
            tries += 1
            failure: ApiProblem | Unreachable
            wait_s = 0.0
            try:
                reply = self.wire.send(method, url, headers, payload)
            except Unreachable as error:
                failure = error
            else:
                reply = _decoded(reply)
                if reply.status < 300:
                    return reply
                failure = ApiProblem.of(_json_or_none(reply), reply.status)
                if reply.status not in _PASSING and not (reply.status == 500 and tries < _BUG_TRIES):
                    raise failure
                wait_s = reply.retry_after_s() or 0
            pause_s = backoff.next_pause_s(wait_s)
            if pause_s is None:
                raise failure
            if self.stopping.wait(pause_s):
                raise Stopped("stopped")

    # Tokens

    def _load_tokens(self) -> Tokens | None:
        tokens = self._store.load()
        return tokens if tokens and tokens.server == self.base_url else None

    def _keep(self, email: str, document: Mapping[str, Any]) -> Tokens:
        tokens = Tokens(self.base_url, email, document["access_token"], document["refresh_token"])
        self._store.save(tokens)
        self._tokens = tokens
        return tokens

    def _renewed(self, refused: Tokens) -> Tokens:
        """Return tokens newer than `refused`, which another thread or process may have got already."""
        with self._store.locked():
            tokens = self._load_tokens()
            if tokens is None:
                raise NotSignedIn("you are signed out")
            if tokens.access_token != refused.access_token:
                self._tokens = tokens
                return tokens
            body = {"refresh_token": tokens.refresh_token}
            try:
                document = self._json("POST", "/v1/auth/refresh", body=body, signed_in=False)
            except ApiProblem as problem:
                if problem.status != 401:
                    raise
                raise NotSignedIn("the sign-in has ended: sign in again") from problem
            return self._keep(tokens.email, document)


def _members(**members: str | None) -> dict[str, str]:
    """Return what is said; what is left out of a request stays as it is."""
    return {name: value for name, value in members.items() if value is not None}


def _with_bearer(headers: Mapping[str, str], tokens: Tokens) -> dict[str, str]:
    return {**headers, "Authorization": f"Bearer {tokens.access_token}"}


def _decoded(reply: Reply) -> Reply:
    if reply.headers.get("content-encoding") != "gzip":
        return reply
    import gzip  # noqa: PLC0415 - only large answers are compressed

    return replace(reply, body=gzip.decompress(reply.body))


def _json_or_none(reply: Reply) -> object:
    try:
        return json.loads(reply.body)
    except ValueError:
        return None
