"""Which chunks to compare, and in which pieces.

Contract: pure arithmetic on the chunk grid of an array. A *block* is a box of chunks; all blocks of a full comparison
cover the grid once, in C order, and are bounded in bytes and in number of chunks. A sample is the same every time.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from refmaker.manifest.references import References

__all__ = ["Block", "Cells", "blocks_of", "choose", "stored_cells"]

Cells = npt.NDArray[np.int64]

BLOCK_SIZE = 16 << 20
"""Bytes of decoded values that are compared at a time, unless one chunk is larger."""

BLOCK_CHUNKS = 2048

_MISSING_SHARE = 8
_MISSING_SAMPLE = 32

MOST_MISSING = 1 << 20
"""Missing chunks that are all compared when all are asked for; of more, a sample: a small file may miss 2**60."""


@dataclass(frozen=True, slots=True)
class Block:
    """A box of chunks: first and stop position along each axis of the grid."""

    first: tuple[int, ...]
    stop: tuple[int, ...]

    @property
    def chunks(self) -> int:
        """Number of chunks."""
        return math.prod(b - a for a, b in zip(self.first, self.stop, strict=True))

    def selection(self, shape: Sequence[int], chunk: Sequence[int]) -> tuple[slice, ...]:
        """Return the elements of the array that the chunks hold."""
        axes = zip(self.first, self.stop, shape, chunk, strict=True)
        return tuple(slice(a * size, min(b * size, extent)) for a, b, extent, size in axes)

    def singles(self) -> Iterator[Block]:
        """Yield the chunks one by one, in C order."""
        for position in np.ndindex(*(b - a for a, b in zip(self.first, self.stop, strict=True))):
            first = tuple(a + i for a, i in zip(self.first, position, strict=True))
            yield Block(first, tuple(i + 1 for i in first))


def blocks_of(grid: tuple[int, ...], chunk_size: int, cells: Cells | None) -> Iterator[Block]:
    """Yield the blocks that cover `cells`, or the whole grid; `chunk_size` is that of a decoded chunk in bytes."""
    if cells is not None:
        for cell in cells.tolist():
            first = tuple(int(i) for i in np.unravel_index(cell, grid)) if grid else ()
            yield Block(first, tuple(i + 1 for i in first))
        return
    room = max(min(BLOCK_SIZE // max(chunk_size, 1), BLOCK_CHUNKS), 1)
    steps = []
    for extent in reversed(grid):
        steps.append(max(min(extent, room), 1))
        room = room // extent if extent and extent <= room else 1
    steps.reverse()
    counts = [-(-extent // step) for extent, step in zip(grid, steps, strict=True)]
    for position in np.ndindex(*counts):
        first = tuple(i * step for i, step in zip(position, steps, strict=True))
        yield Block(first, tuple(min(a + b, c) for a, b, c in zip(first, steps, grid, strict=True)))


def stored_cells(references: References) -> Cells:
    """Return the cells of which the manifest has something, sorted, each once."""
    others = [*references.inline, *references.whole]
    return np.unique(np.concatenate([references.cell, np.array(others, "i8")])) if others else references.cell


def choose(path: str, cells: int, stored: Cells, sample: int | None) -> Cells | None:
    """Choose the chunks of an array to compare; None stands for all.

    Parameters
    ----------
    path
        Of the array: it decides which.
    cells
        Chunks of the grid.
    stored
        Those of which the manifest has something, sorted.
    sample
        How many, about. First and last chunk, first and last stored one and some missing ones are always among them.
        None for all, of `MOST_MISSING` missing ones at most.
    """
    if cells - len(stored) > MOST_MISSING and sample is None:
        sample = len(stored) + _MISSING_SHARE * _MISSING_SAMPLE
    if sample is None or cells <= sample:
        return None
    rng = np.random.default_rng(zlib.crc32(path.encode("utf-8", "surrogateescape")))
    always = [0, cells - 1, *stored[:1].tolist(), *stored[-1:].tolist()]
    missing = cells - len(stored)
    if missing:
        picks = rng.choice(missing, min(missing, max(sample // _MISSING_SHARE, 1)), replace=False, shuffle=False)
        always += _absent(stored, picks).tolist()
    rest = stored[~np.isin(stored, always)]
    room = min(max(sample - len(set(always)), 0), len(rest))
    picks = rng.choice(max(len(rest), 1), room, replace=False, shuffle=False)
    return np.unique(np.concatenate([np.array(always, "i8"), rest[picks]]))


def _absent(stored: Cells, numbers: npt.NDArray[np.int64]) -> Cells:
    """Return the cells that are the n-th ones not in `stored`."""
    before = stored - np.arange(len(stored))
    return numbers + np.searchsorted(before, numbers, side="right")
