"""Positions in arrays of chunks, as indices in the chunk grid."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from refmaker.errors import FormatError
from refmaker.hdf5.chunk_columns import unravel

EXTENTS = st.one_of(st.integers(1, 9), st.sampled_from([2**31, 2**32 - 1, 2**32, 2**63, 2**64 - 1]))


@given(st.data())
def test_unravel(data: st.DataObject) -> None:
    first: int | None = data.draw(st.one_of(st.none(), EXTENTS))
    rest = data.draw(st.lists(EXTENTS, max_size=3))
    few = st.integers(0, min(math.prod(rest) * (first or 2**63), 2**62) - 1)
    index = data.draw(st.lists(st.one_of(few, few.map(lambda i: i % 7), few.map(lambda i: i % (2**32))), max_size=5))
    found = unravel(np.array(index, "i8"), [first, *rest], list(range(len(rest) + 1)))
    assert found.shape == (len(index), len(rest) + 1)
    for position, indices in zip(index, found.tolist(), strict=True):
        expected = []
        for extent in reversed(rest):
            position, i = divmod(position, extent)
            expected.append(i)
        assert indices == [position, *reversed(expected)]


def test_order() -> None:
    assert unravel(np.array([7], "i8"), [3, None], [1, 0]).tolist() == [[1, 2]]
    assert unravel(np.array([0], "i8"), [], []).shape == (1, 0)


@pytest.mark.parametrize("extent", [None, 0])
def test_no_extent(extent: int | None) -> None:
    with pytest.raises(FormatError):
        unravel(np.array([7], "i8"), [3, extent], [0, 1])
