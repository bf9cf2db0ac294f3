"""Small files that claim to be large: what structures that overlap, repeat or nest would multiply is bounded."""

from __future__ import annotations

import struct
import sys
import time
import zlib
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from refmaker.errors import FormatError, RefmakerError
from refmaker.model import Tree
from tests.hdf5.assembling import (
    ATTRIBUTE,
    DATASPACE,
    DATATYPE,
    FILTERS,
    LAYOUT,
    LINK,
    LINK_INFO,
    SYMBOL_TABLE,
    UNDEFINED,
    VARIABLE_TEXT,
    Image,
    attribute,
    chunked_3,
    chunked_4,
    compact,
    contiguous,
    dataset,
    dataspace,
    datatype,
    global_collection,
    group,
    hard_link,
    header_1,
    header_2,
    heap_reference,
    integer,
    link_info,
    local_heap,
    number,
    signed,
    soft_link,
    variable,
)
from tests.hdf5.walking import tree_of

resource = pytest.importorskip("resource")

MEMORY = 400 << 20
SECONDS = 5.0


@contextmanager
def bounded() -> Iterator[None]:
    """Hold what runs inside to the law: so many seconds, so many bytes."""
    with open("/proc/self/statm") as file:
        used = int(file.read().split()[0]) * resource.getpagesize()
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (used + MEMORY, hard))
    begin = time.process_time()
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))
    assert time.process_time() - begin < SECONDS


def walked(data: bytes) -> Tree | None:
    """Walk, bounded; None for an error of ours."""
    assert len(data) < 1_100_000
    with bounded():
        try:
            return tree_of(data)
        except RefmakerError:
            return None


pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="memory is limited as Linux does it")


def test_headers_that_overlap():
    """A thousand links into one block of small messages, each taking all that follows for its header."""
    image = Image()
    start = image.next
    count, block = 2000, 800_000
    image.place(bytes(block))
    image.data[start:] = struct.pack("<HHB3x", 0x0D, 0, 0) * (block // 8)
    for i in range(count):
        at = start + 16 * i
        image.data[at : at + 16] = struct.pack("<BxHII4x", 1, 1, 1, block - 16 * i - 16)
    links = [hard_link(b"%d" % i, start + 16 * i) for i in range(count)]
    tree = walked(image.file(image.place(group(links))))
    assert len(tree.refusals) == count
    assert any("overlap" in r.reason for r in tree.refusals.values())


def test_groups_that_share_their_members():
    """Symbol tables of many groups that lead to the same B-tree and heap."""
    image = Image()
    names = b"\0" * 8 + b"".join(b"%06d\0\0" % i for i in range(8000))
    segment = image.place(names)
    heap = image.place(local_heap(segment, len(names)))
    nodes = []
    for first in range(0, 8000, 8):
        entries = b"".join(number(8 + 8 * i) + number(UNDEFINED - 1) + bytes(24) for i in range(first, first + 8))
        nodes.append(image.place(b"SNOD\x01\0" + number(8, 2) + entries))
    leaves = []
    for first in range(0, len(nodes), 32):
        some = nodes[first : first + 32]
        body = b"".join(number(0) + number(n) for n in some)
        leaves.append(image.place((b"TREE\0\0" + number(len(some), 2) + bytes(16) + body).ljust(24 + 33 * 16, b"\0")))
    body = b"".join(number(0) + number(n) for n in leaves)
    root = image.place((b"TREE\0\x01" + number(len(leaves), 2) + bytes(16) + body).ljust(24 + 33 * 16, b"\0"))
    groups = [image.place(header_1([(SYMBOL_TABLE, number(root) + number(heap))])) for _ in range(4000)]
    tree = walked(image.file(image.place(group([hard_link(b"%d" % i, a) for i, a in enumerate(groups)]))))
    assert any("overlap" in r.reason for r in tree.refusals.values())


def test_names_that_overlap():
    image = Image()
    segment = image.place(b"\0" * 8 + b"x" * 400_000 + b"\0" * 8)
    heap = image.place(local_heap(segment, 400_016))
    entries = b"".join(number(8 + i) + number(0) + bytes(24) for i in range(8))
    nodes = [image.place(b"SNOD\x01\0" + number(8, 2) + entries) for _ in range(32)]
    body = b"".join(number(0) + number(n) for n in nodes)
    root = image.place((b"TREE\0\0" + number(32, 2) + bytes(16) + body).ljust(24 + 33 * 16, b"\0"))
    assert walked(image.file(image.place(header_1([(SYMBOL_TABLE, number(root) + number(heap))])))) is None


def _node(level, used, entries, end):
    node = b"TREE\x01" + bytes([level]) + number(used, 2) + bytes(16) + entries + struct.pack("<IIQQ", 0, 0, end, 0)
    return node.ljust(24 + 65 * 32, b"\0")


def test_datasets_that_share_a_chunk_index():
    """Three thousand datasets with one B-tree of ten thousand chunks."""
    image = Image()
    leaves = []
    for first in range(0, 10_000, 64):
        keys = b"".join(struct.pack("<IIQQ", 1, 0, i, 0) + number(0) for i in range(first, first + 64))
        leaves.append((first, image.place(_node(0, 64, keys, first + 64))))
    for level in (1, 2, 3):
        above = []
        for first in range(0, len(leaves), 64):
            some = leaves[first : first + 64]
            keys = b"".join(struct.pack("<IIQQ", 0, 0, i, 0) + number(n) for i, n in some)
            above.append((some[0][0], image.place(_node(level, len(some), keys, 10_048))))
        leaves = above
        if len(leaves) == 1:
            break
    one = dataset(dataspace([20_000]), integer(1), chunked_3([1], 1, leaves[0][1]))
    places = [image.place(one) for _ in range(3000)]
    tree = walked(image.file(image.place(group([hard_link(b"%d" % i, a) for i, a in enumerate(places)]))))
    assert 0 < len(tree.datasets) < 20
    assert any("overlap" in r.reason for r in tree.refusals.values())


def test_implicit_chunks_that_overlap():
    image = Image()
    image.place(bytes(600_000))
    one = dataset(dataspace([500_000]), integer(1), chunked_4([1], 1, 2, b"", 48))
    places = [image.place(one) for _ in range(2000)]
    tree = walked(image.file(image.place(group([hard_link(b"%d" % i, a) for i, a in enumerate(places)]))))
    assert 0 < len(tree.datasets) < 20


def test_sequences_of_sequences_that_hold_themselves():
    """An object of the global heap that lists itself, nested as deep as datatypes may be."""
    image = Image()
    collection = image.next
    image.place(global_collection([heap_reference(64, collection, 1) * 64]))
    kind = integer(4)
    for _ in range(40):
        kind = variable(kind)
    data = image.file(
        image.place(group(more=[(ATTRIBUTE, attribute(b"a", kind, dataspace([1]), heap_reference(64, collection, 1)))]))
    )
    tree = walked(data)
    assert any("overlap" in note for note in tree.groups["/"].notes)


def test_text_that_many_elements_share():
    """A long string with a NUL in it, so that each element would be a copy of its own."""
    image = Image()
    text = b"x" * 300_000 + b"\0"
    collection = image.place(global_collection([text]))
    elements = heap_reference(len(text), collection, 1) * 2000
    address = image.place(elements)
    space = dataspace([2000])
    values = image.place(dataset(space, VARIABLE_TEXT, contiguous(address, len(elements))))
    tree = walked(image.file(image.place(group([hard_link(b"x", values)]))))
    assert tree.datasets == {}
    assert "overlap" in tree.refusals["/x"].reason or "larger than" in tree.refusals["/x"].reason


def test_attributes_that_share_their_text():
    image = Image()
    text = b"x" * 300_000 + b"\0"
    collection = image.place(global_collection([text]))
    messages = [
        (ATTRIBUTE, attribute(b"%d" % i, VARIABLE_TEXT, dataspace([1]), heap_reference(len(text), collection, 1)))
        for i in range(5000)
    ]
    tree = walked(image.file(image.place(group(more=messages))))
    assert 0 < len(tree.groups["/"].attributes) < 2000


def test_collections_that_overlap():
    image = Image()
    start, count, size = image.next, 3000, 900_000
    image.place(bytes(size))
    for i in range(count):
        head = b"GCOL\x01\0\0\0" + number(size - 40 * i) + struct.pack("<HH4xQ", 1, 1, size - 40 * i - 32)
        image.data[start + 40 * i : start + 40 * i + 32] = head
    messages = [
        (ATTRIBUTE, attribute(b"%d" % i, VARIABLE_TEXT, dataspace([1]), heap_reference(5, start + 40 * i, 1)))
        for i in range(count)
    ]
    assert walked(image.file(image.place(group(more=messages)))).groups["/"].notes


def test_variable_length_data_that_were_never_written():
    """A few hundred bytes for eight million nulls, again and again."""
    image = Image()
    for layout in (contiguous(UNDEFINED, 0), chunked_3([1 << 20], 16, UNDEFINED)):
        one = dataset(dataspace([1 << 20]), VARIABLE_TEXT, layout)
        places = [image.place(one) for _ in range(1500)]
        tree = walked(image.file(image.place(group([hard_link(b"%d" % i, a) for i, a in enumerate(places)]))))
        assert tree.refusals
        assert any("decoded" in r.reason for r in tree.refusals.values())


DEFLATE = bytes([2, 1]) + struct.pack("<HHHI", 1, 0, 1, 9)


def test_chunks_that_blow_up():
    """Deflate makes a thousand bytes of one."""
    image = Image()
    large = 1 << 28
    stream = zlib.compressobj(9)
    squeezed = b"".join(stream.compress(bytes(1 << 20)) for _ in range(large >> 20)) + stream.flush()
    address = image.place(squeezed)
    layout = chunked_4([large // 16], 16, 1, number(len(squeezed)) + number(0, 4), address, flags=2)
    places = [image.place(dataset(dataspace([100]), VARIABLE_TEXT, layout, [(FILTERS, DEFLATE)])) for _ in range(50)]
    tree = walked(image.file(image.place(group([hard_link(b"%d" % i, a) for i, a in enumerate(places)]))))
    assert any("decoded" in r.reason or "larger" in r.reason for r in tree.refusals.values())


def test_links_that_lead_through_one_another():
    """Soft links whose targets are long, so that following one means following all."""
    image = Image()
    path = b"a/" * 30_000
    links = [soft_link(b"a", b"."), *(soft_link(b"%d" % i, b"long/long/long") for i in range(3000))]
    longer = bytes([1, 8 | 1, 1]) + number(4, 2) + b"long" + number(len(path), 2) + path
    image_root = image.place(group([*links, longer]))
    walked(image.file(image_root))


def test_paths_that_grow():
    """Groups nested ten thousand deep, with long names: the paths alone would take gigabytes."""
    image = Image()
    name = b"n" * 60
    address = image.place(group())
    for _ in range(7000):
        address = image.place(group([hard_link(name, address)]))
    data = image.file(address)
    with pytest.raises(FormatError, match="too long"), bounded():
        tree_of(data)


def test_nested_groups_within_reason():
    image = Image()
    address = image.place(group())
    for _ in range(1000):
        address = image.place(group([hard_link(b"n", address)]))
    assert len(walked(image.file(address)).groups) == 1001


def test_huge_extents():
    """Shapes that no array can have."""
    image = Image()
    huge = (1 << 64) - 1
    messages = [
        (ATTRIBUTE, attribute(b"a", integer(4), dataspace([0, huge, huge]), b"")),
        (ATTRIBUTE, attribute(b"b", VARIABLE_TEXT, dataspace([0, huge]), b"")),
        (ATTRIBUTE, attribute(b"c", integer(4), dataspace([huge, huge]), b"")),
        (ATTRIBUTE, attribute(b"d", datatype(3, (1 << 32) - 1), dataspace([0]), b"")),
        (ATTRIBUTE, attribute(b"e", datatype(5, (1 << 32) - 1, bytes(0)), dataspace([0]), b"")),
    ]
    places = [
        image.place(dataset(dataspace([0, huge]), VARIABLE_TEXT, contiguous(UNDEFINED, 0))),
        image.place(dataset(dataspace([huge, huge]), integer(4), contiguous(UNDEFINED, 0))),
        image.place(dataset(dataspace([huge, huge]), integer(4), contiguous(48, 8))),
        image.place(dataset(dataspace([huge]), integer(4), compact(b"abcd"))),
        image.place(dataset(dataspace([huge]), VARIABLE_TEXT, chunked_3([1], 16, 48))),
        image.place(dataset(dataspace([0, huge]), VARIABLE_TEXT, chunked_3([1, 1], 16, 48))),
    ]
    tree = walked(image.file(image.place(group([hard_link(b"%d" % i, a) for i, a in enumerate(places)], messages))))
    assert sorted(tree.refusals) == ["/0", "/2", "/3", "/4", "/5"]
    assert len(tree.groups["/"].notes) == 5
    assert tree.datasets["/1"].storage.offset is None


def test_counts_beyond_the_file():
    """Sizes and counts are held against the file before memory is taken for them."""
    every = [(1 << 16) - 1, (1 << 31) - 1, (1 << 32) - 1, (1 << 63) - 1, (1 << 64) - 1]
    for n in every:
        image = Image()
        array = signed(b"FAHD" + bytes([0, 0, 8, 10]) + number(n) + number(48))
        fixed = dataset(dataspace([n]), integer(1), chunked_4([1], 1, 3, bytes([10]), image.place(array)))
        tree = signed(
            b"BTHD"
            + bytes([0, 10])
            + number(2048, 4)
            + number(24, 2)
            + bytes(2)
            + bytes([100, 40])
            + number(48)
            + number(n & 0xFFFF, 2)
            + number(n)
        )
        plain = dataset(
            dataspace([n], [UNDEFINED]), integer(1), chunked_4([1], 1, 5, number(2048, 4) + bytes(2), image.place(tree))
        )
        collection = image.place(global_collection([b"x"], size=n if n < UNDEFINED else n - 1))
        text = (ATTRIBUTE, attribute(b"a", VARIABLE_TEXT, dataspace([1]), heap_reference(1, collection, 1)))
        links = [hard_link(b"f", image.place(fixed)), hard_link(b"t", image.place(plain))]
        found = walked(image.file(image.place(group(links, [text]))))
        assert set(found.refusals) == {"/f", "/t"}
        assert found.groups["/"].notes


def test_a_dataset_without_its_messages():
    image = Image()
    links = [
        hard_link(b"a", image.place(header_2([(DATATYPE, integer()), (LAYOUT, compact(bytes(4)))]))),
        hard_link(b"b", image.place(header_2([(DATATYPE, integer()), (DATASPACE, dataspace([1]))]))),
        hard_link(b"c", image.place(header_2([(DATASPACE, dataspace([1])), (LAYOUT, compact(bytes(4)))]))),
        hard_link(b"d", image.place(header_2([]))),
    ]
    tree = walked(image.file(image.place(group(links))))
    assert sorted(tree.refusals) == ["/a", "/b", "/c", "/d"]


def test_compounds_without_elements():
    """Of gigabytes each, or of members that overlap, each as large as the element."""
    image = Image()
    large = (1 << 31) - 100
    text = b"s\0" + number(0, 4) + VARIABLE_TEXT
    kinds = [
        datatype(6, (1 << 32) - 1, text + b"a\0" + number(16, 4) + datatype(5, large) + b"b\0" + number(large + 16, 4)
                 + datatype(5, large), version=3, bits=3),
        datatype(6, (1 << 24) - 1, b"s\0" + number(0, 3) + VARIABLE_TEXT
                 + b"".join(b"%d\0" % i + number(16, 3) + datatype(5, (1 << 24) - 17) for i in range(900)),
                 version=3, bits=901),
    ]  # fmt: skip
    links = []
    for i, kind in enumerate(kinds):
        for extent in (0, 1):
            address = image.place(dataset(dataspace([extent]), kind, contiguous(UNDEFINED, 0)))
            links.append(hard_link(b"%d%d" % (i, extent), address))
    assert sorted(walked(image.file(image.place(group(links)))).refusals) == ["/00", "/01", "/10", "/11"]


def test_names_with_slashes():
    image = Image()
    inner = image.place(group([hard_link(b"b", image.next)]))
    links = [hard_link(b"a", inner), hard_link(b"a/b", inner)]
    assert walked(image.file(image.place(header_2([(LINK_INFO, link_info()), *((LINK, x) for x in links)])))) is None
