"""Chunks that reach beyond their array, cut to it.

Contract: the same values. netCDF-C gives a short unlimited dimension chunks of up to 512 or more; VirtualiZarr
concatenates arrays only where chunks fill them. Uncompressed chunks are cut by their size alone, as far as what is left
is one range: where only the first axis is longer than the array. Others stay as they are.
"""

from __future__ import annotations

import math

import numpy as np

from refmaker.manifest.manifest import ManifestArray
from refmaker.manifest.references import References

__all__ = ["trimmed"]


def trimmed(array: ManifestArray) -> ManifestArray:
    """Return an array whose chunks are not longer than itself, where that needs no decoding."""
    metadata, references = array.metadata, array.references
    shape, chunks = metadata.shape, metadata.chunk_shape
    if not shape or not 0 < shape[0] < chunks[0] or shape[1:] != chunks[1:]:
        return array
    if metadata.codecs or metadata.order != "C" or references.whole:
        return array
    own, size = _size(references), math.prod(chunks)
    if own is None or own % size:
        return array
    kept = own // size * math.prod(shape)
    return ManifestArray(
        metadata.with_extent(shape, (shape[0], *chunks[1:])), array.attributes, array.grid, _cut(references, kept)
    )


def _size(references: References) -> int | None:
    """Return the bytes of every chunk; None where they differ, or there is none."""
    sizes = {*np.unique(references.size).tolist(), *map(len, references.inline.values())}
    return sizes.pop() if len(sizes) == 1 else None


def _cut(references: References, size: int) -> References:
    inline = {cell: data[:size] for cell, data in references.inline.items()}
    sizes = np.full(len(references.size), size, "u8")
    return References(references.cell, references.target, references.offset, sizes, inline)
