"""The form parser, fed with blocks of any size."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dropbox_api.uploads.direct.form import MAX_FIELD_BYTES, BadForm, Form

TYPE = "multipart/form-data; boundary=XyZ"
FIELDS = ("name", "note")


def part(disposition: str, content: bytes, *headers: str) -> bytes:
    lines = [f"Content-Disposition: form-data; {disposition}", *headers]
    return b"--XyZ\r\n" + "\r\n".join(lines).encode() + b"\r\n\r\n" + content + b"\r\n"


def form(*parts: bytes) -> bytes:
    return b"".join(parts) + b"--XyZ--\r\n"


def read(body: bytes, block_bytes: int = 1 << 20) -> tuple[bytes, Form]:
    taken = Form(TYPE, FIELDS)
    blocks = (body[at : at + block_bytes] for at in range(0, len(body), block_bytes))
    content = b"".join(piece for block in blocks for piece in taken.feed(block) if isinstance(piece, bytes))
    taken.close()
    return content, taken


FILE = part('name="file"; filename="a.txt"', b"content", "Content-Type: text/plain")


def test_form_with_a_file_between_two_fields_gives_both() -> None:
    content, taken = read(form(part('name="name"', "Ä".encode()), FILE, part('name="note"', b"")))
    assert content == b"content"
    assert taken.fields == {"name": "Ä", "note": ""}
    assert taken.file
    assert (taken.file.filename, taken.file.content_type) == ("a.txt", "text/plain")


NEARLY = st.lists(st.sampled_from([b"\r\n--XyZ", b"\r\n", b"--", b"XyZ", b"\r", b"-", b"x"])).map(b"".join)


@given(NEARLY.map(lambda content: (b"\r\n" + content).replace(b"\r\n--XyZ", b"\r\n--Xy")[2:]), st.integers(1, 200))
def test_form_cut_into_any_blocks_gives_the_same_bytes(content: bytes, block_bytes: int) -> None:
    body = form(part('name="note"', b"n"), part('name="file"; filename="f"', content), part('name="name"', b"y"))
    found, taken = read(body, block_bytes)
    assert found == content
    assert taken.fields == {"note": "n", "name": "y"}


@pytest.mark.parametrize(
    ("sent", "name"),
    [
        ('filename="report.pdf"', "report.pdf"),
        ("filename=report.pdf", "report.pdf"),
        ('filename="日本 ü.txt"', "日本 ü.txt"),
        ('filename="a%22b.txt"', 'a"b.txt'),  # browsers and curl
        ('filename="a\\"b.txt"', 'a"b.txt'),  # older ones
        ('filename="50%25;x=1.txt"', "50%25;x=1.txt"),
        ('filename="/etc/passwd"', "passwd"),
        ('filename="C:\\Users\\me\\cat.jpg"', "cat.jpg"),
        ('filename="../../x"', "x"),
        ('filename=""', None),
        ('filename="folder/"', None),
        ("x=y", None),
        ("filename*=UTF-8''Gr%C3%BC%C3%9Fe.txt", "Grüße.txt"),
        ("filename=\"Gr__e.txt\"; filename*=utf-8'de'Gr%C3%BC%C3%9Fe.txt", "Grüße.txt"),
        ("filename*=iso-8859-1''Gr%fc%dfe.txt; filename=x", "Grüße.txt"),
        ("filename=\"=?utf-8?B?R3LDvMOfZQ==?=\"; filename*=UTF-8''Gr%C3%BC%C3%9Fe", "Grüße"),
        ("FileName*=UTF-8''x%20y; x=z", "x y"),
        ("filename*=UTF-8''..%2F..%5Cetc%2Fpasswd", "passwd"),
        ("filename*=UTF-8''50%2522.txt", "50%22.txt"),
        ("filename*=\"UTF-8''x%20y\"", "x y"),
        ("filename*=UTF-8''", None),
        ("filename=\"plain\"; filename*=UTF-8''%FF", "plain"),  # malformed: the fallback
        ('filename="plain"; filename*=other', "plain"),
        ("filename=\"a; filename*=UTF-8''b\"", "a; filename*=UTF-8''b"),
    ],
)
def test_file_name_is_unescaped_and_without_folders(sent: str, name: str | None) -> None:
    _, taken = read(form(part(f'name="file"; {sent}', b"")))
    assert taken.file
    assert taken.file.filename == name


WRONG: dict[str, tuple[bytes, str]] = {
    "empty": (b"", ""),
    "no form": (b'{"file": 1}', ""),
    "no file": (form(part('name="name"', b"x")), "/file"),
    "nothing in it": (b"--XyZ--\r\n", "/file"),
    "two files": (form(FILE, FILE), "/file"),
    "a field twice": (form(part('name="name"', b"x"), part('name="name"', b"x"), FILE), "/name"),
    "an unknown field": (form(FILE, part('name="colour"', b"red")), ""),
    "a nameless part": (form(FILE, part("x=y", b"red")), ""),
    "not form-data": (form(FILE, b"--XyZ\r\nContent-Disposition: attachment; name=name\r\n\r\nx\r\n"), ""),
    "no disposition": (form(FILE, b"--XyZ\r\nX: y\r\n\r\nx\r\n"), ""),
    "another boundary": (FILE.replace(b"XyZ", b"xYz"), ""),
    "cut in the file": (FILE[:-5], ""),
    "cut before the last boundary": (FILE, ""),
    "no last hyphen": (FILE + b"--XyZ-", ""),
    "a header without end": (b"--XyZ\r\nContent-Disposition: form-data; name=" + b"x" * 10_000, ""),
    "too long": (form(FILE, part('name="note"', b"x" * (MAX_FIELD_BYTES + 1))), "/note"),
    "a field that is no UTF-8": (form(part('name="name"', b"\xff"), FILE), "/name"),
    "an extended name that is no UTF-8": (form(part("name=\"file\"; filename*=UTF-8''%FF", b"")), "/file"),
    "an extended name of an unknown charset": (form(part("name=\"file\"; filename*=KOI8-R''a", b"")), "/file"),
    "a name that is no UTF-8": (form(FILE.replace(b"a.txt", b"\xff.txt")), "/file"),
}


@pytest.mark.parametrize("wrong", WRONG)
@pytest.mark.parametrize("block_bytes", [1, 7, 1 << 20])
def test_malformed_form_is_refused(wrong: str, block_bytes: int) -> None:
    body, pointer = WRONG[wrong]
    with pytest.raises(BadForm) as refused:
        read(body, block_bytes)
    assert refused.value.pointer == pointer


NO_FORMS = (
    "",
    "application/json",
    "multipart/form-data",
    "multipart/form-data; boundary=",
    "multipart/mixed; boundary=x",
    f"multipart/form-data; boundary={'x' * 1000}",
)


@pytest.mark.parametrize("content_type", NO_FORMS)
def test_content_type_other_than_a_form_is_refused(content_type: str) -> None:
    with pytest.raises(BadForm) as refused:
        Form(content_type, FIELDS)
    assert refused.value.pointer == "/Content-Type"


def test_field_of_the_largest_size_is_accepted() -> None:
    _, taken = read(form(FILE, part('name="note"', b"x" * MAX_FIELD_BYTES)), 1000)
    assert len(taken.fields["note"]) == MAX_FIELD_BYTES
