"""Zarr stores for tests, written by zarr-python, and what it reads of manifests."""

from __future__ import annotations

import os
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import zarr

import refmaker

__all__ = ["files_of", "read_back", "same_as_zarr", "write_store"]


def write_store(store: Any, zarr_format: int, *, index: str = "end", consolidated: bool = False) -> Any:
    """Write groups and arrays of many kinds: with missing chunks, edges, scalars, both byte orders, text, shards."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        group = zarr.open_group(store, mode="w", zarr_format=zarr_format)
        group.attrs["title"] = "ä"
        group.attrs["multiscales"] = [{"axes": ["y", "x"], "datasets": [{"path": "x"}]}]
        x = group.create_array("x", shape=(10, 7), chunks=(2, 3), dtype="i4", fill_value=-1)
        x[:5] = np.arange(35).reshape(5, 7)
        y = group.create_array("s/deep/y", shape=(5,), chunks=(2,), dtype=">f8", compressors=None)
        y[:] = np.arange(5.0)
        y.attrs["units"] = "K"
        group.create_array("scalar", shape=(), dtype="f4")[...] = 3
        group.create_array("none", shape=(4,), chunks=(2,), dtype="u2", fill_value=7)
        text = group.create_array("text", shape=(3,), dtype=str)
        text[:] = np.array(["a", "", "ü"], dtype=object)
        if zarr_format == 3:
            shard = {"shape": (4, 6), "index_location": index}
            z = group.create_array("z", shape=(10, 7), chunks=(2, 3), shards=shard, dtype="i2", fill_value=5)
            z[:6] = np.arange(42).reshape(6, 7)
            shard = {"shape": (4, 6), "index_location": index}
            w = group.create_array("w", shape=(8, 6), chunks=(2, 3), shards=shard, dtype="f4", compressors=None)
            w[:] = np.arange(48).reshape(8, 6)
        if consolidated:
            zarr.consolidate_metadata(store)
    return group


def read_back(manifest: Any) -> Any:
    """Open a manifest with zarr."""
    store = zarr.storage.FsspecStore(refmaker.FileSystem(manifest, asynchronous=True), read_only=True, path="")
    return zarr.open_group(store, mode="r")


def same_as_zarr(manifest: Any, group: Any) -> int:
    """Hold all arrays of a group against a manifest; return how many."""
    found = read_back(manifest)
    count = 0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert dict(found.attrs) == dict(group.attrs)
        for path, node in group.members(max_depth=None):
            assert dict(found[path].attrs) == dict(node.attrs)
            if isinstance(node, zarr.Array):
                np.testing.assert_array_equal(found[path][...], node[...])
                assert found[path].dtype == node.dtype
                count += 1
    assert count == len(manifest.arrays)
    return count


def files_of(folder: Path) -> list[Path]:
    """Return all files below a folder."""
    return sorted(Path(top) / name for top, _, names in os.walk(folder) for name in names)
