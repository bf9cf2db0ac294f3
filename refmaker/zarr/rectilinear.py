"""Rectilinear chunk grids: chunks of different lengths along an axis.

Contract: pure functions over JSON that may come from anywhere. Runs are counted before they are expanded. Source:
zarr-extensions, chunk-grids/rectilinear: an axis is one length, or a list of lengths and of runs `[length, count]`; the
last chunk may reach beyond the array, and is encoded as a whole all the same.

    {"name": "rectilinear", "configuration": {"kind": "inline", "chunk_shapes": [[31, 28, [31, 2]], [4, 3]]}}
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from refmaker import limits

__all__ = ["Lengths", "lengths_of_axis", "rectilinear_grid"]

Lengths: TypeAlias = npt.NDArray[np.int64]
"""Lengths of the chunks along an axis, in their order."""

_LONGEST = 2**62


def lengths_of_axis(stated: object, extent: int | None) -> Lengths:
    """Return the lengths of the chunks of an axis, those left out that begin behind its end.

    Parameters
    ----------
    stated
        Member of `chunk_shapes`.
    extent
        Of the axis; None where it is not known: then all chunks count.

    Raises
    ------
    ValueError
        It is none, or its chunks do not cover the axis.
    """
    if type(stated) is int:
        count = -(-(extent or 0) // stated) if stated > 0 else 0
        runs = [(stated, max(count, 1))]
    elif isinstance(stated, list | tuple) and stated and len(stated) <= limits.AXIS_CHUNKS:
        runs = [(one, 1) if type(one) is int else _run(one) for one in stated]
    else:
        raise ValueError("a length, or a list of lengths and runs")
    if any(length < 1 or count < 1 for length, count in runs):
        raise ValueError("lengths and counts of at least 1")
    if sum(count for _, count in runs) > limits.AXIS_CHUNKS:
        raise ValueError(f"at most {limits.AXIS_CHUNKS} chunks along an axis")
    total = sum(length * count for length, count in runs)
    if not (extent or 0) <= total < _LONGEST:
        raise ValueError(f"lengths that add up to {extent} at least")
    lengths = np.repeat([length for length, _ in runs], [count for _, count in runs]).astype("i8")
    if extent is None:
        return lengths
    # A chunk belongs to the array if it begins before its end.
    return lengths[: int(np.searchsorted(np.cumsum(lengths) - lengths, extent, side="left"))]


def _run(stated: object) -> tuple[int, int]:
    if isinstance(stated, list | tuple) and len(stated) == 2 and all(type(one) is int for one in stated):
        return stated[0], stated[1]
    raise ValueError("runs of [length, count]")


def rectilinear_grid(lengths: Sequence[Lengths]) -> dict[str, Any]:
    """Return a rectilinear chunk grid as Zarr 3 has it: a list for every axis, in which runs are one member.

    Examples
    --------
    >>> rectilinear_grid([np.array([31, 28, 31, 31]), np.array([4])])["configuration"]["chunk_shapes"]
    [[31, 28, [31, 2]], [4]]
    """
    return {
        "name": "rectilinear",
        "configuration": {"kind": "inline", "chunk_shapes": [_as_runs(axis) for axis in lengths]},
    }


def _as_runs(lengths: Lengths) -> list[int | list[int]]:
    if not len(lengths):
        return [1]  # an axis without rows has a list all the same, and that must not be empty
    bounds = [0, *(np.flatnonzero(np.diff(lengths)) + 1).tolist(), len(lengths)]
    runs = [(int(lengths[start]), stop - start) for start, stop in pairwise(bounds)]
    return [length if count == 1 else [length, count] for length, count in runs]
