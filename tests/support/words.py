"""Report banned words: pronouns that stand where a component, a role or a caller should be named.

`make words` prints `file:line: word` for each one and a count per top folder, and ends with code 1 when there is one.
Words are matched in any case; letters on either side end the match, underscores do not, so that names are checked too.
"""

import re
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PLACES = (
    "src", "tests", "docs", "examples", "bench", "alembic", "deploy", "web", ".ci",
    "README.md", "CONTRIBUTING.md", "CHANGELOG.md", "Makefile", "Dockerfile", "docker-compose.yml", ".env.example",
    "pyproject.toml",
)  # fmt: skip
BANNED = (
    "whoever", "whomever", "nobody", "somebody", "someone", "anybody", "anyone", "everybody", "everyone", "no one",
    "those who", "of whom", "theirs",
)  # fmt: skip
EXEMPT = {"tests/support/words.py", "tests/unit/test_words.py"}

_PATTERN = re.compile(
    r"(?<![a-z])(" + "|".join(word.replace(" ", "[ _-]") for word in BANNED) + r")(?![a-z])", re.IGNORECASE
)


def find_banned(text: str) -> Iterator[tuple[int, str]]:
    """Yield the line number (from 1) and the word of each banned word in `text`."""
    for number, line in enumerate(text.splitlines(), 1):
        for match in _PATTERN.finditer(line):
            yield number, match[1].lower()


def find_in_tree(root: Path) -> Iterator[tuple[str, int, str]]:
    """Yield path (relative to `root`), line and word of each banned word in the text files of `PLACES`."""
    for place in PLACES:
        path = root / place
        for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
            name = file.relative_to(root).as_posix()
            if not file.is_file() or name in EXEMPT or "__pycache__" in name or "node_modules" in name:
                continue
            try:
                text = file.read_text()
            except UnicodeDecodeError:  # an image or another binary file
                continue
            for number, word in find_banned(text):
                yield name, number, word


def main() -> int:
    """Print every banned word of the tree; return the exit code."""
    found = list(find_in_tree(ROOT))
    for name, number, word in found:
        print(f"{name}:{number}: {word}")
    if not found:
        return 0
    counts = Counter(_folder(name) for name, _, _ in found)
    print(f"{len(found)} banned words: " + ", ".join(f"{folder} {count}" for folder, count in sorted(counts.items())))
    print("Name the component, the role or the caller instead; see 'Style' in CONTRIBUTING.md.")
    return 1


def _folder(name: str) -> str:
    parts = name.split("/")
    return "/".join(parts[: 3 if parts[0] == "src" else 2][:-1]) or name


if __name__ == "__main__":
    sys.exit(main())
