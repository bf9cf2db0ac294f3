"""Placing chunks against the same done cell by cell."""

from __future__ import annotations

import itertools
import tempfile

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from refmaker.combining.collection import Series
from refmaker.combining.dimensions import Axis
from refmaker.combining.pieces import pieces_of, place
from refmaker.combining.records import CombineError
from refmaker.combining.rows import FileRows, MemoryRows, Spill
from refmaker.manifest.references import References


@given(st.data())
def test_two_axes(data: st.DataObject) -> None:
    """A grid of inputs of different lengths, chunks left out, inlined or whole at random, in any order."""
    chunks = (data.draw(st.integers(1, 3)), 2, data.draw(st.integers(1, 3)))
    counts = [data.draw(st.lists(st.integers(1, 3), min_size=1, max_size=3)) for _ in range(2)]
    lengths = [[chunk * n for n in own] for chunk, own in zip((chunks[0], chunks[2]), counts, strict=True)]
    lengths[0][-1] -= data.draw(st.integers(0, chunks[0] - 1))
    cells = list(itertools.product(*(range(len(own)) for own in lengths)))
    order = data.draw(st.permutations(cells))
    spill = data.draw(st.booleans())
    series, expected = Series(FileRows(Spill(tempfile.gettempdir())) if spill else MemoryRows()), {}
    starts = [[0, *itertools.accumulate(own)] for own in lengths]
    for number, (one, other) in enumerate(order):
        shape = (lengths[0][one], 3, lengths[1][other])
        grid = tuple(-(-n // c) for n, c in zip(shape, chunks, strict=True))
        kinds = data.draw(st.lists(st.sampled_from("ridw"), min_size=int(np.prod(grid)), max_size=int(np.prod(grid))))
        rows = [cell for cell, kind in enumerate(kinds) if kind == "r"]
        columns = (
            np.array(rows, "i8"), np.full(len(rows), number, "u4"),
            np.array(rows, "u8") * np.uint64(10), np.full(len(rows), 5 + number, "u8"),
        )  # fmt: skip
        entry = series.add(number, 0, shape, columns)
        series.inline[entry] = {cell: b"%d %d" % (number, cell) for cell, kind in enumerate(kinds) if kind == "i"}
        series.whole[entry] = {cell: number for cell, kind in enumerate(kinds) if kind == "w"}
        for cell, kind in enumerate(kinds):
            i, j, k = np.unravel_index(cell, grid)
            at = (int(i) + starts[0][one] // chunks[0], int(j), int(k) + starts[1][other] // chunks[2])
            expected[at] = {"r": (number, cell * 10, 5 + number), "i": b"%d %d" % (number, cell), "w": number}.get(kind)
    axes = [
        Axis(
            "x", None, {n: place_of[axis] for n, place_of in enumerate(order)}, lengths[axis],
            np.array([[b, 0, n, s] for b, (n, s) in enumerate(zip(lengths[axis], starts[axis], strict=False))], "i8"),
        )
        for axis in range(2)
    ]  # fmt: skip
    pieces, twice = pieces_of(series, (0, 2), axes, "refuse")
    assert not twice
    assert not pieces.ragged(chunks).any()
    expected = {at: value for at, value in expected.items() if value is not None}
    made = place(series, pieces, chunks)
    size = data.draw(st.integers(1, 20))
    windows = dict(made.windows(size))
    assert all(all(number * size <= cell < (number + 1) * size for cell in w.cell) for number, w in windows.items())
    parts = [as_dict(one, pieces.shape, chunks) for one in windows.values()]
    assert all(parts)
    assert {at: value for one in parts for at, value in one.items()} == expected
    assert len(made) == len(expected)
    assert as_dict(made, pieces.shape, chunks) == expected


def as_dict(references: References, shape: tuple[int, ...], chunks: tuple[int, ...]) -> dict[tuple[int, ...], object]:
    grid = tuple(-(-n // c) for n, c in zip(shape, chunks, strict=True))
    assert (np.diff(references.cell) > 0).all()
    columns = (references.target, references.offset, references.size)
    rows: dict[int, object] = dict(
        zip(references.cell.tolist(), zip(*(c.tolist() for c in columns), strict=True), strict=True)
    )
    held = rows | references.inline | references.whole
    assert len(held) == len(references)
    return {tuple(int(i) for i in np.unravel_index(cell, grid)): value for cell, value in held.items()}


def test_pieces_that_do_not_fit() -> None:
    series = Series()
    for number, length in enumerate((4, 3, 4)):
        series.add(number, 0, (length,))
    runs = np.array([[0, 0, 4, 0], [1, 0, 3, 4], [2, 0, 4, 7]], "i8")
    axis = Axis("x", None, {0: 0, 1: 1, 2: 2}, [4, 3, 4], runs)
    pieces, _ = pieces_of(series, (0,), [axis], "refuse")
    assert pieces.ragged((2,)).tolist() == [[False], [True], [True]]
    assert pieces.ragged((1,)).tolist() == [[False], [False], [False]]


def test_most_of_a_grid_missing() -> None:
    """A grid that is mostly holes takes no room."""
    count = 3000
    series = Series()
    for number in range(count):
        series.add(number, 0, (1, 1))
    runs = np.stack([np.arange(count), np.zeros(count, "i8"), np.ones(count, "i8"), np.arange(count)], axis=1)
    axes = [Axis(name, None, {n: n for n in range(count)}, [1] * count, runs) for name in "xy"]
    pieces, _ = pieces_of(series, (0, 1), axes, "refuse")
    assert len(pieces.entry) == 1
    assert pieces.entry[0] == -1


def test_more_chunks_than_can_be_counted() -> None:
    series = Series()
    for number in range(2):
        series.add(number, 0, (1 << 31, 1 << 31))
    runs = np.array([[n, 0, 1 << 31, n << 31] for n in range(2)], "i8")
    axis = Axis("x", None, {0: 0, 1: 1}, [1 << 31] * 2, runs)
    pieces, _ = pieces_of(series, (0,), [axis], "refuse")
    with pytest.raises(CombineError, match=r"2\*\*63 is the limit"):
        place(series, pieces, (1, 1))
