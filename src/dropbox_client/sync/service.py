"""The systemd unit of the user that runs `dbx sync run` from the first sign-in on."""

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

from dropbox_client.errors import ClientError

UNIT_NAME: Final = "dbx-sync.service"

_UNIT = """\
[Unit]
Description=dbx sync: folders that are kept equal to an account

[Service]
ExecStart={command}
Restart=on-failure
RestartSec=30
# 3: the token of this device was revoked. 143: ended by SIGTERM.
RestartPreventExitStatus=3
SuccessExitStatus=143
{environment}
[Install]
WantedBy=default.target
"""
_PASSED: Final = ("DBX_STATE_DIR", "XDG_STATE_HOME", "SSL_CERT_FILE")
"""Variables that the process needs as they are at the installation."""


def find_program() -> list[str]:
    """Return the command that runs `dbx`, with absolute paths."""
    beside = Path(sys.executable).with_name("dbx")  # of the same environment
    if beside.exists():
        return [os.fspath(beside)]
    found = shutil.which("dbx")
    return [str(Path(found).absolute())] if found else [sys.executable, "-m", "dropbox_client"]


def make_unit() -> str:
    """Return the text of the unit."""
    command = " ".join(_quote(word, is_command=True) for word in (*find_program(), "sync", "run"))
    variables = [f"{name}={os.environ[name]}" for name in _PASSED if os.environ.get(name)]
    environment = "".join(f"Environment={_quote(one)}\n" for one in variables)
    return _UNIT.format(command=command, environment=environment)


def _quote(word: str, *, is_command: bool = False) -> str:
    """Return a word of a unit file; `$` is special in commands only."""
    word = word.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%")
    return '"' + (word.replace("$", "$$") if is_command else word) + '"'


def unit_path() -> Path:
    """Return where the unit belongs."""
    base = os.environ.get("XDG_CONFIG_HOME", "")
    folder = Path(base) if os.path.isabs(base) else Path.home() / ".config"  # noqa: PTH117 - as in `environment`
    return folder / "systemd" / "user" / UNIT_NAME


def install() -> list[str]:
    """Write the unit and start it; return the commands that a person must run, if systemctl is missing.

    Raises ClientError if systemctl fails.
    """
    path = unit_path()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(make_unit(), encoding="utf-8")
    return _run(["daemon-reload"], ["enable", UNIT_NAME], ["restart", UNIT_NAME])


def remove() -> list[str]:
    """Stop the unit and remove it; otherwise as `install`."""
    left = _run(["disable", "--now", UNIT_NAME]) if unit_path().exists() else []
    unit_path().unlink(missing_ok=True)
    return left + _run(["daemon-reload"])


def _run(*commands: list[str]) -> list[str]:
    """Run commands of systemctl; return them if there is no systemctl. Raises ClientError."""
    program = shutil.which("systemctl")
    if program is None:
        return [f"systemctl --user {' '.join(words)}" for words in commands]
    for words in commands:
        done = subprocess.run([program, "--user", *words], capture_output=True, text=True, check=False)  # noqa: S603
        if done.returncode:
            raise ClientError(f"systemctl --user {' '.join(words)}: {done.stderr.strip() or done.returncode}")
    return []
