"""`require_program`: what becomes of a test whose program is missing."""

import pytest

from tests.support.programs import require_program


@pytest.mark.parametrize("ci", ["1", "true"])
def test_require_program_without_program_in_ci_fails(monkeypatch: pytest.MonkeyPatch, ci: str) -> None:
    monkeypatch.setenv("CI", ci)
    with pytest.raises(pytest.fail.Exception, match="needs no-such-program"):
        require_program("no-such-program")


def test_require_program_without_program_elsewhere_skips(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CI", raising=False)
    with pytest.raises(pytest.skip.Exception, match="needs no-such-program"):
        require_program("no-such-program")
