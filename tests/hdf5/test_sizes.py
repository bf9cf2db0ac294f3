from __future__ import annotations

import pytest

from refmaker.errors import FormatError, TruncatedError
from refmaker.hdf5.sizes import Sizes, check_sizes, encoded_size, need, unsigned


def test_fields():
    data = bytes(range(1, 30))
    for width in (2, 4, 8):
        sizes = Sizes(width, width)
        assert sizes.address(data, 3) == sizes.length(data, 3) == int.from_bytes(data[3 : 3 + width], "little")
        assert sizes.undefined == 256**width - 1
    assert Sizes(2, 8).struct("OL4x").size == 14
    assert unsigned(data, 0, 3) == 0x030201


def test_encoded_size():
    """H5VM_limit_enc_size: (log2(limit) / 8) + 1."""
    assert [encoded_size(n) for n in (0, 1, 255, 256, 65535, 65536, 2**32 - 1, 2**32)] == [1, 1, 1, 2, 2, 3, 4, 5]


def test_need():
    need(b"abc", 1, 2, "thing")
    for pos, size in ((1, 3), (4, 0), (0, -1)):
        with pytest.raises(TruncatedError, match="thing"):
            need(b"abc", pos, size, "thing")


def test_widths_that_cannot_be():
    assert check_sizes(4, 8, 0) == Sizes(4, 8)
    for offsets, lengths in ((0, 8), (3, 8), (8, 16), (32, 8)):
        with pytest.raises(FormatError, match="size of"):
            check_sizes(offsets, lengths, 0)
