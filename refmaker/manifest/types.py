"""The types of attributes that JSON does not tell: `refmaker.types` of a manifest, and values brought back to them.

Contract: path of a group or array -> name of an attribute -> one of

- `i1` … `u8`, `f2` … `f8`: numbers of this numpy type. Not recorded where it is what Python makes of JSON: integers of
  64 bits, floats of 64 bits that are finite;
- for the empty name, which no attribute has, what an array is to xarray: `characters` are not joined along the last
  axis, since other variables of the file, which the manifest does not hold, use that dimension too.

A record is data, from anyone: what it says is checked when it is read, and a value that does not fit its type stays as
JSON has it. Where a manifest has no such record, as those of others, nothing is known of types.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import numpy as np

from refmaker.zarr.strict_json import malformed

__all__ = ["CHARACTERS", "restored", "type_records"]

CHARACTERS = "characters"

_NUMBERS = re.compile(r"[iu][1248]|f[248]")
_NOT_FINITE = {"NaN": np.nan, "Infinity": np.inf, "-Infinity": -np.inf}


def type_records(extension: Mapping[str, Any], source: str) -> dict[str, dict[str, str]] | None:
    """Return what `refmaker.types` says; None where it is not there.

    Raises
    ------
    ManifestError
        It is malformed.
    """
    records = extension.get("types")
    if records is None:
        return None
    for path, names in records.items() if isinstance(records, dict) else [("", records)]:
        if not isinstance(names, dict) or not all(_is_type(name, what) for name, what in names.items()):
            expected = "path of a node -> name of an attribute -> type"
            raise malformed(
                "bad member", structure="refmaker.types", expected=expected, got={path: names}, source=source
            )
    found: dict[str, dict[str, str]] = records
    return found


def _is_type(name: str, what: object) -> bool:
    return isinstance(what, str) and (_NUMBERS.fullmatch(what) is not None if name else what == CHARACTERS)


def restored(value: Any, kind: str | None) -> Any:
    """Return an attribute's value as netCDF4-python gives it: numbers as numpy has them, one element as a scalar.

    Parameters
    ----------
    value
        As JSON has it.
    kind
        Its recorded type; None where JSON tells it.
    """
    if isinstance(value, list) and len(value) == 1 and not isinstance(value[0], list | dict):
        return restored(value[0], kind)
    if isinstance(value, str | bool | dict) and kind is None:
        return value
    dtype = np.dtype(kind) if kind is not None else _natural(value)
    if dtype is None:
        return value
    try:
        array = np.array(_with_floats(value) if dtype.kind == "f" else value, dtype)
    except (TypeError, ValueError, OverflowError):
        return value
    return array if isinstance(value, list) else array[()]


def _natural(value: Any) -> np.dtype[Any] | None:
    """Return the dtype of numbers whose type is not recorded; None for what is none, or not in one shape."""
    numbers = np.array(value, object).ravel().tolist() if isinstance(value, list) and _is_even(value) else [value]
    kinds = set(map(type, numbers))
    return np.dtype("i8") if kinds == {int} else np.dtype("f8") if kinds == {float} else None


def _is_even(value: list[Any]) -> bool:
    """Return whether rows within a list have one length, all over."""
    rows = [row for row in value if isinstance(row, list)]
    if not rows:
        return True
    return len(rows) == len(value) and len(set(map(len, rows))) == 1 and all(map(_is_even, rows))


def _with_floats(value: Any) -> Any:
    """Spell numbers out that JSON has no form for: null is NaN, infinities are words."""
    if isinstance(value, list):
        return [_with_floats(one) for one in value]
    if value is None:
        return np.nan
    return _NOT_FINITE[value] if isinstance(value, str) and value in _NOT_FINITE else value
