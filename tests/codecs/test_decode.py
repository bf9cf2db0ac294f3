from __future__ import annotations

import os
import zlib
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import h5py
import numpy as np
import pytest
from h5py import h5t, h5z

from refmaker.codecs.config import make_plan
from refmaker.codecs.decode import ChunkDecoder, decode_chunk
from refmaker.codecs.exact import widened
from refmaker.errors import FormatError, RefmakerError, Unsupported
from refmaker.hdf5.datatype import decode_datatype
from refmaker.model import Filter

from .stored import (
    DEFLATE,
    FLETCHER32,
    LZF,
    NBIT,
    SHUFFLE,
    SZIP,
    FilterSpec,
    Stored,
    datatype_of,
    float_type,
    integer_type,
    memory_file,
    message,
    reopened,
    store,
    store_as,
)

szip_encoder = pytest.mark.skipif(
    not (h5z.filter_avail(4) and h5z.get_filter_info(4) & h5z.FILTER_CONFIG_ENCODE_ENABLED),
    reason="h5py without the szip encoder",
)
RNG = np.random.default_rng(3)
WALK = np.cumsum(RNG.integers(-3, 4, (30, 45)), 1) + 500


def decoded(stored: Stored, dtype: Any, *offset: int) -> np.ndarray:
    mask, raw = stored.chunk(*offset)
    dtype = np.dtype(dtype)
    got = decode_chunk(raw, stored.datatype, stored.chunk_shape, stored.filters, mask, dtype)
    base, inner = dtype.subdtype or (dtype, ())
    return np.frombuffer(got, base).reshape(stored.chunk_shape + inner)


def check(stored: Stored, dtype: Any, expected: np.ndarray | None = None) -> None:
    """Every chunk decodes to what libhdf5 reads, as far as the chunk lies in the dataset."""
    expected = stored.read(dtype) if expected is None else expected
    assert expected.shape[: len(stored.dataset.shape)] == stored.dataset.shape
    for offset in stored.offsets():
        inside = tuple(slice(start, start + size) for start, size in zip(offset, stored.chunk_shape, strict=True))
        part = expected[inside]
        got = decoded(stored, dtype, *offset)[tuple(slice(0, n) for n in part.shape)]
        assert got.dtype == np.dtype(dtype).base
        assert got.tobytes() == part.tobytes()


PIPELINES: list[tuple[str, Sequence[FilterSpec]]] = [
    ("none", []),
    ("deflate", [DEFLATE]),
    ("shuffle", [SHUFFLE]),
    ("fletcher32", [FLETCHER32]),
    ("lzf", [LZF]),
    ("nbit", [NBIT]),
    ("shuffle-deflate", [SHUFFLE, DEFLATE]),
    ("deflate-shuffle", [DEFLATE, SHUFFLE]),
    ("deflate-deflate", [DEFLATE, DEFLATE]),
    ("fletcher32 in the middle", [SHUFFLE, FLETCHER32, DEFLATE]),
    ("fletcher32 twice", [FLETCHER32, DEFLATE, FLETCHER32]),
    ("fletcher32 last", [SHUFFLE, DEFLATE, FLETCHER32]),
    ("shuffle-lzf-fletcher32", [SHUFFLE, LZF, FLETCHER32]),
    ("nbit-deflate", [NBIT, DEFLATE]),
]


@pytest.mark.parametrize("dtype", ["<i4", ">u2", "|i1", ">f8", "<f2"])
@pytest.mark.parametrize(("name", "filters"), PIPELINES, ids=[name for name, _ in PIPELINES])
def test_pipelines(name: str, filters: Sequence[FilterSpec], dtype: str) -> None:
    values = (WALK % 100).astype(dtype)
    stored = store_as(h5t.py_create(np.dtype(dtype)), values, filters)
    check(stored, dtype, values)


def test_many_chunks_and_partial_ones() -> None:
    stored = store(WALK.astype("<i4"), (7, 16), compression="gzip", shuffle=True)
    check(stored, "<i4", WALK.astype("<i4"))


def test_chunk_larger_than_the_dataset() -> None:
    values = WALK[:3, :5].astype("<i4")
    file = memory_file()
    file.create_dataset("x", data=values, chunks=(8, 8), maxshape=(None, None), compression="lzf")
    stored = reopened(file)
    assert stored.chunk_shape == (8, 8)
    check(stored, "<i4", values)


@szip_encoder
@pytest.mark.parametrize("coding", ["ec", "nn"])
@pytest.mark.parametrize("dtype", ["<i4", ">i2", "|u1", "<f8", ">f4"])
def test_szip(dtype: str, coding: str) -> None:
    values = (WALK % 100).astype(dtype)
    check(store(values, (16, 16), compression="szip", compression_opts=(coding, 8)), dtype, values)


@szip_encoder
def test_szip_between_other_filters() -> None:
    check(store_as(h5t.STD_I32LE, WALK.astype("<i4"), [SHUFFLE, SZIP, DEFLATE, FLETCHER32]), "<i4")


@pytest.mark.parametrize("dtype", ["<i4", ">i4", "|u1", "<u8", ">i2"])
@pytest.mark.parametrize("bits", [0, 7])
def test_scale_offset_of_integers(dtype: str, bits: int) -> None:
    values = (WALK % 60).astype(dtype)
    stored = store(values, (16, 16), scaleoffset=bits, fillvalue=3)
    check(stored, dtype, values)


@pytest.mark.parametrize("dtype", ["<f4", ">f8"])
def test_scale_offset_of_floats_is_lossy_as_in_the_file(dtype: str) -> None:
    values = (WALK / 7).astype(dtype)
    stored = store(values, (16, 16), scaleoffset=2)
    as_read = stored.file["x"][...]
    assert not np.array_equal(as_read, values)
    check(stored, dtype, as_read)


def test_filters_on_one_value_everywhere() -> None:
    check(store(np.full((20, 20), -5, "<i4"), scaleoffset=0), "<i4", np.full((20, 20), -5, "<i4"))


# Datatypes


def nbit_integer(size: int, precision: int, offset: int, **more: Any) -> Any:
    return datatype_of(integer_type(size, precision, offset, **more))


@pytest.mark.parametrize("filters", [[], [NBIT], [NBIT, DEFLATE], [SHUFFLE, DEFLATE]], ids=str)
@pytest.mark.parametrize(
    ("size", "precision", "offset"), [(3, 24, 0), (4, 17, 0), (4, 12, 4), (2, 9, 3), (5, 33, 7), (8, 50, 1), (1, 5, 2)]
)
@pytest.mark.parametrize("byte_order", "<>")
@pytest.mark.parametrize("signed", [True, False])
def test_odd_integers(size: int, precision: int, offset: int, byte_order: str, signed: bool, filters: Any) -> None:
    datatype = nbit_integer(size, precision, offset, byte_order=byte_order, signed=signed)
    low, high = (-(2 ** (precision - 1)), 2 ** (precision - 1)) if signed else (0, 2**precision)
    values = np.concatenate([[low, high - 1, 0], RNG.integers(low, high, 97)]).astype("<i8" if signed else "<u8")
    memory = h5t.NATIVE_INT64 if signed else h5t.NATIVE_UINT64
    stored = store_as(datatype, values, filters, (30,), memory)
    dtype = widened(decode_datatype(stored.datatype))
    check(stored, dtype, values.astype(dtype))


@pytest.mark.parametrize("filters", [[], [DEFLATE], [NBIT]], ids=str)
@pytest.mark.parametrize("byte_order", "<>")
def test_bit_fields(byte_order: str, filters: Any) -> None:
    datatype = datatype_of(integer_type(2, 9, 4, bits=True, byte_order=byte_order))
    memory = h5t.STD_B16LE if byte_order == "<" else h5t.STD_B16BE
    values = RNG.integers(0, 2**9, 100).astype(f"{byte_order}u2")
    check(store_as(datatype, values, filters, (30,), memory), f"{byte_order}u2", values)


@pytest.mark.parametrize("filters", [[], [SHUFFLE, DEFLATE], [NBIT]], ids=str)
@pytest.mark.parametrize(
    ("size", "precision", "exponent", "mantissa", "bias"), [(2, 16, 8, 7, 127), (1, 8, 4, 3, 7), (1, 8, 5, 2, 15)]
)
def test_small_floats(size: int, precision: int, exponent: int, mantissa: int, bias: int, filters: Any) -> None:
    datatype = datatype_of(float_type(size, precision, 0, exponent, mantissa, bias))
    values = np.array([0, -0.0, 1, -1.5, 0.25, 2.5, 3, 6, np.inf, -np.inf], "<f4")
    values = np.concatenate([values, RNG.integers(-16, 17, 90) / 4]).astype("<f4")
    stored = store_as(datatype, values, filters, (30,), h5t.IEEE_F32LE)
    check(stored, "<f4")


def test_nbit_floats() -> None:
    """The n-bit example of the reference manual: 20 bits of 32."""
    datatype = datatype_of(float_type(4, 20, 7, 6, 13, 31))
    values = (WALK / 8).astype("<f4")
    check(store_as(datatype, values, [NBIT], None, h5t.IEEE_F32LE), "<f4")


@pytest.mark.parametrize("byte_order", "<>")
def test_enumerations(byte_order: str) -> None:
    """Values without a name, too, come out as they are."""
    base = nbit_integer(3, 24, 0, byte_order=byte_order)
    datatype = h5t.enum_create(base)
    datatype.enum_insert(b"A", 1)
    datatype.enum_insert(b"B", 70000)
    raw = np.array([1, 70000, -5, 8388607, 0], ">i4").view("u1").reshape(-1, 4)[:, 1:]
    raw = raw if byte_order == ">" else raw[:, ::-1]
    got = decode_chunk(raw.tobytes(), message(datatype), (5,), (), 0, f"{byte_order}i4")
    assert np.frombuffer(got, f"{byte_order}i4").tolist() == [1, 70000, -5, 8388607, 0]


def test_booleans() -> None:
    values = WALK % 2 == 0
    check(store(values, compression="lzf"), "|b1", values)
    check(store(values, compression="lzf"), "|i1", values.astype("i1"))


def test_strings_are_null_padded() -> None:
    space = h5t.C_S1.copy()
    space.set_size(6)
    space.set_strpad(h5t.STR_SPACEPAD)
    raw = b"ab    abcdef      "
    assert decode_chunk(raw, message(space), (3,), (), 0, "|S6") == b"ab\0\0\0\0abcdef\0\0\0\0\0\0"
    terminated = h5t.C_S1.copy()
    terminated.set_size(4)
    assert decode_chunk(b"a\0xyabc\0", message(terminated), (2,), (), 0, "|S4") == b"a\0\0\0abc\0"
    terminated.set_cset(h5t.CSET_UTF8)
    assert decode_chunk("ä\0xé\0\0".encode(), message(terminated), (2,), (), 0, "|S4") == "ä\0\0é\0\0".encode()


def test_opaque() -> None:
    values = np.arange(30).astype("<M8[s]")
    opaque = values.astype(h5py.opaque_dtype(values.dtype))
    stored = store(opaque, compression="lzf")
    check(stored, "<M8[s]", values)
    check(stored, "|V8", values.view("V8"))


def test_compound_is_packed() -> None:
    padded = np.dtype({"names": ["a", "b", "c"], "formats": ["u1", ">f8", "S3"], "offsets": [0, 8, 17], "itemsize": 24})
    values = np.zeros(20, padded)
    values["a"], values["b"], values["c"] = np.arange(20), np.arange(20) / 3, b"xyz"
    stored = store(values, (6,), compression="lzf")
    assert int.from_bytes(stored.datatype[4:8], "little") == 24
    packed = np.dtype([("a", "u1"), ("b", ">f8"), ("c", "S3")])
    check(stored, packed, values.astype(packed))
    check(
        stored,
        padded.fields and np.dtype([("c", "S3"), ("a", "u1")]),
        values[["c", "a"]].astype([("c", "S3"), ("a", "u1")]),
    )


def test_compound_of_odd_members() -> None:
    """Everything that numpy has not, in one compound, packed by n-bit."""
    datatype = h5t.create(h5t.COMPOUND, 32)
    datatype.insert(b"int", 1, nbit_integer(3, 20, 2, byte_order=">"))
    datatype.insert(b"float", 6, datatype_of(float_type(2, 16, 0, 8, 7, 127)))
    datatype.insert(b"bits", 10, datatype_of(integer_type(1, 5, 1, bits=True)))
    datatype.insert("ü".encode(), 12, h5t.array_create(nbit_integer(3, 24, 0), (2,)))
    inner = h5t.create(h5t.COMPOUND, 6)
    inner.insert(b"x", 2, h5t.STD_I16BE)
    datatype.insert(b"in", 20, inner)
    dtype = np.dtype([("int", ">i4"), ("float", "<f4"), ("bits", "u1"), ("ü", "<i4", (2,)), ("in", [("x", ">i2")])])
    assert widened(decode_datatype(message(datatype))) == dtype
    values = np.zeros(40, dtype)
    values["int"] = RNG.integers(-(2**19), 2**19, 40)
    values["float"] = np.arange(40) / 4
    values["bits"] = np.arange(40) % 32
    values["ü"] = RNG.integers(-(2**23), 2**23, (40, 2))
    values["in"]["x"] = -np.arange(40)
    memory = h5t.create(h5t.COMPOUND, dtype.itemsize)
    for name, kind in (
        ("int", h5t.STD_I32BE),
        ("float", h5t.IEEE_F32LE),
        ("bits", h5t.STD_B8LE),
        ("ü", h5t.array_create(h5t.STD_I32LE, (2,))),
        ("in", h5t.py_create(dtype["in"])),
    ):
        memory.insert(name.encode(), dtype.fields[name][1], kind)  # type: ignore[index]
    for filters in ([], [DEFLATE], [NBIT]):
        stored = store_as(datatype, values.view(f"V{dtype.itemsize}"), filters, (15,), memory)
        check(stored, dtype, values)


@pytest.mark.parametrize("dtype", ["<c8", ">c16"])
def test_complex_of_compounds(dtype: str) -> None:
    values = (WALK + 1j * WALK[::-1]).astype(dtype)
    check(store(values, (16, 16), compression="lzf"), dtype, values)


@pytest.mark.skipif(not hasattr(h5t, "COMPLEX_IEEE_F32LE"), reason="HDF5 before 2.0")
@pytest.mark.parametrize(("name", "dtype"), [("F32LE", "<c8"), ("F32BE", ">c8"), ("F64LE", "<c16"), ("F64BE", ">c16")])
def test_complex_class(name: str, dtype: str) -> None:
    values = (WALK + 1j * WALK[::-1]).astype(dtype)
    datatype = getattr(h5t, f"COMPLEX_IEEE_{name}")
    stored = store_as(datatype, values, [SHUFFLE, DEFLATE], (16, 16), datatype)
    assert stored.datatype[0] & 15 == 11
    check(stored, dtype, values)


@pytest.mark.skipif(not hasattr(h5t, "COMPLEX_IEEE_F16LE"), reason="HDF5 before 2.0")
def test_complex_of_half_floats_widens() -> None:
    values = np.array([1 + 2j, -0.5 + 0.25j, np.inf - 1j], "<c8")
    stored = store_as(h5t.COMPLEX_IEEE_F16LE, values, [DEFLATE], None, h5t.COMPLEX_IEEE_F32LE)
    assert widened(decode_datatype(stored.datatype)) == np.dtype("<c8")
    check(stored, "<c8", values)


@pytest.mark.parametrize("filters", [[], [SHUFFLE, DEFLATE], [NBIT]], ids=str)
def test_arrays(filters: Any) -> None:
    datatype = h5t.array_create(nbit_integer(3, 24, 0), (2, 3))
    values = RNG.integers(-(2**23), 2**23, (20, 2, 3)).astype("<i4")
    memory = h5t.array_create(h5t.STD_I32LE, (2, 3))
    stored = store_as(datatype, values, filters, (6,), memory, (20,))
    dtype = widened(decode_datatype(stored.datatype))
    assert dtype == np.dtype(("<i4", (2, 3)))
    check(stored, dtype, values)


def test_arrays_of_arrays() -> None:
    body = message(h5t.array_create(h5t.array_create(nbit_integer(3, 24, 0), (3,)), (2,)))
    dtype = widened(decode_datatype(body))
    assert dtype.shape == (2, 3)
    raw = b"".join(v.to_bytes(3, "little") for v in range(12))
    assert np.frombuffer(decode_chunk(raw, body, (2,), (), 0, dtype), "<i4").tolist() == list(range(12))


def test_scalar() -> None:
    assert decode_chunk(b"\x01\x02\x03", integer_type(3, 24, 0), (), (), 0, "<i4") == b"\x01\x02\x03\0"


# Filter masks


@pytest.mark.parametrize("mask", range(8))
def test_filter_masks(mask: int) -> None:
    """Bit i says that filter i was skipped; libhdf5 reads such a chunk from its file alike."""
    values = np.arange(60, dtype="<i4")
    pipeline = [SHUFFLE, DEFLATE, FLETCHER32]
    stored = store_as(h5t.STD_I32LE, None, pipeline, shape=(60,))
    kept = [one for i, one in enumerate(pipeline) if not mask >> i & 1]
    _, raw = store_as(h5t.STD_I32LE, values, kept).chunk()
    stored = stored.with_chunk(raw, mask)
    assert stored.chunk() == (mask, raw)
    check(stored, "<i4", values)
    assert decode_chunk(raw, stored.datatype, (60,), stored.filters, mask | 0xFFFFFFF8, "<i4") == values.tobytes()


def test_filter_mask_makes_a_plugin_unnecessary() -> None:
    filters = (Filter(40000, "unheard of", False, ()),)
    assert decode_chunk(b"\x07", integer_type(1, 8, 0), (1,), filters, 1, "|i1") == b"\x07"
    with pytest.raises(Unsupported, match=r"40000.*unheard of"):
        decode_chunk(b"\x07", integer_type(1, 8, 0), (1,), filters, 0, "|i1")


# Damaged chunks


@pytest.mark.parametrize("filters", [[], [SHUFFLE], [DEFLATE], [FLETCHER32], [SHUFFLE, DEFLATE, FLETCHER32]], ids=str)
@pytest.mark.parametrize("missing", [1, 3, 4, 5, 50, 199, 200])
def test_too_few_bytes_is_an_error(filters: Any, missing: int) -> None:
    """libhdf5 by itself returns whatever lies behind a chunk that is too short."""
    stored = store_as(h5t.STD_I32LE, np.arange(50, dtype="<i4"), filters)
    raw = stored.chunk()[1]
    with pytest.raises(FormatError):
        decode_chunk(raw[: max(0, len(raw) - missing)], stored.datatype, (50,), stored.filters, 0, "<i4")


def test_too_few_bytes_after_decoding() -> None:
    stored = store(np.arange(50, dtype="<i4"), compression="gzip")
    raw = store(np.arange(49, dtype="<i4"), compression="gzip").chunk()[1]
    with pytest.raises(FormatError, match="expected 200, got 196") as caught:
        decode_chunk(raw, stored.datatype, (50,), stored.filters, 0, "<i4")
    assert (caught.value.expected, caught.value.got) == (200, 196)


def test_more_bytes_than_needed_are_ignored_as_libhdf5_does() -> None:
    values = np.arange(50, dtype="<i4")
    stored = store(values[:49], compression="gzip")
    check(stored.with_chunk(store(values, compression="gzip").chunk()[1]), "<i4", values[:49])


@pytest.mark.parametrize("position", [0, 17, 199, 200, 203])
def test_checksum(position: int) -> None:
    stored = store(np.arange(50, dtype="<i4"), fletcher32=True)
    raw = bytearray(stored.chunk()[1])
    raw[position] ^= 4
    with pytest.raises(FormatError):
        decode_chunk(bytes(raw), stored.datatype, (50,), stored.filters, 0, "<i4")


def library_pipelines() -> list[Any]:
    odd = nbit_integer(4, 17, 3)
    cases: dict[str, Callable[[], Stored]] = {
        "deflate": lambda: store(WALK.astype("<i4"), compression="gzip"),
        "shuffle": lambda: store(WALK.astype("<i4"), shuffle=True, compression="gzip"),
        "lzf": lambda: store(WALK.astype("<i4"), compression="lzf"),
        "fletcher32": lambda: store(WALK.astype("<i4"), fletcher32=True),
        "nbit": lambda: store_as(odd, WALK.astype("<i4"), [NBIT], None, h5t.STD_I32LE),
        "nbit-deflate": lambda: store_as(odd, WALK.astype("<i4"), [NBIT, DEFLATE], None, h5t.STD_I32LE),
        "scale-offset": lambda: store(WALK.astype("<i4"), scaleoffset=0),
        "scale-offset of floats": lambda: store((WALK / 4).astype("<f8"), scaleoffset=2),
    }
    return [pytest.param(make, id=name) for name, make in cases.items()]


@pytest.mark.parametrize("make", library_pipelines())
def test_damage_gives_an_error_or_what_libhdf5_reads(make: Callable[[], Stored]) -> None:
    stored = make()
    dtype = widened(decode_datatype(stored.datatype))
    raw = stored.chunk()[1]
    rng = np.random.default_rng(11)
    for _ in range(150):
        damaged = bytearray(raw[: rng.integers(1, len(raw))] if rng.integers(3) == 0 else raw)
        for _ in range(rng.integers(1, 4)):
            damaged[rng.integers(len(damaged))] ^= 1 << int(rng.integers(8))
        try:
            got = decode_chunk(bytes(damaged), stored.datatype, stored.chunk_shape, stored.filters, 0, dtype)
        except FormatError:
            continue
        stored = stored.with_chunk(bytes(damaged))
        assert got == stored.read(dtype).tobytes()


@szip_encoder
def test_damaged_szip() -> None:
    """A truncated stream gives no error: libhdf5 takes it for a whole one, and returns something else each time."""
    stored = store(WALK.astype("<i4"), compression="szip")
    raw = stored.chunk()[1]
    for size in (0, 1, 3):
        with pytest.raises(FormatError):
            decode_chunk(raw[:size], stored.datatype, WALK.shape, stored.filters, 0, "<i4")
    too_large = b"\xff\xff\xff\x7f" + raw[4:]
    with pytest.raises(FormatError):
        decode_chunk(too_large, stored.datatype, WALK.shape, stored.filters, 0, "<i4")
    too_small = b"\x10\0\0\0" + raw[4:]
    with pytest.raises(FormatError):
        decode_chunk(too_small, stored.datatype, WALK.shape, stored.filters, 0, "<i4")


def test_no_error_that_stands_for_a_missing_chunk() -> None:
    """h5py raises OSError and KeyError, which Zarr readers take for the fill value."""
    cases = [
        (b"garbage", integer_type(4, 32, 0), (Filter(1, "", False, (6,)),)),
        (b"garbage", b"\x16" + integer_type(4, 32, 0)[1:], ()),  # a compound with garbage in it
        (b"garbage", integer_type(4, 40, 0), ()),
        (b"", integer_type(4, 32, 0), ()),
    ]
    for data, datatype, filters in cases:
        with pytest.raises(RefmakerError) as caught:
            decode_chunk(data, datatype, (5,), filters, 0, "<i4")
        assert not isinstance(caught.value, (OSError, LookupError))


def test_decodes_on_after_an_error() -> None:
    stored = store(WALK.astype("<i4"), compression="gzip")
    good = stored.chunk()[1]
    decoder = ChunkDecoder(make_plan(stored.datatype, stored.chunk_shape, stored.filters, "<i4"))
    for bad in (good[:-5], b"x", b""):
        with pytest.raises(FormatError):
            decoder.decode(bad)
        assert decoder.decode(good).tobytes() == WALK.astype("<i4").tobytes()


# Use


def test_output_buffer() -> None:
    stored = store(WALK.astype("<i4"), compression="gzip")
    decoder = ChunkDecoder(make_plan(stored.datatype, stored.chunk_shape, stored.filters, "<i4"))
    out = np.empty(WALK.size * 4, "u1")
    assert decoder.decode(stored.chunk()[1], out) is out
    assert out.tobytes() == WALK.astype("<i4").tobytes()


def test_sizes_vary_from_chunk_to_chunk() -> None:
    """The image is written to again and again; what it holds of the chunk before must not show."""
    decoder = ChunkDecoder(make_plan(message(h5t.STD_I32LE), (3000,), (Filter(1, "deflate", False, (1,)),), "<i4"))
    rng = np.random.default_rng(5)
    for _ in range(300):
        values = rng.integers(0, 2 ** int(rng.integers(1, 31)), 3000).astype("<i4").tobytes()
        assert decoder.decode(zlib.compress(values, 1)).tobytes() == values


def test_threads() -> None:
    """Threads that share a decoder, and threads that do not, do not disturb each other, nor h5py's own users."""
    cases = []
    for step in range(6):
        values = (WALK * (step + 1)).astype("<i4" if step % 2 else ">i4")
        stored = store(values, **({"compression": "gzip"} if step < 3 else {"scaleoffset": 0}))
        cases.append((stored.chunk()[1], stored, values))

    def work(number: int) -> None:
        raw, stored, values = cases[number % len(cases)]
        if number % 7 == 6:
            with pytest.raises(FormatError):
                decode_chunk(raw[:9], stored.datatype, stored.chunk_shape, stored.filters, 0, values.dtype)
        got = decode_chunk(raw, stored.datatype, stored.chunk_shape, stored.filters, 0, values.dtype)
        assert got == values.tobytes()
        assert np.array_equal(stored.file["x"][...], values)

    with ThreadPoolExecutor(16) as pool:
        list(pool.map(work, range(1500)))


def test_large_chunks_are_not_kept() -> None:
    values = np.arange(400_000, dtype="<i4")
    stored = store(values, compression="lzf")
    decoder = ChunkDecoder(make_plan(stored.datatype, values.shape, stored.filters, "<i4"))
    before = h5py.h5f.get_obj_count()
    for _ in range(3):
        assert decoder.decode(stored.chunk()[1]).tobytes() == values.tobytes()
    assert h5py.h5f.get_obj_count() == before


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
def test_works_in_a_forked_process() -> None:
    stored = store(WALK.astype("<i4"), compression="gzip")
    decoder = ChunkDecoder(make_plan(stored.datatype, stored.chunk_shape, stored.filters, "<i4"))
    raw = stored.chunk()[1]
    decoder.decode(raw)
    child = os.fork()
    if child == 0:
        os._exit(0 if decoder.decode(raw).tobytes() == WALK.astype("<i4").tobytes() else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert decoder.decode(raw).tobytes() == WALK.astype("<i4").tobytes()
