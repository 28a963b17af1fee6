"""Rules of names and types that keep one meaning for each word, checked on the syntax."""

import ast
from collections import defaultdict
from collections.abc import Iterator, Mapping

from tests.support.source import modules, offenders

S3_STORE_USERS = {path for path in modules() if path.startswith("storage/")} | {"app.py", "workers/runner.py"}
"""Modules that open the store. All others take `ObjectStore`."""


def s3_store_imports(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and any(alias.name == "S3Store" for alias in node.names):
            yield f"{node.lineno}: S3Store"


def ambiguous_classes(trees: Mapping[str, ast.Module]) -> list[str]:
    """Return the public classes that several modules define, except a schema with the name of the row it shows."""
    places = defaultdict(list)
    for path, tree in trees.items():
        for node in tree.body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                places[node.name].append("schemas.py" if path.endswith("/schemas.py") else path)
    return sorted(
        f"{name}: {', '.join(paths)}"
        for name, paths in places.items()
        if len(paths) > 1 and sorted(paths) != ["models.py", "schemas.py"]
    )


def test_s3_store_is_imported_only_where_it_is_opened() -> None:
    assert offenders(s3_store_imports, except_in=S3_STORE_USERS) == []


def test_public_class_names_have_one_meaning() -> None:
    assert ambiguous_classes(modules()) == []


def test_rules_see_what_they_forbid() -> None:
    assert list(s3_store_imports(ast.parse("from dropbox_api.storage.s3 import S3Config, S3Store"))) == ["1: S3Store"]
    one, two = ast.parse("class A: ...\nclass _B: ..."), ast.parse("class A: ...\nclass _B: ...")
    assert ambiguous_classes({"a.py": one, "b.py": two}) == ["A: a.py, b.py"]
    assert ambiguous_classes({"x/schemas.py": one, "y/schemas.py": two}) == ["A: schemas.py, schemas.py"]
    assert ambiguous_classes({"x/schemas.py": one, "models.py": two}) == []
