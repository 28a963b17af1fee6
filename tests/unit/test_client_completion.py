"""The completion scripts. Only bash is run: zsh and fish are not available on every machine."""

import subprocess
import sys
from pathlib import Path

import pytest

DBX = f"{sys.executable} -W error -m dropbox_client"
REMOTE = ["/photos/", "/photos/rome 2026/", "/photos/rome 2026/cat.jpg", "/photos/romeo.jpg", "/plan:b", "shared:Team/"]


def offered(folder: Path, line: str) -> list[str]:
    """Return the completions of bash for the last word of a line; the server has the paths `REMOTE`."""
    program = f"""
        dbx() {{
            [[ $1 == complete-path ]] || {{ {DBX} "$@"; return; }}
            local path
            while read -r path; do if [[ $path == "$2"* ]]; then echo "$path"; fi; done < remote
        }}
        source <(dbx completion bash)
        eval "COMP_WORDS=({line})"
        COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1))
        _dbx
        printf '%s\\n' "${{COMPREPLY[@]}}"
    """
    (folder / "remote").write_text("".join(f"{path}\n" for path in REMOTE))
    command = ["bash", "--norc", "-c", program]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True)
    assert done.stderr == ""
    return sorted(word for word in done.stdout.splitlines() if word)


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("dbx mk''", ["mkdir"]),
        ("dbx trash ''", ["empty", "list", "rm"]),
        ("dbx uploads l''", ["list"]),
        ("dbx tokens ''", ["create", "list", "revoke"]),
        ("dbx sign-ins revoke-''", ["revoke-others"]),
        ("dbx second-factor ''", ["disable", "enable", "recovery-codes"]),
        ("dbx tokens create backup --scope files:''", ["files:read", "files:write"]),
        ("dbx link /photos/romeo''", ["/photos/romeo.jpg"]),
        ("dbx share /photos/romeo.jpg ''", []),
        ("dbx completion ''", ["bash", "fish", "zsh"]),
        ("dbx sync pa''", ["pause"]),
        ("dbx sync he''", ["here.txt"]),
        ("dbx sync add --f''", ["--folder"]),
        ("dbx mv --on''", ["--on-conflict"]),
        ("dbx trash list --''", ["--help", "--json"]),
        ("dbx mv --on-conflict ''", ["fail", "rename", "replace"]),
        ("dbx search --kind f''", ["file", "folder"]),
        ("dbx ls /photos/romeo''", ["/photos/romeo.jpg"]),
        ("dbx rm -f /pl''", ["/plan:b"]),
        (r"dbx cat '/photos/rome\ 2026/c'", ["/photos/rome 2026/cat.jpg"]),
        (r"dbx cat \"'/photos/rome 2026/c\"", ["/photos/rome 2026/cat.jpg"]),
        (
            "dbx search word --in /photos/rome''",
            ["/photos/rome 2026/", "/photos/rome 2026/cat.jpg", "/photos/romeo.jpg"],
        ),
        ("dbx download /photos/romeo.jpg he''", ["here.txt"]),
        ("dbx upload he''", ["here.txt"]),
        ("dbx upload here.txt /pl''", ["/plan:b"]),
        ("dbx ls shared :", ["Team/"]),  # bash splits at the colon
        ("dbx ls shared : Te", ["Team/"]),
        ("dbx mv /plan : b shared : Te", ["Team/"]),
        ("dbx upload here.txt shared : T", ["Team/"]),
        ("dbx login --email ''", []),
        ("dbx nonsense ''", []),
    ],
)
def test_bash_completes_the_last_word(tmp_path: Path, line: str, expected: list[str]) -> None:
    (tmp_path / "here.txt").touch()
    assert offered(tmp_path, line) == expected


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_script_contains_every_command_of_the_help(shell: str) -> None:
    def run(*arguments: str) -> str:
        return subprocess.run([*DBX.split(), *arguments], capture_output=True, text=True, check=True).stdout

    script = run("completion", shell)
    for name in (
        "upload",
        "trash empty",
        "on-conflict",
        "copy files and folders on the server" if shell != "bash" else "mkdir",
    ):
        assert name in script
    assert script.count("complete-path") == 1  # called by the script, not offered
