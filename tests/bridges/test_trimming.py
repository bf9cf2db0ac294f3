"""Chunks that are longer than their array: cut by size, with the same values, or left alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import xarray as xr

import refmaker
from refmaker.bridges.trimming import trimmed


def scanned(path: Path, shape: tuple[int, ...], chunks: tuple[int, ...], **options: Any) -> refmaker.Manifest:
    with h5py.File(path, "w") as file:
        data = np.arange(np.prod(shape), dtype="i4").reshape(shape)
        file.create_dataset("x", data=data, chunks=chunks, maxshape=(None, *shape[1:]), **options)
    return refmaker.scan(path)


@pytest.mark.parametrize(("shape", "chunks"), [((4,), (512,)), ((3, 5), (8, 5)), ((2, 2, 2), (4, 2, 2))])
@pytest.mark.parametrize("inline", [False, True])
def test_values_stay(tmp_path: Path, shape: tuple[int, ...], chunks: tuple[int, ...], inline: bool) -> None:
    manifest = scanned(tmp_path / "a.h5", shape, chunks)
    if inline:
        manifest = refmaker.scan(tmp_path / "a.h5", inline_threshold=1 << 20)
    array = manifest.arrays["x"]
    cut = trimmed(array)
    assert cut.metadata.chunk_shape == shape
    sizes = [*cut.references.size.tolist(), *map(len, cut.references.inline.values())]
    assert sizes == [4 * int(np.prod(shape))]
    manifest.arrays["x"] = cut
    with xr.open_dataset(manifest, engine="refmaker") as found:
        np.testing.assert_array_equal(found["x"].values, np.arange(np.prod(shape)).reshape(shape))


@pytest.mark.parametrize(
    ("shape", "chunks", "options"),
    [
        ((4,), (2,), {}),  # chunks that fit
        ((4,), (8,), {"compression": "gzip"}),  # cannot be cut without decoding
        ((4, 3), (8, 2), {}),  # more than one chunk
        ((2, 3), (4, 4), {}),  # what lies within is no range
    ],
)
def test_others_stay_as_they_are(
    tmp_path: Path, shape: tuple[int, ...], chunks: tuple[int, ...], options: dict[str, Any]
) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_dataset("x", data=np.zeros(shape), chunks=chunks, maxshape=(None,) * len(shape), **options)
    array = refmaker.scan(tmp_path / "a.h5").arrays["x"]
    assert trimmed(array) is array
