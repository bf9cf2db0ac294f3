"""Arrays on a coarser grid, uncompressed: the manifest that the decoded view shows.

Contract: the chunk grid of an array becomes a whole multiple of what it was, its codecs go, its values and its absent
chunks stay. Every such array has a target of its own, a file that is nowhere: decoded chunk `cell` is at
`cell * size`, which is how the decoded view knows what a reference means. Arrays that cannot be shown so (text of any
length, codecs that are not known here) are as in the manifest.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from refmaker.manifest.manifest import Manifest, ManifestArray, References, Target
from refmaker.ranges import distinct
from refmaker.replay.decoding import Pipeline, pipeline
from refmaker.replay.elements import Elements, elements_of

__all__ = ["Coarse", "coarsened", "rows_of"]

_FAR = 1 << 62


@dataclass(frozen=True, slots=True)
class Coarse:
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

    def cells(self, cell: int) -> npt.NDArray[np.int64]:
        """Give the chunks of the array that a chunk of the view is made of: those of the grid, in C order."""
        first, below, cells = 0, 1, np.zeros(1, "i8")
        for count, factor, extent in zip(*map(reversed, (self.grid, self.factor, self.source.grid)), strict=True):
            cell, i = divmod(cell, count)
            first += i * factor * below
            held = min(factor, extent - i * factor)
            if held > 1:
                cells = np.add.outer(np.arange(0, held * below, below), cells).ravel()
            below *= extent
        return cells + first

    def holding(self, cells: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """Give the chunks of the view that chunks of the array lie in, each once, sorted."""
        if not self.grid:
            return distinct(cells)
        index = np.unravel_index(cells, self.source.grid)
        found = np.ravel_multi_index(tuple(i // f for i, f in zip(index, self.factor, strict=True)), self.grid)
        return distinct(found).astype("i8")

    @property
    def consecutive(self) -> bool:
        """Tell whether every chunk of the array is one row of bytes of the chunk of the view that it lies in."""
        if self.elements.order == "F" and sum(extent > 1 for extent in self.chunk) > 1:
            return False
        first = next((d for d, extent in enumerate(self.chunk) if extent > 1), len(self.chunk))
        return all(factor == 1 for factor in self.factor[first + 1 :])

    def place(self, cell: int) -> int:
        """Give which of those rows a chunk of the array is, in the order of bytes, where they are `consecutive`."""
        place, below = 0, 1
        for count, factor in zip(*map(reversed, (self.source.grid, self.factor)), strict=True):
            cell, i = divmod(cell, count)
            place += i % factor * below
            below *= factor
        return place

    def corner(self, cell: int) -> tuple[int, ...]:
        """Give where in its chunk of the view a chunk of the array begins."""
        corner = []
        for count, factor, extent in zip(*map(reversed, (self.source.grid, self.factor, self.chunk)), strict=True):
            cell, i = divmod(cell, count)
            corner.append(i % factor * extent)
        return tuple(reversed(corner))


def coarsened(manifest: Manifest, size: int) -> tuple[Manifest, dict[int, Coarse]]:
    """Make the manifest of the decoded view.

    Parameters
    ----------
    size
        Bytes of a chunk that is aimed at; chunks that are larger stay what they are.

    Returns
    -------
    manifest
        Of the view. Its targets are those of the manifest and one more for each array that is decoded.
    arrays
        Those arrays, by the number of their target.
    """
    arrays, targets, decoded = dict(manifest.arrays), list(manifest.targets), {}
    for path, array in manifest.arrays.items():
        found = _coarse(path, array, manifest.zarr_format, size)
        if found is not None:
            arrays[path] = _shown(found, len(targets), manifest.zarr_format)
            decoded[len(targets)] = found
            targets.append(Target(f"decoded view of {path}"))
    view = replace(manifest, arrays=arrays, targets=tuple(targets))
    if ".zmetadata" in manifest.extra:
        view = replace(view, extra={**manifest.extra, ".zmetadata": _consolidated(view)})
    return view, decoded


def _coarse(path: str, array: ManifestArray, zarr_format: int, size: int) -> Coarse | None:
    elements = elements_of(array.metadata, zarr_format)
    if elements is None or not all(array.grid):
        return None
    chunk = _chunk_shape(array.metadata, zarr_format)
    bytes_of_chunk = elements.size * math.prod(chunk)
    found = pipeline(elements.codecs, bytes_of_chunk) if 0 < bytes_of_chunk < _FAR else None
    if found is None:
        return None
    factor = _factor(array.grid, bytes_of_chunk, size)
    grid = tuple(-(-extent // f) for extent, f in zip(array.grid, factor, strict=True))
    if bytes_of_chunk * math.prod(factor) * math.prod(grid) >= _FAR:
        return None
    return Coarse(path, array, elements, found, chunk, factor, grid)


def _factor(grid: tuple[int, ...], chunk: int, size: int) -> tuple[int, ...]:
    """Join chunks along the last dimension first, so that they are neighbours in C order."""
    factor = [1] * len(grid)
    for d in reversed(range(len(grid))):
        factor[d] = min(grid[d], max(size // chunk, 1))
        chunk *= factor[d]
        if factor[d] < grid[d]:
            break
    return tuple(factor)


def _chunk_shape(metadata: Mapping[str, Any], zarr_format: int) -> tuple[int, ...]:
    shape = metadata["chunks"] if zarr_format == 2 else metadata["chunk_grid"]["configuration"]["chunk_shape"]
    return tuple(shape)


def _shown(coarse: Coarse, code: int, zarr_format: int) -> ManifestArray:
    """Give the array as the view has it."""
    metadata = dict(coarse.source.metadata)
    if zarr_format == 2:
        metadata |= {"chunks": list(coarse.shape), "compressor": None, "filters": None, "order": "C"}
    else:
        metadata["chunk_grid"] = {"name": "regular", "configuration": {"chunk_shape": list(coarse.shape)}}
        metadata["codecs"] = metadata["codecs"][:1]
    return ManifestArray(metadata, coarse.source.attributes, coarse.grid, _references(coarse, code))


def _references(coarse: Coarse, code: int) -> References:
    rows = coarse.source.references
    if not rows.is_loaded():
        from refmaker.replay.rechunked_references import CoarseReferences

        return CoarseReferences(coarse, code)
    held = coarse.holding(np.concatenate([rows.cell, np.fromiter((*rows.inline, *rows.whole), "i8")]))
    return rows_of(coarse, held, code)


def rows_of(coarse: Coarse, cells: npt.NDArray[np.int64], code: int) -> References:
    """Give the references to chunks of the view, which are in the target `code`."""
    return References(
        cells,
        np.broadcast_to(np.array(code, "u4"), len(cells)),
        cells.astype("u8") * np.uint64(coarse.size),
        np.broadcast_to(np.array(coarse.size, "u8"), len(cells)),
    )


def _consolidated(view: Manifest) -> bytes:
    """Give all metadata of a view in one document, in place of those of the manifest, which say other chunks."""
    from refmaker.replay.lookup import Lookup

    lookup = Lookup(view)
    held = {
        f"{path}/{name}" if path else name: document
        for path in (*lookup.groups, *view.arrays)
        for name, document in lookup.documents(path).items()
    }
    return json.dumps({"zarr_consolidated_format": 1, "metadata": held}).encode()
