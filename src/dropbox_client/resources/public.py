"""Public links, as their visitors use them."""

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from dropbox_client.calls import public
from dropbox_client.models.files import DownloadUrl
from dropbox_client.models.sharing import Link, LinkPass, PublicFile, PublicLink, ReceivedFile
from dropbox_client.models.uploads import CreatedLinkUpload, CreateLinkUpload, LinkUpload, SignedPart
from dropbox_client.resources.resource import Resource

if TYPE_CHECKING:
    from dropbox_client.transfer.content import Content
    from dropbox_client.transfer.progress import OnProgress
    from dropbox_client.transfer.target import To


class Public(Resource):
    """Public links, as their visitors use them: a client that is not signed in is enough.

    `link` is a `Link`, its token, or its address. Each method raises NotFound for a link that does not exist, has
    expired or was revoked; LinkPasswordRequired without the right `password`, or a pass instead of it; LinkNotFor for
    another mode.
    """

    def create_pass(self, link: Link | str, password: str | LinkPass) -> LinkPass:
        """Exchange the password for a pass, so that it need not be stored; renew the given pass."""
        return self._run(public.create_pass(_read_token(link), password))

    def get_link(self, link: Link | str, *, password: str | LinkPass | None = None) -> PublicLink:
        """Return what the link shows."""
        return self._run(public.get_link(_read_token(link), password))

    def list_files(
        self,
        link: Link | str,
        folder_id: str | None = None,
        *,
        password: str | LinkPass | None = None,
        thumbnails: bool = False,
    ) -> Iterator[PublicFile]:
        """Iterate over the children of the folder of the link, or of a folder below it. Raises NotAFolder.

        `thumbnails` asks for the URLs of small thumbnails, too, which do not count as downloads.
        """
        return self._pages(public.list_files(_read_token(link), folder_id, password, thumbnails=thumbnails))

    def sign_download(
        self, link: Link | str, file_id: str, *, password: str | LinkPass | None = None, inline: bool = False
    ) -> DownloadUrl:
        """Return a signed URL for the content of a file; this counts as a download. Raises NotAFile.

        With `inline`, and by a `view` link always, browsers show the content instead of saving it.
        """
        return self._run(public.sign_download(_read_token(link), file_id, password, inline=inline))

    def download(
        self,
        link: Link | str,
        file_id: str,
        to: "To",
        *,
        password: str | LinkPass | None = None,
        overwrite: bool = False,
    ) -> None:
        """Download a file to a path or into a binary file object; this counts as a download.

        Paths and file objects are treated as by `Client.download`. Raises NotAFile, LocalExists, Corrupt.
        """
        from dropbox_client.transfer.target import Target  # noqa: PLC0415

        source = self._run(public.sign_download(_read_token(link), file_id, password))
        with Target(to, overwrite=overwrite, source=source) as target:
            self._client.drive(self._client.exchange.fetch(source.url, target))
            target.finish()

    def download_archive(
        self,
        link: Link | str,
        to: "To",
        *,
        folder_id: str | None = None,
        password: str | LinkPass | None = None,
        overwrite: bool = False,
    ) -> None:
        """Download the folder of the link, or a folder below it, as a zip; this counts as a download.

        Raises NotAFolder, LocalExists.
        """
        from dropbox_client.transfer.target import Target  # noqa: PLC0415

        with Target(to, overwrite=overwrite) as target:
            self._run(public.get_archive(_read_token(link), folder_id, password, target))
            target.finish()

    def upload(
        self, link: Link | str, content: "Content", name: str | None = None, *, password: str | LinkPass | None = None
    ) -> ReceivedFile:
        """Send a path, bytes or a binary file object to an upload link, under `name` or the name of the path.

        A request whose response is lost is not repeated, because the server stores a file of the same name beside the
        first. Raises BodyTooLarge, InvalidName, QuotaExceeded, Unreachable, FileChanged, Unreadable.
        """
        from dropbox_client.transfer.content import open_source  # noqa: PLC0415
        from dropbox_client.transfer.form import FormBody  # noqa: PLC0415

        chosen = name or (Path(content).name if isinstance(content, str | os.PathLike) else "")
        if not chosen:
            raise ValueError("content without a path needs a name")
        with self._block(lambda: open_source(content, self._client.check)) as source:
            return self._run(public.upload_file(_read_token(link), FormBody(chosen, source), password))

    def upload_to_link(
        self,
        content: "Content",
        link: Link | str,
        name: str | None = None,
        *,
        folder_path: str | None = None,
        password: str | LinkPass | None = None,
        secret: str | None = None,
        progress: "OnProgress | None" = None,
    ) -> LinkUpload:
        """Send a path, bytes or a binary file object of any size to an upload link, straight to the store.

        The file gets `name`, or the name of the path, in `folder_path` below the folder of the link; it replaces
        nothing. `secret` identifies the sender: with the same one, 43 characters or more of base64url or hex, the same
        call for the same path continues an upload that was interrupted. `progress` is as in `Client.upload`.
        Raises BodyTooLarge, InvalidName, QuotaExceeded, LinkFull, SizeNotAllowed, FileChanged, Unreadable,
        TransferFailed.
        """
        from dropbox_client.transfer.content import open_source  # noqa: PLC0415
        from dropbox_client.transfer.link_upload import LinkTarget, make_secret, send_to_link  # noqa: PLC0415
        from dropbox_client.transfer.progress import ProgressReport  # noqa: PLC0415

        chosen = name or (Path(content).name if isinstance(content, str | os.PathLike) else "")
        if not chosen:
            raise ValueError("content without a path needs a name")
        target = LinkTarget(_read_token(link), password, secret or make_secret(), chosen, folder_path)
        with (
            self._block(lambda: open_source(content, self._client.check)) as source,
            ProgressReport(progress, source.size_bytes) as report,
        ):
            return self._client.drive(send_to_link(self._client.exchange, target, source, report.add, report.add))

    def start_upload(
        self, link: Link | str, new: CreateLinkUpload, *, secret: str, password: str | LinkPass | None = None
    ) -> CreatedLinkUpload:
        """Start a session under an upload link, or return that of the same `client_ref` and `secret`."""
        return self._run(public.start_upload(_read_token(link), password, secret, new))

    def get_upload(self, link: Link | str, upload_id: str, *, secret: str) -> LinkUpload:
        """Return a session of this sender as the database has it. Raises NotFound."""
        return self._run(public.get_upload(_read_token(link), secret, upload_id))

    def sign_upload_parts(
        self, link: Link | str, upload_id: str, hashes: Mapping[int, str], *, secret: str
    ) -> list[SignedPart]:
        """Return signed URLs for chunks, given their SHA-256 in hex: for all, or for the first ones with room."""
        return self._run(public.sign_upload_parts(_read_token(link), secret, upload_id, hashes))

    def reconcile_upload(self, link: Link | str, upload_id: str, *, secret: str) -> LinkUpload:
        """Record what the store has of a session, and return it. Raises NotFound, UploadExpired."""
        return self._run(public.reconcile_upload(_read_token(link), secret, upload_id))

    def complete_upload(
        self, link: Link | str, upload_id: str, fingerprint: str | None = None, *, secret: str
    ) -> LinkUpload:
        """Complete a session; repeat it while the result is `completing`. Raises NotFound, PartsMissing, ..."""
        return self._run(public.complete_upload(_read_token(link), secret, upload_id, fingerprint))

    def abort_upload(self, link: Link | str, upload_id: str, *, secret: str) -> None:
        """Abort a session of this sender. Raises NotFound, UploadEnded, UploadCompleting."""
        return self._run(public.abort_upload(_read_token(link), secret, upload_id))


def _read_token(link: Link | str) -> str:
    return link.token if isinstance(link, Link) else link.rstrip("/").rsplit("/", 1)[-1]
