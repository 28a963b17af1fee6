"""The registry of the synchronized folders, and what a person types about them."""

import json
import stat
from dataclasses import replace
from pathlib import Path

import pytest

from dropbox_client.cli.arguments import Parser
from dropbox_client.cli.parser import build_parser
from dropbox_client.cli.sync.arguments import SYNC_WORDS, rate_bytes_s
from dropbox_client.cli.sync.roots import exclude_paths, find_below, include_paths
from dropbox_client.cli.sync.setup import prepare_root
from dropbox_client.errors import ClientError, Usage
from dropbox_client.sync.config import Registry, RootConfig, new_id
from dropbox_client.sync.guard import Host, RootRefused, make_marker
from dropbox_client.tokens import Tokens


@pytest.fixture
def registry(tmp_path: Path) -> Registry:
    return Registry(tmp_path / "state" / "sync")


def make_config(path: Path, **more: object) -> RootConfig:
    return replace(RootConfig(new_id(), path, "http://localhost:1", "d", "laptop"), **more)  # type: ignore[arg-type]


def test_root_is_read_as_it_was_saved_and_private(registry: Registry, tmp_path: Path) -> None:
    odd = tmp_path / "fold\udcfer"
    config = make_config(odd, unselected=frozenset({"a", "b/c"}), upload_bytes_s=5, is_paused=True, token_id="t")
    registry.save(config)
    registry.tokens(config.id).save(Tokens.from_access_token(config.server, "dbx_pat_x"))
    assert registry.list() == [config]
    assert registry.read(config.id) == config
    folder = registry.folder(config.id)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()} == {0o600}

    registry.save(replace(config, is_paused=False))
    assert registry.list() == [replace(config, is_paused=False)]
    registry.remove(config.id)
    assert registry.list() == []
    assert registry.read(config.id) is None
    assert not folder.exists()
    registry.remove(config.id)


def test_root_of_a_newer_version_is_read_and_a_damaged_one_is_reported(registry: Registry, tmp_path: Path) -> None:
    config = make_config(tmp_path)
    registry.save(config)
    path = registry.folder(config.id) / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"later": 1}))
    assert registry.list() == [config]
    other = make_config(tmp_path / "other")
    registry.save(other)
    path.write_text("{")
    assert registry.list() == [other]
    assert [str(path) in str(error) for error in registry.list_damaged()] == [True]
    with pytest.raises(ClientError, match="damaged"):
        registry.read(config.id)


def test_root_is_found_by_every_path_in_it(registry: Registry, tmp_path: Path) -> None:
    config = make_config(tmp_path / "root")
    (tmp_path / "root" / "below").mkdir(parents=True)
    (tmp_path / "link").symlink_to(tmp_path / "root")
    registry.save(config)
    for path in ("root", "root/below", "link/below", "root/not/there"):
        assert registry.find(tmp_path / path) == config
        assert registry.find_at(tmp_path / path) == (config if path == "root" else None)
    assert registry.find_at(tmp_path / "link") == config
    assert registry.find(tmp_path) is None
    assert registry.find(tmp_path / "root2") is None


def test_new_root_is_refused_where_it_cannot_be(registry: Registry, tmp_path: Path) -> None:
    root = tmp_path / "root"
    registry.save(make_config(root))
    root.mkdir()
    file = tmp_path / "file"
    file.touch()
    foreign = tmp_path / "foreign"
    foreign.mkdir()
    make_marker(foreign, Host("m", "b", ""))
    for path, text in (
        (root, "already"),
        (root / "below", "inside of each other"),
        (tmp_path, "inside of each other"),
        (foreign / "below", "inside of the synchronized folder"),
        (tmp_path / "no" / "parent", "does not exist"),
        (registry.directory.parent, "contains the state"),
        (file, "not a folder"),
    ):
        with pytest.raises((RootRefused, ClientError), match=text):
            prepare_root(registry, str(path), None, None)
    with pytest.raises(Usage, match="Shared with me"):
        prepare_root(registry, str(tmp_path / "new"), "/shared:Team", None)
    new = prepare_root(registry, str(tmp_path / "new"), "/work", None)
    assert (new.path, new.folder) == (tmp_path / "new", "/work")
    assert not new.path.exists()
    assert prepare_root(registry, str(tmp_path / "new"), None, "box").device_name == "box"


def test_second_root_of_a_device_has_a_name_of_its_own(registry: Registry, tmp_path: Path) -> None:
    first = prepare_root(registry, str(tmp_path / "one"), None, None)
    registry.save(first)
    second = prepare_root(registry, str(tmp_path / "two"), None, None)
    assert second.device_name == f"{first.device_name} two"
    assert second.device_id != first.device_id


def test_excluded_folders_never_contain_each_other(tmp_path: Path) -> None:
    assert exclude_paths(frozenset({"a/b", "c"}), ["a", "c/d", "ab"]) == {"a", "c", "ab"}
    assert include_paths(frozenset({"a", "c"}), ["a"]) == {"c"}
    with pytest.raises(Usage, match="all of a:"):
        include_paths(frozenset({"a"}), ["a/b"])
    with pytest.raises(Usage, match="not excluded"):
        include_paths(frozenset({"a"}), ["ab"])
    config = make_config(tmp_path)
    assert find_below(config, f"{tmp_path}/a/b") == find_below(config, "/a//b/") == find_below(config, "./a/b") == "a/b"
    for path in ("/", ".", "../x", str(tmp_path)):
        with pytest.raises(Usage):
            find_below(config, path)


def test_rates_are_sizes_or_off() -> None:
    assert [rate_bytes_s(text) for text in ("off", "500K", "2M")] == [0, 500 * 1024, 2 * 1024 * 1024]


def test_words_after_sync_are_exactly_its_actions() -> None:
    parser = build_parser()
    assert isinstance(parser, Parser)
    group = parser._subparsers._group_actions[0].choices["sync"]  # type: ignore[union-attr,index]
    assert {*group._subparsers._group_actions[0].choices, "-h", "--help"} == SYNC_WORDS
