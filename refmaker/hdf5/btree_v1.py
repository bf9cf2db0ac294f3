"""Version 1 B-trees: of groups (node type 0) and of chunks (node type 1).

Contract: `group_nodes` and `chunk_records` walk a tree level by level through a Window; a whole level is announced,
then decoded at once in numpy. Levels must fall by one from node to child, and a level cannot have more nodes than the
file has room for, so every walk ends. Specification 4.0, III.A.1.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from refmaker import limits
from refmaker.errors import FormatError
from refmaker.hdf5.sizes import Sizes
from refmaker.window import Window

__all__ = ["MAX_LEVEL", "chunk_records", "few_chunks", "group_nodes"]

WHAT = "version 1 B-tree"
MAX_LEVEL = limits.TREE_DEPTH
NODES_AT_ONCE = 384
FEW = 8  # entries, below which plain Python is faster than numpy
_SIGNATURE = int.from_bytes(b"TREE", "little")
_GROUP, _CHUNK = 0, 1

# 0 signature "TREE" 4 | 4 node type | 5 node level | 6 entries used 2 | 8 left sibling O | right sibling O
#   then key 0, child 0, key 1, child 1, … key 2K.  Key of a group: heap offset L.
#   Key of a chunk: stored size 4 | filter mask 4 | offset of the chunk 8 x (rank + 1), the last one 0


def _node(entry: np.dtype[np.void], key: np.dtype[Any], count: int, sizes: Sizes) -> np.dtype[np.void]:
    address = f"<u{sizes.offsets}"
    return np.dtype(
        [
            ("signature", "<u4"),
            ("type", "u1"),
            ("level", "u1"),
            ("used", "<u2"),
            ("left", address),
            ("right", address),
            ("entries", entry, (count,)),
            ("end", key),
        ]
    )


def _read_level(
    window: Window, addresses: npt.NDArray[np.uint64], node: np.dtype[np.void], kind: int, level: int | None
) -> Iterator[tuple[np.ndarray, int]]:
    """Read the nodes of a level, some at a time so that they stay in cache; give them, and the level."""
    if len(addresses) > window.size // node.itemsize + 1:
        raise FormatError(
            "more nodes than the file can hold",
            structure=WHAT,
            address=int(addresses[0]),
            expected=f"<= {window.size // node.itemsize}",
            got=len(addresses),
        )
    window.want(addresses, node.itemsize)
    count = node["entries"].shape[0]
    for start in range(0, len(addresses), NODES_AT_ONCE):
        some = addresses[start : start + NODES_AT_ONCE]
        nodes = window.rows(some, node.itemsize).view(node)[:, 0]
        if level is None:
            level = int(nodes["level"][0])
        _check_nodes(nodes, some, kind, level, count)
        yield nodes, level


def _in_use(nodes: np.ndarray) -> np.ndarray:
    """Return the entries in use of nodes, in order."""
    entries = nodes["entries"]
    # As bytes: what they are would be compared node by node. In runs, as a mask is looked at entry by entry.
    plain = entries.view(f"V{entries.dtype.itemsize}")
    used: np.ndarray = np.concatenate([row[:n] for row, n in zip(plain, nodes["used"].tolist(), strict=True)])
    return used.view(entries.dtype)


def _check_nodes(nodes: np.ndarray, addresses: npt.NDArray[np.uint64], kind: int, level: int, count: int) -> None:
    good = (
        (nodes["signature"] == _SIGNATURE)
        & (nodes["type"] == kind)
        & (nodes["level"] == level)
        & (nodes["used"] <= count)
    )
    if not good.all():
        i = int(np.flatnonzero(~good)[0])
        raise FormatError(
            "node",
            structure=WHAT,
            address=int(addresses[i]),
            expected=f"TREE, type {kind}, level {level}, at most {count} entries",
            got=f"{nodes['signature'][i].tobytes()!r}, type {nodes['type'][i]}, level {nodes['level'][i]}, "
            f"{nodes['used'][i]} entries",
        )


def _leaves(window: Window, root: int, node: np.dtype[np.void], kind: int) -> Iterator[np.ndarray]:
    """Walk down from `root`; give the entries in use of all leaves, in order, some leaves at a time."""
    addresses, expected, bounds = np.array([root], "u8"), None, None
    while len(addresses):
        below, keys, done = [], [], 0
        for nodes, level in _read_level(window, addresses, node, kind, expected):
            if level > MAX_LEVEL:
                raise FormatError("level", structure=WHAT, address=root, expected=f"<= {MAX_LEVEL}", got=level)
            entries, some = _in_use(nodes), slice(done, done + len(nodes))
            done += len(nodes)
            if kind == _CHUNK:
                keys.append(_check_keys(nodes, entries, level, addresses[some], bounds, some))
            if level == 0:
                yield entries
            else:
                below.append(entries["child"].astype("u8"))
            expected = level
        if not below:
            return
        bounds = Bounds(*(np.concatenate(ends) for ends in zip(*keys, strict=True))) if keys else None
        addresses, expected = np.concatenate(below), (expected or 0) - 1


class Bounds(NamedTuple):
    """What the keys of each node must lie between: uint64[n, rank + 1], the upper ones excluded."""

    low: npt.NDArray[np.uint64]
    high: npt.NDArray[np.uint64]


def _check_keys(
    nodes: np.ndarray,
    entries: np.ndarray,
    level: int,
    addresses: npt.NDArray[np.uint64],
    bounds: Bounds | None,
    some: slice,
) -> Bounds:
    """Check that a search by keys, as libhdf5 reads, finds what is in the nodes; give the bounds of their children.

    Of leaves only the first and the last key: that all of them increase is checked where their order is needed.
    """
    full = np.flatnonzero(nodes["used"])
    used = nodes["used"][full].astype("i8")
    last = np.cumsum(used) - 1
    end = np.where(
        (used < nodes["entries"].shape[1])[:, None], _keys(_after(nodes, full, used)), _keys(nodes["end"][full])
    )
    if level:
        low = _keys(entries)
        high = np.concatenate([low[1:], low[:1]])
        high[last] = end
        good = _less(low, high)
        good = np.logical_and.reduceat(good, last - used + 1) if len(good) else good
    else:
        low = high = np.empty((0, end.shape[1]), "u8")
        good = _less(_keys(entries[last]), end) & (
            np.add.reduceat(entries["last"], last - used + 1) == 0 if len(last) else True
        )
    if bounds is not None:
        first = _keys(entries[last - used + 1])
        good &= ~_less(first, bounds.low[some][full]) & _less(_keys(entries[last]), bounds.high[some][full])
    if not good.all():
        address = int(addresses[full[np.flatnonzero(~good)[0]]])
        raise FormatError("keys that are out of order", structure=WHAT, address=address)
    return Bounds(low, high)


def _after(nodes: np.ndarray, full: npt.NDArray[np.int64], used: npt.NDArray[np.int64]) -> np.ndarray:
    """Return the entries whose keys follow the last ones in use; any where nodes are full."""
    found: np.ndarray = nodes["entries"][full, np.minimum(used, nodes["entries"].shape[1] - 1)]
    return found


def _keys(entries: np.ndarray) -> npt.NDArray[np.uint64]:
    """Return the keys of entries: the offsets of chunks, the one in the element included."""
    return np.concatenate([entries["offset"], entries["last"][:, None]], axis=1)


def _less(a: npt.NDArray[np.uint64], b: npt.NDArray[np.uint64]) -> npt.NDArray[np.bool_]:
    """Compare rows from their first column on."""
    less, equal = np.zeros(len(a), bool), np.ones(len(a), bool)
    for one, other in zip(a.T, b.T, strict=True):
        less |= equal & (one < other)
        equal &= one == other
    return less


def group_nodes(window: Window, root: int, internal_k: int, sizes: Sizes) -> npt.NDArray[np.uint64]:
    """Return the addresses of the symbol table nodes of a group, in name order."""
    entry = np.dtype([("key", f"<u{sizes.lengths}"), ("child", f"<u{sizes.offsets}")])
    node = _node(entry, np.dtype(f"<u{sizes.lengths}"), 2 * internal_k, sizes)
    return np.concatenate([np.empty(0, "u8"), *(e["child"] for e in _leaves(window, root, node, _GROUP))])


@lru_cache(256)
def _chunk_node(rank: int, k: int, sizes: Sizes) -> np.dtype[np.void]:
    key: list[Any] = [("size", "<u4"), ("mask", "<u4"), ("offset", "<u8", (rank,)), ("last", "<u8")]
    return _node(np.dtype([*key, ("child", f"<u{sizes.offsets}")]), np.dtype(key), 2 * k, sizes)


def chunk_records(window: Window, root: int, rank: int, k: int, sizes: Sizes) -> Iterator[np.ndarray]:
    """Return the records of all chunks of a dataset, some at a time.

    Fields: `size`, `mask`, `offset` (rank values), `child` (address).
    """
    return _leaves(window, root, _chunk_node(rank, k, sizes), _CHUNK)


def few_chunks(window: Window, root: int, rank: int, k: int, sizes: Sizes) -> list[tuple[int, ...]] | None:
    """Return the records of a tree that is one leaf with few entries, for which numpy would take longer than Python.

    Each is size, mask, offset (rank values), 0, address. None for all other trees, damaged ones among them.
    """
    buf, pos = window.at(root, _chunk_node(rank, k, sizes).itemsize)
    head = sizes.struct("IBBHOO")
    signature, kind, level, used, _, _ = head.unpack_from(buf, pos)
    if (signature, kind, level) != (_SIGNATURE, _CHUNK, 0) or used > min(FEW, 2 * k):
        return None
    entry = sizes.struct(f"II{rank + 1}QO")
    first = pos + head.size
    records = [entry.unpack_from(buf, first + i * entry.size) for i in range(used)]
    end = sizes.struct(f"II{rank + 1}Q").unpack_from(buf, first + used * entry.size)
    # A search, as libhdf5 reads, finds nothing behind the last key.
    return records if not records or records[-1][2:-1] < end[2:] else None
