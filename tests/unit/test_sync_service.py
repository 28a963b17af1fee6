"""The unit of systemd."""

import os
from pathlib import Path

import pytest

from dropbox_client.sync.service import UNIT_NAME, install, make_unit, remove


@pytest.fixture
def systemctl(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A systemctl that writes down its arguments; `fails` lets it fail."""
    calls, program = tmp_path / "calls", tmp_path / "bin" / "systemctl"
    program.parent.mkdir()
    program.write_text(
        f'#!/bin/sh\necho "$@" >> {calls}\n! [ -e {tmp_path}/fails ] || {{ echo refused >&2; exit 1; }}\n'
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    return calls


def test_unit_is_installed_started_and_removed(systemctl: Path, tmp_path: Path) -> None:
    assert install() == []
    unit = tmp_path / "config/systemd/user" / UNIT_NAME
    assert unit.read_text() == make_unit()
    assert systemctl.read_text().splitlines() == [
        "--user daemon-reload",
        f"--user enable {UNIT_NAME}",
        f"--user restart {UNIT_NAME}",
    ]
    systemctl.unlink()
    assert remove() == []
    assert not unit.exists()
    assert systemctl.read_text().splitlines() == [f"--user disable --now {UNIT_NAME}", "--user daemon-reload"]


def test_failure_of_systemctl_is_told(systemctl: Path, tmp_path: Path) -> None:
    (tmp_path / "fails").touch()
    with pytest.raises(Exception, match="refused"):
        install()


def test_without_systemctl_the_commands_are_returned(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    assert install()[-1] == f"systemctl --user restart {UNIT_NAME}"


def test_unit_names_the_program_and_the_state_as_they_are_now(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DBX_STATE_DIR", '/my "state" 100%')
    lines = make_unit().splitlines()
    (start,) = [line for line in lines if line.startswith("ExecStart=")]
    program = start.removeprefix("ExecStart=").split('" "')[0].strip('"')
    assert Path(program).is_absolute()
    assert os.access(program, os.X_OK)
    assert start.endswith('"sync" "run"')
    assert 'Environment="DBX_STATE_DIR=/my \\"state\\" 100%%"' in lines
    assert {"Restart=on-failure", "RestartPreventExitStatus=3"} <= set(lines)
