"""Chunks of inputs to cells of the combined grid: arithmetic on columns.

Contract: a *piece* is what one entry of a series gives to the combined array: rows `start` to `stop` along every axis,
coming to stand at `position`. A piece is moved without looking at its data if it begins and ends on bounds of chunks,
on both sides; only the end of the whole may lie within a chunk.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from refmaker.combining.collection import Series
from refmaker.combining.records import CombineError

__all__ = ["Integers", "Moves", "Pieces"]

Integers = npt.NDArray[np.int64]

T = TypeVar("T")

_CELLS = 2**63
"""Chunks of a grid, fewer than: cells are int64."""


@dataclass(slots=True)
class Pieces:
    """What comes from where.

    Attributes
    ----------
    dims
        The axes of the array, by number, along which it is concatenated.
    entry : int64[n]
        Entry of the series; -1 where no input has the piece.
    start, stop, position : int64[n, len(dims)]
        Rows of the entry; where the first of them comes to stand.
    shape
        Of the combined array.
    """

    dims: tuple[int, ...]
    entry: Integers
    start: Integers
    stop: Integers
    position: Integers
    shape: tuple[int, ...]

    def ragged(self, chunks: Sequence[int]) -> npt.NDArray[np.bool_]:
        """Return which pieces do not begin or end on bounds of chunks: bool[n, len(dims)]."""
        chunk = np.array([chunks[dim] for dim in self.dims], "i8")
        total = np.array([self.shape[dim] for dim in self.dims], "i8")
        # The end of the whole may lie within a chunk: Zarr pads the last chunk of an axis.
        last = self.position + self.stop - self.start == total
        wrong: npt.NDArray[np.bool_] = (self.start % chunk != 0) | (self.position % chunk != 0)
        wrong |= (self.stop % chunk != 0) & ~last
        return wrong


@dataclass(slots=True)
class Moves:
    """Where the cells of pieces go.

    Attributes
    ----------
    grid
        The combined one.
    own : int64[n, rank]
        Chunk grid of the entry of every piece.
    first, behind, shift : int64[n, len(dims)]
        First cell of every piece along the axes, the one behind the last, and how far they move.
    """

    dims: tuple[int, ...]
    grid: tuple[int, ...]
    own: Integers
    first: Integers
    behind: Integers
    shift: Integers

    @staticmethod
    def of(series: Series, pieces: Pieces, chunks: Sequence[int]) -> Moves:
        """Compute the moves of pieces."""
        grid = tuple(-(-extent // chunk) for extent, chunk in zip(pieces.shape, chunks, strict=True))
        if math.prod(grid) >= _CELLS:
            raise CombineError(f"the combined array would have {math.prod(grid)} chunks, and 2**63 is the limit")
        chunk = np.array([chunks[dim] for dim in pieces.dims], "i8")
        first = pieces.start // chunk
        shapes = np.array([series.shapes[e] for e in pieces.entry.tolist()], "i8").reshape(len(first), len(chunks))
        # -(-a // b) rounds up.
        own = -(-shapes // np.asarray(chunks, "i8"))
        return Moves(pieces.dims, grid, own, first, -(-pieces.stop // chunk), pieces.position // chunk - first)

    def moved(self, cell: Integers, piece: Integers) -> tuple[Integers, npt.NDArray[np.bool_]]:
        """Move cells from the grids of their entries to the combined one, and return which are in the piece.

        Parameters
        ----------
        cell, piece
            Cells, and the piece of each.
        """
        moved = np.zeros(len(cell), "i8")
        inside = np.ones(len(cell), bool)
        stride = 1
        # Inputs mostly have one chunk grid: then a scalar spares a gather of a column for each dimension.
        alike = bool((self.own == self.own[:1]).all())
        for dim in range(len(self.grid) - 1, -1, -1):
            extent = self.own[0, dim] if alike and len(self.own) else self.own[piece, dim]
            # Unravelled from the last dimension on: what is left for the first one is its index.
            cell, index = np.divmod(cell, extent) if dim else (cell, cell)
            if dim in self.dims:
                axis = self.dims.index(dim)
                inside &= (index >= self.first[piece, axis]) & (index < self.behind[piece, axis])
                index = index + self.shift[piece, axis]
            moved += index * stride
            stride *= self.grid[dim]
        return moved, inside

    def moved_single(self, held: Mapping[int, Mapping[int, T]], entry: Integers) -> dict[int, T]:
        """Move what is held cell by cell: entry -> cell -> what it is.

        Parameters
        ----------
        entry
            Of every piece.
        """
        if not held:
            return {}
        values: list[T] = []
        cells: list[int] = []
        owner: list[int] = []
        for number, one in enumerate(entry.tolist()):
            found = held.get(one)
            if found:
                cells += found
                values += found.values()
                owner += [number] * len(found)
        moved, inside = self.moved(np.array(cells, "i8"), np.array(owner, "i8"))
        pairs = zip(moved.tolist(), inside.tolist(), values, strict=True)
        return {cell: value for cell, within, value in sorted(pairs, key=lambda pair: pair[0]) if within}
