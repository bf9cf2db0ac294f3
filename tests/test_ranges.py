from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from refmaker.ranges import coalesce, pages_of

RANGES = st.lists(st.tuples(st.integers(0, 500), st.integers(0, 60)), max_size=30)


def covered(starts, stops) -> set[int]:
    return {i for start, stop in zip(starts, stops, strict=True) for i in range(start, stop)}


@given(RANGES, st.integers(0, 40), st.integers(1, 200))
def test_coalesce(ranges, gap, block):
    starts = np.array([start for start, _ in ranges], "i8")
    stops = np.array([start + size for start, size in ranges], "i8")
    merged_starts, merged_stops = coalesce(starts, stops, gap=gap, block=block)
    assert merged_starts.dtype == merged_stops.dtype == np.int64
    first, last = merged_starts.tolist(), merged_stops.tolist()
    asked, got = covered(starts.tolist(), stops.tolist()), covered(first, last)
    assert asked <= got
    assert first == sorted(first)
    assert all(start <= stop for start, stop in zip(first, last, strict=True))
    # What was not asked for lies in gaps that are short enough.
    assert all(len(run) <= gap for run in runs(sorted(got - asked)))
    longest = max((size for _, size in ranges), default=0)
    assert all(stop - start <= max(block, longest) for start, stop in zip(first, last, strict=True))
    assert len(first) <= len(ranges)


def runs(numbers: list[int]) -> list[list[int]]:
    found: list[list[int]] = []
    for n in numbers:
        if found and found[-1][-1] == n - 1:
            found[-1].append(n)
        else:
            found.append([n])
    return found


def test_coalesce_by_example():
    starts, stops = np.array([100, 0, 12, 200]), np.array([110, 10, 20, 300])
    one = lambda **options: [x.tolist() for x in coalesce(starts, stops, **options)]  # noqa: E731
    assert one(gap=0, block=1000) == [[0, 12, 100, 200], [10, 20, 110, 300]]
    assert one(gap=2, block=1000) == [[0, 100, 200], [20, 110, 300]]
    assert one(gap=90, block=1000) == [[0], [300]]
    assert one(gap=90, block=120) == [[0, 200], [110, 300]]
    assert one(gap=0, block=5) == [[0, 12, 100, 200], [10, 20, 110, 300]]
    empty = np.empty(0, "i8")
    assert [len(x) for x in coalesce(empty, empty, gap=1, block=1)] == [0, 0]


@given(RANGES, st.integers(0, 9))
def test_pages_of(ranges, page_bits):
    starts = np.array([start for start, _ in ranges], "i8")
    sizes = np.array([size for _, size in ranges], "i8")
    pages = pages_of(starts, sizes, page_bits).tolist()
    # A range of no bytes has the page where it stands.
    wanted = {i >> page_bits for start, size in ranges for i in range(start, start + max(size, 1))}
    assert pages == sorted(wanted)
