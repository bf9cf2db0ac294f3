"""Chunk shapes of arrays that are stored as one block.

Contract: pure. A block is cut between whole rows, into parts that Zarr can address: all of one length.
"""

from __future__ import annotations

import math

import numpy as np

__all__ = ["largest_divisor", "split_rows", "whole"]

# A contiguous block is not split into pieces smaller than this part of what is asked for.
_SMALLEST_PART = 64


def split_rows(shape: tuple[int, ...], item: int, limit: int) -> tuple[int, ...]:
    """Choose a chunk shape for a contiguous array: whole rows of the first axis that is too long, up to `limit` bytes.

    Zarr wants the last chunk as long as the others, so that only a divisor of the extent will do. Where all of them
    make pieces that are too small, the block stays whole along that axis.
    """
    chunks = list(whole(shape))
    for axis in range(len(chunks)):
        inner = item * math.prod(chunks[axis + 1 :])
        if inner * chunks[axis] <= limit:
            break
        if inner >= limit:
            chunks[axis] = 1
            continue
        rows = largest_divisor(chunks[axis], limit // inner)
        if rows * inner * _SMALLEST_PART >= limit:
            chunks[axis] = rows
        break
    return tuple(chunks)


def largest_divisor(extent: int, limit: int) -> int:
    """Return the largest divisor of `extent` up to `limit`, looked for among those that have a factor below 2**16."""
    factors = np.arange(1, min(math.isqrt(extent), 1 << 16) + 1)
    small = factors[extent % factors == 0].tolist()
    return max((d for f in small for d in (f, extent // f) if d <= limit), default=1)


def whole(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Return a chunk shape that covers all, an empty axis with one element."""
    return tuple(max(extent, 1) for extent in shape)
