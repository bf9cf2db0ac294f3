"""References that are placed when they are asked for, from rows in a file.

Contract: what `between` gives is what placing all at once and cutting gives, or an error; only the rows that come to
stand there are read, and none of them is kept. Asking for a column as a whole places all.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Iterator
from typing import Any

import numpy as np

from refmaker.combining.collection import Series
from refmaker.combining.rows import Columns, joined
from refmaker.combining.shift import Integers, Moves
from refmaker.errors import ManifestError
from refmaker.manifest.references import ByteRange, References

__all__ = ["PlacedReferences", "boxes"]

_COLUMNS = ("cell", "target", "offset", "size")
_TOGETHER = 1 << 20
"""Cells, or rows, that are looked at in one step: about 28 MiB of columns."""


class PlacedReferences(References):
    """References of an array that is assembled from pieces.

    Parameters
    ----------
    entry
        Of every piece.
    moves
        Of the pieces.
    """

    __slots__ = ("_counts", "_held", "_known", "_starts", "entry", "moves", "series")

    streamed = True

    def __init__(self, series: Series, entry: Integers, moves: Moves) -> None:
        # The columns stay unset: that is what makes `__getattr__` place them.
        self.series = series
        self.entry = entry
        self.moves = moves
        self.inline = moves.moved_single(series.inline, entry)
        self.whole = moves.moved_single(series.whole, entry)
        self._starts = series.starts
        self._counts = np.asarray(series.counts, "i8")
        self._known: int | None = None
        self._held: tuple[list[int], list[int]] | None = None

    def __getattr__(self, name: str) -> Any:
        if name not in _COLUMNS:
            raise AttributeError(name)
        self.load()
        return getattr(self, name)

    def __reduce__(self) -> tuple[Any, ...]:
        return References, (self.cell, self.target, self.offset, self.size, self.inline, self.whole)

    def __len__(self) -> int:
        if self._known is None:
            self._known = sum(len(part.cell) for _, part in self.windows(_TOGETHER))
        return self._known + len(self.inline) + len(self.whole)

    def at(self, cell: int) -> bytes | ByteRange | None:
        """Return what is recorded for a cell."""
        return self.between(cell, cell + 1).at(cell)

    def any_between(self, start: int, stop: int) -> bool:
        """Return whether any of the cells from `start` to before `stop` is recorded."""
        return len(self.between(start, stop)) > 0

    def is_loaded(self, cell: int | None = None) -> bool:
        """Return whether a cell can be looked at without reading anything."""
        return False

    def load(self) -> None:
        """Place all."""
        found = self._placed(0, math.prod(self.moves.grid))
        self.cell, self.target, self.offset, self.size = found

    def parts(self) -> Iterator[References]:
        """See `References.parts`."""
        for _, part in self.windows(_TOGETHER):
            yield part

    def windows(self, size: int) -> Iterator[tuple[int, References]]:
        """See `References.windows`."""
        cells = math.prod(self.moves.grid)
        known = 0
        for number in self._numbers(cells, size):
            part = self.between(number * size, min((number + 1) * size, cells))
            known += len(part.cell)
            if len(part):
                yield number, part
        self._known = known

    def between(self, start: int, stop: int) -> References:
        """Return the references of the cells from `start` to before `stop`; read their rows."""
        found = self._placed(start, min(stop, math.prod(self.moves.grid)))
        if self._held is None or len(self._held[0]) + len(self._held[1]) != len(self.inline) + len(self.whole):
            self._held = sorted(self.inline), sorted(self.whole)
        inlined, whole = (keys[bisect_left(keys, start) : bisect_left(keys, stop)] for keys in self._held)
        inline = {cell: self.inline[cell] for cell in inlined}
        return References(*found, inline, {cell: self.whole[cell] for cell in whole})

    def _numbers(self, cells: int, size: int) -> Iterator[int]:
        """Yield the numbers of windows that may hold anything: of a grid that is nearly empty, those that do."""
        count = -(-cells // size)
        rows = int(self._counts[self.entry].sum()) + len(self.inline) + len(self.whole)
        # Trying every window is cheap unless there are far more of them than the rows could fill.
        if count <= 16 + 16 * rows // size:
            yield from range(count)
            return
        found: set[int] = {cell // size for cell in (*self.inline, *self.whole)}
        for piece in range(len(self.entry)):
            entry = int(self.entry[piece])
            start, stop = int(self._starts[entry]), int(self._starts[entry + 1])
            for first in range(start, stop, _TOGETHER):
                cell = self.series.rows.read(first, min(first + _TOGETHER, stop))[0]
                moved, inside = self.moves.moved(cell, np.full(len(cell), piece))
                found.update(np.unique(moved[inside] // size).tolist())
        yield from sorted(found)

    def _placed(self, start: int, stop: int) -> Columns:
        parts = [self._box(*box) for box in boxes(start, stop, self.moves.grid)] if start < stop else []
        cell, target, offset, size = joined(parts)
        if len(cell) and not start <= cell[0] <= cell[-1] < stop:
            raise ManifestError("chunks of an input are not sorted, or not in its grid")
        return cell, target, offset, size

    def _box(self, prefix: tuple[int, ...], first: int, behind: int) -> Columns:
        """Place the cells whose first indices are `prefix`, the next one from `first` to before `behind`."""
        pieces, low, high = self._rows_of(prefix, first, behind)
        # Rows of consecutive pieces mostly adjoin in the file: each run of them is one read.
        runs = np.flatnonzero(np.concatenate([[True], low[1:] != high[:-1]])) if len(low) else low
        ends = np.concatenate([runs[1:] - 1, [len(low) - 1]]) if len(low) else low
        read = [self.series.rows.read(a, b) for a, b in zip(low[runs].tolist(), high[ends].tolist(), strict=True)]
        cell, target, offset, size = joined(read)
        cell, inside = self.moves.moved(cell, np.repeat(pieces, high - low))
        if not inside.all():
            cell, target, offset, size = cell[inside], target[inside], offset[inside], size[inside]
        if not (cell[1:] > cell[:-1]).all():
            order = np.argsort(cell, kind="stable")
            cell, target, offset, size = cell[order], target[order], offset[order], size[order]
        return cell, target, offset, size

    def _rows_of(self, prefix: tuple[int, ...], first: int, behind: int) -> tuple[Integers, Integers, Integers]:
        """Return the pieces that have cells of a box, and for each the rows among which they are."""
        moves, depth = self.moves, len(prefix)
        touched = np.ones(len(self.entry), bool)
        for axis, dim in enumerate(moves.dims):
            if dim <= depth:
                from_, to = (first, behind) if dim == depth else (prefix[dim], prefix[dim] + 1)
                shift = moves.shift[:, axis]
                touched &= (moves.first[:, axis] + shift < to) & (moves.behind[:, axis] + shift > from_)
        pieces = np.flatnonzero(touched)
        # Cells are row-major, so that a box is one range of cells, [low, high), in the grid of every piece.
        own = moves.own[pieces]
        low, high = np.zeros(len(pieces), "i8"), np.zeros(len(pieces), "i8")
        for dim in range(depth + 1):
            from_, to = (first, behind) if dim == depth else (prefix[dim], prefix[dim] + 1)
            one, other = np.full(len(pieces), from_), np.full(len(pieces), to)
            if dim in moves.dims:
                axis = moves.dims.index(dim)
                one = np.maximum(one - moves.shift[pieces, axis], moves.first[pieces, axis])
                other = np.minimum(other - moves.shift[pieces, axis], moves.behind[pieces, axis])
            if dim < depth:
                low = low * own[:, dim] + one
            else:
                low, high = low * own[:, dim] + one, low * own[:, dim] + other
        inner = own[:, depth + 1 :].prod(axis=1)
        return pieces, *self._found(pieces, low * inner, high * inner, own.prod(axis=1))

    def _found(self, pieces: Integers, low: Integers, high: Integers, cells: Integers) -> tuple[Integers, Integers]:
        """Return the rows of cells of entries. They are looked for, except where all cells have one."""
        entry = self.entry[pieces]
        start, count = self._starts[entry], self._counts[entry]
        # An entry that has a row for every cell needs no search: its cell i is its row i.
        dense = count == cells
        first, behind = start + np.where(dense, low, 0), start + np.where(dense, high, count)
        for at in np.flatnonzero(~dense & ((low > 0) | (high < cells))).tolist():
            begin, end = int(start[at]), int(start[at] + count[at])
            first[at] = self.series.rows.find(int(low[at]), begin, end)
            behind[at] = self.series.rows.find(int(high[at]), int(first[at]), end)
        return first, behind


def boxes(start: int, stop: int, grid: tuple[int, ...]) -> Iterator[tuple[tuple[int, ...], int, int]]:
    """Split cells from `start` to before `stop` into boxes: leading indices, a range of the next one, the rest whole.

    They come in the order of cells.
    """

    def cut(start: int, stop: int, prefix: tuple[int, ...]) -> Iterator[tuple[tuple[int, ...], int, int]]:
        inner = math.prod(grid[len(prefix) + 1 :])
        first, before = divmod(start, inner)
        last, behind = divmod(stop, inner)
        if before and first == last:
            yield from cut(before, behind, (*prefix, first))
            return
        if before:
            yield from cut(before, inner, (*prefix, first))
            first += 1
        if first < last:
            yield prefix, first, last
        if behind:
            yield from cut(0, behind, (*prefix, last))

    yield from cut(start, stop, ())
