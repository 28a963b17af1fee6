"""Refuse to build a wheel without the web app; an editable install needs none.

`make web` builds the app. `DROPBOX_BUILD_WEB=0` builds a wheel without it, whose server says so at `/`.
"""

import os
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class RequireWebApp(BuildHookInterface[Any]):
    def initialize(self, version: str, build_data: dict[str, Any]) -> None:  # noqa: ARG002 - hatchling's signature
        if version == "editable" or os.environ.get("DROPBOX_BUILD_WEB") == "0":
            return
        if not Path(self.root, "src", "dropbox_api", "_web", "index.html").is_file():
            raise RuntimeError(
                "the web app is not built: run `make web` first, or set DROPBOX_BUILD_WEB=0 to build without it"
            )
