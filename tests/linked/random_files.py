"""Files with virtual datasets made at random, for comparison with libhdf5."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np

__all__ = ["make_virtual", "write_source"]

DTYPES = ("<i4", ">i2", "<f8", "u1", "<u2")


def write_source(rng: np.random.Generator, group: h5py.Group, name: str, shape: tuple[int, ...], dtype: str) -> None:
    """Write a dataset of any storage, some of its chunks missing."""
    options: dict[str, Any] = {}
    kind = rng.integers(6)
    if kind >= 2 and 0 not in shape:
        options["chunks"] = tuple(int(rng.integers(1, n + 1)) for n in shape)
        if kind == 3:
            options |= {"compression": "gzip", "compression_opts": int(rng.integers(1, 9))}
        elif kind == 4:
            options |= {"compression": "gzip", "shuffle": True}
        elif kind == 5:
            options |= {"fletcher32": True}
    if rng.random() < 0.4:
        options["fillvalue"] = 7
    values = rng.integers(0, 100, shape).astype(dtype)
    if kind >= 2 and rng.random() < 0.3 and shape and shape[0] > 1:
        dataset = group.create_dataset(name, shape, dtype, **options)
        dataset[: shape[0] // 2] = values[: shape[0] // 2]
    else:
        group.create_dataset(name, data=values, **options)


def make_virtual(rng: np.random.Generator, folder: Path) -> tuple[Path, str]:
    """Write a file with one virtual dataset, and its sources; give the file and how it was made."""
    kinds = ("stack", "rows", "tiles", "strided", "gaps", "fancy", "reshaped", "growing", "numbered")
    kind = str(rng.choice(kinds))
    path = folder / "v.h5"
    dtype = str(rng.choice(DTYPES))
    fill = int(rng.integers(0, 9))
    with h5py.File(path, "w", libver=str(rng.choice(["earliest", "latest"]))) as file:
        globals()[f"_{kind}"](rng, folder, file, dtype, fill)
    return path, kind


def _place(rng: np.random.Generator, folder: Path, file: h5py.File, number: int) -> tuple[str, h5py.Group, Any]:
    """Choose a file for a source: another one, or the file itself."""
    if rng.random() < 0.2:
        return ".", file, None
    name = f"s{number}.h5"
    opened = h5py.File(folder / name, "w", userblock_size=int(rng.choice([0, 512])))
    return name, opened, opened


def _source(
    rng: np.random.Generator, folder: Path, file: h5py.File, number: int, shape: tuple[int, ...], dtype: str
) -> h5py.VirtualSource:
    if rng.random() < 0.1:
        return h5py.VirtualSource(folder / f"none{number}.h5", "a", shape)
    name, group, opened = _place(rng, folder, file, number)
    write_source(rng, group, f"a{number}", shape, dtype)
    if opened is not None:
        opened.close()
    return h5py.VirtualSource(name, f"a{number}", shape)


def _shape(rng: np.random.Generator, rank: int) -> tuple[int, ...]:
    return tuple(int(n) for n in rng.integers(1, 9, rank))


def _create(file: h5py.File, layout: h5py.VirtualLayout, fill: int) -> None:
    file.create_virtual_dataset("v", layout, fillvalue=fill)


def _stack(rng: np.random.Generator, folder: Path, file: h5py.File, dtype: str, fill: int) -> None:
    shape, n = _shape(rng, int(rng.integers(1, 3))), int(rng.integers(1, 5))
    layout = h5py.VirtualLayout((n, *shape), dtype)
    for k in range(n):
        layout[k] = _source(rng, folder, file, k, shape, dtype)
    _create(file, layout, fill)


def _rows(rng: np.random.Generator, folder: Path, file: h5py.File, dtype: str, fill: int) -> None:
    rest, n = _shape(rng, int(rng.integers(0, 3))), int(rng.integers(1, 5))
    rows = [int(rng.integers(1, 9)) for _ in range(n)] if rng.random() < 0.5 else [int(rng.integers(1, 9))] * n
    layout = h5py.VirtualLayout((sum(rows) + int(rng.integers(0, 4)), *rest), dtype)
    at = 0
    for k, length in enumerate(rows):
        layout[at : at + length] = _source(rng, folder, file, k, (length, *rest), dtype)
        at += length
    _create(file, layout, fill)


def _tiles(rng: np.random.Generator, folder: Path, file: h5py.File, dtype: str, fill: int) -> None:
    tile, grid = _shape(rng, 2), rng.integers(1, 4, 2)
    layout = h5py.VirtualLayout(tuple((tile * grid).tolist()), dtype)
    for i in range(grid[0]):
        for j in range(grid[1]):
            source = _source(rng, folder, file, int(i * grid[1] + j), tile, dtype)
            layout[i * tile[0] : (i + 1) * tile[0], j * tile[1] : (j + 1) * tile[1]] = source
    _create(file, layout, fill)


def _strided(rng: np.random.Generator, folder: Path, file: h5py.File, dtype: str, fill: int) -> None:
    n, rows, rest = int(rng.integers(1, 5)), int(rng.integers(1, 7)), _shape(rng, int(rng.integers(0, 2)))
    layout = h5py.VirtualLayout((n * rows, *rest), dtype)
    for k in range(n):
        layout[k::n] = _source(rng, folder, file, k, (rows, *rest), dtype)
    _create(file, layout, fill)


def _gaps(rng: np.random.Generator, folder: Path, file: h5py.File, dtype: str, fill: int) -> None:
    """Parts of sources in parts of the virtual dataset."""
    n, length = int(rng.integers(1, 4)), 12
    layout = h5py.VirtualLayout((n * length, 10), dtype)
    for k in range(n):
        source = _source(rng, folder, file, k, (int(rng.integers(8, 20)), int(rng.integers(6, 12))), dtype)
        rows, columns = int(rng.integers(1, 9)), int(rng.integers(1, 7))
        r, c = int(rng.integers(0, length - rows)), int(rng.integers(0, 10 - columns))
        sr, sc = (int(rng.integers(0, extent - m + 1)) for extent, m in zip(source.shape, (rows, columns), strict=True))
        at = k * length + r
        layout[at : at + rows, c : c + columns] = source[sr : sr + rows, sc : sc + columns]
    _create(file, layout, fill)


def _fancy(rng: np.random.Generator, folder: Path, file: h5py.File, dtype: str, fill: int) -> None:
    layout = h5py.VirtualLayout((20, 6), dtype)
    source = _source(rng, folder, file, 0, (9, 6), dtype)
    chosen = np.sort(rng.choice(20, 9, replace=False)).tolist()
    layout[chosen] = source
    _create(file, layout, fill)


def _space(shape: tuple[int, ...], limits: tuple[int | None, ...] | None = None) -> h5py.h5s.SpaceID:
    maximum = None if limits is None else tuple(h5py.h5s.UNLIMITED if n is None else n for n in limits)
    return h5py.h5s.create_simple(shape, maximum)


def _low_level(
    file: h5py.File,
    shape: tuple[int, ...],
    limits: tuple[int | None, ...],
    dtype: str,
    fill: int,
    mappings: list[tuple[h5py.h5s.SpaceID, str, str, h5py.h5s.SpaceID]],
) -> None:
    plist = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    plist.set_fill_value(np.array(fill, dtype))
    for virtual, name, dataset, own in mappings:
        plist.set_virtual(virtual, name.encode(), dataset.encode(), own)
    h5py.h5d.create(file.id, b"v", h5py.h5t.py_create(np.dtype(dtype)), _space(shape, limits), plist)


def _reshaped(rng: np.random.Generator, folder: Path, file: h5py.File, dtype: str, fill: int) -> None:
    """Irregular selections, and ones whose shapes differ."""
    name, group, opened = _place(rng, folder, file, 0)
    write_source(rng, group, "a", (4, 6), dtype)
    if opened is not None:
        opened.close()
    virtual, own = _space((30, 3)), _space((4, 6))
    if rng.random() < 0.5:
        virtual.select_hyperslab((int(rng.integers(0, 20)), 0), (8, 3))
        own.select_all()
    else:
        for space, at in ((virtual, ((0, 0), (5, 1), (21, 2))), (own, ((0, 0), (1, 1), (3, 3)))):
            for n, start in enumerate(at):
                operation = h5py.h5s.SELECT_SET if n == 0 else h5py.h5s.SELECT_OR
                count = (1, 1)
                space.select_hyperslab(start, count, op=operation)
    _low_level(file, (30, 3), (30, 3), dtype, fill, [(virtual, name, "a", own)])


def _growing(rng: np.random.Generator, folder: Path, file: h5py.File, dtype: str, fill: int) -> None:
    """Unlimited selections: side by side, or taking turns."""
    unlimited, n, width = h5py.h5s.UNLIMITED, int(rng.integers(1, 4)), int(rng.integers(1, 5))
    turns = bool(rng.random() < 0.5)
    block = int(rng.integers(1, 3))
    mappings = []
    for k in range(n):
        rows = int(rng.integers(0, 9))
        if rng.random() < 0.9:
            with h5py.File(folder / f"g{k}.h5", "w") as source:
                chunks = (int(rng.integers(1, 4)), width)
                compression = str(rng.choice(["gzip", ""])) or None
                dataset = source.create_dataset(
                    "a", (rows, width), dtype, maxshape=(None, width), chunks=chunks, compression=compression
                )
                dataset[...] = rng.integers(0, 100, (rows, width))
        columns = width if turns else n * width
        virtual, own = _space((0, columns), (None, columns)), _space((0, width), (None, width))
        if turns:
            virtual.select_hyperslab((k * block, 0), (unlimited, 1), (n * block, 1), (block, width))
        else:
            virtual.select_hyperslab((0, k * width), (1, 1), block=(unlimited, width))
        own.select_hyperslab((0, 0), (1, 1), block=(unlimited, width))
        mappings.append((virtual, f"g{k}.h5", "a", own))
    columns = width if turns else n * width
    _low_level(file, (0, columns), (None, columns), dtype, fill, mappings)


def _numbered(rng: np.random.Generator, folder: Path, file: h5py.File, dtype: str, fill: int) -> None:
    """Sources by number, in files or in one, up to the first missing."""
    n, rows, in_files = int(rng.integers(0, 5)), int(rng.integers(1, 4)), bool(rng.random() < 0.5)
    stride = rows + int(rng.integers(0, 2))
    if not in_files:
        with h5py.File(folder / "all%.h5", "w") as source:
            for k in range(n):
                write_source(rng, source, f"d{k}", (rows, 5), dtype)
    for k in [*range(n), n + 1] if in_files else []:
        with h5py.File(folder / f"b{k}.h5", "w") as source:
            write_source(rng, source, "a", (rows, 5), dtype)
    virtual, own = _space((0, 5), (None, 5)), _space((rows, 5))
    virtual.select_hyperslab((0, 0), (h5py.h5s.UNLIMITED, 1), (stride, 1), (rows, 5))
    own.select_all()
    name, dataset = ("b%b.h5", "a") if in_files else ("all%%.h5", "d%b")
    _low_level(file, (0, 5), (None, 5), dtype, fill, [(virtual, name, dataset, own)])
