"""Options of filesystems on the command line: `--storage-options` and its like.

Contract: `key=value`, as often as needed, `@FILE`, or JSON. A value may be read from a file too (`secret=@FILE`), so
that nothing secret has to stand in the list of processes. What is given later wins.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Final, TypeVar

import click

if TYPE_CHECKING:
    _Type = click.ParamType[str]
else:
    _Type = click.ParamType  # which takes no argument before click 8.5

__all__ = ["filesystem_options", "json_object", "parse_options"]

F = TypeVar("F", bound=Callable[..., Any])

_MOST: Final = 1 << 20
"""Bytes of a file of options: larger ones are something else."""
_TEXT: Final = re.compile(r"key|secret|token|password|username|user$", re.IGNORECASE)
"""Names whose values are text, even where they look like numbers."""


class _Options(_Type):
    name = "text"

    def split_envvar_value(self, rv: str) -> Sequence[str]:
        """Return what an environment variable gives: one JSON object, or words."""
        return [rv] if rv.lstrip().startswith("{") else rv.split()


def filesystem_options(name: str, text: str) -> Callable[[F], F]:
    """Return a decorator that adds an option for the options of a filesystem.

    Parameters
    ----------
    text
        Says of which filesystem, ending in a full stop.
    """
    forms = "KEY=VALUE (repeatable), @FILE or JSON"
    return click.option(
        name, multiple=True, type=_Options(), metavar="OPTIONS", callback=json_object, help=f"{text[:-1]}: {forms}."
    )


def json_object(ctx: click.Context, param: click.Parameter, value: str | Sequence[str] | None) -> dict[str, Any] | None:
    """Return the options that were given, None for none (a click callback)."""
    if not value:
        return None
    try:
        return parse_options([value] if isinstance(value, str) else value)
    except ValueError as error:
        raise click.BadParameter(str(error), ctx, param) from error


def parse_options(given: Sequence[str]) -> dict[str, Any]:
    """Return the options of a list of `key=value`, `@FILE` and JSON objects.

    `client_kwargs.region_name=eu-1` is an option within an option.

    Raises
    ------
    ValueError
        One of them is none of these. The message does not repeat the value, which may be secret.
    """
    options: dict[str, Any] = {}
    for text in given:
        if text.startswith("@"):
            _merge(options, _of_file(text[1:]))
        elif text.lstrip().startswith(("{", "[", '"')):
            _merge(options, _json(text))
        else:
            name, value = _pair(text)
            _merge(options, _nested(name, value))
    return options


def _merge(options: dict[str, Any], more: dict[str, Any]) -> None:
    for name, value in more.items():
        old = options.get(name)
        if isinstance(old, dict) and isinstance(value, dict):
            _merge(old, value)
        else:
            options[name] = value


def _of_file(path: str) -> dict[str, Any]:
    text = _content(path)
    if text.lstrip().startswith("{"):
        return _json(text)
    options: dict[str, Any] = {}
    for line in _lines(text):
        name, value = _pair(line)
        _merge(options, _nested(name, value))
    return options


def _lines(text: str) -> Iterator[str]:
    return (line for line in map(str.strip, text.splitlines()) if line and not line.startswith("#"))


def _content(path: str) -> str:
    try:
        with open(path, encoding="utf-8") as file:
            text = file.read(_MOST + 1)
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"the file {path!r} cannot be read: {getattr(error, 'strerror', 'it is no text')}") from error
    if len(text) > _MOST:
        raise ValueError(f"the file {path!r} is no file of options: it has more than {_MOST} bytes")
    return text


def _json(text: str) -> dict[str, Any]:
    try:
        parsed = json.loads(text)
    except ValueError as error:
        raise ValueError(f"invalid JSON: {error}") from error
    if not isinstance(parsed, dict):
        raise ValueError('expected a JSON object, such as {"anon": true}')
    return parsed


def _pair(text: str) -> tuple[str, Any]:
    name, mark, value = text.partition("=")
    if not mark or not name.strip():
        raise ValueError("expected KEY=VALUE such as anon=true, @FILE, or a JSON object")
    name, value = name.strip(), value.strip()
    if value.startswith("@"):
        return name, _content(value[1:]).strip()
    return name, _value(name, value)


def _value(name: str, text: str) -> Any:
    """Return true, false, null, numbers, quoted text, objects and lists as JSON has them, all else as text."""
    if _TEXT.search(name.rpartition(".")[2]) and not text.startswith(('"', "{", "[")):
        return text
    try:
        return json.loads(text)
    except ValueError:
        return text


def _nested(name: str, value: Any) -> dict[str, Any]:
    for part in reversed(name.split(".")):
        value = {part: value}
    found: dict[str, Any] = value
    return found
