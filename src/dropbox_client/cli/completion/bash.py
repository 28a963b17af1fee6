"""The completion script of bash."""

from dropbox_client.cli.completion.grammar import Command, list_group_names, list_option_names

_BASH = """\
_dbx() {
    local cur prev command= flags= words= kind= kinds=() line=() last=-1 split=
    local first=1 place=0 i IFS=$' \\t\\n'
    for ((i = 0; i <= COMP_CWORD; i++)); do  # bash splits shared:x into three words
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
    if [[ -n $split ]]; then COMPREPLY=("${COMPREPLY[@]#"${cur%"${cur##*:}"}"}"); fi  # only the last of the three
}
complete -F _dbx dbx"""


def render_bash(commands: list[Command]) -> str:
    cases, values = [], []
    for command in commands:
        name = " ".join(command.words)
        kinds = " ".join(
            "local" if argument.is_folder_too else argument.kind or "word" for argument in command.arguments
        )
        words = " ".join(word for argument in command.arguments for word in argument.words)
        flags = " ".join(list_option_names(command.options))
        cases.append(f"        '{name}') flags='{flags}' words='{words}' kinds=({kinds}) ;;")
        for option in command.options:
            if option.takes_value:
                patterns = " | ".join(f"'{name} {flag}'" for flag in option.names)
                values.append(f"        {patterns}) words='{' '.join(option.words)}' kind={option.kind} ;;")
    script = _BASH.replace("@GROUPS@", " | ".join(list_group_names(commands)))
    return script.replace("@COMMANDS@", "\n".join(cases)).replace("@VALUES@", "\n".join(values))
