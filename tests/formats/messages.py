"""GRIB messages, made by eccodes from its samples."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import eccodes
import numpy as np

__all__ = ["message", "sections", "values_of"]


def message(
    sample: str = "regular_ll_pl_grib2",
    values: Callable[[int], np.ndarray] | None = None,
    after: Mapping[str, Any] | None = None,
    **keys: Any,
) -> bytes:
    """Make a message.

    Parameters
    ----------
    values
        Gives so many values.
    keys, after
        Set before and after the values are.
    """
    handle = eccodes.codes_grib_new_from_samples(sample)
    try:
        for key, value in keys.items():
            eccodes.codes_set(handle, key, value)
        count = eccodes.codes_get_size(handle, "values")
        data = np.linspace(200, 300, count) if values is None else values(count)
        eccodes.codes_set_values(handle, np.asarray(data, float))
        for key, value in (after or {}).items():
            eccodes.codes_set(handle, key, value)
        made: bytes = eccodes.codes_get_message(handle)
        return made
    finally:
        eccodes.codes_release(handle)


def sections(data: bytes) -> list[bytes]:
    """Return the sections of a message between the first and the last."""
    position, found = 16, []
    while data[position : position + 4] != b"7777":
        length = int.from_bytes(data[position : position + 4], "big")
        found.append(data[position : position + length])
        position += length
    return found


def values_of(data: bytes, missing: float = -1e300) -> np.ndarray:
    """Decode a message, missing values as NaN."""
    handle = eccodes.codes_new_from_message(data)
    try:
        eccodes.codes_set(handle, "missingValue", missing)
        found: np.ndarray = eccodes.codes_get_array(handle, "values")
        shape = eccodes.codes_get(handle, "Ny"), eccodes.codes_get(handle, "Nx")
    finally:
        eccodes.codes_release(handle)
    return np.where(found == missing, np.nan, found).reshape(shape)
