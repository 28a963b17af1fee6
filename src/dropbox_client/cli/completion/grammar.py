"""The commands, options and arguments of the parser, in the form that the completion scripts need."""

import argparse
from collections.abc import Iterator
from dataclasses import dataclass

from dropbox_client.cli.arguments import any_path, command_word, local_path, own_path, remote_path, remote_path_or_id

_KINDS = {
    remote_path: "remote",
    own_path: "remote",
    remote_path_or_id: "remote",
    local_path: "local",
    command_word: "local",
    any_path: "either",
}


@dataclass(frozen=True, slots=True)
class Argument:
    """An option or a positional argument."""

    names: list[str]
    """The names of an option; empty for a positional argument."""
    help: str
    words: list[str]
    """The possible values, if they are fixed."""
    kind: str
    """`local`, `remote` or `either` for a path; `command` for the action of a group."""
    takes_value: bool
    many: bool
    is_folder_too: bool = False
    """Whether the action of a group may be a local folder instead, as that of `sync`."""


@dataclass(frozen=True, slots=True)
class Command:
    """A command such as `ls` or `trash list`. A group such as `trash` has one argument, the name of the action."""

    words: tuple[str, ...]
    help: str
    options: list[Argument]
    arguments: list[Argument]


def read_commands(parser: argparse.ArgumentParser) -> list[Command]:
    """Return all commands that the help shows, actions before their groups."""
    return list(_read_commands(parser, (), ""))


def _read_commands(group: argparse.ArgumentParser, words: tuple[str, ...], help_text: str) -> Iterator[Command]:
    options: list[Argument] = []
    arguments: list[Argument] = []
    for action in group._actions:  # noqa: SLF001 - argparse has no public way to list them
        (options if action.option_strings else arguments).append(_read_argument(action))
        if isinstance(action, argparse._SubParsersAction):  # noqa: SLF001
            helps = {choice.dest: choice.help or "" for choice in action._choices_actions}  # noqa: SLF001
            is_folder_too = str(action.metavar).startswith("DIR")
            arguments[-1] = Argument(
                [], "", list(helps), "command", takes_value=True, many=False, is_folder_too=is_folder_too
            )
            for name, about in helps.items():
                yield from _read_commands(action.choices[name], (*words, name), about)
    yield Command(words, help_text, options, arguments)


def _read_argument(action: argparse.Action) -> Argument:
    return Argument(
        list(action.option_strings),
        action.help or str(action.metavar or action.dest),
        [str(choice) for choice in action.choices or ()],
        _KINDS.get(action.type, ""),  # type: ignore[arg-type] # types of other modules are not in it
        takes_value=action.nargs != 0,
        many=action.nargs in {"+", "*"},
    )


def list_option_names(options: list[Argument]) -> list[str]:
    return [name for option in options for name in option.names]


def list_group_names(commands: list[Command]) -> list[str]:
    """Return the names of the commands that have actions, sorted."""
    return sorted({command.words[0] for command in commands if len(command.words) > 1})
