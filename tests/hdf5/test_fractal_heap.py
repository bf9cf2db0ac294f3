from __future__ import annotations

import struct
import zlib

import pytest

from refmaker.errors import FormatError, RefmakerError, Unsupported
from refmaker.hdf5.budget import decoding_budget
from refmaker.hdf5.fractal_heap import read_objects
from refmaker.hdf5.fractal_heap_header import decode_header, read_header
from refmaker.hdf5.sizes import Sizes
from refmaker.sources.memory import MemoryWindow
from tests.hdf5.assembling import UNDEFINED, number, signed
from tests.hdf5.walking import in_rounds

WIDE = Sizes(8, 8)
WIDTH, START, DIRECT, BITS = 4, 64, 128, 16
ID = 8
OFFSET_SIZE, LENGTH_SIZE = 2, 1
HEAD = 15  # of direct blocks: signature 4, version 1, heap address 8, offset 2
DEFLATE = bytes([2, 1]) + struct.pack("<HHHI", 1, 0, 1, 9)


def header(
    root: int, rows: int, *, id_size: int = ID, flags: int = 0, huge: int = UNDEFINED, filters: bytes = b"",
    stored: int = 0, mask: int = 0, width: int = WIDTH, start: int = START, direct: int = DIRECT, bits: int = BITS,
    managed: int = 120,
) -> bytes:  # fmt: skip
    body = b"FRHP\0" + struct.pack("<HHBI", id_size, len(filters), flags, managed) + number(0) + number(huge)
    body += bytes(16 + 64) + number(width, 2) + number(start) + number(direct) + number(bits, 2) + number(1, 2)
    body += number(root) + number(rows, 2)
    if filters:
        body += number(stored) + number(mask, 4) + filters
    return signed(body)


def managed_id(offset: int, size: int) -> bytes:
    return (b"\0" + number(offset, OFFSET_SIZE) + number(size, LENGTH_SIZE)).ljust(ID, b"\0")


class Heap:
    """A heap being put together: `find` gives the place of a block for each offset."""

    def __init__(self, *, checksums: bool = False, filtered: bool = False) -> None:
        self.data = bytearray(400)
        self.checksums, self.filtered = checksums, filtered

    def direct(self, offset: int, size: int) -> tuple[int, int]:
        """Place a direct block whose every byte tells its position; its address and stored size."""
        from refmaker.hdf5.checksum import lookup3

        head = b"FHDB\0" + number(0) + number(offset, OFFSET_SIZE)
        body = bytes((offset + i) * 7 % 251 for i in range(len(head) + 4 * self.checksums, size))
        if self.checksums:
            head += lookup3(head + bytes(4) + body).to_bytes(4, "little")
        block = head + body
        if self.filtered:
            block = zlib.compress(block)
        self.data += block
        return len(self.data) - len(block), len(block)

    def indirect(self, offset: int, rows: int) -> int:
        """Place an indirect block of so many rows with all that it leads to."""
        direct_rows = 3  # blocks of 64, 64, 128 bytes; the rows from the fourth on are indirect
        at, entries = offset, b""
        for row in range(rows):
            size = START << max(row - 1, 0)
            for _ in range(WIDTH):
                if row < direct_rows:
                    address, stored = self.direct(at, size)
                    entries += number(address) + (number(stored) + number(0, 4) if self.filtered else b"")
                else:
                    # As many rows as cover `size` bytes: 4 * 64 are 1 row, 2 * 256 are 2.
                    entries += number(self.indirect(at, size.bit_length() - (START * WIDTH).bit_length() + 1))
                at += size
        block = signed(b"FHIB\0" + number(0) + number(offset, OFFSET_SIZE) + entries)
        self.data += block
        return len(self.data) - len(block)

    def done(self, head: bytes) -> bytes:
        self.data[: len(head)] = head
        return bytes(self.data)


def expected(offset: int, size: int) -> bytes:
    return bytes((offset + i) * 7 % 251 for i in range(size))


def read(data: bytes, ids: list[bytes]) -> list[bytes]:
    return read_from(MemoryWindow(data), ids)


def read_from(window, ids):
    return read_objects(window, read_header(window, 0, WIDE), ids, WIDE, decoding_budget(window.size), {})


@pytest.mark.parametrize("checksums", [False, True])
@pytest.mark.parametrize("filtered", [False, True])
def test_root_is_a_direct_block(checksums, filtered):
    heap = Heap(checksums=checksums, filtered=filtered)
    address, stored = heap.direct(0, START)
    data = heap.done(header(address, 0, flags=2 * checksums, filters=DEFLATE if filtered else b"", stored=stored))
    places = [(20, 5), (40, 24), (63, 1), (20, 5)]
    assert read(data, [managed_id(*place) for place in places]) == [expected(*place) for place in places]


@pytest.mark.parametrize("checksums", [False, True])
@pytest.mark.parametrize("filtered", [False, True])
@pytest.mark.parametrize("rows", [1, 2, 3, 4, 5, 6])
def test_indirect_blocks(rows, checksums, filtered):
    """Rows of 4 blocks of 64, 64, 128 bytes; then indirect blocks that cover 256, 512, 1024 bytes each."""
    heap = Heap(checksums=checksums, filtered=filtered)
    root = heap.indirect(0, rows)
    data = heap.done(header(root, rows, flags=2 * checksums, filters=DEFLATE if filtered else b""))
    total = WIDTH * sum(START << max(row - 1, 0) for row in range(rows))
    offsets = [at + 30 for at in range(0, total, 64)]
    # Only some of the offsets are inside blocks at this distance from a head.
    wanted, ids = [], []
    for offset in offsets:
        wanted.append(expected(offset, 8))
        ids.append(managed_id(offset, 8))
    assert read(data, ids) == wanted
    paged, rounds = in_rounds(data, 6, lambda window: read_from(window, ids))
    assert paged == wanted
    assert rounds <= 2 + 3 + 1
    with pytest.raises(FormatError, match="beyond the heap"):
        read(data, [managed_id(total, 1)])


def test_ids():
    """Objects are found by offset and length; what cannot be one is refused."""
    heap = Heap()
    data = heap.done(header(heap.direct(0, START)[0], 0))
    with pytest.raises(FormatError):
        read(data, [managed_id(60, 5)])
    with pytest.raises(FormatError, match="beyond the heap"):
        read(data, [managed_id(64, 1)])
    with pytest.raises(FormatError, match="heap id"):
        read(data, [b"\0\0"])
    with pytest.raises(FormatError, match="type"):
        read(data, [b"\x30" + bytes(7)])
    with pytest.raises(Unsupported, match="version"):
        read(data, [b"\x40" + bytes(7)])
    with pytest.raises(FormatError, match="empty heap"):
        read(heap.done(header(UNDEFINED, 0)), [managed_id(20, 1)])
    assert read(data, []) == []


def test_tiny_objects():
    data = header(UNDEFINED, 0)
    assert read(data, [bytes([0x20 | 4]) + b"abcde\0\0"]) == [b"abcde"]
    assert read(data, [bytes([0x20]) + b"a" + bytes(6)]) == [b"a"]
    with pytest.raises(FormatError):
        read(data, [bytes([0x20 | 8]) + b"abcdefg"])
    # Ids longer than 17 bytes have 12 bits for the length.
    data = header(UNDEFINED, 0, id_size=40)
    assert read(data, [bytes([0x20, 29]) + bytes(range(30)) + bytes(8)]) == [bytes(range(30))]


def test_huge_objects_found_directly():
    data = bytearray(header(UNDEFINED, 0, id_size=17)).ljust(400, b"\0") + b"a huge object"
    assert read(bytes(data), [b"\x10" + number(400) + number(13)]) == [b"a huge object"]
    with pytest.raises(FormatError):
        read(bytes(data), [b"\x10" + number(400) + number(14)])
    squeezed = zlib.compress(b"a huge object" * 50)
    data = bytearray(header(UNDEFINED, 0, id_size=29, filters=DEFLATE)).ljust(400, b"\0") + squeezed
    heap_id = b"\x10" + number(400) + number(len(squeezed)) + number(0, 4) + number(650)
    assert read(bytes(data), [heap_id]) == [b"a huge object" * 50]
    heap_id = b"\x10" + number(400) + number(len(squeezed)) + number(1, 4) + number(len(squeezed))
    assert read(bytes(data), [heap_id]) == [squeezed]


@pytest.mark.parametrize("filtered", [False, True])
def test_huge_objects_found_through_a_tree(filtered):
    objects = {7: b"a huge object" * 9, 9: b"another"}
    data, records = bytearray(400), b""
    for number_, body in objects.items():
        stored = zlib.compress(body) if filtered else body
        place = number(len(data)) + number(len(stored))
        records += place + (number(0, 4) + number(len(body)) if filtered else b"") + number(number_)
        data += stored
    kind, size = (2, 36) if filtered else (1, 24)
    leaf = len(data)
    data += signed(b"BTLF" + bytes([0, kind]) + records).ljust(512, b"\0")
    tree = len(data)
    data += signed(
        b"BTHD" + bytes([0, kind]) + number(512, 4) + number(size, 2) + bytes(2) + bytes([100, 40]) + number(leaf)
        + number(2, 2) + number(2)
    )  # fmt: skip
    head = header(UNDEFINED, 0, huge=tree, filters=DEFLATE if filtered else b"")
    data[: len(head)] = head
    huge_id = lambda n: b"\x10" + number(n, 7)  # noqa: E731
    assert read(bytes(data), [huge_id(9), huge_id(7)]) == [objects[9], objects[7]]
    with pytest.raises(FormatError, match="without a record"):
        read(bytes(data), [huge_id(8)])
    with pytest.raises(FormatError, match="without an index"):
        read(header(UNDEFINED, 0), [huge_id(8)])


@pytest.mark.parametrize("options", [
    {"width": 0}, {"width": 3}, {"start": 0}, {"start": 100}, {"start": 256}, {"direct": 1 << 40}, {"bits": 0},
    {"bits": 65},
])  # fmt: skip
def test_doubling_tables_that_cannot_be(options):
    with pytest.raises(FormatError, match="doubling table"):
        decode_header(header(UNDEFINED, 0, **options), 0, WIDE, 0)


def test_truncated_and_flipped():
    heap = Heap(checksums=True)
    root = heap.indirect(0, 2)
    head = header(root, 2, flags=2)
    data = heap.done(head)
    ids = [managed_id(30, 8), managed_id(300, 8)]
    read(data, ids)
    for size in range(0, len(data), 3):
        with pytest.raises(FormatError):
            read(data[:size], ids)
    for i in range(len(head)):
        for bit in range(8):
            bad = bytearray(data)
            bad[i] ^= 1 << bit
            with pytest.raises(FormatError):
                read(bytes(bad), ids)
    used = [400, 464, 400 + 4 * 64, len(data) - 20]
    for i in used:
        bad = bytearray(data)
        bad[i] ^= 4
        try:
            read(bytes(bad), ids)
        except RefmakerError:
            continue
        assert i in (464,), i


def test_rows_without_end():
    """Tables and ids that lead far beyond the file."""
    for rows in (1, 100, 65535):
        data = header(200, rows, bits=64, start=1, direct=1 << 31, width=1 << 15, managed=1 << 31).ljust(600, b"\0")
        for offset in (0, 1 << 20, (1 << 64) - 1):
            with pytest.raises(FormatError):
                read(data, [b"\0" + number(offset) + bytes(5)])


def test_blocks_are_kept():
    heap = Heap()
    data = heap.done(header(heap.indirect(0, 5), 5))
    window = MemoryWindow(data)
    found, blocks = read_header(window, 0, WIDE), {}
    ids = [managed_id(30, 8), managed_id(900, 8)]
    first = read_objects(window, found, ids, WIDE, decoding_budget(0), blocks)
    assert blocks
    # Nothing is read again: there is nothing to read.
    assert read_objects(MemoryWindow(b""), found, ids, WIDE, decoding_budget(0), blocks) == first
