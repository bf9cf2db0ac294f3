"""A part of a manifest: some of its arrays, and ranges of indices along some dimensions.

Contract: chunks are taken as they are, so that a range begins where a chunk does; it may end anywhere. The result is a
manifest like any other, with the references of those chunks.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from refmaker.errors import ManifestError
from refmaker.manifest.manifest import Manifest, ManifestArray
from refmaker.manifest.references import References
from refmaker.path_filter import PathFilter
from refmaker.zarr.chunk_grid import grid_of

__all__ = ["parse_selection", "subset"]

T = TypeVar("T")

_SELECTION = re.compile(r"([^=]+)=(\d*):(\d*)")


def parse_selection(texts: tuple[str, ...]) -> dict[str, tuple[int, int | None]]:
    """Return dimension -> first index and that behind the last, None for the end.

    Raises
    ------
    ValueError
        A text is no selection.

    Examples
    --------
    >>> parse_selection(("time=24:48", "y=10:"))
    {'time': (24, 48), 'y': (10, None)}
    """
    found: dict[str, tuple[int, int | None]] = {}
    for text in texts:
        match = _SELECTION.fullmatch(text)
        if match is None or match[1] in found:
            raise ValueError(f"{text!r} is no selection: write DIMENSION=START:STOP, once for each dimension")
        found[match[1]] = int(match[2] or 0), int(match[3]) if match[3] else None
    return found


def subset(manifest: Manifest, paths: PathFilter, selection: Mapping[str, tuple[int, int | None]]) -> Manifest:
    """Return the part of a manifest that is asked for; paths are relative to the group.

    Raises
    ------
    ManifestError
        No array is asked for, or no such dimension; a range holds nothing, or begins within a chunk.
    """
    if not paths.narrows and not selection:
        return manifest
    if selection and manifest.composites:
        path = next(iter(manifest.composites))
        raise ManifestError("a range of a composite array cannot be taken: leave it out by --exclude", path=path)
    known: set[str] = set()
    arrays = {}
    for path, array in manifest.arrays.items():
        if paths.takes(path):
            names = array.metadata.dimension_names(array.attributes) or []
            known.update(str(name) for name in names)
            arrays[paths.relative(path)] = _cut(path, array, names, selection)
    composites = {paths.relative(path): one for path, one in manifest.composites.items() if paths.takes(path)}
    if not arrays and not composites:
        raise ManifestError("no array of the manifest is asked for", got=", ".join(manifest.arrays)[:200])
    if missing := selection.keys() - known:
        raise ManifestError("no array has this dimension", expected=", ".join(sorted(known)), got=min(missing))
    groups = {paths.relative(path): held for path, held in manifest.groups.items() if paths.inside(path)}
    refusals = {
        "/" + paths.relative(path.strip("/")): reason for path, reason in manifest.refusals.items() if paths.takes(path)
    }
    return replace(
        manifest,
        groups=groups if "" in arrays else {"": {}, **groups},
        arrays=arrays,
        composites=composites,
        refusals=refusals,
        extra={},
        sources={},
        outside={},
        types=None,
        history=[*manifest.history, "a part of it"],
    )


def _cut(
    path: str, array: ManifestArray, names: list[str], selection: Mapping[str, tuple[int, int | None]]
) -> ManifestArray:
    """Return an array between the indices that are asked for of its dimensions."""
    shape, chunks = array.metadata.shape, array.metadata.chunk_shape
    bounds = [(0, extent) for extent in shape]
    for axis, name in enumerate(names):
        if name in selection:
            start, stop = selection[name]
            stop = shape[axis] if stop is None else min(stop, shape[axis])
            if start % chunks[axis] and array.metadata.is_regular:
                before = start - start % chunks[axis]
                raise ManifestError(
                    f"the range of {name} begins within a chunk; begin at {before} or {before + chunks[axis]}",
                    path=path,
                )
            if start >= stop:
                raise ManifestError(f"the range of {name} holds nothing", path=path, expected=f"below {shape[axis]}")
            bounds[axis] = start, stop
    if bounds == [(0, extent) for extent in shape]:
        return array
    if not array.metadata.is_regular:
        raise ManifestError(
            "a range of an array whose chunks differ in length cannot be taken: take all of it", path=path
        )
    first = [start // chunk for (start, _), chunk in zip(bounds, chunks, strict=True)]
    extent = tuple(stop - start for start, stop in bounds)
    grid = grid_of(extent, chunks)
    metadata = array.metadata.with_extent(extent)
    return ManifestArray(metadata, array.attributes, grid, _moved(array, first, grid))


def _moved(array: ManifestArray, first: list[int], grid: tuple[int, ...]) -> References:
    """Return the references of a box of the chunk grid, as those of a grid of its own."""
    held = array.references
    held.load()
    cells = _places(held.cell, array.grid, first, grid)
    rows = np.flatnonzero(cells >= 0)

    def kept(part: Mapping[int, T]) -> dict[int, T]:
        moved = _places(np.fromiter(part, "i8", len(part)), array.grid, first, grid).tolist()
        return {cell: value for cell, value in zip(moved, part.values(), strict=True) if cell >= 0}

    columns = (cells[rows], held.target[rows], held.offset[rows], held.size[rows])
    return References(*columns, kept(held.inline), kept(held.whole))


def _places(
    cells: npt.NDArray[np.int64], whole: tuple[int, ...], first: list[int], grid: tuple[int, ...]
) -> npt.NDArray[np.int64]:
    """Return where cells of a grid are in a box of it, -1 for those outside; their order stays."""
    if not len(cells):
        return np.empty(0, "i8")
    indices = np.array(np.unravel_index(cells, whole), "i8") - np.array(first, "i8")[:, None]
    inside = ((indices >= 0) & (indices < np.array(grid, "i8")[:, None])).all(axis=0)
    moved = np.ravel_multi_index(tuple(np.where(inside, indices, 0)), grid)
    return np.where(inside, moved, -1).astype("i8")
