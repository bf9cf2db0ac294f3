from __future__ import annotations

import contextlib
import struct

import pytest

from refmaker.errors import FormatError, RefmakerError, TruncatedError, Unsupported
from refmaker.hdf5.data_layout import (
    BTREE_V1,
    BTREE_V2,
    EXTENSIBLE_ARRAY,
    FIXED_ARRAY,
    IMPLICIT,
    SINGLE,
    ChunkedLayout,
    CompactLayout,
    ContiguousLayout,
    VirtualLayout,
    decode_data_layout,
)
from refmaker.hdf5.sizes import Sizes
from tests.hdf5.assembling import UNDEFINED, chunked_3, chunked_4, compact, contiguous, number

WIDE = Sizes(8, 8)


def old(version, kind, extents, address=None, data=b""):
    head = struct.pack("<BBB5x", version, len(extents), kind)
    return head + (b"" if address is None else number(address)) + b"".join(number(n, 4) for n in extents) + data


@pytest.mark.parametrize("version", [1, 2])
def test_versions_1_and_2(version):
    data = number(3, 4) + b"abc"
    assert decode_data_layout(old(version, 0, [3, 1], data=data), WIDE) == CompactLayout(b"abc")
    assert decode_data_layout(old(version, 1, [3, 4], 700), WIDE) == ContiguousLayout(700, None)
    assert decode_data_layout(old(version, 1, [3, 4], UNDEFINED), WIDE) == ContiguousLayout(None, None)
    found = decode_data_layout(old(version, 2, [3, 5, 4], 700), WIDE)
    assert found == ChunkedLayout(version, (3, 5), 4, BTREE_V1, 700)


def test_version_3():
    assert decode_data_layout(compact(b"abc"), WIDE) == CompactLayout(b"abc")
    assert decode_data_layout(contiguous(700, 12), WIDE) == ContiguousLayout(700, 12)
    assert decode_data_layout(contiguous(UNDEFINED, 12), WIDE) == ContiguousLayout(None, 12)
    assert decode_data_layout(chunked_3([3, 5], 4, 700), WIDE) == ChunkedLayout(3, (3, 5), 4, BTREE_V1, 700)


def test_narrow_widths():
    body = bytes([3, 2, 2]) + number(0xFFFFFFFF, 4) + number(3, 4) + number(8, 4)
    assert decode_data_layout(body, Sizes(4, 8)) == ChunkedLayout(3, (3,), 8, BTREE_V1, None)
    assert decode_data_layout(bytes([3, 1]) + number(9, 4) + number(10, 2), Sizes(4, 2)) == ContiguousLayout(9, 10)


INDEXES = [
    (SINGLE, b"", (), 0),
    (SINGLE, number(99) + number(3, 4), (99, 3), 2),
    (IMPLICIT, b"", (), 0),
    (FIXED_ARRAY, bytes([10]), (10,), 0),
    (EXTENSIBLE_ARRAY, bytes([32, 4, 4, 16, 10]), (32, 4, 4, 16, 10), 0),
    (BTREE_V2, number(2048, 4) + bytes([100, 40]), (2048, 100, 40), 0),
]


@pytest.mark.parametrize("version", [4, 5])
@pytest.mark.parametrize(("index", "parameters", "decoded", "flags"), INDEXES)
def test_versions_4_and_5(version, index, parameters, decoded, flags):
    body = chunked_4([3, 5], 4, index, parameters, 700, flags=flags, version=version)
    assert decode_data_layout(body, WIDE) == ChunkedLayout(version, (3, 5), 4, index, 700, decoded)
    edges = chunked_4([3, 5], 4, index, parameters, UNDEFINED, flags=flags | 1, version=version)
    assert decode_data_layout(edges, WIDE) == ChunkedLayout(version, (3, 5), 4, index, None, decoded, True)
    assert decode_data_layout(bytes([version]) + compact(b"abc")[1:], WIDE) == CompactLayout(b"abc")


@pytest.mark.parametrize("width", range(1, 9))
def test_widths_of_extents(width):
    body = bytes([4, 2, 0, 2, width]) + number(200, width) + number(4, width) + bytes([IMPLICIT]) + number(700)
    assert decode_data_layout(body, WIDE) == ChunkedLayout(4, (200,), 4, IMPLICIT, 700)


def test_virtual():
    assert decode_data_layout(bytes([4, 3]) + number(700) + number(2, 4), WIDE) == VirtualLayout(700, 2)
    assert decode_data_layout(bytes([4, 3]) + number(UNDEFINED) + number(0, 4), WIDE) == VirtualLayout(None, 0)


BODIES = [
    old(1, 0, [3, 1], data=number(3, 4) + b"abc"),
    old(2, 1, [3, 4], 700),
    old(1, 2, [3, 5, 4], 700),
    compact(b"abc"),
    contiguous(700, 12),
    chunked_3([3, 5], 4, 700),
    bytes([4, 3]) + number(700) + number(2, 4),
    *(chunked_4([3, 5], 4, index, parameters, 700, flags=flags) for index, parameters, _, flags in INDEXES),
]


@pytest.mark.parametrize("body", BODIES)
def test_truncated_and_flipped(body):
    decode_data_layout(body, WIDE)
    for size in range(len(body)):
        with pytest.raises(TruncatedError):
            decode_data_layout(body[:size], WIDE)
    for i in range(len(body) * 8):
        bad = bytearray(body)
        bad[i // 8] ^= 1 << i % 8
        with contextlib.suppress(RefmakerError):
            decode_data_layout(bytes(bad), WIDE)


def test_what_cannot_be():
    for body in (chunked_3([], 4, 0), chunked_3([3, 0], 4, 0), chunked_3([3], 0, 0)):
        with pytest.raises(FormatError, match="chunk extents"):
            decode_data_layout(body, WIDE)
    for width in (0, 9):
        with pytest.raises(FormatError, match="width"):
            decode_data_layout(bytes([4, 2, 0, 2, width]) + bytes(40), WIDE)
    for body in (bytes([3, 3]) + bytes(40), old(1, 3, [1]), bytes([4, 4]) + bytes(40)):
        with pytest.raises(FormatError, match="layout class"):
            decode_data_layout(body, WIDE)
    for index in (0, 6):
        with pytest.raises(Unsupported, match="chunk index type"):
            decode_data_layout(chunked_4([3], 4, index, b"", 0), WIDE)
    for version in (0, 6):
        with pytest.raises(Unsupported, match="version"):
            decode_data_layout(bytes([version]) + bytes(40), WIDE)
