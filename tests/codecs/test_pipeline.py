from __future__ import annotations

import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from refmaker.codecs.hdf5_filters import fletcher32
from refmaker.codecs.pipeline import decode_chunk
from refmaker.errors import FormatError, Unsupported
from refmaker.model import Filter
from tests.hdf5.making import made, opened

DEFLATE, FLETCHER32 = Filter(1, "deflate", False, (6,)), Filter(3, "fletcher32", False, ())


def shuffle(size: int) -> Filter:
    return Filter(2, "shuffle", True, (size,))


@pytest.mark.parametrize("dtype", ["u1", "<i2", "<i4", "<f8", "S7"])
@pytest.mark.parametrize("options", [
    {"compression": "gzip"},
    {"shuffle": True},
    {"fletcher32": True},
    {"compression": "gzip", "shuffle": True, "fletcher32": True},
])  # fmt: skip
@pytest.mark.parametrize("count", [1, 5, 1000])
def test_as_libhdf5_writes(dtype, options, count):
    values = np.frombuffer(np.random.default_rng(1).bytes(count * np.dtype(dtype).itemsize), "u1").view(np.dtype(dtype))

    def build(file):
        file.create_dataset("x", (count,), dtype, chunks=(count,), **options)[...] = values

    with opened(made(build)) as file:
        mask, stored = file["x"].id.read_direct_chunk((0,))
        creation = file["x"].id.get_create_plist()
        filters = [creation.get_filter(i) for i in range(creation.get_nfilters())]
    pipeline = tuple(Filter(number, "", False, tuple(data)) for number, _, data, _ in filters)
    assert mask == 0
    assert decode_chunk(stored, pipeline, 0, values.nbytes) == values.tobytes()
    if "fletcher32" in options:
        for i in range(0, len(stored), 7):
            bad = bytearray(stored)
            bad[i] ^= 16
            with pytest.raises(FormatError):
                decode_chunk(bytes(bad), pipeline, 0, values.nbytes)


def test_masks_skip_filters():
    data = bytes(range(40))
    filters = (shuffle(4), DEFLATE)
    shuffled = np.frombuffer(data, "u1").reshape(10, 4).T.tobytes()
    assert decode_chunk(data, filters, 3, 40) == data
    assert decode_chunk(zlib.compress(data), filters, 1, 40) == data
    assert decode_chunk(shuffled, filters, 2, 40) == data
    assert decode_chunk(zlib.compress(shuffled), filters, 0, 40) == data


def test_left_over_bytes_are_not_shuffled():
    data = bytes(range(42))
    shuffled = np.frombuffer(data[:40], "u1").reshape(10, 4).T.tobytes() + data[40:]
    assert decode_chunk(shuffled, (shuffle(4),), 0, 42) == data
    assert decode_chunk(data, (shuffle(1),), 0, 42) == data
    assert decode_chunk(data, (Filter(2, "", True, ()),), 0, 42) == data


def test_what_does_not_decode():
    data = zlib.compress(bytes(100))
    for stored in (b"", b"rubbish", data[:-1], data[:5]):
        with pytest.raises(FormatError, match="deflate"):
            decode_chunk(stored, (DEFLATE,), 0, 100)
    for size in (99, 101):
        with pytest.raises(FormatError, match="decoded size"):
            decode_chunk(data, (DEFLATE,), 0, size)
    with pytest.raises(FormatError, match="fletcher32"):
        decode_chunk(b"abc", (FLETCHER32,), 0, 0)
    with pytest.raises(Unsupported, match=r"filter 40000 .*stored as 'unheard of'"):
        decode_chunk(b"abc", (Filter(40000, "unheard of", False, ()),), 0, 3)
    assert decode_chunk(b"abc", (Filter(40000, "unheard of", False, ()),), 1, 3) == b"abc"


def test_other_filters_are_left_to_libhdf5():
    lzf = Filter(32000, "lzf", True, (4, 261, 3))
    assert decode_chunk(b"\x02abc", (lzf,), 0, 3) == b"abc"
    assert decode_chunk(zlib.compress(b"\x02abc"), (lzf, DEFLATE), 0, 3) == b"abc"
    for stored, size in ((b"\x02abc", 4), (b"\xff\xff\xff", 3), (b"\x02abc", 0)):
        with pytest.raises(FormatError):
            decode_chunk(stored, (lzf,), 0, size)


@pytest.mark.parametrize("number", [32022, 32023])
def test_filters_that_round_what_is_written_change_nothing(number):
    one = Filter(number, "", False, (3, 4, 0, 0, 0))
    assert decode_chunk(zlib.compress(b"abcd"), (one, DEFLATE), 0, 4) == b"abcd"
    assert decode_chunk(zlib.compress(b"abcd"), (DEFLATE, one), 0, 4) == b"abcd"


def test_output_is_bounded():
    with pytest.raises(FormatError, match="deflate stream"):
        decode_chunk(zlib.compress(bytes(10_000_000)), (DEFLATE,), 0, 1000)


def slow_fletcher32(data: bytes) -> int:
    """Sums of words with the carry folded back after each."""
    first = second = 0
    for i in range(0, len(data), 2):
        word = data[i] << 8 | (data[i + 1] if i + 1 < len(data) else 0)
        first = first + word
        first = (first & 0xFFFF) + (first >> 16)
        second = second + first
        second = (second & 0xFFFF) + (second >> 16)
    return second << 16 | first


@given(st.binary(max_size=60))
def test_fletcher32(data):
    assert fletcher32(data) == slow_fletcher32(data)


@pytest.mark.parametrize("data", [bytes(1000), b"\xff" * 1000, b"\xff\xff", b"\0\1\xff\xfe", bytes(range(256)) * 300])
def test_fletcher32_at_its_edges(data):
    assert fletcher32(data) == slow_fletcher32(data)


def test_swapped_checksums_of_old_versions():
    data = b"some data"
    checksum = fletcher32(data).to_bytes(4, "little")
    assert decode_chunk(data + checksum, (FLETCHER32,), 0, 9) == data
    swapped = bytes([checksum[1], checksum[0], checksum[3], checksum[2]])
    assert decode_chunk(data + swapped, (FLETCHER32,), 0, 9) == data
