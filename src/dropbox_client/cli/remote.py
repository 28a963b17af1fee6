"""Paths on the server, as users type them.

/photos/cat.jpg              in the caller's own tree
shared:Team/plans/a.txt      below an item that is shared with the caller, by its name
id:0190.../plans/a.txt       below any visible folder, by its id
"""

import contextlib
from collections.abc import Iterator

from dropbox_client.cli.arguments import ID, SHARED
from dropbox_client.client import Client
from dropbox_client.errors import ApiError, ClientError, Usage
from dropbox_client.models import File, Revision, normalize_name


class NotShared(ClientError):
    """No item of this name is shared with the caller."""


@contextlib.contextmanager
def naming(path: str) -> Iterator[None]:
    """Make `output.describe_error` name the path that a problem is about."""
    try:
        yield
    except ApiError as problem:
        problem.add_note(path)
        raise


def split_prefix(path: str) -> tuple[str, str]:
    """Return the prefix of a path ("" for the caller's own root) and the path below it ("" or "/a/b")."""
    if path.startswith("/"):
        return "", path.rstrip("/")
    prefix, _, below = path.partition("/")
    return prefix, f"/{below}" if below else ""


def split_name(path: str) -> tuple[str, str]:
    """Return the path of the parent folder, and the name. Raises Usage for a path that is only a prefix."""
    prefix, below = split_prefix(path)
    above, _, name = below.rpartition("/")
    if prefix and not name:
        raise Usage(f"{path} is a shared item, not a path inside one: add a name, as in {path}/NAME")
    return prefix + above or "/", name


def get_file(client: Client, path: str) -> File:
    """Return the file or folder at a path. Raises NotShared, ApiError not-found; Usage if the name is ambiguous."""
    prefix, below = split_prefix(path)
    with naming(path):
        if not prefix:
            return client.files.get(path)
        if prefix.startswith(ID):
            file_id = prefix.removeprefix(ID)
            return client.files.get_below(file_id, below) if below else client.files.get(file_id)
        shared = get_shared_file(client, prefix)
        return client.files.get_below(shared, below) if below else shared


def get_revision(client: Client, file: File, number_or_id: str) -> Revision:
    """Return a revision of a file by number or id. Raises ClientError if it has none."""
    for revision in client.revisions.list(file.id):
        if number_or_id in {str(revision.number), revision.id}:
            return revision
    raise ClientError(f"{format_path(file)} has no version {number_or_id}; `dbx versions` lists them")


def find_file(client: Client, path: str) -> File | None:
    """Return the file or folder at a path; None if there is none. Raises NotShared, Usage."""
    try:
        return get_file(client, path)
    except ApiError as problem:
        if problem.code != "not-found":
            raise
        return None


def get_shared_file(client: Client, name: str) -> File:
    """Return the item shared under a name or id, with or without prefix. Raises NotShared; Usage if ambiguous."""
    wanted = name.removeprefix(SHARED).removeprefix(ID)
    matches = [
        file
        for file in client.shares.list_with_me()
        if normalize_name(file.name) == normalize_name(wanted) or file.id == wanted.lower()
    ]
    if not matches:
        raise NotShared(f"nothing named {wanted!r} is shared with you; `dbx shared` lists the shared items")
    if len(matches) > 1:
        candidates = ", ".join(f"{ID}{file.id} of {file.owner}" for file in matches)
        raise Usage(f"several items named {wanted!r} are shared with you; use an id: {candidates}")
    return matches[0]


def create_folder(client: Client, path: str) -> File:
    """Create a folder. Raises as `Client.create_folder`."""
    prefix, _ = split_prefix(path)
    if not prefix:
        return client.files.create_folder(path)
    above, name = split_name(path)
    return client.files.create_folder_in(get_file(client, above).id, name)


def create_folders(client: Client, path: str) -> File:
    """Create a folder and its missing ancestors; an existing folder is accepted."""
    prefix, below = split_prefix(path)
    if not prefix:
        return client.files.create_folders(path)
    return client.files.get(FolderIds(client, get_file(client, prefix).id).get_or_create(below))


class FolderIds:
    """The ids of folders below a folder, cached. Not thread-safe."""

    def __init__(self, client: Client, top_id: str) -> None:
        self._client = client
        self._ids = {"": top_id}

    def get_or_create(self, path: str) -> str:
        """Return the id of the folder at a path below the top; create it and its missing ancestors."""
        path = path.rstrip("/")
        if path not in self._ids:
            above, _, name = path.rpartition("/")
            self._ids[path] = self._client.files.create_folder_in(self.get_or_create(above), name, reuse=True).id
        return self._ids[path]


def format_path(file: File) -> str:
    """Return the path of a file in the form that users type."""
    return file.path if file.role == "owner" else SHARED + file.path.removeprefix("/")
