"""Arrays whose values stand in the manifests of all inputs: one chunk in the combined one.

Contract: nothing is read but what the inputs hold. Chunk grids, codecs and byte order of the inputs do not matter then,
so that files of different length combine, whatever a scan made of their small arrays.
"""

from __future__ import annotations

import math

import numpy as np

from refmaker import limits
from refmaker.combining.building import written
from refmaker.combining.collection import Collection
from refmaker.combining.pieces import Pieces
from refmaker.combining.values import decoded, dtype_of
from refmaker.manifest.manifest import ManifestArray

__all__ = ["STORAGE", "in_one_chunk", "is_worth_it"]

STORAGE = ("chunk grid", "partial chunk", "codecs", "byte order")
"""What does not matter where values are taken."""


def in_one_chunk(collection: Collection, path: str, pieces: Pieces, limit: int) -> ManifestArray | None:
    """Return an array as one chunk in the manifest; None where values of any input are not, or take too much.

    Parameters
    ----------
    limit
        Bytes that an array may take in the manifest.
    """
    series = collection.series[path]
    if series.whole or any(series.counts) or (pieces.entry < 0).any() or not len(pieces.entry):
        return None
    forms = [collection.form(series, entry) for entry in pieces.entry.tolist()]
    dtypes = {dtype_of(form).newbyteorder("=") for form in forms}
    dtype = dtypes.pop()
    if dtypes or dtype.kind == "O" or not all(form.regular for form in forms):
        return None
    if math.prod(pieces.shape) * dtype.itemsize > limit:
        return None
    values = np.empty(pieces.shape, dtype)
    known: dict[int, np.ndarray] = {}
    rows = zip(forms, *(c.tolist() for c in (pieces.entry, pieces.start, pieces.stop, pieces.position)), strict=True)
    for form, entry, start, stop, position in rows:
        if entry not in known:
            known[entry] = decoded(form, series.shapes[entry], series.inline.get(entry, {}))
        here, there = [slice(None)] * values.ndim, [slice(None)] * values.ndim
        for column, dim in enumerate(pieces.dims):
            here[dim] = slice(position[column], position[column] + stop[column] - start[column])
            there[dim] = slice(start[column], stop[column])
        values[tuple(here)] = known[entry][tuple(there)]
    return written(forms[0], dict(forms[0].attributes), values)


def is_worth_it(collection: Collection, path: str, pieces: Pieces) -> bool:
    """Return whether an array would have many chunks in the manifest, each of a few values."""
    chunks = collection.form(collection.series[path], int(pieces.entry[0])).chunks
    cells = math.prod(-(-extent // chunk) for extent, chunk in zip(pieces.shape, chunks, strict=True))
    return cells > limits.FEW_REFERENCES
