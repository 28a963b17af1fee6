"""Public links, as their visitors use them: without a sign-in."""

import hashlib
from collections.abc import Mapping
from dataclasses import replace
from typing import TypeAlias

from dropbox_client.call import (
    Body,
    Call,
    Listing,
    Receiver,
    Response,
    read_archive,
    read_items,
    read_nothing,
    read_with,
    without_none,
)
from dropbox_client.models import (
    CreatedLinkUpload,
    CreateLinkUpload,
    DownloadUrl,
    LinkPass,
    LinkUpload,
    PublicFile,
    PublicLink,
    ReceivedFile,
    SignedPart,
)

Password: TypeAlias = str | LinkPass | None
"""The password of a link, or a pass for it."""


def create_pass(token: str, password: str | LinkPass) -> Call[LinkPass]:
    is_renewed = isinstance(password, LinkPass)
    return Call(
        "POST",
        f"/v1/public/links/{token}/pass",
        read_with(LinkPass.from_json),
        signed_in=False,
        body={} if is_renewed else {"password": password},
        headers=_headers(password) if is_renewed else {},
    )


def get_link(token: str, password: Password) -> Call[PublicLink]:
    path = f"/v1/public/links/{token}"
    return Call("GET", path, read_with(PublicLink.from_json), signed_in=False, headers=_headers(password))


def list_files(
    token: str, folder_id: str | None, password: Password, *, thumbnails: bool = False
) -> Listing[PublicFile]:
    return Listing(
        f"/v1/public/links/{token}/files",
        PublicFile.from_json,
        without_none(parent_id=folder_id, thumbnails="true" if thumbnails else None),
        signed_in=False,
        headers=_headers(password),
    )


def sign_download(token: str, file_id: str, password: Password, *, inline: bool = False) -> Call[DownloadUrl]:
    return Call(
        "GET",
        f"/v1/public/links/{token}/files/{file_id}/download",
        read_with(DownloadUrl.from_json),
        query={"inline": "true"} if inline else {},
        signed_in=False,
        headers=_headers(password),
    )


def get_archive(token: str, folder_id: str | None, password: Password, receiver: Receiver) -> Call[None]:
    return Call(
        "GET",
        f"/v1/public/links/{token}/archive",
        read_archive,
        query=without_none(parent_id=folder_id),
        signed_in=False,
        headers=_headers(password),
        receiver=receiver,
    )


def upload_file(token: str, body: Body, password: Password) -> Call[ReceivedFile]:
    path = f"/v1/public/links/{token}/upload"
    return Call(
        "POST",
        path,
        read_with(ReceivedFile.from_json),
        signed_in=False,
        headers=_headers(password),
        upload=body,
    )


# Sessions under an upload link


def start_upload(token: str, password: Password, secret: str, new: CreateLinkUpload) -> Call[CreatedLinkUpload]:
    def read(response: Response) -> CreatedLinkUpload:
        return replace(CreatedLinkUpload.from_json(response.json()), is_new=response.status == 201)

    body = {"secret_sha256": hashlib.sha256(secret.encode()).hexdigest(), **new.to_json()}
    path = f"/v1/public/links/{token}/uploads"
    return Call("POST", path, read, body=body, signed_in=False, headers=_headers(password))


def get_upload(token: str, secret: str, upload_id: str) -> Call[LinkUpload]:
    return Call("GET", _session(token, upload_id), _read_link_upload, signed_in=False, headers=_own(secret))


def sign_upload_parts(token: str, secret: str, upload_id: str, hashes: Mapping[int, str]) -> Call[list[SignedPart]]:
    body = {"parts": [{"number": number, "sha256": sha256} for number, sha256 in hashes.items()]}
    path, read = f"{_session(token, upload_id)}/parts", read_items(SignedPart.from_json, "parts")
    return Call("POST", path, read, body=body, signed_in=False, headers=_own(secret))


def reconcile_upload(token: str, secret: str, upload_id: str) -> Call[LinkUpload]:
    path = f"{_session(token, upload_id)}/reconcile"
    return Call("POST", path, _read_link_upload, signed_in=False, headers=_own(secret))


def complete_upload(token: str, secret: str, upload_id: str, fingerprint: str | None) -> Call[LinkUpload]:
    path, body = f"{_session(token, upload_id)}/complete", without_none(fingerprint=fingerprint)
    return Call("POST", path, _read_link_upload, body=body, signed_in=False, headers=_own(secret))


def abort_upload(token: str, secret: str, upload_id: str) -> Call[None]:
    return Call("DELETE", _session(token, upload_id), read_nothing, signed_in=False, headers=_own(secret))


def _session(token: str, upload_id: str) -> str:
    return f"/v1/public/links/{token}/uploads/{upload_id}"


def _own(secret: str) -> Mapping[str, str]:
    return {"X-Upload-Secret": secret}


_read_link_upload = read_with(LinkUpload.from_json)


def _headers(password: Password) -> Mapping[str, str]:
    """Return the header of a pass, or of a password: its UTF-8 bytes, as the Latin-1 text that HTTP libraries send."""
    if password is None:
        return {}
    if isinstance(password, LinkPass):
        return {"X-Link-Pass": password.link_pass}
    if not password.isprintable():
        raise ValueError("the password has control characters")
    return {"X-Link-Password": password.encode().decode("latin-1")}
