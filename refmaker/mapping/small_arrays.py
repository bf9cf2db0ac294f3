"""Small arrays in many chunks: values in the manifest, as one chunk, where references would take more of it.

Contract: an array is consolidated if all of its chunks are stored, of elements of a fixed size that are read without
refmaker's codecs, and if its references would take at least as much of the manifest as its values, in any case more
than a few: `limits.FEW_REFERENCES`. Whether it is, depends on the source alone.
"""

from __future__ import annotations

import math

import numpy as np

from refmaker import limits
from refmaker.mapping.chunks import Read, encode_chunk, read_ranges
from refmaker.mapping.decoding import Decoder
from refmaker.mapping.layout import RECODED, Layout
from refmaker.mapping.row_chunks import whole
from refmaker.model import Dataset
from refmaker.zarr.chunk_grid import grid_of
from refmaker.zarr.zarr_dtype import ZarrDtype

__all__ = ["consolidated"]

_REFERENCE = 40
"""Bytes that a reference takes of a manifest, about: a key, an offset, a size."""


def consolidated(
    layout: Layout, dataset: Dataset, dtype: ZarrDtype, shape: tuple[int, ...], *, read: Read, limit: int
) -> Layout:
    """Return the layout of one chunk in the manifest where that takes less of it, else the layout as it is.

    Parameters
    ----------
    shape
        Of the array.
    limit
        Bytes that an array may take in the manifest.

    Raises
    ------
    MissingBytes
        With all chunks that are missing.
    FormatError, Unsupported
        A chunk does not decode.
    """
    cell, offset, stored = layout.columns
    size = dtype.dtype.itemsize * math.prod(shape)
    plain = dtype.dtype.kind in "biufcSmM" and not dtype.extra and dtype.target is None and dtype.stored is None
    small = len(cell) > limits.FEW_REFERENCES and size <= _REFERENCE * len(cell)
    grid = grid_of(shape, layout.chunks)
    if not plain or not small or layout.codecs.need_refmaker or layout.inline or len(cell) < math.prod(grid):
        return layout
    if max(size, int(stored.sum())) > limit:
        return layout
    decoder, filters = Decoder(dataset, dtype), layout.codecs.pipeline
    values = np.empty([extent * chunk for extent, chunk in zip(grid, layout.chunks, strict=True)], dtype.dtype)
    places = zip(*np.unravel_index(cell, grid), strict=True)
    for place, block in zip(places, read_ranges(read, offset.tolist(), stored.tolist()), strict=True):
        part = tuple(slice(int(i) * c, (int(i) + 1) * c) for i, c in zip(place, layout.chunks, strict=True))
        data = decoder.decode(block, layout.chunks, filters, 0)
        values[part] = np.frombuffer(data, dtype.dtype).reshape(layout.chunks)
    data = values[tuple(slice(extent) for extent in shape)].tobytes()
    note = f"values are in the manifest, as {len(cell)} references would take more of it (--no-consolidate leaves them)"
    return Layout(whole(shape), RECODED, inline={0: encode_chunk(data, RECODED.configs)}, notes=[*layout.notes, note])
