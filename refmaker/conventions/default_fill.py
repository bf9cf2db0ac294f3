"""What netCDF-C fills with where nobody named a fill value.

Contract: a variable shorter than its unlimited dimension is filled up by netCDF-C, not by libhdf5: with the fill value
of its creation properties, else with the default of its type (netcdf.h, NC_FILL_*; `nc4_get_fill_value`). Types that
netCDF-C does not know as atomic ones have no default.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np

__all__ = ["default_fill"]

_FLOAT: Final = 9.9692099683868690e36
_DEFAULTS: Final[dict[tuple[str, int], int | float]] = {
    ("i", 1): -127,
    ("u", 1): 255,
    ("i", 2): -32767,
    ("u", 2): 65535,
    ("i", 4): -2147483647,
    ("u", 4): 4294967295,
    ("i", 8): -9223372036854775806,
    ("u", 8): 18446744073709551614,
    ("f", 4): _FLOAT,
    ("f", 8): _FLOAT,
}


def default_fill(dtype: np.dtype[Any]) -> np.ndarray | None:
    """Return the default fill value of a type as an array without axes; None for a type that has none, or zero."""
    value = _DEFAULTS.get((dtype.kind, dtype.itemsize))
    return None if value is None else np.array(value, dtype)
