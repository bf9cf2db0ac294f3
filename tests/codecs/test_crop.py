"""The beginning of chunks that are stored larger: against numpy."""

from __future__ import annotations

import numpy as np
import pytest

from refmaker.codecs.crop import cropped, stored_shape
from refmaker.errors import FormatError


@pytest.mark.parametrize("dtype", ["<i2", ">f8", "|u1", "S3"])
@pytest.mark.parametrize("encoded", [(5, 4), (None, 4), (5, None)])
def test_leading_part_of_a_stored_chunk(dtype: str, encoded: tuple[int | None, ...]) -> None:
    stored = np.arange(20).reshape(5, 4).astype(dtype)
    for shape in ((5, 4), (3, 4), (5, 1), (2, 3), (0, 4)):
        got = cropped(stored.tobytes(), np.dtype(dtype), encoded, shape)
        assert got.tobytes() == stored[: shape[0], : shape[1]].tobytes()
        assert got.dtype == stored.dtype


def test_scalar_chunk() -> None:
    assert cropped(b"\x05\0", np.dtype("<i2"), (), ())[()] == 5


@pytest.mark.parametrize(
    ("encoded", "size", "shape"),
    [((5, 4), 79, (5, 4)), ((5, 4), 160, (5, 4)), ((None, 4), 15, (1, 4)), ((None, 4), 0, (1, 4))],
)
def test_other_lengths_are_errors(encoded: tuple[int | None, ...], size: int, shape: tuple[int, ...]) -> None:
    with pytest.raises(FormatError, match="size of a stored chunk"):
        cropped(bytes(size), np.dtype("<i4"), encoded, shape)


@pytest.mark.parametrize("shape", [(6, 4), (5, 5), (5,), (5, 4, 1)])
def test_parts_beyond_the_chunk_are_errors(shape: tuple[int, ...]) -> None:
    with pytest.raises(FormatError, match="shape of a stored chunk"):
        cropped(bytes(80), np.dtype("<i4"), (5, 4), shape)


def test_shape_of_the_bytes() -> None:
    assert stored_shape([31, 4], 31 * 4 * 2, 2) == (31, 4)
    assert stored_shape([31, None], 31 * 4 * 2, 2) == (31, 4)
