"""Put the built web app into wheel and source archive, or refuse to build them; an editable install needs none.

`make web` builds the app. `DROPBOX_BUILD_WEB=0` builds without it: the server then says so at `/`.
"""

import os
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

WEB = "src/dropbox_api/_web"


class IncludeWebApp(BuildHookInterface[Any]):
    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        if version == "editable" or os.environ.get("DROPBOX_BUILD_WEB") == "0":
            return
        if not Path(self.root, WEB, "index.html").is_file():
            raise RuntimeError(
                "the web app is not built: run `make web` first, or set DROPBOX_BUILD_WEB=0 to build without it"
            )
        build_data["artifacts"].append(f"{WEB}/**")  # not in git
