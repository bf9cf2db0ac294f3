"""HDF5 structures put together by hand, byte by byte as the format specification has them."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence

import numpy as np

from refmaker.hdf5.checksum import lookup3

UNDEFINED = (1 << 64) - 1
SIGNATURE = b"\x89HDF\r\n\x1a\n"

DATASPACE, LINK_INFO, DATATYPE, OLD_FILL, FILL, LINK, EXTERNAL, LAYOUT = 0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x07, 0x08
GROUP_INFO, FILTERS, ATTRIBUTE, CONTINUATION, SYMBOL_TABLE, ATTRIBUTE_INFO = 0x0A, 0x0B, 0x0C, 0x10, 0x11, 0x15
SOHM_TABLE, BTREE_K, DRIVER_INFO, CACHE_IMAGE = 0x0F, 0x13, 0x14, 0x18

Message = tuple[int, bytes] | tuple[int, bytes, int]


def signed(body: bytes) -> bytes:
    """Append the checksum of a block."""
    return body + lookup3(body).to_bytes(4, "little")


def number(value: int, size: int = 8) -> bytes:
    return value.to_bytes(size, "little")


# Superblocks and object headers.


def superblock_0(
    root: int,
    end: int,
    *,
    offsets: int = 8,
    lengths: int = 8,
    base: int = 0,
    k: Sequence[int] = (4, 16),
    chunk_k: int = 0,
) -> bytes:
    """Version 0, or 1 when `chunk_k` is given."""
    head = SIGNATURE + bytes([1 if chunk_k else 0, 0, 0, 0, 0, offsets, lengths, 0]) + struct.pack("<HHI", *k, 0)
    if chunk_k:
        head += struct.pack("<HH", chunk_k, 0)
    undefined = (1 << 8 * offsets) - 1
    places = b"".join(number(n, offsets) for n in (base, undefined, end, undefined))
    return head + places + number(0, lengths) + number(root, offsets) + bytes(24)


def superblock_2(
    root: int, end: int, *, version: int = 2, extension: int = UNDEFINED, base: int = 0, flags: int = 0, width: int = 8
) -> bytes:
    places = b"".join(number(n & (1 << 8 * width) - 1, width) for n in (base, extension, end, root))
    return signed(SIGNATURE + bytes([version, width, width, flags]) + places)


def messages_1(messages: Sequence[Message]) -> bytes:
    """Messages of a version 1 header, bodies padded to 8 bytes."""
    out = b""
    for kind, body, *flags in messages:
        body += bytes(-len(body) % 8)
        out += struct.pack("<HHB3x", kind, len(body), flags[0] if flags else 0) + body
    return out


def header_1(messages: Sequence[Message]) -> bytes:
    body = messages_1(messages)
    return struct.pack("<BxHII4x", 1, len(messages), 1, len(body)) + body


def messages_2(messages: Sequence[Message], *, ordered: bool = False) -> bytes:
    out = b""
    for order, (kind, body, *flags) in enumerate(messages):
        out += struct.pack("<BHB", kind, len(body), flags[0] if flags else 0)
        out += (struct.pack("<H", order) if ordered else b"") + body
    return out


def header_2(messages: Sequence[Message], *, flags: int = 2, gap: int = 0) -> bytes:
    """Version 2; `flags` bits 0-1: width of the size, 2: ordered, 4: phase change values, 5: times."""
    body = messages_2(messages, ordered=bool(flags & 4)) + bytes(gap)
    head = b"OHDR\x02" + bytes([flags]) + bytes(16 if flags & 32 else 0) + bytes(4 if flags & 16 else 0)
    return signed(head + number(len(body), 1 << (flags & 3)) + body)


def continuation_2(messages: Sequence[Message], *, ordered: bool = False, gap: int = 0) -> bytes:
    return signed(b"OCHK" + messages_2(messages, ordered=ordered) + bytes(gap))


# Messages.


def dataspace(shape: Sequence[int], max_shape: Sequence[int] | None = None, *, kind: int = 1) -> bytes:
    extents = [*shape, *(max_shape or ())]
    return bytes([2, len(shape), int(max_shape is not None), kind]) + b"".join(number(n) for n in extents)


SCALAR, NULL = bytes([2, 0, 0, 0]), bytes([2, 0, 0, 2])


def datatype(kind: int, size: int, properties: bytes = b"", *, version: int = 1, bits: int = 0) -> bytes:
    return struct.pack("<II", kind | version << 4 | bits << 8, size) + properties


def integer(size: int = 4, *, signed: bool = True) -> bytes:
    return datatype(0, size, struct.pack("<HH", 0, 8 * size), bits=8 if signed else 0)


DOUBLE = datatype(1, 8, struct.pack("<HHBBBBI", 0, 64, 52, 11, 0, 52, 1023), bits=0x3F20)
VARIABLE_TEXT = datatype(9, 16, datatype(3, 1), bits=1)


def variable(base: bytes) -> bytes:
    return datatype(9, 16, base)


def contiguous(address: int, size: int) -> bytes:
    return bytes([3, 1]) + number(address) + number(size)


def compact(data: bytes) -> bytes:
    return bytes([3, 0]) + number(len(data), 2) + data


def chunked_3(chunk_shape: Sequence[int], element: int, address: int) -> bytes:
    extents = b"".join(number(n, 4) for n in (*chunk_shape, element))
    return bytes([3, 2, len(chunk_shape) + 1]) + number(address) + extents


def chunked_4(
    chunk_shape: Sequence[int],
    element: int,
    index: int,
    parameters: bytes,
    address: int,
    *,
    flags: int = 0,
    version: int = 4,
) -> bytes:
    extents = b"".join(number(n, 4) for n in (*chunk_shape, element))
    return bytes([version, 2, flags, len(chunk_shape) + 1, 4]) + extents + bytes([index]) + parameters + number(address)


def hard_link(name: bytes, address: int) -> bytes:
    return bytes([1, 0, len(name)]) + name + number(address)


def soft_link(name: bytes, target: bytes) -> bytes:
    return bytes([1, 8, 1, len(name)]) + name + number(len(target), 2) + target


def link_info(heap: int = UNDEFINED, index: int = UNDEFINED) -> bytes:
    return bytes([0, 0]) + number(heap) + number(index)


def attribute(name: bytes, kind: bytes, space: bytes, data: bytes, *, flags: int = 0) -> bytes:
    """Version 3."""
    name += b"\0"
    return struct.pack("<BBHHHB", 3, flags, len(name), len(kind), len(space), 0) + name + kind + space + data


def group(links: Sequence[bytes] = (), more: Sequence[Message] = ()) -> bytes:
    return header_2([(LINK_INFO, link_info()), *((LINK, link) for link in links), *more])


def dataset(space: bytes, kind: bytes, layout: bytes, more: Sequence[Message] = ()) -> bytes:
    return header_2([(DATASPACE, space), (DATATYPE, kind), (LAYOUT, layout), *more])


# Heaps.


def global_collection(objects: Sequence[bytes], *, lengths: int = 8, size: int | None = None) -> bytes:
    """A collection; objects are numbered from 1."""
    head = -(-(8 + lengths) // 8) * 8
    body = b""
    for index, data in enumerate(objects, 1):
        entry = struct.pack("<HH4x", index, 1) + number(len(data), lengths)
        body += entry.ljust(-(-len(entry) // 8) * 8, b"\0") + data + bytes(-len(data) % 8)
    total = head + len(body) if size is None else size
    return (b"GCOL\x01\0\0\0" + number(total, lengths)).ljust(head, b"\0") + body


def heap_reference(length: int, address: int, index: int) -> bytes:
    return number(length, 4) + number(address) + number(index, 4)


def local_heap(segment: int, size: int) -> bytes:
    return b"HEAP\0\0\0\0" + number(size) + number(UNDEFINED) + number(segment)


class Image:
    """A file that grows: structures are placed one after the other, the superblock last."""

    def __init__(self, *, size: int = 48) -> None:
        self.data = bytearray(size)

    @property
    def next(self) -> int:
        """Address of what will be placed next."""
        return len(self.data)

    def place(self, block: bytes, *, align: int = 8) -> int:
        address = len(self.data)
        self.data += block + bytes(-len(block) % align)
        return address

    def file(self, root: int, **options: int) -> bytes:
        block = superblock_2(root, len(self.data), **options)
        self.data[: len(block)] = block
        return bytes(self.data)


def joined(parts: Iterable[tuple[np.ndarray, np.ndarray]]) -> tuple[np.ndarray, np.ndarray]:
    """Join what is read some at a time: indices, elements."""
    index, rows = (
        zip(*parts, strict=True) if (parts := list(parts)) else ([np.empty(0, "i8")], [np.empty((0, 8), "u1")])
    )
    return np.concatenate(index), np.concatenate(rows)
