"""Headers and directories, decoded as struct packs them; damaged ones are errors."""

from __future__ import annotations

import struct

import numpy as np
import pytest

from refmaker.errors import FormatError
from refmaker.tiff.ifd import Entry, Header, decode_entries, decode_header, decode_values


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("big", [False, True])
def test_headers(order, big):
    mark = b"II" if order == "<" else b"MM"
    rest = struct.pack(order + "HHHQ", 43, 8, 0, 77) if big else struct.pack(order + "HI", 42, 77)
    data = (mark + rest).ljust(16, b"\0")
    assert decode_header(data, 0, len(data)) == Header(order, big, 77)


@pytest.mark.parametrize(
    "data",
    [b"XX*\0\x08\0\0\0", b"II*\0", b"II\x2c\0\x08\0\0\0", b"II+\0\x08\0\0\0", b"II+\0\x04\0\0\0" + bytes(8)],
)
def test_headers_that_are_none(data):
    with pytest.raises(FormatError):
        decode_header(data, 0, len(data))


def test_entries_and_values():
    header = Header(">", False, 8)
    rows = struct.pack(">HHIHH", 256, 3, 1, 640, 0) + struct.pack(">HHII", 273, 4, 3, 100)
    rows += struct.pack(">HHII", 999, 99, 1, 0)
    entries = decode_entries(rows, 0, 3, 10, header)
    assert entries == {256: Entry(256, 3, 1, 18), 273: Entry(273, 4, 3, 100)}
    assert decode_values(rows, 8, entries[256], ">").tolist() == [640]
    pair = struct.pack(">4I", 3, 2, 1, 0)
    np.testing.assert_array_equal(decode_values(pair, 0, Entry(282, 5, 2, 0), ">"), [1.5, np.nan])
    assert decode_values(b"abc\0", 0, Entry(270, 2, 4, 0), ">") == b"abc\0"
