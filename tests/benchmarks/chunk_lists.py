"""What a scan found, in one form for all tools, so that their answers can be compared.

A chunk list is, for each array, three columns sorted by the chunk's ravelled position in the grid: `cell`, `offset`,
`size`. An array that is stored in one piece has cell 0. What a tool keeps in its output as bytes has no place in the
file: offset -1, size -1.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

Columns: TypeAlias = npt.NDArray[np.int64]
"""int64[3, n]: cell, offset, size."""
ChunkLists: TypeAlias = dict[str, Columns]

INLINE = (-1, -1)


def columns(cell: Any, offset: Any, size: Any) -> Columns:
    """Make sorted columns of three sequences of one length."""
    table = np.array([np.asarray(column).astype("i8") for column in (cell, offset, size)], "i8").reshape(3, -1)
    return table[:, np.argsort(table[0], kind="stable")]


def from_positions(shape: Iterable[int], chunks: Iterable[int], positions: Any, offset: Any, size: Any) -> Columns:
    """Make columns of positions in the chunk grid (one row a chunk)."""
    grid = [-(-n // c) for n, c in zip(shape, chunks, strict=True)]
    positions = np.asarray(positions, "i8").reshape(-1, len(grid))
    cell = np.ravel_multi_index(tuple(positions.T), grid) if len(positions) else positions[:, 0]
    return columns(cell, offset, size)


def from_references(references: Mapping[str, Any]) -> ChunkLists:
    """Make chunk lists of kerchunk's references (the value of `refs`)."""
    found: dict[str, list[tuple[tuple[int, ...], int, int]]] = {}
    metadata: dict[str, Any] = {}
    for key, value in references.items():
        array, _, name = key.rpartition("/")
        if name == ".zarray":
            metadata[array] = json.loads(value) if isinstance(value, str | bytes) else value
            found.setdefault(array, [])
        elif name[0] != ".":
            place = value[1:] if isinstance(value, list) else INLINE
            found.setdefault(array, []).append((tuple(map(int, name.split("."))), *place))
    lists = {}
    for array, rows in found.items():
        shape, chunks = metadata[array]["shape"] or [1], metadata[array]["chunks"] or [1]
        positions, offset, size = zip(*rows, strict=True) if rows else ((), (), ())
        lists[array] = from_positions(shape, chunks, positions, offset, size)
    return lists


def digest(lists: ChunkLists) -> str:
    """Return a digest that two chunk lists share only where they are equal."""
    state = hashlib.blake2b(digest_size=16)
    for name in sorted(lists):
        state.update(f"{name}\0{lists[name].shape[1]}\0".encode())
        state.update(np.ascontiguousarray(lists[name]).tobytes())
    return state.hexdigest()


def save(lists: ChunkLists, path: str) -> None:
    """Write chunk lists to a file."""
    names = sorted(lists)
    counts = [lists[name].shape[1] for name in names]
    table = np.concatenate([lists[name] for name in names], axis=1) if names else np.empty((3, 0), "i8")
    with open(path, "wb") as file:
        np.savez(file, names=np.array(json.dumps(names)), counts=np.array(counts, "i8"), table=table)


def load(path: str) -> ChunkLists:
    """Read what `save` wrote."""
    with np.load(path) as file:
        names, stops, table = json.loads(str(file["names"])), np.cumsum(file["counts"]), file["table"]
    return dict(zip(names, np.split(table, stops[:-1], axis=1), strict=True)) if names else {}


def difference(expected: ChunkLists, got: ChunkLists) -> str:
    """Say in a few words how a chunk list differs; "" where it does not."""
    missing, extra, other = 0, 0, 0
    for name in expected.keys() & got.keys():
        a, b = expected[name], got[name]
        _, at_a, at_b = np.intersect1d(a[0], b[0], return_indices=True)
        missing += a.shape[1] - len(at_a)
        extra += b.shape[1] - len(at_b)
        other += int(np.any(a[:, at_a] != b[:, at_b], axis=0).sum())
    counts = {
        "arrays missing": len(expected.keys() - got.keys()),
        "arrays too many": len(got.keys() - expected.keys()),
        "chunks missing": missing,
        "chunks too many": extra,
        "chunks elsewhere": other,
    }
    return ", ".join(f"{count:,} {what}" for what, count in counts.items() if count)
