"""What is asked for, by what it costs: exact ranges, what lies between, all of the file."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from refmaker.ranges import difference, union
from refmaker.sources.range_planner import BLOCK, WHOLE, Plan, Rates

MB = 1_000_000


def planned(size: int, ranges, *, latency: float = 0.05, bandwidth: float = 5e7, held=(), plan: Plan | None = None):
    rates = Rates(latency=latency, bandwidth=bandwidth)
    plan = plan or Plan(size, rates, 100)
    starts = np.array([a for a, _ in ranges], "i8")
    stops = np.array([a + n for a, n in ranges], "i8")
    held_starts, held_stops = np.array([a for a, _ in held], "i8"), np.array([a + n for a, n in held], "i8")
    starts, stops = plan.requests(starts, stops, held_starts, held_stops)
    return list(zip(starts.tolist(), stops.tolist(), strict=True))


def asked(requests) -> int:
    return sum(stop - start for start, stop in requests)


def test_scattered_nodes_are_asked_for_exactly():
    nodes = [(350_000 * i, 3096) for i in range(1, 2000)]
    assert planned(919 * MB, nodes) == [(a, a + n) for a, n in nodes]


def test_dense_nodes_are_asked_for_together():
    nodes = [(4000 * i, 3096) for i in range(1, 2000)]
    requests = planned(919 * MB, nodes)
    assert len(requests) == -(-nodes[-1][0] // BLOCK)
    assert asked(requests) < 1.3 * 2000 * 3096 + (1 << 17)


def test_never_more_between_than_asked_for():
    nodes = [(20_000 * i, 1000) for i in range(1, 1000)]
    assert asked(planned(919 * MB, nodes)) <= 1.5 * 999 * 1000 + (1 << 17)


def test_little_is_asked_for_with_what_follows():
    ((start, stop),) = planned(919 * MB, [(500 * MB, 512)])
    assert start == 500 * MB
    assert 4096 <= stop - start <= 1 << 17
    # Near the end of the file, and up to what is there.
    assert planned(919 * MB, [(919 * MB - 600, 512)]) == [(919 * MB - 600, 919 * MB)]
    assert planned(919 * MB, [(500 * MB, 512)], held=[(500 * MB + 1000, 1 << 20)]) == [(500 * MB, 500 * MB + 1000)]


@pytest.mark.parametrize(("size", "latency", "bandwidth", "whole"), [
    (5 * MB, 0.05, 5e7, True),
    (50 * MB, 0.05, 5e7, False),
    (50 * MB, 0.5, 5e7, True),
    (5 * MB, 0.001, 5e7, False),
    (5 * MB, 0.05, 1e6, False),
])  # fmt: skip
def test_small_files_are_taken_whole(size, latency, bandwidth, whole):
    requests = planned(size, [(3 * MB, 100)], latency=latency, bandwidth=bandwidth, held=[(0, 100)])
    assert (asked(requests) == size - 100) == whole
    assert whole or asked(requests) < MB


def test_a_file_that_goes_on_and_on_is_taken_whole():
    """The pieces may cost as much as the rest of the file, no more."""
    size = 60 * MB
    plan = Plan(size, Rates(latency=0.05, bandwidth=5e7), 100)
    for n in range(1, 100):
        if asked(planned(size, [(400_000 * n, 512)], plan=plan)) == size:
            break
    else:
        pytest.fail("piece after piece")
    assert 0.7 * size / 5e7 / 0.05 < n < 1.3 * size / 5e7 / 0.05


def test_a_large_file_is_not():
    plan = Plan(WHOLE + MB, Rates(latency=10, bandwidth=1e8), 100)
    for n in range(1, 20):
        assert asked(planned(0, [(400_000 * n, 512)], plan=plan)) < MB


RANGES = st.lists(st.tuples(st.integers(0, 99_000), st.integers(1, 900)), min_size=1, max_size=20)


@given(RANGES, RANGES, st.floats(0, 0.1), st.integers(100_000, 10**9))
def test_what_is_missing_is_asked_for(ranges, held, latency, size):
    held = union(np.array([a for a, _ in held]), np.array([a + n for a, n in held]))
    missing = difference(np.array([a for a, _ in ranges]), np.array([a + n for a, n in ranges]), *held)
    if len(missing[0]) == 0:
        return
    starts, stops = Plan(size, Rates(latency=latency), 10).requests(*missing, *held)
    assert len(difference(*missing, starts, stops)[0]) == 0
    assert (starts[1:] >= stops[:-1]).all()
    assert starts[0] >= 0
    assert stops[-1] <= size
    assert ((stops > starts) & (stops - starts <= BLOCK)).all()


def test_rates():
    rates = Rates()
    rates.note(0.2, 1000, 1.0)
    rates.note(0.1)
    rates.note(0.3, 1 << 20, 0.1)
    assert rates.latency == 0.1
    assert rates.bandwidth == (1 << 20) / 0.1
    rates.note(0.3, 1 << 20, 0.2)
    assert rates.bandwidth == pytest.approx(0.75 * (1 << 20) / 0.1)
    rates.note(0.3, 1 << 20, 0.0)
    assert rates.bandwidth <= 1e8
