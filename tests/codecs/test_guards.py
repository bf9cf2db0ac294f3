from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from refmaker.codecs.decode import decode_chunk
from refmaker.codecs.guards import check_stored
from refmaker.errors import FormatError
from refmaker.model import Filter

from .stored import Stored, store

FLETCHER32 = Filter(3, "fletcher32", False, ())
BITSHUFFLE = Filter(32008, "bitshuffle", False, (0, 4, 4, 0, 2))


def check(data: bytes, *filters: Filter, most: int = 1 << 20) -> None:
    check_stored(memoryview(data), filters, most)


def test_only_the_filter_that_sees_the_stored_bytes_is_guarded() -> None:
    check(b"nothing", BITSHUFFLE, Filter(1, "deflate", False, (6,)))
    check(b"nothing")
    for checksums in ((), (FLETCHER32,), (FLETCHER32, FLETCHER32)):
        with pytest.raises(FormatError):
            check(b"nothing", Filter(1, "deflate", False, (6,)), BITSHUFFLE, *checksums)


def bitshuffled(count: int, **options: Any) -> Stored:
    hdf5plugin = pytest.importorskip("hdf5plugin")
    return store(np.arange(count, dtype="<i4") // 3, **hdf5plugin.Bitshuffle(**options))


@pytest.mark.parametrize("count", [1, 7, 8, 1000, 1003, 4096, 20001])
@pytest.mark.parametrize("options", [{}, {"cname": "zstd"}, {"nelems": 64}, {"cname": "none"}], ids=str)
def test_bitshuffle(count: int, options: Any) -> None:
    stored = bitshuffled(count, **options)
    raw = stored.chunk()[1]
    check(raw, *stored.filters)
    got = decode_chunk(raw, stored.datatype, (count,), stored.filters, 0, "<i4")
    assert got == (np.arange(count, dtype="<i4") // 3).tobytes()
    for size in {1, len(raw) // 2, len(raw) - 1} - {len(raw), 0}:
        with pytest.raises(FormatError):
            decode_chunk(raw[:size], stored.datatype, (count,), stored.filters, 0, "<i4")


@pytest.mark.parametrize("options", [{}, {"cname": "zstd"}], ids=str)
def test_blosc(options: Any) -> None:
    hdf5plugin = pytest.importorskip("hdf5plugin")
    values = np.arange(1000, dtype="<i4") // 3
    stored = store(values, **hdf5plugin.Blosc(**options))
    raw = stored.chunk()[1]
    assert decode_chunk(raw, stored.datatype, (1000,), stored.filters, 0, "<i4") == values.tobytes()
    for size in (1, 15, 16, len(raw) // 2, len(raw) - 2, len(raw) - 1):
        with pytest.raises(FormatError):
            decode_chunk(raw[:size], stored.datatype, (1000,), stored.filters, 0, "<i4")


def test_bitshuffle_sizes() -> None:
    head = (80).to_bytes(8, "big") + (32).to_bytes(4, "big")
    blocks = b"".join(size.to_bytes(4, "big") + bytes(size) for size in (5, 6))
    check(head + blocks + bytes(16), BITSHUFFLE)
    for data in (
        head,
        head + blocks,
        head + blocks + bytes(15),
        head + b"\xff" * 4 + bytes(100),
        b"\xff" * 8 + head[8:] + blocks,
    ):
        with pytest.raises(FormatError, match="bitshuffle"):
            check(data, BITSHUFFLE)
    check(head[:8] + bytes(4), BITSHUFFLE)  # left to the plugin
    check(b"", Filter(32008, "", False, (0, 4, 4, 0, 0)))
