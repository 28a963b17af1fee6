"""Upload sessions."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from dropbox_client.call import Call, Listing, Response, read_items, read_nothing, read_with, without_none
from dropbox_client.models import (
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

_UPLOADS_PER_PAGE = 100
_read_upload = read_with(Upload.from_json)


def get_capabilities() -> Call[Capabilities]:
    return Call("GET", "/v1/capabilities", read_with(Capabilities.from_json))


def find_fingerprint(fingerprint: str) -> Call[FingerprintHit]:
    return Call("GET", f"/v1/fingerprints/{fingerprint}", read_with(FingerprintHit.from_json))


def start(new: CreateUpload) -> Call[CreatedUpload]:
    def read(response: Response) -> CreatedUpload:
        return replace(CreatedUpload.from_json(response.json()), is_new=response.status == 201)

    return Call("POST", "/v1/uploads", read, body=new.to_json(), creates=True)


def bind_fingerprint(upload_id: str, fingerprint: str) -> Call[CreatedUpload]:
    body = {"fingerprint": fingerprint}
    return Call("PUT", f"/v1/uploads/{upload_id}/fingerprint", read_with(CreatedUpload.from_json), body=body)


def get(upload_id: str, wait_s: float) -> Call[Upload]:
    query = {"wait_s": f"{wait_s:.3g}"} if wait_s else {}
    return Call("GET", f"/v1/uploads/{upload_id}", _read_upload, query=query, wait_s=wait_s)


def list_all(state: UploadState | None, fingerprint: str | None) -> Listing[Upload]:
    query = without_none(state=state, fingerprint=fingerprint, limit=str(_UPLOADS_PER_PAGE))
    return Listing("/v1/uploads", Upload.from_json, query)


def list_chunks(upload_id: str) -> Listing[Chunk]:
    return Listing(f"/v1/uploads/{upload_id}/chunks", Chunk.from_json)


def add_chunks(upload_id: str, first: int, chunks: Sequence[ListedChunk]) -> Call[Upload]:
    body = {"chunks": [chunk.to_json() for chunk in chunks]}
    return Call("PUT", f"/v1/uploads/{upload_id}/chunks", _read_upload, query={"from": str(first)}, body=body)


def sign_parts(upload_id: str, hashes: Mapping[int, str]) -> Call[list[SignedPart]]:
    body = {"parts": [{"number": number, "sha256": sha256} for number, sha256 in hashes.items()]}
    return Call("POST", f"/v1/uploads/{upload_id}/parts", read_items(SignedPart.from_json, "parts"), body=body)


def reconcile(upload_id: str) -> Call[Upload]:
    return Call("POST", f"/v1/uploads/{upload_id}/reconcile", _read_upload)


def complete(upload_id: str) -> Call[CompletedUpload | RetryLater]:
    def read(response: Response) -> CompletedUpload | RetryLater:
        if response.status == 202:
            return RetryLater(response.retry_after_s() or 1)
        return CompletedUpload.from_json(response.json())

    return Call("POST", f"/v1/uploads/{upload_id}/complete", read)


def add_destination(upload_id: str, destination: Destination) -> Call[Upload]:
    body = {"destination": destination.to_json()}
    return Call("POST", f"/v1/uploads/{upload_id}/destinations", _read_upload, body=body, creates=True)


def abort(upload_id: str) -> Call[None]:
    return Call("DELETE", f"/v1/uploads/{upload_id}", read_nothing)


def create_token(parent_id: str, max_bytes: int, expires_in_s: int) -> Call[CreatedUploadToken]:
    body = {"parent_id": parent_id, "max_bytes": max_bytes, "expires_in_s": expires_in_s}
    return Call("POST", "/v1/upload-tokens", read_with(CreatedUploadToken.from_json), body=body)


def list_tokens() -> Listing[UploadToken]:
    return Listing("/v1/upload-tokens", UploadToken.from_json)


def revoke_token(token_id: str) -> Call[None]:
    return Call("DELETE", f"/v1/upload-tokens/{token_id}", read_nothing)


def start_batch(items: Sequence[CreateUpload]) -> Call[list[CreatedUploadItem]]:
    body = {"items": [item.to_json() for item in items]}
    return Call("POST", "/v1/uploads/batch", read_items(CreatedUploadItem.from_json), body=body, creates=True)


def complete_batch(upload_ids: Sequence[str]) -> Call[list[CompletedUploadItem]]:
    body = {"upload_ids": list(upload_ids)}
    return Call("POST", "/v1/uploads/batch/complete", read_items(CompletedUploadItem.from_json), body=body)
