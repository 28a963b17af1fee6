"""The check of banned words: what it finds, and what it passes over."""

from pathlib import Path

import pytest

from tests.support.words import BANNED, EXEMPT, find_banned, find_in_tree


@pytest.mark.parametrize("word", BANNED)
@pytest.mark.parametrize("line", ["the {} of it", "{}", "# {}'s", "def test_{}_sees_it():", '"{}"', "({}, 1)"])
def test_find_banned_with_each_word_reports_its_line(word: str, line: str) -> None:
    text = "fine\n" + line.format(word)
    assert list(find_banned(text)) == [(2, word)]
    assert [number for number, _ in find_banned(text.upper())] == [2]


@pytest.mark.parametrize(
    "line", ["nobodyX", "Xnobody", "anyones", "their", "no ones", "anoone", "of who", "those whose"]
)
def test_find_banned_inside_a_longer_word_reports_nothing(line: str) -> None:
    assert list(find_banned(line)) == []


def test_find_in_tree_reports_text_files_and_skips_binary_and_exempt_ones(tmp_path: Path) -> None:
    for name, content in {
        "README.md": b"fine\nAnyone",
        "src/a/page.html": b"someone and no one",
        "src/a/image.png": b"\xff nobody",
        "elsewhere/a.py": b"nobody",
        min(EXEMPT): b"nobody",
    }.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    assert list(find_in_tree(tmp_path)) == [
        ("src/a/page.html", 1, "someone"),
        ("src/a/page.html", 1, "no one"),
        ("README.md", 2, "anyone"),
    ]
