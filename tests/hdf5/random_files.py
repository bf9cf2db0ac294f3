"""Random files: layout, index, filters, datatype, missing chunks, masks, resizing; compared with libhdf5.

The test suite runs few of them. Many: `python -m tests.hdf5.random_files --examples 5000 [--seed N]`.
"""

from __future__ import annotations

import argparse
import itertools
import zlib
from dataclasses import dataclass, field
from typing import Any

import h5py
import numpy as np
from h5py import h5d
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st

from refmaker.model import Chunked, Compact, Contiguous
from tests.hdf5.libhdf5 import available, leave_edges_unfiltered
from tests.hdf5.making import LIBVERS, low_level, made, opened
from tests.hdf5.walking import assert_chunks_are, assert_value_is, plain, tree_in_rounds, tree_of

DTYPES = ["<i4", ">i2", "u1", "<f8", ">f4", "S3", "V5", "<c8", [("a", "<i2"), ("b", ">f8")], ("<i2", (2,))]
FILTERS = ["deflate", "shuffle", "fletcher32", "lzf"]


@dataclass
class Plan:
    """What a dataset will be. `direct` maps positions in the grid to the mask that a chunk is written with."""

    dtype: Any
    shape: tuple[int, ...]
    layout: str
    max_shape: tuple[int | None, ...] | None = None
    chunks: tuple[int, ...] | None = None
    filters: tuple[str, ...] = ()
    early: bool = False
    unfiltered_edges: bool = False
    fill: bool = False
    written: tuple[float, ...] = ()
    direct: int | None = None
    resized: tuple[int, ...] | None = None
    attributes: dict[str, Any] = field(default_factory=dict)


@st.composite
def plans(draw: st.DrawFn, libver: str, narrow: bool) -> Plan:
    dtype = draw(st.sampled_from(DTYPES))
    rank = draw(st.integers(0, 4))
    shape = tuple(draw(st.lists(st.integers(0, 9), min_size=rank, max_size=rank)))
    layout = draw(st.sampled_from(["chunked"] * 6 + ["contiguous", "compact"])) if rank else "contiguous"
    plan = Plan(dtype, shape, layout, fill=draw(st.booleans()) and not isinstance(dtype, tuple))
    plan.attributes = draw(
        st.dictionaries(
            st.text("abcäß ./", min_size=1, max_size=9).filter(lambda name: name != "."),
            st.one_of(st.integers(-9, 9), st.text("xyzé", max_size=40), st.lists(st.floats(width=32), max_size=30)),
            max_size=12,
        )
    )
    plan.early = draw(st.booleans()) if layout != "compact" else True
    if layout != "chunked":
        plan.written = (0.0,) if draw(st.booleans()) else ()
        return plan
    limits = [draw(st.sampled_from([n, n + 3] if narrow else [n, n + 3, None])) for n in shape]
    plan.max_shape = tuple(max(n, 1) if n is not None else None for n in limits) if draw(st.booleans()) else None
    if plan.max_shape is None and 0 in shape:
        plan.max_shape = tuple(max(n, 1) for n in shape)
    # Chunks must fit into limited dimensions.
    plan.chunks = tuple(draw(st.integers(1, 5 if n is None else min(n, 5))) for n in plan.max_shape or shape)
    plan.filters = tuple(draw(st.lists(st.sampled_from(FILTERS), max_size=3)))
    plan.unfiltered_edges = bool(plan.filters) and libver in LIBVERS[2:] and available() and draw(st.booleans())
    plan.written = tuple(draw(st.lists(st.floats(0, 0.999), max_size=6)))
    if set(plan.filters) <= {"deflate", "shuffle"} and not plan.unfiltered_edges:
        plan.direct = draw(st.none() | st.integers(0, 3))
    if plan.max_shape is not None and draw(st.integers(0, 3)) == 0:
        plan.resized = tuple(draw(st.integers(0, 12 if limit is None else limit)) for limit in plan.max_shape)
    return plan


@st.composite
def files(draw: st.DrawFn) -> dict[str, Any]:
    libver = draw(st.sampled_from(LIBVERS))
    offsets, lengths = draw(st.sampled_from([(8, 8)] * 4 + [(4, 4), (4, 8), (8, 4)]))
    return {
        "libver": libver,
        "userblock": draw(st.sampled_from([0, 0, 0, 512, 1024])),
        "offsets": offsets,
        "lengths": lengths,
        "plans": draw(st.lists(plans(libver, lengths == 4), min_size=1, max_size=4)),
    }


def _options(plan: Plan) -> Any:
    def set_options(creation: Any) -> None:
        for name in plan.filters:
            {
                "deflate": lambda: creation.set_deflate(3),
                "shuffle": creation.set_shuffle,
                "fletcher32": creation.set_fletcher32,
                "lzf": lambda: creation.set_filter(h5py.h5z.FILTER_LZF, h5py.h5z.FLAG_OPTIONAL),
            }[name]()
        if plan.unfiltered_edges:
            leave_edges_unfiltered(creation)
        if plan.fill:
            creation.set_fill_value(np.frombuffer(b"\7" * np.dtype(plan.dtype).itemsize, plan.dtype)[0:1].reshape(()))

    return set_options


def build(file: h5py.File, plan: Plan, name: str) -> None:
    """Make one dataset."""
    layout = {"chunked": h5d.CHUNKED, "contiguous": h5d.CONTIGUOUS, "compact": h5d.COMPACT}[plan.layout]
    dataset = low_level(
        file,
        name,
        plan.shape,
        np.dtype(plan.dtype),
        max_shape=plan.max_shape,
        chunks=plan.chunks,
        layout=layout,
        early=plan.early,
        options=_options(plan),
    )
    for key, value in plan.attributes.items():
        dataset.attrs[key] = value
    element = np.dtype(plan.dtype)
    if plan.chunks is None:
        if plan.written and dataset.size:
            dataset[...] = np.frombuffer(_noise(dataset.size * element.itemsize), element.base).reshape(
                plan.shape + element.shape
            )
        return
    cells = list(itertools.product(*(range(-(-n // c)) for n, c in zip(plan.shape, plan.chunks, strict=True))))
    for position in {cells[int(f * len(cells))] for f in plan.written if cells}:
        start = tuple(p * c for p, c in zip(position, plan.chunks, strict=True))
        size = int(np.prod(plan.chunks)) * element.itemsize
        if plan.direct is not None:
            dataset.id.write_direct_chunk(start, _stored(_noise(size), plan), _mask(plan))
            continue
        region = tuple(slice(s, min(s + c, n)) for s, c, n in zip(start, plan.chunks, plan.shape, strict=True))
        extents = tuple(r.stop - r.start for r in region)
        noise = _noise(int(np.prod(extents)) * element.itemsize)
        dataset[region] = np.frombuffer(noise, element.base).reshape(extents + element.shape)
    if plan.resized is not None:
        dataset.resize(plan.resized)


def _noise(size: int) -> bytes:
    """Bytes that no fill value is made of, small enough for floats to be numbers."""
    return bytes(1 + i % 5 for i in range(size))


def _mask(plan: Plan) -> int:
    return (plan.direct or 0) & (1 << len(plan.filters)) - 1


def _stored(data: bytes, plan: Plan) -> bytes:
    """Apply the filters that the mask does not skip."""
    for i, name in enumerate(plan.filters):
        if _mask(plan) >> i & 1:
            continue
        if name == "deflate":
            data = zlib.compress(data)
        else:
            size = np.dtype(plan.dtype).itemsize
            whole = len(data) // size * size
            data = np.frombuffer(data[:whole], "u1").reshape(-1, size).T.tobytes() + data[whole:]
    return data


def check(options: dict[str, Any]) -> None:
    """Make a file, walk it both ways, compare it with libhdf5."""
    todo = options["plans"]

    def whole(file: h5py.File) -> None:
        for i, plan in enumerate(todo):
            build(file, plan, f"d{i}")

    data = made(whole, **{k: v for k, v in options.items() if k != "plans"})
    tree = tree_of(data)
    assert plain(tree_in_rounds(data, 8)[0]) == plain(tree)
    assert tree.refusals == {}
    with opened(data) as file:
        assert list(tree.datasets) == [f"/d{i}" for i in range(len(todo))]
        for path, dataset in tree.datasets.items():
            compare(data, dataset, file[path], todo[int(path[2:])])


def compare(data: bytes, dataset: Any, other: h5py.Dataset, plan: Plan) -> None:
    """Compare one dataset."""
    assert dataset.dataspace.shape == other.shape
    assert dataset.dataspace.max_shape == other.maxshape
    assert sorted(dataset.attributes) == sorted(other.attrs)
    assert dataset.notes == []
    for name, attribute in dataset.attributes.items():
        assert_value_is(attribute, other.attrs[name])
    assert dataset.fill.value == (np.asarray(other.fillvalue, plan.dtype).tobytes() if plan.fill else b"")
    storage = dataset.storage
    if isinstance(storage, Chunked):
        assert storage.edge_unfiltered == plan.unfiltered_edges
        assert assert_chunks_are(data, dataset, other) <= other.id.get_num_chunks()
        if plan.resized is None:
            assert len(storage.index) == other.id.get_num_chunks()
    elif isinstance(storage, Contiguous):
        # Not asked for the place of nothing: libhdf5 adds the user block to the undefined address.
        assert storage.offset == (other.id.get_offset() if other.id.get_storage_size() else None)
    else:
        assert isinstance(storage, Compact)
        assert storage.data == np.ascontiguousarray(other[...]).tobytes()


def main() -> None:
    """Run many."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--examples", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    run = given(files())(check)
    many = settings(
        max_examples=arguments.examples, deadline=None, database=None, suppress_health_check=list(HealthCheck)
    )
    seed(arguments.seed)(many(run))()


if __name__ == "__main__":
    main()
