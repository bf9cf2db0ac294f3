"""What readers see of manifests, and the files that they are of."""

from __future__ import annotations

from typing import Any

import numpy as np
import zarr

import refmaker
from refmaker.kerchunk.json_writer import iter_json, read_json
from refmaker.manifest.manifest import Manifest

__all__ = ["counting", "notes", "read", "written"]


def written(manifest: Manifest) -> Manifest:
    """Write a manifest and read it back."""
    return read_json(b"".join(iter_json(manifest)), source="manifest")


def read(manifest: Manifest, path: str, **options: Any) -> np.ndarray:
    """Read an array with zarr through a manifest that was written."""
    fs = refmaker.FileSystem(written(manifest), asynchronous=True, **options)
    group = zarr.open_group(zarr.storage.FsspecStore(fs, read_only=True), mode="r", use_consolidated=False)
    return np.asarray(group[path][...])


def notes(manifest: Manifest, path: str) -> str:
    """Return what the report says about an array, in one text."""
    return "; ".join(next(line.notes for line in manifest.objects if line.path == "/" + path))


def counting(dtype: str, *shape: int) -> np.ndarray:
    """Make values that repeat late, zeros among them."""
    return (np.arange(np.prod(shape)) * 7 % 120).reshape(shape).astype(dtype)
