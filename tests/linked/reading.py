"""Arrays of a manifest read without Zarr or fsspec: the references as they stand, decoded by numcodecs."""

from __future__ import annotations

import base64
import itertools
from pathlib import Path
from typing import Any

import numcodecs
import numpy as np

from refmaker.manifest.manifest import Manifest, ManifestArray

__all__ = ["read_array", "reason", "status"]


def read_array(manifest: Manifest, name: str) -> np.ndarray:
    """Return the values that a Zarr 2 reader sees."""
    array = manifest.arrays[name]
    metadata = array.metadata.document
    dtype = _dtype(metadata["dtype"])
    shape, chunks = tuple(metadata["shape"]), tuple(metadata["chunks"])
    out = np.empty(tuple(-(-n // c) * c for n, c in zip(shape, chunks, strict=True)), dtype)
    out[...] = _fill(metadata["fill_value"], dtype)
    stored = _stored(manifest, array)
    for cell, start in enumerate(itertools.product(*(range(0, n, c) for n, c in zip(shape, chunks, strict=True)))):
        if cell in stored:
            data = _decoded(stored[cell], metadata)
            region = tuple(slice(s, s + c) for s, c in zip(start, chunks, strict=True))
            out[region] = np.frombuffer(data, dtype).reshape(chunks)
    return out[tuple(slice(0, n) for n in shape)]


def _dtype(name: Any) -> np.dtype[Any]:
    return np.dtype(name if isinstance(name, str) else [tuple(pair) for pair in name])


def _fill(value: Any, dtype: np.dtype[Any]) -> Any:
    if value is None:
        return np.zeros((), dtype)
    if dtype.kind in "SV":
        return np.frombuffer(base64.b64decode(value), dtype)[0]
    return np.array(value, dtype)


def _stored(manifest: Manifest, array: ManifestArray) -> dict[int, bytes]:
    references = array.references
    stored = dict(references.inline)
    columns = (references.cell, references.target, references.offset, references.size)
    for cell, target, offset, size in zip(*(column.tolist() for column in columns), strict=True):
        assert cell not in stored
        with Path(manifest.targets[target].url).open("rb") as file:
            file.seek(offset)
            stored[cell] = file.read(size)
        assert len(stored[cell]) == size
    return stored


def _decoded(data: bytes, metadata: dict[str, Any]) -> bytes:
    codecs = [*(metadata["filters"] or []), *([metadata["compressor"]] if metadata["compressor"] else [])]
    for config in reversed(codecs):
        data = bytes(np.asarray(numcodecs.get_codec(dict(config)).decode(data)).tobytes())
    return data


def status(manifest: Manifest, path: str) -> str:
    """Return what became of an object."""
    return next(o.status for o in manifest.objects if o.path == path)


def reason(manifest: Manifest, path: str) -> str:
    """Return why an object was refused."""
    return manifest.refusals[path]
