from __future__ import annotations

import contextlib
import struct

import numpy as np
import pytest

from refmaker.errors import FormatError, RefmakerError, TruncatedError
from refmaker.hdf5.btree_v1 import chunk_records, group_nodes
from refmaker.hdf5.sizes import Sizes
from refmaker.sources.memory import MemoryWindow
from tests.hdf5.assembling import UNDEFINED, number
from tests.hdf5.walking import in_rounds

WIDE = Sizes(8, 8)


def node(level: int, entries: list[bytes], *, k: int, rank: int, kind: int = 1, offsets: int = 8) -> bytes:
    """A node of chunks; `entries` are keys with their children. The last key is beyond all chunks."""
    head = b"TREE" + bytes([kind, level]) + number(len(entries), 2) + bytes(2 * offsets)
    width = (8 + 8 * (rank + 1) if kind == 1 else 8) + offsets
    end = number(0) + number(1 << 40) * (rank + 1) if kind == 1 else number(0)
    return (head + b"".join(entries) + end).ljust(len(head) + 2 * k * width + width - offsets, b"\0")


def key(cell: int, child: int, *, size: int = 100, mask: int = 0, rank: int = 2, offsets: int = 8) -> bytes:
    return (
        struct.pack("<II", size, mask)
        + b"".join(number(cell + axis) for axis in range(rank))
        + number(0)
        + number(child, offsets)
    )


def tree(count: int, *, k: int = 2, rank: int = 2, offsets: int = 8) -> tuple[bytes, int, int]:
    """A tree of `count` chunks whose nodes are as full as they can be; bytes, root, and number of levels."""
    data, options = bytearray(64), {"rank": rank, "offsets": offsets}
    level, entries = 0, [key(i, 5000 + i, size=i, mask=i % 7, **options) for i in range(count)]
    firsts = list(range(count))
    while True:
        places = []
        for i in range(0, max(len(entries), 1), 2 * k):
            places.append(len(data))
            data += node(level, entries[i : i + 2 * k], k=k, **options)
        level += 1
        if len(places) == 1:
            return bytes(data), places[0], level
        firsts = firsts[:: 2 * k]
        entries = [key(first, place, **options) for first, place in zip(firsts, places, strict=True)]


def read(window, root, *, k=2, rank=2, sizes=WIDE):
    parts = list(chunk_records(window, root, rank, k, sizes))
    return [(r["size"], r["mask"], *np.atleast_1d(r["offset"]).tolist(), r["child"]) for part in parts for r in part]


@pytest.mark.parametrize("k", [1, 2, 32])
@pytest.mark.parametrize("rank", [1, 2, 5])
@pytest.mark.parametrize("offsets", [4, 8])
def test_chunks(k, rank, offsets):
    for count in (0, 1, 2 * k, 2 * k + 1, 70):
        data, root, _ = tree(count, k=k, rank=rank, offsets=offsets)
        found = read(MemoryWindow(data), root, k=k, rank=rank, sizes=Sizes(offsets, 8))
        assert found == [(i, i % 7, *(i + axis for axis in range(rank)), 5000 + i) for i in range(count)]


@pytest.mark.parametrize("page_bits", [6, 7, 8, 9])
def test_a_round_a_level(page_bits):
    data, root, levels = tree(500)
    found, rounds = in_rounds(data, page_bits, lambda window: read(window, root))
    assert found == read(MemoryWindow(data), root)
    assert (levels, rounds) == (5, 5)


def test_groups():
    leaf = node(0, [number(0) + number(700 + i) for i in range(3)], k=16, rank=0, kind=0)
    above = node(1, [number(0) + number(64), number(0) + number(64 + len(leaf))], k=16, rank=0, kind=0)
    other = node(0, [number(0) + number(900)], k=16, rank=0, kind=0)
    data = bytes(64) + leaf + other + above
    assert group_nodes(MemoryWindow(data), 64 + len(leaf) + len(other), 16, WIDE).tolist() == [700, 701, 702, 900]
    assert group_nodes(MemoryWindow(data), 64, 16, WIDE).tolist() == [700, 701, 702]
    with pytest.raises(FormatError, match="type 1"):
        read(MemoryWindow(data + bytes(4000)), 64, k=16)


def test_truncated():
    data, root, _ = tree(9)
    read(MemoryWindow(data), root)
    for size in range(len(data)):
        with pytest.raises(TruncatedError):
            read(MemoryWindow(data[:size]), root)


def test_flipped_bits():
    data, root, _ = tree(5)
    for i in range(64 * 8, len(data) * 8):
        bad = bytearray(data)
        bad[i // 8] ^= 1 << i % 8
        with contextlib.suppress(RefmakerError):
            read(MemoryWindow(bytes(bad)), root)


@pytest.mark.parametrize("level", [0, 1])
def test_keys_that_a_search_would_not_follow(level):
    """libhdf5 searches for a chunk, and takes it for missing where the keys lead elsewhere."""
    data, root, levels = tree(12)
    assert levels == 2
    width = 8 + 8 * 3
    entries = 24 + (root if level else 64)
    for at in (0, 1):
        first = entries + at * (width + 8) + 8
        for changed in ({first: 9}, {first + 8: 200}, {first + 16: 1}):
            bad = bytearray(data)
            for place, value in changed.items():
                bad[place : place + 8] = number(value)
            if level or first + 16 in changed:
                with pytest.raises(FormatError, match="order"):
                    read(MemoryWindow(bytes(bad)), root)
    for node_at in {64, root}:
        used = int.from_bytes(data[node_at + 6 : node_at + 8], "little")
        end = node_at + 24 + used * (width + 8) + 8
        bad = data[:end] + number(0) + data[end + 8 :]
        with pytest.raises(FormatError, match="order"):
            read(MemoryWindow(bad), root)


def one_node(**options):
    return bytes(64) + node(options.pop("level", 0), options.pop("entries"), k=2, rank=2, **options)


@pytest.mark.parametrize("data", [
    one_node(entries=[key(0, 64)], level=1),  # a node that is its own child
    one_node(entries=[key(0, 64)] * 4, level=255),
    one_node(entries=[key(0, UNDEFINED)], level=1),
    one_node(entries=[key(0, 1 << 63)], level=1),
    one_node(entries=[])[:70] + number(5, 2) + bytes(400),  # more entries than a node has room for
    one_node(entries=[]).replace(b"TREE", b"TREX"),
])  # fmt: skip
def test_what_cannot_be(data):
    with pytest.raises(FormatError):
        read(MemoryWindow(data), 64)


def test_levels_multiply_no_more_than_the_file():
    """Every node of a level has the same children, level by level."""
    size = len(node(0, [], k=32, rank=1))
    data, at = bytearray(64), 64
    for level in range(30):
        below = 64 + max(level - 1, 0) * size
        data += node(level, [key(i, below, rank=1) for i in range(64)], k=32, rank=1)
        at = 64 + level * size
    with pytest.raises(FormatError, match="more nodes than the file can hold"):
        read(MemoryWindow(bytes(data)), at, k=32, rank=1)
