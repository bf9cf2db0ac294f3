"""Datatypes as plain records: one for each class of the Datatype message, in the specification's nouns.

Contract: immutable, hashable, no behaviour. HDF5 File Format Specification 4.0, IV.A.2.d.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

__all__ = [
    "ArrayType",
    "BitField",
    "ByteOrder",
    "Complex",
    "Compound",
    "Datatype",
    "Enumeration",
    "FixedPoint",
    "FloatingPoint",
    "Member",
    "ObjectReference",
    "Opaque",
    "RegionReference",
    "String",
    "Time",
    "VariableLength",
]

ByteOrder: TypeAlias = Literal["<", ">"]


# Datatypes: one record a class of the Datatype message. `size` is in bytes.


@dataclass(frozen=True, slots=True)
class FixedPoint:
    """Class 0: integers. Full precision when `precision == 8 * size` and `bit_offset == 0`."""

    size: int
    byte_order: ByteOrder
    signed: bool
    bit_offset: int
    precision: int


@dataclass(frozen=True, slots=True)
class FloatingPoint:
    """Class 1: floats, by their bit fields (locations and sizes in bits)."""

    size: int
    byte_order: Literal["<", ">", "vax"]
    bit_offset: int
    precision: int
    sign_location: int
    exponent_location: int
    exponent_size: int
    mantissa_location: int
    mantissa_size: int
    exponent_bias: int
    mantissa_normalization: int  # 0 none, 1 most significant bit always set, 2 implied


@dataclass(frozen=True, slots=True)
class Time:
    """Class 2."""

    size: int
    byte_order: ByteOrder
    precision: int


@dataclass(frozen=True, slots=True)
class String:
    """Class 3: fixed-length string. `padding`: 0 null-terminated, 1 null-padded, 2 space-padded."""

    size: int
    padding: int
    charset: Literal["ascii", "utf-8"]


@dataclass(frozen=True, slots=True)
class BitField:
    """Class 4."""

    size: int
    byte_order: ByteOrder
    bit_offset: int
    precision: int


@dataclass(frozen=True, slots=True)
class Opaque:
    """Class 5."""

    size: int
    tag: str


@dataclass(frozen=True, slots=True)
class Member:
    """A member of a compound datatype, `offset` bytes into the element."""

    name: str
    offset: int
    datatype: Datatype


@dataclass(frozen=True, slots=True)
class Compound:
    """Class 6."""

    size: int
    members: tuple[Member, ...]


@dataclass(frozen=True, slots=True)
class ObjectReference:
    """Class 7, types 0 (H5R_OBJECT1: an object header's address) and 2 (`revised`: H5R_OBJECT2)."""

    size: int
    revised: bool = False


@dataclass(frozen=True, slots=True)
class RegionReference:
    """Class 7, the other types: dataset region and attribute references."""

    size: int
    kind: int = 1


@dataclass(frozen=True, slots=True)
class Enumeration:
    """Class 8. `values` are decoded with the base type."""

    base: Datatype
    names: tuple[str, ...]
    values: tuple[int, ...]
    size: int


@dataclass(frozen=True, slots=True)
class VariableLength:
    """Class 9. In storage: length (4 bytes), global heap collection address, object index (4 bytes)."""

    base: Datatype
    is_string: bool
    charset: Literal["ascii", "utf-8"]
    size: int
    padding: int = 0


@dataclass(frozen=True, slots=True)
class ArrayType:
    """Class 10."""

    base: Datatype
    shape: tuple[int, ...]
    size: int


@dataclass(frozen=True, slots=True)
class Complex:
    """Class 11 (HDF5 2.0): two values of `base`, real then imaginary."""

    base: Datatype
    size: int


Datatype: TypeAlias = (
    FixedPoint
    | FloatingPoint
    | Time
    | String
    | BitField
    | Opaque
    | Compound
    | ObjectReference
    | RegionReference
    | Enumeration
    | VariableLength
    | ArrayType
    | Complex
)
