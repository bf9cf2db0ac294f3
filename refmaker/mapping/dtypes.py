"""HDF5 datatypes as Zarr dtypes.

Contract: `zarr_dtype` gives a dtype whose elements are the stored bytes as they are, or as `ZarrDtype.stored` says they
have to be repacked, or what libhdf5 makes of them (`ZarrDtype.target`); anything that Zarr cannot hold exactly raises
`Unsupported` with the reason.

- Zarr 2 structured dtypes hold scalar members one behind the other: zarr-python 3 reads neither nested nor array
  members, and h5py and its like show no padding, so that padded compounds are repacked. So are those with big-endian
  members: xarray opens none, and Zarr 3 has one byte order for all members.
- Opaque data with a tag of h5py's (`NUMPY:<M8[s]`, see `h5py.opaque_dtype`) are what NumPy makes of the tag.
"""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from typing import Any

import numpy as np

from refmaker.codecs.exact import widened
from refmaker.conventions.names import is_utf8
from refmaker.errors import Unsupported
from refmaker.hdf5.values import is_bool, natural_dtype
from refmaker.model import (
    ArrayType,
    BitField,
    Compound,
    Datatype,
    Enumeration,
    FloatingPoint,
    Member,
    ObjectReference,
    Opaque,
    RegionReference,
    String,
    Time,
    VariableLength,
)
from refmaker.zarr.dtype_json import dtype_of_text
from refmaker.zarr.zarr_dtype import ZarrDtype

__all__ = ["cannot_be_swapped", "complex_parts", "zarr_dtype"]

_NUMPY_TAG = "NUMPY:"
_COMPLEX_NAMES = ({"r", "i"}, {"real", "imag"})


@lru_cache(4096)
def zarr_dtype(datatype: Datatype) -> ZarrDtype:
    """Return the Zarr dtype of an HDF5 datatype.

    Raises
    ------
    Unsupported
        Zarr has no such dtype.
    """
    match datatype:
        case Enumeration() if is_bool(datatype):
            return ZarrDtype(np.dtype("?"))
        case Opaque(tag=tag) if tag.startswith(_NUMPY_TAG):
            return _tagged(datatype)
        case Compound():
            return _compound(datatype)
        case ArrayType(base, shape):
            inner = zarr_dtype(base)
            target = None if inner.target is None else np.dtype((inner.target, shape))
            return replace(inner, extra=shape + inner.extra, target=target)
        case String(size=size, padding=0) if size > 1:
            return ZarrDtype(np.dtype(f"S{size}"), terminated=((0, size),))
        case VariableLength(is_string=True):
            return ZarrDtype(np.dtype(object), text=True)
        case ObjectReference():
            return ZarrDtype(np.dtype(object), text=True)
        case VariableLength():
            return _sequence(datatype)
        case RegionReference():
            raise Unsupported("region references have no form in Zarr")
        case Time():
            raise Unsupported("the datatype class 'time' has no defined meaning")
    try:
        dtype = natural_dtype(datatype)
    except Unsupported as refusal:
        return _converted(datatype, refusal)
    if dtype.itemsize == 0:
        raise Unsupported("elements of size 0")
    return ZarrDtype(dtype)


def _tagged(datatype: Opaque) -> ZarrDtype:
    """Return the dtype that h5py reads opaque data as: that of the tag, of the same size."""
    refused = Unsupported(f"opaque data of {datatype.size} bytes with the tag {datatype.tag[:80]!r}")
    try:
        dtype = dtype_of_text(datatype.tag.removeprefix(_NUMPY_TAG))
    except (TypeError, ValueError) as error:
        raise refused from error
    plain = dtype.names is None and dtype.subdtype is None and dtype.kind in "biufcSUVmM"
    if not plain or dtype.itemsize != datatype.size or (dtype.kind in "fc" and dtype.name not in _FLOATS):
        raise refused
    return ZarrDtype(dtype, memory=np.dtype(f"V{datatype.size}"))


_FLOATS = frozenset({"float16", "float32", "float64", "complex64", "complex128"})


def _sequence(datatype: VariableLength) -> ZarrDtype:
    """Return the dtype of variable-length sequences."""
    base: Datatype = datatype
    depth = 0
    while isinstance(base, VariableLength) and not base.is_string:
        base, depth = base.base, depth + 1
    reason = None if isinstance(base, String) else _unfit(base)
    if reason is not None:
        raise Unsupported(f"variable-length sequences of {reason} have no form in Zarr")
    items = natural_dtype(base)
    terminated = ((0, base.size),) if isinstance(base, String) and base.padding == 0 else ()
    if items.base.str.startswith(">"):
        raise Unsupported("variable-length sequences of big-endian numbers: h5py misreads them, nothing to verify by")
    if isinstance(base, Enumeration) and is_bool(base):
        items = np.dtype("?")
    return ZarrDtype(np.dtype(object), text=True, items=items, depth=depth, terminated=terminated)


def _unfit(base: Datatype) -> str | None:
    """Return what makes a datatype no item of a sequence: its stored bytes are not what is shown."""
    match base:
        case VariableLength():
            return "strings"
        case ObjectReference() | RegionReference():
            return "references"
        case String(padding=0, size=size) if size > 1:
            return "null-terminated strings"
        case Opaque(tag=tag) if tag.startswith(_NUMPY_TAG):
            return f"opaque data with the tag {tag[:80]!r}"
        case ArrayType(base=inner):
            return _unfit(inner)
        case Compound() if not all(is_utf8(member.name) for member in base.members):
            return "compounds whose members have names that are not valid UTF-8"
        case Compound():
            return next((why for member in base.members if (why := _unfit(member.datatype)) is not None), None)
    return None


def _converted(datatype: Datatype, refusal: Unsupported) -> ZarrDtype:
    """Return the dtype that libhdf5 can convert to without loss."""
    try:
        dtype = widened(datatype)
    except Unsupported as error:
        raise Unsupported(f"{refusal.message}: {error}") from None
    return ZarrDtype(dtype, target=dtype)


def _compound(datatype: Compound) -> ZarrDtype:
    parts = complex_parts(datatype)
    if parts is not None:
        return ZarrDtype(parts)
    names = [member.name for member in datatype.members]
    unfit = next((name for name in names if not is_utf8(name)), None)
    if unfit is not None:
        raise Unsupported(f"member {unfit!r}: the name is not valid UTF-8")
    if not names or len(set(names)) != len(names) or "" in names:
        raise Unsupported("compound without members, or with members of one name")
    members = [_scalar(member) for member in datatype.members]
    packed = np.dtype([(name, _little(one.dtype)) for name, one in zip(names, members, strict=True)])
    memory = np.dtype([(name, _little(one.given)) for name, one in zip(names, members, strict=True)])
    if any(one.target is not None for one in members):
        return ZarrDtype(packed, target=memory)
    terminated = tuple(
        (int(packed.fields[m.name][1]), m.datatype.size)
        for m in datatype.members
        if packed.fields is not None and zarr_dtype(m.datatype).terminated
    )
    formats, offsets = [one.dtype for one in members], [member.offset for member in datatype.members]
    stored = np.dtype({"names": names, "formats": formats, "offsets": offsets, "itemsize": datatype.size})
    return ZarrDtype(
        packed,
        stored=None if stored == packed else stored,
        terminated=terminated,
        memory=None if memory == packed else memory,
    )


def _scalar(member: Member) -> ZarrDtype:
    """Return the dtype of a member of a structured dtype."""
    inner = zarr_dtype(member.datatype)
    if inner.text:
        raise Unsupported(f"compound with a variable-length or reference member, {member.name!r}")
    if inner.extra or inner.dtype.names:
        kind = "an array" if inner.extra else "a compound"
        raise Unsupported(f"compound whose member {member.name!r} is {kind}: Zarr readers take scalar members only")
    if cannot_be_swapped(member.datatype):
        raise Unsupported(f"compound whose member {member.name!r} is big-endian, and is not converted to little-endian")
    return inner


def _little(dtype: np.dtype[Any]) -> np.dtype[Any]:
    return dtype.newbyteorder("<") if dtype.str[0] == ">" else dtype


def cannot_be_swapped(datatype: Datatype) -> bool:
    """Return whether a number is big-endian, and libhdf5 does not exactly convert it to little-endian."""
    match datatype:
        case Opaque() | BitField():
            return zarr_dtype(datatype).dtype.str[0] == ">"
        case Enumeration(base=base):
            return cannot_be_swapped(base)
        case _:
            inner = zarr_dtype(datatype)
            return inner.target is not None and inner.dtype.str[0] == ">"


def complex_parts(datatype: Compound) -> np.dtype[Any] | None:
    """Return the complex dtype of a compound of real and imaginary part, in this order and without padding."""
    if len(datatype.members) != 2:
        return None
    real, imag = datatype.members
    base = real.datatype
    fits = (
        {real.name, imag.name} in _COMPLEX_NAMES
        and real.name in ("r", "real")
        and isinstance(base, FloatingPoint)
        and base == imag.datatype
        and base.size in (4, 8)
        and (real.offset, imag.offset, datatype.size) == (0, base.size, 2 * base.size)
    )
    if not fits:
        return None
    part = natural_dtype(base)
    return np.dtype(f"{part.str[0]}c{datatype.size}")
