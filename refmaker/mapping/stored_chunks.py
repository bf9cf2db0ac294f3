"""Chunks as their index has them: which filters each went through, and the references to them.

Contract: pure, over whole columns. A size that does not go with the codecs is refused, never referred to.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from refmaker.errors import Unsupported
from refmaker.model import Chunked, Filter
from refmaker.zarr.codec_list import Codecs

__all__ = ["Columns", "filter_masks", "references"]

Columns = tuple[npt.NDArray[np.int64], npt.NDArray[np.uint64], npt.NDArray[np.uint64]]
"""Cell, offset and size, sorted by cell."""


def filter_masks(
    storage: Chunked, filters: tuple[Filter, ...], grid: tuple[int, ...], shape: tuple[int, ...]
) -> tuple[npt.NDArray[np.uint32], int, npt.NDArray[np.bool_]]:
    """Return the filter mask of every chunk, that of most chunks, and which chunks have another."""
    every = np.uint32((1 << min(len(filters), 32)) - 1)
    masks = storage.index.filter_mask & every
    if storage.edge_unfiltered and every:
        masks = np.where(_partial(storage.index.cell, grid, shape, storage.chunk_shape), every, masks)
    if not masks.any():
        return masks, 0, np.zeros(len(masks), bool)
    values, counts = np.unique(masks, return_counts=True)
    mask = int(values[counts.argmax()])
    return masks, mask, masks != mask


def _partial(
    cell: npt.NDArray[np.int64], grid: tuple[int, ...], shape: tuple[int, ...], chunks: tuple[int, ...]
) -> npt.NDArray[np.bool_]:
    """Return which chunks reach beyond the extent of the dataset."""
    found = np.zeros(len(cell), bool)
    if grid:
        for position, extent, chunk in zip(np.unravel_index(cell, grid), shape, chunks, strict=False):
            found |= (position + 1) * chunk > extent
    return found


def references(storage: Chunked, codecs: Codecs, size: int, plain: npt.NDArray[np.bool_]) -> Columns:
    """Return the references of the chunks in `plain`, checked against what the codecs ask for."""
    index = storage.index
    cell, offset, stored = index.cell, index.offset, index.size
    if not plain.all():
        cell, offset, stored = cell[plain], offset[plain], stored[plain]
    if codecs.trim:
        if (stored < codecs.trim).any():
            raise Unsupported("a chunk is shorter than its checksum")
        stored = stored - np.uint64(codecs.trim)
    if not codecs.configs and (stored != size).any():
        if (stored < size).any():
            wrong = int(stored[stored < size][0])
            raise Unsupported(f"a chunk stored without compression has {wrong} bytes instead of {size}")
        stored = np.minimum(stored, np.uint64(size))  # libhdf5 takes no notice of what is behind
    return cell, offset, stored
