"""The configuration file: options that hold where the command line does not give them.

Contract: TOML. A table is a command, its keys are long options; options outside tables hold for every command that has
them. The command line and environment variables win. What no command has is an error that names what was meant. The
file is `$REFMAKER_CONFIG`, or `refmaker/config.toml` in `$XDG_CONFIG_HOME` (`~/.config`); nothing is read from the
working directory, which others may have filled.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from typing import Any, Final

import click

from refmaker.errors import RefmakerError

__all__ = ["VARIABLE", "config_file", "default_map"]

VARIABLE: Final = "REFMAKER_CONFIG"
"""Name of the variable that names the file; empty for none."""


def config_file() -> str | None:
    """Return the path of the configuration file, None where there is none."""
    named = os.environ.get(VARIABLE)
    if named is not None:
        return named or None
    folder = os.environ.get("XDG_CONFIG_HOME") or os.path.expanduser("~/.config")
    path = os.path.join(folder, "refmaker", "config.toml")
    return path if os.path.isfile(path) else None


def default_map(commands: Mapping[str, click.Command]) -> dict[str, dict[str, Any]]:
    """Return the defaults of the configuration file: command -> parameter -> value.

    Raises
    ------
    RefmakerError
        The file cannot be read, or says something that no command understands.
    """
    path = config_file()
    if path is None:
        return {}
    made: dict[str, dict[str, Any]] = {name: {} for name in commands}
    content = _read(path)
    for key, value in content.items():
        if key not in commands:
            _for_all(commands, made, key, value, path)
    for name, table in content.items():
        if name in commands:
            if not isinstance(table, dict):
                raise RefmakerError(f"{path}: {name} is a command: its options stand in a table [{name}]")
            for key, value in table.items():
                option = _option(commands[name], key)
                if option is None:
                    raise _unknown(path, f"{name} has no option {key!r}", key, _names(commands[name]))
                made[name].update(_set(option, value, path))
    return made


def _read(path: str) -> dict[str, Any]:
    import tomllib

    try:
        with open(path, "rb") as file:
            return tomllib.load(file)
    except OSError as error:
        raise RefmakerError(f"{path}: the configuration cannot be read: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise RefmakerError(f"{path}: the configuration is not TOML: {error}") from error


def _for_all(
    commands: Mapping[str, click.Command], made: dict[str, dict[str, Any]], key: str, value: Any, path: str
) -> None:
    found = {name: option for name, command in commands.items() if (option := _option(command, key)) is not None}
    if not found:
        known = [*commands, *sorted({one for command in commands.values() for one in _names(command)})]
        raise _unknown(path, f"there is no command or option {key!r}", key, known)
    for name, option in found.items():
        made[name].update(_set(option, value, path))


def _names(command: click.Command) -> list[str]:
    return [opt[2:] for option in command.params for opt in option.opts if opt.startswith("--")]


def _option(command: click.Command, key: str) -> click.Option | None:
    options = (one for one in command.params if isinstance(one, click.Option))
    return next((one for one in options if f"--{key}" in one.opts), None)


def _set(option: click.Option, value: Any, path: str) -> dict[str, Any]:
    """Return a parameter and its value as click has them in a map of defaults."""
    name = option.name or ""
    if option.is_flag:
        given = option.flag_value if option.flag_value is False else True  # click 8.5 leaves it open where it is True
        return {name: given} if value is True else {}
    if option.multiple and not isinstance(value, list):
        value = [json.dumps(value) if isinstance(value, dict) else value]
    elif isinstance(value, dict):
        raise RefmakerError(f"{path}: --{option.opts[-1].lstrip('-')} takes no table")
    return {name: value}


def _unknown(path: str, what: str, key: str, known: list[str]) -> RefmakerError:
    from difflib import get_close_matches

    close = get_close_matches(key, known, 1)
    return RefmakerError(f"{path}: {what}" + (f"; did you mean {close[0]!r}?" if close else ""))
