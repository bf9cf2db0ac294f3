"""Arrays whose chunks are prefetched: where a chunk is in the walks of readers, and the references of those to come.

Contract: nothing is waited for. What stands in shards of the manifest that are not here yet is left out, and those
shards are asked for.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from refmaker.manifest.references import References

__all__ = ["Fetch", "Rows", "ShardedArrayState", "ArrayState", "known_rows"]

Fetch: TypeAlias = Callable[[Callable[[], object]], None]
"""Has a function called in another thread."""

Rows: TypeAlias = tuple[References, npt.NDArray[np.int64], int]

_SHARDS = 2
"""Shards that are asked for at a time before somebody waits for them."""


class ArrayState:
    """An array whose chunks are prefetched.

    Parameters
    ----------
    grid
        Number of chunks along each dimension.
    """

    def __init__(self, path: str, grid: tuple[int, ...], references: References) -> None:
        self.path = path
        self.references = references
        self.complete = not references.is_loaded() or len(references.cell) == math.prod(grid)
        self.grid = grid if self.complete else (len(references.cell),)

    def position(self, cell: int) -> int | None:
        """Return the place of a chunk in `self.grid`; chunks that are no rows have none, and are nobody's next."""
        if self.complete:
            return cell
        row = int(np.searchsorted(self.references.cell, cell))
        return row if row < len(self.references.cell) and self.references.cell[row] == cell else None

    def rows(self, positions: npt.NDArray[np.int64]) -> Rows:
        """Return the references of chunks, as columns and rows of them, and how many of the chunks were looked at."""
        return self.references, positions, len(positions)


class ShardedArrayState(ArrayState):
    """An array whose references are read shard by shard.

    Parameters
    ----------
    fetch
        Has a function called in another thread.
    """

    def __init__(self, path: str, grid: tuple[int, ...], references: References, fetch: Fetch) -> None:
        super().__init__(path, grid, references)
        self.complete, self.grid = True, grid
        self.fetch = fetch

    def rows(self, positions: npt.NDArray[np.int64]) -> Rows:
        """See `ArrayState.rows`."""
        return known_rows(self.references, positions, self.fetch)


def known_rows(references: References, cells: npt.NDArray[np.int64], fetch: Fetch) -> Rows:
    """Return the references of the first of `cells`, up to one that a shard would have to be read for; have it read."""
    known, missing = references.known(cells)
    looked = len(cells) if not missing else int(np.flatnonzero(np.isin(cells, missing))[0])
    for cell in missing[:_SHARDS]:
        fetch(partial(references.at, cell))
    rows = np.searchsorted(known.cell, cells[:looked])
    rows = np.minimum(rows, max(len(known.cell) - 1, 0))
    return known, rows[known.cell[rows] == cells[:looked]] if len(known.cell) else rows[:0], looked
