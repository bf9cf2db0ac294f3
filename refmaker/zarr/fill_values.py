"""Fill values as Zarr metadata write them, and as xarray reads them from attributes.

Contract: exact for every value that the data type can hold. Source: Zarr 2 and 3 specifications, xarray's
`FillValueCoder`.
"""

from __future__ import annotations

import base64
import math
import struct
from typing import Any

import numpy as np

from refmaker.model import JSON

__all__ = ["encode_fill", "is_plain", "xarray_fill", "xarray_unfill"]


def _only(values: np.ndarray) -> np.generic:
    value: np.generic = values[0]
    return value


def is_plain(value: np.generic) -> bool:
    """Return whether JSON has a form for a value that xarray reads back as what it was."""
    if value.dtype.kind in "iub":
        return True
    return value.dtype.kind == "f" and bool(np.isfinite(value))


def encode_fill(value: np.generic, dtype: np.dtype[Any]) -> JSON:
    """Write a fill value as Zarr 2 and Zarr 3 have it: numbers, "NaN", "Infinity", pairs, base64 for bytes."""
    kind = dtype.kind
    if kind == "f":
        return _encode_float(float(value.item()))
    if kind in "iu":
        return int(value.item())
    if kind == "b":
        return bool(value)
    if kind == "c":
        number = complex(value.item())
        return [_encode_float(number.real), _encode_float(number.imag)]
    if kind == "U":
        return str(value)
    whole = np.array(value, dtype)
    if kind in "mM":
        return int(whole.view("i8" if dtype.isnative else np.dtype("i8").newbyteorder(dtype.byteorder)))
    return base64.b64encode(whole.tobytes()).decode()


def _encode_float(value: float) -> JSON:
    if math.isfinite(value):
        return value
    if math.isnan(value):
        return "NaN"
    return "Infinity" if value > 0 else "-Infinity"


def xarray_fill(value: np.generic) -> JSON:
    """Encode `_FillValue` for Zarr 3 as `xarray.backends.zarr.FillValueCoder` decodes it."""
    kind = value.dtype.kind
    if kind == "f":
        return _packed(float(value.item()))
    if kind == "c":
        number = complex(value.item())
        return [_packed(number.real), _packed(number.imag)]
    return bool(value) if kind == "b" else int(value.item())


def _packed(value: float) -> str:
    return base64.standard_b64encode(struct.pack("<d", value)).decode()


def xarray_unfill(value: Any, dtype: np.dtype[Any]) -> np.generic:
    """Read what `xarray_fill` writes, for an array of `dtype`; a `TypeError` or `ValueError` where it is not that."""
    kind = dtype.kind
    if kind == "f":
        return _only(np.array([_unpacked(value)]).astype(dtype))
    if kind == "c":
        real, imaginary = map(_unpacked, value)
        return _only(np.array([complex(real, imaginary)]).astype(dtype))
    if type(value) not in (bool, int):
        raise TypeError(f"not a number: {value!r}")
    return _only(np.array([value], dtype))


def _unpacked(value: str) -> float:
    (number,) = struct.unpack("<d", base64.standard_b64decode(value))
    return float(number)
