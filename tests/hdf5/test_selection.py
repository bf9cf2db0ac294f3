from __future__ import annotations

import struct
from typing import Any

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from refmaker.errors import FormatError, RefmakerError, Unsupported
from refmaker.hdf5 import selection as module
from refmaker.hdf5.selection import (
    axes_of,
    coordinates,
    count,
    decode_selection,
    first_slices,
    slices_within,
    unlimited_axis,
)
from refmaker.model import Selection, Slab

SHAPE = (7, 5, 6)
UNLIMITED = h5py.h5s.UNLIMITED
SIZE = 210


def _encoded(space: h5py.h5s.SpaceID) -> bytes:
    """Return the selection as libhdf5 serialises it: H5Sencode puts the extent before it."""
    data = space.encode()
    return data[7 + int.from_bytes(data[3:7], "little") :]


def _selected(space: h5py.h5s.SpaceID) -> list[int]:
    """Return what libhdf5 selects of an array of its positions, in its order."""
    shape = space.shape
    with h5py.File.in_memory() as file:
        dataset = file.create_dataset("d", data=np.arange(np.prod(shape)).reshape(shape))
        out = np.empty(space.get_select_npoints(), "i8")
        if out.size:
            dataset.id.read(h5py.h5s.create_simple(out.shape), space, out)
    return out.tolist()


def _slabs() -> st.SearchStrategy[list[tuple[int, int, int, int]]]:
    """Draw start, stride, count and block for each axis, all within the shape."""

    @st.composite
    def slab(draw: Any, extent: int) -> tuple[int, int, int, int]:
        block = draw(st.integers(1, extent))
        stride = draw(st.integers(block, extent))
        start = draw(st.integers(0, extent - block))
        n = draw(st.integers(1, (extent - start - block) // stride + 1))
        return start, stride, n, block

    return st.tuples(*map(slab, SHAPE)).map(list)


@settings(max_examples=60)
@given(
    slabs=st.lists(_slabs(), min_size=1, max_size=4),
    operations=st.lists(
        st.sampled_from([h5py.h5s.SELECT_OR, h5py.h5s.SELECT_AND, h5py.h5s.SELECT_XOR, h5py.h5s.SELECT_NOTB]),
        min_size=3,
        max_size=3,
    ),
)
def test_hyperslabs_select_what_libhdf5_selects(
    slabs: list[list[tuple[int, int, int, int]]], operations: list[int]
) -> None:
    space = h5py.h5s.create_simple(SHAPE)
    for slab, operation in zip(slabs, [h5py.h5s.SELECT_SET, *operations], strict=False):
        start, stride, n, block = zip(*slab, strict=True)
        space.select_hyperslab(start, n, stride, block, operation)
    data = _encoded(space)
    selection, stop = decode_selection(data, 0)
    assert stop == len(data)
    expected = _selected(space)
    assert coordinates(selection, SHAPE, SIZE).tolist() == expected
    axes = axes_of(selection, SHAPE)
    if axes is not None:
        assert count(axes) == len(expected)
        for runs in axes:
            assert (runs[:, 0] < runs[:, 1]).all()
            assert (runs[1:, 0] > runs[:-1, 1]).all()


@pytest.mark.parametrize("kind", ["all", "none"])
def test_all_and_none(kind: str) -> None:
    space = h5py.h5s.create_simple(SHAPE)
    getattr(space, f"select_{kind}")()
    selection, stop = decode_selection(b"xx" + _encoded(space) + b"yy", 2)
    assert (selection, stop) == (Selection(kind), 18)
    assert coordinates(selection, SHAPE, SIZE).tolist() == (list(range(SIZE)) if kind == "all" else [])


def test_blocks_that_form_a_product_are_one() -> None:
    """As fancy indexing along one axis makes them."""
    space = h5py.h5s.create_simple(SHAPE)
    for n, row in enumerate((0, 2, 3, 6)):
        operation = h5py.h5s.SELECT_OR if n else h5py.h5s.SELECT_SET
        space.select_hyperslab((row, 1, 0), (1, 1, 1), None, (1, 3, 6), operation)
    selection, _ = decode_selection(_encoded(space), 0)
    axes = axes_of(selection, SHAPE)
    assert axes is not None
    assert [runs.tolist() for runs in axes] == [[[0, 1], [2, 4], [6, 7]], [[1, 4]], [[0, 6]]]


def test_blocks_that_form_none() -> None:
    space = h5py.h5s.create_simple(SHAPE)
    space.select_hyperslab((0, 0, 0), (1, 1, 1))
    space.select_hyperslab((1, 1, 1), (1, 1, 1), op=h5py.h5s.SELECT_OR)
    selection, _ = decode_selection(_encoded(space), 0)
    assert axes_of(selection, SHAPE) is None
    assert coordinates(selection, SHAPE, SIZE).tolist() == [0, 37]


def _regular(version: int, width: int, slabs: list[tuple[int, int, int, int]]) -> bytes:
    head = struct.pack("<II", 2, version)
    head += struct.pack("<BII", 1, 0, len(slabs)) if version == 2 else struct.pack("<BBI", 1, width, len(slabs))
    return head + b"".join((n & (1 << 8 * width) - 1).to_bytes(width, "little") for slab in slabs for n in slab)


@pytest.mark.parametrize(("version", "width"), [(2, 8), (3, 2), (3, 4), (3, 8)])
def test_regular_forms(version: int, width: int) -> None:
    data = _regular(version, width, [(1, 3, 2, 2), (0, 4, -1, 1)])
    selection, stop = decode_selection(data, 0)
    assert stop == len(data)
    assert selection == Selection("slabs", (Slab(1, 3, 2, 2), Slab(0, 4, None, 1)))
    assert unlimited_axis(selection) == 1
    data = _regular(version, width, [(5, 1, 1, -1)])
    assert decode_selection(data, 0)[0].slabs == (Slab(5, 1, 1, None),)


@pytest.mark.parametrize("width", [2, 4, 8])
def test_blocks_of_version_3(width: int) -> None:
    numbers = [2, 0, 1, 2, 3, 5, 0, 5, 4]  # two blocks: starts, then last indices
    data = struct.pack("<IIBBI", 2, 3, 0, width, 2) + b"".join(n.to_bytes(width, "little") for n in numbers)
    selection, stop = decode_selection(data, 0)
    assert stop == len(data)
    assert selection.blocks is not None
    assert selection.blocks.tolist() == [[[0, 3], [1, 4]], [[5, 6], [0, 5]]]


@pytest.mark.parametrize("unlimited", ["count", "block"])
@pytest.mark.parametrize("extent", [0, 1, 3, 4, 5, 9, 10, 23])
def test_unlimited_selections(unlimited: str, extent: int) -> None:
    """The indices below an extent, as libhdf5 clips them in a virtual dataset."""
    slab = Slab(3, 4, None, 2) if unlimited == "count" else Slab(3, 1, 1, None)
    indices = [i for i in range(3, extent) if unlimited == "block" or (i - 3) % 4 < 2]
    n = slices_within(slab, extent)
    assert n == len(indices)
    assert [i for start, stop in first_slices(slab, n).tolist() for i in range(start, stop)] == indices


@given(
    start=st.integers(0, 9),
    block=st.integers(1, 5),
    gap=st.integers(0, 5),
    n=st.integers(1, 6),
    extent=st.integers(0, 90),
)
def test_slices(start: int, block: int, gap: int, n: int, extent: int) -> None:
    slab = Slab(start, block + gap, n, block)
    indices = [start + k * (block + gap) + i for k in range(n) for i in range(block)]
    assert slices_within(slab, extent) == sum(i < extent for i in indices)
    for first in (0, 1, len(indices) // 2, len(indices)):
        runs = first_slices(slab, first)
        assert [i for a, b in runs.tolist() for i in range(a, b)] == indices[:first]


@pytest.mark.parametrize(
    ("selection", "shape", "words"),
    [
        (Selection("slabs", (Slab(0, 1, 1, 8),)), (7,), "beyond the extent"),
        (Selection("slabs", (Slab(0, 3, 3, 2),)), (7,), "beyond the extent"),
        (Selection("slabs", (Slab(0, 1, 1, 3),)), (7, 3), "rank 1"),
        (Selection("blocks", blocks=np.array([[[0, 8]]])), (7,), "beyond the extent"),
        (Selection("blocks", blocks=np.array([[[0, 2], [0, 2]]])), (7,), "rank 2"),
        (Selection("slabs", (Slab(0, 1, None, 1),)), (7,), "unlimited"),
        (Selection("slabs", (Slab(0, 2, 1 << 40, 1),)), (1 << 50,), "more than"),
    ],
)
def test_selections_that_do_not_fit(selection: Selection, shape: tuple[int, ...], words: str) -> None:
    with pytest.raises(Unsupported, match=words):
        axes_of(selection, shape)


def test_listing_is_bounded() -> None:
    with pytest.raises(Unsupported, match="more than 10 elements"):
        coordinates(Selection("all"), (4, 4), 10)
    blocks = np.array([[[0, 1], [0, 1]], [[1, 3], [1, 9]]])
    with pytest.raises(Unsupported, match="more than 10 elements"):
        coordinates(Selection("blocks", blocks=blocks), (9, 9), 10)


def test_points_are_refused() -> None:
    space = h5py.h5s.create_simple(SHAPE)
    space.select_elements([(0, 0, 0), (1, 1, 1)])
    with pytest.raises(Unsupported, match="point selections"):
        decode_selection(_encoded(space), 0)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        struct.pack("<II", 7, 1),
        struct.pack("<II", 3, 2) + bytes(8),
        struct.pack("<II", 3, 1),
        struct.pack("<II", 2, 9) + bytes(40),
        struct.pack("<IIBII", 2, 2, 0, 0, 1) + bytes(32),
        struct.pack("<IIBBI", 2, 3, 1, 3, 1) + bytes(12),
        struct.pack("<IIIII", 2, 1, 0, 0, 40),
        struct.pack("<IIIIII", 2, 1, 0, 0, 2, 0xFFFFFFFF),
        struct.pack("<IIIIIIII", 2, 1, 0, 0, 1, 1, 5, 4),
        struct.pack("<IIBBIQQQ", 2, 3, 0, 8, 1, 1, 1 << 63, 1 << 63),
        _regular(3, 8, [(0, 0, 1, 1)]),
        _regular(3, 8, [(0, 1, 0, 1)]),
        _regular(3, 8, [(0, 1, 1, 0)]),
        _regular(3, 8, [(0, 1, 3, 2)]),
        _regular(3, 8, [(0, 1, -1, -1)]),
        _regular(3, 8, [(0, 1, 3, -1)]),
        _regular(3, 8, [(0, 1, -1, 1), (0, 1, 1, -1)]),
        _regular(3, 8, [(1 << 63, 1, 1, 1)]),
        _regular(3, 8, [(0, 1 << 40, 1 << 40, 1)]),
    ],
)
def test_damaged_selections(data: bytes) -> None:
    with pytest.raises((FormatError, Unsupported)):
        decode_selection(data, 0)


@settings(max_examples=200)
@given(st.binary(max_size=80), st.sampled_from([1, 2, 3]), st.sampled_from([0, 2, 3]))
def test_any_bytes(data: bytes, version: int, kind: int) -> None:
    try:
        selection, stop = decode_selection(struct.pack("<II", kind, version) + data, 0)
        assert stop <= len(data) + 8
        if unlimited_axis(selection) is None:
            axes_of(selection, SHAPE)
            coordinates(selection, SHAPE, SIZE)
    except RefmakerError:
        pass


def test_runs_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_RUNS", 10)
    assert len(first_slices(Slab(0, 2, None, 1), 10)) == 10
    with pytest.raises(Unsupported, match="more than 10 blocks"):
        first_slices(Slab(0, 2, None, 1), 11)
