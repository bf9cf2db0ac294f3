from __future__ import annotations

import contextlib

import pytest

from refmaker.errors import FormatError, RefmakerError, TruncatedError
from refmaker.hdf5.file import read_heap_objects
from refmaker.hdf5.global_heap import HEAD_SIZE, collection_size, decode_collection
from refmaker.hdf5.sizes import Sizes
from refmaker.sources.memory import MemoryWindow
from tests.hdf5.assembling import Image, global_collection, number
from tests.hdf5.walking import file_of, in_rounds

WIDE = Sizes(8, 8)
OBJECTS = [b"first", b"", b"exactly8", b"the last one, longer"]


def decode(block: bytes, sizes: Sizes = WIDE) -> dict[int, bytes]:
    return decode_collection(block, 0, collection_size(block, 0, sizes, 0), sizes, 0)


@pytest.mark.parametrize("lengths", [2, 4, 8])
def test_collections(lengths):
    block = global_collection(OBJECTS, lengths=lengths)
    found = decode(block, Sizes(8, lengths))
    assert found == dict(enumerate(OBJECTS, 1))


def test_free_space_ends_the_objects():
    block = global_collection(OBJECTS)
    free = number(0, 8) + number(4096 - len(block))
    whole = (block[:8] + number(4096) + block[16:] + free).ljust(4096, b"\xee")
    assert decode(whole) == dict(enumerate(OBJECTS, 1))
    # A rest too small for a head of its own.
    assert decode(block[:8] + number(len(block) + 8) + block[16:] + bytes(8)) == dict(enumerate(OBJECTS, 1))


def test_what_cannot_be():
    for head in (b"GCOX\1", b"GCOL\0", b"GCOL\2"):
        with pytest.raises(FormatError, match="global heap collection"):
            decode(head + bytes(40))
    with pytest.raises(FormatError, match="size"):
        decode(global_collection(OBJECTS, size=HEAD_SIZE - 1))
    block = bytearray(global_collection([b"abcd"]))
    block[24:32] = number(9)
    with pytest.raises(TruncatedError, match="object 1"):
        decode(bytes(block))


def test_flipped_bits():
    block = global_collection(OBJECTS)
    for i in range(len(block) * 8):
        bad = bytearray(block)
        bad[i // 8] ^= 1 << i % 8
        window = MemoryWindow(bytes(bad))
        with contextlib.suppress(RefmakerError):
            read_heap_objects(file_of(window), [0, 0], [1, 4])


def image() -> tuple[bytes, list[int]]:
    image = Image()
    places = [image.place(global_collection([b"%d" % i * 9, b"x" * 9000]), align=64) for i in range(3)]
    return bytes(image.data), places


def test_reading_many():
    data, places = image()
    for window in (MemoryWindow(data),):
        file = file_of(window)
        found = read_heap_objects(file, [places[2], places[0], places[0]], [1, 1, 2])
        assert found == [b"2" * 9, b"0" * 9, b"x" * 9000]
        with pytest.raises(FormatError, match="no object 3"):
            read_heap_objects(file, [places[0]], [3])
        with pytest.raises(FormatError, match="beyond the file"):
            read_heap_objects(file, [len(data)], [1])


@pytest.mark.parametrize("page_bits", [6, 9, 12])
def test_two_rounds_for_all_collections(page_bits):
    """The heads together, with a guess at the rest, then what is longer."""
    data, places = image()
    found, rounds = in_rounds(data, page_bits, lambda window: read_heap_objects(file_of(window), places, [1, 1, 1]))
    assert found == [b"0" * 9, b"1" * 9, b"2" * 9]
    assert rounds == 2


def test_truncated():
    data, places = image()
    for size in (places[2] + 1, len(data) - 9000, len(data) - 65):
        with pytest.raises(TruncatedError):
            read_heap_objects(file_of(MemoryWindow(data[:size])), [places[2]], [1])
