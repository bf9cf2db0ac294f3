from __future__ import annotations

import struct

import pytest

from refmaker.errors import FormatError, RefmakerError, TruncatedError
from refmaker.hdf5.checksum import lookup3
from refmaker.hdf5.file import file_at, read_header, verify_blocks
from refmaker.hdf5.object_header import Message, decode_prefix, scan_messages
from refmaker.hdf5.sizes import Sizes
from refmaker.hdf5.superblock import Superblock
from refmaker.sources.memory import MemoryWindow
from tests.hdf5.assembling import (
    CONTINUATION,
    continuation_2,
    header_1,
    header_2,
    messages_1,
    number,
    signed,
)
from tests.hdf5.walking import in_rounds

BODIES = [(1, b"one"), (3, b""), (12, b"a longer body" * 3)]


def read(data: bytes, address: int = 0):
    return read_from(MemoryWindow(data), address)


def read_from(window, address: int = 0):
    return read_header(file_at(window, Superblock(2, 0, Sizes(8, 8), 0, 0, None, None, 4, 16, None, 0)), address)


def test_version_1():
    header = read(header_1(BODIES))
    assert (header.version, header.tracks_order, header.blocks) == (1, False, [])
    # Bodies are padded to 8 bytes; the size in the message includes that.
    assert [(m.kind, m.body.rstrip(b"\0")) for m in header.messages] == BODIES


@pytest.mark.parametrize("flags", [0, 1, 2, 3, 4, 7, 16, 32, 32 | 16 | 4 | 2])
@pytest.mark.parametrize("gap", [0, 1, 3])
def test_version_2(flags, gap):
    header = read(header_2(BODIES, flags=flags, gap=gap))
    assert (header.version, header.tracks_order) == (2, bool(flags & 4))
    assert [(m.kind, m.body) for m in header.messages] == BODIES
    assert [m.creation_order for m in header.messages] == ([0, 1, 2] if flags & 4 else [0, 0, 0])
    verify_blocks(header.blocks)


def test_flags_of_messages():
    for header in (header_1([(3, b"abcdefgh", 0x42)]), header_2([(3, b"abcdefgh", 0x42)])):
        assert read(header).messages == [Message(3, 0x42, b"abcdefgh")]


def test_nil_messages_are_left_out():
    for header in (header_1([(0, bytes(16)), (3, b"abcdefgh")]), header_2([(0, bytes(5)), (3, b"abcdefgh")])):
        assert [m.kind for m in read(header).messages] == [3]


def chained(version: int) -> tuple[bytes, list[int]]:
    """A header with two continuations in its first block, one of which goes on in a third; padding between them."""
    block = (lambda m: messages_1(m)) if version == 1 else (lambda m: continuation_2(m))
    header = header_1 if version == 1 else header_2
    place = lambda address, size: (CONTINUATION, number(address) + number(size))  # noqa: E731
    third = block([(14, b"the last")])
    second = block([(13, b"second: "), place(3000, len(third))])
    first = block([(12, b"first: ")])
    data = bytearray(4000)
    head = header([(1, b"one"), place(1000, len(first)), place(2000, len(second)), (3, b"three")])
    for at, part in ((0, head), (1000, first), (2000, second), (3000, third)):
        data[at : at + len(part)] = part
    return bytes(data), [1, 3, 12, 13, 14]


@pytest.mark.parametrize("version", [1, 2])
def test_continuations(version):
    data, kinds = chained(version)
    header = read(data)
    assert [m.kind for m in header.messages if m.kind != CONTINUATION] == kinds
    assert [address for address, _ in header.blocks] == ([] if version == 1 else [0, 1000, 2000, 3000])
    verify_blocks(header.blocks)


@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize("page_bits", [6, 7, 9])
def test_a_round_for_each_generation_of_continuations(version, page_bits):
    data, _ = chained(version)
    header, rounds = in_rounds(data, page_bits, read_from)
    assert header == read(data)
    assert rounds == 3


@pytest.mark.parametrize("version", [1, 2])
def test_continuations_in_circles(version):
    place = lambda address, size: (CONTINUATION, number(address) + number(size))  # noqa: E731
    if version == 1:
        data = header_1([place(200, 24)]).ljust(200, b"\0") + messages_1([place(200, 24)])
    else:
        block = continuation_2([place(200, 28)])
        data = header_2([place(200, len(block))]).ljust(200, b"\0") + block
    with pytest.raises(FormatError, match="repeat"):
        read(data)


def test_continuation_without_a_signature():
    data = header_2([(CONTINUATION, number(200) + number(24))]).ljust(300, b"\0")
    with pytest.raises(FormatError, match="signature"):
        read(data)


@pytest.mark.parametrize(
    "data", [header_1(BODIES), header_2(BODIES), header_2(BODIES, flags=55), chained(1)[0], chained(2)[0]]
)
def test_truncated(data):
    data = data.rstrip(b"\0") + bytes(4)
    for size in range(len(data)):
        if size <= len(data) - 12:
            with pytest.raises(FormatError):
                read(data[:size])


@pytest.mark.parametrize("version", [1, 2])
def test_flipped_bits(version):
    """Version 1 has no checksum: an answer or an error of ours. Version 2 always an error."""
    data = header_1(BODIES) if version == 1 else header_2(BODIES)
    for i in range(len(data)):
        for bit in range(8):
            bad = bytearray(data)
            bad[i] ^= 1 << bit
            try:
                header = read(bytes(bad) + bytes(100))
                verify_blocks(header.blocks)
            except RefmakerError:
                continue
            assert version == 1


def test_message_beyond_its_block():
    good = struct.pack("<BxHII4x", 1, 1, 1, 16) + struct.pack("<HHB3x", 3, 8, 0) + bytes(8)
    assert len(read(good).messages) == 1
    with pytest.raises(FormatError, match="beyond its block"):
        read(good[:18] + b"\x09" + good[19:])
    long = bytearray(header_2([(3, b"abc")])[:-4])
    long[11] = 4
    with pytest.raises(FormatError, match="beyond its block"):
        read(signed(bytes(long)))


def test_neither_version():
    for data in (bytes(100), b"\2" + bytes(100), b"OHDX" + bytes(100), b"OHDR\3" + bytes(100)):
        with pytest.raises(FormatError, match="object header"):
            read(data)
    with pytest.raises(FormatError, match="beyond the file"):
        read(bytes(100), 100)
    with pytest.raises(TruncatedError):
        decode_prefix(b"\1" + bytes(14), 0, 0)


def test_scan_ends_with_the_block():
    prefix = decode_prefix(header_2([(3, b"abc")]) + bytes(100), 0, 0)
    block = struct.pack("<BHB", 3, 2, 0) + b"ab" + struct.pack("<BHB", 4, 0, 0) + b"\0\0\0"
    assert [m.kind for m in scan_messages(block, 0, len(block), prefix, 0)] == [3, 4]
    assert lookup3(b"") == 0xDEADBEEF
