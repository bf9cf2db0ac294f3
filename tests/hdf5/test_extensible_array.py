from __future__ import annotations

import numpy as np
import pytest

from refmaker.errors import FormatError
from refmaker.hdf5.extensible_array import read_elements
from refmaker.hdf5.sizes import Sizes
from refmaker.sources.memory import MemoryWindow
from tests.hdf5.assembling import UNDEFINED, joined, number, signed
from tests.hdf5.walking import in_rounds

WIDE = Sizes(8, 8)
INDEX_ELEMENTS, MIN_ELEMENTS, MIN_POINTERS, MAX_BITS = 2, 2, 2, 12
OFFSET_SIZE = 2


def header(
    block: int, *, element: int = 8, client: int = 0, bits: int = MAX_BITS, page_bits: int = 3, **other: int
) -> bytes:
    parameters = [element, bits, other.get("inline", INDEX_ELEMENTS), other.get("elements", MIN_ELEMENTS)]
    parameters += [other.get("pointers", MIN_POINTERS), page_bits]
    statistics = bytes(32) + number(other.get("max_index_set", 1 << 62)) + bytes(8)
    return signed(b"EAHD" + bytes([0, client, *parameters]) + statistics + number(block))


def block_elements(super_block: int) -> int:
    return MIN_ELEMENTS << (super_block + 1) // 2


def data_blocks(super_block: int) -> int:
    return 1 << super_block // 2


def array(count: int, *, page_bits: int = 3, absent: frozenset[int] = frozenset()) -> bytes:
    """An array of `count` elements that are their own numbers; the page (or block) of those in `absent` is not there.

    With 2 elements in the index block and 2 in the least data block, super blocks have 1, 1, 2, 2, 4, 4, 8 … data
    blocks of 2, 4, 4, 8, 8, 16, 16 … elements; the index block points to the data blocks of the first two itself.
    """
    page = 1 << page_bits
    data = bytearray(128)
    prefix = lambda name: name + bytes([0, 0]) + number(0)  # noqa: E731

    def place(block: bytes) -> int:
        data.extend(block)
        return len(data) - len(block)

    def data_block(start: int, n: int) -> tuple[int, list[bool]]:
        """Place a data block, or not; its address and the pages that were written."""
        written = [not absent.intersection(range(at, at + page)) for at in range(start, start + n, page)]
        if start >= count or (n <= page and absent.intersection(range(start, start + n))) or not any(written):
            return UNDEFINED, [False] * max(n // page, 1)
        values = [number(i if i < count else UNDEFINED) for i in range(start, start + n)]
        head = prefix(b"EADB") + number(start - INDEX_ELEMENTS, OFFSET_SIZE)
        if n <= page:
            return place(signed(head + b"".join(values))), []
        pages = [signed(b"".join(values[i : i + page])) for i in range(0, n, page)]
        body = b"".join(p if there else b"\xee" * len(p) for p, there in zip(pages, written, strict=True))
        return place(signed(head) + body), written

    at, direct, supers = INDEX_ELEMENTS, [], []
    for number_ in range(2 * (MIN_POINTERS.bit_length() - 1)):
        for _ in range(data_blocks(number_)):
            direct.append(data_block(at, block_elements(number_))[0])
            at += block_elements(number_)
    for number_ in range(2, 1 + MAX_BITS - (MIN_ELEMENTS.bit_length() - 1)):
        if at >= count:
            supers.append(UNDEFINED)
            continue
        start, pointers, bits, n = at, [], [], block_elements(number_)
        for _ in range(data_blocks(number_)):
            pointer, written = data_block(at, n)
            pointers.append(pointer)
            bits += written
            at += n
        bitmaps = b""
        if n > page:
            room = data_blocks(number_) * ((n // page + 7) // 8)
            bitmaps = np.packbits(bits).tobytes().ljust(room, b"\0")
        head = prefix(b"EASB") + number(start - INDEX_ELEMENTS, OFFSET_SIZE)
        supers.append(place(signed(head + bitmaps + b"".join(map(number, pointers)))))
    inline = b"".join(number(i if i < count and i not in absent else UNDEFINED) for i in range(INDEX_ELEMENTS))
    index = place(signed(prefix(b"EAIB") + inline + b"".join(map(number, direct + supers))))
    head = header(index, page_bits=page_bits)
    data[: len(head)] = head
    return bytes(data)


def read(data: bytes) -> list[int]:
    return read_from(MemoryWindow(data))


def read_from(window) -> list[int]:
    index, rows = joined(read_elements(window, 0, 0, WIDE))
    values = [int.from_bytes(r.tobytes(), "little") for r in rows]
    there = [i for i, value in zip(index.tolist(), values, strict=True) if value != UNDEFINED]
    assert there == [value for value in values if value != UNDEFINED]
    return sorted(there)


@pytest.mark.parametrize("page_bits", [3, 4, 10])
@pytest.mark.parametrize("count", [0, 1, 2, 3, 4, 5, 8, 9, 16, 17, 64, 100, 500, 2000])
def test_counts(count, page_bits):
    assert read(array(count, page_bits=page_bits)) == list(range(count))


@pytest.mark.parametrize("absent", [{0}, {3}, {9}, {100}, {200}, {250, 300}, set(range(100, 900)), {999}])
def test_pages_and_blocks_that_were_never_written(absent):
    """Bits of all data blocks of a super block follow one another, though there is room for whole bytes for each."""
    found = read(array(1000, page_bits=3, absent=frozenset(absent)))
    missing = set(range(1000)) - set(found)
    assert absent <= missing
    assert len(missing) < len(absent) + 16 * 8
    assert all(any(abs(i - j) < 16 for j in absent) for i in missing)


def test_no_index_block():
    assert list(read_elements(MemoryWindow(header(UNDEFINED)), 0, 0, WIDE)) == []


@pytest.mark.parametrize("written", [0, 1, 2, 3, 7, 8, 17, 250, 500, 999, 1000, 5000])
def test_nothing_is_read_beyond_the_max_index_set(written):
    """What the header does not count was never written to libhdf5, be it there, damaged or not."""
    data = bytearray(array(1000))
    data[: len(header(0))] = header(int.from_bytes(data[60:68], "little"), max_index_set=written)
    assert read(bytes(data)) == list(range(min(written, 1000)))
    last = data.rindex(b"EASB")
    data[last] ^= 0xFF
    if written <= 500:
        assert read(bytes(data)) == list(range(written))


@pytest.mark.parametrize("page_bits", [6, 7, 9])
def test_rounds_grow_with_the_logarithm(page_bits):
    """Header, index block, then super blocks and their data blocks, all of one kind together."""
    for count in (5, 100, 2000):
        data = array(count)
        found, rounds = in_rounds(data, page_bits, read_from)
        assert found == list(range(count))
        # Two for each super block in use, three where its data blocks are paged, one page a block at worst.
        assert rounds <= 3 + 3 * count.bit_length() + (0 if count < 100 else 64)


def test_truncated_and_flipped():
    data = array(60)
    for size in range(0, len(data), 3):
        with pytest.raises(FormatError):
            read(data[:size])
    used = len(header(0))
    for i in range(len(data)):
        if used <= i < 128:
            continue
        bad = bytearray(data)
        bad[i] ^= 1 << i % 8
        with pytest.raises(FormatError):
            read(bytes(bad))


@pytest.mark.parametrize("head", [
    header(128, client=1),
    header(128, element=0),
    header(128, elements=0),
    header(128, elements=3),
    header(128, pointers=0),
    header(128, pointers=3),
    header(128, bits=0),
    header(128, bits=65),
    header(128, page_bits=63),
    header(1 << 63),
    header(UNDEFINED - 1),
    header(0),
])  # fmt: skip
def test_what_cannot_be(head):
    data = array(60)
    with pytest.raises(FormatError):
        read(head.ljust(128, b"\0") + data[128:])


def test_blocks_that_repeat():
    """A super block whose pointers all lead to the same data block."""
    data = bytearray(array(2000, page_bits=10))
    at = data.rindex(b"EASB")
    first = number(int.from_bytes(data[at + 16 : at + 24], "little"))
    blocks = data_blocks(8)
    body = bytes(data[at : at + 16]) + first * blocks
    data[at : at + len(body) + 4] = signed(body)
    try:
        found = joined(read_elements(MemoryWindow(bytes(data)), 0, 0, WIDE))[0]
    except FormatError:
        return
    assert len(found) < len(data)
