"""Fractal heap: where dense links, dense attributes and shared messages are kept.

Contract: `decode_header` is pure; `read_objects` reads the objects of many heap ids through a Window, blocks of one
depth together. Specification 4.0, III.G. Managed, tiny and huge objects, direct blocks behind filters included.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from refmaker.errors import FormatError, Unsupported
from refmaker.hdf5.btree_v2 import read_records
from refmaker.hdf5.checksum import verify
from refmaker.hdf5.filter_pipeline import decode_filter_pipeline
from refmaker.hdf5.pipeline import decode_chunk
from refmaker.hdf5.sizes import Sizes, encoded_size, need, unsigned
from refmaker.model import Filter
from refmaker.window import Buffer, Window

__all__ = ["FractalHeap", "decode_header", "read_header", "read_objects"]

WHAT = "fractal heap"
_MANAGED, _HUGE, _TINY = 0, 1, 2
_CHECKSUM_BLOCKS = 0x02
MAX_DEPTH = 64


@dataclass(frozen=True, slots=True)
class FractalHeap:
    """Header of a fractal heap, in the specification's words; sizes in bytes."""

    address: int
    id_size: int
    flags: int
    max_managed: int
    huge_index: int | None
    table_width: int
    start_block_size: int
    max_direct_size: int
    max_heap_bits: int
    root_block: int | None
    root_rows: int
    filters: tuple[Filter, ...]
    root_filtered_size: int
    root_filter_mask: int

    @property
    def offset_size(self) -> int:
        """Bytes of an offset in the heap."""
        return (self.max_heap_bits + 7) // 8

    @property
    def length_size(self) -> int:
        """Bytes of an object's length in a heap id."""
        direct = (self.max_direct_size.bit_length() - 1 + 7) // 8
        return min(direct, encoded_size(self.max_managed))

    @property
    def max_direct_rows(self) -> int:
        """Rows of an indirect block that hold direct blocks."""
        return self.max_direct_size.bit_length() - self.start_block_size.bit_length() + 2

    def row_block_size(self, row: int) -> int:
        """Give the size of the blocks of a row."""
        return self.start_block_size << max(row - 1, 0)


def decode_header(buf: Buffer, pos: int, sizes: Sizes, address: int) -> FractalHeap:
    """Decode a fractal heap header.

    0 signature "FRHP" 4 | 4 version 0 | 5 id size 2 | 7 filters' size 2 | 9 flags 1 | 10 max managed object 4
    | next huge id L | huge index O | free space L | free space manager O | managed space L | allocated L | iterator L
    | managed objects L | huge size L | huge objects L | tiny size L | tiny objects L
    | table width 2 | start block size L | max direct block size L | max heap size (bits) 2 | start rows 2
    | root block O | rows 2 (| root filtered size L | root filter mask 4 | filters) | checksum 4
    """
    need(buf, pos, 10, WHAT)
    if bytes(buf[pos : pos + 4]) != b"FRHP" or buf[pos + 4] != 0:
        raise FormatError("signature", structure=WHAT, address=address, expected=b"FRHP", got=bytes(buf[pos : pos + 4]))
    layout = sizes.struct("4xxHHBILOLOLLLLLLLLHLLHHOH")
    need(buf, pos, layout.size, WHAT)
    fields = layout.unpack_from(buf, pos)
    id_size, filter_size, flags, max_managed, _, huge = fields[:6]
    width, start, direct, bits, _, root, rows = fields[16:]
    p, filtered_size, mask = pos + layout.size, 0, 0
    filters: tuple[Filter, ...] = ()
    if filter_size:
        need(buf, p, sizes.lengths + 4 + filter_size, WHAT)
        filtered_size = sizes.length(buf, p)
        mask = unsigned(buf, p + sizes.lengths, 4)
        p += sizes.lengths + 4
        filters = decode_filter_pipeline(bytes(buf[p : p + filter_size]))
        p += filter_size
    need(buf, p, 4, WHAT)
    verify(bytes(buf[pos : p + 4]), WHAT, address)
    _check_table(width, start, direct, bits, address)
    return FractalHeap(
        address=address,
        id_size=id_size,
        flags=flags,
        max_managed=max_managed,
        huge_index=None if huge == sizes.undefined else huge,
        table_width=width,
        start_block_size=start,
        max_direct_size=direct,
        max_heap_bits=bits,
        root_block=None if root == sizes.undefined else root,
        root_rows=rows,
        filters=filters,
        root_filtered_size=filtered_size,
        root_filter_mask=mask,
    )


def _check_table(width: int, start: int, direct: int, bits: int, address: int) -> None:
    powers = all(n > 0 and n & (n - 1) == 0 for n in (width, start, direct))
    if not powers or start > direct or not 0 < bits <= 64:
        raise FormatError(
            "doubling table",
            structure=WHAT,
            address=address,
            expected="powers of two, start <= max direct, at most 64 bits",
            got=(width, start, direct, bits),
        )


def read_header(window: Window, address: int, sizes: Sizes) -> FractalHeap:
    """Read a fractal heap header."""
    fixed = sizes.struct("4xxHHBILOLOLLLLLLLLHLLHHOH").size
    buf, pos = window.at(address, fixed + 4)
    filter_size = unsigned(buf, pos + 7, 2)
    size = fixed + 4 + (sizes.lengths + 4 + filter_size if filter_size else 0)
    buf, pos = window.at(address, size)
    return decode_header(bytes(buf[pos : pos + size]), 0, sizes, address)


@dataclass(frozen=True, slots=True)
class _Block:
    """A direct block that holds an object: its place in the file and in the heap's address space."""

    address: int
    offset: int
    size: int
    stored_size: int
    filter_mask: int


def read_objects(window: Window, heap: FractalHeap, ids: Sequence[bytes], sizes: Sizes) -> list[bytes]:
    """Read the objects of `ids`, in their order."""
    found: list[bytes | None] = [None] * len(ids)
    managed: list[tuple[int, int, int]] = []
    huge: list[tuple[int, bytes]] = []
    for i, heap_id in enumerate(ids):
        need(heap_id, 0, heap.id_size, "fractal heap id")
        kind = heap_id[0] >> 4 & 3
        if heap_id[0] >> 6:
            raise Unsupported("version", structure="fractal heap id", expected=0, got=heap_id[0] >> 6)
        if kind == _TINY:
            found[i] = _tiny(heap, heap_id)
        elif kind == _HUGE:
            huge.append((i, heap_id))
        elif kind == _MANAGED:
            split = 1 + heap.offset_size
            need(heap_id, 0, split + heap.length_size, "fractal heap id")
            managed.append((i, unsigned(heap_id, 1, heap.offset_size), unsigned(heap_id, split, heap.length_size)))
        else:
            raise FormatError("type", structure="fractal heap id", expected="0 to 2", got=kind)
    for i, data in _managed(window, heap, managed, sizes):
        found[i] = data
    for i, data in _huge(window, heap, huge, sizes):
        found[i] = data
    return [data for data in found if data is not None]


def _tiny(heap: FractalHeap, heap_id: bytes) -> bytes:
    """Take the object out of its id: 0 flags and length - 1 (4 bits, or 12 when ids are longer than 17) | data."""
    if heap.id_size <= 17:
        size, start = (heap_id[0] & 15) + 1, 1
    else:
        size, start = ((heap_id[0] & 15) << 8 | heap_id[1]) + 1, 2
    need(heap_id, start, size, "fractal heap id")
    return heap_id[start : start + size]


def _managed(
    window: Window, heap: FractalHeap, wanted: list[tuple[int, int, int]], sizes: Sizes
) -> list[tuple[int, bytes]]:
    if not wanted:
        return []
    blocks = _locate(window, heap, sorted({offset for _, offset, _ in wanted}), sizes)
    distinct = {block.address: block for block in blocks.values()}
    for block in distinct.values():
        window.want([block.address], block.stored_size)
    data = {address: _direct_block(window, heap, block, sizes) for address, block in distinct.items()}
    found = []
    for i, offset, size in wanted:
        block = blocks[offset]
        start = offset - block.offset
        need(data[block.address], start, size, "fractal heap direct block")
        found.append((i, data[block.address][start : start + size]))
    return found


def _locate(window: Window, heap: FractalHeap, offsets: list[int], sizes: Sizes) -> dict[int, _Block]:
    """Find the direct block of every offset, walking indirect blocks one depth at a time."""
    root = heap.root_block
    if root is None:
        raise FormatError("object in an empty heap", structure=WHAT, address=heap.address)
    if heap.root_rows == 0:
        stored = heap.root_filtered_size if heap.filters else heap.start_block_size
        block = _Block(root, 0, heap.start_block_size, stored, heap.root_filter_mask)
        return {offset: _inside(heap, block, offset) for offset in offsets}
    located: dict[int, _Block] = {}
    level = {(root, 0, heap.root_rows): offsets}
    for _ in range(MAX_DEPTH):
        for address, _, rows in level:
            window.want([address], _indirect_size(heap, rows, sizes))
        below: dict[tuple[int, int, int], list[int]] = {}
        for (address, start, rows), inside in level.items():
            buf, pos = window.at(address, _indirect_size(heap, rows, sizes))
            _check_indirect(heap, bytes(buf[pos : pos + _indirect_size(heap, rows, sizes)]), address, start, sizes)
            for offset in inside:
                child = _child(heap, buf, pos, offset, start, rows, sizes)
                if isinstance(child, _Block):
                    located[offset] = _inside(heap, child, offset)
                else:
                    below.setdefault(child, []).append(offset)
        if not below:
            return located
        level = below
    raise FormatError("indirect blocks nested too deep", structure=WHAT, address=heap.address)


def _inside(heap: FractalHeap, block: _Block, offset: int) -> _Block:
    if not block.offset <= offset < block.offset + block.size:
        raise FormatError("object beyond the heap", structure=WHAT, address=heap.address, got=offset)
    return block


def _direct_entry(heap: FractalHeap, sizes: Sizes) -> int:
    return sizes.offsets + (sizes.lengths + 4 if heap.filters else 0)


def _indirect_size(heap: FractalHeap, rows: int, sizes: Sizes) -> int:
    direct = min(rows, heap.max_direct_rows) * heap.table_width
    indirect = max(rows - heap.max_direct_rows, 0) * heap.table_width
    return 5 + sizes.offsets + heap.offset_size + direct * _direct_entry(heap, sizes) + indirect * sizes.offsets + 4


def _check_indirect(heap: FractalHeap, block: bytes, address: int, start: int, sizes: Sizes) -> None:
    """Check an indirect block: 0 signature "FHIB" 4 | 4 version 0 | 5 heap O | block offset | children | checksum 4."""
    what = "fractal heap indirect block"
    offset = unsigned(block, 5 + sizes.offsets, heap.offset_size)
    if block[:4] != b"FHIB" or block[4] != 0 or offset != start:
        raise FormatError(
            "head", structure=what, address=address, expected=f"FHIB, offset {start}", got=f"{block[:4]!r}, {offset}"
        )
    verify(block, what, address)


def _child(
    heap: FractalHeap, buf: Buffer, pos: int, offset: int, start: int, rows: int, sizes: Sizes
) -> _Block | tuple[int, int, int]:
    """Give the child of an indirect block that covers `offset`: direct, or (address, offset, rows) of another."""
    within = offset - start
    first_rows = heap.start_block_size * heap.table_width
    row = 0 if within < first_rows else (within // first_rows).bit_length()
    if row >= rows:
        raise FormatError("object beyond the heap", structure=WHAT, address=heap.address, got=offset)
    size = heap.row_block_size(row)
    row_start = 0 if row == 0 else first_rows << (row - 1)
    column = (within - row_start) // size
    entry, p = _direct_entry(heap, sizes), pos + 5 + sizes.offsets + heap.offset_size
    child_start = start + row_start + column * size
    direct_rows = heap.max_direct_rows
    if row < direct_rows:
        p += (row * heap.table_width + column) * entry
        address = sizes.address(buf, p)
        stored, mask = size, 0
        if heap.filters:
            stored = sizes.length(buf, p + sizes.offsets)
            mask = unsigned(buf, p + sizes.offsets + sizes.lengths, 4)
        if address == sizes.undefined:
            raise FormatError("object in a missing block", structure=WHAT, address=heap.address, got=offset)
        return _Block(address, child_start, size, stored, mask)
    p += direct_rows * heap.table_width * entry
    p += ((row - direct_rows) * heap.table_width + column) * sizes.offsets
    address = sizes.address(buf, p)
    if address == sizes.undefined:
        raise FormatError("object in a missing block", structure=WHAT, address=heap.address, got=offset)
    return address, child_start, size.bit_length() - first_rows.bit_length() + 1


def _direct_block(window: Window, heap: FractalHeap, block: _Block, sizes: Sizes) -> bytes:
    """Read a direct block: 0 signature "FHDB" 4 | 4 version 0 | 5 heap O | block offset (| checksum 4) | objects."""
    what = "fractal heap direct block"
    buf, pos = window.at(block.address, block.stored_size)
    data = bytes(buf[pos : pos + block.stored_size])
    if heap.filters:
        data = decode_chunk(data, heap.filters, block.filter_mask, block.size)
    if len(data) != block.size:
        raise FormatError("size", structure=what, address=block.address, expected=block.size, got=len(data))
    offset = unsigned(data, 5 + sizes.offsets, heap.offset_size)
    if data[:4] != b"FHDB" or data[4] != 0 or offset != block.offset:
        raise FormatError(
            "head",
            structure=what,
            address=block.address,
            expected=f"FHDB, offset {block.offset}",
            got=f"{data[:4]!r}, {offset}",
        )
    if heap.flags & _CHECKSUM_BLOCKS:
        at = 5 + sizes.offsets + heap.offset_size
        # The checksum is computed with its own four bytes zero.
        verify(data[:at] + b"\0\0\0\0" + data[at + 4 :] + data[at : at + 4], what, block.address)
    return data


def _huge(window: Window, heap: FractalHeap, wanted: list[tuple[int, bytes]], sizes: Sizes) -> list[tuple[int, bytes]]:
    """Read huge objects: directly where ids have room for address and length, else through their v2 B-tree."""
    if not wanted:
        return []
    filtered = bool(heap.filters)
    direct = sizes.struct("OLIL" if filtered else "OL")
    places: list[tuple[int, int, int, int, int]] = []
    if 1 + direct.size <= heap.id_size:
        for i, heap_id in wanted:
            address, size, *rest = direct.unpack_from(heap_id, 1)
            places.append((i, address, size, *(rest or (0, size))))
    else:
        table = _huge_table(window, heap, sizes)
        width = min(sizes.lengths, heap.id_size - 1)
        for i, heap_id in wanted:
            number = unsigned(heap_id, 1, width)
            if number not in table:
                raise FormatError("huge object without a record", structure=WHAT, address=heap.address, got=number)
            places.append((i, *table[number]))
    for _, address, size, _, _ in places:
        window.want([address], size)
    found = []
    for i, address, size, mask, memory in places:
        buf, pos = window.at(address, size)
        data = bytes(buf[pos : pos + size])
        found.append((i, decode_chunk(data, heap.filters, mask, memory) if filtered else data))
    return found


def _huge_table(window: Window, heap: FractalHeap, sizes: Sizes) -> dict[int, tuple[int, int, int, int]]:
    """Read the v2 B-tree of huge objects (types 1 and 2): id -> address, size, filter mask, size in memory."""
    if heap.huge_index is None:
        raise FormatError("huge object without an index", structure=WHAT, address=heap.address)
    filtered = bool(heap.filters)
    layout = sizes.struct("OLILL" if filtered else "OLL")
    records = read_records(window, heap.huge_index, 2 if filtered else 1, sizes)
    table = {}
    for row in records:
        values = layout.unpack_from(row.tobytes(), 0)
        size = values[1]
        table[values[-1]] = (values[0], size, values[2], values[3]) if filtered else (values[0], size, 0, size)
    return table
