"""Names: every typed name is cleaned or refused, and equal names have equal keys."""

import unicodedata

from hypothesis import assume, given, reject
from hypothesis import strategies as st

from dropbox_api.core import names
from dropbox_api.core.names import BadName

# Combining marks, characters that change length when folded or composed, long names: what plain text() seldom draws.
tricky = st.sampled_from(
    [*"aAeIi./ \n\0", "\u0301", "\u0323", "\u0345", "ß", "ẞ", "İ", "\u0131", "ǰ", "Å", "ΐ", "ς", "🎉", "\ud800"]
)
unpackable = st.lists(st.sampled_from(["con", "NUL", "lpt9", "x" * 84, *".. \\:<\u202e\u0338é"])).map("".join)
typed = st.text() | st.text(tricky) | st.text("aé🎉.", min_size=50, max_size=300) | unpackable


@st.composite
def clean_names(draw: st.DrawFn) -> str:
    """A typed name with what `clean_name` refuses taken out, so that few examples are rejected."""
    allowed = (c for c in draw(typed) if c != "/" and unicodedata.category(c) not in {"Cc", "Cs", "Zl", "Zp"})
    name = unicodedata.normalize("NFC", "".join(allowed)).encode()[: names.MAX_BYTES].decode(errors="ignore")
    try:
        return names.clean_name(f"{name}x" if name in {"", ".", ".."} else name)
    except BadName:  # composed again, a name cut short can still change
        reject()


@given(typed)
def test_clean_name_of_a_clean_name_is_unchanged(name: str) -> None:
    try:
        cleaned = names.clean_name(name)
    except BadName:
        return
    assert cleaned == unicodedata.normalize("NFC", name)
    assert names.clean_name(cleaned) == cleaned
    assert len(cleaned.encode()) <= 255
    assert cleaned not in {"", ".", ".."}
    assert not set("/\0\n\r\u2028\u2029") & set(cleaned)


@given(clean_names())
def test_key_of_a_name_ignores_composition_and_case(name: str) -> None:
    key = names.make_key(name)
    assert names.make_key(key) == key
    assert names.make_key(unicodedata.normalize("NFD", name)) == key
    assert names.make_key(name.casefold()) == key


@given(clean_names(), st.integers(0, 300), st.integers(0, 300))
def test_folded_part_of_a_name_is_part_of_the_folded_name(name: str, start: int, stop: int) -> None:
    key = names.make_key(name)
    folded = names.fold_key(key)
    assert names.fold_key(key[start:stop]) in folded
    assert names.fold_key(folded) == folded


def sort_key(name: str) -> str:
    return names.make_sort_key(names.make_key(name))


@given(st.lists(clean_names(), min_size=2, max_size=2))
def test_sort_keys_are_equal_for_equal_names_only(pair: list[str]) -> None:
    one, other = pair
    assert (sort_key(one) == sort_key(other)) == (names.make_key(one) == names.make_key(other))
    assert sort_key(one).partition(names.SORT_SEPARATOR)[2] == names.make_key(one)


@given(clean_names() | st.sampled_from(["\ufdfa", "\u0587", "ab1", "\u33ff"]).map(lambda part: part * 85))
def test_sort_key_fits_an_index(name: str) -> None:
    assert len(sort_key(name).encode()) <= 4 * names.MAX_BYTES + 1
    assert min(sort_key(name).replace(names.SORT_SEPARATOR, "x", 1)) > names.SORT_SEPARATOR


not_digits = st.text(st.characters(exclude_categories=["Cc", "Cs", "Nd", "No", "Nl"]), max_size=20)
numbers = st.integers(0, 300) | st.integers(0, 10**40)


@given(not_digits, not_digits, not_digits, numbers, numbers, st.integers(0, 3))
def test_sort_keys_follow_the_value_of_a_number(
    before: str, after: str, other: str, low: int, high: int, zeros: int
) -> None:
    folded = names.fold_key(before)
    assume(low != high and len(folded.encode()) < names.MAX_BYTES)
    assume(not any(c.isdecimal() for c in folded + names.fold_key(after + other)))
    low, high = sorted((low, high))
    assert names.make_sort_key(f"{before}{'0' * zeros}{low}{after}") < names.make_sort_key(f"{before}{high}{other}")


@given(clean_names(), st.integers(1, 10**6))
def test_conflict_names_are_clean_and_distinct(name: str, n: int) -> None:
    one, next_one = names.make_conflict_name(name, n), names.make_conflict_name(name, n + 1)
    assert names.clean_name(one) == one
    assert names.make_key(one) != names.make_key(next_one)


@given(clean_names(), st.sets(st.integers(0, 12)))
def test_free_name_is_the_first_one_that_is_not_taken(name: str, taken: set[int]) -> None:
    candidates = [name, *(names.make_conflict_name(name, n) for n in range(1, 14))]
    taken_keys = {names.make_key(candidates[n]) for n in taken}
    free = names.pick_free_name(name, taken_keys)
    assert names.make_key(free) not in taken_keys
    assert all(names.make_key(candidate) in taken_keys for candidate in candidates[: candidates.index(free)])


@given(clean_names(), st.integers(1, 1000))
def test_archive_name_is_valid_on_every_system(name: str, n: int) -> None:
    safe = names.make_archive_name(name)
    for unpacked in (safe, names.make_conflict_name(safe, n)):
        assert names.clean_name(unpacked) == names.make_archive_name(unpacked) == unpacked
        assert not set('\\/:*?"<>|\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069') & set(unpacked)
        assert unpacked == unpacked.rstrip(". ")
        assert unpacked.split(".")[0].rstrip(" ").casefold() not in {"con", "prn", "aux", "nul", "com1", "lpt9"}


@given(st.lists(clean_names(), min_size=1, max_size=10))
def test_split_path_of_joined_names_returns_them(segments: list[str]) -> None:
    path = "/".join(segments)
    assert names.split_path(path) == names.split_path(f"/{path}") == names.split_path(f"/{path}/") == segments


@given(st.lists(st.sampled_from(["a.txt", "A.TXT", "a (1).txt", "A (2).txt", "b", "\u00e9", "e\u0301"]), max_size=12))
def test_distinct_names_have_distinct_keys_and_first_ones_stay(wanted: list[str]) -> None:
    distinct = names.make_distinct(wanted)
    assert len({names.make_key(name) for name in distinct}) == len(wanted)
    for at, name in enumerate(wanted):
        if names.make_key(name) not in map(names.make_key, wanted[:at]):
            assert distinct[at] == name
