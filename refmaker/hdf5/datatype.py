"""Datatype message, versions 1 to 5, all classes.

Contract: pure; memoised by its bytes. Specification 4.0, IV.A.2.d. `decode_datatype` gives the datatype of a whole
message body; nested datatypes are bounded in depth.
"""

from __future__ import annotations

from functools import lru_cache
from struct import Struct
from typing import Literal

from refmaker import limits
from refmaker.errors import FormatError, Unsupported
from refmaker.hdf5.sizes import need, unsigned
from refmaker.model import (
    ArrayType,
    BitField,
    ByteOrder,
    Complex,
    Compound,
    Datatype,
    Enumeration,
    FixedPoint,
    FloatingPoint,
    Member,
    ObjectReference,
    Opaque,
    RegionReference,
    String,
    Time,
    VariableLength,
)

__all__ = ["MAX_DEPTH", "decode_datatype"]

MAX_DEPTH = limits.DATATYPE_DEPTH
WHAT = "datatype message"

# 0 class (bits 0-3) and version (bits 4-7) | 1 class bit field 3 | 4 size 4 | 8 properties
_HEAD = Struct("<II")
# Fixed-point, bitfield: 0 bit offset 2 | 2 bit precision 2
_FIXED = Struct("<HH")
# Floating-point: 0 bit offset 2 | 2 precision 2 | 4 exponent location | 5 exponent size | 6 mantissa location
#                 7 mantissa size | 8 exponent bias 4
_FLOAT = Struct("<HHBBBBI")
# Version 1 compound member after its name: 0 byte offset 4 | 4 dimensionality | 5 reserved 3 | 8 permutation 4
#                                           12 reserved 4 | 16 dimension sizes 4x4
_MEMBER_V1 = Struct("<IB3x4x4x4I")

_CHARSETS: dict[int, Literal["ascii", "utf-8"]] = {0: "ascii", 1: "utf-8"}


@lru_cache(8192)
def decode_datatype(body: bytes) -> Datatype:
    """Decode a Datatype message."""
    return _decode(body, 0, 0)[0]


def _decode(body: bytes, pos: int, depth: int) -> tuple[Datatype, int]:
    """Decode the datatype at `pos`; give it and the position after it."""
    if depth > MAX_DEPTH:
        raise FormatError("nested too deep", structure=WHAT, expected=f"<= {MAX_DEPTH} levels", got=depth)
    need(body, pos, 8, WHAT)
    head, size = _HEAD.unpack_from(body, pos)
    kind, version, bits = head & 15, head >> 4 & 15, head >> 8
    if not 1 <= version <= 5:
        raise Unsupported("version", structure=WHAT, expected="1 to 5", got=version)
    if size == 0 and kind != 3:
        raise FormatError("size", structure=WHAT, expected="> 0", got=0)
    decode = _CLASSES.get(kind)
    if decode is None:
        raise Unsupported("class", structure=WHAT, expected="0 to 11", got=kind)
    return decode(body, pos + 8, version, bits, size, depth)


def _order(bits: int) -> ByteOrder:
    return ">" if bits & 1 else "<"


def _fixed_point(body: bytes, pos: int, version: int, bits: int, size: int, depth: int) -> tuple[Datatype, int]:
    need(body, pos, 4, WHAT)
    offset, precision = _FIXED.unpack_from(body, pos)
    return FixedPoint(size, _order(bits), bool(bits & 8), offset, precision), pos + 4


def _floating_point(body: bytes, pos: int, version: int, bits: int, size: int, depth: int) -> tuple[Datatype, int]:
    need(body, pos, 12, WHAT)
    order: Literal["<", ">", "vax"] = "vax" if bits & 0x41 == 0x41 else _order(bits)
    offset, precision, exponent_at, exponent, mantissa_at, mantissa, bias = _FLOAT.unpack_from(body, pos)
    record = FloatingPoint(
        size=size,
        byte_order=order,
        bit_offset=offset,
        precision=precision,
        sign_location=bits >> 8 & 0xFF,
        exponent_location=exponent_at,
        exponent_size=exponent,
        mantissa_location=mantissa_at,
        mantissa_size=mantissa,
        exponent_bias=bias,
        mantissa_normalization=bits >> 4 & 3,
    )
    return record, pos + 12


def _time(body: bytes, pos: int, version: int, bits: int, size: int, depth: int) -> tuple[Datatype, int]:
    need(body, pos, 2, WHAT)
    return Time(size, _order(bits), unsigned(body, pos, 2)), pos + 2


def _charset(code: int) -> Literal["ascii", "utf-8"]:
    if code not in _CHARSETS:
        raise FormatError("character set", structure=WHAT, expected="0 or 1", got=code)
    return _CHARSETS[code]


def _string(body: bytes, pos: int, version: int, bits: int, size: int, depth: int) -> tuple[Datatype, int]:
    return String(size, bits & 15, _charset(bits >> 4 & 15)), pos


def _bit_field(body: bytes, pos: int, version: int, bits: int, size: int, depth: int) -> tuple[Datatype, int]:
    need(body, pos, 4, WHAT)
    offset, precision = _FIXED.unpack_from(body, pos)
    return BitField(size, _order(bits), offset, precision), pos + 4


def _opaque(body: bytes, pos: int, version: int, bits: int, size: int, depth: int) -> tuple[Datatype, int]:
    length = bits & 0xFF
    need(body, pos, length, WHAT)
    tag = body[pos : pos + length].split(b"\0", 1)[0].decode("utf-8", "surrogateescape")
    # Like libhdf5, which takes the length to be a multiple of 8 already.
    return Opaque(size, tag), pos + length


def _name(body: bytes, pos: int, padded: bool) -> tuple[str, int]:
    """Decode a null-terminated name; give it and the position after it (and its padding to 8 bytes)."""
    stop = body.find(b"\0", pos)
    if stop < 0:
        raise FormatError("name without an end", structure=WHAT)
    size = stop + 1 - pos
    return body[pos:stop].decode("utf-8", "surrogateescape"), pos + size + (-size % 8 if padded else 0)


def _compound(body: bytes, pos: int, version: int, bits: int, size: int, depth: int) -> tuple[Datatype, int]:
    width = (size.bit_length() + 7) // 8 if version >= 3 else 4
    members = []
    for _ in range(bits & 0xFFFF):
        name, pos = _name(body, pos, version < 3)
        shape: tuple[int, ...] = ()
        if version == 1:
            need(body, pos, _MEMBER_V1.size, WHAT)
            offset, rank, *extents = _MEMBER_V1.unpack_from(body, pos)
            if rank > 4:
                raise FormatError("rank of a compound member", structure=WHAT, expected="<= 4", got=rank)
            shape, pos = tuple(extents[:rank]), pos + _MEMBER_V1.size
        else:
            need(body, pos, width, WHAT)
            offset, pos = unsigned(body, pos, width), pos + width
        datatype, pos = _decode(body, pos, depth + 1)
        if shape:
            datatype = _array_of(datatype, shape)
        if offset + datatype.size > size:
            raise FormatError(
                f"member {name!r} reaches beyond the element",
                structure=WHAT,
                expected=f"<= {size} bytes",
                got=offset + datatype.size,
            )
        members.append(Member(name, offset, datatype))
    _check_apart(members)
    return Compound(size, tuple(members)), pos


def _check_apart(members: list[Member]) -> None:
    """Raise `FormatError` for members that overlap, as libhdf5 does."""
    stop = 0
    for member in sorted(members, key=lambda m: m.offset):
        if member.offset < stop:
            raise FormatError(f"member {member.name!r} overlaps another", structure=WHAT)
        stop = member.offset + member.datatype.size


def _array_of(base: Datatype, shape: tuple[int, ...]) -> ArrayType:
    size = base.size
    for extent in shape:
        if extent == 0:
            raise FormatError("extent of an array", structure=WHAT, expected="> 0", got=0)
        size *= extent
    return ArrayType(base, shape, size)


def _reference(body: bytes, pos: int, version: int, bits: int, size: int, depth: int) -> tuple[Datatype, int]:
    kind = bits & 15
    if kind == 0:
        return ObjectReference(size), pos
    if kind == 2:
        return ObjectReference(size, revised=True), pos
    return RegionReference(size, kind), pos


def _enumeration(body: bytes, pos: int, version: int, bits: int, size: int, depth: int) -> tuple[Datatype, int]:
    base, pos = _decode(body, pos, depth + 1)
    if not isinstance(base, FixedPoint):
        raise Unsupported("enumeration over a base that is not an integer", structure=WHAT)
    if size != base.size:
        raise FormatError("size of an enumeration", structure=WHAT, expected=base.size, got=size)
    names, count = [], bits & 0xFFFF
    for _ in range(count):
        name, pos = _name(body, pos, version < 3)
        names.append(name)
    need(body, pos, count * base.size, WHAT)
    order: Literal["little", "big"] = "little" if base.byte_order == "<" else "big"
    values = tuple(
        int.from_bytes(body[pos + i * base.size : pos + (i + 1) * base.size], order, signed=base.signed)
        for i in range(count)
    )
    return Enumeration(base, tuple(names), values, size), pos + count * base.size


def _variable_length(body: bytes, pos: int, version: int, bits: int, size: int, depth: int) -> tuple[Datatype, int]:
    base, pos = _decode(body, pos, depth + 1)
    kind = bits & 15
    if kind > 1:
        raise FormatError("type of a variable-length datatype", structure=WHAT, expected="0 or 1", got=kind)
    charset = _charset(bits >> 8 & 15) if kind == 1 else "ascii"
    return VariableLength(base, kind == 1, charset, size, bits >> 4 & 15), pos


def _array(body: bytes, pos: int, version: int, bits: int, size: int, depth: int) -> tuple[Datatype, int]:
    need(body, pos, 1, WHAT)
    rank = body[pos]
    pos += 1 if version >= 3 else 4
    need(body, pos, 4 * rank, WHAT)
    shape = tuple(unsigned(body, pos + 4 * i, 4) for i in range(rank))
    pos += 4 * rank + (0 if version >= 3 else 4 * rank)
    base, pos = _decode(body, pos, depth + 1)
    array = _array_of(base, shape)
    if array.size != size:
        raise FormatError("size of an array", structure=WHAT, expected=array.size, got=size)
    return array, pos


def _complex(body: bytes, pos: int, version: int, bits: int, size: int, depth: int) -> tuple[Datatype, int]:
    base, pos = _decode(body, pos, depth + 1)
    if size != 2 * base.size:
        raise FormatError("size of a complex number", structure=WHAT, expected=2 * base.size, got=size)
    return Complex(base, size), pos


_CLASSES = {
    0: _fixed_point,
    1: _floating_point,
    2: _time,
    3: _string,
    4: _bit_field,
    5: _opaque,
    6: _compound,
    7: _reference,
    8: _enumeration,
    9: _variable_length,
    10: _array,
    11: _complex,
}
