"""Ranges that are put together."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from refmaker.replay.coalesce import MAX_COALESCED_REQUEST, MAX_PREFETCHED, coalesce_sorted, prefetch_ranges
from refmaker.replay.prefetch import Prefetcher
from refmaker.replay.prefetch_cache import PrefetchedRange
from tests.replay.scenes import references

RANGES = st.lists(st.tuples(st.integers(0, 1 << 21), st.integers(0, MAX_COALESCED_REQUEST + 5000)), max_size=40)


@given(RANGES, st.integers(0, 1 << 16), st.sampled_from([1 << 14, 1 << 18, 1 << 20]))
def test_every_range_is_in_what_holds_it(ranges: list[tuple[int, int]], gap: int, longest: int) -> None:
    ranges = sorted(ranges)
    seen = []
    starts, sizes = [start for start, _ in ranges], [size for _, size in ranges]
    for places, start, stop, block, useful in coalesce_sorted(starts, sizes, gap, longest, None):
        mine = ranges[places]
        assert all(start <= first and first + size <= stop for first, size in mine)
        assert (start, stop) == (mine[0][0], max(first + size for first, size in mine))
        assert useful == sum(size for _, size in mine)
        assert block is None
        largest = max(size for _, size in mine)
        assert len(mine) == 1 or (stop - start <= max(longest, largest) and largest <= MAX_COALESCED_REQUEST)
        seen += mine
    assert seen == ranges


@given(st.lists(st.integers(0, 400), min_size=1, max_size=60), st.integers(1, 20))
def test_ranges_in_blocks_are_taken_from_these(starts: list[int], size: int) -> None:
    prefetcher = Prefetcher((1,), start=1, limit=1)
    blocks = [PrefetchedRange(0, first, first + 100, 100, prefetcher) for first in (0, 150, 300)]

    def find(start: int, stop: int) -> PrefetchedRange | None:
        return next((block for block in blocks if block.start <= start and stop <= block.stop), None)

    starts = sorted(starts)
    found = list(coalesce_sorted(starts, [size] * len(starts), 0, 1 << 20, find))
    assert [start for places, *_ in found for start in starts[places]] == starts
    for _, start, stop, block, _ in found:
        assert block is None or block.start <= start <= stop <= block.stop


def test_ahead_of_what() -> None:
    held = references(
        {i: (i % 2, 100 * i, 100) for i in range(50)} | {50: (0, 10**6, MAX_PREFETCHED + 1), 51: (0, 5, 0)}
    )
    found = list(prefetch_ranges(held, np.arange(52), 1000, {}))
    assert {code for code, *_ in found} == {0, 1}
    assert sum(useful for *_, useful in found) == 5000
    assert all(stop - start <= 1000 for _, start, stop, _ in found)
    assert max(stop for _, _, stop, _ in found) == 5000
