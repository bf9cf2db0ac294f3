from __future__ import annotations

import numpy as np
import pytest

from refmaker.errors import FormatError
from refmaker.hdf5.fixed_array import read_elements
from refmaker.hdf5.sizes import Sizes
from refmaker.sources.memory import MemoryWindow
from tests.hdf5.assembling import UNDEFINED, joined, number, signed
from tests.hdf5.walking import in_rounds, plain

WIDE = Sizes(8, 8)
BLOCK = 64


def header(count: int, *, element: int = 8, page_bits: int = 10, client: int = 0, block: int = BLOCK) -> bytes:
    return signed(b"FAHD" + bytes([0, client, element, page_bits]) + number(count) + number(block))


def array(count: int, *, page_bits: int = 10, written: set[int] | None = None, element: int = 8) -> bytes:
    """Elements are their own numbers; `written` are the pages that are."""
    page, head = 1 << page_bits, header(count, element=element, page_bits=page_bits).ljust(BLOCK, b"\0")
    prefix = b"FADB" + bytes([0, 0]) + number(0)
    elements = [number(i, element) for i in range(count)]
    if count <= page:
        return head + signed(prefix + b"".join(elements))
    pages = -(-count // page)
    bits = np.array([written is None or i in written for i in range(pages)])
    out = head + signed(prefix + np.packbits(bits).tobytes())
    for i in range(pages):
        body = b"".join(elements[i * page : (i + 1) * page])
        # What was never written may hold anything.
        out += signed(body) if bits[i] else b"\xee" * (len(body) + 4)
    return out


def read(data, count, *, client=0):
    return read_from(MemoryWindow(data), count, client)


def read_from(window, count, client=0):
    index, rows = joined(read_elements(window, 0, client, count, WIDE))
    assert [int.from_bytes(r.tobytes(), "little") for r in rows] == index.tolist()
    return index.tolist()


@pytest.mark.parametrize("count", [1, 3, 4, 5, 8, 9, 31, 32, 33, 70])
def test_pages(count):
    assert read(array(count, page_bits=2), count) == list(range(count))
    assert read(array(count), count) == list(range(count))


@pytest.mark.parametrize("written", [set(), {0}, {17}, {16}, {0, 9, 17}, {1, 2, 3}])
def test_pages_that_were_never_written(written):
    """18 pages, so more than a byte of bits; the last page is shorter."""
    wanted = [i for i in range(70) if i // 4 in written]
    assert read(array(70, page_bits=2, written=written), 70) == wanted


@pytest.mark.parametrize("page_bits", [6, 7, 9])
def test_rounds(page_bits):
    """Header, data block, all pages together, the last one apart."""
    data = array(70, page_bits=2)
    found, rounds = in_rounds(data, page_bits, lambda window: read_from(window, 70))
    assert found == list(range(70))
    assert rounds <= 4
    data = array(70)
    assert in_rounds(data, page_bits, lambda window: read_from(window, 70)) == (list(range(70)), 2)


@pytest.mark.parametrize("element", [1, 2, 14, 255])
def test_element_sizes(element):
    data = array(9, element=element, page_bits=2)
    index, rows = joined(read_elements(MemoryWindow(data), 0, 0, 9, WIDE))
    assert (plain(index), rows.shape) == (plain(np.arange(9)), (9, element))


def test_block_not_there():
    assert list(read_elements(MemoryWindow(header(5, block=UNDEFINED)), 0, 0, 5, WIDE)) == []


@pytest.mark.parametrize("page_bits", [2, 10])
def test_truncated_and_flipped(page_bits):
    data = array(9, page_bits=page_bits)
    for size in range(len(data)):
        with pytest.raises(FormatError):
            read(data[:size], 9)
    for i in range(len(data)):
        if 28 <= i < BLOCK:
            continue
        bad = bytearray(data)
        bad[i] ^= 1 << i % 8
        with pytest.raises(FormatError):
            read(bytes(bad), 9)


@pytest.mark.parametrize(("head", "count"), [
    (header(5), 6),
    (header(5, client=1), 5),
    (header(5, element=0), 5),
    (header(1 << 60), 1 << 60),
    (header((1 << 64) - 1), (1 << 64) - 1),
    (header(5, block=1 << 63), 5),
    (header(5, page_bits=255), 5),
    (header(5, page_bits=0), 5),
    (header(5, block=0), 5),
])  # fmt: skip
def test_what_cannot_be(head, count):
    with pytest.raises(FormatError):
        read(head.ljust(400, b"\0"), count)
