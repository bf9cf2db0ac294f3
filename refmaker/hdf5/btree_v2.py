"""Version 2 B-trees: header, internal nodes, leaves; records of any type as rows of bytes.

Contract: `read_records` walks a tree level by level through a Window and gives the records as a uint8 array, one row
each, in no particular order. Depth and node counts are bounded by the header's total and by the file.
Specification 4.0, III.A.2.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from refmaker import limits
from refmaker.errors import FormatError
from refmaker.hdf5.checksum import verify, verify_rows
from refmaker.hdf5.sizes import Sizes, encoded_size, need
from refmaker.window import Buffer, Window

__all__ = ["BTreeV2", "decode_header", "read_records"]

WHAT = "version 2 B-tree"
MAX_DEPTH = limits.TREE_DEPTH
_NODE_OVERHEAD = 10  # signature 4, version 1, type 1, checksum 4
_HEAD = 6


@dataclass(frozen=True, slots=True)
class BTreeV2:
    """Header of a version 2 B-tree; sizes in bytes."""

    kind: int
    node_size: int
    record_size: int
    depth: int
    root: int | None
    root_records: int
    total_records: int


def decode_header(buf: Buffer, pos: int, sizes: Sizes, address: int) -> BTreeV2:
    """Decode the header.

    0 signature "BTHD" 4 | 4 version 0 | 5 type 1 | 6 node size 4 | 10 record size 2 | 12 depth 2 | 14 split percent 1
    | 15 merge percent 1 | 16 root node O | records in root 2 | records in all L | checksum 4
    """
    layout = sizes.struct("4sBBIHHBBOHL")
    need(buf, pos, layout.size + 4, WHAT)
    signature, version, kind, node_size, record_size, depth, _, _, root, in_root, total = layout.unpack_from(buf, pos)
    if signature != b"BTHD" or version != 0:
        raise FormatError("signature", structure=WHAT, address=address, expected=b"BTHD", got=signature)
    verify(bytes(buf[pos : pos + layout.size + 4]), WHAT, address)
    if record_size == 0 or node_size < _NODE_OVERHEAD + record_size or depth > MAX_DEPTH:
        raise FormatError(
            "node size, record size or depth",
            structure=WHAT,
            address=address,
            expected="a record or more in a node",
            got=(node_size, record_size, depth),
        )
    return BTreeV2(kind, node_size, record_size, depth, None if root == sizes.undefined else root, in_root, total)


def _capacities(tree: BTreeV2, sizes: Sizes, address: int) -> list[tuple[int, int, int]]:
    """Give for every depth: most records of a node, most records below it, bytes of a child's record count."""
    most = (tree.node_size - _NODE_OVERHEAD) // tree.record_size
    count_size = encoded_size(most)
    levels = [(most, most, 0)]
    for depth in range(1, tree.depth + 1):
        total_size = encoded_size(levels[-1][1]) if depth > 1 else 0
        pointer = sizes.offsets + count_size + total_size
        here = (tree.node_size - _NODE_OVERHEAD - pointer) // (tree.record_size + pointer)
        if here < 1:
            raise FormatError("node size", structure=WHAT, address=address, expected="room for a record", got=here)
        levels.append((here, (here + 1) * levels[-1][1] + here, total_size))
    return levels


def read_header(window: Window, address: int, sizes: Sizes) -> BTreeV2:
    """Read the header of a tree."""
    buf, pos = window.at(address, 22 + sizes.offsets + sizes.lengths)
    return decode_header(buf, pos, sizes, address)


def read_records(window: Window, address: int, kind: int, sizes: Sizes) -> npt.NDArray[np.uint8]:
    """Read all records of the tree at `address`, which must be of type `kind`: uint8 of shape (n, record size).

    They stand in the order of the tree.
    """
    tree = read_header(window, address, sizes)
    if tree.kind != kind:
        raise FormatError("type", structure=WHAT, address=address, expected=kind, got=tree.kind)
    if tree.root is None:
        return np.empty((0, tree.record_size), "u1")
    if tree.total_records > window.size // tree.record_size:
        raise FormatError(
            "more records than the file can hold",
            structure=WHAT,
            address=address,
            expected=f"<= {window.size // tree.record_size}",
            got=tree.total_records,
        )
    levels = _capacities(tree, sizes, address)
    addresses, counts = np.array([tree.root], "u8"), np.array([tree.root_records], "i8")
    starts = np.zeros(1, "i8")
    collected, places = [], []
    for depth in range(tree.depth, -1, -1):
        nodes = _read_level(window, tree, addresses, counts, depth, levels[depth][0])
        _verify_level(nodes, addresses, counts, tree, sizes, levels, depth)
        collected.append(_records(nodes, counts, tree.record_size, levels[depth][0]))
        if sum(map(len, collected)) > tree.total_records:
            raise FormatError("more records than the header says", structure=WHAT, address=address)
        if depth:
            above = counts
            addresses, counts, totals = _children(nodes, counts, tree, sizes, levels, depth)
            place, starts = _in_order(starts, above, totals)
        else:
            place = np.repeat(starts - np.cumsum(counts) + counts, counts) + np.arange(len(collected[-1]))
        places.append(place)
    return _ordered(np.concatenate(collected), np.concatenate(places), tree, address)


def _in_order(
    starts: npt.NDArray[np.int64], counts: npt.NDArray[np.int64], totals: npt.NDArray[np.int64]
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Give the places of the records of nodes in the order of the tree, and of the first record below each child.

    Parameters
    ----------
    starts, counts
        Of each node: the place of the first record below it, its own records.
    totals
        Records below each child; a node has one child more than records.
    """
    children = counts + 1
    before = np.cumsum(totals + 1) - (totals + 1)
    first = np.cumsum(children) - children
    below = before + np.repeat(starts - before[first], children)
    own = np.ones(len(totals), bool)
    own[first + counts] = False
    return (below + totals)[own], below


def _ordered(
    records: npt.NDArray[np.uint8], places: npt.NDArray[np.int64], tree: BTreeV2, address: int
) -> npt.NDArray[np.uint8]:
    """Put records into the order of the tree."""
    if len(records) != tree.total_records:
        raise FormatError(
            "number of records", structure=WHAT, address=address, expected=tree.total_records, got=len(records)
        )
    taken = np.zeros(len(records), bool)
    taken[places[(places >= 0) & (places < len(records))]] = True
    if not taken.all():
        raise FormatError("totals that contradict the records", structure=WHAT, address=address)
    if tree.depth == 0:
        return records
    # A record at a time, not a byte.
    whole = records.view(f"V{tree.record_size}")[:, 0]
    ordered = np.empty_like(whole)
    ordered[places] = whole
    return ordered.view("u1").reshape(records.shape)


def _read_level(
    window: Window,
    tree: BTreeV2,
    addresses: npt.NDArray[np.uint64],
    counts: npt.NDArray[np.int64],
    depth: int,
    most: int,
) -> npt.NDArray[np.uint8]:
    """Read the nodes of one depth and check them.

    0 signature "BTIN" or "BTLF" 4 | 4 version 0 | 5 type 1 | 6 records (| children) | checksum 4 after the last one
    in use
    """
    if (counts > most).any():
        raise FormatError("records of a node", structure=WHAT, expected=f"<= {most}", got=int(counts.max()))
    if len(addresses) > window.size // tree.node_size + 1:
        raise FormatError(
            "more nodes than the file can hold",
            structure=WHAT,
            expected=f"<= {window.size // tree.node_size}",
            got=len(addresses),
        )
    window.want(addresses, tree.node_size)
    nodes = window.rows(addresses, tree.node_size)
    signature = b"BTIN" if depth else b"BTLF"
    head = np.frombuffer(signature + bytes([0, tree.kind]), "u1")
    good = (nodes[:, :_HEAD] == head).all(axis=1)
    if not good.all():
        i = int(np.flatnonzero(~good)[0])
        raise FormatError(
            "node",
            structure=WHAT,
            address=int(addresses[i]),
            expected=head.tobytes(),
            got=nodes[i, :_HEAD].tobytes(),
        )
    return nodes


def _pointer_size(sizes: Sizes, levels: list[tuple[int, int, int]], depth: int) -> int:
    return sizes.offsets + encoded_size(levels[0][0]) + levels[depth][2] if depth else 0


def _verify_level(
    nodes: npt.NDArray[np.uint8],
    addresses: npt.NDArray[np.uint64],
    counts: npt.NDArray[np.int64],
    tree: BTreeV2,
    sizes: Sizes,
    levels: list[tuple[int, int, int]],
    depth: int,
) -> None:
    """Check the checksums of a level: they stand behind what is in use, so nodes of one count go together."""
    pointer = _pointer_size(sizes, levels, depth)
    for count in np.unique(counts).tolist():
        stop = _HEAD + count * tree.record_size + (count + 1) * pointer
        same = np.flatnonzero(counts == count)
        verify_rows(nodes[same, : stop + 4], WHAT, addresses[same])


def _records(
    nodes: npt.NDArray[np.uint8], counts: npt.NDArray[np.int64], record_size: int, most: int
) -> npt.NDArray[np.uint8]:
    body = nodes[:, _HEAD : _HEAD + most * record_size].view(f"V{record_size}")
    return body[np.arange(most) < counts[:, None]].view("u1").reshape(-1, record_size)


def _children(
    nodes: npt.NDArray[np.uint8],
    counts: npt.NDArray[np.int64],
    tree: BTreeV2,
    sizes: Sizes,
    levels: list[tuple[int, int, int]],
    depth: int,
) -> tuple[npt.NDArray[np.uint64], npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Give addresses, record counts and totals of the children: they stand behind the records in use.

    There are count + 1 of them. The total of a leaf is its count.
    """
    count_size, total_size = encoded_size(levels[0][0]), levels[depth][2]
    pointer = np.dtype(
        [("address", f"<u{sizes.offsets}"), ("count", "u1", (count_size,)), ("total", "u1", (total_size,))]
    )
    children = int((counts + 1).sum())
    if children > tree.total_records + 1:
        raise FormatError("more children than records", structure=WHAT, expected=tree.total_records + 1, got=children)
    node = np.repeat(np.arange(len(nodes)), counts + 1)
    first = np.repeat(np.cumsum(counts + 1) - (counts + 1), counts + 1)
    start = _HEAD + np.repeat(counts, counts + 1) * tree.record_size + (np.arange(children) - first) * pointer.itemsize
    raw = nodes[node[:, None], start[:, None] + np.arange(pointer.itemsize)].view(pointer)[:, 0]
    found = _unsigned(raw["count"])
    totals = _unsigned(raw["total"]) if depth > 1 else found
    if ((totals < 0) | (totals > tree.total_records)).any():
        raise FormatError(
            "records below a node", structure=WHAT, expected=f"<= {tree.total_records}", got=int(totals.max())
        )
    return raw["address"].astype("u8"), found, totals


def _unsigned(columns: npt.NDArray[np.uint8]) -> npt.NDArray[np.int64]:
    """Join the bytes of little-endian numbers."""
    weights = (1 << 8 * np.arange(columns.shape[1])).astype("i8")
    joined: npt.NDArray[np.int64] = (columns.astype("i8") * weights).sum(axis=1)
    return joined
