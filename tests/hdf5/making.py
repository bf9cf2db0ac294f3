"""HDF5 files for tests, made in memory by libhdf5 through h5py."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import h5py
import numpy as np
from h5py import h5d, h5f, h5p, h5s, h5t

LIBVERS = ("earliest", "v108", "v110", "v112", "v114", "latest")
_BOUNDS = {
    "earliest": h5f.LIBVER_EARLIEST,
    "v108": h5f.LIBVER_V18,
    "v110": h5f.LIBVER_V110,
    "v112": h5f.LIBVER_V112,
    "v114": h5f.LIBVER_V114,
    "latest": h5f.LIBVER_LATEST,
}


def made(
    build: Callable[[h5py.File], Any],
    *,
    libver: str = "earliest",
    userblock: int = 0,
    offsets: int = 8,
    lengths: int = 8,
    fcpl: Callable[[h5p.PropFCID], Any] | None = None,
) -> bytes:
    """Return the bytes of a file in which `build` put something.

    `fcpl` sets further file creation properties. The lower bound of versions is `libver`, the upper one the same, but
    for "earliest", which lets the library take what it needs.
    """
    creation = h5p.create(h5p.FILE_CREATE)
    creation.set_userblock(userblock)
    creation.set_sizes(offsets, lengths)
    if fcpl is not None:
        fcpl(creation)
    access = h5p.create(h5p.FILE_ACCESS)
    access.set_fapl_core(1 << 16, False)
    access.set_libver_bounds(_BOUNDS[libver], _BOUNDS["latest" if libver == "earliest" else libver])
    access.set_fclose_degree(h5f.CLOSE_STRONG)
    identifier = h5f.create(b"made.h5", h5f.ACC_TRUNC, creation, access)
    with h5py.File(identifier) as file:
        build(file)
        file.flush()
        # libhdf5 leaves the user block out of an image.
        return b"user"[: min(userblock, 4)].ljust(userblock, b".") + file.id.get_file_image()


@contextmanager
def opened(data: bytes) -> Iterator[h5py.File]:
    """Open bytes with h5py."""
    access = h5p.create(h5p.FILE_ACCESS)
    access.set_fapl_core(1 << 16, False)
    access.set_file_image(data)
    with h5py.File(h5f.open(b"image.h5", h5f.ACC_RDONLY, access)) as file:
        yield file


def low_level(
    parent: h5py.Group,
    name: str,
    shape: tuple[int, ...],
    dtype: Any = "<i4",
    *,
    max_shape: tuple[int | None, ...] | None = None,
    chunks: tuple[int, ...] | None = None,
    layout: int | None = None,
    early: bool = False,
    options: Callable[[h5p.PropDCID], Any] | None = None,
) -> h5py.Dataset:
    """Create a dataset by its property list. `options` sets filters and whatever else."""
    creation = h5p.create(h5p.DATASET_CREATE)
    if layout is not None:
        creation.set_layout(layout)
    if chunks is not None:
        creation.set_chunk(chunks)
    if early:
        creation.set_alloc_time(h5d.ALLOC_TIME_EARLY)
    if options is not None:
        options(creation)
    datatype = dtype if isinstance(dtype, h5t.TypeID) else h5t.py_create(np.dtype(dtype), logical=True)
    limits = None if max_shape is None else tuple(h5s.UNLIMITED if n is None else n for n in max_shape)
    space = h5s.create_simple(shape, limits)
    return h5py.Dataset(h5d.create(parent.id, name.encode("utf-8", "surrogateescape"), datatype, space, creation))


def filled(dataset: h5py.Dataset) -> None:
    """Write numbers from 1 on."""
    dataset[...] = np.arange(1, dataset.size + 1).reshape(dataset.shape).astype(dataset.dtype)
