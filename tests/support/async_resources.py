"""Generate the resources of `AsyncClient` from those of `Client`: `make sdk`.

Methods that return an iterator stay plain functions and return an asynchronous iterator; all others become coroutines
that await their requests.
"""

import re
import subprocess
import sys
from pathlib import Path

_FOLDER = Path(__file__).parents[2] / "src" / "dropbox_client"
SOURCE, TARGET = _FOLDER / "resources.py", _FOLDER / "async_resources.py"

_HEADER = '''"""The resources of the asynchronous client. Generated from `resources` by `make sdk`: edit that module."""
'''
_REPLACEMENTS = (
    ("from dropbox_client.client import Client", "from dropbox_client.async_client import AsyncClient"),
    ('client: "Client"', 'client: "AsyncClient"'),
    ("  # noqa: UP028 - as in the asynchronous form", ""),
    ("  # noqa: UP028", ""),
    ("Iterator", "AsyncIterator"),
    ("for item in self._pages(", "async for item in self._pages("),
)
_DEFINITION = re.compile(r"^    def (\w+)\((.*?)\) -> ([^\n]+):\n(?=        )", re.MULTILINE | re.DOTALL)
_AWAITED = re.compile(r"self\.(_run|_resolve|get_cursor)\(|self\._client\.drive\(")


def generate(source: str) -> str:
    """Return the asynchronous form of the module."""
    body = source[source.index("import builtins") :]
    pieces, position = [], 0
    definitions = list(_DEFINITION.finditer(body))
    for index, match in enumerate(definitions):
        end = definitions[index + 1].start() if index + 1 < len(definitions) else len(body)
        pieces += [body[position : match.start()], _convert(match, body[match.end() : end])]
        position = end
    text = _HEADER + "\n" + "".join(pieces) + body[position:]
    for old, new in _REPLACEMENTS:
        text = text.replace(old, new)
    for action in (["check", "--quiet", "--select", "I", "--fix"], ["format", "--quiet"]):
        command = [sys.executable, "-m", "ruff", *action, "--stdin-filename", str(TARGET), "-"]
        text = subprocess.run(command, input=text, capture_output=True, text=True, check=True).stdout
    return text


def _convert(match: re.Match[str], code: str) -> str:
    name, parameters, result = match.groups()
    is_generator = "yield" in code
    if (result.startswith("Iterator[") and not is_generator) or name == "__init__":
        return match.group(0) + code
    awaited = _AWAITED.sub(lambda call: "await " + call.group(0), code)
    return f"    async def {name}({parameters}) -> {result}:\n{awaited}"


if __name__ == "__main__":
    TARGET.write_text(generate(SOURCE.read_text(encoding="utf-8")), encoding="utf-8")
    sys.stdout.write(f"wrote {TARGET}\n")
