"""The manifest that makes the web app installable, against the files and paths that it names."""

import json
import struct
from pathlib import Path
from typing import Any

import pytest

from dropbox_api.core.client_paths import is_client_path

PUBLIC = Path(__file__).parents[2] / "web" / "public"
MANIFEST: dict[str, Any] = json.loads((PUBLIC / "manifest.webmanifest").read_text("utf-8"))
SHORTCUTS = MANIFEST["shortcuts"]
ICONS = [*MANIFEST["icons"], *(icon for shortcut in SHORTCUTS for icon in shortcut["icons"])]
ADDRESSES = [
    MANIFEST["start_url"],
    MANIFEST["id"],
    MANIFEST["share_target"]["action"],
    *(shortcut["url"] for shortcut in SHORTCUTS),
]


@pytest.mark.parametrize("icon", [icon for icon in ICONS if icon["type"] == "image/png"], ids=lambda icon: icon["src"])
def test_icon_has_the_size_that_the_manifest_names(icon: dict[str, str]) -> None:
    content = (PUBLIC / icon["src"].removeprefix("/")).read_bytes()
    assert content.startswith(b"\x89PNG\r\n\x1a\n")
    width, height = struct.unpack(">II", content[16:24])
    assert icon["sizes"] == f"{width}x{height}"


def test_manifest_has_the_icons_that_systems_ask_for() -> None:
    kinds = {(icon["sizes"], icon.get("purpose", "any")) for icon in MANIFEST["icons"]}
    assert kinds >= {("192x192", "any"), ("512x512", "any"), ("512x512", "maskable")}
    assert all((PUBLIC / icon["src"].removeprefix("/")).is_file() for icon in ICONS)


@pytest.mark.parametrize("address", ADDRESSES)
def test_manifest_names_only_paths_of_the_app(address: str) -> None:
    assert is_client_path(address)


def test_installed_app_has_a_window_of_its_own_for_the_whole_site() -> None:
    assert (MANIFEST["display"], MANIFEST["scope"]) == ("standalone", "/")
    assert all(MANIFEST[name] for name in ("name", "short_name", "background_color", "theme_color"))


def test_share_target_takes_files_of_every_type() -> None:
    target = MANIFEST["share_target"]
    assert (target["method"], target["enctype"]) == ("POST", "multipart/form-data")
    assert target["params"] == {"files": [{"name": "files", "accept": ["*/*"]}]}
