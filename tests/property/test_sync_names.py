"""Names of the sync client: those of the server survive a disk; derived names fit, are new, and keep their form."""

import itertools
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dropbox_api.core.names import clean_name, make_key
from dropbox_client.sync.names import (
    MAX_BYTES,
    BadLocalName,
    RootTraits,
    is_conflict_name,
    make_conflict_names,
    make_local_key,
    make_park_names,
    make_twin_names,
    pick_free_name,
    read_name,
    write_name,
)
from tests.property.test_names import clean_names, typed

LINUX = RootTraits()
DAY = "2026-11-30"
traits = st.builds(RootTraits, st.booleans(), st.booleans(), st.booleans())
windows_like = st.lists(st.sampled_from(["con", "NUL", "lpt9", "%", "%3A", "%25", "3A", ":", ".", " ", "é", "x" * 84]))


names_for_disks = clean_names() | windows_like.map("".join).filter(
    lambda name: name.strip(". ") != "" and len(name) < 255
)


@given(names_for_disks, traits)
def test_name_of_the_server_comes_back_from_any_disk_unchanged(name: str, root: RootTraits) -> None:
    try:
        written = write_name(name, root)
    except BadLocalName:  # too long when escaped or decomposed, or an accent would join an escape
        return
    assert read_name(written, root) == name
    assert len(written) <= MAX_BYTES
    if root.is_windows:
        composed = unicodedata.normalize("NFC", written.decode())  # as a system that decomposes writes them to exFAT
        assert not set(composed) & set('<>:"\\|?*')
        assert not written.endswith((b".", b" "))


def test_name_whose_accent_would_join_an_escape_is_refused() -> None:
    with pytest.raises(BadLocalName):
        write_name("<\u0327", RootTraits(is_windows=True))
    assert write_name("\u226e", RootTraits(is_windows=True)) == "\u226e".encode()


@given(st.binary(min_size=1, max_size=300) | typed.map(lambda name: name.encode(errors="surrogatepass")), traits)
def test_name_on_disk_becomes_one_that_the_server_takes_or_is_refused(name: bytes, root: RootTraits) -> None:
    try:
        text = read_name(name, root)
    except BadLocalName:
        return
    assert clean_name(text) == text


@given(clean_names(), clean_names())
def test_names_of_one_local_key_are_one_name_of_the_server(one: str, other: str) -> None:
    blind = RootTraits(is_case_blind=True)
    keys = [make_local_key(write_name(name, blind), blind) for name in (one, other)]
    assert (keys[0] == keys[1]) == (make_key(one) == make_key(other))


def test_local_key_of_a_plain_disk_is_the_name_itself() -> None:
    assert make_local_key(b"A\xff", LINUX) == b"A\xff"
    assert make_local_key(b"A\xff", RootTraits(is_case_blind=True)) == b"a\xff"
    composed, decomposed = "é".encode(), unicodedata.normalize("NFD", "é").encode()
    assert make_local_key(decomposed, RootTraits(is_decomposed=True)) == composed


@given(clean_names(), st.text(max_size=300))
def test_conflict_name_fits_keeps_its_extension_and_is_recognized(name: str, device: str) -> None:
    for copy in itertools.islice(make_conflict_names(name, device, DAY), 3):
        assert clean_name(copy) == copy
        assert is_conflict_name(copy)
        assert DAY in copy


@given(clean_names(), st.text(max_size=30))
def test_conflict_copy_of_a_copy_has_one_mark(name: str, device: str) -> None:
    copy = next(make_conflict_names(name, device, DAY))
    assert next(make_conflict_names(copy, "laptop", DAY)).count("(conflict copy of") == 1 + name.count(
        "(conflict copy of"
    )


@given(clean_names())
def test_twin_and_park_names_fit_and_differ(name: str) -> None:
    for names in (make_twin_names(name), make_park_names(name, "1a2b")):
        keys = {make_key(clean_name(one)) for one in itertools.islice(names, 4)}
        assert len(keys | {make_key(name)}) == 5


@given(names_for_disks, traits)
def test_derived_names_fit_on_the_disk_that_holds_the_name(name: str, root: RootTraits) -> None:
    try:
        write_name(name, root)
    except BadLocalName:
        return
    made = (make_twin_names(name, root), make_park_names(name, "1a2b", root), make_conflict_names(name, "a", DAY, root))
    for one in itertools.chain.from_iterable(itertools.islice(names, 2) for names in made):
        assert len(write_name(one, root)) <= MAX_BYTES


def test_derived_name_of_a_long_name_with_escapes_fits() -> None:
    windows = RootTraits(is_windows=True)
    (twin,) = itertools.islice(make_twin_names("?" * 84 + "xyz", windows), 1)
    assert write_name(twin, windows) == b"%3F" * 83 + b" (1)"


@pytest.mark.parametrize(
    ("name", "copy"),
    [
        ("report.pdf", f"report (conflict copy of ann s laptop {DAY}).pdf"),
        ("src.tar.gz", f"src (conflict copy of ann s laptop {DAY}).tar.gz"),
        (".bashrc", f".bashrc (conflict copy of ann s laptop {DAY})"),
        ("a (conflict copy of x 2026-01-01 2).txt", f"a (conflict copy of ann s laptop {DAY}).txt"),
    ],
)
def test_conflict_name_names_device_and_day(name: str, copy: str) -> None:
    assert next(make_conflict_names(name, "ann's (laptop)", DAY)) == copy


def test_free_name_has_a_key_that_is_not_taken() -> None:
    assert pick_free_name(make_twin_names("A.txt"), {"a (1).txt"}) == "A (2).txt"


def test_name_with_an_escape_in_it_is_escaped_once() -> None:
    windows = RootTraits(is_windows=True)
    assert write_name("a:%3A.", windows) == b"a%3A%253A%2E"
    assert read_name(b"100%41", windows) == "100%41"
