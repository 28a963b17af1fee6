"""The server's source as syntax trees, for the architecture tests and the kill matrix."""

import ast
from collections.abc import Callable, Collection, Iterable, Iterator
from functools import cache
from pathlib import Path

import dropbox_api

PACKAGE = Path(dropbox_api.__file__).parent


@cache
def modules() -> dict[str, ast.Module]:
    """Return every module of the server by its path within the package."""
    paths = sorted(path for path in PACKAGE.rglob("*.py") if "_alembic" not in path.parts)
    return {str(path.relative_to(PACKAGE)): ast.parse(path.read_text(encoding="utf-8")) for path in paths}


def offenders(rule: Callable[[ast.AST], Iterable[str]], *, except_in: Collection[str] = ()) -> list[str]:
    """Return `path:line: text` for everything in the server that breaks `rule`, which yields `line: text`."""
    return [f"{path}:{found}" for path, tree in modules().items() if path not in except_in for found in rule(tree)]


def calls(tree: ast.AST) -> Iterator[ast.Call]:
    return (node for node in ast.walk(tree) if isinstance(node, ast.Call))


def last_name(node: ast.AST) -> str:
    """Return `c` of `a.b.c`, "" for any other expression."""
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
