"""Byte ranges as arrays: unite, subtract, bridge gaps, split. Pure, numpy over whole arrays.

Contract: ranges are int64 arrays `starts` and `stops` of one length, `stop` exclusive. What is given may be in any
order and overlap, unless said otherwise; what comes out is sorted, disjoint, and has no empty range.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["Ints", "merge_gaps", "coalesce", "distinct", "split", "difference", "union"]

Ints = npt.NDArray[np.int64]


def distinct(values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return the values that there are, each once, sorted; `numpy.unique` imports `numpy.ma` at first."""
    if not len(values) or values.min() == values.max():
        return values[:1].copy()
    values = np.sort(values)
    first: npt.NDArray[Any] = values[np.append(True, values[1:] != values[:-1])]
    return first


def union(starts: Ints, stops: Ints) -> tuple[Ints, Ints]:
    """Merge ranges that overlap or touch."""
    some = stops > starts
    starts, stops = starts[some], stops[some]
    if len(starts) < 2:
        return starts, stops
    order = np.argsort(starts, kind="stable")
    starts, stops = starts[order], np.maximum.accumulate(stops[order])
    apart = starts[1:] > stops[:-1]
    return starts[np.append(True, apart)], stops[np.append(apart, True)]


def difference(starts: Ints, stops: Ints, less_starts: Ints, less_stops: Ints) -> tuple[Ints, Ints]:
    """Return what is in the first ranges and not in the second."""
    starts, stops = union(starts, stops)
    less_starts, less_stops = union(less_starts, less_stops)
    if len(starts) == 0 or len(less_starts) == 0:
        return starts, stops
    points = np.concatenate([starts, stops, less_starts, less_stops])
    order = np.argsort(points, kind="stable")
    points = points[order]
    inside = np.repeat(np.array([1, -1, 0, 0]), [len(starts)] * 2 + [len(less_starts)] * 2)[order].cumsum()
    without = np.repeat(np.array([0, 0, 1, -1]), [len(starts)] * 2 + [len(less_starts)] * 2)[order].cumsum()
    left = np.flatnonzero((inside[:-1] > 0) & (without[:-1] == 0))
    return union(points[left], points[left + 1])


def merge_gaps(starts: Ints, stops: Ints, *, gap: int, budget: int) -> tuple[Ints, Ints]:
    """Merge ranges across the gaps between them, the shortest first.

    Parameters
    ----------
    starts, stops
        Sorted and disjoint.
    gap
        No longer gap is bridged, bytes.
    budget
        Bytes that all bridged gaps may have together.
    """
    if len(starts) < 2:
        return starts, stops
    gaps = starts[1:] - stops[:-1]
    order = np.argsort(gaps, kind="stable")
    bridged = np.zeros(len(gaps), bool)
    bridged[order] = (gaps[order] <= gap) & (np.cumsum(gaps[order]) <= budget)
    return starts[np.append(True, ~bridged)], stops[np.append(~bridged, True)]


def split(starts: Ints, stops: Ints, block: int) -> tuple[Ints, Ints]:
    """Cut ranges, sorted and disjoint, into pieces of at most `block` bytes."""
    count = -(-(stops - starts) // block)
    within = np.arange(int(count.sum()), dtype="i8") - np.repeat(np.cumsum(count) - count, count)
    first = np.repeat(starts, count) + within * block
    return first, np.minimum(first + block, np.repeat(stops, count))


def coalesce(starts: Ints, stops: Ints, *, gap: int, block: int) -> tuple[Ints, Ints]:
    """Merge ranges that lie within `gap` bytes of each other, as long as a merged range stays within `block` bytes.

    No range is cut: a single one longer than `block` stays whole, and what is merged may overlap its neighbour where
    the given ranges do.
    """
    some = stops > starts
    starts, stops = starts[some], stops[some]
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
                merged_stops.append(int(stops[i - 1]))
                begin = int(starts[i])
        merged_starts.append(begin)
        merged_stops.append(int(stops[last - 1]))
    return np.array(merged_starts, "i8"), np.array(merged_stops, "i8")
