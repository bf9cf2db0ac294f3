"""Arrays on a coarser grid, uncompressed: the manifest that the decoded view shows.

Contract: the chunk grid of an array becomes a whole multiple of what it was, its codecs go, its values and its absent
chunks stay. Chunks of different lengths, and such as are stored larger, come on a regular grid. Every such array has a
target of its own, a file that is nowhere: decoded chunk `cell` is at `cell * size`, which is how the decoded view knows
what a reference means. Arrays that cannot be shown so (text of any length, codecs that are not known here) are as in
the manifest.
"""

from __future__ import annotations

import json
import math
from dataclasses import replace
from typing import TypeAlias

import numpy as np

from refmaker.manifest.manifest import Manifest, ManifestArray, Target
from refmaker.manifest.references import References
from refmaker.replay.decoding import pipeline
from refmaker.replay.rechunked_array import RechunkedArray, rows_of
from refmaker.replay.regularized import RegularizedArray
from refmaker.zarr.elements import elements_of

__all__ = ["DecodedArray", "rechunked"]

DecodedArray: TypeAlias = RechunkedArray | RegularizedArray

_FAR = 1 << 62


def rechunked(manifest: Manifest, size: int, *, irregular: bool = False) -> tuple[Manifest, dict[int, DecodedArray]]:
    """Make the manifest of the decoded view.

    Parameters
    ----------
    size
        Bytes of a chunk that is aimed at; chunks that are larger stay what they are.
    irregular
        Only arrays that are not on a regular grid.

    Returns
    -------
    manifest
        Of the view. Its targets are those of the manifest and one more for each array that is decoded.
    arrays
        Those arrays, by the index of their target.
    """
    arrays, targets = dict(manifest.arrays), list(manifest.targets)
    decoded: dict[int, DecodedArray] = {}
    for path, array in manifest.arrays.items():
        found: DecodedArray | None
        if not array.metadata.is_regular:
            found = _regularized_array(path, array, size)
        else:
            found = None if irregular else _rechunked_array(path, array, size)
        if found is not None:
            arrays[path] = _shown(found, len(targets))
            decoded[len(targets)] = found
            targets.append(Target(f"decoded view of {path}"))
    view = replace(manifest, arrays=arrays, targets=tuple(targets))
    if ".zmetadata" in manifest.extra:
        view = replace(view, extra={**manifest.extra, ".zmetadata": _consolidated(view)})
    return view, decoded


def _rechunked_array(path: str, array: ManifestArray, size: int) -> RechunkedArray | None:
    elements = elements_of(array.metadata)
    if elements is None or not all(array.grid):
        return None
    chunk = array.metadata.chunk_shape
    bytes_of_chunk = elements.size * math.prod(chunk)
    found = pipeline(elements.codecs, bytes_of_chunk) if 0 < bytes_of_chunk < _FAR else None
    if found is None:
        return None
    factor = _factor(array.grid, bytes_of_chunk, size)
    grid = tuple(-(-extent // f) for extent, f in zip(array.grid, factor, strict=True))
    if bytes_of_chunk * math.prod(factor) * math.prod(grid) >= _FAR:
        return None
    return RechunkedArray(path, array, elements, found, chunk, factor, grid)


def _regularized_array(path: str, array: ManifestArray, size: int) -> RegularizedArray | None:
    elements, metadata = elements_of(array.metadata), array.metadata
    chunk, lengths = metadata.chunk_shape, metadata.chunk_lengths
    if elements is None or not array.grid or not all(array.grid):
        return None
    if lengths is None:
        lengths = tuple(np.full(count, one, "i8") for count, one in zip(array.grid, chunk, strict=True))
    bytes_of_chunk = elements.size * math.prod(chunk)
    if not 0 < bytes_of_chunk < _FAR or pipeline(elements.codecs, bytes_of_chunk) is None:
        return None
    grid = tuple(-(-extent // one) for extent, one in zip(metadata.shape, chunk, strict=True))
    shape = tuple(one * f for one, f in zip(chunk, _factor(grid, bytes_of_chunk, size), strict=True))
    grid = tuple(-(-extent // one) for extent, one in zip(metadata.shape, shape, strict=True))
    if elements.size * math.prod(shape) * math.prod(grid) >= _FAR:
        return None
    edges = tuple(np.concatenate([[0], np.cumsum(axis)]) for axis in lengths)
    return RegularizedArray(path, array, elements, edges, metadata.encoded_chunk, shape, grid)


def _factor(grid: tuple[int, ...], chunk: int, size: int) -> tuple[int, ...]:
    """Join chunks along the last dimension first, so that they are neighbours in C order."""
    factor = [1] * len(grid)
    for d in reversed(range(len(grid))):
        factor[d] = min(grid[d], max(size // chunk, 1))
        chunk *= factor[d]
        if factor[d] < grid[d]:
            break
    return tuple(factor)


def _shown(array: DecodedArray, target: int) -> ManifestArray:
    """Return the array as the view has it."""
    metadata = array.source.metadata.uncompressed(array.shape)
    return ManifestArray(metadata, array.source.attributes, array.grid, _references(array, target))


def _references(array: DecodedArray, target: int) -> References:
    rows = array.source.references
    if not rows.is_loaded():
        from refmaker.replay.rechunked_references import RechunkedReferences

        return RechunkedReferences(array, target)
    held = array.view_cells(np.concatenate([rows.cell, np.fromiter((*rows.inline, *rows.whole), "i8")]))
    return rows_of(array, held, target)


def _consolidated(view: Manifest) -> bytes:
    """Return all metadata of a view in one document, in place of those of the manifest, which say other chunks."""
    from refmaker.replay.lookup import Lookup

    lookup = Lookup(view)
    held = {
        f"{path}/{name}" if path else name: document
        for path in (*lookup.groups, *view.arrays)
        for name, document in lookup.documents(path).items()
    }
    return json.dumps({"zarr_consolidated_format": 1, "metadata": held}).encode()
