from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from h5py import h5t

from refmaker.codecs.memory import memory_type
from refmaker.errors import FormatError

from .stored import datatype_of, float_type, integer_type

I4 = h5t.STD_I32LE
ODD = datatype_of(integer_type(3, 20, 2))
BITS = datatype_of(integer_type(2, 9, 4, bits=True))
BF16 = datatype_of(float_type(2, 16, 0, 8, 7, 127))
PAIR = h5t.py_create(np.dtype([("a", "<i4"), ("b", "<f8")]))
ENUM = h5t.enum_create(h5t.STD_I16BE)
SWAPPED = h5t.create(h5t.COMPOUND, 8)
SWAPPED.insert(b"r", 4, h5t.IEEE_F32LE)
SWAPPED.insert(b"i", 0, h5t.IEEE_F32LE)


def named(value: object) -> str:
    """Name a case the same in every process: h5py's types would show their address in memory."""
    return value if isinstance(value, str) else type(value).__name__


@pytest.mark.parametrize(
    ("stored", "dtype"),
    [
        (I4, "<i4"),
        (I4, "<i8"),
        (ODD, "<i4"),
        (h5t.STD_U8BE, "|u1"),
        (h5t.STD_I8LE, "|b1"),
        (BITS, "<u2"),
        (BITS, "<u8"),
        (BF16, "<f4"),
        (BF16, "<f8"),
        (h5t.IEEE_F16LE, "<f4"),
        (ENUM, ">i2"),
        (ENUM, "<i2"),  # every bit counts, so that the bytes may be swapped
        (I4, ">i4"),
        (h5t.IEEE_F32LE, ">f4"),
        (h5t.py_create(np.dtype("S5")), "|S5"),
        (h5t.py_create(np.dtype("V5")), "|V5"),
        (PAIR, [("a", "<i4"), ("b", "<f8")]),
        (PAIR, [("b", "<f8")]),
        (h5t.array_create(I4, (2, 3)), ("<i4", (2, 3))),
        (h5t.array_create(h5t.array_create(I4, (3,)), (2,)), ("<i4", (2, 3))),
        (h5t.array_create(h5t.array_create(I4, (3,)), (2,)), (("<i4", (3,)), (2,))),
    ],
    ids=named,
)
def test_size_is_that_of_the_dtype(stored: Any, dtype: Any) -> None:
    assert memory_type(stored, np.dtype(dtype)).get_size() == np.dtype(dtype).itemsize


@pytest.mark.parametrize(
    ("stored", "dtype"),
    [
        (I4, "<i2"),  # libhdf5 would clip
        (I4, "<u4"),
        (I4, "<u8"),
        (I4, ">i8"),
        (I4, "<f8"),
        (I4, "|S4"),
        (I4, "|V4"),
        (I4, "|b1"),
        (I4, [("a", "<i4")]),
        (I4, ("<i4", (1,))),
        (h5t.STD_U32LE, "<i4"),
        (datatype_of(integer_type(4, 20, 0, byte_order=">")), "<i4"),  # libhdf5 would swap the bytes, no more
        (BITS, "|u1"),
        (BITS, "<i2"),
        (BITS, ">u2"),
        (h5t.IEEE_F64LE, "<f4"),
        (h5t.IEEE_F32LE, "<f2"),
        (BF16, "<f2"),
        (BF16, ">f4"),
        (BF16, "<c8"),
        (datatype_of(float_type(8, 64, 0, 15, 48, 16383)), "<f8"),
        (ENUM, ">u2"),
        (h5t.py_create(np.dtype("S5")), "|S4"),
        (h5t.py_create(np.dtype("S5")), "|S6"),
        (h5t.py_create(np.dtype("S5")), "|V5"),
        (h5t.py_create(np.dtype("V5")), "|V4"),
        (h5t.py_create(np.dtype("V8")), "<i8"),
        (PAIR, [("a", "<i4"), ("c", "<f8")]),
        (PAIR, [("a", "<i2")]),
        (PAIR, "<c16"),
        (PAIR, "|V12"),
        (SWAPPED, "<c8"),
        (h5t.array_create(I4, (2, 3)), "<i4"),
        (h5t.array_create(I4, (2, 3)), ("<i4", (6,))),
        (h5t.array_create(I4, (2, 3)), ("<i4", (2, 3, 1))),
        (h5t.array_create(I4, (2, 3)), ("<i4", (2,))),
        (h5t.STD_REF_OBJ, "<u8"),
        (h5t.vlen_create(I4), "|V16"),
    ],
    ids=named,
)
def test_what_would_lose_something_is_refused(stored: Any, dtype: Any) -> None:
    with pytest.raises(FormatError):
        memory_type(stored, np.dtype(dtype))


def test_variable_strings_are_refused() -> None:
    variable = h5t.C_S1.copy()
    variable.set_size(h5t.VARIABLE)
    with pytest.raises(FormatError):
        memory_type(variable, np.dtype("S8"))
