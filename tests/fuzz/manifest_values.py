"""Values of a manifest's arrays, decoded by numcodecs alone: what zarr would read, without its machinery.

Contract: Zarr 2 metadata, targets whose bytes are in memory. A `ShownArray` has what `refmaker.verify` needs of an
array of zarr: `shape`, `chunks`, `dtype` and basic selection.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import numcodecs
import numpy as np

from refmaker.manifest.manifest import Manifest, ManifestArray

__all__ = ["ShownArray", "opened_arrays"]

MOST = 64
"""Chunks of an array that are decoded in advance."""


@cache
def _codec(config: str) -> Any:
    import refmaker.codecs  # noqa: F401  (registers its own)

    return numcodecs.get_codec(json.loads(config))


def _dtype(document: Any) -> np.dtype[Any]:
    if isinstance(document, str):
        return np.dtype(document)
    return np.dtype([(m[0], _dtype(m[1]), *([tuple(m[2])] if len(m) > 2 else [])) for m in document])


def _fill(document: Any, dtype: np.dtype[Any]) -> Any:
    """Return the fill value that Zarr 2 metadata mean."""
    if document is None:
        return np.zeros((), dtype)[()]
    if dtype.kind in "SV" and isinstance(document, str):
        import base64

        data = base64.standard_b64decode(document)
        return np.frombuffer(data.ljust(dtype.itemsize, b"\0"), dtype, 1)[0]
    if dtype.kind == "c":
        return complex(*(float(part) for part in document))
    if dtype.kind == "f":
        return float(document)
    return document


class ShownArray:
    """An array as a reader of the manifest sees it."""

    def __init__(self, array: ManifestArray, targets: Mapping[int, bytes]) -> None:
        self.array, self.targets = array, targets
        self.decoded: dict[int, np.ndarray | Exception] = {}
        metadata = array.metadata
        self.document = metadata.document
        self.shape, self.chunks = metadata.shape, metadata.chunk_shape
        self.dtype = _dtype(self.document["dtype"])
        compressor = self.document["compressor"]
        configs = [*(self.document["filters"] or []), *([] if compressor is None else [compressor])]
        self.codecs = [_codec(json.dumps(config, sort_keys=True)) for config in reversed(configs)]
        self.rows = {int(cell): row for row, cell in enumerate(array.references.cell.tolist())}

    def __getitem__(self, selection: tuple[slice, ...]) -> np.ndarray:
        starts = [s.start for s in selection]
        stops = [s.stop for s in selection]
        values = np.empty([b - a for a, b in zip(starts, stops, strict=True)], self.dtype)
        ranges = [range(a // c, -(-b // c)) for a, b, c in zip(starts, stops, self.chunks, strict=True)]
        for flat in range(math.prod(map(len, ranges))):
            position = np.unravel_index(flat, [len(r) for r in ranges]) if ranges else ()
            at = [r[int(i)] for r, i in zip(ranges, position, strict=True)]
            low = [max(i * c, a) for i, c, a in zip(at, self.chunks, starts, strict=True)]
            high = [min((i + 1) * c, b) for i, c, b in zip(at, self.chunks, stops, strict=True)]
            place = tuple(slice(lo - a, hi - a) for lo, hi, a in zip(low, high, starts, strict=True))
            inner = tuple(
                slice(lo - i * c, hi - i * c) for lo, hi, i, c in zip(low, high, at, self.chunks, strict=True)
            )
            chunk = self._chunk(at)
            values[place] = chunk if chunk.shape == () and self.shape else chunk[inner]
        return values

    def decode(self) -> None:
        """Decode the first stored chunks; an error is raised when the chunk is asked for."""
        for cell in [*self.array.references.inline, *self.rows][:MOST]:
            try:
                self.decoded[cell] = self._decoded(cell)
            except Exception as error:  # noqa: BLE001 (codecs raise errors of many kinds)
                self.decoded[cell] = error

    def _chunk(self, at: list[int]) -> np.ndarray:
        cell = int(np.ravel_multi_index(at, self.array.grid)) if at else 0
        known = self.decoded.get(cell)
        if isinstance(known, Exception):
            raise known
        return self._decoded(cell) if known is None else known

    def _decoded(self, cell: int) -> np.ndarray:
        references = self.array.references
        stored: Any = references.inline.get(cell)
        if stored is None:
            row = self.rows.get(cell)
            if row is None:
                fill = np.empty((), self.dtype)
                fill[()] = _fill(self.document["fill_value"], self.dtype)
                return fill
            start, size = int(references.offset[row]), int(references.size[row])
            stored = self.targets[int(references.target[row])][start : start + size]
            if len(stored) != size:
                raise ValueError("a reference leads beyond the end of the file")
        for codec in self.codecs:
            stored = codec.decode(stored)
        if self.dtype == object:
            return np.asarray(stored, object).reshape(self.chunks, order=self.document["order"])
        if isinstance(stored, np.ndarray):
            stored = stored.tobytes() if stored.flags.c_contiguous else np.ascontiguousarray(stored).tobytes()
        return np.frombuffer(stored, self.dtype).reshape(self.chunks, order=self.document["order"])


def opened_arrays(manifest: Manifest, path: Path, data: bytes) -> dict[str, ShownArray]:
    """Return the arrays of a manifest of a file, the stored chunks of each decoded: `most` of them."""
    own, targets = os.path.realpath(path), {}
    for code, target in enumerate(manifest.targets):
        targets[code] = data if os.path.realpath(target.url) == own else Path(target.url).read_bytes()
    arrays = {name: ShownArray(array, targets) for name, array in manifest.arrays.items()}
    for array in arrays.values():
        array.decode()
    return arrays
