from __future__ import annotations

import numpy as np
from hypothesis import example, given
from hypothesis import strategies as st

from refmaker.ranges import coalesce, difference, distinct, merge_gaps, split, union

RANGES = st.lists(st.tuples(st.integers(0, 500), st.integers(0, 60)), max_size=30)


def columns(ranges) -> tuple[np.ndarray, np.ndarray]:
    starts = np.array([start for start, _ in ranges], "i8")
    return starts, starts + np.array([size for _, size in ranges], "i8")


def covered(starts, stops) -> set[int]:
    return {i for start, stop in zip(starts.tolist(), stops.tolist(), strict=True) for i in range(start, stop)}


def check_form(starts, stops) -> None:
    assert starts.dtype == stops.dtype == np.int64
    assert (starts < stops).all()
    assert (starts[1:] >= stops[:-1]).all()


@given(RANGES)
def test_unite(ranges):
    starts, stops = union(*columns(ranges))
    check_form(starts, stops)
    assert (starts[1:] > stops[:-1]).all()
    assert covered(starts, stops) == covered(*columns(ranges))


@given(RANGES, RANGES)
def test_subtract(ranges, less):
    starts, stops = difference(*columns(ranges), *columns(less))
    check_form(starts, stops)
    assert covered(starts, stops) == covered(*columns(ranges)) - covered(*columns(less))


@given(RANGES, st.integers(0, 40), st.integers(0, 200))
def test_bridge(ranges, gap, budget):
    before = union(*columns(ranges))
    starts, stops = merge_gaps(*before, gap=gap, budget=budget)
    check_form(starts, stops)
    between = covered(starts, stops) - covered(*before)
    assert covered(*before) <= covered(starts, stops)
    assert len(between) <= budget
    gaps = before[0][1:] - before[1][:-1]
    left = max(len(starts) - 1, 0)
    # The shortest gaps are bridged: those that are left are none shorter than a bridged one.
    assert sorted((starts[1:] - stops[:-1]).tolist()) == sorted(gaps.tolist())[len(gaps) - left :]
    if left > 0:
        shortest = sorted(gaps.tolist())[: len(gaps) - left + 1]
        assert shortest[-1] > gap or sum(shortest) > budget


def test_bridge_by_example():
    starts, stops = np.array([0, 12, 100, 200]), np.array([10, 20, 110, 300])
    one = lambda **options: [x.tolist() for x in merge_gaps(starts, stops, **options)]  # noqa: E731
    assert one(gap=1, budget=1000) == [[0, 12, 100, 200], [10, 20, 110, 300]]
    assert one(gap=2, budget=1000) == [[0, 100, 200], [20, 110, 300]]
    assert one(gap=80, budget=81) == [[0, 100, 200], [20, 110, 300]]
    assert one(gap=80, budget=82) == [[0, 200], [110, 300]]
    assert one(gap=90, budget=1000) == [[0], [300]]


@given(RANGES, st.integers(1, 50))
def test_split(ranges, block):
    before = union(*columns(ranges))
    starts, stops = split(*before, block)
    check_form(starts, stops)
    assert covered(starts, stops) == covered(*before)
    assert ((stops - starts) <= block).all()
    assert len(starts) == sum(-(-n // block) for n in (before[1] - before[0]).tolist())


@example([(0, 0), (1, 0), (2, 0)], 1, 2)
@given(RANGES, st.integers(0, 40), st.integers(1, 200))
def test_coalesce(ranges, gap, block):
    starts, stops = columns(ranges)
    first, last = coalesce(starts, stops, gap=gap, block=block)
    assert first.dtype == last.dtype == np.int64
    asked, got = covered(starts, stops), covered(first, last)
    assert asked <= got
    assert first.tolist() == sorted(first.tolist())
    assert (first < last).all()
    # What was not asked for lies in gaps that are short enough.
    between = sorted(got - asked)
    runs = np.split(between, np.flatnonzero(np.diff(between) > 1) + 1) if between else []
    assert all(len(run) <= gap for run in runs)
    longest = max((size for _, size in ranges), default=0)
    assert (last - first <= max(block, longest)).all()
    assert len(first) <= len(ranges)


def test_coalesce_by_example():
    starts, stops = np.array([100, 0, 12, 200]), np.array([110, 10, 20, 300])
    one = lambda **options: [x.tolist() for x in coalesce(starts, stops, **options)]  # noqa: E731
    assert one(gap=0, block=1000) == [[0, 12, 100, 200], [10, 20, 110, 300]]
    assert one(gap=2, block=1000) == [[0, 100, 200], [20, 110, 300]]
    assert one(gap=90, block=1000) == [[0], [300]]
    assert one(gap=90, block=120) == [[0, 200], [110, 300]]
    assert one(gap=0, block=5) == [[0, 12, 100, 200], [10, 20, 110, 300]]


@given(st.lists(st.integers(-5, 5), max_size=20))
def test_distinct(values: list[int]) -> None:
    assert distinct(np.array(values, "i8")).tolist() == sorted(set(values))
