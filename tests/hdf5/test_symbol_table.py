from __future__ import annotations

import pytest

from refmaker.errors import FormatError
from refmaker.hdf5.group import read_links
from refmaker.hdf5.link import Link
from refmaker.hdf5.object_header import Message
from refmaker.hdf5.sizes import Sizes
from refmaker.hdf5.symbol_table import (
    decode_entries,
    decode_local_heap,
    decode_snod_count,
    decode_symbol_table,
    entry_size,
    local_heap_size,
)
from refmaker.sources.memory import MemoryWindow
from tests.hdf5.assembling import SYMBOL_TABLE, UNDEFINED, Image, local_heap, number
from tests.hdf5.walking import file_of, in_rounds

HEAP = b"\0" * 8 + b"alpha\0\0\0" + b"beta\0\0\0\0" + b"/to/there\0"


def entry(name: int, address: int, *, soft: int | None = None, lengths: int = 8, offsets: int = 8) -> bytes:
    cache = number(0 if soft is None else 2, 4) + bytes(4) + number(soft or 0, 4) + bytes(12)
    return number(name, lengths) + number(address, offsets) + cache


def test_message_and_heap():
    assert decode_symbol_table(number(5) + number(6), Sizes(8, 8)) == (5, 6)
    assert decode_symbol_table(number(5, 4) + number(6, 4), Sizes(4, 8)) == (5, 6)
    block = local_heap(700, 88)
    assert len(block) == local_heap_size(Sizes(8, 8))
    assert decode_local_heap(b"xx" + block, 2, Sizes(8, 8), 0) == (700, 88)
    for bad in (b"HEAQ" + block[4:], b"HEAP\1" + block[5:]):
        with pytest.raises(FormatError, match="local heap"):
            decode_local_heap(bad, 0, Sizes(8, 8), 0)


@pytest.mark.parametrize("lengths", [2, 4, 8])
@pytest.mark.parametrize("offsets", [2, 4, 8])
def test_entries(lengths, offsets):
    """The name's offset is as wide as lengths are, whatever the specification says."""
    sizes = Sizes(offsets, lengths)
    widths = {"lengths": lengths, "offsets": offsets}
    body = entry(8, 700, **widths) + entry(16, 0, soft=24, **widths)
    assert len(body) == 2 * entry_size(sizes)
    assert decode_entries(body, 0, 2, HEAP, sizes, 0) == [
        Link("alpha", "hard", 700),
        Link("beta", "soft", target="/to/there"),
    ]


def test_nodes():
    assert decode_snod_count(b"SNOD\x01\0\x07\0", 0, 0) == 7
    for bad in (b"SNOX\x01\0\x07\0", b"SNOD\x02\0\x07\0"):
        with pytest.raises(FormatError, match="symbol table node"):
            decode_snod_count(bad, 0, 0)


@pytest.mark.parametrize("offset", [0, 33, 34, 100, UNDEFINED])
def test_names_that_are_not_there(offset):
    heap = HEAP[:-1] if offset == 33 else HEAP
    with pytest.raises(FormatError, match="name"):
        decode_entries(entry(offset, 0), 0, 1, heap, Sizes(8, 8), 0)


def test_names_with_slashes():
    with pytest.raises(FormatError, match="name of a link"):
        decode_entries(entry(24, 0), 0, 1, HEAP, Sizes(8, 8), 0)


# Whole groups: B-tree, nodes and heap.


def tree_node(level: int, children: list[int], *, k: int = 16) -> bytes:
    body = b"".join(number(0) + number(child) for child in children)
    head = b"TREE\0" + bytes([level]) + number(len(children), 2) + number(UNDEFINED) * 2
    return (head + body).ljust(24 + (2 * k + 1) * 8 + 2 * k * 8, b"\0")


def old_group(count: int, *, levels: int = 1) -> tuple[bytes, Message]:
    """A group of `count` members, four in a node, two children in a B-tree node as long as levels last."""
    image = Image()
    names = bytes(8) + b"".join(b"%07d\0" % i for i in range(count))
    segment = image.place(names)
    heap = image.place(local_heap(segment, len(names)))
    nodes = []
    for first in range(0, count, 4):
        some = range(first, min(first + 4, count))
        entries = b"".join(entry(8 + 8 * i, 1000 + i) for i in some)
        nodes.append(image.place((b"SNOD\x01\0" + number(len(some), 2) + entries).ljust(8 + 8 * 40, b"\0")))
    for level in range(levels):
        nodes = [image.place(tree_node(level, nodes[i : i + 8])) for i in range(0, len(nodes), 8)]
    (root,) = nodes
    return bytes(image.data), Message(SYMBOL_TABLE, 0, number(root) + number(heap))


@pytest.mark.parametrize(("count", "levels"), [(1, 1), (32, 1), (33, 2), (256, 2), (300, 3)])
def test_groups(count, levels):
    data, message = old_group(count, levels=levels)
    read = lambda window: read_links(file_of(window), [message])  # noqa: E731
    links, tracked = read(MemoryWindow(data))
    assert [(link.name, link.address) for link in links] == [(f"{i:07}", 1000 + i) for i in range(count)]
    assert not tracked
    for page_bits in (6, 7, 9):
        (paged, _), rounds = in_rounds(data, page_bits, read)
        assert paged == links
        # A round for each level and the heap's head with the first, one for all nodes and the names, one for nodes
        # whose number of entries was not known.
        assert rounds <= levels + 3


def test_empty_group():
    image = Image()
    root = image.place(tree_node(0, []))
    message = Message(SYMBOL_TABLE, 0, number(root) + number(UNDEFINED))
    assert read_links(file_of(MemoryWindow(bytes(image.data))), [message]) == ([], False)


def test_the_same_node_twice():
    image = Image()
    segment = image.place(HEAP)
    heap = image.place(local_heap(segment, len(HEAP)))
    node = image.place(b"SNOD\x01\0\x01\0" + entry(8, 700))
    root = image.place(tree_node(0, [node, node]))
    with pytest.raises(FormatError, match="twice"):
        read_links(file_of(MemoryWindow(bytes(image.data))), [Message(SYMBOL_TABLE, 0, number(root) + number(heap))])


def test_the_same_name_twice():
    image = Image()
    segment = image.place(HEAP)
    heap = image.place(local_heap(segment, len(HEAP)))
    node = image.place(b"SNOD\x01\0\x02\0" + entry(8, 700) + entry(8, 800))
    root = image.place(tree_node(0, [node]))
    with pytest.raises(FormatError, match="two links of one name"):
        read_links(file_of(MemoryWindow(bytes(image.data))), [Message(SYMBOL_TABLE, 0, number(root) + number(heap))])
