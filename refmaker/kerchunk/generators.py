"""Generators of a kerchunk manifest (`gen`): references made by counting.

Contract: nothing is evaluated but whole numbers. Between double braces may stand the name of a plain template or of a
dimension, or integer arithmetic over dimensions with `+ - * // %` and parentheses; anything else, which a template
engine would have to run, is a `ManifestError`. So is a number beyond 61 bits on the way, more references than
`MAX_GENERATED`, and more text than `limits.TEMPLATED`: both are known before any is made. Source: kerchunk
documentation, "References specification"; fsspec's `ReferenceFileSystem`, which expands generators with Jinja when it
is told to, and leaves them out when it is not.
"""

from __future__ import annotations

import ast
import math
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from refmaker import limits
from refmaker.errors import ManifestError
from refmaker.zarr.strict_json import malformed

__all__ = ["MAX_GENERATED", "generated"]

MAX_GENERATED = limits.GENERATED
"""References that all generators of a manifest make, at most: a few bytes could ask for any number."""

_PIECE = 16
"""Bytes that a piece of a text takes for each row, whatever its length."""

_EXPRESSION = re.compile(r"\{\{((?:(?!\{\{|\}\}).)*)\}\}", re.DOTALL)
_LONGEST = 200
_LARGEST = 2.0**61
_INTEGER = re.compile("[0-9]{1,20}")

_Numbers: TypeAlias = npt.NDArray[np.int64]
_Column: TypeAlias = "_Numbers | list[str]"

_OPERATIONS: dict[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: lambda a, b: a + b,
    ast.Sub: lambda a, b: a - b,
    ast.Mult: lambda a, b: a * b,
    ast.FloorDiv: lambda a, b: a // b,
    ast.Mod: lambda a, b: a % b,
}


def generated(gens: object, templates: Mapping[str, str], source: str) -> Iterator[tuple[str, list[Any]]]:
    """Yield key and value of every reference that the generators make.

    Parameters
    ----------
    gens
        The member `gen`.
    templates
        The member `templates`.
    source
        Named in errors.
    """
    if not isinstance(gens, list):
        raise malformed("bad member", structure="gen", expected="a list", got=gens, source=source)
    left = MAX_GENERATED
    for number, gen in enumerate(gens):
        generator = _Generator(gen, templates, f"gen[{number}]", source)
        left -= generator.count
        if left < 0:
            raise generator.error("generators make too many references", f"at most {MAX_GENERATED}", gen)
        yield from generator.references()


class _Generator:
    """One generator: its dimensions as columns, a row for every combination of their values."""

    def __init__(self, gen: object, templates: Mapping[str, str], structure: str, source: str) -> None:
        self.structure = structure
        self.source = source
        self.templates = templates
        if not isinstance(gen, dict) or not isinstance(gen.get("dimensions"), dict):
            raise self.error("bad generator", "an object with key, url and dimensions", gen)
        self.gen = gen
        values = {name: self._values(name, value) for name, value in gen["dimensions"].items()}
        self.count = math.prod(map(len, values.values()))
        self.values = values

    def error(self, message: str, expected: str, got: object) -> ManifestError:
        return malformed(message, structure=self.structure, expected=expected, got=got, source=self.source)

    def references(self) -> Iterator[tuple[str, list[Any]]]:
        """Yield key and value of every reference, the last dimension running fastest."""
        if not self.count:
            return
        self._bound(_PIECE * len(self.values))
        self.columns = self._columns()
        keys, urls = (self._text(name, self.gen.get(name)) for name in ("key", "url"))
        if ("offset" in self.gen) != ("length" in self.gen):
            raise self.error("offset without length, or length without offset", "both or none", self.gen)
        if "offset" not in self.gen:
            yield from ((key, [url]) for key, url in zip(keys, urls, strict=True))
            return
        offsets, lengths = (self._numbers(name, self.gen[name]) for name in ("offset", "length"))
        for key, *value in zip(keys, urls, offsets, lengths, strict=True):
            yield key, value

    def _values(self, name: str, value: object) -> range | list[int] | list[str]:
        if not (name.isascii() and name.isidentifier()) or name in self.templates:
            raise self.error("bad name of a dimension", "an identifier that no template has", name)
        if isinstance(value, list) and ({*map(type, value)} <= {int} or {*map(type, value)} <= {str}):
            if all(abs(item) < _LARGEST for item in value if isinstance(item, int)):
                return value
        elif isinstance(value, dict):
            start, stop, step = value.get("start", 0), value.get("stop"), value.get("step", 1)
            if all(type(n) is int and abs(n) < _LARGEST for n in (start, stop, step)) and step and stop is not None:
                return range(start, stop, step)
        expected = "integers, strings, or start, stop and step"
        raise self.error(f"bad dimension {name!r}", expected, value)

    def _bound(self, each: int) -> None:
        """Refuse to make so much for each row."""
        if self.count * each > limits.TEMPLATED:
            message = f"a generator makes too much; {limits.ENVIRONMENT}=templated=… sets another limit"
            raise self.error(message, f"at most {limits.TEMPLATED} characters", f"{self.count} rows of {each}")

    def _columns(self) -> dict[str, _Column]:
        shape = [len(values) for values in self.values.values()]
        columns: dict[str, _Column] = {}
        for axis, (name, values) in enumerate(self.values.items()):
            repeated = math.prod(shape[axis + 1 :])
            index = np.tile(np.repeat(np.arange(shape[axis]), repeated), math.prod(shape[:axis]))
            if len(values) and isinstance(values[0], str):
                texts = [str(value) for value in values]
                columns[name] = [texts[i] for i in index.tolist()]
            else:
                columns[name] = np.array(values, "i8")[index]
        return columns

    def _text(self, name: str, template: object) -> list[str]:
        """Return the text of a template for every row."""
        if not isinstance(template, str):
            raise self.error(f"bad {name} of a generator", "a string", template)
        parts = _EXPRESSION.split(template)
        if any(mark in literal for literal in parts[::2] for mark in ("{{", "}}", "{%", "{#", "\n", "\r")):
            raise self._unsupported(template)
        self._bound(_PIECE * len(parts))
        pieces = []
        for index, part in enumerate(parts):
            column = self._expression(part, template) if index % 2 else [part] * self.count
            pieces.append(column if isinstance(column, list) else [str(number) for number in column.tolist()])
        longest = sum(max(map(len, piece)) for piece in pieces)
        if name == "url" and longest > limits.TEMPLATED_URL:
            expected = f"at most {limits.TEMPLATED_URL} characters"
            raise self.error("a generator makes too long a url", expected, longest)
        self._bound(longest)
        return ["".join(row) for row in zip(*pieces, strict=True)]

    def _numbers(self, name: str, template: object) -> list[int]:
        if type(template) is int and 0 <= template < 2**64:
            return [template] * self.count
        texts = [text.strip(" ") for text in self._text(name, template)]
        bad = next((text for text in texts if not _INTEGER.fullmatch(text)), None)
        if bad is not None:
            raise self.error(f"bad {name} of a generated reference", "digits", bad)
        return [int(text) for text in texts]

    def _unsupported(self, template: str) -> ManifestError:
        expected = "the name of a template or dimension, or integer arithmetic, between double braces"
        return self.error("what only a template engine could expand is not supported", expected, template)

    def _expression(self, text: str, template: str) -> _Column:
        """Return what an expression is in every row."""
        name = text.strip()
        if name in self.templates:
            if "{{" in self.templates[name]:
                raise self._unsupported(template)
            return [self.templates[name]] * self.count
        column = self.columns.get(name)
        if column is not None:
            return column
        if len(text) > _LONGEST or not text.isascii():
            raise self._unsupported(template)
        try:
            tree = ast.parse(name, mode="eval").body
        except (SyntaxError, ValueError, MemoryError, RecursionError) as error:
            raise self._unsupported(template) from error
        return np.broadcast_to(self._evaluated(tree, template), self.count)

    def _evaluated(self, node: ast.expr, template: str) -> _Numbers:
        match node:
            case ast.Constant(value=int(value)) if type(value) is int and value < _LARGEST:
                return np.array(value, "i8")
            case ast.Name(id=name) if isinstance(self.columns.get(name), np.ndarray):
                return np.asarray(self.columns[name])
            case ast.UnaryOp(op=ast.USub(), operand=operand):
                return -self._evaluated(operand, template)
            case ast.BinOp(left=left, op=op, right=right) if type(op) in _OPERATIONS:
                a, b = self._evaluated(left, template), self._evaluated(right, template)
                if isinstance(op, ast.FloorDiv | ast.Mod) and not b.all():
                    raise self.error("division by zero in a generator", "another divisor", template)
                operation = _OPERATIONS[type(op)]
                near = operation(a.astype("f8"), b.astype("f8"))
                if near.size and np.abs(near).max() >= _LARGEST:
                    raise self.error("a number beyond 61 bits in a generator", "less", template)
                return np.asarray(operation(a, b))
        raise self._unsupported(template)
