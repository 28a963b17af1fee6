"""Files and folders."""

import builtins
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import datetime
from itertools import islice
from typing import TYPE_CHECKING, Literal

from dropbox_client.calls import files
from dropbox_client.models.batches import BatchResult, Operation
from dropbox_client.models.files import (
    Activity,
    ArchiveUrl,
    CopyProgress,
    DownloadItem,
    DownloadResult,
    DownloadUrl,
    File,
    FileRef,
    FileState,
    Manifest,
    NameResult,
    OnConflict,
    Order,
    ProcessingState,
    TreeEntry,
)
from dropbox_client.resources.resource import Resource, path_or_id

if TYPE_CHECKING:
    from dropbox_client.transfer.target import To

_HITS_PER_PAGE = 100
_IDS_PER_REQUEST = 1000
_NAMES_PER_REQUEST = 1000
_BATCH_ITEMS = 500
_RECENT_PER_PAGE = 100


class Files(Resource):
    """Files and folders: look up, list, search, move, copy."""

    def get(self, file: FileRef, *, thumbnails: bool = False) -> File:
        """Return the current state of a file or folder, also the URLs of its `thumbnails`. Raises NotFound."""
        wanted = path_or_id(file)
        is_path = wanted.startswith("/")
        return self._run(
            files.get_by_path(wanted, thumbnails=thumbnails) if is_path else files.get(wanted, thumbnails=thumbnails)
        )

    def resolve(self, file: FileRef) -> str:
        """Return the id of a file or folder; only a path needs a request. Raises NotFound."""
        return self._resolve(file)

    def get_below(self, folder: FileRef, path: str) -> File:
        """Return the file or folder at a path below a folder, such as a shared one. Raises NotFound."""
        return self._run(files.get_below(self._resolve(folder), path))

    def lookup(self, ids: Iterable[str]) -> Iterator[FileState]:
        """Iterate over the states of these ids, in their order; a request asks for 1,000 of them."""
        remaining = iter(ids)
        while batch := list(islice(remaining, _IDS_PER_REQUEST)):
            found = self._run(files.look_up(batch))
            for state in found:  # noqa: UP028 - as in the asynchronous form
                yield state

    def find_names(self, folder: FileRef, names: Iterable[str]) -> Iterator[NameResult]:
        """Iterate over what has these names in a folder, in their order; a request asks for 1,000 of them.

        Raises: NotFound, NotAFolder.
        """
        folder_id, remaining = self._resolve(folder), iter(names)
        while batch := list(islice(remaining, _NAMES_PER_REQUEST)):
            found = self._run(files.find_names(folder_id, batch))
            for result in found:  # noqa: UP028 - as in the asynchronous form
                yield result

    def list(
        self,
        folder: FileRef = "/",
        *,
        order: Order = "name",
        recursive: bool = False,
        kind: Literal["file", "folder"] | None = None,
        thumbnails: bool = False,
    ) -> Iterator[File]:
        """Iterate over the children of a folder, all or those of one kind, or with `recursive` over all descendants.

        `thumbnails` asks for the URLs of thumbnails, too.
        Raises: NotFound, NotAFolder, InvalidRequest (`recursive` with `kind`).
        """
        found = files.list_folder(path_or_id(folder), order, recursive=recursive, kind=kind, thumbnails=thumbnails)
        return self._pages(found)

    def list_recent(self, *, page_items: int = _RECENT_PER_PAGE, thumbnails: bool = False) -> Iterator[File]:
        """Iterate over the caller's own files of all folders, last changed content first.

        `page_items` is the number per request.
        """
        return self._pages(files.list_recent(page_items, thumbnails=thumbnails))

    def tree(self, folder: FileRef = "/") -> Iterator[TreeEntry]:
        """Iterate over everything below a folder in compact entries, ordered by id: the start of a copy of the tree.

        Get `client.events.get_cursor()` first: the events after it tell what changes meanwhile.
        Raises: NotFound, NotAFolder.
        """
        root_id = None if folder == "/" else self._resolve(folder)
        for item in self._pages(files.list_tree(root_id)):  # noqa: UP028 - as in the asynchronous form
            yield item

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
        thumbnails: bool = False,
    ) -> Iterator[File]:
        """Iterate over the files and folders whose names match and that meet all conditions, best first.

        `page_items` is the number per request. Raises: NotFound (`folder`), InvalidRequest.
        """
        return self._pages(
            files.search(
                text,
                folder=None if folder is None else path_or_id(folder),
                kind=kind,
                content_type=content_type,
                min_bytes=min_bytes,
                max_bytes=max_bytes,
                modified_after=modified_after,
                modified_before=modified_before,
                page_items=page_items,
                thumbnails=thumbnails,
            )
        )

    def sign_download(self, file: FileRef, revision_id: str | None = None, *, inline: bool = False) -> DownloadUrl:
        """Return a signed URL for the content of the head or of a revision. Raises NotFound, NotAFile.

        With `inline` browsers show the content, if its type cannot run script; text and code as `text/plain`.
        """
        return self._run(files.sign_download(self._resolve(file), revision_id, inline=inline))

    def get_manifest(self, file: FileRef, revision_id: str | None = None) -> Manifest:
        """Return the chunks of the content of the head or of a revision, by which a client finds what it has.

        Raises: NotFound, NotAFile, ContentQuarantined, ContentDamaged; InvalidCursor if the server stores the content
        in another way than at the first request: call again.
        """
        file_id = self._resolve(file)
        page = self._run(files.read_manifest(file_id, revision_id, None))
        items = page.items
        while page.next_cursor is not None:
            page = self._run(files.read_manifest(file_id, page.revision_id, page.next_cursor))
            items += page.items
        return replace(page, items=items)

    def download_batch(self, items: Sequence[DownloadItem]) -> builtins.list[DownloadResult]:
        """Return signed URLs for many contents, in the order of `items`; each result is a `download` or a `problem`.

        One request for 500 items. The URLs are valid for minutes: request those of the downloads that start now.
        """
        results: builtins.list[DownloadResult] = []
        for first in range(0, len(items), _BATCH_ITEMS):
            batch = self._run(files.download_batch(items[first : first + _BATCH_ITEMS]))
            results += batch
        return results

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
        target = None if folder is None else path_or_id(folder)
        return self._run(
            files.move(self._resolve(file), name=name, folder=target, on_conflict=on_conflict, if_match=if_match)
        )

    def set_executable(self, file: FileRef, executable: bool, *, if_match: str | None = None) -> File:
        """Mark whether a copy of a file on disk may be run. Raises: NotFound, NotAFile, PreconditionFailed."""
        return self._run(files.set_executable(self._resolve(file), executable=executable, if_match=if_match))

    def copy(
        self,
        file: FileRef,
        *,
        name: str | None = None,
        folder: FileRef | None = None,
        on_conflict: OnConflict = "fail",
    ) -> File:
        """Copy a file or a folder tree on the server, without a transfer. Raises as `move` does."""
        target = None if folder is None else path_or_id(folder)
        return self._run(files.copy(self._resolve(file), name=name, folder=target, on_conflict=on_conflict))

    def start_copy(
        self, file: FileRef, *, folder: FileRef, name: str | None = None, on_conflict: OnConflict = "rename"
    ) -> CopyProgress:
        """Begin a copy into a folder of another owner, which a worker makes; `get_copy` tells when it is `done`.

        The folder's owner is charged. Raises: NotFound, Forbidden, QuotaExceeded, TooManyFiles, TooManyUploads,
        ContentQuarantined, ContentDamaged, InvalidRequest (both have one owner).
        """
        target = path_or_id(folder)
        return self._run(files.start_copy(self._resolve(file), name=name, folder=target, on_conflict=on_conflict))

    def get_copy(self, copy_id: str) -> CopyProgress:
        """Return a copy that the caller has started. Raises NotFound."""
        return self._run(files.get_copy(copy_id))

    def cancel_copy(self, copy_id: str) -> None:
        """End a copy that still runs: it makes nothing. Raises NotFound."""
        return self._run(files.cancel_copy(copy_id))

    def set_content_type(self, file: FileRef, content_type: str, *, if_match: str | None = None) -> File:
        """Change the content type of a file. Raises NotFound, NotAFile, PreconditionFailed."""
        return self._run(files.set_content_type(self._resolve(file), content_type, if_match=if_match))

    def set_modified_at(self, file: FileRef, modified_at: datetime, *, if_match: str | None = None) -> File:
        """Change `client_modified_at` of a file to an aware time. Raises NotFound, NotAFile, PreconditionFailed."""
        return self._run(files.set_modified_at(self._resolve(file), modified_at, if_match=if_match))

    def move_to_trash(self, file: FileRef, *, force: bool = False, if_match: str | None = None) -> None:
        """Move a file or a folder tree to the trash; `force` overrides ProcessingRunning.

        Raises: NotFound, RootFolder, ProcessingRunning, PreconditionFailed.
        """
        return self._run(files.move_to_trash(self._resolve(file), force=force, if_match=if_match))

    def batch(self, operations: Sequence[Operation]) -> builtins.list[BatchResult]:
        """Move, copy, trash, restore and create many files and folders; return the results in order.

        Later operations see the changes of earlier ones; a refused one changes nothing and has a `problem`. One request
        runs up to 500 operations, and more only if none of these has a `parent_item`. Raises InvalidRequest.
        """
        if any(getattr(operation, "parent_item", None) is not None for operation in operations):
            return self._run(files.batch(operations))
        results: builtins.list[BatchResult] = []
        for first in range(0, len(operations), _BATCH_ITEMS):
            batch = self._run(files.batch(operations[first : first + _BATCH_ITEMS]))
            results += batch
        return results

    def create_archive(self, files_and_folders: Sequence[FileRef]) -> ArchiveUrl:
        """Return a URL of a zip of up to 1,000 files and folders, for a browser: it needs no token.

        It may be opened for minutes, and ends with the sign-in or token of this client. Raises NotFound.
        """
        return self._run(files.create_archive([self._resolve(one) for one in files_and_folders]))

    def download_archive(self, folder: FileRef, to: "To", *, overwrite: bool = False) -> None:
        """Download a folder with all below it as a zip, to a path or into a binary file object.

        Quarantined and damaged files are left out; `NOT-INCLUDED.txt` in the zip names them. Raises NotFound,
        NotAFolder, LocalExists.
        """
        from dropbox_client.transfer.target import Target  # noqa: PLC0415

        folder_id = self._resolve(folder)
        with Target(to, overwrite=overwrite) as target:
            self._run(files.get_archive(folder_id, target))
            target.finish()

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
