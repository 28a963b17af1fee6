"""Completing what is typed: a script for each shell, made of the parser, and the list of remote paths it asks for.

Commands and options are in the script itself, so that only a remote path costs the start of a process and a request.
What an argument is, its type in `arguments` says.
"""

import argparse
import contextlib
import os
import shlex
import sys
import threading
from argparse import Namespace
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count

from dropbox_client.cli import output
from dropbox_client.cli.arguments import SHARED, either, is_foreign, local, own, parser, remote, remote_or_id

_TIMEOUT_S = 2.0
_MOST = 500
"""Nobody reads more."""
_KINDS = {remote: "remote", own: "remote", remote_or_id: "remote", local: "local", either: "either"}


def script(options: Namespace) -> None:
    """Print the script for a shell."""
    commands = list(_below(parser(), (), ""))
    output.say({"bash": _bash, "zsh": _zsh, "fish": _fish}[options.shell](commands))


def complete_path(options: Namespace) -> None:
    """Print the remote paths that begin so, folders with a slash behind; nothing on any failure, and after a while."""
    watchdog = threading.Timer(_TIMEOUT_S, os._exit, [0])
    watchdog.daemon = True
    watchdog.start()
    with contextlib.suppress(Exception):
        for path in _paths(options.prefix):
            output.say(path)
            sys.stdout.flush()
    watchdog.cancel()


def _paths(prefix: str) -> Iterator[str]:
    from dropbox_client.cli.environment import connect  # noqa: PLC0415
    from dropbox_client.cli.remote import find  # noqa: PLC0415

    folder, slash, start = prefix.rpartition("/")
    found = count(1)
    with connect() as client:
        client.patience_s = 0
        if not slash and prefix.startswith(SHARED):
            folder, start = SHARED, prefix.removeprefix(SHARED)
            files = client.shared_with_me()
        elif is_foreign(folder):
            files = client.list_files(parent_id=find(client, folder).id)
        else:
            files = client.list_files(own(folder))
        for file in files:
            if file.name.startswith(start):
                yield f"{folder}{slash}{file.name}{'/' if file.kind == 'folder' else ''}"
                if next(found) == _MOST:
                    return


# What there is


@dataclass(frozen=True, slots=True)
class _Argument:
    """What can stand in one place."""

    names: list[str]
    """Of an option; none if its place alone says what it is."""
    help: str
    words: list[str]
    """Those that are possible, where there are few."""
    kind: str
    """`local`, `remote` or `either` if it is a path; `command` if it is one of those in a group."""
    takes_value: bool
    many: bool


@dataclass(frozen=True, slots=True)
class _Command:
    """A command such as `ls` or `trash list`; a group such as `trash` has one argument, the name of what is in it."""

    words: tuple[str, ...]
    help: str
    options: list[_Argument]
    arguments: list[_Argument]


def _below(group: argparse.ArgumentParser, words: tuple[str, ...], help_text: str) -> Iterator[_Command]:
    """Iterate over a group, what is in it, and so on: everything that the help shows."""
    helps: dict[str, str] = {}
    options: list[_Argument] = []
    arguments: list[_Argument] = []
    for action in group._actions:  # noqa: SLF001 - argparse tells what it holds nowhere else
        (options if action.option_strings else arguments).append(_read(action))
        if isinstance(action, argparse._SubParsersAction):  # noqa: SLF001
            helps = {choice.dest: choice.help or "" for choice in action._choices_actions}  # noqa: SLF001
            arguments[-1] = _Argument([], "", list(helps), "command", takes_value=True, many=False)
            for name, about in helps.items():
                yield from _below(action.choices[name], (*words, name), about)
    yield _Command(words, help_text, options, arguments)


def _read(action: argparse.Action) -> _Argument:
    return _Argument(
        list(action.option_strings),
        action.help or str(action.metavar or action.dest),
        [str(choice) for choice in action.choices or ()],
        _KINDS.get(action.type, ""),  # type: ignore[arg-type] # what is none of ours is not in it
        takes_value=action.nargs != 0,
        many=action.nargs in {"+", "*"},
    )


def _names(options: list[_Argument]) -> list[str]:
    return [name for option in options for name in option.names]


# Bash

_BASH = """\
_dbx() {
    local cur prev command= flags= words= kind= kinds=() line=() last=-1 split=
    local first=1 place=0 i IFS=$' \\t\\n'
    for ((i = 0; i <= COMP_CWORD; i++)); do  # bash takes shared:x for three words
        if ((i > 1)) && [[ ${COMP_WORDS[i]} == :* || ${COMP_WORDS[i]} && ${line[last]} == *: ]]; then
            line[last]+=${COMP_WORDS[i]} split=1
        else
            last=$((last + 1)) split=
            line[last]=${COMP_WORDS[i]}
        fi
    done
    cur=${line[last]} prev=${line[last - 1]}
    if ((last > 1)); then command=${line[1]} first=2; fi
    case $command in
        @GROUPS@) if ((last > 2)); then command+=" ${line[2]}" first=3; fi ;;
    esac
    for ((i = first; i < last; i++)); do
        [[ ${line[i]} == -* ]] || place=$((place + 1))
    done
    case $command in
@COMMANDS@
    esac
    if ((${#kinds[@]})); then
        if ((place >= ${#kinds[@]})); then place=$((${#kinds[@]} - 1)); fi
        kind=${kinds[place]}
    fi
    if [[ $cur == -* ]]; then words=$flags kind=; fi
    case "$command $prev" in
@VALUES@
    esac
    COMPREPLY=()
    if [[ -n $words ]]; then COMPREPLY=($(compgen -W "$words" -- "$cur")); fi
    local typed=${cur#[\\"\\']} IFS=$'\\n'
    case $kind in local | remote | either) compopt -o filenames 2>/dev/null ;; esac
    if [[ $kind == local || $kind == either ]]; then COMPREPLY+=($(compgen -f -- "$typed")); fi
    if [[ $kind == remote || $kind == either && ( $typed == /* || $typed == shared:* || $typed == id:* ) ]]; then
        COMPREPLY+=($(dbx complete-path "${typed//\\\\/}" 2>/dev/null))
        if [[ ${#COMPREPLY[@]} == 1 && ${COMPREPLY[0]} == */ ]]; then compopt -o nospace 2>/dev/null; fi
    fi
    if [[ -n $split ]]; then COMPREPLY=("${COMPREPLY[@]#"${cur%"${cur##*:}"}"}"); fi  # of the three only the last
}
complete -F _dbx dbx"""


def _bash(commands: list[_Command]) -> str:
    cases, values = [], []
    for command in commands:
        name = " ".join(command.words)
        kinds = " ".join(argument.kind or "word" for argument in command.arguments)
        words = " ".join(word for argument in command.arguments for word in argument.words)
        cases.append(
            f"        '{name}') flags='{' '.join(_names(command.options))}' words='{words}' kinds=({kinds}) ;;"
        )
        for option in command.options:
            if option.takes_value:
                patterns = " | ".join(f"'{name} {flag}'" for flag in option.names)
                values.append(f"        {patterns}) words='{' '.join(option.words)}' kind={option.kind} ;;")
    groups = " | ".join(sorted({command.words[0] for command in commands if len(command.words) > 1}))
    return (
        _BASH.replace("@GROUPS@", groups).replace("@COMMANDS@", "\n".join(cases)).replace("@VALUES@", "\n".join(values))
    )


# Zsh

_ZSH = """\
#compdef dbx
_dbx_remote() {
    local -a found=("${(@f)$(dbx complete-path "${(Q)PREFIX}" 2>/dev/null)}")
    compadd -S '' -- ${(M)found:#*/}
    compadd -- ${found:#*/}
}
_dbx_local() { _files }
_dbx_either() { _files; [[ $PREFIX == (/|shared:|id:)* ]] && _dbx_remote }
_dbx() {
    local command= depth=0
    if (( CURRENT > 2 )); then command=$words[2] depth=1; fi
    case $command in
        @GROUPS@) if (( CURRENT > 3 )); then command+=" $words[3]" depth=2; fi ;;
    esac
    words=(dbx "${(@)words[2 + depth, -1]}")
    (( CURRENT -= depth ))
    case $command in
@COMMANDS@
    esac
}
if [[ $funcstack[1] == _dbx ]]; then _dbx "$@"; else compdef _dbx dbx; fi"""


def _zsh(commands: list[_Command]) -> str:
    helps = {command.words: command.help for command in commands}
    cases = []
    for command in commands:
        specs = []
        for option in command.options:
            value = f":value:{_zsh_values(option)}" if option.takes_value else ""
            specs += [shlex.quote(f"{name}[{_zsh_text(option.help)}]{value}") for name in option.names]
        for place, argument in enumerate(command.arguments, start=1):
            if argument.kind == "command":
                described = " ".join(
                    f"{word}\\:{shlex.quote(_zsh_text(helps[(*command.words, word)]))}" for word in argument.words
                )
                specs.append(shlex.quote(f"{place}:command:(({described}))"))
            else:
                specs.append(shlex.quote(f"{'*' if argument.many else place}:path:{_zsh_values(argument)}"))
        cases.append(f"        '{' '.join(command.words)}') _arguments -s {' '.join(specs)} ;;")
    groups = " | ".join(sorted({command.words[0] for command in commands if len(command.words) > 1}))
    return _ZSH.replace("@GROUPS@", groups).replace("@COMMANDS@", "\n".join(cases))


def _zsh_values(argument: _Argument) -> str:
    if argument.kind:
        return f"_dbx_{argument.kind}"
    return f"({' '.join(argument.words)})" if argument.words else " "


def _zsh_text(text: str) -> str:
    return "".join(f"\\{sign}" if sign in ":[]\\" else sign for sign in text)


# Fish

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


def _fish(commands: list[_Command]) -> str:
    helps = {command.words: command.help for command in commands}
    lines = [_FISH]
    for command in commands:
        here = f"__dbx_is {' '.join(command.words)}" if command.words else "__dbx_has 1"
        for option in command.options:
            flags = [f"-l {name[2:]}" if name.startswith("--") else f"-s {name[1:]}" for name in option.names]
            about = ["-d", shlex.quote(option.help)]
            lines.append(_fish_line(here, [*flags, *about, *_fish_values(option)]))
        for argument in command.arguments:
            if argument.kind == "command":
                alone = f"{here}; and __dbx_has {len(command.words) + 1}"
                for word in argument.words:
                    about = ["-d", shlex.quote(helps[(*command.words, word)])]
                    lines.append(_fish_line(alone, ["-a", word, *about]))
            elif argument.kind or argument.words:
                lines.append(_fish_line(here, _fish_values(argument)))
    return "\n".join(lines)


def _fish_values(argument: _Argument) -> list[str]:
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


def _fish_line(condition: str, words: list[str]) -> str:
    return f"complete -c dbx -n {shlex.quote(condition)} {' '.join(words)}"
