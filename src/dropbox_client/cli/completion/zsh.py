"""The completion script of zsh."""

import shlex

from dropbox_client.cli.completion.grammar import Argument, Command, list_group_names

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


def render_zsh(commands: list[Command]) -> str:
    helps = {command.words: command.help for command in commands}
    cases = []
    for command in commands:
        specs = []
        for option in command.options:
            value = f":value:{_format_values(option)}" if option.takes_value else ""
            specs += [shlex.quote(f"{name}[{_escape(option.help)}]{value}") for name in option.names]
        for place, argument in enumerate(command.arguments, start=1):
            if argument.kind == "command":
                described = " ".join(
                    f"{word}\\:{shlex.quote(_escape(helps[(*command.words, word)]))}" for word in argument.words
                )
                specs.append(shlex.quote(f"{place}:command:(({described}))"))
            else:
                specs.append(shlex.quote(f"{'*' if argument.many else place}:path:{_format_values(argument)}"))
        cases.append(f"        '{' '.join(command.words)}') _arguments -s {' '.join(specs)} ;;")
    return _ZSH.replace("@GROUPS@", " | ".join(list_group_names(commands))).replace("@COMMANDS@", "\n".join(cases))


def _format_values(argument: Argument) -> str:
    if argument.kind:
        return f"_dbx_{argument.kind}"
    return f"({' '.join(argument.words)})" if argument.words else " "


def _escape(text: str) -> str:
    return "".join(f"\\{sign}" if sign in ":[]\\" else sign for sign in text)
