"""The rules of transactions (ADR 0001), checked on the syntax: no test can provoke every way to break them."""

import ast
from collections.abc import Iterator

from tests.support.source import calls, last_name, modules, offenders

NETWORK = {"context", "db", "services", "store"}
"""Names of the values that reach the network. `Context` and `Services` hold both the store and the database."""

Function = ast.FunctionDef | ast.AsyncFunctionDef


def functions(tree: ast.AST) -> Iterator[Function]:
    return (node for node in ast.walk(tree) if isinstance(node, Function))


def parameters(function: Function) -> set[str]:
    arguments = function.args
    return {argument.arg for argument in (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs)}


def opens_transaction(block: ast.AsyncWith) -> bool:
    """Return whether the block is `async with db.begin()`, `async with context.db.read()` and the like."""
    opened = (item.context_expr for item in block.items)
    return any(
        isinstance(call, ast.Call)
        and isinstance(call.func, ast.Attribute)
        and call.func.attr in {"begin", "read"}
        and last_name(call.func.value) == "db"
        for call in opened
    )


def network_in(block: ast.AsyncWith) -> Iterator[str]:
    """Yield every use of the object store and of a second transaction inside a transaction's block."""
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


def commits(tree: ast.AST) -> Iterator[str]:
    for call in calls(tree):
        if isinstance(call.func, ast.Attribute) and call.func.attr == "commit":
            yield f"{call.lineno}: {last_name(call.func.value)}.commit()"


def mixed_functions(tree: ast.AST) -> Iterator[str]:
    """Yield the functions that take `tx` together with a value that reaches the network."""
    for function in functions(tree):
        taken = parameters(function)
        if "tx" in taken and taken & NETWORK:
            yield f"{function.lineno}: {function.name}"


def held_over_network(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.AsyncWith) and opens_transaction(node):
            yield from network_in(node)


def test_commit_outside_db_is_absent() -> None:
    assert offenders(commits, except_in={"db.py"}) == []


def test_function_with_tx_takes_nothing_that_reaches_the_network() -> None:
    assert offenders(mixed_functions) == []


def test_transaction_block_never_reaches_the_network() -> None:
    assert offenders(held_over_network) == []


def test_rules_see_what_they_forbid() -> None:
    """Without this test, a renamed variable would make the rules pass for ever."""
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
    assert list(commits(tree)) == ["9: tx.commit()"]
    assert list(mixed_functions(tree)) == ["2: f"]
    assert list(held_over_network(tree)) == [
        "4: store.head()",
        "5: discard() gets db and store",
        "6: end_upload() gets context",
        "7: store.head()",
    ]
    blocks = [node for source in modules().values() for node in ast.walk(source) if isinstance(node, ast.AsyncWith)]
    assert sum(map(opens_transaction, blocks)) > 30
