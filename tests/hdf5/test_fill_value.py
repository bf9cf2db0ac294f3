from __future__ import annotations

import struct

import pytest

from refmaker.errors import FormatError, TruncatedError, Unsupported
from refmaker.hdf5.fill_value import decode_fill_value, decode_old_fill_value
from refmaker.model import FillValue


def test_old():
    assert decode_old_fill_value(struct.pack("<I", 3) + b"abc") == FillValue(b"abc", 2)
    assert decode_old_fill_value(struct.pack("<I", 0)) == FillValue(b"", 2)


@pytest.mark.parametrize("version", [1, 2])
def test_versions_1_and_2(version):
    for write_time in (0, 1, 2):
        head = bytes([version, 2, write_time, 1])
        assert decode_fill_value(head + struct.pack("<i", 2) + b"ab") == FillValue(b"ab", write_time)
        assert decode_fill_value(head + struct.pack("<i", 0)) == FillValue(b"", write_time)
        assert decode_fill_value(head + struct.pack("<i", -1)) == FillValue(None, write_time)


def test_version_2_may_end_early():
    assert decode_fill_value(bytes([2, 2, 1, 0])) == FillValue(None, 1)
    with pytest.raises(TruncatedError):
        decode_fill_value(bytes([1, 2, 1, 0]))


def test_version_3():
    assert decode_fill_value(bytes([3, 0x02 | 0x08 | 0x20]) + struct.pack("<I", 2) + b"ab") == FillValue(b"ab", 2)
    assert decode_fill_value(bytes([3, 0x02 | 0x04])) == FillValue(b"", 1)
    assert decode_fill_value(bytes([3, 0x12])) == FillValue(None, 0)


@pytest.mark.parametrize("body", [bytes([2, 2, 1, 1, 2, 0, 0, 0]) + b"ab", bytes([3, 0x28, 2, 0, 0, 0]) + b"ab"])
def test_truncated(body):
    decode_fill_value(body)
    for size in range(len(body)):
        with pytest.raises(TruncatedError):
            decode_fill_value(body[:size])


def test_unknown_version():
    with pytest.raises(Unsupported, match="version"):
        decode_fill_value(bytes([4, 0]))


@pytest.mark.parametrize("body", [bytes([1, 2, 3, 1, 0, 0, 0, 0]), bytes([2, 2, 66, 0]), bytes([3, 0x0E])])
def test_unknown_write_time(body):
    with pytest.raises(FormatError, match="write time"):
        decode_fill_value(body)
