"""Adding and removing synchronized folders."""

import os
import shutil
import socket
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Final

from dropbox_client.cli import output
from dropbox_client.cli.arguments import is_prefixed
from dropbox_client.cli.confirm import with_confirmation
from dropbox_client.cli.environment import connect
from dropbox_client.cli.sync.roots import open_client
from dropbox_client.client import Client
from dropbox_client.errors import ApiError, ClientError, NotSignedIn, Usage
from dropbox_client.models import Scope
from dropbox_client.problems import Forbidden, NotFound
from dropbox_client.sync.apply import INCOMING_PATH
from dropbox_client.sync.config import Registry, RootConfig, new_id
from dropbox_client.sync.guard import MARKER, Host, require_disjoint, require_local_disk
from dropbox_client.sync.ignores import PRIVATE_NAME
from dropbox_client.sync.localtrash import TRASH_PATH
from dropbox_client.tokens import Tokens

_SCOPES: Final[list[Scope]] = ["files:read", "files:write", "share"]


# Add


def prepare_root(registry: Registry, folder: str, remote: str | None, name: str | None) -> RootConfig:
    """Check a folder and return the configuration of a new root, without a server.

    Raises: RootRefused for a nested folder and for state on a network file system; ClientError.
    """
    if remote and is_prefixed(remote.removeprefix("/")):
        raise Usage("--folder is in your own files; shares appear in a folder for all of them, below 'Shared with me'")
    path = Path(folder).absolute()
    if path.parent.is_dir():
        path = path.parent.resolve() / path.name
    else:
        raise ClientError(f"{path.parent} does not exist: is its disk mounted?")
    if path.exists() and not (path.is_dir() and os.access(path, os.R_OK | os.W_OK | os.X_OK)):
        raise ClientError(f"{path} is not a folder that you may read and write")
    others = registry.list()
    require_disjoint(path, [config.path for config in others])
    if registry.directory.resolve().is_relative_to(path.resolve()):
        raise ClientError(
            f"{path} contains the state of `dbx sync`, which must not be synchronized: choose a folder in it"
        )
    registry.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    require_local_disk(registry.directory, Host.read())
    host = socket.gethostname().partition(".")[0] or "this device"
    names = {config.device_name for config in others}
    device = name or (host if host not in names else f"{host} {path.name}")
    return RootConfig(new_id(), path, "", str(uuid.uuid4()), device, remote or "/")


def add_root(registry: Registry, config: RootConfig) -> RootConfig:
    """Make the token, the folders on both sides, and the root. Raises ClientError, OSError."""
    with connect() as client:
        config = replace(config, server=client.base_url)
        _require_folder(client, config.folder)
        config.path.mkdir(exist_ok=True)
        config = _make_token(registry, config, client)
        registry.save(config)
    output.print_note(f"added {config.path} as {config.device_name!r}, for {config.folder} at {config.server}")
    return config


def renew_token(registry: Registry, config: RootConfig) -> None:
    """Make a new token for a root whose token was revoked. Raises Usage if it is still valid."""
    with suppress(NotSignedIn), open_client(registry, config) as client:
        client.account.get()
        raise Usage(f"{config.path} was added before")
    with connect() as client:
        if client.base_url != config.server:
            raise Usage(f"{config.path} belongs to {config.server}, and you are signed in to {client.base_url}")
        registry.save(_make_token(registry, config, client))
    output.print_note(f"{config.path} has a new token")


def _require_folder(client: Client, path: str) -> None:
    try:
        folder = client.files.get(path)
    except NotFound:
        folder = client.files.create_folders(path)
        output.print_note(f"created {path} on the server")
    if folder.kind != "folder":
        raise Usage(f"{path} is a file on the server")


def _make_token(registry: Registry, config: RootConfig, client: Client) -> RootConfig:
    """Store a token for the device; return the root with its id."""
    name = f"dbx sync: {config.device_name}"
    try:
        created = with_confirmation(client, lambda: client.account.create_token(name, _SCOPES))
    except Forbidden as refused:
        own = client.exchange.store.load()
        if own is None or own.refresh_token or refused.scope != "account":
            raise
        registry.tokens(config.id).save(own)  # signed in with a personal token, which cannot make others
        return replace(config, token_id=None)
    registry.tokens(config.id).save(Tokens.from_access_token(config.server, str(created.token)))
    return replace(config, token_id=created.id)


# Remove


def remove_root(registry: Registry, config: RootConfig) -> None:
    """End a root that no process runs: device, token, state. What cannot be done is told."""
    listed = _told(f"the device stays in the list: `dbx devices remove {config.device_id}`")
    with listed, open_client(registry, config) as client, suppress(NotFound):
        client.account.remove_device(config.device_id)
    if config.token_id:
        valid = _told(f"the token is still valid: `dbx tokens revoke {config.token_id}`")
        with valid, connect() as client, suppress(NotFound):
            client.account.revoke_token(config.token_id)
    else:
        output.print_note("the personal token that you signed in with stays valid")
    registry.remove(config.id)
    _remove_private_folder(config.path)


@contextmanager
def _told(remedy: str) -> Iterator[None]:
    try:
        yield
    except (ApiError, ClientError) as error:
        output.print_error(f"{output.describe_error(error)}; {remedy}")


def _remove_private_folder(root: Path) -> None:
    """Remove `.dbx`, unless its trash has something; the marker goes in any case: the folder is no root any more."""
    private = root / PRIVATE_NAME
    try:
        (root / MARKER).unlink(missing_ok=True)
        # A kill may have left what a download replaced among the downloads.
        full = [
            path for path in map(root.joinpath, map(os.fsdecode, (TRASH_PATH, INCOMING_PATH))) if _has_entries(path)
        ]
        if full:
            names = " and ".join(map(str, full))
            output.print_note(f"{names}: kept what was deleted or replaced; remove it when you like")
        elif private.is_dir() and not private.is_symlink():
            shutil.rmtree(private)
    except OSError as error:
        output.print_error(f"{private}: {error.strerror}; remove it yourself")


@contextmanager
def without_private_folder(root: Path) -> Iterator[None]:
    """Remove the `.dbx` that the block makes."""
    is_known = (root / PRIVATE_NAME).exists()
    try:
        yield
    finally:
        if not is_known:
            _remove_private_folder(root)


def _has_entries(folder: Path) -> bool:
    return folder.is_dir() and any(folder.iterdir())
