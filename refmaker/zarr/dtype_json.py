"""The JSON form of a numpy dtype in a codec configuration.

Contract: pure, strict. A string (`"<i4"`, `"|S3"`, `"<M8[ns]"`), a list of fields as Zarr version 2 metadata spell it
(`[["a", "<i4"], ["b", "<f4", [2]]]`), always packed, or an object for elements that are arrays (`{"base": "<f4",
"shape": [2, 3]}`). The configuration comes from a manifest, so everything is checked before numpy sees it.
"""

from __future__ import annotations

import re
from typing import Any, TypeAlias

import numpy as np

from refmaker import limits
from refmaker.errors import ManifestError

__all__ = ["AnyDtype", "DtypeJson", "MAX_ITEM_SIZE", "dtype_of_text", "dtype_to_json", "parse_dtype"]

AnyDtype: TypeAlias = np.dtype[Any]
DtypeJson: TypeAlias = str | list[Any] | dict[str, Any]

MAX_DEPTH = limits.DTYPE_DEPTH
MAX_FIELDS = 0xFFFF
MAX_EXTENTS = 64  # numpy's
MAX_ITEM_SIZE = limits.ITEM_SIZE  # numpy's

_SCALAR = re.compile(r"[<>|](b1|[iu][1248]|f[248]|c(8|16)|[SV][0-9]{1,10}|[Mm]8(\[[0-9]{0,9}[a-zA-Z]{1,2}\])?)")
_NAME = re.compile(r"[<>|=]?[A-Za-z?][A-Za-z0-9_]{0,20}(\[[0-9]{0,9}[A-Za-z]{1,2}\])?")
_WHAT = "HDF5 codec dtype"


def dtype_to_json(dtype: AnyDtype) -> DtypeJson:
    """Return the JSON form of a dtype; padding and titles are not kept."""
    if dtype.subdtype is not None:
        base, shape = dtype.subdtype
        return {"base": dtype_to_json(base), "shape": list(shape)}
    if dtype.fields is None:
        return dtype.str
    return [_field_to_json(name, dtype.fields[name][0]) for name in dtype.names or ()]


def _field_to_json(name: str, dtype: AnyDtype) -> list[Any]:
    if dtype.subdtype is None:
        return [name, dtype_to_json(dtype)]
    base, shape = dtype.subdtype
    return [name, dtype_to_json(base), list(shape)]


def parse_dtype(value: object) -> AnyDtype:
    """Build the dtype of a JSON form.

    Raises
    ------
    ManifestError
        For anything that is not a JSON form as above.
    """
    return _parse(value, 0)


def dtype_of_text(text: object) -> AnyDtype:
    """Return the dtype that Zarr metadata name. numpy takes more for names than they can mean, and evaluates some.

    Raises
    ------
    ValueError, TypeError
        It is none.
    """
    if not isinstance(text, str) or not _NAME.fullmatch(text):
        raise ValueError(f"no name of a dtype: {str(text)[:80]!r}")
    return np.dtype(text)


def _wrong(what: str, got: object) -> ManifestError:
    return ManifestError(what, structure=_WHAT, got=repr(got)[:80])


def _parse(value: object, depth: int) -> AnyDtype:
    if depth > MAX_DEPTH:
        raise ManifestError("nested too deep", structure=_WHAT, expected=f"<= {MAX_DEPTH} levels", got=depth)
    if isinstance(value, str):
        return _parse_scalar(value)
    if isinstance(value, dict):
        if set(value) != {"base", "shape"}:
            raise _wrong("members of a subarray", sorted(map(str, value)))
        return _subarray(_parse(value["base"], depth + 1), value["shape"])
    if not isinstance(value, list) or not 1 <= len(value) <= MAX_FIELDS:
        raise _wrong("neither string, fields nor subarray", value)
    return _structure([_parse_field(field, depth + 1) for field in value])


def _parse_scalar(text: str) -> AnyDtype:
    if not _SCALAR.fullmatch(text):
        raise _wrong("unknown", text)
    try:
        dtype = np.dtype(text)
    except (TypeError, ValueError) as error:
        raise _wrong("unknown", text) from error
    if not 1 <= dtype.itemsize <= MAX_ITEM_SIZE:
        raise _wrong("size", text)
    return dtype


def _parse_field(field: object, depth: int) -> tuple[str, AnyDtype]:
    if not isinstance(field, list) or not 2 <= len(field) <= 3 or not isinstance(field[0], str) or not field[0]:
        raise _wrong("field", field)
    dtype = _parse(field[1], depth)
    return field[0], dtype if len(field) == 2 else _subarray(dtype, field[2])


def _subarray(base: AnyDtype, shape: object) -> AnyDtype:
    if not isinstance(shape, list) or not 1 <= len(shape) <= MAX_EXTENTS:
        raise _wrong("shape of a subarray", shape)
    size = base.itemsize
    for extent in shape:
        if type(extent) is not int or extent < 1:
            raise _wrong("shape of a subarray", shape)
        size *= extent
        if size > MAX_ITEM_SIZE:
            raise _wrong("size of a subarray", shape)
    return np.dtype((base, tuple(shape)))


def _structure(fields: list[tuple[str, AnyDtype]]) -> AnyDtype:
    if sum(dtype.itemsize for _, dtype in fields) > MAX_ITEM_SIZE:
        raise _wrong("size of a structure", len(fields))
    try:
        return np.dtype(fields)
    except ValueError as error:  # the same name twice
        raise _wrong("names of fields", [name for name, _ in fields]) from error
