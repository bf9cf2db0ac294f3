"""Summaries of arrays: the same for both Zarr formats, and for metadata that others wrote."""

from __future__ import annotations

import numpy as np
import pytest

from refmaker.manifest import Manifest, ManifestArray, References, Target
from refmaker.manifest.summary import ArraySummary, summarise
from refmaker.zarr.metadata import ArrayMetadata

V2 = {
    "zarr_format": 2,
    "shape": [30, 4],
    "chunks": [10, 4],
    "dtype": "<i2",
    "filters": [{"id": "shuffle", "elementsize": 2}],
    "compressor": {"id": "zlib", "level": 1},
}
V3 = {
    "zarr_format": 3,
    "shape": [30, 4],
    "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [10, 4]}},
    "data_type": "int16",
    "codecs": [{"name": "bytes"}, {"name": "numcodecs.zlib", "configuration": {"level": 1}}, "odd"],
    "dimension_names": ["t", None],
}


def manifest(metadata: dict[str, object], attributes: dict[str, object]) -> Manifest:
    references = References(
        cell=np.array([0]),
        target=np.array([0]),
        offset=np.array([7], "u8"),
        size=np.array([100], "u8"),
        inline={1: b"abc"},
        whole={2: 1},
    )
    array = ManifestArray(ArrayMetadata.from_json(metadata), attributes, (3, 1), references)
    return Manifest(metadata["zarr_format"], {"": {}}, {"g/x": array}, (Target("a", 1000), Target("b", 20)))


def test_zarr_2() -> None:
    (summary,) = summarise(manifest(V2, {"_ARRAY_DIMENSIONS": ["t", "x"]}))
    assert summary == ArraySummary(
        path="/g/x",
        shape=(30, 4),
        dimensions=["t", "x"],
        chunks=(10, 4),
        dtype="<i2",
        codecs=["shuffle", "zlib"],
        stored_size=123,
        chunks_stored=3,
        chunks_inlined=1,
        chunks_total=3,
    )
    assert summary.chunks_missing == 0


def test_zarr_3() -> None:
    (summary,) = summarise(manifest(V3, {}))
    assert summary.dimensions == ["t", None]
    assert summary.chunks == (10, 4)
    assert summary.dtype == "int16"
    assert summary.codecs == ["bytes", "numcodecs.zlib", "odd"]


@pytest.mark.parametrize("dimensions", [None, "t", {"t": 1}, 7])
def test_dimensions_that_are_none(dimensions: object) -> None:
    (summary,) = summarise(manifest(V2, {"_ARRAY_DIMENSIONS": dimensions}))
    assert summary.dimensions is None
