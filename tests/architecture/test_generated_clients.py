"""Clients that other tools generate from openapi.yaml compile: TypeScript, the npm package, and a Python client."""

import json
import subprocess
import sys
import tarfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
SPECIFICATION = ROOT / "openapi.yaml"
BIN = Path(sys.executable).parent
TOOLS = ROOT / "node_modules" / ".bin"
TSC = ("--strict", "--noEmit", "--target", "es2022", "--module", "esnext", "--moduleResolution", "bundler")


def run(*command: str | Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=240, check=False)


@pytest.fixture(scope="module")
def types(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with the TypeScript types of openapi.yaml in `schema.ts`."""
    folder = tmp_path_factory.mktemp("typescript")
    made = run(BIN / "node", TOOLS / "openapi-typescript", SPECIFICATION, "-o", folder / "schema.ts", cwd=folder)
    assert made.returncode == 0, made.stdout + made.stderr
    return folder


def check_types(folder: Path, source: str) -> str:
    """Return what the TypeScript compiler says about a module beside the types, "" when it compiles."""
    (folder / "usage.ts").write_text(source, encoding="utf-8")
    return run(BIN / "node", TOOLS / "tsc", *TSC, "usage.ts", cwd=folder).stdout


def write_switch(codes: list[str]) -> str:
    cases = "\n".join(f"    case {json.dumps(code)}: return 1;" for code in codes)
    return f"""
import type {{ components }} from "./schema";
type Code = components["schemas"]["ProblemCode"];
export function weigh(code: Code): number {{
  switch (code) {{
{cases}
    default: return ((missing: never) => missing)(code);
  }}
}}
"""


@pytest.fixture(scope="module")
def codes() -> list[str]:
    document: Mapping[str, Any] = yaml.safe_load(SPECIFICATION.read_text(encoding="utf-8"))
    found: list[str] = document["components"]["schemas"]["ProblemCode"]["enum"]
    return found


def test_typescript_switch_over_all_problem_codes_is_exhaustive(types: Path, codes: list[str]) -> None:
    assert check_types(types, write_switch(codes)) == ""
    assert "is not assignable to parameter of type 'never'" in check_types(types, write_switch(codes[1:]))


def test_typescript_problem_narrows_by_code_to_its_members(types: Path) -> None:
    source = """
import type { components } from "./schema";
type Problem = components["schemas"]["Problem"];
export function describe(problem: Problem): string {
  if (problem.code === "parts-missing") return problem.missing;
  if (problem.code === "name-taken") return problem.file_id ?? "";
  return problem.detail;
}
"""
    assert check_types(types, source) == ""
    assert "does not exist" in check_types(types, source.replace('"parts-missing"', '"not-found"'))


def test_packed_javascript_client_compiles_and_runs_in_another_project(tmp_path: Path) -> None:
    package = ROOT / "clients" / "js"
    for command in (("run", "build"), ("pack", "--pack-destination", tmp_path)):
        made = run(BIN / "npm", *command, "--silent", cwd=package)
        assert made.returncode == 0, made.stdout + made.stderr
    modules = tmp_path / "node_modules"
    with tarfile.open(next(tmp_path.glob("*.tgz"))) as archive:
        archive.extractall(tmp_path, filter="data")
    assert (tmp_path / "package" / "LICENSE").read_bytes() == (ROOT / "LICENSE").read_bytes()
    modules.mkdir()
    (tmp_path / "package").rename(modules / "dropbox-api-client")
    for name in ("openapi-fetch", "openapi-typescript-helpers"):
        (modules / name).symlink_to(ROOT / "node_modules" / name)
    source = """
import { createClient, isProblem } from "dropbox-api-client";
const client = createClient({ baseUrl: "http://localhost:1" });
export async function describe(): Promise<string> {
  try {
    return (await client.api.GET("/v1/files")).data.items[0].name;
  } catch (error) {
    return isProblem(error, "cursor-expired") ? error.problem.reason : String(error);
  }
}
"""
    assert check_types(tmp_path, source) == ""
    assert "does not exist" in check_types(tmp_path, source.replace(".reason", ".missing"))
    (tmp_path / "usage.mts").write_text(source + "console.log(await describe());", encoding="utf-8")
    assert run(BIN / "node", "usage.mts", cwd=tmp_path).stdout == "ConnectionProblem: No answer from localhost:1\n"


def test_generated_python_client_compiles_without_errors(tmp_path: Path) -> None:
    generated = run(
        BIN / "openapi-python-client",
        *("generate", "--path", SPECIFICATION, "--meta", "none", "--output-path", tmp_path / "generated"),
        cwd=tmp_path,
    )
    assert generated.returncode == 0, generated.stdout + generated.stderr
    assert "Error(s)" not in generated.stdout
    compiled = run(sys.executable, "-m", "compileall", "-q", tmp_path / "generated", cwd=tmp_path)
    assert compiled.returncode == 0, compiled.stdout
    program = "from generated.api.files import files_get; from generated.models import File; print(File.__name__)"
    assert run(sys.executable, "-c", program, cwd=tmp_path).stdout.strip() == "File"
