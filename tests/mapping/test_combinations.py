"""Every chunk index × pipeline × datatype × byte order, whole, with missing chunks, with masks, with plain edges.

The values come from h5py, the answers from stock zarr through the manifest. `python -m tests.covered` prints what comes
together here and in the other tests.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from h5py import h5p, h5z

from refmaker.scanning.scan import scan
from tests.hdf5.libhdf5 import available, leave_edges_unfiltered
from tests.hdf5.making import low_level, made
from tests.mapping.stock import open_group

SHAPE, CHUNKS = (5, 7), (2, 3)
UNLIMITED: dict[str, tuple[int | None, ...] | None] = {
    "B-tree v1": (None, 7),
    "single chunk": None,
    "implicit": None,
    "fixed array": None,
    "extensible array": (5, None),
    "B-tree v2": (None, None),
}
FILES = [("earliest", "B-tree v1"), *itertools.product(("v110", "latest"), [*UNLIMITED][1:])]

PIPELINES: dict[str, Callable[[h5p.PropDCID], Any]] = {
    "plain": lambda c: None,
    "deflate": lambda c: c.set_deflate(4),
    "shuffle": lambda c: c.set_shuffle(),
    "shuffle_deflate": lambda c: (c.set_shuffle(), c.set_deflate(4)),
    "fletcher32": lambda c: c.set_fletcher32(),
    "deflate_fletcher32": lambda c: (c.set_deflate(4), c.set_fletcher32()),
    "lzf": lambda c: c.set_filter(h5z.FILTER_LZF, h5z.FLAG_OPTIONAL),
    "szip": lambda c: c.set_szip(h5z.SZIP_NN_OPTION_MASK, 2),
    "nbit": lambda c: c.set_filter(h5z.FILTER_NBIT),
    "scaleoffset": lambda c: c.set_scaleoffset(h5z.SO_INT, 0),
}
FILTERS = {name: 0 if name == "plain" else name.count("_") + 1 for name in PIPELINES}

DTYPES: dict[str, Any] = {
    "i4": "<i4",
    "i2_big": ">i2",
    "u1": "u1",
    "f8": "<f8",
    "f4_big": ">f4",
    "f2_big": ">f2",
    "text": "S3",
    "opaque": "V5",
    "truth": "?",
    "complex": ">c8",
    "enumeration": h5py.enum_dtype({"A": 0, "B": 1, "C": 2}, ">i2"),
    "compound": [("a", "<i2"), ("b", ">f8")],
    "array": (">i2", (2,)),
}
# libhdf5 itself applies these to numbers only.
NUMBERS = {"szip": "iuf", "nbit": "iuf", "scaleoffset": "iu"}

STATES = ("whole", "missing", "masked", "edges")


def values(dtype: np.dtype[Any], shape: tuple[int, ...]) -> np.ndarray:
    """Return values that every dtype here holds."""
    if dtype.subdtype is not None:
        base, axes = dtype.subdtype
        return values(base, shape + axes)
    counted = np.arange(int(np.prod(shape))).reshape(shape) % 3
    if dtype.names is not None:
        whole = np.zeros(shape, dtype)
        for name in dtype.names:
            whole[name] = counted
        return whole
    return counted.astype("S3").astype(dtype) if dtype.kind == "V" else counted.astype(dtype)


def possible(index: str, pipeline: str, dtype: np.dtype[Any], state: str) -> bool:
    """Return whether libhdf5 makes such a dataset."""
    if index == "implicit":
        return pipeline == "plain" and state == "whole"
    if dtype.base.kind not in NUMBERS.get(pipeline, "iufcSVb"):
        return False
    if pipeline in NUMBERS and (h5py.check_enum_dtype(dtype) is not None or dtype.subdtype is not None):
        return False
    if index == "single chunk" and state == "edges":
        return False
    return state not in ("masked", "edges") or bool(FILTERS[pipeline])


def build(file: h5py.File, index: str, pipeline: str, kind: str, state: str) -> None:
    """Make one dataset."""
    dtype = np.dtype(DTYPES[kind])
    chunks = SHAPE if index == "single chunk" else CHUNKS

    def options(creation: h5p.PropDCID) -> None:
        PIPELINES[pipeline](creation)
        if state == "edges":
            leave_edges_unfiltered(creation)

    dataset = low_level(
        file,
        f"{pipeline}-{kind}-{state}",
        SHAPE,
        dtype,
        max_shape=UNLIMITED[index],
        chunks=chunks,
        early=index == "implicit",
        options=options,
    )
    data = values(dtype, SHAPE)
    if state != "missing":
        dataset[...] = data
    elif index != "single chunk":
        dataset[:2, 3:6] = data[:2, 3:6]
    if state == "masked":
        mask = (1 << FILTERS[pipeline]) - 1
        raw = data if chunks == SHAPE else data[:2, :3]
        dataset.id.write_direct_chunk((0, 0), np.ascontiguousarray(raw).tobytes(), mask)


def combinations(index: str) -> list[tuple[str, str, str]]:
    product = itertools.product(PIPELINES, DTYPES, STATES)
    return [c for c in product if possible(index, c[0], np.dtype(DTYPES[c[1]]), c[2])]


@pytest.mark.filterwarnings("ignore::zarr.errors.ZarrUserWarning")
@pytest.mark.parametrize(
    ("libver", "index", "portable"),
    [(*file, portable) for file in FILES for portable in (False, True) if not portable or file[0] != "v110"],
)
def test_all(tmp_path: Path, libver: str, index: str, portable: bool) -> None:
    if not available():
        pytest.skip("h5py does not bring a libhdf5 of its own")
    if not h5z.filter_avail(h5z.FILTER_SZIP):
        pytest.skip("libhdf5 without szip")
    wanted = [c for c in combinations(index) if libver != "earliest" or c[2] != "edges"]
    path = tmp_path / "a.h5"

    def fill(file: h5py.File) -> None:
        for pipeline, kind, state in wanted:
            build(file, index, pipeline, kind, state)

    path.write_bytes(made(fill, libver=libver))
    manifest = scan(str(path), portable=portable)
    assert manifest.refusals == {}
    assert len(manifest.arrays) == len(wanted)
    assert portable <= (not any(line.codecs_need_refmaker for line in manifest.objects))
    group = open_group(manifest, tmp_path)
    with h5py.File(path) as file:
        for pipeline, kind, state in wanted:
            name = f"{pipeline}-{kind}-{state}"
            expected, got = file[name][...], group[name][...]
            assert got.dtype.newbyteorder("=") == np.asarray(expected).dtype.newbyteorder("="), name
            assert got.tobytes() == expected.astype(got.dtype).tobytes(), name
