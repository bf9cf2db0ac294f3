"""Walks for tests: over bytes in memory or over pages fetched in rounds, and what is compared of the trees."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

import h5py
import numpy as np

from refmaker.hdf5.checksum import lookup3
from refmaker.hdf5.file import File, file_at
from refmaker.hdf5.resolve import resolve
from refmaker.hdf5.sizes import Sizes
from refmaker.hdf5.superblock import Superblock
from refmaker.hdf5.walk import Walk
from refmaker.model import Attribute, Chunked, ChunkIndex, Dataset, Tree
from refmaker.sources.memory import MemoryWindow
from refmaker.sources.sparse import SparseWindow
from refmaker.window import MissingBytes, Window

LIMIT = 16 << 20
MAX_ROUNDS = 2000


def tree_of(data: bytes, *, strict: bool = False, limit: int = LIMIT) -> Tree:
    """Walk bytes in memory."""
    walk = Walk(MemoryWindow(data), limit, strict)
    todo = walk.start()
    while todo:
        todo += todo.pop()()
    walk.verify()
    return resolve(walk, "test")


def run_rounds(data: bytes, window: SparseWindow, steps: Sequence[Callable[[], Sequence[Any]]], page_bits: int) -> int:
    """Run steps and those that follow, fetching what a round missed together; give the number of rounds."""
    todo, rounds = deque(steps), 0
    while todo:
        interrupted, missing = [], []
        while todo:
            step = todo.popleft()
            try:
                todo.extend(step())
            except MissingBytes as error:
                interrupted.append(step)
                missing.append(error)
        if interrupted:
            rounds += 1
            assert rounds < MAX_ROUNDS
            pages = {a >> page_bits for m in missing for a in m.addresses.tolist()}
            # A range may be longer than a page.
            for m in missing:
                for a, n in zip(m.addresses.tolist(), m.sizes.tolist(), strict=True):
                    pages.update(range(a >> page_bits, ((a + max(n, 1) - 1) >> page_bits) + 1))
            starts = [page << page_bits for page in sorted(pages)]
            window.store(starts, [data[start : start + (1 << page_bits)] for start in starts])
            todo.extend(interrupted)
    return rounds


def tree_in_rounds(data: bytes, page_bits: int, *, limit: int = LIMIT) -> tuple[Tree, int]:
    """Walk pages that are fetched as they are missed; give the tree and the number of rounds."""
    window = SparseWindow(len(data))
    walk = Walk(window, limit)
    rounds = run_rounds(data, window, walk.start(), page_bits)
    walk.verify()
    return resolve(walk, "test"), rounds


def in_rounds(data: bytes, page_bits: int, read: Callable[[Window], Any]) -> tuple[Any, int]:
    """Run one reading function over pages; give its result and the number of rounds."""
    window, results = SparseWindow(len(data)), []

    def step() -> list[Any]:
        results.append(read(window))
        return []

    rounds = run_rounds(data, window, [step], page_bits)
    return results[0], rounds


def plain(thing: Any) -> Any:
    """Return records as plain values that compare with `==`, arrays with their dtype."""
    if isinstance(thing, np.ndarray):
        values = [plain(v) for v in thing.ravel().tolist()] if thing.dtype.hasobject else thing.tobytes()
        return str(thing.dtype), thing.shape, values
    if isinstance(thing, dict):
        return {k: plain(v) for k, v in thing.items()}
    if isinstance(thing, list | tuple):
        return [plain(v) for v in thing]
    if hasattr(thing, "__dataclass_fields__"):
        return type(thing).__name__, {n: plain(getattr(thing, n)) for n in thing.__dataclass_fields__}
    return thing


def file_of(window: Window) -> File:
    """Return a `File` around a window without a superblock in it."""
    superblock = Superblock(
        version=2,
        base=0,
        sizes=Sizes(8, 8),
        end_of_file=window.size,
        root=0,
        extension=None,
        driver_information=None,
        group_leaf_k=4,
        group_internal_k=16,
        indexed_storage_k=None,
        consistency_flags=0,
    )
    return file_at(window, superblock)


def signed(body: bytes) -> bytes:
    """Append the checksum of a block."""
    return body + lookup3(body).to_bytes(4, "little")


def assert_chunks_are(data: bytes, dataset: Dataset, opened: h5py.Dataset) -> int:
    """Compare a chunk index with what libhdf5 reads at each position of the chunk grid; give the chunks found."""
    storage = dataset.storage
    assert isinstance(storage, Chunked)
    assert storage.chunk_shape == opened.chunks
    index = storage.index
    assert_index_is_sane(index, data)
    grid = [-(-n // c) for n, c in zip(opened.shape, opened.chunks, strict=True)]
    rows = dict(zip(index.cell.tolist(), range(len(index)), strict=True))
    for cell in range(int(np.prod(grid))):
        start = tuple(int(p) * c for p, c in zip(np.unravel_index(cell, grid), opened.chunks, strict=True))
        if cell not in rows:
            # Files for tests have no fill values where they were written. (libhdf5 is not to be asked for the place of
            # such a chunk: 2.0 gives wrong places where the unlimited dimension is not the first, or crashes.)
            assert (opened[tuple(map(slice, start, np.add(start, opened.chunks)))] == opened.fillvalue).all(), start
            continue
        row = rows[cell]
        offset, size, mask = int(index.offset[row]), int(index.size[row]), int(index.filter_mask[row])
        assert opened.id.read_direct_chunk(start) == (mask, data[offset : offset + size])
    return len(index)


def assert_index_is_sane(index: ChunkIndex, data: bytes) -> None:
    assert index.cell.dtype == np.int64
    assert index.offset.dtype == index.size.dtype == np.uint64
    assert index.filter_mask.dtype == np.uint32
    assert (index.cell[1:] > index.cell[:-1]).all()
    assert (index.offset + index.size <= len(data)).all()


def assert_value_is(attribute: Attribute, opened: Any) -> None:
    """Compare an attribute's value with what h5py reads."""
    if isinstance(opened, h5py.Empty):
        assert attribute.value is None
        return
    value = attribute.value
    assert value is not None
    if value.dtype == object:
        texts = np.asarray(opened, object).ravel().tolist()
        for got, text in zip(value.ravel().tolist(), texts, strict=True):
            if isinstance(text, np.ndarray):
                assert np.array_equal(got, text)
            else:
                wanted = text.encode("utf-8", "surrogateescape") if isinstance(text, str) else text
                assert (got or b"") == wanted
        return
    opened = np.asarray(opened)
    assert value.shape == opened.shape
    if opened.dtype.kind == "O":
        return  # references: h5py gives objects, compared where they matter
    assert_fields_are(value, opened)


def assert_fields_are(value: np.ndarray, opened: np.ndarray) -> None:
    """Compare arrays bit by bit, but for the padding of structures. h5py shows complex numbers for some structures."""
    if value.dtype.names and opened.dtype.kind == "c":
        assert value.astype([("r", opened.real.dtype), ("i", opened.real.dtype)]).tobytes() == opened.tobytes()
    elif value.dtype.names:
        assert value.dtype.names == opened.dtype.names
        for name in value.dtype.names:
            if opened.dtype[name].kind != "O":
                assert_fields_are(value[name], opened[name])
    else:
        assert value.tobytes() == opened.astype(value.dtype).tobytes()
