"""Blocks of LZ4 without their size."""

from __future__ import annotations

from typing import Any

import numcodecs
import pytest
from numcodecs import lz4

from refmaker.codecs.lz4_block import Lz4BlockCodec
from refmaker.errors import FormatError, ManifestError, Unsupported


def test_blocks() -> None:
    data = bytes(range(100)) * 10
    block = lz4.compress(data)[4:]
    codec = numcodecs.get_codec({"id": "refmaker_lz4_block", "size": 1000})
    assert codec.decode(block) == data
    out = bytearray(1000)
    codec.decode(block, out)
    assert out == data
    for size, bad in ((999, block), (1001, block), (1000, block[:-1]), (1000, b"\xff" * 50)):
        with pytest.raises(FormatError):
            Lz4BlockCodec(size).decode(bad)
    with pytest.raises(Unsupported):
        codec.encode(data)


@pytest.mark.parametrize("size", [0, -1, 1.0, "1", 1 << 40, True])
def test_sizes(size: Any) -> None:
    with pytest.raises(ManifestError):
        Lz4BlockCodec(size)
