"""Version 2 B-trees: header, internal nodes, leaves; records of any type as rows of bytes.

Contract: `read_records` walks a tree level by level through a Window and gives the records as a uint8 array, one row
each, in the order of the tree; `records_in_parts` gives them some at a time, with their places in that order. Depth and
node counts are bounded by the header's total and by the file.
Specification 4.0, III.A.2.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from refmaker import limits
from refmaker.errors import FormatError
from refmaker.hdf5.checksum import verify, verify_rows
from refmaker.hdf5.sizes import Sizes, encoded_size, need
from refmaker.ranges import distinct
from refmaker.window import Buffer, Window

__all__ = ["BTreeV2", "Places", "decode_header", "read_header", "read_records", "records_in_parts"]

WHAT = "version 2 B-tree"
MAX_DEPTH = limits.TREE_DEPTH
NODES_AT_ONCE = 1 << 20  # bytes
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
    """Return for every depth: most records of a node, most records below it, bytes of a child's record count."""
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


def read_header(window: Window, address: int, kind: int, sizes: Sizes) -> BTreeV2:
    """Read the header of a tree, which must be of type `kind`."""
    buf, pos = window.at(address, 22 + sizes.offsets + sizes.lengths)
    tree = decode_header(buf, pos, sizes, address)
    if tree.kind != kind:
        raise FormatError("type", structure=WHAT, address=address, expected=kind, got=tree.kind)
    if tree.root is not None and tree.total_records > window.size // tree.record_size:
        raise FormatError(
            "more records than the file can hold",
            structure=WHAT,
            address=address,
            expected=f"<= {window.size // tree.record_size}",
            got=tree.total_records,
        )
    return tree


def read_records(window: Window, address: int, kind: int, sizes: Sizes) -> npt.NDArray[np.uint8]:
    """Read all records of the tree at `address`, which must be of type `kind`: uint8 of shape (n, record size).

    They stand in the order of the tree.
    """
    tree = read_header(window, address, kind, sizes)
    if tree.root is None:
        return np.empty((0, tree.record_size), "u1")
    places = Places(tree, address)
    # A record at a time, not a byte.
    ordered = np.empty(tree.total_records, f"V{tree.record_size}")
    for records, where in records_in_parts(window, tree, address, sizes):
        ordered[places.taken(where)] = records.view(ordered.dtype)[:, 0]
    places.complete()
    return ordered.view("u1").reshape(-1, tree.record_size)


def records_in_parts(
    window: Window, tree: BTreeV2, address: int, sizes: Sizes
) -> Iterator[tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64]]]:
    """Read all records of a tree that has a root, some at a time: uint8 of shape (n, record size), int64[n] places."""
    levels = _capacities(tree, sizes, address)
    addresses, counts = np.array([tree.root], "u8"), np.array([tree.root_records], "i8")
    starts, done = np.zeros(1, "i8"), 0
    for depth in range(tree.depth, -1, -1):
        _announce(window, tree, addresses, counts, levels[depth][0])
        done += int(counts.sum())
        if done > tree.total_records:
            raise FormatError("more records than the header says", structure=WHAT, address=address)
        below, step = [], max(NODES_AT_ONCE // tree.node_size, 1)
        for first in range(0, len(addresses), step):
            some = slice(first, first + step)
            nodes = _read_nodes(window, tree, addresses[some], depth)
            _verify_nodes(nodes, addresses[some], counts[some], tree, sizes, levels, depth)
            records, own = _records(nodes, counts[some], tree.record_size, levels[depth][0]), counts[some]
            if depth:
                children = _children(nodes, own, tree, sizes, levels, depth)
                place, start = _in_order(starts[some], own, children[2])
                below.append((*children[:2], start))
            else:
                place = np.repeat(starts[some] - np.cumsum(own) + own, own) + np.arange(len(records))
            yield records, place
        if depth:
            addresses, counts, starts = (np.concatenate(column) for column in zip(*below, strict=True))


class Places:
    """The places of a tree's records in its order, each of which one record must take."""

    def __init__(self, tree: BTreeV2, address: int) -> None:
        self._free = np.ones(tree.total_records, bool)
        self._taken = 0
        self._address = address

    def taken(self, places: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """Note that records take these places, and give them."""
        if len(places) and (int(places.min()) < 0 or int(places.max()) >= len(self._free)):
            raise FormatError("totals that contradict the records", structure=WHAT, address=self._address)
        self._free[places] = False
        self._taken += len(places)
        return places

    def complete(self) -> None:
        """Raise `FormatError` unless every place was taken, by one record."""
        if self._taken != len(self._free):
            raise FormatError(
                "number of records", structure=WHAT, address=self._address, expected=len(self._free), got=self._taken
            )
        if self._free.any():
            raise FormatError("totals that contradict the records", structure=WHAT, address=self._address)


def _in_order(
    starts: npt.NDArray[np.int64], counts: npt.NDArray[np.int64], totals: npt.NDArray[np.int64]
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Return the places of the records of nodes in the order of the tree, and of the first record below each child.

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


def _announce(
    window: Window,
    tree: BTreeV2,
    addresses: npt.NDArray[np.uint64],
    counts: npt.NDArray[np.int64],
    most: int,
) -> None:
    """Check what is said about the nodes of one depth, and announce them."""
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


def _read_nodes(window: Window, tree: BTreeV2, addresses: npt.NDArray[np.uint64], depth: int) -> npt.NDArray[np.uint8]:
    """Read nodes of one depth and check their heads.

    0 signature "BTIN" or "BTLF" 4 | 4 version 0 | 5 type 1 | 6 records (| children) | checksum 4 after the last one
    in use
    """
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


def _verify_nodes(
    nodes: npt.NDArray[np.uint8],
    addresses: npt.NDArray[np.uint64],
    counts: npt.NDArray[np.int64],
    tree: BTreeV2,
    sizes: Sizes,
    levels: list[tuple[int, int, int]],
    depth: int,
) -> None:
    """Check the checksums of nodes of one depth: they stand behind what is in use; nodes of one count go together."""
    pointer = _pointer_size(sizes, levels, depth)
    for count in distinct(counts).tolist():
        stop = _HEAD + count * tree.record_size + (count + 1) * pointer
        same = counts == count
        if same.all():  # as leaves mostly are: nothing to copy
            verify_rows(nodes[:, : stop + 4], WHAT, addresses)
        else:
            verify_rows(nodes[same, : stop + 4], WHAT, addresses[same])


def _records(
    nodes: npt.NDArray[np.uint8], counts: npt.NDArray[np.int64], record_size: int, most: int
) -> npt.NDArray[np.uint8]:
    body = nodes[:, _HEAD : _HEAD + most * record_size].view(f"V{record_size}")
    if len(counts) and counts.min() == counts.max():
        return body[:, : int(counts[0])].reshape(-1).view("u1").reshape(-1, record_size)
    return body[np.arange(most) < counts[:, None]].view("u1").reshape(-1, record_size)


def _children(
    nodes: npt.NDArray[np.uint8],
    counts: npt.NDArray[np.int64],
    tree: BTreeV2,
    sizes: Sizes,
    levels: list[tuple[int, int, int]],
    depth: int,
) -> tuple[npt.NDArray[np.uint64], npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Return addresses, record counts and totals of the children: they stand behind the records in use.

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
