"""Selections on both sides of a mapping, brought together axis by axis.

Contract: pure. A `Region` says which elements of a source dataset are which of a virtual one, as a product over axes:
for each pair of axes the *segments* (int64[n, 3]: first index of the virtual axis, of the source axis, length), for
all other axes a single index. Selections that are no products, or whose shapes differ by more than axes of one
element, have no region.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from refmaker.hdf5.selection import Runs

__all__ = ["Region", "Segments", "region_of"]

Segments = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Region:
    """A product of segments.

    Attributes
    ----------
    pairs
        Virtual axis and source axis, both ascending.
    segments
        For each pair, ordered by virtual index.
    virtual_single, source_single
        Axis -> index, for the axes that are in no pair.
    """

    pairs: tuple[tuple[int, int], ...]
    segments: tuple[Segments, ...]
    virtual_single: dict[int, int]
    source_single: dict[int, int]

    @property
    def size(self) -> int:
        """Number of elements."""
        return math.prod(int(s[:, 2].sum()) for s in self.segments)


def region_of(virtual: tuple[Runs, ...], source: tuple[Runs, ...]) -> Region | None:
    """Return the region of two products of runs with the same number of elements."""
    pairs = _pairs([_length(runs) for runs in virtual], [_length(runs) for runs in source])
    if pairs is None:
        return None
    with_virtual, with_source = {v for v, _ in pairs}, {s for _, s in pairs}
    return Region(
        tuple(pairs),
        tuple(_segments(virtual[v], source[s]) for v, s in pairs),
        {axis: int(runs[0, 0]) for axis, runs in enumerate(virtual) if axis not in with_virtual},
        {axis: int(runs[0, 0]) for axis, runs in enumerate(source) if axis not in with_source},
    )


def _length(runs: Runs) -> int:
    if len(runs) == 1:
        return int(runs[0, 1] - runs[0, 0])
    return int((runs[:, 1] - runs[:, 0]).sum())


def _pairs(virtual: list[int], source: list[int]) -> list[tuple[int, int]] | None:
    """Pair axes of the same length; axes of one element need no partner."""
    if virtual == source:
        return [(axis, axis) for axis in range(len(virtual))]
    longer = [axis for axis, n in enumerate(virtual) if n != 1]
    others = [axis for axis, n in enumerate(source) if n != 1]
    if [virtual[axis] for axis in longer] != [source[axis] for axis in others]:
        return None
    return list(zip(longer, others, strict=True))


def _segments(virtual: Runs, source: Runs) -> Segments:
    """Cut runs of both sides so that they correspond one by one."""
    if len(virtual) == 0:
        return np.empty((0, 3), "i8")
    if len(virtual) == len(source) == 1:
        return np.array([[virtual[0, 0], source[0, 0], virtual[0, 1] - virtual[0, 0]]], "i8")
    first, second = _starts(virtual), _starts(source)
    cuts = np.sort(np.concatenate([first, second]))
    cuts = cuts[np.append(True, cuts[1:] != cuts[:-1])]
    in_virtual = np.searchsorted(first, cuts, "right") - 1
    in_source = np.searchsorted(second, cuts, "right") - 1
    lengths = np.diff(np.append(cuts, _length(virtual)))
    return np.stack(
        [
            virtual[in_virtual, 0] + cuts - first[in_virtual],
            source[in_source, 0] + cuts - second[in_source],
            lengths,
        ],
        axis=1,
    )


def _starts(runs: Runs) -> npt.NDArray[np.int64]:
    """Return how many elements stand before each run."""
    lengths = runs[:, 1] - runs[:, 0]
    before: Segments = np.cumsum(lengths) - lengths
    return before
