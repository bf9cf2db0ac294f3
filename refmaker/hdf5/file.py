"""One HDF5 file while it is walked: superblock, extension, and the reading of object headers and heaps.

Contract: everything here reads through the Window of a `File` and may raise `MissingBytes`; what is cached is only what
has been read whole. Specification 4.0, II and IV.A.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from refmaker.errors import FormatError, TruncatedError, Unsupported
from refmaker.hdf5 import fractal_heap, global_heap
from refmaker.hdf5.checksum import verify
from refmaker.hdf5.metadata_cache_image import OverlayWindow, decode_cache_image, decode_cache_image_message
from refmaker.hdf5.object_header import (
    CONTINUATION,
    CONTINUATION_SIGNATURE,
    MAX_PREFIX_SIZE,
    HeaderPrefix,
    Message,
    decode_continuation,
    decode_prefix,
    scan_messages,
)
from refmaker.hdf5.shared_message import (
    decode_shared_message,
    decode_sohm_indexes,
    decode_sohm_message,
    sohm_table_size,
)
from refmaker.hdf5.sizes import Sizes
from refmaker.hdf5.superblock import MAX_SIZE, SIGNATURE, Superblock, decode_superblock, signature_addresses
from refmaker.model import Attribute
from refmaker.window import ShiftedWindow, Window

__all__ = ["File", "Header", "find_superblock", "open_file", "read_header", "read_heap_objects", "shared_body"]

_SHARED = 0x02
_SOHM_TABLE, _BTREE_K, _DRIVER_INFO, _CACHE_IMAGE = 0x0F, 0x13, 0x14, 0x18
DEFAULT_CHUNK_K = 32
# A header is mostly smaller than this; asking for so much at once saves a round over the network.
HEADER_GUESS = 512
COLLECTION_GUESS = 4096


@dataclass(slots=True)
class File:
    """A file being walked. `window` has its address 0 at the superblock; `base` is where that is in the source.

    `sohm` lists the shared message indexes: message type flags and heap address. The rest are caches.
    """

    window: Window
    base: int
    sizes: Sizes
    superblock: Superblock
    chunk_k: int = DEFAULT_CHUNK_K
    sohm: list[tuple[int, int]] = field(default_factory=list)
    collections: dict[int, dict[int, bytes]] = field(default_factory=dict)
    heaps: dict[int, fractal_heap.FractalHeap] = field(default_factory=dict)
    committed: dict[tuple[int, int], bytes] = field(default_factory=dict)
    attributes: dict[bytes, Attribute] = field(default_factory=dict)


@dataclass(slots=True)
class Header:
    """An object header read whole. `blocks` are its checksummed blocks, to be verified together with others'."""

    address: int
    version: int
    tracks_order: bool
    messages: list[Message]
    blocks: list[tuple[int, bytes]]


def find_superblock(window: Window) -> Superblock:
    """Find and decode the superblock. Raises `FormatError` when there is none."""
    addresses = [a for a in signature_addresses(window.size) if a + len(SIGNATURE) <= window.size]
    if window.size < len(SIGNATURE):
        raise FormatError(
            "not an HDF5 file", structure="superblock", address=0, expected=SIGNATURE, got=f"{window.size} bytes"
        )
    for address in addresses:
        buf, pos = window.at(address, len(SIGNATURE))
        if bytes(buf[pos : pos + len(SIGNATURE)]) == SIGNATURE:
            size = min(MAX_SIZE, window.size - address)
            buf, pos = window.at(address, size)
            return decode_superblock(bytes(buf[pos : pos + size]), 0, address)
    buf, pos = window.at(0, len(SIGNATURE))
    got = bytes(buf[pos : pos + len(SIGNATURE)])
    raise FormatError("not an HDF5 file", structure="superblock", address=0, expected=SIGNATURE, got=got)


def open_file(window: Window) -> File:
    """Read superblock and superblock extension."""
    superblock = find_superblock(window)
    end = superblock.end_of_file
    if end > window.size:
        raise TruncatedError(
            "the file is truncated",
            structure="superblock",
            address=superblock.base,
            expected=f"{end} bytes",
            got=window.size,
        )
    shifted = ShiftedWindow(window, superblock.base) if superblock.base else window
    file = File(shifted, superblock.base, superblock.sizes, superblock)
    if superblock.indexed_storage_k is not None:
        file.chunk_k = superblock.indexed_storage_k
    if superblock.driver_information is not None:
        _refuse_driver(file, superblock.driver_information)
    if superblock.extension is not None:
        _read_extension(file, superblock.extension)
    return file


def _refuse_driver(file: File, address: int) -> None:
    """Refuse a file of a family, multi or split driver: 0 version | 1 reserved 3 | 4 size 4 | 8 driver 8."""
    buf, pos = file.window.at(address, 16)
    name = bytes(buf[pos + 8 : pos + 16]).rstrip(b"\0").decode("ascii", "backslashreplace")
    raise Unsupported(
        f"the file is a part of several, written by the driver {name}; join the parts first",
        structure="driver information block",
        address=address,
    )


def _read_extension(file: File, address: int) -> None:
    header = read_header(file, address)
    verify_blocks(header.blocks)
    for message in header.messages:
        if message.kind == _BTREE_K and len(message.body) >= 7:
            # 0 version | 1 indexed storage internal K 2 | 3 group internal K 2 | 5 group leaf K 2
            file.chunk_k = int.from_bytes(message.body[1:3], "little") or DEFAULT_CHUNK_K
        elif message.kind == _DRIVER_INFO:
            name = message.body[1:9].rstrip(b"\0").decode("ascii", "backslashreplace")
            raise Unsupported(
                f"the file is a part of several, written by the driver {name}; join the parts first",
                structure="driver info message",
                address=address,
            )
        elif message.kind == _CACHE_IMAGE:
            _read_cache_image(file, message.body)
        elif message.kind == _SOHM_TABLE:
            table, count = decode_sohm_message(message.body, file.sizes)
            size = sohm_table_size(count, file.sizes)
            buf, pos = file.window.at(table, size)
            block = bytes(buf[pos : pos + size])
            verify(block, "shared message table", table)
            file.sohm = decode_sohm_indexes(block, 0, count, file.sizes, table)


def _read_cache_image(file: File, body: bytes) -> None:
    place = decode_cache_image_message(body, file.sizes)
    if place is None:
        return
    buf, pos = file.window.at(*place)
    entries = decode_cache_image(bytes(buf[pos : pos + place[1]]), file.sizes, place[0])
    file.window = OverlayWindow(file.window, entries)


def verify_blocks(blocks: Sequence[tuple[int, bytes]]) -> None:
    """Verify the checksums of object header blocks one by one."""
    for address, block in blocks:
        verify(block, "object header", address)


def read_header(file: File, address: int) -> Header:
    """Read an object header, all its continuation blocks included."""
    window = file.window
    if address >= window.size:
        raise FormatError(
            "address beyond the file", structure="object header", address=address, expected=f"< {window.size}"
        )
    guess = min(MAX_PREFIX_SIZE, window.size - address)
    window.want((address,), min(HEADER_GUESS, window.size - address))
    buf, pos = window.at(address, guess)
    prefix = decode_prefix(buf, pos, address)
    buf, pos = window.at(address, prefix.stop)
    messages = scan_messages(buf, pos + prefix.messages, pos + prefix.messages + prefix.size, prefix, address)
    blocks = []
    if prefix.version == 2:
        blocks.append((address, bytes(buf[pos : pos + prefix.stop])))
    _follow(file, prefix, messages, blocks, address)
    return Header(address, prefix.version, prefix.tracks_order, messages, blocks)


def _follow(
    file: File, prefix: HeaderPrefix, messages: list[Message], blocks: list[tuple[int, bytes]], address: int
) -> None:
    """Read continuation blocks, those of one generation together, and append what they hold."""
    done: set[int] = set()
    found = [m for m in messages if m.kind == CONTINUATION]
    total = 0
    while found:
        places = [decode_continuation(m.body, file.sizes) for m in found]
        for start, size in places:
            file.window.want((start,), size)
        found = []
        for start, size in places:
            total += size
            if start in done or total > file.window.size:
                raise FormatError("continuation blocks that repeat", structure="object header", address=address)
            done.add(start)
            more = _continuation(file, prefix, start, size, blocks)
            found += [m for m in more if m.kind == CONTINUATION]
            messages += more


def _continuation(
    file: File, prefix: HeaderPrefix, address: int, size: int, blocks: list[tuple[int, bytes]]
) -> list[Message]:
    buf, pos = file.window.at(address, size)
    if prefix.version == 1:
        return scan_messages(buf, pos, pos + size, prefix, address)
    if size < 8 or bytes(buf[pos : pos + 4]) != CONTINUATION_SIGNATURE:
        raise FormatError(
            "signature",
            structure="object header continuation",
            address=address,
            expected=CONTINUATION_SIGNATURE,
            got=bytes(buf[pos : pos + 4]),
        )
    blocks.append((address, bytes(buf[pos : pos + size])))
    return scan_messages(buf, pos + 4, pos + size - 4, prefix, address)


def shared_body(file: File, message: Message) -> bytes:
    """Give a message's body, fetched from where it is kept when the message is shared."""
    if not message.flags & _SHARED:
        return message.body
    return shared(file, message.kind, message.body)


def shared(file: File, kind: int, body: bytes) -> bytes:
    """Give the body of the message of type `kind` that the shared message `body` stands for."""
    where = decode_shared_message(body, file.sizes)
    if where.address is None:
        return _from_sohm(file, kind, where.heap_id or b"")
    key = (kind, where.address)
    if key not in file.committed:
        for message in read_header(file, where.address).messages:
            if message.kind == kind and not message.flags & _SHARED:
                file.committed[key] = message.body
                break
        else:
            raise FormatError(
                f"no message of type {kind:#x}", structure="object header of a shared message", address=where.address
            )
    return file.committed[key]


def _from_sohm(file: File, kind: int, heap_id: bytes) -> bytes:
    for flags, address in file.sohm:
        if flags >> kind & 1:
            return read_heap(file, address, [heap_id])[0]
    raise FormatError(f"no shared message index for messages of type {kind:#x}", structure="shared message table")


def read_heap(file: File, address: int, ids: Sequence[bytes]) -> list[bytes]:
    """Read objects of the fractal heap at `address`."""
    if address not in file.heaps:
        file.heaps[address] = fractal_heap.read_header(file.window, address, file.sizes)
    return fractal_heap.read_objects(file.window, file.heaps[address], ids, file.sizes)


def read_heap_objects(file: File, addresses: Sequence[int], indexes: Sequence[int]) -> list[bytes]:
    """Read global heap objects by collection address and object index, all collections together."""
    missing = {address for address in addresses if address not in file.collections}
    if missing:
        _read_collections(file, sorted(missing))
    objects = []
    for address, index in zip(addresses, indexes, strict=True):
        found = file.collections[address].get(index)
        if found is None:
            raise FormatError(
                f"no object {index}", structure="global heap collection", address=address, expected="an object"
            )
        objects.append(found)
    return objects


def _read_collections(file: File, addresses: list[int]) -> None:
    window, sizes = file.window, file.sizes
    for address in addresses:
        if address >= window.size:
            raise FormatError("address beyond the file", structure="global heap collection", address=address)
    window.want(addresses, COLLECTION_GUESS)
    extents = []
    for address in addresses:
        buf, pos = window.at(address, global_heap.HEAD_SIZE)
        extents.append(global_heap.collection_size(buf, pos, sizes, address))
    for address, size in zip(addresses, extents, strict=True):
        if size > COLLECTION_GUESS:
            window.want((address,), size)
    for address, size in zip(addresses, extents, strict=True):
        buf, pos = window.at(address, size)
        file.collections[address] = global_heap.decode_collection(buf, pos, size, sizes, address)
