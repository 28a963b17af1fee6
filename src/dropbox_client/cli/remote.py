"""Places on a server, as people name them.

/photos/cat.jpg              in one's own tree
shared:Team/plans/a.txt      below what others share, by its name
id:0190.../plans/a.txt       below any folder that one may see, by its id
"""

from unicodedata import normalize

from dropbox_client.api import Client
from dropbox_client.cli.arguments import ID, SHARED
from dropbox_client.errors import ClientError, Usage
from dropbox_client.models import File


class NotShared(ClientError):
    """Nothing of this name is shared with the caller."""


def split(place: str) -> tuple[str, str]:
    """Return what a place begins at, "" for one's own root, and the path below it, "" or "/a/b"."""
    if place.startswith("/"):
        return "", place.rstrip("/")
    top, _, below = place.partition("/")
    return top, f"/{below}" if below else ""


def find(client: Client, place: str) -> File:
    """Return what stands at a place. Raises NotShared; Usage when `shared:NAME` may be one of several."""
    top, below = split(place)
    if not top:
        return client.file_by_path(place)
    if top.startswith(ID):
        top_id = top.removeprefix(ID)
        return client.file_by_path(below, below_id=top_id) if below else client.file(top_id)
    shared = find_shared(client, top)
    return client.file_by_path(below, below_id=shared.id) if below else shared


def find_shared(client: Client, name: str) -> File:
    """Return what others share under a name or id, with or without `shared:` or `id:`. Raises as `find` does."""
    wanted = name.removeprefix(SHARED).removeprefix(ID)
    found = [file for file in client.shared_with_me() if _key(file.name) == _key(wanted) or file.id == wanted.lower()]
    if not found:
        raise NotShared(f"nothing named {wanted!r} is shared with you: `dbx shared` lists what is")
    if len(found) > 1:
        candidates = "".join(f"\n  {ID}{file.id}  of {file.owner}" for file in found)
        raise Usage(f"several things named {wanted!r} are shared with you; say which one:{candidates}")
    return found[0]


def parent(place: str) -> tuple[str, str]:
    """Return the place of the folder that something new goes into, and its name. Raises Usage where there is none."""
    top, below = split(place)
    above, _, name = below.rpartition("/")
    if top and not name:
        raise Usage(f"{place} is shared by somebody else: nothing new can be made under that very name")
    return top + above or "/", name


class Folders:
    """The folders below one that is known by its id. Used by one thread."""

    def __init__(self, client: Client, top_id: str) -> None:
        self._client = client
        self._ids = {"": top_id}

    def id_of(self, path: str) -> str:
        """Return the id of the folder at a path below the top, made if need be with all that are missing above it."""
        path = path.rstrip("/")
        if path not in self._ids:
            above, _, name = path.rpartition("/")
            self._ids[path] = self._client.create_folder_in(self.id_of(above), name, reuse=True).id
        return self._ids[path]


def make_folder(client: Client, place: str, *, parents: bool) -> File:
    """Make a folder, and with `parents` all that are missing above it; then one that is there is fine, too."""
    top, below = split(place)
    if not top:
        return client.create_folder(place, parents=parents)
    if parents:
        return client.file(Folders(client, find(client, top).id).id_of(below))
    above, name = parent(place)
    return client.create_folder_in(find(client, above).id, name)


def shown(file: File) -> str:
    """Return the place of a file, to be shown and to be typed."""
    return file.path if file.role == "owner" else SHARED + file.path.removeprefix("/")


def _key(name: str) -> str:
    return normalize("NFC", normalize("NFC", name).casefold())
