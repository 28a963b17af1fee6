"""The server's own source as syntax trees: what the architecture tests and the kill matrix read."""

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import dropbox_api

PACKAGE = Path(dropbox_api.__file__).parent


@cache
def modules() -> dict[str, ast.Module]:
    """Return every module of the server by its path within the package."""
    paths = sorted(path for path in PACKAGE.rglob("*.py") if "_alembic" not in path.parts)
    return {str(path.relative_to(PACKAGE)): ast.parse(path.read_text(encoding="utf-8")) for path in paths}


def calls(tree: ast.AST) -> Iterator[ast.Call]:
    return (node for node in ast.walk(tree) if isinstance(node, ast.Call))


def last_name(node: ast.AST) -> str:
    """Return `c` of `a.b.c`, "" for anything that is no name."""
    if isinstance(node, ast.Attribute):
        return node.attr
    return node.id if isinstance(node, ast.Name) else ""


@cache
def failpoints() -> frozenset[str]:
    """Return the names of all failpoints in the server."""
    found = set()
    for tree in modules().values():
        for call in calls(tree):
            if last_name(call.func) == "failpoint" and call.args:
                (name,) = call.args
                assert isinstance(name, ast.Constant), "a failpoint's name is a literal, or no test can find it"
                assert isinstance(name.value, str)
                found.add(name.value)
    return frozenset(found)
