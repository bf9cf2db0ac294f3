from __future__ import annotations

import contextlib
import struct

import pytest

from refmaker.errors import FormatError, RefmakerError, TruncatedError, Unsupported
from refmaker.hdf5.dataspace import decode_dataspace
from refmaker.hdf5.sizes import Sizes
from refmaker.model import Dataspace
from tests.hdf5.assembling import NULL, SCALAR, UNDEFINED, dataspace

WIDE, NARROW = Sizes(8, 8), Sizes(4, 4)


def version_1(shape, max_shape=None, *, flags=None, width=8):
    flags = int(max_shape is not None) if flags is None else flags
    extents = b"".join(n.to_bytes(width, "little") for n in (*shape, *(max_shape or ())))
    return struct.pack("<BBB5x", 1, len(shape), flags) + extents


def test_version_1():
    assert decode_dataspace(version_1([]), WIDE) == Dataspace("scalar")
    assert decode_dataspace(version_1([3, 4]), WIDE) == Dataspace("simple", (3, 4), (3, 4))
    limited = decode_dataspace(version_1([3, 4], [9, UNDEFINED]), WIDE)
    assert limited == Dataspace("simple", (3, 4), (9, None))
    with pytest.raises(Unsupported, match="permuted"):
        decode_dataspace(version_1([3], flags=2), WIDE)


def test_version_2():
    assert decode_dataspace(SCALAR, WIDE) == Dataspace("scalar")
    assert decode_dataspace(NULL, WIDE) == Dataspace("null")
    assert decode_dataspace(dataspace([3, 0]), WIDE) == Dataspace("simple", (3, 0), (3, 0))
    assert decode_dataspace(dataspace([3, 4], [UNDEFINED, 4]), WIDE) == Dataspace("simple", (3, 4), (None, 4))


def test_sizes():
    assert decode_dataspace(NULL, WIDE).size == 0
    assert decode_dataspace(SCALAR, WIDE).size == 1
    assert decode_dataspace(dataspace([3, 4]), WIDE).size == 12


def test_narrow_lengths():
    body = version_1([3, 4], [9, 0xFFFFFFFF], width=4)
    assert decode_dataspace(body, NARROW) == Dataspace("simple", (3, 4), (9, None))


@pytest.mark.parametrize("body", [version_1([3, 4], [9, 9]), dataspace([3, 4], [9, 9]), dataspace([1] * 32)])
def test_truncated(body):
    decode_dataspace(body, WIDE)
    for size in range(len(body)):
        with pytest.raises(TruncatedError):
            decode_dataspace(body[:size], WIDE)


@pytest.mark.parametrize("body", [version_1([3, 4], [9, 9]), dataspace([3, 4], [9, 9])])
def test_flipped_bits(body):
    for i in range(len(body) * 8):
        bad = bytearray(body)
        bad[i // 8] ^= 1 << i % 8
        with contextlib.suppress(RefmakerError):
            decode_dataspace(bytes(bad), WIDE)


def test_what_cannot_be():
    for body, match in (
        (dataspace([1] * 33), "rank"),
        (bytes([2, 1, 0, 0]) + bytes(8), "rank of a scalar"),
        (bytes([2, 0, 0, 3]), "type"),
    ):
        with pytest.raises(FormatError, match=match):
            decode_dataspace(body, WIDE)
    with pytest.raises(Unsupported, match="version"):
        decode_dataspace(bytes([3, 0, 0, 0]), WIDE)
