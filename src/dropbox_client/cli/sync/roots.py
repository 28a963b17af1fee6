"""The synchronized folders of this user, found by what a person typed."""

import unicodedata
from pathlib import Path

from dropbox_client.cli.environment import RETRY_FOR_S, state_directory
from dropbox_client.client import Client
from dropbox_client.errors import NotSignedIn, Usage
from dropbox_client.sync.config import Registry, RootConfig


def open_registry() -> Registry:
    return Registry(state_directory() / "sync")


def find_root(registry: Registry, folder: str) -> RootConfig:
    """Return the root that a path is, or is in. Raises Usage."""
    if config := registry.find(Path(folder)):
        return config
    raise Usage(f"{folder} is not synchronized: `dbx sync list` shows the folders, `dbx sync add` adds one")


def select_roots(registry: Registry, folder: str | None) -> list[RootConfig]:
    """Return the root of a path; without a path all roots. Raises Usage if there are none."""
    if folder is not None:
        return [find_root(registry, folder)]
    if configs := registry.list():
        return configs
    raise Usage("no folder is synchronized: `dbx sync add DIR` adds one")


def open_client(registry: Registry, config: RootConfig) -> Client:
    """Return a client with the token of this device. Raises NotSignedIn."""
    tokens = registry.tokens(config.id)
    if tokens.load() is None:
        raise NotSignedIn(f"{config.path} has no token")
    return Client(config.server, tokens, retry_for_s=RETRY_FOR_S)


# Exclude


def find_below(config: RootConfig, text: str) -> str:
    """Return a path below the root, as the server has it, from one below the root or on this computer. Raises Usage."""
    path = Path(text)
    if path.is_absolute() and path.is_relative_to(config.path):
        path = path.relative_to(config.path)
    names = [name for name in unicodedata.normalize("NFC", path.as_posix()).split("/") if name not in {"", "."}]
    if not names or ".." in names:
        raise Usage(f"{text} is not a path below {config.path}")
    return "/".join(names)


def exclude_paths(unselected: frozenset[str], paths: list[str]) -> frozenset[str]:
    """Return the excluded folders with some more; none of them is below another one."""
    found = unselected | set(paths)
    return frozenset(path for path in found if not any(path.startswith(f"{other}/") for other in found))


def include_paths(unselected: frozenset[str], paths: list[str]) -> frozenset[str]:
    """Return the excluded folders without some. Raises Usage for a folder that is not excluded by itself."""
    for path in paths:
        above = [other for other in unselected if path.startswith(f"{other}/")]
        if above:
            raise Usage(f"{path} is excluded with all of {above[0]}: include that, and exclude what you do not want")
        if path not in unselected:
            raise Usage(f"{path} is not excluded")
    return unselected - set(paths)
