"""Extensible array: the chunk index of datasets with one unlimited dimension.

Contract: `read_elements` reads all elements ever written through a Window as rows of bytes: index block, then data
blocks
and super blocks, then the data blocks of super blocks, each kind of one size together.
Specification 4.0, VIII.D (Appendix C, Extensible Array).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from refmaker.errors import FormatError
from refmaker.hdf5.checksum import verify, verify_rows
from refmaker.hdf5.fixed_array import paged_elements
from refmaker.hdf5.sizes import Sizes
from refmaker.window import Window

__all__ = ["read_elements"]

HEADER, INDEX_BLOCK = "extensible array header", "extensible array index block"
SUPER_BLOCK, DATA_BLOCK = "extensible array super block", "extensible array data block"

Elements = list[tuple[npt.NDArray[np.int64], npt.NDArray[np.uint8]]]


@dataclass(frozen=True, slots=True)
class _Header:
    """The header's creation parameters, and what follows from them."""

    address: int
    client: int
    element_size: int
    max_bits: int
    index_elements: int
    min_elements: int
    min_pointers: int
    page_bits: int
    index_block: int

    @property
    def offset_size(self) -> int:
        """Bytes of a block's offset in the array."""
        return (self.max_bits + 7) // 8

    @property
    def super_blocks(self) -> int:
        """Super blocks that the array can have, those whose data blocks the index block points to included."""
        return 1 + self.max_bits - (self.min_elements.bit_length() - 1)

    @property
    def direct_super_blocks(self) -> int:
        """Super blocks that do not exist, because the index block points to their data blocks itself."""
        return 2 * (self.min_pointers.bit_length() - 1)

    def data_blocks(self, super_block: int) -> int:
        """Give the number of data blocks of a super block."""
        return 1 << super_block // 2

    def block_elements(self, super_block: int) -> int:
        """Give the number of elements of each data block of a super block."""
        return self.min_elements << (super_block + 1) // 2

    def start(self, super_block: int) -> int:
        """Give the index of the first element of a super block."""
        return self.index_elements + sum(self.data_blocks(i) * self.block_elements(i) for i in range(super_block))

    def page_elements(self, super_block: int) -> int:
        """Give the elements of a page, 0 when the data blocks are not paged."""
        page = 1 << self.page_bits
        return page if self.block_elements(super_block) > page else 0


def _read_header(window: Window, address: int, client: int, sizes: Sizes) -> _Header:
    """Read the header.

    0 signature "EAHD" 4 | 4 version 0 | 5 client 1 | 6 element size 1 | 7 max bits 1 | 8 index block elements 1
    | 9 data block min elements 1 | 10 super block min data pointers 1 | 11 page bits 1 | 12 six statistics L
    | index block O | checksum 4
    """
    layout = sizes.struct("4sBBBBBBBBLLLLLLO")
    buf, pos = window.at(address, layout.size + 4)
    signature, version, found, *rest = layout.unpack_from(buf, pos)
    if signature != b"EAHD" or version != 0 or found != client:
        raise FormatError(
            "head",
            structure=HEADER,
            address=address,
            expected=f"EAHD, version 0, client {client}",
            got=(signature, version, found),
        )
    verify(bytes(buf[pos : pos + layout.size + 4]), HEADER, address)
    element_size, max_bits, index_elements, min_elements, min_pointers, page_bits = rest[:6]
    powers = all(n > 0 and n & (n - 1) == 0 for n in (min_elements, min_pointers))
    if not powers or element_size == 0 or not min_elements.bit_length() <= max_bits <= 64 or page_bits > 62:
        raise FormatError("creation parameters", structure=HEADER, address=address, got=tuple(rest[:6]))
    return _Header(
        address, client, element_size, max_bits, index_elements, min_elements, min_pointers, page_bits, rest[-1]
    )


def read_elements(
    window: Window, address: int, client: int, sizes: Sizes
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.uint8]]:
    """Read an extensible array; `client` is 0 for unfiltered chunks, 1 for filtered ones.

    Returns the index of each element read (int64[n]) and the elements (uint8 of shape (n, element size)).
    """
    header = _read_header(window, address, client, sizes)
    if header.index_block == sizes.undefined:
        return np.empty(0, "i8"), np.empty((0, header.element_size), "u1")
    parts, data_blocks, super_blocks = _index_block(window, header, sizes)
    window.want(super_blocks[super_blocks != sizes.undefined], 4096)
    first = 0
    for number in range(header.direct_super_blocks):
        blocks = data_blocks[first : first + header.data_blocks(number)]
        first += header.data_blocks(number)
        parts += _data_blocks(window, header, number, blocks, None, sizes)
    for i, block in enumerate(super_blocks.tolist()):
        if block != sizes.undefined:
            number = header.direct_super_blocks + i
            pointers, bitmaps = _super_block(window, header, number, block, sizes)
            parts += _data_blocks(window, header, number, pointers, bitmaps, sizes)
    return np.concatenate([index for index, _ in parts]), np.concatenate([rows for _, rows in parts])


def _checked(window: Window, address: int, size: int, head: bytes, structure: str) -> bytes:
    buf, pos = window.at(address, size)
    data = bytes(buf[pos : pos + size])
    if data[: len(head)] != head:
        raise FormatError("head", structure=structure, address=address, expected=head, got=data[: len(head)])
    verify(data, structure, address)
    return data


def _index_block(
    window: Window, header: _Header, sizes: Sizes
) -> tuple[Elements, npt.NDArray[np.uint64], npt.NDArray[np.uint64]]:
    """Read the index block: 0 "EAIB" 4 | 4 version | 5 client | 6 header O | elements | data blocks | super blocks."""
    pointers = 2 * (header.min_pointers - 1)
    supers = max(header.super_blocks - header.direct_super_blocks, 0)
    elements = header.index_elements * header.element_size
    start = 6 + sizes.offsets
    size = start + elements + (pointers + supers) * sizes.offsets + 4
    data = _checked(window, header.index_block, size, b"EAIB" + bytes([0, header.client]), INDEX_BLOCK)
    rows = np.frombuffer(data, "u1", elements, start).reshape(header.index_elements, header.element_size)
    addresses = np.frombuffer(data, f"<u{sizes.offsets}", pointers + supers, start + elements).astype("u8")
    return [(np.arange(header.index_elements, dtype="i8"), rows)], addresses[:pointers], addresses[pointers:]


def _super_block(
    window: Window, header: _Header, number: int, address: int, sizes: Sizes
) -> tuple[npt.NDArray[np.uint64], npt.NDArray[np.bool_] | None]:
    """Read a super block: 0 "EASB" 4 | 4 version 0 | 5 client 1 | 6 header O | offset | page bitmaps | data blocks."""
    count, page = header.data_blocks(number), header.page_elements(number)
    bitmap_size = (header.block_elements(number) // page + 7) // 8 if page else 0
    start = 6 + sizes.offsets + header.offset_size
    size = start + count * (bitmap_size + sizes.offsets) + 4
    if size > window.size:
        raise FormatError("size", structure=SUPER_BLOCK, address=address, expected=f"<= {window.size}", got=size)
    data = _checked(window, address, size, b"EASB" + bytes([0, header.client]), SUPER_BLOCK)
    pointers = np.frombuffer(data, f"<u{sizes.offsets}", count, start + count * bitmap_size).astype("u8")
    if not page:
        return pointers, None
    # There is room for whole bytes for each data block, but the bits of all follow one another (H5EA__lookup_elmt).
    pages = header.block_elements(number) // page
    bits = np.unpackbits(np.frombuffer(data, "u1", count * bitmap_size, start))
    return pointers, bits[: count * pages].reshape(count, pages).astype(bool)


def _data_blocks(
    window: Window,
    header: _Header,
    number: int,
    addresses: npt.NDArray[np.uint64],
    bitmaps: npt.NDArray[np.bool_] | None,
    sizes: Sizes,
) -> Elements:
    """Read the data blocks of a super block: 0 "EADB" 4 | 4 version 0 | 5 client 1 | 6 header O | offset | elements."""
    there = np.flatnonzero(addresses != sizes.undefined)
    if len(there) == 0:
        return []
    present, count = addresses[there], header.block_elements(number)
    starts = header.start(number) + there * count
    prefix = 6 + sizes.offsets + header.offset_size
    page = header.page_elements(number)
    size = prefix + (0 if page else count * header.element_size) + 4
    if len(there) * size > window.size + size:
        raise FormatError("more data blocks than the file can hold", structure=DATA_BLOCK, address=int(present[0]))
    window.want(present, size)
    rows = window.rows(present, size)
    head = np.frombuffer(b"EADB" + bytes([0, header.client]), "u1")
    good = (rows[:, :6] == head).all(axis=1)
    if not good.all():
        i = int(np.flatnonzero(~good)[0])
        raise FormatError(
            "head", structure=DATA_BLOCK, address=int(present[i]), expected=head.tobytes(), got=rows[i, :6].tobytes()
        )
    verify_rows(rows, DATA_BLOCK, present)
    if page == 0:
        index = (starts[:, None] + np.arange(count)).reshape(-1).astype("i8")
        return [(index, rows[:, prefix:-4].reshape(-1, header.element_size))]
    parts = []
    for k, address, start in zip(there.tolist(), present.tolist(), starts.tolist(), strict=True):
        # Data blocks that the index block points to are never paged: their super blocks keep no bitmap.
        written = np.ones(count // page, bool) if bitmaps is None else bitmaps[k]
        index, elements = paged_elements(window, address + size, count, page, header.element_size, written, DATA_BLOCK)
        parts.append((index + start, elements))
    return parts
