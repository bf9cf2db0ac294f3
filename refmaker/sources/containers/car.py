"""Files in CAR archives of IPFS, where their bytes stand in one block.

Contract: a file of UnixFS is found by its path below the root, or below a CID (`car://CID/path::a.car`); the blocks on
the way are verified against their CIDs. A file of several blocks has other bytes between them: it is refused with the
reason. Every length is held to the archive before memory is taken. Sources: CARv1 and CARv2 specifications; CID 1;
DAG-PB; UnixFS.

    CARv1: varint length, header (DAG-CBOR: roots, version 1) | varint length, CID, block | …
    CARv2: pragma 11 | characteristics 16 | data offset 8 | data size 8 | index offset 8 | … CARv1 at the data offset
    DAG-PB: field 2 links (1 hash, 2 name, 3 size), field 1 data: UnixFS (1 type, 2 data, …)
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import IO, Any

from refmaker import limits
from refmaker.errors import FormatError, TruncatedError, Unsupported

__all__ = ["Archive", "Block", "locate_in_car", "read_archive"]

_PRAGMA = b"\x0a\xa1\x67version\x02"
_V2 = struct.Struct("<16xQQQ")
_RAW, _DAG_PB = 0x55, 0x70
_DIRECTORY, _FILE_KINDS, _SHARD = 1, (0, 2), 5
_BASE58 = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
_HEAD = 256
"""Bytes that hold the length and the CID of a block."""
_MOST_NODE = 4 << 20
"""Bytes of a node that is read: twice what IPFS exchanges."""


@dataclass(frozen=True, slots=True)
class Block:
    """Where a block lies in the archive."""

    cid: bytes
    offset: int
    size: int


@dataclass(slots=True)
class Archive:
    """An archive: its roots, and its blocks by CID."""

    roots: list[bytes]
    blocks: dict[bytes, Block] = field(default_factory=dict)


def locate_in_car(file: IO[bytes], member: str, /) -> tuple[int, int] | None:
    """See `containers.Locate`."""
    archive = read_archive(file)
    first, *names = member.strip("/").split("/")
    cid = _cid_of(first)
    if cid is None or cid not in archive.blocks:
        names = [first, *names]
        if len(archive.roots) != 1:
            raise Unsupported(f"an archive of {len(archive.roots)} roots: name the file by a CID, CID/path")
        cid = archive.roots[0]
    for name in filter(None, names):
        links, kind, _ = _node(file, archive, cid)
        if kind == _SHARD:
            raise Unsupported("a directory in pieces (HAMT): name the file by its CID")
        if kind != _DIRECTORY or name not in links:
            return None
        cid = links[name]
    return _place(file, archive, cid, member)


def _place(file: IO[bytes], archive: Archive, cid: bytes, member: str) -> tuple[int, int] | None:
    block = archive.blocks.get(cid)
    if block is None:
        raise FormatError("the archive lacks a block of the file", structure="car", got=member)
    if _codec(cid) == _RAW:
        _check_digest(cid, _read(file, block))
        return block.offset, block.size
    links, kind, data = _node(file, archive, cid)
    if kind not in _FILE_KINDS:
        raise Unsupported(f"the member {member!r} is no file")
    if len(links) == 1 and data[1] == 0:
        return _place(file, archive, next(iter(links.values())), member) if _only_leaf(links) else None
    if links:
        raise Unsupported(
            f"the member {member!r} stands in {len(links)} blocks or more, with other bytes between them: unpack it"
        )
    return block.offset + data[0], data[1]


def _only_leaf(links: dict[str, bytes]) -> bool:
    """Return whether the only block of a file is one of bytes, so that no node leads to a node."""
    (cid,) = links.values()
    if _codec(cid) != _RAW:
        raise Unsupported("a file of blocks within blocks")
    return True


def read_archive(file: IO[bytes]) -> Archive:
    """Find all blocks of an archive."""
    stop = file.seek(0, 2)
    file.seek(0)
    start = 0
    if file.read(len(_PRAGMA)) == _PRAGMA:
        head = file.read(_V2.size)
        if len(head) < _V2.size:
            raise TruncatedError("header of version 2", structure="car", expected=_V2.size, got=len(head))
        start, size, _ = _V2.unpack(head)
        if start + size > stop:
            raise TruncatedError("the blocks reach beyond the file", structure="car", expected=stop, got=start + size)
        stop = start + size
    file.seek(start)
    size, used = _varint(file.read(10), 0)
    if not 0 < size <= min(_MOST_NODE, stop - start - used):
        raise FormatError("size of the header", structure="car", expected=f"<= {_MOST_NODE}", got=size)
    file.seek(start + used)
    archive = Archive(_roots(file.read(size)))
    for block in _sections(file, start + used + size, stop):
        archive.blocks.setdefault(block.cid, block)
        if len(archive.blocks) > limits.STORE_KEYS:
            raise FormatError("too many blocks", structure="car", expected=f"<= {limits.STORE_KEYS}")
    return archive


def _sections(file: IO[bytes], address: int, stop: int) -> Iterator[Block]:
    while address < stop:
        file.seek(address)
        head = file.read(min(_HEAD, stop - address))
        size, used = _varint(head, 0)
        if size == 0 and not any(head):
            return  # what is left is padding
        end = _cid_end(head, used)
        if address + used + size > stop or end - used > size:
            raise TruncatedError("a block reaches beyond the archive", structure="car", address=address, got=size)
        yield Block(head[used:end], address + end, size - (end - used))
        address += used + size


def _roots(header: bytes) -> list[bytes]:
    document, _ = _cbor(header, 0, 0)
    if not isinstance(document, dict) or document.get("version") != 1 or not isinstance(document.get("roots"), list):
        raise FormatError("header", structure="car", expected="roots and version 1", got=str(document)[:80])
    return [root for root in document["roots"] if isinstance(root, bytes)]


def _cbor(data: bytes, at: int, depth: int) -> tuple[Any, int]:
    """Decode what a header may hold of DAG-CBOR: numbers, bytes, text, lists, maps, CIDs."""
    if at >= len(data) or depth > 8:
        raise TruncatedError("header", structure="car", got=len(data))
    kind, value = data[at] >> 5, data[at] & 31
    at += 1
    if value >= 24:
        width = 1 << (value - 24)
        if value > 27 or at + width > len(data):
            raise FormatError("header", structure="car", expected="DAG-CBOR", got=value)
        value, at = int.from_bytes(data[at : at + width], "big"), at + width
    if kind == 0:
        return value, at
    if kind in (2, 3):
        if at + value > len(data):
            raise TruncatedError("header", structure="car", expected=value, got=len(data) - at)
        found = data[at : at + value]
        return (found if kind == 2 else found.decode("utf-8", "replace")), at + value
    if kind == 6:
        inner, at = _cbor(data, at, depth + 1)
        return (inner[1:] if isinstance(inner, bytes) else inner), at  # a CID stands behind a byte of zero
    if kind not in (4, 5) or value > len(data) - at:
        raise FormatError("header", structure="car", expected="DAG-CBOR", got=kind)
    items = []
    for _ in range(value * (kind - 3)):
        item, at = _cbor(data, at, depth + 1)
        items.append(item)
    if kind == 4:
        return items, at
    return {str(key): item for key, item in zip(items[::2], items[1::2], strict=True)}, at


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = 0
    for position in range(at, min(at + 9, len(data))):
        value |= (data[position] & 127) << 7 * (position - at)
        if data[position] < 128:
            return value, position + 1
    raise FormatError("a number without an end", structure="car", got=data[at : at + 9])


def _cid_end(data: bytes, at: int) -> int:
    if data[at : at + 2] == b"\x12\x20":
        return at + 34
    for _ in range(3):  # version, codec, hash function
        _, at = _varint(data, at)
    size, at = _varint(data, at)
    if at + size > len(data):
        raise TruncatedError("a CID", structure="car", expected=size, got=len(data) - at)
    return at + size


def _codec(cid: bytes) -> int:
    if cid[:2] == b"\x12\x20":
        return _DAG_PB
    _, at = _varint(cid, 0)
    return _varint(cid, at)[0]


def _cid_of(text: str) -> bytes | None:
    """Return a CID of its text, None where that is none."""
    try:
        if text.startswith("Qm") and len(text) == 46:
            number = 0
            for character in text:
                number = number * 58 + _BASE58.index(character)
            return number.to_bytes(34, "big")
        if text.startswith("b") and len(text) < 200:
            body = text[1:].upper()
            return base64.b32decode(body + "=" * (-len(body) % 8))
    except (ValueError, OverflowError, binascii.Error):
        return None
    return None


def _read(file: IO[bytes], block: Block) -> bytes:
    if block.size > limits.WHOLE_FILE:
        raise Unsupported("a block is too large to be verified", expected=f"<= {limits.WHOLE_FILE} bytes")
    file.seek(block.offset)
    return file.read(block.size)


def _check_digest(cid: bytes, data: bytes) -> None:
    at = 0
    if cid[:2] != b"\x12\x20":
        for _ in range(2):
            _, at = _varint(cid, at)
    function, at = _varint(cid, at)
    _, at = _varint(cid, at)
    if function == 0x12:
        made = hashlib.sha256(data).digest()
    elif function == 0xB220:
        made = hashlib.blake2b(data, digest_size=32).digest()
    else:
        raise Unsupported(f"a block whose hash function, {function:#x}, is not known here")
    if made != cid[at:]:
        raise FormatError("a block does not have the bytes that its CID says: the archive is damaged", structure="car")


def _node(file: IO[bytes], archive: Archive, cid: bytes) -> tuple[dict[str, bytes], int, tuple[int, int]]:
    """Return links, kind and place of the data of a node of UnixFS, verified."""
    block = archive.blocks.get(cid)
    if block is None:
        raise FormatError("the archive lacks a block", structure="car")
    if _codec(cid) != _DAG_PB or block.size > _MOST_NODE:
        raise Unsupported("a node that is none of UnixFS, or too large")
    data = _read(file, block)
    _check_digest(cid, data)
    links: dict[str, bytes] = {}
    kind, place = -1, (0, 0)
    for number, start, stop in _fields(data, 0, len(data)):
        if number == 2:
            parts = {inner: data[a:b] for inner, a, b in _fields(data, start, stop)}
            name = parts.get(2, b"").decode("utf-8", "surrogateescape")
            links[name or str(len(links))] = parts.get(1, b"")
        elif number == 1:
            for inner, a, b in _fields(data, start, stop):
                if inner == 1:
                    kind = b
                elif inner == 2:
                    place = a, b - a
    return links, kind, place


def _fields(data: bytes, at: int, stop: int) -> Iterator[tuple[int, int, int]]:
    """Yield the fields of a message of Protocol Buffers: number, start and stop; of a number, 0 and its value."""
    while at < stop:
        tag, at = _varint(data[:stop], at)
        size, at = _varint(data[:stop], at)
        if tag & 7 == 0:
            yield tag >> 3, 0, size
        elif tag & 7 == 2 and at + size <= stop:
            yield tag >> 3, at, at + size
            at += size
        else:
            raise FormatError("a node that is not as DAG-PB has it", structure="car", got=tag)
