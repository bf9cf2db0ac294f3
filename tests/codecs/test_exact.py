from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from refmaker.codecs.decode import decode_chunk
from refmaker.codecs.exact import supports, widened
from refmaker.errors import Unsupported
from refmaker.hdf5.datatype import decode_datatype
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

from .stored import float_type, integer_type

I4 = FixedPoint(4, "<", True, 0, 32)
F4 = decode_datatype(float_type(4, 32, 0, 8, 23, 127))
F2 = decode_datatype(float_type(2, 16, 0, 5, 10, 15))
F8 = decode_datatype(float_type(8, 64, 0, 11, 52, 1023))
BF16 = decode_datatype(float_type(2, 16, 0, 8, 7, 127))
E4M3 = decode_datatype(float_type(1, 8, 0, 4, 3, 7))


@pytest.mark.parametrize(
    ("datatype", "expected"),
    [
        (I4, "<i4"),
        (FixedPoint(3, "<", True, 0, 24), "<i4"),
        (FixedPoint(3, ">", False, 2, 17), ">u4"),
        (FixedPoint(4, ">", True, 4, 12), ">i4"),
        (FixedPoint(4, ">", True, 0, 16), ">i4"),
        (FixedPoint(1, "<", False, 0, 8), "|u1"),
        (FixedPoint(5, "<", False, 0, 40), "<u8"),
        (FixedPoint(8, "<", True, 0, 64), "<i8"),
        (BitField(2, "<", 3, 5), "<u2"),
        (BitField(3, ">", 0, 24), ">u4"),
        (F2, "<f2"),
        (F4, "<f4"),
        (F8, "<f8"),
        (decode_datatype(float_type(4, 32, 0, 8, 23, 127, ">")), ">f4"),
        (BF16, "<f4"),
        (E4M3, "<f4"),
        (decode_datatype(float_type(1, 8, 0, 5, 2, 15, ">")), ">f4"),
        (decode_datatype(float_type(4, 20, 7, 6, 13, 31)), "<f4"),
        (decode_datatype(float_type(8, 32, 16, 8, 23, 127)), "<f4"),
        (decode_datatype(float_type(2, 16, 0, 10, 5, 511)), "<f8"),
        (decode_datatype(float_type(3, 24, 0, 7, 16, 63)), "<f4"),
        (decode_datatype(float_type(4, 32, 0, 7, 24, 63)), "<f8"),
        (Enumeration(FixedPoint(3, "<", True, 0, 24), ("A",), (1,), 3), "<i4"),
        (String(5, 2, "utf-8"), "|S5"),
        (Opaque(7, "tag"), "|V7"),
        (Complex(F4, 8), "<c8"),
        (Complex(F2, 4), "<c8"),
        (Complex(decode_datatype(float_type(8, 64, 0, 11, 52, 1023, ">")), 16), ">c16"),
        (Compound(8, (Member("r", 0, F4), Member("i", 4, F4))), "<c8"),
        (Compound(24, (Member("real", 8, F8), Member("imag", 16, F8))), "<c16"),
        (ArrayType(BF16, (2, 3), 12), {"base": "<f4", "shape": [2, 3]}),
        (ArrayType(ArrayType(I4, (3,), 12), (2,), 24), {"base": "<i4", "shape": [2, 3]}),
        (Compound(2, (Member("a", 0, ArrayType(E4M3, (2,), 2)),)), [["a", "<f4", [2]]]),
        (Compound(16, (Member("b", 9, String(3, 0, "ascii")), Member("a", 0, I4))), [["b", "|S3"], ["a", "<i4"]]),
        (Compound(8, (Member("i", 0, F4), Member("r", 4, F4))), [["i", "<f4"], ["r", "<f4"]]),
        (Compound(12, (Member("r", 0, F4), Member("i", 4, F8))), [["r", "<f4"], ["i", "<f8"]]),
        (Compound(8, (Member("r", 0, I4), Member("i", 4, I4))), [["r", "<i4"], ["i", "<i4"]]),
    ],
)  # fmt: skip
def test_dtype(datatype: Any, expected: Any) -> None:
    assert supports(datatype) == expected


@pytest.mark.parametrize(
    ("datatype", "reason"),
    [
        (FixedPoint(16, "<", True, 0, 128), "8 bytes"),
        (FixedPoint(4, "<", True, 20, 16), "bits outside"),
        (BitField(2, "<", 0, 0), "bits outside"),
        (FixedPoint(4, ">", True, 3, 12), "unused"),
        (BitField(2, "<", 0, 7), "unused"),
        (decode_datatype(float_type(4, 8, 0, 4, 3, 7)), "unused"),
        (decode_datatype(float_type(16, 128, 0, 15, 112, 16383)), "beyond float64"),
        (decode_datatype(float_type(2, 16, 0, 12, 3, 2047)), "beyond float64"),
        (FloatingPoint(16, "<", 0, 80, 79, 64, 15, 0, 64, 16383, 1), "implied"),
        (FloatingPoint(4, "vax", 0, 32, 31, 23, 8, 0, 23, 129, 2), "VAX"),
        (FloatingPoint(4, "<", 0, 32, 31, 22, 8, 0, 23, 127, 2), "bit fields"),
        (FloatingPoint(2, "<", 0, 32, 31, 23, 8, 0, 23, 127, 2), "bit fields"),
        (FloatingPoint(4, "<", 8, 24, 31, 23, 8, 0, 23, 127, 2), "bit fields"),
        (FloatingPoint(4, "<", 0, 32, 31, 31, 0, 0, 23, 127, 2), "bit fields"),
        (decode_datatype(float_type(1, 8, 0, 4, 3, 0)), "bias"),
        (Time(4, "<", 32), "time"),
        (String(0, 0, "ascii"), "size"),
        (ObjectReference(8), "references"),
        (RegionReference(12), "references"),
        (VariableLength(I4, False, "ascii", 16), "variable-length"),
        (Compound(8, ()), "names"),
        (Compound(8, (Member("", 0, I4),)), "names"),
        (Compound(8, (Member("a", 0, I4), Member("a", 4, I4))), "names"),
        (Compound(16, (Member("a", 0, ObjectReference(8)),)), "references"),
        (Complex(I4, 8), "parts"),
        (ArrayType(String(2**20, 0, "ascii"), (2**20,), 2**40), "size of an array"),
        (ArrayType(ArrayType(ArrayType(I4, (1,) * 32, 4), (1,) * 32, 4), (1,), 4), "rank"),
        (Compound(2**32 - 1, (Member("a", 0, Opaque(2**31 - 1, "")), Member("b", 2**31 - 1, Opaque(2**31 - 1, "")))),
         "size of a compound"),
    ],
)  # fmt: skip
def test_refused_with_a_reason(datatype: Any, reason: str) -> None:
    assert supports(datatype) is None
    with pytest.raises(Unsupported, match=reason):
        widened(datatype)


def values_of(patterns: np.ndarray, exponent: int, mantissa: int, bias: int) -> np.ndarray:
    """Return what bit patterns (sign, exponent, mantissa from the top) mean, in float64."""
    patterns = patterns.astype("u8")
    fraction = (patterns & np.uint64(2**mantissa - 1)).astype("f8")
    power = (patterns >> np.uint64(mantissa) & np.uint64(2**exponent - 1)).astype("i4")
    negative = (patterns >> np.uint64(mantissa + exponent) & np.uint64(1)).astype(bool)
    power_or_1 = np.where(power == 2**exponent - 1, 1, power)
    normal = np.ldexp(fraction + 2.0**mantissa, power_or_1 - bias - mantissa)
    values = np.where(power == 0, np.ldexp(fraction, 1 - bias - mantissa), normal)
    values = np.where(power == 2**exponent - 1, np.where(fraction == 0, np.inf, np.nan), values)
    return np.where(negative, -values, values)


def check_float(
    patterns: np.ndarray, size: int, offset: int, exponent: int, mantissa: int, bias: int, byte_order: str
) -> None:
    """Check that libhdf5 makes of bit patterns what they mean."""
    body = float_type(size, 1 + exponent + mantissa, offset, exponent, mantissa, bias, byte_order)
    dtype = widened(decode_datatype(body))
    wide = (patterns.astype("u8") << np.uint64(offset)).astype(">u8").view("u1").reshape(-1, 8)[:, 8 - size :]
    raw = np.ascontiguousarray(wide if byte_order == ">" else wide[:, ::-1])
    got = np.frombuffer(decode_chunk(raw.tobytes(), body, (len(patterns),), (), 0, dtype), dtype).astype("f8")
    expected = values_of(patterns, exponent, mantissa, bias)
    same = (got == expected) & (np.signbit(got) == np.signbit(expected)) | np.isnan(got) & np.isnan(expected)
    wrong = np.flatnonzero(~same)
    assert len(wrong) == 0, (hex(patterns[wrong[0]]), got[wrong[0]], expected[wrong[0]])


@pytest.mark.parametrize("byte_order", "<>")
@pytest.mark.parametrize(
    ("size", "offset", "exponent", "mantissa", "bias"),
    [
        (2, 0, 8, 7, 127),  # bfloat16
        (1, 0, 4, 3, 7),  # FP8 E4M3
        (1, 0, 5, 2, 15),  # FP8 E5M2
        (2, 5, 4, 3, 7),
        (2, 0, 5, 10, 15),
        (2, 0, 10, 5, 511),
        (2, 0, 3, 12, 3),
        (4, 7, 6, 13, 31),  # the n-bit example of the reference manual, 20 bits
    ],
)
def test_every_bit_pattern(size: int, offset: int, exponent: int, mantissa: int, bias: int, byte_order: str) -> None:
    patterns = np.arange(2 ** (1 + exponent + mantissa), dtype="u8")
    check_float(patterns, size, offset, exponent, mantissa, bias, byte_order)


@given(
    exponent=st.integers(1, 11),
    mantissa=st.integers(1, 52),
    offset=st.integers(0, 20),
    slack=st.integers(0, 3),
    shift=st.integers(-200, 200),
    byte_order=st.sampled_from("<>"),
)
@example(exponent=11, mantissa=52, offset=0, slack=0, shift=0, byte_order=">")
@example(exponent=8, mantissa=23, offset=16, slack=0, shift=0, byte_order="<")
@example(exponent=8, mantissa=23, offset=0, slack=0, shift=-1, byte_order="<")
@example(exponent=8, mantissa=7, offset=0, slack=0, shift=1, byte_order="<")
@settings(deadline=None, max_examples=150)
def test_float_formats(exponent: int, mantissa: int, offset: int, slack: int, shift: int, byte_order: str) -> None:
    bits, bias = 1 + exponent + mantissa, 2 ** (exponent - 1) - 1 + shift
    size = (offset + bits + 7) // 8 + slack
    assume(size <= 8 and bias >= 1)
    if supports(decode_datatype(float_type(size, bits, offset, exponent, mantissa, bias, byte_order))) is None:
        return
    if bits <= 14:
        patterns = np.arange(2**bits, dtype="u8")
    else:
        rng = np.random.default_rng(bits)
        powers = np.arange(2**exponent, dtype="u8")[:, None] << np.uint64(mantissa)
        edges = [0, 1, 2, 3, 2 ** (mantissa - 1), 2 ** (mantissa - 1) + 1, 2**mantissa - 2, 2**mantissa - 1]
        fractions = np.array(edges, "u8") & np.uint64(2**mantissa - 1)
        positive = np.concatenate([(powers | fractions).ravel(), rng.integers(0, 2 ** (bits - 1), 1000, "u8")])
        patterns = np.concatenate([positive, positive | np.uint64(1 << bits - 1)])
    check_float(patterns, size, offset, exponent, mantissa, bias, byte_order)


@st.composite
def integer_bits(draw: st.DrawFn) -> tuple[int, int, int]:
    """Return size, offset and precision of an integer that libhdf5 opens."""
    size = draw(st.integers(1, 8))
    stop = draw(st.integers(1 if size == 1 else 4 * size, 8 * size))
    precision = draw(st.integers(1, stop))
    return size, stop - precision, precision


@given(
    bits_of=integer_bits(),
    kind=st.sampled_from(["signed", "unsigned", "bits"]),
    byte_order=st.sampled_from("<>"),
    padding=st.booleans(),
)
@settings(deadline=None, max_examples=200)
def test_integers(bits_of: tuple[int, int, int], kind: str, byte_order: str, padding: bool) -> None:
    """Every integer is what its bits say, whatever the bits around it."""
    size, offset, precision = bits_of
    body = integer_type(size, precision, offset, signed=kind == "signed", bits=kind == "bits", byte_order=byte_order)
    dtype = widened(decode_datatype(body))
    rng = np.random.default_rng(precision)
    bits = [0, 1, 2**precision - 1, 2 ** (precision - 1), 2 ** (precision - 1) - 1]
    bits += [int(v) % 2**precision for v in rng.integers(0, 2**64 - 1, 20, "u8")]
    around = (2 ** (8 * size) - 1) & ~((2**precision - 1) << offset) if padding else 0
    order = "little" if byte_order == "<" else "big"
    raw = b"".join((v << offset | around).to_bytes(size, order) for v in bits)
    got = np.frombuffer(decode_chunk(raw, body, (len(bits),), (), 0, dtype), dtype)
    signed = [v - 2**precision if kind == "signed" and v >> (precision - 1) else v for v in bits]
    assert got.tolist() == signed
