"""Help texts of the commands: sections, examples, and names without the noise of Python types."""

from __future__ import annotations

import re
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup

from vczoo.cli.command_table import COMMAND_TABLE
from vczoo.cli.terminal import print_line
from vczoo.cli.verbosity import verbosity_options
from vczoo.errors import VczooError

__all__ = ["Command", "Group", "PluginGroup", "epilog_of", "help_record"]

# `vczoo plugins` and `vczoo plugin` differ by one letter.
PLUGIN_COMMANDS = {
    "list": "vczoo plugins",
    "install": "vczoo plugins install NAME",
    "uninstall": "vczoo plugins uninstall NAME",
    "new": "vczoo plugin new NAME --kind KIND",
    "check": "vczoo plugin check PATH",
}
VERBOSITY = verbosity_options()
TYPES = {"str": "TEXT", "text": "TEXT", "int": "NUMBER", "float": "NUMBER", "path": "PATH"}


class _Verbose:
    """Mixin for commands and groups that adds --quiet, --verbose and --debug before --help."""

    def get_params(self, ctx: Any) -> list[Any]:
        """Return the arguments and options."""
        *own, help_option = super().get_params(ctx)  # type: ignore[misc]
        return [*own, *VERBOSITY, help_option]


class Command(_Verbose, TyperCommand):
    """Command whose help names arguments without braces and types, and which knows settings from options."""

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        """Return the words of the usage line: required arguments as RUN, others as [KEY=VALUE]..."""
        pieces = [re.sub(r"^\{(.*)\}", r"\1", piece) for piece in super().collect_usage_pieces(ctx)]
        # The name of some arguments has brackets of its own.
        return [re.sub(r"^\[(.*\[.*)\]\.\.\.$", r"\1", piece) for piece in pieces]

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Write the sections of arguments and options."""
        for title, kind in (("Arguments", "argument"), ("Options", "option")):
            parts = [part for part in self.get_params(ctx) if part.param_type_name == kind]
            if records := [record for part in parts if (record := help_record(part, ctx))]:
                with formatter.section(title):
                    formatter.write_dl(records)

    def invoke(self, ctx: Any) -> Any:
        """Run the command. Ctrl-C is reported in a word, unless the command says more itself."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            print_line("interrupted", to_stderr=True)
            raise typer.Exit(130) from None

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse the arguments; `--epochs 2` gets the setting to write instead.

        Raises:
            VczooError: An option is unknown, but a setting of the training has its name.
        """
        words = list(args)
        try:
            return super().parse_args(ctx, args)
        except Exception as error:  # typer's class for this has no public name
            if type(error).__name__ == "NoSuchOption" and any(part.name == "overrides" for part in self.params):
                _suggest_setting(str(getattr(error, "option_name", "")), words)
            raise


class Group(_Verbose, TyperGroup):
    """Group whose help lists the commands by what they are for."""

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Write a section for each panel, with whole summaries in one column."""
        names = [name for name in self.list_commands(ctx) if not self.commands[name].hidden]
        listed = {name for commands in COMMAND_TABLE.values() for name in commands}
        width = max(map(len, names))
        sections = {title: [name for name in commands if name in names] for title, commands in COMMAND_TABLE.items()}
        sections["More"] = [name for name in names if name not in listed]
        for title, members in sections.items():
            if members:
                with formatter.section(title):
                    formatter.write_dl(
                        [(name.ljust(width), self.commands[name].get_short_help_str(200)) for name in members]
                    )


class PluginGroup(_Verbose, TyperGroup):
    """Group that knows the commands of the other group for plugins."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Find a subcommand.

        Raises:
            VczooError: It is written in another way; the message says how.
        """
        if args and args[0] not in self.commands and args[0] in PLUGIN_COMMANDS:
            raise VczooError(f"there is no `{ctx.command_path} {args[0]}`; use `{PLUGIN_COMMANDS[args[0]]}`")
        return super().resolve_command(ctx, args)


def epilog_of(example: str) -> str:
    r"""The end of a command's help. The \b keeps the line as it is."""
    return f"\b\nExample:\n  {example}"


def help_record(part: Any, ctx: Any) -> tuple[str, str] | None:
    """The names and the help of an argument or option, with `PATH` for `<list[Path]>`; None if it is hidden."""
    record = part.get_help_record(ctx)
    if record is None:
        return None
    names, meaning = record
    if part.param_type_name == "argument":
        return names.partition(" <")[0], meaning
    return re.sub(
        r"<(?:list\[)?(\w+)(?: range)?\]?>", lambda match: TYPES.get(match[1].lower(), match[0]), names
    ), meaning


def _suggest_setting(option: str, words: list[str]) -> None:
    """Raise VczooError if a setting of the training is called like an unknown option."""
    from vczoo.models.training_settings import Training

    name = option.lstrip("-").replace("-", "_")
    if name not in Training.model_fields:
        return
    value = ""
    for word, following in zip(words, [*words[1:], "…"], strict=True):
        if word == option or word.startswith(f"{option}="):
            value = word.partition("=")[2] or following
    raise VczooError(f"there is no option {option}; settings are written without dashes: training.{name}={value}")
