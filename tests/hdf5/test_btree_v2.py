from __future__ import annotations

import pytest

from refmaker.errors import FormatError
from refmaker.hdf5.btree_v2 import read_records
from refmaker.hdf5.sizes import Sizes, encoded_size
from refmaker.sources.memory import MemoryWindow
from tests.hdf5.assembling import UNDEFINED, number, signed
from tests.hdf5.walking import in_rounds

WIDE = Sizes(8, 8)
KIND, RECORD = 5, 11


def header(
    root: int, in_root: int, total: int, *, depth: int = 0, node: int = 128, record: int = RECORD, kind: int = KIND
) -> bytes:
    return signed(
        b"BTHD" + bytes([0, kind]) + number(node, 4) + number(record, 2) + number(depth, 2) + bytes([100, 40])
        + number(root) + number(in_root, 2) + number(total)
    )  # fmt: skip


def record(i: int) -> bytes:
    return number(i, RECORD)


def leaf(records: list[bytes], *, node: int = 128) -> bytes:
    return signed(b"BTLF" + bytes([0, KIND]) + b"".join(records)).ljust(node, b"\xaa")


def internal(records: list[bytes], children: list[tuple[int, int, int]], *, totals: int, node: int = 128) -> bytes:
    """`children` are address, records of its own, records in all (`totals` bytes, 0 above leaves)."""
    pointers = b"".join(number(a) + number(n, 1) + (number(t, totals) if totals else b"") for a, n, t in children)
    return signed(b"BTIN" + bytes([0, KIND]) + b"".join(records) + pointers).ljust(node, b"\xaa")


def tree(depth: int, *, fan: int = 3, per_leaf: int = 4) -> tuple[bytes, int]:
    """A tree of `depth`; bytes (header at 0) and number of records."""
    data, counter = bytearray(64), iter(range(1 << 20))

    def build(level: int) -> tuple[int, int, int]:
        if level == 0:
            records = [record(next(counter)) for _ in range(per_leaf)]
            data.extend(leaf(records))
            return len(data) - 128, per_leaf, per_leaf
        children, records = [], []
        for i in range(fan):
            children.append(build(level - 1))
            if i < fan - 1:
                records.append(record(next(counter)))
        # Nodes of 128 bytes hold 10 records, or 5 (depth 1) or 4 (above) with their pointers.
        capacity = [10, (5 + 1) * 10 + 5]
        while len(capacity) < level:
            capacity.append((4 + 1) * capacity[-1] + 4)
        data.extend(internal(records, children, totals=encoded_size(capacity[level - 1]) if level > 1 else 0))
        return len(data) - 128, fan - 1, fan - 1 + sum(total for _, _, total in children)

    root, in_root, total = build(depth)
    head = header(root, in_root, total, depth=depth)
    data[: len(head)] = head
    return bytes(data), total


def read(window):
    return sorted(int.from_bytes(row.tobytes(), "little") for row in read_records(window, 0, KIND, WIDE))


@pytest.mark.parametrize("depth", [0, 1, 2, 3, 4])
def test_depths(depth):
    data, total = tree(depth)
    assert read(MemoryWindow(data)) == list(range(total))


@pytest.mark.parametrize("page_bits", [6, 7, 8, 9])
def test_a_round_a_depth(page_bits):
    data, total = tree(3)
    found, rounds = in_rounds(data, page_bits, read)
    assert found == list(range(total))
    assert rounds == (5 if page_bits < 9 else 4)


def test_empty_trees():
    assert read_records(MemoryWindow(header(UNDEFINED, 0, 0)), 0, KIND, WIDE).shape == (0, RECORD)
    data = header(64, 0, 0).ljust(64, b"\0") + leaf([])
    assert read(MemoryWindow(data)) == []


def test_leaves_of_many_counts():
    """Checksums stand behind what is in use."""
    data, children, n = bytearray(64), [], 0
    for count in (1, 10, 4, 7, 1, 10):
        children.append((len(data), count, count))
        data += leaf([record(n + i) for i in range(count)])
        n += count
    root = len(data)
    data += internal([record(n + i) for i in range(5)], children, totals=0)
    head = header(root, 5, n + 5, depth=1)
    data[: len(head)] = head
    assert read(MemoryWindow(bytes(data))) == list(range(n + 5))


def test_truncated():
    data, _ = tree(1)
    for size in range(len(data)):
        with pytest.raises(FormatError):
            read(MemoryWindow(data[:size]))


def test_every_bit_counts():
    """But for what stands behind the checksums."""
    data, total = tree(1)
    ends = {}
    for at in range(64, len(data), 128):
        ends[at] = 10 + (4 * RECORD if data[at : at + 4] == b"BTLF" else 2 * RECORD + 3 * 9)
    for i in range(len(data)):
        in_use = i < 38 or (i >= 64 and (i - 64) % 128 < ends[64 + (i - 64) // 128 * 128])
        bad = bytearray(data)
        bad[i] ^= 1 << i % 8
        if in_use:
            with pytest.raises(FormatError):
                read(MemoryWindow(bytes(bad)))
        else:
            assert read(MemoryWindow(bytes(bad))) == list(range(total))


@pytest.mark.parametrize("head", [
    header(64, 1, 1, kind=8),
    header(64, 11, 11),  # more records than a node holds
    header(64, 4, 5),  # not as many records as it says
    header(64, 4, 3),
    header(64, 4, 1 << 62),
    header(64, 4, 4, node=15),
    header(64, 4, 4, record=0),
    header(64, 4, 4, depth=65),
    header(64, 4, 4, depth=2, node=24),  # no room for a record with its pointers
    header(64, 4, 4, depth=1),  # a leaf where an internal node should be
    header(1 << 63, 4, 4),
    header(UNDEFINED - 1, 4, 4),
    header(64, 4, 4, node=1 << 31),
])  # fmt: skip
def test_what_cannot_be(head):
    with pytest.raises(FormatError):
        read(MemoryWindow(head.ljust(64, b"\0") + leaf([record(i) for i in range(4)])))


def test_nodes_that_repeat():
    """A root whose children are all the same leaf, and one that is its own child."""
    data = bytearray(64) + leaf([record(i) for i in range(4)])
    data += internal([record(9)] * 3, [(64, 4, 4)] * 4, totals=0)
    head = header(192, 3, 19, depth=1)
    data[: len(head)] = head
    with pytest.raises(FormatError, match="more nodes"):
        read(MemoryWindow(bytes(data)))
    data = bytearray(64) + internal([record(9)], [(64, 1, 1)] * 2, totals=0)
    head = header(64, 1, 5, depth=1)
    data[: len(head)] = head
    with pytest.raises(FormatError, match="node"):
        read(MemoryWindow(bytes(data)))
