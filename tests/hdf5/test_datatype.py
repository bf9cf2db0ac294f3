from __future__ import annotations

import contextlib
import struct

import pytest

from refmaker.errors import FormatError, RefmakerError, TruncatedError, Unsupported
from refmaker.hdf5.datatype import MAX_DEPTH, decode_datatype
from refmaker.model import (
    ArrayType,
    BitField,
    Complex,
    Compound,
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
from tests.hdf5.assembling import DOUBLE, VARIABLE_TEXT, datatype, integer, number, variable

INT = FixedPoint(4, "<", True, 0, 32)
VERSIONS = [1, 2, 3, 4, 5]


@pytest.mark.parametrize("version", VERSIONS)
def test_simple_classes(version):
    def decode(kind, size, properties=b"", bits=0):
        return decode_datatype(datatype(kind, size, properties, version=version, bits=bits))

    fixed = struct.pack("<HH", 3, 10)
    assert decode(0, 2, fixed, 8) == FixedPoint(2, "<", True, 3, 10)
    assert decode(0, 2, fixed, 1) == FixedPoint(2, ">", False, 3, 10)
    assert decode(2, 4, struct.pack("<H", 32), 1) == Time(4, ">", 32)
    assert decode(3, 7, bits=0x12) == String(7, 2, "utf-8")
    assert decode(3, 0) == String(0, 0, "ascii")
    assert decode(4, 2, fixed, 1) == BitField(2, ">", 3, 10)
    assert decode(5, 9, b"a tag\0\0\0", 8) == Opaque(9, "a tag")
    assert decode(7, 8) == ObjectReference(8)
    assert decode(7, 12, bits=1) == RegionReference(12, 1)
    assert decode(7, 64, bits=2) == ObjectReference(64, revised=True)
    assert decode(7, 64, bits=4) == RegionReference(64, 4)


def test_floating_point():
    assert decode_datatype(DOUBLE) == FloatingPoint(8, "<", 0, 64, 63, 52, 11, 0, 52, 1023, 2)
    fields = struct.pack("<HHBBBBI", 1, 30, 20, 5, 4, 16, 77)
    assert decode_datatype(datatype(1, 4, fields, bits=0x1D11)) == FloatingPoint(4, ">", 1, 30, 29, 20, 5, 4, 16, 77, 1)
    assert decode_datatype(datatype(1, 4, fields, bits=0x41, version=3)).byte_order == "vax"


def padded(name: bytes) -> bytes:
    return name + bytes(8 - len(name) % 8)


def test_compound_version_1():
    """Members carry up to four dimensions of their own; names are padded to 8 bytes."""
    body = b""
    for name, offset, extents in ((b"a", 0, []), (b"long name", 8, [2, 3])):
        dims = [*extents, *[0] * (4 - len(extents))]
        body += padded(name) + struct.pack("<IB3x4x4x4I", offset, len(extents), *dims) + integer()
    found = decode_datatype(datatype(6, 40, body, bits=2))
    assert found == Compound(40, (Member("a", 0, INT), Member("long name", 8, ArrayType(INT, (2, 3), 24))))


def test_compound_version_2():
    body = padded(b"a") + number(0, 4) + integer() + padded(b"12345678") + number(16, 4) + DOUBLE
    found = decode_datatype(datatype(6, 40, body, version=2, bits=2))
    assert [(m.name, m.offset) for m in found.members] == [("a", 0), ("12345678", 16)]


@pytest.mark.parametrize("version", [3, 4, 5])
@pytest.mark.parametrize(("size", "width"), [(255, 1), (256, 2), (65535, 2), (65536, 3), (1 << 24, 4)])
def test_compound_since_version_3(version, size, width):
    """Names are not padded, offsets have as many bytes as the size needs."""
    body = b"a\0" + number(0, width) + integer() + b"b\0" + number(200, width) + DOUBLE
    found = decode_datatype(datatype(6, size, body, version=version, bits=2))
    assert [(m.name, m.offset) for m in found.members] == [("a", 0), ("b", 200)]


@pytest.mark.parametrize("version", VERSIONS)
def test_enumeration(version):
    names = b"".join((padded(n) if version < 3 else n + b"\0") for n in (b"ONE", b"MINUS"))
    for order, bits in (("little", 8), ("big", 9)):
        base = datatype(0, 2, struct.pack("<HH", 0, 16), version=version, bits=bits)
        values = (1).to_bytes(2, order) + (-1).to_bytes(2, order, signed=True)
        found = decode_datatype(datatype(8, 2, base + names + values, version=version, bits=2))
        assert isinstance(found, Enumeration)
        assert (found.names, found.values) == (("ONE", "MINUS"), (1, -1))


@pytest.mark.parametrize("version", VERSIONS)
def test_variable_length(version):
    assert decode_datatype(datatype(9, 16, integer(), version=version)) == VariableLength(INT, False, "ascii", 16)
    text = decode_datatype(datatype(9, 16, integer(), version=version, bits=0x121))
    assert (text.is_string, text.charset, text.padding) == (True, "utf-8", 2)


@pytest.mark.parametrize("version", [2, 3, 4])
def test_array(version):
    head = (
        bytes([2])
        + (bytes(3) if version < 3 else b"")
        + number(3, 4)
        + number(5, 4)
        + (bytes(8) if version < 3 else b"")
    )
    found = decode_datatype(datatype(10, 60, head + integer(), version=version))
    assert found == ArrayType(INT, (3, 5), 60)
    with pytest.raises(FormatError, match="size of an array"):
        decode_datatype(datatype(10, 61, head + integer(), version=version))


def test_complex():
    assert decode_datatype(datatype(11, 16, DOUBLE, version=5)) == Complex(decode_datatype(DOUBLE), 16)
    with pytest.raises(FormatError, match="complex"):
        decode_datatype(datatype(11, 8, DOUBLE, version=5))


def test_names_that_are_not_utf_8():
    found = decode_datatype(datatype(6, 4, b"\xff\0" + number(0, 1) + integer(), version=3, bits=1))
    assert found.members[0].name.encode("utf-8", "surrogateescape") == b"\xff"


NESTED = variable(
    datatype(
        6, 40, b"a\0" + number(0, 1) + VARIABLE_TEXT + b"b\0" + number(16, 1)
        + datatype(10, 8, bytes([1]) + number(2, 4) + integer(), version=3), version=3, bits=2,
    )
)  # fmt: skip
BODIES = [integer(), DOUBLE, VARIABLE_TEXT, NESTED, datatype(5, 9, b"a tag\0\0\0", bits=8), datatype(2, 4, bytes(2))]


@pytest.mark.parametrize("body", BODIES)
def test_truncated(body):
    decode_datatype(body)
    for size in range(len(body)):
        with pytest.raises(TruncatedError if b"a\0" not in body else FormatError):
            decode_datatype(body[:size])


@pytest.mark.parametrize("body", BODIES)
def test_flipped_bits(body):
    for i in range(len(body) * 8):
        bad = bytearray(body)
        bad[i // 8] ^= 1 << i % 8
        with contextlib.suppress(RefmakerError):
            decode_datatype(bytes(bad))


def test_depth_is_bounded():
    kind = integer()
    for _ in range(MAX_DEPTH):
        kind = variable(kind)
    decode_datatype(kind)
    with pytest.raises(FormatError, match="nested too deep"):
        decode_datatype(variable(kind))


@pytest.mark.parametrize(("body", "match"), [
    (datatype(0, 0, bytes(4)), "size"),
    (datatype(3, 4, bits=0x20), "character set"),
    (datatype(9, 16, integer(), bits=2), "type of a variable-length"),
    (datatype(6, 4, b"a" * 20, version=3, bits=1), "name without an end"),
    (datatype(6, 4, b"a\0" + number(1, 1) + integer(), version=3, bits=1), "reaches beyond the element"),
    (datatype(6, 8, (b"a\0\0" + integer()) + (b"b\0\3" + integer()), version=3, bits=2), "overlaps another"),
    (datatype(10, 4, bytes([1]) + number(0, 4) + integer(), version=3), "extent of an array"),
    (datatype(8, 2, integer() + b"A\0" + number(1, 4), version=3, bits=1), "size of an enumeration"),
    (datatype(6, 4, padded(b"a") + struct.pack("<IB3x4x4x4I", 0, 5, 1, 1, 1, 1) + integer(), bits=1), "rank"),
])  # fmt: skip
def test_contradictions(body, match):
    with pytest.raises(FormatError, match=match):
        decode_datatype(body)


@pytest.mark.parametrize(("body", "match"), [
    (datatype(0, 4, bytes(4), version=0), "version"),
    (datatype(0, 4, bytes(4), version=6), "version"),
    (datatype(12, 4), "class"),
    (datatype(8, 8, DOUBLE, bits=0), "not an integer"),
])  # fmt: skip
def test_unknown(body, match):
    with pytest.raises(Unsupported, match=match):
        decode_datatype(body)
