"""Upload sessions, step by step."""

import builtins
from collections.abc import Iterator, Mapping, Sequence

from dropbox_client.calls import uploads
from dropbox_client.errors import ApiError
from dropbox_client.models.files import FileRef
from dropbox_client.models.uploads import (
    Capabilities,
    Chunk,
    CompletedUpload,
    CompletedUploadItem,
    CreatedUpload,
    CreatedUploadItem,
    CreatedUploadToken,
    CreateUpload,
    Destination,
    FingerprintHit,
    ListedChunk,
    RetryLater,
    SignedPart,
    Upload,
    UploadState,
    UploadToken,
)
from dropbox_client.resources.resource import Resource


class Uploads(Resource):
    """Upload sessions, step by step; `Client.upload` does all steps."""

    _capabilities: Capabilities | None = None

    def get_capabilities(self) -> Capabilities:
        """Return the limits of this server and its store, its time, and the epoch of its data."""
        self._capabilities = self._run(uploads.get_capabilities())
        return self._capabilities

    def get_cached_capabilities(self) -> Capabilities:
        """Return the capabilities of the first request: enough for limits, not for time and epoch."""
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

    def get(self, upload_id: str, *, wait_s: float = 0) -> Upload:
        """Return a session as last recorded by the server. Raises NotFound.

        With `wait_s`, at most 30, the answer comes when no chunk of it is being reused any more, or after that time.
        """
        return self._run(uploads.get(upload_id, wait_s))

    def list(self, *, state: UploadState | None = None, fingerprint: str | None = None) -> Iterator[Upload]:
        """Iterate over the caller's sessions."""
        return self._pages(uploads.list_all(state, fingerprint))

    def list_chunks(self, upload_id: str) -> Iterator[Chunk]:
        """Iterate over the chunks of a session by number, with their registered hashes."""
        return self._pages(uploads.list_chunks(upload_id))

    def add_chunks(self, upload_id: str, first: int, chunks: Sequence[ListedChunk]) -> Upload:
        """List 1..1000 chunks of the file from number `first` on, and return the session.

        The server reuses those that the account stores: they are `reusing`, then `reused`. Content-defined chunks have
        5..16 MiB, the last one less; fixed ones are as planned. Repeating it changes nothing.
        Raises: ChunkMismatch if a chunk is listed otherwise; InvalidRequest; UploadEnded, UploadExpired.
        """
        return self._run(uploads.add_chunks(upload_id, first, chunks))

    def sign_parts(self, upload_id: str, hashes: Mapping[int, str]) -> builtins.list[SignedPart]:
        """Register the SHA-256 (hex) of 1..1000 chunks by number and return a signed URL for each.

        Content-defined chunks are listed before. A chunk that is signed is not reused any more.
        Raises: ChunkMismatch if a chunk is registered with another hash; UploadEnded, UploadExpired.
        """
        return self._run(uploads.sign_parts(upload_id, hashes))

    def reconcile(self, upload_id: str) -> Upload:
        """Make the server compare the session with the parts in the store, and return it."""
        return self._run(uploads.reconcile(upload_id))

    def complete(self, upload_id: str) -> CompletedUpload | RetryLater:
        """Turn a fully uploaded session into a file. A repeated call returns the same file.

        Raises: ChunksMissing, PartsMissing, UploadCompleting, UploadEnded, UploadExpired, UploadFailed,
        DestinationRefused.
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

    def create_token(self, folder: FileRef, *, max_bytes: int, expires_in_s: int) -> CreatedUploadToken:
        """Create a token with which a page without an account sends files into a folder, for at most a day.

        It ends earlier with the sign-in or personal token of this client. The page uses it as the token of an upload
        link; so does `Client.upload_to_link`.
        Raises NotFound, Forbidden, NotAFolder, RootFolder.
        """
        return self._run(uploads.create_token(self._resolve(folder), max_bytes, expires_in_s))

    def list_tokens(self) -> Iterator[UploadToken]:
        """Iterate over the upload tokens that the caller made and that did not expire, newest first."""
        return self._pages(uploads.list_tokens())

    def revoke_token(self, token_id: str) -> None:
        """Revoke an upload token and end the uploads under it. Raises NotFound."""
        return self._run(uploads.revoke_token(token_id))
