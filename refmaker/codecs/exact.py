"""Which numpy dtype holds every value of an HDF5 datatype.

Contract: pure. A dtype is given only if libhdf5 converts each value into it without loss; else `Unsupported` says why
not. Integers and bit fields keep signedness and byte order and take the next native size; floats that are not IEEE
ones become float32 or, where that is too small, float64; compounds are packed. The rule for floats is arithmetic on
the bit fields; that libhdf5 converts by it is held by tests over all bit patterns. NaN stays NaN, its payload may
change.

libhdf5 reads the largest exponent of every float format as infinity and NaN. That is what IEEE, bfloat16 and FP8 E5M2
mean by it, but not the "fn" variant of FP8 E4M3, which HDF5 has no way to state.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from refmaker.errors import Unsupported
from refmaker.model import (
    ArrayType,
    BitField,
    Complex,
    Compound,
    Datatype,
    Enumeration,
    FixedPoint,
    FloatingPoint,
    ObjectReference,
    Opaque,
    RegionReference,
    String,
    Time,
    VariableLength,
)
from refmaker.zarr.dtype_json import MAX_ITEM_SIZE, AnyDtype, DtypeJson, dtype_to_json

__all__ = ["FloatLimits", "float_limits", "supports", "widened"]

_WHAT = "datatype"
_COMPLEX_NAMES = (("r", "i"), ("real", "imag"))
_IMPLIED = 2  # mantissa normalization


@dataclass(frozen=True, slots=True)
class FloatLimits:
    """What decides whether a float format fits into another.

    `bits` is the mantissa with its implied bit, `lowest` the exponent of the last bit of the smallest number, `highest`
    the exponent of the largest number.
    """

    bits: int
    lowest: int
    highest: int

    def within(self, other: FloatLimits) -> bool:
        """Return whether every number of this format is one of `other`."""
        return self.bits <= other.bits and self.lowest >= other.lowest and self.highest <= other.highest


def float_limits(exponent_size: int, mantissa_size: int, bias: int) -> FloatLimits:
    """Return the limits of a format with an implied bit and the usual two reserved exponents."""
    return FloatLimits(mantissa_size + 1, 1 - bias - mantissa_size, 2**exponent_size - 2 - bias)


NATIVE_FLOATS = {2: float_limits(5, 10, 15), 4: float_limits(8, 23, 127), 8: float_limits(11, 52, 1023)}
"""By size in bytes."""

# size: sign location, exponent location, exponent size, mantissa location, mantissa size, bias
_IEEE = {2: (15, 10, 5, 0, 10, 15), 4: (31, 23, 8, 0, 23, 127), 8: (63, 52, 11, 0, 52, 1023)}


def supports(datatype: Datatype) -> DtypeJson | None:
    """Return the dtype that holds every value of a datatype, in JSON form; None where `widened` refuses."""
    try:
        return dtype_to_json(widened(datatype))
    except Unsupported:
        return None


def widened(datatype: Datatype) -> AnyDtype:
    """Return the dtype that holds every value of a datatype.

    Array datatypes give a subarray dtype, arrays of arrays one of all extents; compounds of two equal floats that are
    named as the parts of a complex number give a complex dtype.

    Raises
    ------
    Unsupported
        With the reason why no dtype does.
    """
    match datatype:
        case FixedPoint():
            return _integer("i" if datatype.signed else "u", datatype)
        case BitField():
            return _integer("u", datatype)
        case FloatingPoint():
            return _float(datatype)
        case Enumeration():
            return widened(datatype.base)
        case String():
            return _sized("S", datatype.size)
        case Opaque():
            return _sized("V", datatype.size)
        case Complex():
            return _complex(datatype.base)
        case ArrayType():
            return _array(datatype)
        case Compound():
            return _compound(datatype)
        case _:
            raise Unsupported(_reason(datatype), structure=_WHAT)


def _reason(datatype: ObjectReference | RegionReference | Time | VariableLength) -> str:
    if isinstance(datatype, Time):
        return "libhdf5 does not convert the time class"
    if isinstance(datatype, VariableLength):
        return "variable-length values stand outside of the chunk"
    return "references mean something only inside their file"


def _integer(kind: str, datatype: FixedPoint | BitField) -> AnyDtype:
    if not 1 <= datatype.size <= 8:
        raise Unsupported("integer beyond 8 bytes", structure=_WHAT, got=f"{datatype.size} bytes")
    if datatype.precision < 1 or datatype.bit_offset + datatype.precision > 8 * datatype.size:
        raise Unsupported(
            "bits outside of the integer",
            structure=_WHAT,
            expected=f"1 to {8 * datatype.size} bits",
            got=f"{datatype.precision} bits from bit {datatype.bit_offset}",
        )
    _check_unused_bits(datatype)
    native = 1 << (datatype.size - 1).bit_length()
    return np.dtype(f"{datatype.byte_order}{kind}{native}")


def _check_unused_bits(datatype: FixedPoint | BitField | FloatingPoint) -> None:
    """Refuse what libhdf5 takes for a corrupt file (1.14.4 does, and h5py cannot tell it not to)."""
    used = datatype.bit_offset + datatype.precision
    if datatype.size > 1 and used < 4 * datatype.size:
        raise Unsupported(
            "libhdf5 does not open a number of which more than half the bits are unused",
            structure=_WHAT,
            got=f"{used} of {8 * datatype.size} bits used",
        )


def _sized(kind: str, size: int) -> AnyDtype:
    if not 1 <= size <= MAX_ITEM_SIZE:
        raise Unsupported("size", structure=_WHAT, expected=f"1 to {MAX_ITEM_SIZE}", got=size)
    return np.dtype(f"|{kind}{size}")


def _float(datatype: FloatingPoint) -> AnyDtype:
    if datatype.byte_order == "vax":
        raise Unsupported("VAX floating-point", structure=_WHAT)
    if datatype.mantissa_normalization != _IMPLIED:
        raise Unsupported("floating-point without implied mantissa bit", structure=_WHAT)
    fields = (
        datatype.sign_location,
        datatype.exponent_location,
        datatype.exponent_size,
        datatype.mantissa_location,
        datatype.mantissa_size,
        datatype.exponent_bias,
    )
    if _IEEE.get(datatype.size) == fields and (datatype.bit_offset, datatype.precision) == (0, 8 * datatype.size):
        return np.dtype(f"{datatype.byte_order}f{datatype.size}")
    _check_fields(datatype)
    if datatype.exponent_bias < 1:
        raise Unsupported("exponent without a bias: h5py takes it for an error", structure=_WHAT)
    _check_unused_bits(datatype)
    limits = float_limits(datatype.exponent_size, datatype.mantissa_size, datatype.exponent_bias)
    for size in (4, 8):
        if limits.within(NATIVE_FLOATS[size]):
            return np.dtype(f"{datatype.byte_order}f{size}")
    raise Unsupported(
        "floating-point beyond float64",
        structure=_WHAT,
        got=f"{datatype.exponent_size} exponent bits, bias {datatype.exponent_bias}, {datatype.mantissa_size} mantissa",
    )


def _check_fields(datatype: FloatingPoint) -> None:
    """Refuse bit fields that overlap or leave the number."""
    fields = [
        (datatype.sign_location, 1),
        (datatype.exponent_location, datatype.exponent_size),
        (datatype.mantissa_location, datatype.mantissa_size),
    ]
    stop = datatype.bit_offset
    for location, size in sorted(fields):
        if size < 1 or location < stop:
            raise Unsupported("bit fields of a floating-point number", structure=_WHAT, got=fields)
        stop = location + size
    if stop > datatype.bit_offset + datatype.precision or stop > 8 * datatype.size:
        raise Unsupported("bit fields of a floating-point number", structure=_WHAT, got=fields)


def _complex(base: Datatype) -> AnyDtype:
    part = widened(base)
    if part.kind != "f":
        raise Unsupported("complex number of parts that are not floats", structure=_WHAT)
    size = 2 * max(part.itemsize, 4)  # numpy has no complex number of two half floats
    return np.dtype(f"c{size}").newbyteorder(part.byteorder)


def _array(datatype: ArrayType) -> AnyDtype:
    base = widened(datatype.base)
    size = base.itemsize * math.prod(datatype.shape)
    if not 1 <= size <= MAX_ITEM_SIZE:
        raise Unsupported("size of an array", structure=_WHAT, expected=f"1 to {MAX_ITEM_SIZE}", got=size)
    base, inner = base.subdtype or (base, ())
    try:
        return np.dtype((base, datatype.shape + inner))
    except ValueError as error:
        raise Unsupported("rank of an array", structure=_WHAT, got=len(datatype.shape + inner)) from error


def _compound(datatype: Compound) -> AnyDtype:
    members = datatype.members
    names = tuple(member.name for member in members)
    if names in _COMPLEX_NAMES and members[0].datatype == members[1].datatype:
        part = members[0].datatype
        if isinstance(part, FloatingPoint) and members[0].offset < members[1].offset:
            return _complex(part)
    if not names or "" in names or len(set(names)) < len(names):
        raise Unsupported("names of compound members", structure=_WHAT, got=list(names)[:8])
    fields = [(member.name, widened(member.datatype)) for member in members]
    size = sum(dtype.itemsize for _, dtype in fields)
    if size > MAX_ITEM_SIZE:
        raise Unsupported("size of a compound", structure=_WHAT, expected=f"<= {MAX_ITEM_SIZE}", got=size)
    return np.dtype(fields)
