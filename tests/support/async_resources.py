"""Generate the resources of `AsyncClient` from those of `Client`: `make sdk`.

Methods that return an iterator stay plain functions and return an asynchronous iterator; all others become coroutines
that await their requests.
"""

import re
import subprocess
import sys
from pathlib import Path

_FOLDER = Path(__file__).parents[2] / "src" / "dropbox_client"
SOURCE, TARGET = _FOLDER / "resources", _FOLDER / "async_resources"

_HEADER = '"""Generated from `{source}` by `make sdk`: edit that module."""\n\n'
_REPLACEMENTS = (
    ("dropbox_client.resources", "dropbox_client.async_resources"),
    ("  # noqa: UP028 - as in the asynchronous form", ""),
    ("  # noqa: UP028", ""),
    ("Iterator", "AsyncIterator"),
    ("for item in self._pages(", "async for item in self._pages("),
)
_DEFINITION = re.compile(
    r"^((?:    @[^\n]+\n)?)    def (\w+)\((.*?)\) -> ([^\n]+):\n(?=        )", re.MULTILINE | re.DOTALL
)
_UNCHANGED = {"__init__", "check"}
_AWAITED = re.compile(r"self\.(_run|_resolve|_block|get_cursor|drive)\(|self\._client\.drive\(")


def generate() -> dict[Path, str]:
    """Return the asynchronous form of each module, by the path to write it to."""
    return {
        TARGET / path.name: _generate(f"resources/{path.name}", path.read_text(encoding="utf-8"))
        for path in sorted(SOURCE.glob("*.py"))
    }


def _generate(name: str, source: str) -> str:
    body = source[source.index('"""\n', 3) + len('"""\n') :].lstrip()
    pieces, position = [], 0
    definitions = list(_DEFINITION.finditer(body))
    for index, match in enumerate(definitions):
        end = definitions[index + 1].start() if index + 1 < len(definitions) else len(body)
        pieces += [body[position : match.start()], _convert(match, body[match.end() : end])]
        position = end
    text = _HEADER.format(source=name) + "".join(pieces) + body[position:]
    for old, new in _REPLACEMENTS:
        text = text.replace(old, new)
    for action in (["check", "--quiet", "--select", "I", "--fix"], ["format", "--quiet"]):
        command = [sys.executable, "-m", "ruff", *action, "--stdin-filename", str(TARGET / "module.py"), "-"]
        text = subprocess.run(command, input=text, capture_output=True, text=True, check=True).stdout
    return text


def _convert(match: re.Match[str], code: str) -> str:
    decorator, name, parameters, result = match.groups()
    is_generator = "yield" in code
    if decorator or name in _UNCHANGED or (result.startswith("Iterator[") and not is_generator):
        return match.group(0) + code
    awaited = _AWAITED.sub(lambda call: "await " + call.group(0), code)
    return f"    async def {name}({parameters}) -> {result}:\n{awaited}"


if __name__ == "__main__":
    TARGET.mkdir(exist_ok=True)
    for path, text in generate().items():
        path.write_text(text, encoding="utf-8")
        sys.stdout.write(f"wrote {path}\n")
