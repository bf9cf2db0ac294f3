"""The memory datatype that makes libhdf5 hand over values as a numpy dtype lays them out.

Contract: every pair of file datatype and dtype is either exact or refused with `FormatError`; libhdf5 would clip an
integer that does not fit and round a float without a word. Strings come out null-padded, whatever their padding in the
file, and compounds by the names of their members.

h5py is imported when a type is built, not with the module.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from refmaker.codecs.exact import NATIVE_FLOATS, float_limits
from refmaker.errors import FormatError
from refmaker.zarr.dtype_json import AnyDtype

__all__ = ["memory_type"]

_WHAT = "HDF5 codec"
_INTEGER, _FLOAT, _TIME, _STRING, _BIT_FIELD, _OPAQUE, _COMPOUND, _REFERENCE, _ENUM, _VLEN, _ARRAY, _COMPLEX = range(12)
_IMPLIED = 0  # H5T_NORM_IMPLIED
_SIGNED = 1  # H5T_SGN_2


def memory_type(stored: Any, dtype: AnyDtype) -> Any:
    """Build the memory datatype.

    Parameters
    ----------
    stored
        `h5py.h5t.TypeID` of the file.
    dtype
        What the values have to become; its JSON form has been checked.

    Returns
    -------
    h5py.h5t.TypeID
        A datatype of exactly `dtype.itemsize` bytes.
    """
    kind = stored.get_class()
    build = _BUILDERS.get(kind)
    built = None if build is None else build(stored, dtype)
    if built is None:
        raise FormatError(
            "the dtype does not hold the values of the datatype", structure=_WHAT, expected=_describe(stored), got=dtype
        )
    if built.get_size() != dtype.itemsize:
        raise FormatError("size of the dtype", structure=_WHAT, expected=built.get_size(), got=dtype.itemsize)
    return built


def _describe(stored: Any) -> str:
    return f"class {stored.get_class()}, {stored.get_size()} bytes"


def _predefined(kind: str, stored: Any, dtype: AnyDtype, bits: int) -> Any | None:
    """Return libhdf5's predefined datatype of a kind and size, in the byte order of the file.

    libhdf5 merely swaps the bytes where size and offset are equal and the order is not, whatever the precision. Hence a
    dtype of another order is refused, but for numbers of which every bit counts: their bytes may be swapped.
    """
    from h5py import h5t

    order = "BE" if stored.get_order() == h5t.ORDER_BE else "LE"
    if dtype.itemsize > 1 and (dtype.str[0] == ">") != (order == "BE"):
        if kind == "STD_B" or stored.get_size() != dtype.itemsize or stored.get_precision() != bits:
            return None
        order = "LE" if order == "BE" else "BE"
    return getattr(h5t, f"{kind}{bits}{order}")


def _integer(stored: Any, dtype: AnyDtype) -> Any | None:
    signed = stored.get_sign() == _SIGNED
    if dtype.kind != ("i" if signed else "u") and not _is_bool(stored, dtype):
        return None
    if 8 * dtype.itemsize < stored.get_precision():
        return None
    return _predefined("STD_I" if signed else "STD_U", stored, dtype, 8 * dtype.itemsize)


def _is_bool(stored: Any, dtype: AnyDtype) -> bool:
    return dtype.kind == "b" and bool(stored.get_size() == 1)


def _enumeration(stored: Any, dtype: AnyDtype) -> Any | None:
    base = stored.get_super()
    return _integer(base, dtype) if base.get_class() == _INTEGER else None


def _bit_field(stored: Any, dtype: AnyDtype) -> Any | None:
    # h5py does not tell the precision, hence the whole size; libhdf5 converts bit fields to bit fields alone
    if dtype.kind != "u" or dtype.itemsize < stored.get_size():
        return None
    return _predefined("STD_B", stored, dtype, 8 * dtype.itemsize)


def _float(stored: Any, dtype: AnyDtype) -> Any | None:
    target = NATIVE_FLOATS.get(dtype.itemsize)
    if dtype.kind != "f" or target is None or stored.get_norm() != _IMPLIED:
        return None
    _, _, exponent_size, _, mantissa_size = stored.get_fields()
    if exponent_size > 15 or not float_limits(exponent_size, mantissa_size, stored.get_ebias()).within(target):
        return None
    return _predefined("IEEE_F", stored, dtype, 8 * dtype.itemsize)


def _string(stored: Any, dtype: AnyDtype) -> Any | None:
    from h5py import h5t

    if dtype.kind != "S" or stored.is_variable_str():
        return None
    built = h5t.C_S1.copy()
    built.set_size(stored.get_size())
    built.set_strpad(h5t.STR_NULLPAD)
    built.set_cset(stored.get_cset())
    return built


def _opaque(stored: Any, dtype: AnyDtype) -> Any | None:
    return stored.copy() if dtype.kind in "VMm" and dtype.fields is None and dtype.subdtype is None else None


def _complex(stored: Any, dtype: AnyDtype) -> Any | None:
    if dtype.kind != "c" or _float(stored.get_super(), _part(dtype)) is None:
        return None
    return _predefined("COMPLEX_IEEE_F", stored.get_super(), dtype, 4 * dtype.itemsize)


def _part(dtype: AnyDtype) -> AnyDtype:
    """Return the dtype of the real part of a complex dtype."""
    return np.dtype(f"{dtype.str[0]}f{dtype.itemsize // 2}")


def _array(stored: Any, dtype: AnyDtype) -> Any | None:
    from h5py import h5t

    if dtype.subdtype is None:
        return None
    base, shape = dtype.subdtype
    own = tuple(stored.get_array_dims())
    if shape[: len(own)] != own:
        return None
    # an array of arrays may have its extents in one shape
    inner = base if len(shape) == len(own) else np.dtype((base, shape[len(own) :]))
    return h5t.array_create(memory_type(stored.get_super(), inner), own)


def _compound(stored: Any, dtype: AnyDtype) -> Any | None:
    from h5py import h5t

    count = stored.get_nmembers()
    if dtype.kind == "c":
        if count != 2 or stored.get_member_offset(0) >= stored.get_member_offset(1):
            return None
        part = _part(dtype)
        fields = [(stored.get_member_name(i), i, part, i * part.itemsize) for i in range(2)]
        if any(stored.get_member_class(i) != _FLOAT for i in range(2)):
            return None
    elif dtype.fields is not None:
        found = {stored.get_member_name(i): i for i in range(count)}
        names = [(name.encode("utf-8", "surrogateescape"), name) for name in dtype.names or ()]
        if any(key not in found for key, _ in names):
            return None
        fields = [(key, found[key], dtype.fields[name][0], dtype.fields[name][1]) for key, name in names]
    else:
        return None
    built = h5t.create(h5t.COMPOUND, dtype.itemsize)
    for key, index, part, offset in fields:
        built.insert(key, offset, memory_type(stored.get_member_type(index), part))
    return built


_BUILDERS: dict[int, Callable[[Any, AnyDtype], Any | None]] = {
    _INTEGER: _integer,
    _FLOAT: _float,
    _STRING: _string,
    _BIT_FIELD: _bit_field,
    _OPAQUE: _opaque,
    _COMPOUND: _compound,
    _ENUM: _enumeration,
    _ARRAY: _array,
    _COMPLEX: _complex,
}
