"""The types of arguments."""

import pytest

from dropbox_client.cli.arguments import duration_s, remote_path, size_bytes
from dropbox_client.cli.parser import build_parser

UUID = "01900000-0000-7000-8000-000000000000"


@pytest.mark.parametrize(("text", "seconds"), [("30m", 1800), ("12h", 43200), ("90d", 7776000), ("2w", 1209600)])
def test_duration_valid_is_read_in_seconds(text: str, seconds: int) -> None:
    assert duration_s(text) == seconds


@pytest.mark.parametrize("text", ["", "d", "7", "0d", "-1d", "1.5h", "7 days", "7D"])
def test_duration_invalid_is_refused(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        build_parser().parse_args(["link", "/a", f"--expires={text}"])
    assert "--expires" in capsys.readouterr().err


@pytest.mark.parametrize(("text", "size"), [("1", 1), ("500M", 500 * 2**20), ("10GiB", 10 * 2**30), ("2T", 2 * 2**40)])
def test_size_valid_is_read_in_bytes(text: str, size: int) -> None:
    assert size_bytes(text) == size


@pytest.mark.parametrize("text", ["", "G", "0", "0G", "-1", "1.5G", "10 G", "10g", "1P", "9" * 12 + "T", "10GB", "٣"])
def test_size_invalid_is_refused(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        build_parser().parse_args(["link", "/a", f"--max-size={text}"])
    assert "--max-size" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("photos/", "/photos"),
        ("/", "/"),
        ("shared:Team/in/", "shared:Team/in"),
        ("/shared:Team", "/shared:Team"),
        (f"id:{UUID}/in", f"id:{UUID}/in"),
        ("id:mine", "/id:mine"),
    ],
)
def test_remote_path_is_normalized(typed: str, meant: str) -> None:
    assert remote_path(typed) == meant
