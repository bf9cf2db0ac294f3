"""Pages of the documentation that are made from the code: the command line and the public names.

Contract: what is written here by hand is only what stands around them; commands, options, defaults and environment
variables come from click, names and docstrings from `refmaker.__all__`.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator

import click
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

import refmaker

# Pages are made while they are needed, none of them is kept in the repository.
FUNCTIONS = (
    "scan",
    "scan_file",
    "scan_many",
    "open_manifest",
    "write_manifest",
    "combine",
    "append",
    "verify",
    "check",
)


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that are made."""
    for name, text in (("cli.md", cli_page()), ("api.md", api_page())):
        files.append(File.generated(config, name, content=text))
    return files


def cli_page() -> str:
    """Return the page of all commands."""
    from refmaker_cli.commands import main

    head = (
        "# Commands\n\nEvery option can also be given by the environment variable beside it, and by the "
        "[configuration file](configuration.md). `-v` and `--help` are options of every command.\n\n"
        f"```text\n{usage(main, 'refmaker')}\n```\n\n{prose(main.help)}\n"
    )
    return head + "".join(command_section(name, main.commands[name]) for name in sorted(main.commands))


def usage(command: click.Command, name: str) -> str:
    """Return the line that begins its help."""
    context = click.Context(command, info_name=name)
    return " ".join(command.get_usage(context).split())


def command_section(name: str, command: click.Command) -> str:
    """Return the section of a command."""
    rows = "".join(option_row(name, option) for option in command.params if isinstance(option, click.Option))
    table = f"| option | what it does | environment |\n|---|---|---|\n{rows}" if rows else ""
    called = usage(command, f"refmaker {name}")
    return f"\n## refmaker {name}\n\n```text\n{called}\n```\n\n{prose(command.help)}\n\n{table}"


def option_row(command: str, option: click.Option) -> str:
    """Return the row of an option in its table."""
    value = "" if option.is_flag or option.count else f" {option.metavar or option.type.name.upper()}"
    if isinstance(option.type, click.Choice) and not option.metavar:
        value = " " + "|".join(option.type.choices)
    names = ", ".join(f"`{one}{value if one.startswith('--') else ''}`" for one in option.opts).replace("|", "\\|")
    shown = option.help or ""
    if option.show_default and option.default is not None and not option.is_flag:
        shown += f"  [default: {option.default}]"
    variable = option.envvar or f"REFMAKER_{command}_{option.name}".upper()
    environment = "" if option.expose_value is False and not option.envvar else f"`{variable}`"
    return f"| {names} | {cell(shown)} | {environment} |\n"


def cell(text: str) -> str:
    """Return text for a cell of a table: paths and globs as they are."""
    text = re.sub(r"([|*_<>])", r"\\\1", text)
    return text.replace("[", "\\[").replace("]", "\\]")


def prose(text: str | None) -> str:
    """Return a help text as Markdown: the example as a block of its own."""
    paragraphs = [" ".join(one.split()) for one in inspect.cleandoc(text or "").split("\n\n")]
    return "\n\n".join(_paragraph(one) for one in paragraphs)


def _paragraph(text: str) -> str:
    if text.startswith("Example: "):
        return f"```text\n$ {text.removeprefix('Example: ')}\n```"
    parts = re.split(r"(`[^`]*`)", text)
    return "".join(one if one.startswith("`") else re.sub(r"([*_<>\[\]])", r"\\\1", one) for one in parts)


def names() -> Iterator[tuple[str, str]]:
    """Yield the public names, functions first, and where each is defined."""
    ordered = [*FUNCTIONS, *sorted(set(refmaker.__all__) - set(FUNCTIONS) - {"__version__"})]
    for name in ordered:
        public = getattr(refmaker, name)
        if inspect.isclass(public) or inspect.isfunction(public):
            yield name, f"{public.__module__}.{public.__qualname__}"


def api_page() -> str:
    """Return the page of all public names."""
    head = "# Python\n\nAll public names are those of `refmaker`: `refmaker.scan`, `refmaker.Manifest`, and so on.\n\n"
    return head + "".join(f"::: {where}\n\n" for _, where in names())
