from __future__ import annotations

import contextlib
import struct

import pytest

from refmaker.errors import FormatError, RefmakerError, TruncatedError, Unsupported
from refmaker.hdf5.filter_pipeline import MAX_FILTERS, decode_filter_pipeline
from refmaker.model import Filter


def filter_1(number, name, flags, values):
    name = name + bytes(-len(name) % 8)
    values = [*values, *([0] if len(values) % 2 else [])], len(values)
    return (
        struct.pack("<HHHH", number, len(name), flags, values[1])
        + name
        + struct.pack(f"<{len(values[0])}I", *values[0])
    )


def filter_2(number, name, flags, values):
    head = (
        struct.pack("<HHHH", number, len(name), flags, len(values))
        if number >= 256
        else struct.pack("<HHH", number, flags, len(values))
    )
    return head + (name if number >= 256 else b"") + struct.pack(f"<{len(values)}I", *values)


FILTERS = [
    (2, b"shuffle\0", 1, [4]),
    (1, b"deflate\0", 0, [6]),
    (32001, b"blosc, a long name\0", 1, [1, 2, 3]),
    (3, b"", 0, []),
]


def version_1(filters=FILTERS):
    return bytes([1, len(filters)]) + bytes(6) + b"".join(filter_1(*f) for f in filters)


def version_2(filters=FILTERS):
    return bytes([2, len(filters)]) + b"".join(filter_2(*f) for f in filters)


def test_version_1():
    assert decode_filter_pipeline(version_1()) == (
        Filter(2, "shuffle", True, (4,)),
        Filter(1, "deflate", False, (6,)),
        Filter(32001, "blosc, a long name", True, (1, 2, 3)),
        Filter(3, "", False, ()),
    )


def test_version_2_leaves_names_of_its_own_filters_out():
    assert decode_filter_pipeline(version_2()) == (
        Filter(2, "", True, (4,)),
        Filter(1, "", False, (6,)),
        Filter(32001, "blosc, a long name", True, (1, 2, 3)),
        Filter(3, "", False, ()),
    )


def test_no_filters():
    assert decode_filter_pipeline(version_1([])) == decode_filter_pipeline(version_2([])) == ()


@pytest.mark.parametrize("body", [version_1(), version_2()])
def test_truncated_and_flipped(body):
    for size in range(len(body)):
        with pytest.raises(TruncatedError):
            decode_filter_pipeline(body[:size])
    for i in range(len(body) * 8):
        bad = bytearray(body)
        bad[i // 8] ^= 1 << i % 8
        with contextlib.suppress(RefmakerError):
            decode_filter_pipeline(bytes(bad))


def test_what_cannot_be():
    with pytest.raises(FormatError, match="number of filters"):
        decode_filter_pipeline(version_2([(3, b"", 0, [])] * (MAX_FILTERS + 1)))
    with pytest.raises(Unsupported, match="version"):
        decode_filter_pipeline(bytes([3, 0]))
