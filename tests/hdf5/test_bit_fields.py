"""Values of odd numbers beside what libhdf5 converts them to."""

from __future__ import annotations

from typing import Any

import h5py
import numpy as np
import pytest
from h5py import h5a, h5s, h5t

from refmaker import scan
from refmaker.errors import TruncatedError, Unsupported
from refmaker.hdf5.bit_fields import decode_bit_fields, has_bit_fields
from refmaker.hdf5.datatype import decode_datatype
from tests.codecs.stored import message


def floating(size: int, fields: tuple[int, int, int, int, int], bias: int, big: bool = False) -> Any:
    datatype = (h5t.IEEE_F64BE if big else h5t.IEEE_F64LE).copy()
    datatype.set_fields(*fields)
    datatype.set_precision(8 * size) if size == 8 else None
    datatype.set_size(size)
    datatype.set_ebias(bias)
    return datatype


def fixed(size: int, precision: int, offset: int, signed: bool = True, big: bool = False) -> Any:
    name = f"STD_{'I' if signed else 'U'}{8 * (size if size in (1, 2, 4, 8) else 4 if size < 4 else 8)}"
    datatype = getattr(h5t, f"{name}{'BE' if big else 'LE'}").copy()
    datatype.set_size(size)
    datatype.set_precision(precision)
    datatype.set_offset(offset)
    return datatype


FLOATS = {
    "bfloat16": floating(2, (15, 7, 8, 0, 7), 127),
    "big-endian bfloat16": floating(2, (15, 7, 8, 0, 7), 127, big=True),
    "FP8 E5M2": floating(1, (7, 2, 5, 0, 2), 15),
    "FP8 E4M3": floating(1, (7, 3, 4, 0, 3), 7),
    "24 bits": floating(3, (23, 16, 7, 0, 16), 63),
}
INTEGERS = {
    f"{'i' if signed else 'u'}{precision} at {offset} of {size}{' big' * big}": fixed(
        size, precision, offset, signed, big
    )
    for size, precision, offset in [(2, 12, 0), (2, 12, 4), (3, 24, 0), (4, 20, 3), (8, 40, 10), (5, 40, 0), (1, 7, 1)]
    for signed in (False, True)
    for big in (False, True)
}


def every_pattern(size: int) -> bytes:
    if size == 1:
        return bytes(range(256))
    if size == 2:
        return np.arange(65536, dtype="<u2").tobytes()
    return np.random.default_rng(size).integers(0, 256, 4000 * size, np.uint8).tobytes()


def converted(datatype: Any, raw: bytes, dtype: np.dtype[Any]) -> np.ndarray:
    """Let libhdf5 convert the values."""
    count = len(raw) // datatype.get_size()
    buffer = np.zeros(count * max(datatype.get_size(), dtype.itemsize), np.uint8)
    buffer[: len(raw)] = np.frombuffer(raw, np.uint8)
    h5t.convert(datatype, h5t.py_create(dtype), count, buffer)
    return buffer[: count * dtype.itemsize].view(dtype)


@pytest.mark.parametrize("name", [*FLOATS, *INTEGERS])
def test_all_values(name: str) -> None:
    datatype = (FLOATS | INTEGERS)[name]
    raw = every_pattern(datatype.get_size())
    decoded = decode_datatype(message(datatype))
    assert has_bit_fields(decoded)
    if name.endswith("big") and datatype.get_size() in (1, 2, 4, 8):
        with pytest.raises(Unsupported, match="unused bits"):
            decode_bit_fields(decoded, raw, (len(raw) // datatype.get_size(),))
        return
    got = decode_bit_fields(decoded, raw, (2, len(raw) // datatype.get_size() // 2))
    expected = converted(datatype, raw, got.dtype).reshape(got.shape)
    assert np.array_equal(got, expected, equal_nan=name in FLOATS)
    if name in FLOATS:
        assert np.array_equal(
            np.signbit(got), np.signbit(expected) & ~np.isnan(expected) | np.signbit(got) & np.isnan(got)
        )


def test_native_numbers_have_none() -> None:
    for datatype in (h5t.IEEE_F16LE, h5t.IEEE_F64BE, h5t.STD_I8LE, h5t.STD_U64BE, h5t.STD_B16LE):
        assert not has_bit_fields(decode_datatype(message(datatype)))


def test_too_few_bytes() -> None:
    with pytest.raises(TruncatedError):
        decode_bit_fields(decode_datatype(message(FLOATS["bfloat16"])), b"abc", (2,))


def test_what_no_dtype_holds() -> None:
    with pytest.raises(Unsupported):
        decode_bit_fields(decode_datatype(message(h5t.NATIVE_LDOUBLE)), bytes(32), (2,))


@pytest.mark.parametrize("shape", [(), (2,), (2, 3)], ids=str)
def test_attributes(tmp_path: Any, shape: tuple[int, ...]) -> None:
    values = np.asarray(np.arange(int(np.prod(shape)), dtype="f4").reshape(shape) * np.float32(1.5))
    with h5py.File(tmp_path / "a.h5", "w") as file:
        dataset = file.create_dataset("x", data=1)
        space = h5s.create_simple(shape) if shape else h5s.create(h5s.SCALAR)
        h5a.create(dataset.id, b"odd", FLOATS["bfloat16"], space).write(values, mtype=h5t.NATIVE_FLOAT)
    manifest = scan(tmp_path / "a.h5")
    assert np.array_equal(manifest.arrays["x"].attributes["odd"], values)
    assert manifest.types is not None
    assert manifest.types["x"]["odd"] == "f4"
    assert manifest.objects[0].notes == []
