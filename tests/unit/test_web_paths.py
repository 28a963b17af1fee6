"""The web app and the server name the same paths."""

import re
from pathlib import Path

from dropbox_api.core.client_paths import CLIENT_PREFIXES

WEB = Path(__file__).parents[2] / "web" / "src"


def test_prefixes_of_web_app_equal_those_of_server() -> None:
    source = (WEB / "lib" / "paths.ts").read_text()
    lists = re.findall(r"^const (?:ENTRANCES|PREFIXES) = \[(.*?)\];", source, re.DOTALL | re.MULTILINE)
    assert len(lists) == 2
    assert set(re.findall(r'"(/[^"]*)"', "".join(lists))) == set(CLIENT_PREFIXES)


def test_route_of_web_app_has_prefix_that_server_knows() -> None:
    sources = sorted(WEB.glob("*/routes.tsx"))
    routes = {path for source in sources for path in re.findall(r'path: "(/[^"]+)"', source.read_text())}
    prefixes = {f"/{path.split('/')[1]}" for path in routes}
    assert "/files" in prefixes
    assert prefixes <= set(CLIENT_PREFIXES)
