"""Extents of arrays: chunk grids, and how long a dimension may be.

Contract: pure arithmetic. What readers of Zarr would count wrongly is refused.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from refmaker.errors import Unsupported

__all__ = ["check_extents", "grid_of"]

_MOST_ELEMENTS = 1 << 63

_LONGEST = 1 << 53
"""zarr-python divides extents as floats: beyond, it looks for other chunks, and gives memory as it is for values."""


def check_extents(shape: tuple[int, ...]) -> None:
    """Raise `Unsupported` for an array that readers of Zarr cannot count the elements of."""
    if math.prod(shape) >= _MOST_ELEMENTS:
        raise Unsupported("more elements than readers of Zarr can count", expected=f"< {_MOST_ELEMENTS}", got=shape)
    if max(shape, default=0) > _LONGEST:
        raise Unsupported("longer than readers of Zarr can count exactly", expected=f"<= {_LONGEST}", got=shape)


def grid_of(shape: Sequence[int], chunks: Sequence[int]) -> tuple[int, ...]:
    """Return the number of chunks along each axis."""
    return tuple(-(-extent // chunk) for extent, chunk in zip(shape, chunks, strict=True))
