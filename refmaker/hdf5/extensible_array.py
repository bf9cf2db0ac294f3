"""Extensible array: the chunk index of datasets with one unlimited dimension.

Contract: `read_elements` reads all elements ever written through a Window as rows of bytes: index block, then super
blocks, then data blocks, then pages, each kind of one size together. It gives them some at a time: fresh memory costs
more than what is done with it. Like libhdf5, it takes no notice of what lies at or beyond the header's "max index
set", whatever is stored there: a writer that died has not said so yet.
Specification 4.0, VIII.D (Appendix C, Extensible Array).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from refmaker.errors import FormatError
from refmaker.hdf5.checksum import verify, verify_groups
from refmaker.hdf5.pages import read_pages
from refmaker.hdf5.sizes import Sizes
from refmaker.window import Window

__all__ = ["read_elements"]

HEADER, INDEX_BLOCK = "extensible array header", "extensible array index block"
SUPER_BLOCK, DATA_BLOCK = "extensible array super block", "extensible array data block"

_LARGEST = (1 << 63) - 1

Elements = tuple[npt.NDArray[np.int64], npt.NDArray[np.uint8]]


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
    max_index_set: int
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
        """Return the number of data blocks of a super block."""
        return 1 << super_block // 2

    def block_elements(self, super_block: int) -> int:
        """Return the number of elements of each data block of a super block."""
        return self.min_elements << (super_block + 1) // 2

    def start(self, super_block: int) -> int:
        """Return the index of the first element of a super block."""
        return self.index_elements + sum(self.data_blocks(i) * self.block_elements(i) for i in range(super_block))

    def page_elements(self, super_block: int) -> int:
        """Return the elements of a page, 0 when the data blocks are not paged."""
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
        address,
        client,
        element_size,
        max_bits,
        index_elements,
        min_elements,
        min_pointers,
        page_bits,
        rest[10],
        rest[-1],
    )


def read_elements(window: Window, address: int, client: int, sizes: Sizes) -> Iterator[Elements]:
    """Read an extensible array, some elements at a time; `client` is 0 for unfiltered chunks, 1 for filtered ones.

    Yields the index of each element read (int64[n]) and the elements (uint8 of shape (n, element size)).
    """
    header = _read_header(window, address, client, sizes)
    if header.index_block == sizes.undefined or header.max_index_set == 0:
        return
    for index, rows in _all_elements(window, header, sizes):
        if len(index) and int(index[-1]) < header.max_index_set:
            yield index, rows
            continue
        there = index < min(header.max_index_set, _LARGEST)
        yield index[there], rows[there]


def _all_elements(window: Window, header: _Header, sizes: Sizes) -> Iterator[Elements]:
    """Read all elements of the blocks that begin before the "max index set"."""
    inline, data_blocks, super_blocks = _index_block(window, header, sizes)
    blocks = [
        *_direct(header, data_blocks, sizes),
        *_below(window, header, super_blocks, sizes),
    ]
    yield inline
    rows = _block_rows(window, header, blocks)
    verify_groups([(r, DATA_BLOCK, b.addresses) for b, r in zip(blocks, rows, strict=True)])
    yield from (b.elements(r, header) for b, r in zip(blocks, rows, strict=True) if not b.page)
    yield from _pages(window, header, blocks)


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
    return (np.arange(header.index_elements, dtype="i8"), rows), addresses[:pointers], addresses[pointers:]


@dataclass(slots=True)
class _DataBlocks:
    """The data blocks of a super block that are there.

    Attributes
    ----------
    addresses, starts
        Of each: where it is, and the index of its first element.
    count
        Elements of each.
    page
        Elements of a page, 0 when the blocks are not paged.
    prefix, size
        Bytes before the elements or the checksum, and of what is read at `addresses`.
    written
        Which pages of each were written.
    """

    addresses: npt.NDArray[np.uint64]
    starts: npt.NDArray[np.int64]
    count: int
    page: int
    prefix: int
    size: int
    written: npt.NDArray[np.bool_]

    def elements(self, rows: npt.NDArray[np.uint8], header: _Header) -> Elements:
        """Return index and bytes of the elements of blocks that are not paged."""
        index = (self.starts[:, None] + np.arange(self.count)).reshape(-1)
        return index, rows[:, self.prefix : -4].reshape(-1, header.element_size)


def _data_blocks(
    header: _Header,
    number: int,
    addresses: npt.NDArray[np.uint64],
    bitmaps: npt.NDArray[np.bool_] | None,
    sizes: Sizes,
) -> _DataBlocks:
    """Return where the data blocks of a super block are."""
    count, page = header.block_elements(number), header.page_elements(number)
    begun = -(-(header.max_index_set - header.start(number)) // count)
    there = np.flatnonzero(addresses[: max(begun, 0)] != sizes.undefined)
    prefix = 6 + sizes.offsets + header.offset_size
    size = prefix + (0 if page else count * header.element_size) + 4
    # Data blocks that the index block points to are never paged: their super blocks keep no bitmap.
    written = np.ones((len(there), count // page if page else 0), bool) if bitmaps is None else bitmaps[there]
    starts = (header.start(number) + there * count).astype("i8")
    return _DataBlocks(addresses[there], starts, count, page, prefix, size, written)


def _direct(header: _Header, addresses: npt.NDArray[np.uint64], sizes: Sizes) -> list[_DataBlocks]:
    """Return the data blocks that the index block points to."""
    blocks, first = [], 0
    for number in range(header.direct_super_blocks):
        stop = first + header.data_blocks(number)
        blocks.append(_data_blocks(header, number, addresses[first:stop], None, sizes))
        first = stop
    return blocks


def _below(window: Window, header: _Header, addresses: npt.NDArray[np.uint64], sizes: Sizes) -> list[_DataBlocks]:
    """Read all super blocks; give the data blocks that they point to."""
    there = [
        (number, int(addresses[i]))
        for i in np.flatnonzero(addresses != sizes.undefined)
        if header.start(number := header.direct_super_blocks + int(i)) < header.max_index_set
    ]
    for number, address in there:
        window.want((address,), _super_block_size(window, header, number, address, sizes))
    return [_data_blocks(header, n, *_super_block(window, header, n, address, sizes), sizes) for n, address in there]


def _super_block_size(window: Window, header: _Header, number: int, address: int, sizes: Sizes) -> int:
    page = header.page_elements(number)
    bitmap_size = (header.block_elements(number) // page + 7) // 8 if page else 0
    size = 6 + sizes.offsets + header.offset_size + header.data_blocks(number) * (bitmap_size + sizes.offsets) + 4
    if size > window.size:
        raise FormatError("size", structure=SUPER_BLOCK, address=address, expected=f"<= {window.size}", got=size)
    return size


def _super_block(
    window: Window, header: _Header, number: int, address: int, sizes: Sizes
) -> tuple[npt.NDArray[np.uint64], npt.NDArray[np.bool_] | None]:
    """Read a super block: 0 "EASB" 4 | 4 version 0 | 5 client 1 | 6 header O | offset | page bitmaps | data blocks."""
    count, page = header.data_blocks(number), header.page_elements(number)
    size = _super_block_size(window, header, number, address, sizes)
    data = _checked(window, address, size, b"EASB" + bytes([0, header.client]), SUPER_BLOCK)
    pointers_at = size - 4 - count * sizes.offsets
    pointers = np.frombuffer(data, f"<u{sizes.offsets}", count, pointers_at).astype("u8")
    if not page:
        return pointers, None
    # There is room for whole bytes for each data block, but the bits of all follow one another (H5EA__lookup_elmt).
    pages, start = header.block_elements(number) // page, 6 + sizes.offsets + header.offset_size
    bits = np.unpackbits(np.frombuffer(data, "u1", pointers_at - start, start))
    return pointers, bits[: count * pages].reshape(count, pages).astype(bool)


def _block_rows(window: Window, header: _Header, blocks: list[_DataBlocks]) -> list[npt.NDArray[np.uint8]]:
    """Read all data blocks: 0 "EADB" 4 | 4 version 0 | 5 client 1 | 6 header O | offset | elements | checksum 4.

    Of paged ones what stands before the pages.
    """
    for some in blocks:
        if len(some.addresses) and (len(some.addresses) - 1) * some.size > window.size:
            address = int(some.addresses[0])
            raise FormatError("more data blocks than the file can hold", structure=DATA_BLOCK, address=address)
        window.want(some.addresses, some.size)
    found = [window.rows(some.addresses, some.size) for some in blocks]
    head = np.frombuffer(b"EADB" + bytes([0, header.client]), "u1")
    for some, rows in zip(blocks, found, strict=True):
        wrong = np.flatnonzero((rows[:, :6] != head).any(axis=1))
        if len(wrong):
            raise FormatError(
                "head",
                structure=DATA_BLOCK,
                address=int(some.addresses[wrong[0]]),
                expected=head.tobytes(),
                got=rows[wrong[0], :6].tobytes(),
            )
    return found


def _pages(window: Window, header: _Header, blocks: list[_DataBlocks]) -> Iterator[Elements]:
    """Read all pages that were written, some at a time."""
    groups = []
    for some in blocks:
        if not some.page:
            continue
        block, page = np.nonzero(some.written)
        stride = some.page * header.element_size + 4
        places = some.addresses[block] + (some.size + page * stride).astype("u8")
        window.want(places, stride)
        groups.append((places, some.starts[block] + page * some.page))
    if not groups:
        return
    # All of one size, that of the header.
    places, starts = (np.concatenate(column) for column in zip(*groups, strict=True))
    yield from read_pages(window, places, starts, header.element_size, 1 << header.page_bits, DATA_BLOCK)
