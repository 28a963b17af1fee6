"""The arguments of completion, and of complete-path, which the scripts call."""

from typing import TYPE_CHECKING

from dropbox_client.cli.arguments import add_command

if TYPE_CHECKING:
    from dropbox_client.cli.arguments import Commands

_COMPLETION = """\
Print a script that makes your shell complete commands, options, local paths and paths on the server. To load it:

  bash   source <(dbx completion bash)          in ~/.bashrc
  zsh    source <(dbx completion zsh)           in ~/.zshrc, after compinit
  fish   dbx completion fish | source           in ~/.config/fish/config.fish
"""


def add_completion_commands(commands: "Commands") -> None:
    command = add_command(
        commands, "completion", "completion.print_script", "print a completion script", description=_COMPLETION
    )
    command.add_argument("shell", choices=["bash", "zsh", "fish"])
    command = commands.add_parser("complete-path")  # without help: the scripts call it
    command.add_argument("prefix")
    command.set_defaults(run="completion.complete_path")
