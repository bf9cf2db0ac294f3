"""One HDF5 file while it is walked: the reading of object headers, shared messages and heaps.

Contract: everything here reads through the Window of a `File` and may raise `MissingBytes`; what is cached is only what
has been read whole. Specification 4.0, II and IV.A.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from refmaker.errors import FormatError
from refmaker.hdf5 import fractal_heap, fractal_heap_header, global_heap
from refmaker.hdf5.budget import Budget, MeteredWindow, decoding_budget, reading_budget
from refmaker.hdf5.checksum import verify
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
from refmaker.hdf5.shared_message import decode_shared_message
from refmaker.hdf5.sizes import Sizes
from refmaker.hdf5.superblock import Superblock
from refmaker.model import Attribute, Dataspace, Datatype
from refmaker.window import Window

__all__ = [
    "File",
    "Header",
    "announce_dense",
    "file_at",
    "read_header",
    "read_heap",
    "read_heap_objects",
    "shared",
    "shared_body",
    "verify_blocks",
]

_SHARED = 0x02
_OLD_FILL, _FILL = 0x04, 0x05
DEFAULT_CHUNK_K = 32
# A header is mostly smaller than this; asking for so much at once saves a round over the network.
HEADER_GUESS = 512
COLLECTION_GUESS = 4096


@dataclass(slots=True)
class File:
    """A file being walked. `window` has its address 0 at the superblock; `base` is where that is in the source.

    `group_internal_k`, `group_leaf_k` and `chunk_k` are the B-tree K values in force. `sohm` lists the shared message
    indexes: message type flags and heap address. `reading` and `decoding` bound the work; the rest are caches.
    """

    window: Window
    base: int
    sizes: Sizes
    superblock: Superblock
    reading: Budget
    decoding: Budget
    group_internal_k: int
    group_leaf_k: int
    chunk_k: int = DEFAULT_CHUNK_K
    sohm: list[tuple[int, int]] = field(default_factory=list)
    sohm_blocks: fractal_heap.Blocks = field(default_factory=dict)
    collections: dict[int, dict[int, bytes]] = field(default_factory=dict)
    heaps: dict[int, fractal_heap_header.FractalHeap] = field(default_factory=dict)
    committed: dict[tuple[int, int], bytes] = field(default_factory=dict)
    attributes: dict[bytes, Attribute] = field(default_factory=dict)
    attribute_kinds: dict[bytes, tuple[str, Datatype, Dataspace]] = field(default_factory=dict)

    @property
    def metered(self) -> MeteredWindow:
        """The Window for structures that many objects could claim: what is read is counted."""
        return MeteredWindow(self.window, self.reading)

    def begin(self) -> None:
        """Begin a step: forget what an interrupted one counted."""
        self.reading.begin()
        self.decoding.begin()

    def commit(self) -> None:
        """End a step: keep what it counted."""
        self.reading.commit()
        self.decoding.commit()


@dataclass(slots=True)
class Header:
    """An object header read whole. `blocks` are its checksummed blocks, to be verified together with others'."""

    address: int
    version: int
    tracks_order: bool
    messages: list[Message]
    blocks: list[tuple[int, bytes]]


def file_at(window: Window, superblock: Superblock) -> File:
    """Return the `File` of a superblock, its extension not read; `window` has its address 0 at the superblock."""
    return File(
        window,
        superblock.base,
        superblock.sizes,
        superblock,
        reading_budget(window.size),
        decoding_budget(window.size),
        superblock.group_internal_k,
        superblock.group_leaf_k,
    )


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
    file.reading.spend(prefix.stop)
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
            file.reading.spend(size)
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
    """Return a message's body, fetched from where it is kept when the message is shared."""
    if not message.flags & _SHARED:
        return message.body
    return shared(file, message.kind, message.body)


def shared(file: File, kind: int, body: bytes) -> bytes:
    """Return the body of the message of type `kind` that the shared message `body` stands for."""
    where = decode_shared_message(body, file.sizes)
    if where.address is None:
        return _from_sohm(file, kind, where.heap_id or b"")
    key = (kind, where.address)
    if key not in file.committed:
        header = read_header(file, where.address)
        verify_blocks(header.blocks)
        for message in header.messages:
            if message.kind == kind and not message.flags & _SHARED:
                file.committed[key] = message.body
                break
        else:
            raise FormatError(
                f"no message of type {kind:#x}", structure="object header of a shared message", address=where.address
            )
    return file.committed[key]


def _from_sohm(file: File, kind: int, heap_id: bytes) -> bytes:
    # One index serves both fill value messages, under the type of the new one.
    bit = _FILL if kind == _OLD_FILL else kind
    for flags, address in file.sohm:
        if flags >> bit & 1:
            return read_heap(file, address, [heap_id], file.sohm_blocks)[0]
    raise FormatError(f"no shared message index for messages of type {kind:#x}", structure="shared message table")


def announce_dense(file: File, heap: int, name_index: int) -> None:
    """Have what dense links or attributes are found through fetched together: both headers, then both roots."""
    file.window.want((heap, name_index), HEADER_GUESS)
    if heap not in file.heaps:
        file.heaps[heap] = fractal_heap_header.read_header(file.window, heap, file.sizes)
    fractal_heap.announce_root(file.window, file.heaps[heap], file.sizes)


def read_heap(file: File, address: int, ids: Sequence[bytes], blocks: fractal_heap.Blocks | None = None) -> list[bytes]:
    """Read objects of the fractal heap at `address`; its blocks are kept in `blocks`, if given."""
    if address not in file.heaps:
        file.heaps[address] = fractal_heap_header.read_header(file.window, address, file.sizes)
    if blocks is None:
        blocks = {}
    return fractal_heap.read_objects(file.metered, file.heaps[address], ids, file.sizes, file.decoding, blocks)


def read_heap_objects(
    file: File, addresses: Sequence[int], indexes: Sequence[int], *, nested: bool = True
) -> list[bytes]:
    """Read global heap objects by collection address and object index, all collections together.

    `nested` objects point to others: each costs more than its bytes, so that fewer may be read again and again.
    """
    budget = file.reading if nested else file.decoding
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
        budget.spend(len(found))
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
        file.reading.spend(size)
        file.collections[address] = global_heap.decode_collection(buf, pos, size, sizes, address)
