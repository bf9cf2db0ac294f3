"""Bytes to values: numpy dtypes of HDF5 datatypes, attribute values, variable-length data.

Contract: pure, given a function that resolves global heap objects. `natural_dtype` raises `Unsupported` for datatypes
that numpy cannot hold bit by bit; nothing is reinterpreted by its size alone.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from refmaker import limits
from refmaker.errors import FormatError, TruncatedError, Unsupported
from refmaker.hdf5.sizes import Sizes
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
    String,
    VariableLength,
)

__all__ = ["NULL_REFERENCE", "ReadHeapObjects", "decode_values", "heap_references", "is_variable", "natural_dtype"]

NULL_REFERENCE = (1 << 64) - 1
MAX_ITEM_SIZE = limits.ITEM_SIZE  # numpy's
MAX_ARRAY_SIZE = (1 << 63) - 1  # also of arrays that have no elements because one of their extents is 0
MAX_ARRAY_RANK = 32  # numpy holds 64, a dataspace takes up to 32
FEW = 8  # below, plain Python is faster than numpy

ReadHeapObjects = Callable[[Sequence[int], Sequence[int]], Sequence[bytes]]

# IEEE 754 binary16, 32, 64: size -> exponent location, exponent size, mantissa size, bias
_IEEE = {2: (10, 5, 10, 15), 4: (23, 8, 23, 127), 8: (52, 11, 52, 1023)}


def is_ieee(datatype: FloatingPoint) -> bool:
    """Return whether a float is IEEE binary16, 32 or 64, by its bit fields."""
    fields = (datatype.exponent_location, datatype.exponent_size, datatype.mantissa_size, datatype.exponent_bias)
    return (
        datatype.byte_order != "vax"
        and _IEEE.get(datatype.size) == fields
        and datatype.bit_offset == 0
        and datatype.precision == 8 * datatype.size
        and datatype.sign_location == 8 * datatype.size - 1
        and datatype.mantissa_location == 0
        and datatype.mantissa_normalization == 2
    )


def is_bool(datatype: Enumeration) -> bool:
    """Return whether an enumeration is {FALSE = 0, TRUE = 1} on one byte, as h5py writes booleans."""
    members = dict(zip(datatype.names, datatype.values, strict=True))
    return datatype.base.size == 1 and members == {"FALSE": 0, "TRUE": 1}


def is_variable(datatype: Datatype) -> bool:
    """Return whether elements point into the global heap."""
    if isinstance(datatype, VariableLength):
        return True
    if isinstance(datatype, Compound):
        return any(is_variable(m.datatype) for m in datatype.members)
    return isinstance(datatype, ArrayType) and is_variable(datatype.base)


@lru_cache(4096)
def natural_dtype(datatype: Datatype) -> np.dtype[np.generic]:
    """Return the numpy dtype that holds a fixed-size datatype exactly as stored.

    Booleans come as `u1`, object references as unsigned integers.
    """
    if datatype.size > MAX_ITEM_SIZE:
        raise Unsupported(f"element of {datatype.size} bytes")
    match datatype:
        case FixedPoint(size, order, signed, offset, precision):
            if size in (1, 2, 4, 8) and offset == 0 and precision == 8 * size:
                return np.dtype(f"{order}{'i' if signed else 'u'}{size}")
            raise Unsupported(f"integer of {precision} bits at bit {offset} of {size} bytes")
        case FloatingPoint(size=size, byte_order=order):
            if is_ieee(datatype):
                return np.dtype(f"{order}f{size}")
            raise Unsupported(f"floating-point format that is not IEEE binary16, 32 or 64 ({size} bytes)")
        case String(size=size):
            if size == 0:
                raise Unsupported("string of size 0")
            return np.dtype(f"S{size}")
        case BitField(size, order, offset, precision):
            if size in (1, 2, 4, 8) and offset == 0 and precision == 8 * size:
                return np.dtype(f"{order}u{size}")
            raise Unsupported(f"bit field of {precision} bits at bit {offset} of {size} bytes")
        case Opaque(size=size):
            return np.dtype(f"V{size}")
        case Enumeration(base=base):
            return natural_dtype(base)
        case Complex(base=base):
            return _complex_dtype(base)
        case ArrayType(base, shape):
            return _array_dtype(natural_dtype(base), shape)
        case ObjectReference(size=size, revised=False) if size in (2, 4, 8):
            return np.dtype(f"<u{size}")
        case Compound():
            return _compound_dtype(datatype)
    raise Unsupported(f"datatype {type(datatype).__name__}")


def _complex_dtype(base: Datatype) -> np.dtype[np.generic]:
    part = natural_dtype(base)
    if part.kind != "f" or part.itemsize not in (4, 8):
        raise Unsupported(f"complex number of two {part}")
    return np.dtype(f"{part.str[0]}c{2 * part.itemsize}")


def _array_dtype(base: np.dtype[np.generic], shape: tuple[int, ...]) -> np.dtype[np.generic]:
    if len(base.shape) + len(shape) > MAX_ARRAY_RANK:
        raise Unsupported(f"array datatype of more than {MAX_ARRAY_RANK} dimensions")
    # Arrays of arrays are one array to numpy.
    return np.dtype((base.base, shape + base.shape))


def _compound_dtype(datatype: Compound) -> np.dtype[np.generic]:
    names = [m.name for m in datatype.members]
    if not names or len(set(names)) != len(names) or "" in names:
        raise Unsupported("compound without members, or with members of one name")
    return np.dtype(
        {
            "names": names,
            "formats": [natural_dtype(m.datatype) for m in datatype.members],
            "offsets": [m.offset for m in datatype.members],
            "itemsize": datatype.size,
        }
    )


def _reference_dtype(sizes: Sizes) -> np.dtype[np.void]:
    return np.dtype([("length", "<u4"), ("address", f"<u{sizes.offsets}"), ("index", "<u4")])


def heap_references(raw: bytes, count: int, sizes: Sizes) -> np.ndarray:
    """Decode `count` variable-length elements: fields `length` (in elements), `address`, `index`."""
    dtype = _reference_dtype(sizes)
    if len(raw) < count * dtype.itemsize:
        raise TruncatedError("values", structure="variable-length data", expected=count * dtype.itemsize, got=len(raw))
    return np.frombuffer(raw, dtype, count)


def decode_values(
    datatype: Datatype, raw: bytes, shape: tuple[int, ...], base: int, sizes: Sizes, read: ReadHeapObjects
) -> np.ndarray:
    """Decode values as `model.Attribute.value` describes them.

    Parameters
    ----------
    raw
        The stored bytes, at least `datatype.size` for each element.
    base
        Added to object references, so that they are addresses in the file.
    read
        Gives the bytes of global heap objects by collection address and object index.
    """
    count, room = 1, max(datatype.size, 8)
    for n in shape:
        count *= n
        room *= max(n, 1)
    if room > MAX_ARRAY_SIZE:
        raise Unsupported(f"array of shape {shape}")
    if isinstance(datatype, VariableLength):
        return _variable(datatype, raw, count, base, sizes, read).reshape(shape)
    if is_variable(datatype):
        raise Unsupported("variable-length data inside another datatype")
    dtype = natural_dtype(datatype)
    if len(raw) < count * dtype.itemsize:
        raise TruncatedError("values", structure="data", expected=f"{count * dtype.itemsize} bytes", got=len(raw))
    values: np.ndarray = np.frombuffer(raw, dtype, count).reshape(shape + (dtype.shape if dtype.subdtype else ()))
    if isinstance(datatype, ObjectReference):
        return _shifted(values, base, sizes)
    if base and _has_references(datatype):
        values = values.copy()
        _shift_members(datatype, values, base, sizes)
    if isinstance(datatype, Enumeration) and is_bool(datatype):
        truth: np.ndarray = values != 0
        return truth
    return values


def _shifted(values: np.ndarray, base: int, sizes: Sizes) -> npt.NDArray[np.uint64]:
    if values.size <= FEW:
        null = (0, sizes.undefined)
        shifted = [NULL_REFERENCE if v in null else (v + base) & NULL_REFERENCE for v in values.ravel().tolist()]
        return np.array(shifted, "u8").reshape(values.shape)
    null = (values == 0) | (values == sizes.undefined)
    return np.where(null, np.uint64(NULL_REFERENCE), values.astype("u8") + np.uint64(base))


def _has_references(datatype: Datatype) -> bool:
    if isinstance(datatype, Compound):
        return any(_has_references(m.datatype) for m in datatype.members)
    return isinstance(datatype, ObjectReference) or (isinstance(datatype, ArrayType) and _has_references(datatype.base))


def _shift_members(datatype: Datatype, values: np.ndarray, base: int, sizes: Sizes) -> None:
    """Add `base` to object references inside other datatypes, in place; null ones stay as they are."""
    if isinstance(datatype, Compound):
        for member in datatype.members:
            if _has_references(member.datatype):
                _shift_members(member.datatype, values[member.name], base, sizes)
    elif isinstance(datatype, ArrayType):
        _shift_members(datatype.base, values, base, sizes)
    else:
        values[(values != 0) & (values != sizes.undefined)] += values.dtype.type(base)


def _variable(
    datatype: VariableLength, raw: bytes, count: int, base: int, sizes: Sizes, read: ReadHeapObjects
) -> np.ndarray:
    if datatype.size != 8 + sizes.offsets:
        raise FormatError("size", structure="variable-length datatype", expected=8 + sizes.offsets, got=datatype.size)
    element = 1 if datatype.is_string else datatype.base.size
    there, lengths, addresses, indexes = _present(raw, count, sizes)
    objects = read(addresses, indexes)
    out = np.empty(count, object)
    if not datatype.is_string:
        empty = _empty_sequence(datatype, sizes)
        out[:] = [empty] * count
    for i, length, data in zip(there, lengths, objects, strict=True):
        if len(data) != length * element:
            raise FormatError(
                "length of a variable-length element",
                structure="global heap object",
                expected=f"{len(data)} bytes",
                got=length * element,
            )
        if datatype.is_string:
            # C strings: libhdf5 and h5py end them at the first NUL.
            out[i] = data.split(b"\0", 1)[0]
        else:
            out[i] = decode_values(datatype.base, data, (length,), base, sizes, read)
    return out


def _present(raw: bytes, count: int, sizes: Sizes) -> tuple[list[int], list[int], list[int], list[int]]:
    """Return position, length, collection address and object index of the elements that are not null."""
    if count <= FEW:
        reference = sizes.struct("IOI")
        if len(raw) < count * reference.size:
            raise TruncatedError("values", structure="variable-length data", expected=f"{count} elements", got=len(raw))
        found = [(i, *reference.unpack_from(raw, i * reference.size)) for i in range(count)]
        columns = list(zip(*(f for f in found if f[1] and f[2]), strict=True)) or [(), (), (), ()]
        there, lengths, addresses, indexes = map(list, columns)
        return there, lengths, addresses, indexes
    references = heap_references(raw, count, sizes)
    kept = np.flatnonzero((references["length"] > 0) & (references["address"] != 0))
    references = references[kept]
    return kept.tolist(), *(references[name].tolist() for name in ("length", "address", "index"))


def _empty_sequence(datatype: VariableLength, sizes: Sizes) -> np.ndarray:
    if isinstance(datatype.base, VariableLength):
        return np.empty(0, object)
    if isinstance(datatype.base, ObjectReference):
        return np.empty(0, "u8")
    dtype = natural_dtype(datatype.base)
    return np.empty((0, *dtype.shape), dtype.base)
