"""Fixed array: the chunk index of datasets whose dimensions are all limited.

Contract: `read_elements` reads all elements through a Window as rows of bytes, pages that were never written as absent.
It gives them some at a time: fresh memory costs more than what is done with it.
Specification 4.0, VIII.C (Appendix C, Fixed Array).
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from refmaker.errors import FormatError
from refmaker.hdf5.checksum import verify
from refmaker.hdf5.pages import read_pages
from refmaker.hdf5.sizes import Sizes
from refmaker.window import Window

__all__ = ["read_elements"]

HEADER = "fixed array header"
BLOCK = "fixed array data block"

Elements = tuple[npt.NDArray[np.int64], npt.NDArray[np.uint8]]


def read_elements(window: Window, address: int, client: int, count: int, sizes: Sizes) -> Iterator[Elements]:
    """Read a fixed array, some elements at a time.

    `client` is 0 for unfiltered chunks, 1 for filtered ones, `count` the elements expected.

    Yields the index of each element read (int64[n]) and the elements (uint8 of shape (n, element size)).

    Header: 0 signature "FAHD" 4 | 4 version 0 | 5 client 1 | 6 element size 1 | 7 page bits 1 | 8 elements L
    | data block O | checksum 4.
    """
    layout = sizes.struct("4sBBBBLO")
    buf, pos = window.at(address, layout.size + 4)
    signature, version, found, element_size, page_bits, elements, block = layout.unpack_from(buf, pos)
    if signature != b"FAHD" or version != 0 or found != client:
        raise FormatError(
            "head",
            structure=HEADER,
            address=address,
            expected=f"FAHD, version 0, client {client}",
            got=(signature, version, found),
        )
    verify(bytes(buf[pos : pos + layout.size + 4]), HEADER, address)
    if element_size == 0:
        raise FormatError("size of an element", structure=HEADER, address=address, expected="> 0", got=0)
    if elements != count:
        raise FormatError("number of elements", structure=HEADER, address=address, expected=count, got=elements)
    if block == sizes.undefined:
        return
    if elements * element_size > window.size:
        raise FormatError("more elements than the file can hold", structure=HEADER, address=address, got=elements)
    yield from _data_block(window, block, client, elements, element_size, page_bits, sizes)


def _data_block(
    window: Window, address: int, client: int, count: int, element_size: int, page_bits: int, sizes: Sizes
) -> Iterator[Elements]:
    """Read the data block.

    0 signature "FADB" 4 | 4 version 0 | 5 client 1 | 6 header O | elements | checksum 4
    Paged: … header O | bitmap of pages | checksum 4 | pages
    """
    page = 1 << page_bits if page_bits < 63 else count
    pages = -(-count // page) if count > page else 0
    prefix = 6 + sizes.offsets + (pages + 7) // 8
    size = prefix + (0 if pages else count * element_size) + 4
    buf, pos = window.at(address, size)
    data = bytes(buf[pos : pos + size])
    if data[:6] != b"FADB" + bytes([0, client]):
        raise FormatError("head", structure=BLOCK, address=address, expected=f"FADB, client {client}", got=data[:6])
    verify(data, BLOCK, address)
    if not pages:
        body = np.frombuffer(data, "u1", count * element_size, prefix)
        yield np.arange(count, dtype="i8"), body.reshape(count, element_size)
        return
    bitmap = np.unpackbits(np.frombuffer(data, "u1", (pages + 7) // 8, prefix - (pages + 7) // 8))[:pages]
    yield from _pages(window, address + size, count, page, element_size, bitmap.astype(bool))


def _pages(
    window: Window, address: int, count: int, page: int, element_size: int, written: npt.NDArray[np.bool_]
) -> Iterator[Elements]:
    """Read the pages that were written: `page` elements and a checksum each, the last one shorter."""
    stride = page * element_size + 4
    full = np.flatnonzero(written[: count // page])
    places = address + full.astype("u8") * np.uint64(stride)
    window.want(places, stride)
    rest = count % page
    last = np.array([address + (count // page) * stride] if rest and written[-1] else [], "u8")
    window.want(last, rest * element_size + 4)
    yield from read_pages(window, places, full * page, element_size, page, BLOCK)
    yield from read_pages(window, last, np.array([count - rest]), element_size, rest, BLOCK)
