"""A problem carries exactly the members that its class declares, wherever the server raises it."""

import ast
from collections.abc import Iterator
from types import NoneType
from typing import get_args

from dropbox_api.problems import Problem, all_problems
from tests.support.source import calls, last_name, modules

PROBLEMS: dict[str, type[Problem]] = {problem.__name__: problem for problem in all_problems().values()}
GENERAL = {"detail", "retry_after_s"}


def find_wrong_members(tree: ast.AST) -> Iterator[str]:
    for call in calls(tree):
        problem = PROBLEMS.get(last_name(call.func))
        if problem is None or any(keyword.arg is None for keyword in call.keywords):
            continue
        given = {keyword.arg for keyword in call.keywords if keyword.arg} - GENERAL
        members = problem.members()
        required = {name for name, kind in members.items() if NoneType not in get_args(kind)} - GENERAL
        for name in sorted(given - set(members)):
            yield f"{call.lineno}: {problem.__name__} does not declare {name}"
        for name in sorted(required - given):
            yield f"{call.lineno}: {problem.__name__} lacks {name}"


def test_problems_are_raised_with_the_members_that_they_declare() -> None:
    # The object store has errors of the same names.
    sources = {path: tree for path, tree in modules().items() if not path.startswith("storage/")}
    assert [f"{path}:{found}" for path, tree in sources.items() for found in find_wrong_members(tree)] == []


def test_rule_sees_what_it_forbids() -> None:
    tree = ast.parse("raise problems.PartsMissing(missing=1, name=2)")
    assert list(find_wrong_members(tree)) == [
        "1: PartsMissing does not declare name",
        "1: PartsMissing lacks mismatched",
    ]
