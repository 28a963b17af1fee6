"""Names: validation, equality, conflict names, paths, and names in archives."""

import hashlib
import json
from pathlib import Path

import pytest

from dropbox_api.core import names
from dropbox_api.core.names import BadName

SORT_KEYS = json.loads((Path(__file__).parents[1] / "vectors/sort_keys.json").read_text(encoding="utf-8"))

DECOMPOSED, COMPOSED = "Cafe\u0301.txt", "Café.txt"


@pytest.mark.parametrize(
    "name",
    [
        "report.pdf",
        "...",
        ".bashrc",
        " leading and trailing ",
        "trailing dot.",
        "CON",
        "12:30",
        "a\\b",
        'q"<>|*?',
        "日本語",
        "👩\u200d👧 family",  # zero-width joiner
        "\u202egpj.exe",  # bidirectional override: allowed, displays must handle it
        "x" * 255,
        "é" * 127,
    ],
)
def test_clean_name_keeps_a_valid_name(name: str) -> None:
    assert names.clean_name(name) == name


def test_clean_name_composes_to_nfc() -> None:
    assert names.clean_name(DECOMPOSED) == COMPOSED


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("", "empty"),
        (".", "dot-name"),
        ("..", "dot-name"),
        ("/", "slash"),
        ("a/b", "slash"),
        ("a\0", "control-character"),
        ("a\n", "control-character"),
        ("a\x7f", "control-character"),
        ("a\x85", "control-character"),
        ("a\u2028", "control-character"),
        ("a\u2029", "control-character"),
        ("a\ud800", "surrogate"),
        ("\udfff\ud800", "surrogate"),
        ("x" * 256, "too-long"),
        ("é" * 128, "too-long"),
        ("x" * 1021, "too-long"),
    ],
)
def test_clean_name_of_an_invalid_name_gives_the_reason(name: str, reason: str) -> None:
    with pytest.raises(BadName) as error:
        names.clean_name(name)
    assert error.value.reason == reason


def test_length_of_a_name_is_counted_after_composition() -> None:
    assert names.clean_name("e\u0301" * 127) == "é" * 127  # 381 bytes as typed, 254 as stored
    three_for_two_bytes = "U\u0308\u0304"
    assert names.clean_name(three_for_two_bytes * 127) == "Ǖ" * 127


def test_clean_name_of_hostile_length_is_refused_quickly() -> None:
    # Alternating combining classes make normalisation quadratic: it would exceed the time limit of the test.
    with pytest.raises(BadName, match="255"):
        names.clean_name("a" + "\u0301\u0323" * 1_000_000)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("README", "readme"),
        (DECOMPOSED, COMPOSED.upper()),
        ("straße", "STRASSE"),
        ("ΣΊΣΥΦΟΣ", "σίσυφος"),  # final sigma
        ("\u01f0", "J\u030c"),  # folds to two characters that compose again
        ("Å", "\u212b"),  # the angstrom sign is a letter with a ring
    ],
)
def test_keys_of_equivalent_names_are_equal(one: str, other: str) -> None:
    assert names.make_key(one) == names.make_key(other)


@pytest.mark.parametrize(("one", "other"), [("a", "á"), ("a", "a "), ("a", "\uff41"), ("i", "\u0131"), ("a.b", "a:b")])
def test_keys_of_different_names_differ(one: str, other: str) -> None:
    assert names.make_key(one) != names.make_key(other)


@pytest.mark.parametrize(
    ("name", "first"),
    [
        ("report.pdf", "report (1).pdf"),
        ("report", "report (1)"),
        ("src.tar.gz", "src (1).tar.gz"),
        ("SRC.TAR.ZST", "SRC (1).TAR.ZST"),
        ("a.b.c", "a.b (1).c"),
        ("x.tar", "x (1).tar"),
        (".bashrc", ".bashrc (1)"),
        (".tar.gz", ".tar (1).gz"),
        (".config.json", ".config (1).json"),
        ("Mr. Smith", "Mr. Smith (1)"),
        ("and so on...", "and so on... (1)"),
        ("v1.a-very-long-ending-indeed", "v1.a-very-long-ending-indeed (1)"),
        ("report (1).pdf", "report (1) (1).pdf"),
        ("写真.jpg", "写真 (1).jpg"),
    ],
)
def test_conflict_name_numbers_the_stem(name: str, first: str) -> None:
    assert names.make_conflict_name(name, 1) == first


def test_conflict_name_of_a_long_name_is_cut_at_whole_characters() -> None:
    assert names.make_conflict_name("x" * 251 + ".pdf", 12) == "x" * 246 + " (12).pdf"
    name = names.make_conflict_name(
        "é" * 125 + ".pdf", 1
    )  # 254 bytes; 247 are left for the stem, and 246 hold whole letters
    assert name == "é" * 123 + " (1).pdf"


def test_free_name_is_the_first_one_not_taken() -> None:
    assert names.pick_free_name("a.txt", set()) == "a.txt"
    assert names.pick_free_name("A.txt", {"a.txt"}) == "A (1).txt"
    assert names.pick_free_name("A.txt", {"a.txt", "a (1).txt", "a (3).txt"}) == "A (2).txt"
    its_own_conflict_name = "x" * 247 + " (1).pdf"  # of maximal length: cutting it gives the same name
    assert names.pick_free_name(its_own_conflict_name, {its_own_conflict_name}) == "x" * 247 + " (2).pdf"


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("", []),
        ("/", []),
        ("a", ["a"]),
        ("/a/b/c", ["a", "b", "c"]),
        ("a/b/c", ["a", "b", "c"]),
        ("/a/b/", ["a", "b"]),
        ("/" + DECOMPOSED, [COMPOSED]),
        ("/a" * 100, ["a"] * 100),
        ("//", []),
        ("/" * 1_000_000, []),
        ("//a", ["a"]),
        ("a//b", ["a", "b"]),
        ("a//", ["a"]),
        (".", []),
        ("./a/./b/.", ["a", "b"]),
        ("/.a/..b/...", [".a", "..b", "..."]),
    ],
)
def test_split_path_returns_clean_names(path: str, expected: list[str]) -> None:
    assert names.split_path(path) == expected


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("a/../b", "dot-name"),
        ("..", "dot-name"),
        ("/a/./../b", "dot-name"),
        ("a/\0", "control-character"),
        ("/a" * 101, "too-deep"),
    ],
)
def test_split_path_of_an_invalid_path_gives_the_reason_and_names_the_path(path: str, reason: str) -> None:
    with pytest.raises(BadName) as error:
        names.split_path(path)
    assert error.value.reason == reason
    assert repr(path[:500])[:-1] in str(error.value)


@pytest.mark.parametrize(
    ("name", "safe"),
    [
        ("report.pdf", "report.pdf"),
        (".bashrc", ".bashrc"),
        ("👩\u200d👧 שלום.txt", "👩\u200d👧 שלום.txt"),
        ("..\\evil", ".._evil"),
        ("C:\\x", "C__x"),
        ('a*b?c"d<e>f|g', "a_b_c_d_e_f_g"),
        ("trailing dot.", "trailing dot_"),
        ("trailing space. ", "trailing space__"),
        ("...", "___"),
        ("\u202egpj.exe", "_gpj.exe"),
        ("CON", "CON_"),
        ("con.txt", "con_.txt"),
        ("aux .c", "aux _.c"),
        ("Lpt1.tar.gz", "Lpt1_.tar.gz"),
        ("COM¹", "COM¹_"),
        ("CONIN$", "CONIN$_"),
        ("console", "console"),
        ("com10", "com10"),
        ("a.con", "a.con"),
        ("nul." + "x" * 251, "nul_." + "x" * 250),
        ("nul." + "x" * 249 + ".x", "nul_." + "x" * 249 + "_"),
    ],
)
def test_archive_name_is_safe_on_every_system(name: str, safe: str) -> None:
    assert names.make_archive_name(name) == safe


@pytest.mark.parametrize(
    ("key", "folded"),
    [
        ("résumé", "resume"),
        ("łódź", "lodz"),
        ("æther øre", "aether ore"),
        ("がん 한국 हि", "がん 한국 हि"),
    ],
)
def test_folded_key_has_no_accents_and_keeps_other_scripts(key: str, folded: str) -> None:
    assert names.fold_key(key) == folded


def order(*given: str) -> list[str]:
    return sorted(given, key=lambda name: names.make_sort_key(names.make_key(name)))


@pytest.mark.parametrize(
    "ordered",
    [
        ["file2", "file10", "file100"],
        ["file", "file 1", "file1", "file1a", "filea"],
        ["v1.9.3", "v1.10.0", "v2"],
        ["007", "07", "7", "8"],
        ["0", "1", "9" * 9, "1" + "0" * 9, "9" * 200, "1" + "0" * 200],
        ["Apfel", "äpfel", "Apfelbaum", "Birne"],
        ["lodz", "Łódź", "lodza"],
        ["strasa", "Straße", "strasse 2", "straßen"],
        ["\u0662", "3", "\u0661\u0660"],
        ["日本2", "日本10"],
        ["a", "a ", "a b", "a-b", "a.b", "a1", "ab"],
    ],
    ids=lambda ordered: ordered[0],
)
def test_sort_key_puts_names_in_natural_order(ordered: list[str]) -> None:
    assert order(*reversed(ordered)) == ordered


def test_sort_keys_match_the_vectors_on_every_version_of_unicode() -> None:
    """Stored keys were made by another version of Python: this one must make the same for every character."""
    assert SORT_KEYS["version"] == names.SORT_VERSION
    for vector in SORT_KEYS["keys"]:
        assert names.make_sort_key(names.make_key(vector["name"])) == vector["key"]
    digest = hashlib.sha256()
    for character in map(chr, (*range(0xD800), *range(0xE000, 0x110000))):
        digest.update(names.make_sort_key(character).encode())
    assert digest.hexdigest() == SORT_KEYS["digest"]
