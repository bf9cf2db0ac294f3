"""Object headers, versions 1 and 2: the list of messages that make an object.

Contract: pure. `decode_prefix` tells where the first block of messages lies, `scan_messages` splits a block into
messages; `refmaker.hdf5.file` reads continuation blocks through the Window. Specification 4.0, IV.A.
"""

from __future__ import annotations

from dataclasses import dataclass
from struct import Struct

from refmaker.errors import FormatError
from refmaker.hdf5.sizes import Sizes, need
from refmaker.window import Buffer

__all__ = [
    "CONTINUATION_SIGNATURE",
    "MAX_PREFIX_SIZE",
    "HeaderPrefix",
    "Message",
    "decode_continuation",
    "decode_prefix",
    "scan_messages",
]

SIGNATURE = b"OHDR"
CONTINUATION_SIGNATURE = b"OCHK"

# Version 1: 0 version | 1 reserved | 2 number of messages 2 | 4 reference count 4 | 8 header size 4 | 12 padding 4
_V1 = Struct("<BxHII4x")
# Version 1 message: 0 type 2 | 2 size 2 | 4 flags | 5 reserved 3
_MESSAGE_V1 = Struct("<HHB3x")
# Version 2 message: 0 type | 1 size 2 | 3 flags (| 4 creation order 2)
_MESSAGE_V2 = Struct("<BHB")

# Version 2: 0 signature 4 | 4 version | 5 flags (| times 4x4) (| max compact 2, min dense 2) | size of block 0: 1,
# 2, 4, 8
MAX_PREFIX_SIZE = 6 + 16 + 4 + 8

CONTINUATION = 0x10
NIL = 0


@dataclass(slots=True)
class Message:
    """A header message. `flags` bit 1: the body is a shared message; bits 3 and 7: fail when unknown."""

    kind: int
    flags: int
    body: bytes
    creation_order: int = 0


@dataclass(slots=True)
class HeaderPrefix:
    """Where the messages of block 0 lie.

    `messages` is the offset of the first message from the header's address, `size` the bytes of messages;
    `stop` the offset at which the block ends, checksum included. `message_count` is None in version 2.
    """

    version: int
    flags: int
    messages: int
    size: int
    stop: int
    message_count: int | None

    @property
    def tracks_order(self) -> bool:
        """Whether messages carry a creation order (attributes' creation order is tracked)."""
        return self.version == 2 and bool(self.flags & 0x04)


def decode_prefix(buf: Buffer, pos: int, address: int) -> HeaderPrefix:
    """Decode the prefix of an object header. `buf` must hold at least 16 bytes from `pos`."""
    need(buf, pos, 16, "object header")
    if buf[pos] == 1:
        _, count, _, size = _V1.unpack_from(buf, pos)
        return HeaderPrefix(1, 0, 16, size, 16 + size, count)
    if bytes(buf[pos : pos + 4]) != SIGNATURE:
        raise FormatError(
            "neither version 1 nor a signature",
            structure="object header",
            address=address,
            expected=SIGNATURE,
            got=bytes(buf[pos : pos + 4]),
        )
    version, flags = buf[pos + 4], buf[pos + 5]
    if version != 2:
        raise FormatError("version", structure="object header", address=address, expected=2, got=version)
    p = 6 + (16 if flags & 0x20 else 0) + (4 if flags & 0x10 else 0)
    width = 1 << (flags & 3)
    need(buf, pos, p + width, "object header")
    size = int.from_bytes(buf[pos + p : pos + p + width], "little")
    return HeaderPrefix(2, flags, p + width, size, p + width + size + 4, None)


def decode_continuation(body: bytes, sizes: Sizes) -> tuple[int, int]:
    """Decode an Object Header Continuation message: address and size of the next block."""
    need(body, 0, sizes.offsets + sizes.lengths, "object header continuation")
    return sizes.address(body, 0), sizes.length(body, sizes.offsets)


def scan_messages(buf: Buffer, pos: int, stop: int, prefix: HeaderPrefix, address: int) -> list[Message]:
    """Split the bytes from `pos` to `stop` of a block into messages, NIL messages left out."""
    if prefix.version == 1:
        return _scan_v1(buf, pos, stop, address)
    return _scan_v2(buf, pos, stop, 6 if prefix.tracks_order else 4, address)


def _scan_v1(buf: Buffer, pos: int, stop: int, address: int) -> list[Message]:
    messages = []
    unpack = _MESSAGE_V1.unpack_from
    p = pos
    while p + 8 <= stop:
        kind, size, flags = unpack(buf, p)
        p += 8
        if p + size > stop:
            _overrun(kind, p, size, stop, address)
        if kind != NIL:
            messages.append(Message(kind, flags, bytes(buf[p : p + size])))
        p += size
    return messages


def _scan_v2(buf: Buffer, pos: int, stop: int, head: int, address: int) -> list[Message]:
    messages = []
    unpack = _MESSAGE_V2.unpack_from
    p = pos
    # What is left and shorter than a message's head is a gap.
    while p + head <= stop:
        kind, size, flags = unpack(buf, p)
        order = int.from_bytes(buf[p + 4 : p + 6], "little") if head == 6 else 0
        p += head
        if p + size > stop:
            _overrun(kind, p, size, stop, address)
        if kind != NIL:
            messages.append(Message(kind, flags, bytes(buf[p : p + size]), order))
        p += size
    return messages


def _overrun(kind: int, pos: int, size: int, stop: int, address: int) -> None:
    raise FormatError(
        f"message of type {kind:#x} reaches beyond its block",
        structure="object header",
        address=address,
        expected=f"at most {stop - pos} bytes",
        got=size,
    )
