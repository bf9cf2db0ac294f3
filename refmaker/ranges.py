"""Byte ranges as arrays: coalesce what lies close together, pages that ranges touch. Pure, numpy over whole arrays."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

__all__ = ["coalesce", "pages_of"]

Ints = npt.NDArray[np.int64]


def coalesce(starts: Ints, stops: Ints, *, gap: int, block: int) -> tuple[Ints, Ints]:
    """Merge ranges that lie within `gap` bytes of each other, as long as a merged range stays within `block` bytes.

    Parameters
    ----------
    starts, stops : int64[n]
        Ranges in any order; they may overlap. A single range longer than `block` stays whole.

    Returns
    -------
    starts, stops : int64[m]
        Sorted ranges that together cover the given ones.
    """
    if len(starts) == 0:
        return starts, stops
    order = np.argsort(starts, kind="stable")
    starts, stops = starts[order], np.maximum.accumulate(stops[order])
    apart = np.flatnonzero(starts[1:] - stops[:-1] > gap) + 1
    merged_starts, merged_stops = [], []
    for first, last in zip(np.append(0, apart).tolist(), np.append(apart, len(starts)).tolist(), strict=True):
        begin = int(starts[first])
        for i in range(first, last):
            if int(stops[i]) - begin > block and begin < int(starts[i]):
                merged_starts.append(begin)
                merged_stops.append(max(int(stops[i - 1]), begin))
                begin = int(starts[i])
        merged_starts.append(begin)
        merged_stops.append(int(stops[last - 1]))
    return np.array(merged_starts, "i8"), np.array(merged_stops, "i8")


def pages_of(addresses: Ints, sizes: Ints, page_bits: int) -> Ints:
    """Give the numbers, sorted and each once, of the pages of `2**page_bits` bytes that ranges touch."""
    if len(addresses) == 0:
        return np.empty(0, "i8")
    first = addresses >> page_bits
    count = (np.maximum(addresses + sizes, addresses + 1) - 1 >> page_bits) - first + 1
    total = int(count.sum())
    within = np.arange(total, dtype="i8") - np.repeat(np.cumsum(count) - count, count)
    return np.unique(np.repeat(first, count) + within)
