"""The objects of a fractal heap: dense links, dense attributes and shared messages.

Contract: `read_objects` reads the objects of many heap ids through a Window, blocks of one depth together; managed,
tiny and huge objects, direct blocks behind filters included. Specification 4.0, III.G.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

from refmaker import limits
from refmaker.codecs.pipeline import decode_chunk
from refmaker.errors import FormatError, Unsupported
from refmaker.hdf5.btree_v2 import read_records
from refmaker.hdf5.budget import Budget
from refmaker.hdf5.checksum import verify
from refmaker.hdf5.fractal_heap_header import FractalHeap
from refmaker.hdf5.sizes import Sizes, need, unsigned
from refmaker.window import Window

__all__ = ["Blocks", "announce_root", "read_objects"]

WHAT = "fractal heap"
_MANAGED, _HUGE, _TINY = 0, 1, 2
_CHECKSUM_BLOCKS = 0x02
MAX_DEPTH = limits.TREE_DEPTH

Blocks: TypeAlias = dict[tuple[int, int, int], bytes]
"""Blocks that were read and checked, by address in the file, offset in the heap, and rows (0: a direct block)."""


@dataclass(frozen=True, slots=True)
class _Block:
    """A direct block that holds an object: its place in the file and in the heap's address space."""

    address: int
    offset: int
    size: int
    stored_size: int
    filter_mask: int

    @property
    def key(self) -> tuple[int, int, int]:
        """What the block is found by in `Blocks`."""
        return self.address, self.offset, 0


def announce_root(window: Window, heap: FractalHeap, sizes: Sizes) -> None:
    """Announce the root block, which every managed object is found through."""
    if heap.root_block is None:
        return
    direct = heap.root_filtered_size if heap.filters else heap.start_block_size
    window.want([heap.root_block], direct if heap.root_rows == 0 else _indirect_size(heap, heap.root_rows, sizes))


def read_objects(
    window: Window, heap: FractalHeap, ids: Sequence[bytes], sizes: Sizes, decoding: Budget, blocks: Blocks
) -> list[bytes]:
    """Read the objects of `ids`, in their order.

    Parameters
    ----------
    decoding
        Counts what blocks and objects behind filters decode to.
    blocks
        Filled with the blocks that are read; those in it are not read again.
    """
    found: list[bytes | None] = [None] * len(ids)
    managed: list[tuple[int, int, int]] = []
    huge: list[tuple[int, bytes]] = []
    for i, heap_id in enumerate(ids):
        need(heap_id, 0, max(heap.id_size, 1), "fractal heap id")
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
    for i, data in _managed(window, heap, managed, sizes, decoding, blocks):
        found[i] = data
    for i, data in _huge(window, heap, huge, sizes, decoding):
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
    window: Window,
    heap: FractalHeap,
    wanted: list[tuple[int, int, int]],
    sizes: Sizes,
    decoding: Budget,
    blocks: Blocks,
) -> list[tuple[int, bytes]]:
    if not wanted:
        return []
    located = _locate(window, heap, sorted({offset for _, offset, _ in wanted}), sizes, blocks)
    missing = {block.key: block for block in located.values() if block.key not in blocks}
    for block in missing.values():
        window.want([block.address], block.stored_size)
    read = {key: _direct_block(window, heap, block, sizes, decoding) for key, block in missing.items()}
    blocks.update(read)
    found = []
    for i, offset, size in wanted:
        block = located[offset]
        data, start = blocks[block.key], offset - block.offset
        need(data, start, size, "fractal heap direct block")
        found.append((i, data[start : start + size]))
    return found


def _locate(window: Window, heap: FractalHeap, offsets: list[int], sizes: Sizes, blocks: Blocks) -> dict[int, _Block]:
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
        for address, start, rows in level:
            if (address, start, rows) not in blocks:
                window.want([address], _indirect_size(heap, rows, sizes))
        below: dict[tuple[int, int, int], list[int]] = {}
        for (address, start, rows), inside in level.items():
            children = _indirect_block(window, heap, address, start, rows, sizes, blocks)
            for offset in inside:
                child = _child(heap, children, offset, start, rows, sizes)
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


def _indirect_block(
    window: Window, heap: FractalHeap, address: int, start: int, rows: int, sizes: Sizes, blocks: Blocks
) -> bytes:
    """Read an indirect block: 0 signature "FHIB" 4 | 4 version 0 | 5 heap O | block offset | children | checksum 4."""
    what, size = "fractal heap indirect block", _indirect_size(heap, rows, sizes)
    if (address, start, rows) in blocks:
        return blocks[address, start, rows]
    buf, pos = window.at(address, size)
    block = bytes(buf[pos : pos + size])
    offset = unsigned(block, 5 + sizes.offsets, heap.offset_size)
    if block[:4] != b"FHIB" or block[4] != 0 or offset != start:
        raise FormatError(
            "head", structure=what, address=address, expected=f"FHIB, offset {start}", got=f"{block[:4]!r}, {offset}"
        )
    verify(block, what, address)
    blocks[address, start, rows] = block
    return block


def _child(
    heap: FractalHeap, block: bytes, offset: int, start: int, rows: int, sizes: Sizes
) -> _Block | tuple[int, int, int]:
    """Return the child of an indirect block that covers `offset`: direct, or (address, offset, rows) of another."""
    within = offset - start
    first_rows = heap.start_block_size * heap.table_width
    row = 0 if within < first_rows else (within // first_rows).bit_length()
    if row >= rows:
        raise FormatError("object beyond the heap", structure=WHAT, address=heap.address, got=offset)
    size = heap.row_block_size(row)
    row_start = 0 if row == 0 else first_rows << (row - 1)
    column = (within - row_start) // size
    entry, p = _direct_entry(heap, sizes), 5 + sizes.offsets + heap.offset_size
    child_start = start + row_start + column * size
    direct_rows = heap.max_direct_rows
    if row < direct_rows:
        p += (row * heap.table_width + column) * entry
        address = sizes.address(block, p)
        stored, mask = size, 0
        if heap.filters:
            stored = sizes.length(block, p + sizes.offsets)
            mask = unsigned(block, p + sizes.offsets + sizes.lengths, 4)
        if address == sizes.undefined:
            raise FormatError("object in a missing block", structure=WHAT, address=heap.address, got=offset)
        return _Block(address, child_start, size, stored, mask)
    p += direct_rows * heap.table_width * entry
    p += ((row - direct_rows) * heap.table_width + column) * sizes.offsets
    address = sizes.address(block, p)
    if address == sizes.undefined:
        raise FormatError("object in a missing block", structure=WHAT, address=heap.address, got=offset)
    return address, child_start, size.bit_length() - first_rows.bit_length() + 1


def _direct_block(window: Window, heap: FractalHeap, block: _Block, sizes: Sizes, decoding: Budget) -> bytes:
    """Read a direct block: 0 signature "FHDB" 4 | 4 version 0 | 5 heap O | block offset (| checksum 4) | objects."""
    what = "fractal heap direct block"
    buf, pos = window.at(block.address, block.stored_size)
    data = bytes(buf[pos : pos + block.stored_size])
    if heap.filters:
        decoding.spend(block.size)
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


def _huge(
    window: Window, heap: FractalHeap, wanted: list[tuple[int, bytes]], sizes: Sizes, decoding: Budget
) -> list[tuple[int, bytes]]:
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
        width = min(8, heap.id_size - 1)
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
        if filtered:
            decoding.spend(memory)
            data = decode_chunk(data, heap.filters, mask, memory)
        found.append((i, data))
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
