"""Chunk keys and their values to columns, array by array.

Contract: keys and values come from a manifest that anyone may have written. Whatever is not a chunk key in canonical
form with a well-formed value is a `ManifestError` that names it. The bulk is parsed by numpy; single keys and values
are looked at one by one only where something is unusual.
"""

from __future__ import annotations

import base64
import binascii
import itertools
import json
import re
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from refmaker.errors import ManifestError
from refmaker.kerchunk.digits import parse_indices
from refmaker.kerchunk.fast_json_reader import Run, UnusualError
from refmaker.kerchunk.urls import UrlTable
from refmaker.manifest.references import References
from refmaker.zarr.chunk_keys import ChunkLayout
from refmaker.zarr.keys import chunk_like
from refmaker.zarr.strict_json import key_name, malformed

__all__ = ["Chunks", "inline_data"]

_SHAPES = "data, [url] or [url, offset, size]"


def inline_data(key: str, value: object, source: str | None) -> bytes:
    """Return the data that stands in the manifest itself under a key: a string, or JSON data as an object."""
    try:
        if isinstance(value, str) and value.startswith("base64:"):
            return base64.b64decode(value[7:], validate=True)
        if isinstance(value, str):
            return value.encode()
        if isinstance(value, dict):
            return json.dumps(value).encode()
    except (binascii.Error, ValueError, RecursionError) as error:
        raise ManifestError(f"bad inlined data: {error}", structure=key_name(key), source=source) from error
    raise malformed("bad value", structure=key_name(key), expected=_SHAPES, got=value, source=source)


@dataclass(slots=True)
class Chunks:
    """What a manifest holds below one array.

    Attributes
    ----------
    path
        Of the array.
    names
        Keys without the array's path.
    values
        As the JSON has them, one for every name.
    others
        Name -> value of what is not meant for a chunk, split off by `references`.
    outside
        Number of keys beyond the chunk grid, as arrays that were shrunk leave them. They say nothing about the array.
    parts
        Cells of rows of a run, with that run and which rows they are.
    from_runs
        There are rows of runs among `names` or `parts`: keys may stand twice.
    """

    path: str
    layout: ChunkLayout
    source: str | None
    names: list[str] = field(default_factory=list)
    values: list[Any] = field(default_factory=list)
    others: dict[str, Any] = field(default_factory=dict)
    outside: int = 0
    parts: list[tuple[npt.NDArray[np.int64], Run, slice]] = field(default_factory=list)
    from_runs: bool = False

    def key(self, name: str) -> str:
        """Return the full key of a name."""
        return f"{self.path}/{name}" if self.path else name

    def references(self, urls: UrlTable) -> References:
        """Turn names and values into columns."""
        cells = self._cells()
        found = self._ranges(cells, urls) if self._all_ranges() else self._mixed(cells, urls)
        if not self.from_runs:
            return found
        if self.outside:  # a key that stands there twice would be counted twice
            raise UnusualError
        return _with_parts(found, self.parts, urls)

    def take(self, text: npt.NDArray[np.uint8], run: Run, rows: slice, cut: int) -> None:
        """Add rows of a run whose keys, `cut` characters left out, are indices of a chunk.

        Raises
        ------
        UnusualError
            They are not.
        """
        self.from_runs = True
        starts, stops = run.start[rows] + cut, run.stop[rows]
        indices = parse_indices(_lines(text, starts, stops), len(self.layout.grid), self.layout.separator)
        if indices is None or len(indices) != len(starts):
            raise UnusualError
        cells = self._ravelled(indices)
        self.outside += int(np.count_nonzero(cells < 0))
        self.parts.append((cells, run, rows))

    def _cells(self) -> npt.NDArray[np.int64]:
        """Return the cell of every name, having split off what is not a chunk of the grid."""
        cells = self._parsed()
        if cells is None:
            self._split_off_others()  # or raises: what is left parses
            return self._cells()
        inside = cells >= 0
        if not inside.all():
            self.outside += len(cells) - int(np.count_nonzero(inside))
            self._keep(inside.tolist())
            cells = cells[inside]
        return cells

    def _keep(self, which: list[bool]) -> None:
        self.names = list(itertools.compress(self.names, which))
        self.values = list(itertools.compress(self.values, which))

    def _parsed(self) -> npt.NDArray[np.int64] | None:
        """Return the cell of every name, -1 outside the grid; None when any name is not a canonical chunk key."""
        names, layout = self.names, self.layout
        if not layout.grid:
            return np.zeros(len(names), "i8") if all(name == layout.scalar for name in names) else None
        if layout.head:
            if not all(name.startswith(layout.head) for name in names):
                return None
            names = [name[len(layout.head) :] for name in names]
        text = "\n".join([*names, ""])
        if not text.isascii():
            return None
        indices = parse_indices(text.encode(), len(layout.grid), layout.separator)
        if indices is None or len(indices) != len(names):
            return None
        return self._ravelled(indices)

    def _ravelled(self, indices: npt.NDArray[np.uint64]) -> npt.NDArray[np.int64]:
        """Return the cells of indices, -1 outside the grid."""
        cells = np.zeros(len(indices), "i8")
        inside = np.ones(len(indices), bool)
        for axis, extent in enumerate(self.layout.grid):
            inside &= indices[:, axis] < extent
            cells = cells * extent + np.where(inside, indices[:, axis], 0).astype("i8")
        cells[~inside] = -1
        return cells

    def _split_off_others(self) -> None:
        """Set aside names that are not meant for chunks; refuse those that are and are not spelt as chunk keys are."""
        pattern = _pattern(self.layout)
        fits = [pattern.fullmatch(name) is not None for name in self.names]
        for index in itertools.compress(range(len(fits)), (not fit for fit in fits)):
            name = self.names[index]
            if chunk_like(name, self.layout):
                expected = f"{len(self.layout.grid)} indices as in {_example(self.layout)!r}"
                raise self._error(index, "bad chunk key", expected, name)
            self.others[name] = self.values[index]
        self._keep(fits)

    def _error(self, index: int, message: str, expected: str, got: object) -> ManifestError:
        structure = key_name(self.key(self.names[index]))
        return malformed(message, structure=structure, expected=expected, got=got, source=self.source)

    def _all_ranges(self) -> bool:
        return set(map(type, self.values)) <= {list} and set(map(len, self.values)) <= {3}

    def _mixed(self, cells: npt.NDArray[np.int64], urls: UrlTable) -> References:
        """Columns of the ranges, and what is not a range cell by cell."""
        inline: dict[int, bytes] = {}
        whole: dict[int, int] = {}
        is_range = [False] * len(self.values)
        for index, (cell, value) in enumerate(zip(cells.tolist(), self.values, strict=True)):
            if not isinstance(value, list):
                inline[cell] = inline_data(self.key(self.names[index]), value, self.source)
            elif len(value) == 1 and type(value[0]) is str:
                whole[cell] = urls[value[0]]
            elif len(value) == 3:
                is_range[index] = True
            else:
                raise self._error(index, "bad value", _SHAPES, value)
        self._keep(is_range)
        references = self._ranges(cells[np.array(is_range, bool)], urls)
        references.inline = dict(sorted(inline.items()))
        references.whole = dict(sorted(whole.items()))
        return references

    def _ranges(self, cells: npt.NDArray[np.int64], urls: UrlTable) -> References:
        target = self._targets(urls)
        offset, size = self._numbers(1, "offset"), self._numbers(2, "size")
        beyond = np.flatnonzero(offset + size < offset)
        if len(beyond):
            index = int(beyond[0])
            raise self._error(index, "reference ends at 2**64 or beyond", "less", self.values[index])
        if (cells[1:] > cells[:-1]).all():
            return References(cells, target, offset, size)
        order = np.argsort(cells, kind="stable")
        return References(cells[order], target[order], offset[order], size[order])

    def _targets(self, urls: UrlTable) -> npt.NDArray[np.integer[Any]]:
        as_written = [value[0] for value in self.values]
        if not set(map(type, as_written)) <= {str}:
            index = next(i for i, url in enumerate(as_written) if type(url) is not str)
            raise self._error(index, "bad url", "a string", as_written[index])
        if as_written and as_written.count(as_written[0]) == len(as_written):
            code = urls[as_written[0]]
            return np.broadcast_to(np.array(code, np.min_scalar_type(code)), len(as_written))
        codes = np.fromiter(map(urls.__getitem__, as_written), "i8", len(as_written))
        return codes.astype(np.min_scalar_type(int(codes.max(initial=0))))

    def _numbers(self, position: int, name: str) -> npt.NDArray[np.uint64]:
        numbers = [value[position] for value in self.values]
        if set(map(type, numbers)) <= {int}:  # a bool is none, nor is a float: numpy would take both
            try:
                return np.array(numbers, "u8")
            except OverflowError:
                pass
        index = next(i for i, n in enumerate(numbers) if type(n) is not int or not 0 <= n < 2**64)
        raise self._error(index, f"bad {name}", "an integer in [0, 2**64)", numbers[index])


def _lines(text: npt.NDArray[np.uint8], starts: npt.NDArray[np.int64], stops: npt.NDArray[np.int64]) -> bytes:
    """Return pieces of a text, each with a quote behind it, as lines."""
    lengths = stops + 1 - starts
    ends = np.cumsum(lengths)
    places = np.arange(int(ends[-1])) + np.repeat(starts - (ends - lengths), lengths)
    lines: bytes = text[places].tobytes().replace(b'"', b"\n")
    return lines


def _with_parts(found: References, parts: list[tuple[npt.NDArray[np.int64], Run, slice]], urls: UrlTable) -> References:
    """Put rows of runs and references together.

    Raises
    ------
    UnusualError
        Two are for one cell.
    """
    columns: list[list[npt.NDArray[Any]]] = [[found.cell], [found.target], [found.offset], [found.size]]
    for cells, run, rows in parts:
        inside = cells >= 0
        code = np.array([urls[url] for url in run.url], "i8")[run.code[rows]]
        for column, values in zip(columns, (cells, code, run.offset[rows], run.size[rows]), strict=True):
            column.append(values if inside.all() else values[inside])
    cell, target, offset, size = (np.concatenate(column) for column in columns)
    if not (cell[1:] > cell[:-1]).all():
        order = np.argsort(cell, kind="stable")
        cell, target, offset, size = (column[order] for column in (cell, target, offset, size))
    others = np.array([*found.inline, *found.whole], "i8")
    if (cell[1:] == cell[:-1]).any() or np.isin(others, cell).any() or (offset + size < offset).any():
        raise UnusualError
    if len(target) and (target == target[0]).all():
        same = int(target[0])
        target = np.broadcast_to(np.array(same, np.min_scalar_type(same)), len(cell))
    else:
        target = target.astype(np.min_scalar_type(int(target.max(initial=0))))
    return References(cell, target, offset, size, found.inline, found.whole)


def _pattern(layout: ChunkLayout) -> re.Pattern[str]:
    if not layout.grid:
        return re.compile(re.escape(layout.scalar))
    number = "(?:0|[1-9][0-9]*)"
    return re.compile(re.escape(layout.head) + re.escape(layout.separator).join([number] * len(layout.grid)))


def _example(layout: ChunkLayout) -> str:
    return layout.head + layout.separator.join("0" * len(layout.grid)) if layout.grid else layout.scalar
