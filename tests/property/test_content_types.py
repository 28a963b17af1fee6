"""Which declared content types a browser may show, whatever their spelling."""

import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from dropbox_api.core import content_types
from dropbox_api.core.content_types import find_shown_type, guess_content_type

DANGEROUS = (
    "text/html",
    "image/svg+xml",
    "application/xhtml+xml",
    "application/xml",
    "text/xml",
    "multipart/x-mixed-replace",
    "message/rfc822",
)
SAFE = ("text/plain", "image/png", "application/pdf", "video/webm")
NOISE = st.sampled_from([" ", "\t", ";", ",", '"', "=", "\\", "\r\n", "\0", "charset", "utf-8", "/", "x=y", "é", "/*"])
JUNK = st.lists(NOISE, max_size=6).map("".join)


@st.composite
def spellings(draw: st.DrawFn, types: tuple[str, ...]) -> str:
    kind = "".join(draw(st.sampled_from([c.upper(), c])) for c in draw(st.sampled_from(types)))
    return draw(JUNK) + kind + draw(JUNK)


@given(spellings(DANGEROUS))
@example("text/html")
@example("TEXT/HTML; charset=utf-8")
@example(" image/svg+xml ;")
def test_dangerous_type_in_any_spelling_is_never_shown(declared: str) -> None:
    assert find_shown_type(declared) is None


@given(st.lists(st.one_of(spellings(SAFE), spellings(DANGEROUS), JUNK), min_size=1, max_size=3).map("".join))
@example("text/plain,text/html")
@example("text/plain;charset=utf-8,text/html")
@example('text/plain;x="a";text/html')
@example("image/png\r\nContent-Type: text/html")
def test_shown_type_is_the_declared_one_rebuilt_and_nothing_else(declared: str) -> None:
    shown = find_shown_type(declared)
    if shown is not None:
        assert re.fullmatch(r"(text/plain; charset=[a-z0-9._:+-]+|[a-z]+/[a-z0-9]+)", shown)
        assert shown.partition(";")[0] in SAFE
        assert declared.partition(";")[0].strip(" \t").lower() == shown.partition(";")[0]


@pytest.mark.parametrize(
    ("declared", "shown"),
    [
        ("IMAGE/PNG", "image/png"),
        ("application/pdf; version=1.7", "application/pdf"),
        ("video/webm;codecs=vp9", "video/webm"),
        ('video/webm; codecs="vp9, opus"', "video/webm"),
        ("image/jpeg ;", "image/jpeg"),
        ("text/plain", "text/plain; charset=utf-8"),
        ("Text/Plain;Format=Flowed", "text/plain; charset=utf-8"),
        ("text/plain; charset=ISO-8859-1", "text/plain; charset=iso-8859-1"),
        ('text/plain;charset="Shift_JIS"; format=flowed', "text/plain; charset=shift_jis"),
        ('text/plain; charset=""', "text/plain; charset=utf-8"),
        ("Video/QuickTime", "video/quicktime"),
        ("audio/x-m4a", "audio/mp4"),
        ("audio/x-wav", "audio/wav"),
        ("audio/x-flac", "audio/flac"),
        ("audio/aac", "audio/aac"),
        ("text/markdown; variant=GFM", "text/plain; charset=utf-8"),
        ("application/json", "text/plain; charset=utf-8"),
        ("application/ld+json;charset=latin1", "text/plain; charset=latin1"),
        ("text/x-python", "text/plain; charset=utf-8"),
        ("Text/JavaScript", "text/plain; charset=utf-8"),
        ("application/javascript", "text/plain; charset=utf-8"),
        ("text/css", "text/plain; charset=utf-8"),
    ],
)
def test_shown_type_of_a_safe_type_ignores_case_and_parameters(declared: str, shown: str) -> None:
    assert find_shown_type(declared) == shown


@pytest.mark.parametrize(
    ("declared", "is_utf8", "shown"),
    [
        ("text/plain", True, "text/plain; charset=utf-8"),
        ("text/plain", False, "text/plain"),
        ("text/csv", False, "text/plain"),
        ("text/plain; charset=latin1", True, "text/plain; charset=latin1"),
        ("image/png", True, "image/png"),
    ],
)
def test_charset_is_added_to_text_without_one_unless_it_is_not_utf8(declared: str, is_utf8: bool, shown: str) -> None:
    assert find_shown_type(declared, is_utf8=is_utf8) == shown


def test_hostile_parameters_are_refused_in_linear_time() -> None:
    assert find_shown_type("text/plain" + " \t;" * 5_000 + ",") is None


EXTENSIONS = sorted(content_types._TYPES)


def test_types_guessed_from_names_are_valid_and_never_run_script_when_shown() -> None:
    for extension, guessed in content_types._TYPES.items():
        assert re.fullmatch(r"[a-z]+/[a-z0-9.+-]+", guessed)
        shown = find_shown_type(guessed)
        assert shown in {None, "text/plain; charset=utf-8"} or guessed in content_types._SHOWN, extension
    for extension in ("html", "htm", "xhtml", "svg", "svgz", "xml", "xsl", "mht", "eml"):
        assert find_shown_type(guess_content_type(f"page.{extension}")) is None
    for extension in ("js", "mjs", "css", "json", "md", "py", "yaml", "sh", "csv", "vtt"):
        assert find_shown_type(guess_content_type(f"code.{extension}")) == "text/plain; charset=utf-8"


@given(st.text(min_size=1), st.sampled_from(EXTENSIONS))
def test_type_of_a_name_follows_its_last_extension_in_any_case(stem: str, extension: str) -> None:
    assert guess_content_type(f"{stem}.{extension.upper()}") == content_types._TYPES[extension]


@pytest.mark.parametrize("name", ["README", ".png", "a.", "a.unknown", "png", "a.png ", "a.tar.", "İ.İ"])
def test_type_of_a_name_without_a_known_extension_is_unknown(name: str) -> None:
    assert guess_content_type(name) == "application/octet-stream"
