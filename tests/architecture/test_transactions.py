"""The rules of transactions (docs/adr), read off the syntax: no test could provoke every way to break them."""

import ast
from collections.abc import Iterator

import pytest

from tests.support.source import calls, last_name, modules

NETWORK = {"context", "db", "services", "store"}
"""Names of the values that reach the network. `Context` and `Services` hold both the store and the database."""

Function = ast.FunctionDef | ast.AsyncFunctionDef


def functions(tree: ast.AST) -> Iterator[Function]:
    return (node for node in ast.walk(tree) if isinstance(node, Function))


def parameters(function: Function) -> set[str]:
    arguments = function.args
    return {argument.arg for argument in (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs)}


def opens_transaction(block: ast.AsyncWith) -> bool:
    """Tell `async with db.begin()` and `async with state.db.read()`."""
    opened = (item.context_expr for item in block.items)
    return any(
        isinstance(call, ast.Call)
        and isinstance(call.func, ast.Attribute)
        and call.func.attr in {"begin", "read"}
        and last_name(call.func.value) == "db"
        for call in opened
    )


def network_in(block: ast.AsyncWith) -> Iterator[str]:
    """Yield what a transaction's block does with the object store, or with a second transaction."""
    for statement in block.body:
        for call in calls(statement):
            owner = last_name(call.func.value) if isinstance(call.func, ast.Attribute) else ""
            given = {last_name(argument) for argument in (*call.args, *(keyword.value for keyword in call.keywords))}
            # Presigning is arithmetic.
            if owner == "store" and not last_name(call.func).startswith("sign"):
                yield f"{call.lineno}: store.{last_name(call.func)}()"
            elif owner == "db":
                yield f"{call.lineno}: a transaction inside a transaction"
            elif reached := given & NETWORK:
                yield f"{call.lineno}: {last_name(call.func)}() gets {' and '.join(sorted(reached))}"


def commits(tree: ast.AST) -> list[int]:
    return [call.lineno for call in calls(tree) if isinstance(call.func, ast.Attribute) and call.func.attr == "commit"]


def mixes(tree: ast.AST) -> list[str]:
    return [
        f"{function.lineno}: {function.name}"
        for function in functions(tree)
        if "tx" in (taken := parameters(function)) and taken & NETWORK
    ]


def held_over_network(tree: ast.AST) -> list[str]:
    blocks = (node for node in ast.walk(tree) if isinstance(node, ast.AsyncWith) and opens_transaction(node))
    return [found for block in blocks for found in network_in(block)]


@pytest.mark.parametrize("path", modules())
def test_only_db_commits(path: str) -> None:
    assert path == "db.py" or not commits(modules()[path])


@pytest.mark.parametrize("path", modules())
def test_a_function_joins_a_transaction_or_owns_its_own(path: str) -> None:
    assert not mixes(modules()[path])


@pytest.mark.parametrize("path", modules())
def test_no_transaction_is_held_over_the_network(path: str) -> None:
    assert not held_over_network(modules()[path])


def test_the_rules_see_what_they_forbid() -> None:
    """Without this, a renamed variable would make them pass for ever."""
    held = """
async def f(db, store, tx):
    async with db.begin() as tx:
        await store.head("key")
        await discard(db, store)
        await end_upload(context)
        await context.store.head("key")
        context.store.sign_put("key")
    await tx.commit()
"""
    tree = ast.parse(held)
    assert commits(tree) == [9]
    assert mixes(tree) == ["2: f"]
    assert held_over_network(tree) == [
        "4: store.head()",
        "5: discard() gets db and store",
        "6: end_upload() gets context",
        "7: store.head()",
    ]
    blocks = [node for source in modules().values() for node in ast.walk(source) if isinstance(node, ast.AsyncWith)]
    assert sum(map(opens_transaction, blocks)) > 30
