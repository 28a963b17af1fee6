"""Names that the sync client ignores."""

import pytest

from dropbox_client.sync.ignores import Ignores, is_always_ignored, lock_names


@pytest.mark.parametrize(
    "name",
    [
        "~$report.docx",
        ".~lock.report.odt#",
        "~WRD0001.tmp",
        "lu12345abcd.tmp",
        "notes.txt~",
        ".#notes.txt",
        "#notes.txt#",
        ".notes.txt.swp",
        ".goutputstream-4XK1Z2",
        ".dbx",
        ".cat.raw.0123456789abcdef.dbx-part",
        "film.mkv.CRDOWNLOAD",
        "film.mkv.part",
        "Thumbs.db",
        ".DS_Store",
        "._picture.jpg",
    ],
)
def test_rule_6_temporary_names_are_always_ignored(name: str) -> None:
    assert is_always_ignored(name)
    assert Ignores("!*").has_match("a/b", name, is_folder=False)


@pytest.mark.parametrize(
    "name",
    ["report.docx", ".bashrc", "a~b", "4913", "part", ".dbxignore", "lu.tmp", "$x", ".gitignore", "swp", "a.tmp"],
)
def test_ordinary_names_are_kept(name: str) -> None:
    assert not is_always_ignored(name)
    assert not Ignores().has_match("", name, is_folder=False)


def test_rules_are_those_of_gitignore() -> None:
    ignores = Ignores("# built files\nnode_modules/\n*.o\n!keep.o\n/top\n")
    assert ignores.has_match("a/b", "node_modules", is_folder=True)
    assert not ignores.has_match("a/b", "node_modules", is_folder=False)
    assert ignores.has_match("a", "x.o", is_folder=False)
    assert not ignores.has_match("a", "keep.o", is_folder=False)
    assert ignores.has_match("", "top", is_folder=False)
    assert not ignores.has_match("a", "top", is_folder=False)


def test_path_below_an_ignored_folder_is_ignored() -> None:
    ignores = Ignores("build/\n!build/keep")
    assert ignores.has_path("a/build/keep", is_folder=False)
    assert ignores.has_path(".dbx/trash/x", is_folder=False)
    assert not ignores.has_path("a/b/keep", is_folder=False)
    assert not ignores.has_path("build", is_folder=False)


def test_line_that_is_no_pattern_is_named_and_the_others_count() -> None:
    ignores = Ignores("*.o\n!\n*.a")
    assert ignores.invalid_lines == [2]
    assert all(ignores.has_match("", name, is_folder=False) for name in ("x.o", "x.a"))


def test_name_that_is_no_unicode_is_matched() -> None:
    name = b"caf\xe9.o".decode(errors="surrogateescape")
    assert Ignores("*.o").has_match("", name, is_folder=False)
    assert not Ignores("*.a").has_match("", name, is_folder=False)


def test_rule_6_locks_of_a_document_are_known() -> None:
    locks = lock_names("report.docx")
    assert {"~$report.docx", "~$port.docx", ".~lock.report.docx#"} <= set(locks)
    assert all(is_always_ignored(lock) for lock in locks)
