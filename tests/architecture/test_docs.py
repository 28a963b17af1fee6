"""The documentation lists every problem and every setting."""

import json
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

from pydantic import BaseModel

from dropbox_api.problems import all_problems
from dropbox_api.settings import Settings

DOCS = Path(__file__).parents[2] / "docs"
TESTS = Path(__file__).parents[1]
DEFINED_TEST = re.compile(r"def (test_\w+)")
NAMED_TEST = re.compile(r"\btest_\w+")
SERVER = Path(__file__).parents[2] / "src" / "dropbox_api"
NAMED_MODULE = re.compile(r"`((?:[a-z_]+[./])+[a-z_]+)`")
FIRST_CELL = re.compile(r"^(?:\|\s*|#+ )`([^`]+)`", re.MULTILINE)


def listed(page: str) -> list[str]:
    """Return the names that a page lists: code-quoted first cells of table rows, and code-quoted headings."""
    return FIRST_CELL.findall((DOCS / page).read_text(encoding="utf-8"))


def variables(model: type[BaseModel], prefix: str = "DROPBOX_") -> Iterator[str]:
    for name, field in model.model_fields.items():
        group = field.annotation
        if isinstance(group, type) and issubclass(group, BaseModel):
            yield from variables(group, f"{prefix}{name.upper()}__")
        else:
            yield f"{prefix}{name.upper()}"


def test_tests_named_in_the_documentation_exist() -> None:
    modules = [(path.stem, path.read_text(encoding="utf-8")) for path in TESTS.rglob("test_*.py")]
    known = {stem for stem, _ in modules} | {name for _, text in modules for name in DEFINED_TEST.findall(text)}
    named = [(page, name) for page in DOCS.rglob("*.md") for name in NAMED_TEST.findall(page.read_text("utf-8"))]
    assert len(named) > 100
    assert [f"{page.relative_to(DOCS)}: {name}" for page, name in named if name not in known] == []


def is_module_or_member(name: str) -> bool:
    """Return whether a name is a module of the server, a word in the module that its beginning names, or a path."""
    parts = re.split(r"[./]", name.removesuffix(".py"))
    folder, module = SERVER.joinpath(*parts), SERVER.joinpath(*parts[:-1]).with_suffix(".py")
    return (
        folder.is_dir()
        or (DOCS.parent / name).exists()  # `web` is a folder of the repository, too
        or folder.with_suffix(".py").is_file()
        or (module.is_file() and re.search(rf"\b{parts[-1]}\b", module.read_text("utf-8")) is not None)
    )


def test_server_modules_named_in_the_documentation_exist() -> None:
    features = {path.stem for path in SERVER.iterdir()}
    names = [(page, name) for page in DOCS.rglob("*.md") for name in NAMED_MODULE.findall(page.read_text("utf-8"))]
    named = [(page, name) for page, name in names if re.split(r"[./]", name)[0] in features]
    assert len(named) > 20
    assert [f"{page.relative_to(DOCS)}: {name}" for page, name in named if not is_module_or_member(name)] == []


def test_documented_problems_are_exactly_the_problems() -> None:
    assert sorted(listed("problems.md")) == sorted(all_problems())


def test_documented_settings_are_exactly_the_settings() -> None:
    assert sorted(listed("settings.md")) == sorted(variables(Settings))


def test_each_dependency_has_its_reason_in_the_decision() -> None:
    project = tomllib.loads((DOCS.parent / "pyproject.toml").read_text(encoding="utf-8"))
    groups = [project["project"]["dependencies"], *project["project"]["optional-dependencies"].values()]
    groups += project["dependency-groups"].values()
    names = {re.split(r"[\[<>=~! ]", requirement)[0] for group in groups for requirement in group}
    for folder in (".", "clients/js", "web"):
        package = json.loads((DOCS.parent / folder / "package.json").read_text(encoding="utf-8"))
        names |= package.get("dependencies", {}).keys() | package["devDependencies"].keys()
    page = (DOCS / "adr" / "0011-dependencies.md").read_text(encoding="utf-8")
    reasoned = {name for row in re.findall(r"^\| ([^|*]+) \|", page, re.MULTILINE) for name in row.split(", ")}
    assert sorted(names - reasoned) == []
    assert sorted(reasoned - names - {"package", "---"}) == []
