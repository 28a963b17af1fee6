"""Where the shares of other accounts are mounted, and which nodes this device keeps (rule 11).

Each share has a place of its own on this account's devices: `Shared with me/NAME`, with a suffix where the name is
taken, until a person moves it. A share inside of another one stays there; it has a mount for its access only.
"""

from dataclasses import replace
from itertools import chain
from typing import Final

from dropbox_client.client import Client
from dropbox_client.models import File
from dropbox_client.models.files import normalize_name
from dropbox_client.sync.entries import read_file
from dropbox_client.sync.ignores import Ignores
from dropbox_client.sync.names import make_twin_names, pick_free_name
from dropbox_client.sync.part import Select
from dropbox_client.sync.state import MountRow, State
from dropbox_client.sync.trees import SHARED_ID, Mount, NodeId, RemoteEntry, Selection

SHARED_NAME: Final = "Shared with me"


def refresh_mounts(client: Client, state: State) -> None:
    """Make the mounts equal to what is shared with the account now.

    A share that has ended stays as an inactive mount, until nothing of it is left on this device.
    """
    shared = {file.id: file for file in client.shares.list_with_me()}
    with state.transaction():
        for root, row in state.list_mounts().items():
            if root not in shared:
                _end_mount(state, row)
        for file in shared.values():
            _put_mount(state, file)
        place_shares(state)
        state.set_fact("are_mounts_due", 0)


def _end_mount(state: State, row: MountRow) -> None:
    root = row.mount.root
    if row.parent is not None:
        state.remove_remote(root)
    if row.parent is not None and state.find_base(root):
        state.put_mount(row._replace(mount=replace(row.mount, is_active=False)))
    else:
        state.remove_mount(root)


def _put_mount(state: State, file: File) -> None:
    before = state.find_mount(file.id)
    mount = Mount(file.id, "editor" if file.role == "editor" else "viewer")
    if file.parent_id is not None:  # inside of another share
        state.put_mount(MountRow(mount, None, ""))
        return
    if before and before.parent is not None:
        row = before._replace(mount=mount)
    else:
        row = MountRow(mount, SHARED_ID, _choose_name(state, SHARED_ID, file.name, file.id))
    state.put_mount(row)
    is_known = before is not None and before.mount.is_active and state.find_remote(file.id) is not None
    state.put_remote(replace(read_file(file), parent=row.parent, name=row.name))
    if file.kind == "folder" and not is_known:
        state.put_relist(file.id)


def show_file(state: State, file: File) -> RemoteEntry:
    """Return a file or folder of the server at its place on the devices of this account."""
    row = state.find_mount(file.id)
    entry = read_file(file)
    if row is None or row.parent is None or not row.mount.is_active:
        return entry
    return replace(entry, parent=row.parent, name=row.name)


def place_shares(state: State) -> None:
    """Put the folder of shares and the known share roots into the remote tree; a running list has seen them.

    A share whose folder is gone returns to the folder of shares.
    """
    rows = [row for row in state.list_mounts().values() if row.parent is not None and row.mount.is_active]
    if not rows:
        state.remove_remote(SHARED_ID)
        state.put_fates({SHARED_ID: "removed"})  # the server never had it, and cannot be asked
        return
    root_id = state.root_id
    assert root_id is not None, "State.set_root comes first"  # noqa: S101
    name = _choose_name(state, root_id, SHARED_NAME, SHARED_ID)
    state.put_remote(RemoteEntry(SHARED_ID, root_id, name, "folder", None, None, 0))
    for row in rows:
        place = row.parent, row.name
        is_lost = row.parent != SHARED_ID and state.find_remote(row.parent or "") is None
        if is_lost and state.cursor is not None:  # with none, the folder is not known yet
            place = SHARED_ID, _choose_name(state, SHARED_ID, row.name, row.mount.root)
            state.put_mount(MountRow(row.mount, *place))
        entry = state.find_remote(row.mount.root)
        if entry:
            entry = replace(entry, parent=place[0], name=place[1])
            state.put_remote(entry, state.find_modified_at(entry.id))


def _choose_name(state: State, parent: NodeId, name: str, node_id: NodeId) -> str:
    """Return a name that no other node of a folder has."""
    taken = {normalize_name(entry.name) for entry in state.list_remote(parent) if entry.id != node_id}
    return pick_free_name(chain([name], make_twin_names(name)), taken)


def make_select(ignores: Ignores) -> Select:
    """Return what tells which nodes this device keeps, apart from excluded folders."""

    def select(folder: str, name: str, is_folder: bool) -> Selection:
        return "ignored" if ignores.has_match(folder, name, is_folder=is_folder) else "selected"

    return select
