from __future__ import annotations

import time

import numpy as np

from refmaker.manifest.manifest import ManifestArray
from refmaker.manifest.references import References
from refmaker.serve.summary import BINS, chunk_map
from refmaker.zarr.metadata import ArrayMetadata


def _array(cells: int, held: References) -> ManifestArray:
    document = {"zarr_format": 2, "shape": [cells], "chunks": [1], "dtype": "<i2", "fill_value": 0, "compressor": None}
    return ManifestArray(ArrayMetadata.from_json(document), {}, (cells,), held)


def test_every_chunk_is_counted_once() -> None:
    cells = np.array([0, 2, 5], "i8")
    held = References(cells, np.array([0, 1, 0], "u1"), np.zeros(3, "u8"), np.full(3, 7, "u8"), {3: b"ab"}, {4: 1})
    found = chunk_map(_array(6, held))
    assert found is not None
    assert found["present"] == [1, 0, 1, 0, 1, 1]
    assert found["inlined"] == [0, 0, 0, 1, 0, 0]
    assert found["target"] == [0, -1, 1, -1, -1, 0]
    assert sum(found["stored"]) == 21


def test_a_million_chunks_are_few_bins() -> None:
    count = 1_000_003
    cells = np.arange(count, dtype="i8")
    held = References(cells, np.zeros(count, "u1"), cells.astype("u8"), np.ones(count, "u8"))
    began = time.perf_counter()
    found = chunk_map(_array(count, held))
    assert time.perf_counter() - began < 5
    assert found is not None
    assert len(found["present"]) <= BINS
    assert sum(found["present"]) == count


def test_an_empty_array() -> None:
    found = chunk_map(_array(0, References.empty()))
    assert found is not None
    assert found["present"] == []
