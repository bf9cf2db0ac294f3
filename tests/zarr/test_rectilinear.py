"""Rectilinear chunk grids: what is stated, against zarr-python's reading of the specification."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from refmaker.errors import ManifestError, Unsupported
from refmaker.zarr.conversion import convert_metadata
from refmaker.zarr.elements import elements_of
from refmaker.zarr.metadata import ArrayMetadata
from refmaker.zarr.rectilinear import lengths_of_axis, rectilinear_grid


def _document(shape: list[int], axes: Any, codecs: list[Any] | None = None) -> dict[str, Any]:
    return {
        "zarr_format": 3,
        "node_type": "array",
        "shape": shape,
        "data_type": "int16",
        "fill_value": 0,
        "chunk_grid": {"name": "rectilinear", "configuration": {"kind": "inline", "chunk_shapes": axes}},
        "chunk_key_encoding": {"name": "default", "configuration": {"separator": "/"}},
        "codecs": codecs or [{"name": "bytes", "configuration": {"endian": "little"}}],
    }


@pytest.mark.parametrize(
    ("stated", "extent", "lengths"),
    [
        (4, 10, [4, 4, 4]),
        ([4, 4, 2], 10, [4, 4, 2]),
        ([[4, 2], 2], 10, [4, 4, 2]),
        ([[4, 3]], 10, [4, 4, 4]),
        ([31, [28, 1], [31, 2]], 121, [31, 28, 31, 31]),
        ([5, 5], 5, [5]),
        ([1], 0, []),
        (3, 0, []),
    ],
)
def test_lengths(stated: Any, extent: int, lengths: list[int]) -> None:
    assert lengths_of_axis(stated, extent).tolist() == lengths


@pytest.mark.parametrize(
    "stated",
    [0, -1, True, 1.5, "4", None, [], [0], [[4]], [[4, 0]], [[4, -1]], [[4, 2, 1]], [4, 4], [True], [[2, 1 << 40]],
     [1 << 62]],
)  # fmt: skip
def test_what_is_no_axis(stated: Any) -> None:
    with pytest.raises(ValueError, match=r"length|chunks|run"):
        lengths_of_axis(stated, 10)
    with pytest.raises(ManifestError):
        ArrayMetadata.from_json(_document([10], [stated])).layout(structure="x")


def test_written_in_runs_for_every_axis() -> None:
    grid = rectilinear_grid([np.array([31, 28, 31, 31, 10]), np.array([7]), np.array([], "i8")])
    assert grid["configuration"]["chunk_shapes"] == [[31, 28, [31, 2], 10], [7], [1]]


def test_metadata_say_their_chunks() -> None:
    metadata = ArrayMetadata.from_json(_document([90, 7], [[31, 28, 31], [4, 3]]))
    assert metadata.chunk_shape == (31, 4)
    assert [axis.tolist() for axis in metadata.chunk_lengths or ()] == [[31, 28, 31], [4, 3]]
    layout = metadata.layout(structure="x")
    assert (layout.grid, layout.name(5)) == ((3, 2), "c/2/1")
    assert metadata.without_shape().chunk_shape == (31, 4)


@pytest.mark.parametrize(
    "grid",
    [
        {"name": "rectilinear"},
        {"name": "rectilinear", "configuration": {"kind": "outline", "chunk_shapes": [[3]]}},
        {"name": "rectilinear", "configuration": {"kind": "inline"}},
        {"name": "rectilinear", "configuration": {"kind": "inline", "chunk_shapes": [[3], [3]]}},
        {"name": "rectangular", "configuration": {"kind": "inline", "chunk_shapes": [[3]]}},
    ],
)
def test_grids_that_are_none(grid: Any) -> None:
    with pytest.raises(ManifestError):
        ArrayMetadata.from_json({**_document([3], [[3]]), "chunk_grid": grid}).layout(structure="x")


def test_with_a_crop_codec_and_back() -> None:
    big = [{"name": "bytes", "configuration": {"endian": "big"}}, {"name": "numcodecs.zlib", "configuration": {}}]
    regular = ArrayMetadata.from_json({**_document([4, 4], [[4], [4]], big)}).with_extent([4, 4], [4, 4])
    made = regular.with_chunk_lengths([5, 3], [np.array([3, 2]), np.array([3])], [None, 4])
    assert made.document["codecs"][0] == {
        "name": "refmaker.crop",
        "configuration": {"encoded_chunk": [None, 4], "endian": "big"},
    }
    assert (made.endian, made.codecs, made.encoded_chunk) == ("big", regular.codecs, (None, 4))
    assert made.with_chunk_lengths([5, 3], [np.array([5]), np.array([3])]).document["codecs"] == big
    assert made.uncompressed([5, 3]).document["codecs"] == big[:1]
    elements = elements_of(made)
    assert elements is not None
    assert elements.size == 2
    made.check()


def test_what_has_no_such_form() -> None:
    two = ArrayMetadata.from_json(
        {"zarr_format": 2, "shape": [4], "chunks": [2], "dtype": "<i2", "fill_value": 0, "compressor": None}
    )
    with pytest.raises(Unsupported, match="Zarr 2"):
        two.with_chunk_lengths([4], [np.array([4])])
    text = ArrayMetadata.from_json(_document([3], [[3]], [{"name": "vlen-utf8", "configuration": {}}]))
    with pytest.raises(Unsupported, match="in part"):
        text.with_chunk_lengths([2], [np.array([2])], [3])
    rectilinear = ArrayMetadata.from_json(_document([3], [[2, 1]]))
    with pytest.raises(Unsupported, match="different lengths"):
        convert_metadata(rectilinear, {}, 2, complete=True)
    crop = ArrayMetadata.from_json(
        _document([3], [[3]], [{"name": "refmaker.crop", "configuration": {"encoded_chunk": [3, 3]}}])
    )
    with pytest.raises(ManifestError, match="rank"):
        crop.check()
