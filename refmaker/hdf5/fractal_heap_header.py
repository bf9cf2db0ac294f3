"""The header of a fractal heap: its doubling table, the widths of its ids, its filters.

Contract: `decode_header` is pure, `read_header` reads through a Window. Specification 4.0, III.G.
"""

from __future__ import annotations

from dataclasses import dataclass

from refmaker.errors import FormatError
from refmaker.hdf5.checksum import verify
from refmaker.hdf5.filter_pipeline import decode_filter_pipeline
from refmaker.hdf5.sizes import Sizes, encoded_size, need, unsigned
from refmaker.model import Filter
from refmaker.window import Buffer, Window

__all__ = ["FractalHeap", "decode_header", "read_header"]

WHAT = "fractal heap"
MAX_DIRECT_SIZE = 1 << 31  # H5HF_MAX_DIRECT_SIZE_LIMIT


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
        """Return the size of the blocks of a row."""
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
    size = layout.size + (sizes.lengths + 4 + filter_size if filter_size else 0)
    need(buf, pos, size + 4, WHAT)
    verify(bytes(buf[pos : pos + size + 4]), WHAT, address)
    p, filtered_size, mask = pos + layout.size, 0, 0
    filters: tuple[Filter, ...] = ()
    if filter_size:
        filtered_size = sizes.length(buf, p)
        mask = unsigned(buf, p + sizes.lengths, 4)
        filters = decode_filter_pipeline(bytes(buf[p + sizes.lengths + 4 : pos + size]))
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
    if not powers or start > direct or direct > MAX_DIRECT_SIZE or not 0 < bits <= 64:
        raise FormatError(
            "doubling table",
            structure=WHAT,
            address=address,
            expected=f"powers of two, start <= max direct <= {MAX_DIRECT_SIZE}, at most 64 bits",
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
