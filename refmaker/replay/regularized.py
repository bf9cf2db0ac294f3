"""An array of chunks of different lengths, or of chunks that are stored larger, on a regular grid.

Contract: the face of `RechunkedArray`, for arrays whose chunks are not those of a regular grid. A chunk of the view is
at least as long as the longest chunk along every axis, so that a chunk of the array lies in two of them along an axis
at most, and only the part that lies in a chunk of the view is put there. Nothing is read.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from refmaker import limits
from refmaker.codecs.crop import cropped
from refmaker.errors import FormatError
from refmaker.manifest.manifest import ManifestArray
from refmaker.ranges import distinct
from refmaker.replay.decoding import pipeline, unpacked
from refmaker.zarr.elements import Elements

__all__ = ["RegularizedArray"]


@dataclass(frozen=True, slots=True)
class RegularizedArray:
    """An array of the view.

    Attributes
    ----------
    source
        The array in the manifest.
    edges
        Where the chunks of the array begin along each dimension, and where the last one ends.
    encoded
        Shape of which all of them are stored, with None for a length that follows from the bytes; None: as in the grid.
    shape
        Of a chunk of the view.
    grid
        Number of chunks of the view along each dimension.
    """

    path: str
    source: ManifestArray
    elements: Elements
    edges: tuple[npt.NDArray[np.int64], ...]
    encoded: tuple[int | None, ...] | None
    shape: tuple[int, ...]
    grid: tuple[int, ...]

    consecutive = False

    @property
    def size(self) -> int:
        """Bytes of a chunk of the view."""
        return self.elements.size * math.prod(self.shape)

    def _touched(self, cell: int) -> list[tuple[int, int]]:
        """Return the chunks of the array in one of the view: along each dimension the first, and behind the last."""
        found = []
        for index, length, edges in zip(np.unravel_index(cell, self.grid), self.shape, self.edges, strict=True):
            low = int(index) * length
            first = int(np.searchsorted(edges, low, side="right")) - 1
            stop = int(np.searchsorted(edges[:-1], low + length, side="left"))
            found.append((first, stop))
        return found

    def cells(self, cell: int) -> npt.NDArray[np.int64]:
        """Return the chunks of the array that a chunk of the view is made of, in C order."""
        axes = [np.arange(first, stop) for first, stop in self._touched(cell)]
        made: npt.NDArray[np.int64] = np.ravel_multi_index(np.ix_(*axes), self.source.grid).ravel().astype("i8")
        return made

    def count(self, cell: int) -> int:
        """Return how many chunks of the array a chunk of the view is made of."""
        return math.prod(stop - first for first, stop in self._touched(cell))

    def span(self, first: int, stop: int) -> tuple[int, int]:
        """Return the chunks of the array among which those of some chunks of the view are."""
        if not self.grid:
            return 0, 1
        below, own = math.prod(self.grid[1:]), math.prod(self.source.grid[1:])
        low = self._touched(first - first % below)[0][0]
        high = self._touched(stop - 1)[0][1]
        return low * own, high * own

    def view_cells(self, cells: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """Return the chunks of the view that chunks of the array lie in, each once, sorted."""
        index = np.unravel_index(cells, self.source.grid)
        firsts, lasts = [], []
        for own, edges, length, count in zip(index, self.edges, self.shape, self.grid, strict=True):
            firsts.append(edges[own] // length)
            # The last chunk may reach beyond the array.
            lasts.append(np.minimum((edges[own + 1] - 1) // length, count - 1))
        found = []
        for step in itertools.product((0, 1), repeat=len(self.grid)):
            within = np.ones(len(cells), bool)
            for one, first, last in zip(step, firsts, lasts, strict=True):
                within &= first + one <= last
            if within.any():
                at = tuple((first + one)[within] for one, first in zip(step, firsts, strict=True))
                found.append(np.ravel_multi_index(at, self.grid))
        return distinct(np.concatenate(found)).astype("i8") if found else np.empty(0, "i8")

    def insert(self, out: npt.NDArray[Any], view_cell: int, cell: int, data: bytes | memoryview) -> None:
        """Decode a chunk of the array, and put what lies in a chunk of the view there.

        Raises
        ------
        FormatError
            It does not decode to what its grid, or its codec, has.
        """
        own = [int(i) for i in np.unravel_index(cell, self.source.grid)]
        starts = [int(edges[i]) for edges, i in zip(self.edges, own, strict=True)]
        lengths = [int(edges[i + 1] - edges[i]) for edges, i in zip(self.edges, own, strict=True)]
        values = self._decoded(data, lengths, out.dtype)
        here, there = [], []
        view = np.unravel_index(view_cell, self.grid)
        for index, length, start, extent in zip(view, self.shape, starts, lengths, strict=True):
            low = int(index) * length
            first, stop = max(start, low), min(start + extent, low + length)
            here.append(slice(first - low, stop - low))
            there.append(slice(first - start, stop - start))
        out[tuple(here)] = values[tuple(there)]

    def _decoded(self, data: bytes | memoryview, lengths: list[int], dtype: np.dtype[Any]) -> npt.NDArray[Any]:
        encoded = self.encoded if self.encoded is not None else tuple(lengths)
        if None not in encoded:
            size = self.elements.size * math.prod(one for one in encoded if one is not None)
            known = pipeline(self.elements.codecs, size)
            if known is None:
                raise FormatError("codecs that do not decode to chunks of this size", expected=f"{size} bytes")
            return cropped(known.decode(data), dtype, encoded, lengths)
        return cropped(_undone(self.elements.codecs, data), dtype, encoded, lengths)


def _undone(codecs: tuple[Mapping[str, Any], ...], data: bytes | memoryview) -> Any:
    """Decode a chunk whose size nobody knows before, within the limit for decoded chunks."""
    value: Any = data
    for number in reversed(range(len(codecs))):
        out = unpacked(codecs[number], value, limits.UNSIZED_CHUNK)
        if out is not None:
            value = out
            continue
        # What is left gives as many bytes as it takes, or a fixed number less.
        size = len(value) - (4 if codecs[number].get("id") == "fletcher32" else 0)
        one = pipeline(codecs[number : number + 1], max(size, 0))
        if one is None:
            raise FormatError("the chunk does not decode", structure=f"codec {codecs[number].get('id')}")
        value = one.decode(value)
    return value
