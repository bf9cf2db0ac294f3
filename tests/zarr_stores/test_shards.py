"""Indexes of shards, made by hand."""

from __future__ import annotations

import struct
from typing import Any

import numpy as np
import pytest

from refmaker.errors import FormatError, TruncatedError
from refmaker.zarr.metadata import ArrayMetadata
from refmaker.zarr_stores.crc32c import by_table
from refmaker.zarr_stores.shards import Rows, expanded
from tests.zarr_stores.test_store import Memory

MISSING = 2**64 - 1


def sharding(chunk: int, inner: list[Any] | None = None, **settings: Any) -> dict[str, Any]:
    bytes_ = {"name": "bytes", "configuration": {"endian": "little"}}
    configuration = {
        "chunk_shape": [chunk],
        "codecs": inner or [bytes_],
        "index_codecs": [bytes_, {"name": "crc32c"}],
        **settings,
    }
    return {"name": "sharding_indexed", "configuration": configuration}


def metadata(shape: int, shard: int, codec: dict[str, Any]) -> ArrayMetadata:
    return ArrayMetadata.from_json(
        {
            "zarr_format": 3,
            "node_type": "array",
            "shape": [shape],
            "data_type": "uint8",
            "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [shard]}},
            "chunk_key_encoding": {"name": "default"},
            "fill_value": 0,
            "codecs": [codec],
        }
    )


def index(*places: tuple[int, int]) -> bytes:
    data = b"".join(struct.pack("<QQ", *place) for place in places)
    return data + struct.pack("<I", by_table(data))


def rows(*sizes: int) -> Rows:
    count = len(sizes)
    return Rows(np.arange(count), np.arange(count)[:, None], np.zeros(count, "i8"), np.array(sizes, "i8"))


def look(shard: bytes, codec: dict[str, Any], shape: int = 4) -> Rows:
    found = expanded(Memory({"c/0": shard}), ["c/0"], rows(len(shard)), metadata(shape, 4, codec))
    assert found[0].chunk_shape == (2,)
    return found[1]


def test_start_and_end() -> None:
    found = look(b"abcd" + index((2, 2), (MISSING, MISSING)), sharding(2))
    assert (found.position.tolist(), found.start.tolist(), found.size.tolist()) == ([[0]], [2], [2])
    found = look(index((36, 2), (38, 2)) + b"abcd", sharding(2, index_location="start"))
    assert (found.position.tolist(), found.start.tolist()) == ([[0], [1]], [36, 38])


def test_chunks_beyond_the_array_do_not_count() -> None:
    assert look(b"abcd" + index((0, 2), (2, 2)), sharding(2), shape=2).position.tolist() == [[0]]


@pytest.mark.parametrize("place", [(39, 3), (2**63, 2), (MISSING, 2), (0, MISSING), (2**64 - 2, 4)])
def test_chunks_outside_the_shard(place: tuple[int, int]) -> None:
    with pytest.raises(FormatError, match="outside its shard"):
        look(b"abcd" + index((0, 2), place), sharding(2))


def test_damage() -> None:
    with pytest.raises(FormatError, match="checksum"):
        look(b"abcd" + index((0, 2), (2, 2))[:-1] + b"?", sharding(2))
    with pytest.raises(TruncatedError, match="shorter than its index"):
        look(b"abcd", sharding(2))


def test_nested() -> None:
    inner = b"ab" + index((0, 1), (1, 1))
    shard = inner + inner + index((0, len(inner)), (len(inner), len(inner)))
    codec = sharding(2, [sharding(1)])
    found, placed = expanded(Memory({"c/0": shard}), ["c/0"], rows(len(shard)), metadata(4, 4, codec))
    assert found.chunk_shape == (1,)
    assert placed.start.tolist() == [0, 1, len(inner), len(inner) + 1]
    assert placed.position.tolist() == [[0], [1], [2], [3]]


def test_shards_that_overlap_are_bounded() -> None:
    """A hundred times the same shard within a shard, with indexes as large as it is."""
    count = 100
    inner = index(*[(MISSING, MISSING)] * count)
    shard = inner + index(*[(0, len(inner))] * count)
    codec = sharding(count, [sharding(1)])
    with pytest.raises(FormatError, match="overlap"):
        expanded(Memory({"c/0": shard}), ["c/0"], rows(len(shard)), metadata(count**2, count**2, codec))
