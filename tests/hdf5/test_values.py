from __future__ import annotations

import numpy as np
import pytest

from refmaker.errors import FormatError, TruncatedError, Unsupported
from refmaker.hdf5.datatype import decode_datatype
from refmaker.hdf5.sizes import Sizes
from refmaker.hdf5.values import NULL_REFERENCE, decode_values, natural_dtype
from refmaker.model import (
    ArrayType,
    BitField,
    Complex,
    Compound,
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
from tests.hdf5.assembling import DOUBLE, VARIABLE_TEXT, heap_reference, integer, number, variable

WIDE = Sizes(8, 8)
INT = FixedPoint(4, "<", True, 0, 32)
FLOAT = decode_datatype(DOUBLE)


def no_heap(addresses, indexes):
    assert list(addresses) == list(indexes) == []
    return []


def decode(datatype, raw, shape=(), *, base=0, sizes=WIDE, read=no_heap):
    return decode_values(datatype, raw, shape, base, sizes, read)


def test_natural_dtypes():
    assert natural_dtype(FixedPoint(2, ">", False, 0, 16)) == np.dtype(">u2")
    assert natural_dtype(BitField(4, "<", 0, 32)) == np.dtype("<u4")
    assert natural_dtype(FLOAT) == np.dtype("<f8")
    assert natural_dtype(String(5, 0, "ascii")) == np.dtype("S5")
    assert natural_dtype(Opaque(5, "")) == np.dtype("V5")
    assert natural_dtype(Complex(FLOAT, 16)) == np.dtype("<c16")
    assert natural_dtype(ArrayType(ArrayType(INT, (2,), 8), (3,), 24)) == np.dtype(("<i4", (3, 2)))
    assert natural_dtype(ObjectReference(4)) == np.dtype("<u4")
    compound = Compound(20, (Member("b", 8, FLOAT), Member("a", 1, INT)))
    assert natural_dtype(compound) == np.dtype(
        {"names": ["b", "a"], "formats": ["<f8", "<i4"], "offsets": [8, 1], "itemsize": 20}
    )


def floating(**changes):
    fields = {name: getattr(FLOAT, name) for name in FLOAT.__dataclass_fields__}
    return FloatingPoint(**{**fields, **changes})


@pytest.mark.parametrize("datatype", [
    FixedPoint(3, "<", True, 0, 24),
    FixedPoint(4, "<", True, 0, 31),
    FixedPoint(4, "<", True, 1, 31),
    BitField(4, "<", 4, 12),
    Time(4, "<", 32),
    String(0, 0, "ascii"),
    String(1 << 31, 0, "ascii"),
    Opaque((1 << 32) - 1, ""),
    RegionReference(12),
    ObjectReference(64, revised=True),
    ObjectReference(3),
    VariableLength(INT, False, "ascii", 16),
    Compound(4, ()),
    Compound(8, (Member("a", 0, INT), Member("a", 4, INT))),
    Compound(8, (Member("", 0, INT),)),
    ArrayType(INT, (1,) * 33, 4),
    ArrayType(ArrayType(INT, (1,) * 20, 4), (1,) * 20, 4),
    ArrayType(INT, (1 << 31,), 1 << 33),
    Complex(INT, 8),
    floating(byte_order="vax"),
    floating(precision=63),
    floating(exponent_bias=1022),
    floating(mantissa_normalization=0),
    floating(sign_location=0),
    floating(mantissa_location=1),
    floating(size=16),
])  # fmt: skip
def test_what_numpy_cannot_hold(datatype):
    with pytest.raises(Unsupported):
        natural_dtype(datatype)


def test_shapes():
    raw = b"".join(number(i, 4) for i in range(6))
    assert decode(INT, raw, (2, 3)).tolist() == [[0, 1, 2], [3, 4, 5]]
    assert decode(INT, raw).tolist() == 0
    assert decode(INT, b"", (0, 3)).shape == (0, 3)
    assert decode(ArrayType(INT, (3,), 12), raw, (2,)).shape == (2, 3)
    nested = ArrayType(ArrayType(INT, (3,), 12), (2,), 24)
    assert decode(nested, raw).tolist() == [[0, 1, 2], [3, 4, 5]]
    assert decode(Compound(24, (Member("a", 0, nested),)), raw)["a"].tolist() == [[0, 1, 2], [3, 4, 5]]
    assert decode(nested, raw, (1,)).shape == (1, 2, 3)
    with pytest.raises(TruncatedError):
        decode(INT, raw, (7,))
    for shape in ((1 << 62,), (0, 1 << 61), (0, (1 << 64) - 1)):
        for datatype in (INT, decode_datatype(VARIABLE_TEXT)):
            with pytest.raises(Unsupported, match="array of shape"):
                decode(datatype, b"", shape)


@pytest.mark.parametrize("count", [1, 30])
@pytest.mark.parametrize("size", [4, 8])
def test_references(count, size):
    null = 256**size - 1
    raw = b"".join(number(n, size) for n in [5, 0, null][:count] + [7] * max(count - 3, 0))
    values = decode(ObjectReference(size), raw, (count,), base=512, sizes=Sizes(size, 8))
    assert values.dtype == np.uint64
    assert values.tolist() == [517, NULL_REFERENCE, NULL_REFERENCE][:count] + [519] * max(count - 3, 0)


def test_references_inside():
    compound = Compound(12, (Member("n", 0, INT), Member("r", 4, ObjectReference(8))))
    raw = (number(1, 4) + number(5)) + (number(2, 4) + number(0)) + (number(3, 4) + number((1 << 64) - 1))
    values = decode(compound, raw, (3,), base=512)
    assert values["n"].tolist() == [1, 2, 3]
    assert values["r"].tolist() == [517, 0, NULL_REFERENCE]
    nested = Compound(16, (Member("a", 0, ArrayType(ObjectReference(8), (2,), 16)),))
    assert decode(nested, number(5) + number(0), (1,), base=512)["a"].tolist() == [[517, 0]]
    assert decode(nested, number(5) + number(0), (1,))["a"].tolist() == [[5, 0]]


def heap(objects):
    def read(addresses, indexes):
        return [objects[pair] for pair in zip(addresses, indexes, strict=True)]

    return read


@pytest.mark.parametrize("count", [3, 30])
def test_text(count):
    raw = (heap_reference(3, 100, 1) + heap_reference(0, 0, 0) + heap_reference(5, 100, 2)) * (count // 3)
    read = heap({(100, 1): b"abc", (100, 2): b"d\0efg"})
    values = decode(decode_datatype(VARIABLE_TEXT), raw, (count,), read=read)
    assert values.tolist() == [b"abc", None, b"d"] * (count // 3)
    with pytest.raises(TruncatedError):
        decode(decode_datatype(VARIABLE_TEXT), raw[:-1], (count,), read=read)


def test_sequences():
    raw = heap_reference(2, 100, 1) + heap_reference(0, 0, 0)
    read = heap({(100, 1): number(7, 4) + number(8, 4)})
    values = decode(decode_datatype(variable(integer())), raw, (2,), read=read)
    assert [v.tolist() for v in values] == [[7, 8], []]
    assert values[1].dtype == np.int32
    nested = decode_datatype(variable(variable(integer())))
    read = heap({(100, 2): heap_reference(2, 100, 1) + heap_reference(0, 0, 0), (100, 1): number(7, 4) + number(8, 4)})
    (values,) = decode(nested, heap_reference(2, 100, 2), (1,), read=read)
    assert [v.tolist() for v in values] == [[7, 8], []]


def test_lengths_that_disagree():
    """As libhdf5 has it: the object must be as long as the element says."""
    for length in (2, 4):
        with pytest.raises(FormatError, match="length of a variable-length element"):
            decode(decode_datatype(VARIABLE_TEXT), heap_reference(length, 100, 1), (1,), read=heap({(100, 1): b"abc"}))
    with pytest.raises(FormatError, match="size"):
        decode(VariableLength(INT, False, "ascii", 12), bytes(12), (1,))
    with pytest.raises(Unsupported, match="inside another datatype"):
        decode(ArrayType(decode_datatype(VARIABLE_TEXT), (1,), 16), bytes(16), (1,))
