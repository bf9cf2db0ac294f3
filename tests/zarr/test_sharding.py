"""What the sharding codec of an array says."""

from __future__ import annotations

from typing import Any

import pytest

from refmaker.errors import ManifestError, Unsupported
from refmaker.zarr.metadata import ArrayMetadata
from refmaker.zarr.sharding import sharding_of

BYTES = {"name": "bytes", "configuration": {"endian": "little"}}


def made(codecs: list[Any], shape: list[int] | None = None) -> ArrayMetadata:
    grid = {"name": "regular", "configuration": {"chunk_shape": shape or [4, 6]}}
    return ArrayMetadata.from_json(
        {
            "zarr_format": 3,
            "node_type": "array",
            "shape": [10, 7] if shape is None else [8] * len(shape),
            "data_type": "int16",
            "chunk_grid": grid,
            "chunk_key_encoding": {"name": "default"},
            "fill_value": 0,
            "codecs": codecs,
        }
    )


def codec(**settings: Any) -> dict[str, Any]:
    configuration = {"chunk_shape": [2, 3], "codecs": [BYTES], "index_codecs": [BYTES, {"name": "crc32c"}], **settings}
    return {"name": "sharding_indexed", "configuration": configuration}


def test_sharding() -> None:
    found = sharding_of(made([codec()]), structure="zarr.json")
    assert found is not None
    assert (found.per_shard, found.index_size, found.big_endian, found.checksum, found.at_end) == (
        (2, 2),
        68,
        False,
        True,
        True,
    )
    assert (found.inner.chunk_shape, found.inner.codec_names) == ((2, 3), ["bytes"])


def test_index_at_the_start_without_checksum() -> None:
    found = sharding_of(made([codec(index_codecs=[BYTES], index_location="start")]), structure="zarr.json")
    assert found is not None
    assert (found.index_size, found.checksum, found.at_end) == (64, False, False)


def test_none() -> None:
    assert sharding_of(made([BYTES]), structure="zarr.json") is None


@pytest.mark.parametrize(
    "codecs", [[codec(), {"name": "gzip"}], [{"name": "transpose"}, codec()], [codec(index_codecs=[{"name": "gzip"}])]]
)
def test_chunks_without_a_place(codecs: list[Any]) -> None:
    with pytest.raises(Unsupported):
        sharding_of(made(codecs), structure="zarr.json")


@pytest.mark.parametrize(
    "settings",
    [
        {"chunk_shape": [3, 3]},
        {"chunk_shape": [0, 3]},
        {"chunk_shape": [2]},
        {"chunk_shape": None},
        {"codecs": None},
        {"index_location": "middle"},
    ],
)
def test_malformed(settings: dict[str, Any]) -> None:
    with pytest.raises(ManifestError):
        sharding_of(made([codec(**settings)]), structure="zarr.json")
