"""Public links, as their visitors use them: without a sign-in."""

from collections.abc import Mapping

from dropbox_client.call import Body, Call, Listing, Receiver, read_archive, read_with, without_none
from dropbox_client.models import DownloadUrl, PublicFile, PublicLink, ReceivedFile


def get_link(token: str, password: str | None) -> Call[PublicLink]:
    path = f"/v1/public/links/{token}"
    return Call("GET", path, read_with(PublicLink.from_json), signed_in=False, headers=_headers(password))


def list_files(token: str, folder_id: str | None, password: str | None) -> Listing[PublicFile]:
    return Listing(
        f"/v1/public/links/{token}/files",
        PublicFile.from_json,
        without_none(parent_id=folder_id),
        signed_in=False,
        headers=_headers(password),
    )


def sign_download(token: str, file_id: str, password: str | None) -> Call[DownloadUrl]:
    path = f"/v1/public/links/{token}/files/{file_id}/download"
    return Call("GET", path, read_with(DownloadUrl.from_json), signed_in=False, headers=_headers(password))


def get_archive(token: str, folder_id: str | None, password: str | None, receiver: Receiver) -> Call[None]:
    return Call(
        "GET",
        f"/v1/public/links/{token}/archive",
        read_archive,
        query=without_none(parent_id=folder_id),
        signed_in=False,
        headers=_headers(password),
        receiver=receiver,
    )


def upload_file(token: str, body: Body, password: str | None) -> Call[ReceivedFile]:
    path = f"/v1/public/links/{token}/upload"
    return Call(
        "POST",
        path,
        read_with(ReceivedFile.from_json),
        signed_in=False,
        headers=_headers(password),
        upload=body,
    )


def _headers(password: str | None) -> Mapping[str, str]:
    """Return the header of a password: its UTF-8 bytes, as the Latin-1 text that HTTP libraries send."""
    if password is None:
        return {}
    if not password.isprintable():
        raise ValueError("the password has control characters")
    return {"X-Link-Password": password.encode().decode("latin-1")}
