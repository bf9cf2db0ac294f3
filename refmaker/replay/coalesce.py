"""Requests, and how those that lie close together are put into one.

Contract: pure; nothing is read. Small requests (`MAX_COALESCED_REQUEST`) are merged across gaps that are no larger than
they are, into ranges of at most `BLOCK` bytes, or an eighth of all that is wanted at a time where that is more; larger
ones, and those for all of a target, go out alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from refmaker.manifest.references import References
from refmaker.ranges import coalesce, distinct
from refmaker.replay.requests import PendingRead

if TYPE_CHECKING:
    from refmaker.replay.prefetch_cache import PrefetchedRange
    from refmaker.replay.stores import Store

__all__ = [
    "BLOCK",
    "MIN_GAP",
    "MAX_COALESCED_REQUEST",
    "MAX_PREFETCHED",
    "coalesce_requests",
    "coalesce_sorted",
    "prefetch_ranges",
    "max_gap",
]

MAX_COALESCED_REQUEST = 128 * 1024
"""Bytes: requests of more are not merged; they are worth a connection each."""

_BLOCKS = 4
"""Blocks of a store that a chunk may have, to be read ahead."""

MAX_PREFETCHED = 16 << 20
"""Bytes: chunks of more are not read ahead; a round trip is little beside their transfer."""

BLOCK = 1 << 20
"""Bytes of merged requests, at most: more would be slower in one connection than in several."""

LONGEST, _WAYS = 8 << 20, 8
"""Bytes of merged requests where so much is wanted that there still are that many of them."""

_UNKNOWN = 1 << 18
"""Bytes of a request for a target that nothing was read of yet, ahead of what is wanted."""

_FAR = 1 << 62
"""Bytes: farther than any target reaches."""

MIN_GAP = 4096
"""Bytes that are read in any case where they lie between two ranges."""


def coalesce_requests(wants: list[PendingRead], gap: int) -> Iterator[tuple[int, int | None, list[PendingRead]]]:
    """Merge requests for one target; give start, stop (None: all of the target) and requests of each range.

    Parameters
    ----------
    gap
        Bytes that the store would rather read than leave out, at most.
    """
    group: list[PendingRead] = []
    stop = 0
    block = longest_of(sum(want.stop - want.start for want in wants))
    for want in sorted(wants, key=_start):
        size = want.stop - want.start
        if want.request.size is None or size > MAX_COALESCED_REQUEST:
            yield want.start, None if want.request.size is None else want.stop, [want]
            continue
        near = want.start - stop <= max_gap(gap, size)
        if group and not (near and max(stop, want.stop) - group[0].start <= block):
            yield group[0].start, stop, group
            group = []
        stop = max(stop, want.stop) if group else want.stop
        group.append(want)
    if group:
        yield group[0].start, stop, group


def coalesce_sorted(
    starts: Sequence[int],
    sizes: Sequence[int],
    gap: int,
    longest: int,
    find: Callable[[int, int], PrefetchedRange | None] | None,
) -> Iterator[tuple[slice, int, int, PrefetchedRange | None, int]]:
    """Merge ranges of one target that are sorted by start; those that stand in one block that was read ahead, too.

    Parameters
    ----------
    gap, longest
        As the store would have them: bytes rather read than left out, bytes of a merged range.
    find
        Gives the block that a range stands in, None where there are no blocks.

    Yields
    ------
    slots
        Which of the ranges.
    start, stop
        What holds them all.
    block
        Where they stand in one.
    useful
        Bytes of the ranges themselves.
    """
    longest = min(longest_of(sum(sizes)), longest)
    first, stop, useful = 0, 0, 0
    held: PrefetchedRange | None = None
    for slot, (start, size) in enumerate(zip(starts, sizes, strict=True)):
        block = find(start, start + size) if find is not None and size else None
        near = start - stop <= max_gap(gap, size) and start + size - starts[first] <= longest
        small = max(size, sizes[slot - 1]) <= MAX_COALESCED_REQUEST
        if slot > first and not (block is held and (block is not None or (near and small))):
            yield slice(first, slot), starts[first], stop, held, useful
            first, stop, useful = slot, 0, 0
        held = block
        stop = max(stop, start + size)
        useful += size
    if len(starts):
        yield slice(first, None), starts[first], stop, held, useful


def prefetch_ranges(
    references: References,
    rows: npt.NDArray[np.int64],
    block: int,
    stores: Mapping[int, Store],
    unknown_gap: int = MIN_GAP,
) -> Iterator[tuple[int, int, int, int]]:
    """Merge the ranges of chunks to be read ahead, into at most `BLOCK`: target, start, stop, and bytes of chunks."""
    targets, starts, sizes = references.target[rows], references.offset[rows], references.size[rows]
    fit = (sizes > 0) & (sizes <= MAX_PREFETCHED) & (starts < _FAR)
    for target in distinct(targets[fit]).tolist():
        store = stores.get(target)
        farthest, longest = (unknown_gap, _UNKNOWN) if store is None else (store.gap, store.block)
        # A local file answers at once: what is large there is not worth being read, and copied, twice
        most = MAX_PREFETCHED if store is None else min(MAX_PREFETCHED, _BLOCKS * store.block)
        mine = fit & (targets == target) & (sizes <= most)
        if not mine.any():
            continue
        first, size = starts[mine].astype("i8"), sizes[mine].astype("i8")
        gap = max_gap(farthest, int(size.mean()))
        merged = coalesce(first, first + size, gap=gap, block=min(block, longest, BLOCK))
        used = np.bincount(np.searchsorted(merged[0], first, side="right") - 1, size)
        for start, stop, useful in zip(merged[0].tolist(), merged[1].tolist(), used.tolist(), strict=True):
            yield target, start, stop, int(useful)


def longest_of(size: int) -> int:
    """Return the bytes that merged requests may have where `size` bytes are wanted at a time."""
    return min(max(BLOCK, size // _WAYS), LONGEST)


def max_gap(gap: int, size: int) -> int:
    """Return the gap that is worth reading beside a range: what is read in vain stays less than what is wanted."""
    return min(gap, max(MIN_GAP, size // 2))


def _start(want: PendingRead) -> int:
    return want.start
