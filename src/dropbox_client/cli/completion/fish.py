"""The completion script of fish."""

import shlex

from dropbox_client.cli.completion.grammar import Argument, Command

_FISH = """\
function __dbx_is
    set -l typed (commandline -opc)
    set -l last (math (count $argv) + 1)
    test (count $typed) -ge $last; and test "$typed[2..$last]" = "$argv"
end
function __dbx_has
    test (count (commandline -opc)) -eq $argv[1]
end
function __dbx_remote
    dbx complete-path (string unescape -- (commandline -ct)) 2>/dev/null
end
complete -c dbx -f"""


def render_fish(commands: list[Command]) -> str:
    helps = {command.words: command.help for command in commands}
    lines = [_FISH]
    for command in commands:
        here = f"__dbx_is {' '.join(command.words)}" if command.words else "__dbx_has 1"
        for option in command.options:
            flags = [f"-l {name[2:]}" if name.startswith("--") else f"-s {name[1:]}" for name in option.names]
            about = ["-d", shlex.quote(option.help)]
            lines.append(_format_line(here, [*flags, *about, *_format_values(option)]))
        for argument in command.arguments:
            if argument.kind == "command":
                alone = f"{here}; and __dbx_has {len(command.words) + 1}"
                for word in argument.words:
                    about = ["-d", shlex.quote(helps[(*command.words, word)])]
                    lines.append(_format_line(alone, ["-a", word, *about]))
                if argument.is_folder_too:
                    lines.append(_format_line(alone, ["-F"]))
            elif argument.kind or argument.words:
                lines.append(_format_line(here, _format_values(argument)))
    return "\n".join(lines)


def _format_values(argument: Argument) -> list[str]:
    if not argument.takes_value:
        return []
    values = ["-a", shlex.quote(" ".join(argument.words))] if argument.words else []
    if argument.kind in {"remote", "either"}:
        values = ["-a", "'(__dbx_remote)'"]
    if argument.kind in {"local", "either"}:
        values.append("-F")
    if argument.names:
        values.append("-r" if "-F" in values else "-x")
    return values


def _format_line(condition: str, words: list[str]) -> str:
    return f"complete -c dbx -n {shlex.quote(condition)} {' '.join(words)}"
