"""What lies where in a file: how much of each part of it holds metadata, chunks of which array, or nothing.

Contract: reads columns, never a chunk. A file becomes a fixed number of parts, a chunk grid an image of bounded size,
so that a hundred million references cost no more memory than their columns.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from refmaker.manifest.manifest import Manifest, ManifestArray
from refmaker.model import Tree
from refmaker.ranges import difference, union

__all__ = ["FileLayout", "grid_image", "layout_of", "main_target"]

PARTS: Final = 4096
"""Parts that a file is divided into."""
SIDE: Final = 256
"""Rows and columns of the image of a chunk grid."""
NAMED: Final = 9
"""Arrays that are told apart; the others count together."""

Ints = npt.NDArray[np.int64]


@dataclass(slots=True)
class FileLayout:
    """One file, divided into parts of the same size.

    Attributes
    ----------
    url, size
        The file; its size in bytes, or how far references reach where it is not known.
    names
        Arrays, the largest first, then `other arrays`, `metadata` where it is known, and last what is left.
    covered
        Bytes of each part (column) that each of `names` (row) occupies.
    totals
        Bytes that each of them occupies, each byte counted once.
    chunk_sizes
        Name of an array -> stored sizes of its chunks in this file.
    """

    url: str
    size: int
    names: list[str]
    covered: npt.NDArray[np.float64]
    totals: list[int]
    chunk_sizes: dict[str, npt.NDArray[np.uint64]]


def main_target(manifest: Manifest) -> int | None:
    """Return the index of the target that most bytes are read from, None where there is none."""
    if not manifest.targets:
        return None
    sums = np.zeros(len(manifest.targets))
    for array in manifest.arrays.values():
        references = array.references
        sums += np.bincount(references.target, references.size.astype("f8"), len(sums))[: len(sums)]
    return int(np.argmax(sums))


def layout_of(manifest: Manifest, *, tree: Tree | None = None, parts: int = PARTS) -> FileLayout | None:
    """Return what lies where in the file that most bytes are read from, None where there is none.

    Parameters
    ----------
    tree
        What a scan with `measure=True` found in that file, for its metadata.
    """
    target = main_target(manifest)
    if target is None:
        return None
    ranges = {path: _ranges(array, target) for path, array in manifest.arrays.items()}
    ranges = {f"/{path}": found for path, found in ranges.items() if len(found[0])}
    reached = max((int(stops[-1]) for _, stops in ranges.values()), default=0)
    size = max(manifest.targets[target].size or 0, reached)
    order = sorted(ranges, key=lambda name: -_total(ranges[name]))
    found = {name: ranges[name] for name in order[:NAMED]}
    if order[NAMED:]:
        found["other arrays"] = _united([ranges[name] for name in order[NAMED:]])
    data = _united(list(found.values()))
    if tree is not None and tree.metadata_extents:
        extents = np.array(tree.metadata_extents, "i8")
        found["metadata"] = difference(extents[:, 0], extents[:, 1], *data)
        data = _united([data, found["metadata"]])
    rest = "gaps" if "metadata" in found else "metadata and gaps"
    found[rest] = difference(np.array([0]), np.array([size]), *data)
    edges = np.linspace(0, size, parts + 1)
    sizes = {f"/{path}": _sizes(array, target) for path, array in manifest.arrays.items()}
    return FileLayout(
        manifest.targets[target].url,
        size,
        list(found),
        np.stack([_covered(*one, edges) for one in found.values()]),
        [_total(one) for one in found.values()],
        {name: one for name, one in sizes.items() if len(one)},
    )


def grid_image(array: ManifestArray, side: int = SIDE) -> npt.NDArray[np.float64]:
    """Return the mean stored size of the chunks of a grid as an image; NaN where no file has a chunk.

    Columns are the last dimension, rows all others in C order. A larger grid than the image has several chunks a pixel.
    """
    references = array.references
    width = array.grid[-1] if array.grid else 1
    height = math.prod(array.grid[:-1])
    rows, columns = min(side, height), min(side, width)
    if not (rows and columns):
        return np.full((1, 1), np.nan)
    cells, sizes = references.cell, references.size
    row, column = _scaled(cells // width, height, rows), _scaled(cells % width, width, columns)
    pixel = row * columns + column
    total = np.bincount(pixel, sizes.astype("f8"), rows * columns)
    count = np.bincount(pixel, minlength=rows * columns).astype("f8")
    image: npt.NDArray[np.float64] = np.divide(total, count, out=np.full(rows * columns, np.nan), where=count > 0)
    return image.reshape(rows, columns)


def _scaled(positions: Ints, extent: int, pixels: int) -> Ints:
    found: Ints = np.minimum((positions.astype("f8") * (pixels / extent)).astype("i8"), pixels - 1)
    return found


def _ranges(array: ManifestArray, target: int) -> tuple[Ints, Ints]:
    references = array.references
    chosen = references.target == target
    starts = references.offset[chosen].astype("i8")
    return union(starts, starts + references.size[chosen].astype("i8"))


def _sizes(array: ManifestArray, target: int) -> npt.NDArray[np.uint64]:
    found: npt.NDArray[np.uint64] = array.references.size[array.references.target == target]
    return found


def _united(ranges: Sequence[tuple[Ints, Ints]]) -> tuple[Ints, Ints]:
    if not ranges:
        return np.empty(0, "i8"), np.empty(0, "i8")
    return union(np.concatenate([one[0] for one in ranges]), np.concatenate([one[1] for one in ranges]))


def _total(ranges: tuple[Ints, Ints]) -> int:
    return int((ranges[1] - ranges[0]).sum())


def _covered(starts: Ints, stops: Ints, edges: npt.NDArray[np.float64]) -> npt.NDArray[Any]:
    """Return how many bytes between two edges ranges cover, which are sorted and disjoint."""
    if not len(starts):
        return np.zeros(len(edges) - 1)
    before = np.concatenate([[0], np.cumsum(stops - starts)])
    number = np.searchsorted(starts, edges, side="right")
    within = np.minimum(edges, np.concatenate([[0], stops])[number]) - np.concatenate([[0], starts])[number]
    below = before[np.maximum(number - 1, 0)] + np.where(number > 0, within, 0)
    return np.diff(below)
