"""An array on a coarser chunk grid, as the decoded view shows it.

Contract: pure arithmetic over grids; nothing is read.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from refmaker.manifest.manifest import ManifestArray
from refmaker.manifest.references import References
from refmaker.ranges import distinct
from refmaker.replay.decoding import Pipeline
from refmaker.zarr.elements import Elements

__all__ = ["RechunkedArray", "rows_of"]


@dataclass(frozen=True, slots=True)
class RechunkedArray:
    """An array of the decoded view.

    Attributes
    ----------
    source
        The array in the manifest.
    chunk
        Shape of one of its chunks.
    factor
        Chunks that make one of the view, along each dimension.
    grid
        Number of chunks of the view along each dimension.
    size
        Bytes of a chunk of the view.
    """

    path: str
    source: ManifestArray
    elements: Elements
    pipeline: Pipeline
    chunk: tuple[int, ...]
    factor: tuple[int, ...]
    grid: tuple[int, ...]

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of a chunk of the view."""
        return tuple(extent * factor for extent, factor in zip(self.chunk, self.factor, strict=True))

    @property
    def size(self) -> int:
        """Bytes of a chunk of the view."""
        return self.elements.size * math.prod(self.shape)

    def count(self, cell: int) -> int:
        """Return how many chunks make one of the view, where none is missing."""
        return math.prod(self.factor)

    def span(self, first: int, stop: int) -> tuple[int, int]:
        """Return the chunks of the array among which those of some chunks of the view are."""
        # Corners and ends of chunks of the view are in their order.
        return int(self.cells(first)[0]), int(self.cells(stop - 1)[-1]) + 1

    def insert(self, out: npt.NDArray[Any], view_cell: int, cell: int, data: bytes | memoryview) -> None:
        """Decode a chunk of the array into its place in a chunk of the view."""
        corner = zip(self.corner(cell), self.chunk, strict=True)
        index: tuple[Any, ...] = (..., *(slice(first, first + extent) for first, extent in corner))
        values = np.frombuffer(self.pipeline.decode(data), out.dtype)
        out[index] = values.reshape(self.chunk, order="F" if self.elements.order == "F" else "C")

    def cells(self, cell: int) -> npt.NDArray[np.int64]:
        """Return the chunks of the array that a chunk of the view is made of: those of the grid, in C order."""
        first, below, cells = 0, 1, np.zeros(1, "i8")
        for count, factor, extent in zip(*map(reversed, (self.grid, self.factor, self.source.grid)), strict=True):
            cell, i = divmod(cell, count)
            first += i * factor * below
            held = min(factor, extent - i * factor)
            if held > 1:
                cells = np.add.outer(np.arange(0, held * below, below), cells).ravel()
            below *= extent
        return cells + first

    def view_cells(self, cells: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """Return the chunks of the view that chunks of the array lie in, each once, sorted."""
        if not self.grid:
            return distinct(cells)
        index = np.unravel_index(cells, self.source.grid)
        found = np.ravel_multi_index(tuple(i // f for i, f in zip(index, self.factor, strict=True)), self.grid)
        return distinct(found).astype("i8")

    @property
    def consecutive(self) -> bool:
        """Return whether every chunk of the array is one row of bytes of the chunk of the view that it lies in."""
        if self.elements.order == "F" and sum(extent > 1 for extent in self.chunk) > 1:
            return False
        first = next((d for d, extent in enumerate(self.chunk) if extent > 1), len(self.chunk))
        return all(factor == 1 for factor in self.factor[first + 1 :])

    def place(self, cell: int) -> int:
        """Return which of those rows a chunk of the array is, in the order of bytes, where they are `consecutive`."""
        place, below = 0, 1
        for count, factor in zip(*map(reversed, (self.source.grid, self.factor)), strict=True):
            cell, i = divmod(cell, count)
            place += i % factor * below
            below *= factor
        return place

    def corner(self, cell: int) -> tuple[int, ...]:
        """Return where in its chunk of the view a chunk of the array begins."""
        corner = []
        for count, factor, extent in zip(*map(reversed, (self.source.grid, self.factor, self.chunk)), strict=True):
            cell, i = divmod(cell, count)
            corner.append(i % factor * extent)
        return tuple(reversed(corner))


class _Sized(Protocol):
    @property
    def size(self) -> int:
        """Bytes of a chunk of the view."""


def rows_of(array: _Sized, cells: npt.NDArray[np.int64], target: int) -> References:
    """Return the references to chunks of the view, which are in the target `target`."""
    return References(
        cells,
        np.broadcast_to(np.array(target, "u4"), len(cells)),
        cells.astype("u8") * np.uint64(array.size),
        np.broadcast_to(np.array(array.size, "u8"), len(cells)),
    )
