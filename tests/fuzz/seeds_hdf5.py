"""Small HDF5 files that between them hold every structure that the walker reads."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import h5py
import numpy as np
from h5py import h5p, h5s, h5t

from tests.hdf5.libhdf5 import available, set_sym_k, share_messages
from tests.hdf5.making import filled, low_level, made

Build = Callable[[h5py.File], None]


def groups(file: h5py.File) -> None:
    for i in range(12):
        file.create_group(f"g{i}/sub")
    file["g1/soft"] = h5py.SoftLink("/g2")
    file["g1/far"] = h5py.ExternalLink("other.h5", "/x")
    file["g1/loop"] = file["g1"]
    file["g2/chain"] = h5py.SoftLink("../g1/soft")


def ordered_groups(file: h5py.File) -> None:
    group = file.create_group("g", track_order=True)
    for i in range(40):
        group[f"a name of some length {i}"] = h5py.SoftLink("/g")


def attributes(file: h5py.File) -> None:
    for i in range(14):
        file.attrs[f"a{i}"] = np.arange(i)
    file.attrs["text"] = "text"
    file.attrs["texts"] = ["a", "bb", ""]
    file.attrs.create(
        "ragged", np.array([np.arange(3), np.arange(2)], object), dtype=h5py.vlen_dtype("<i4"), shape=(2,)
    )
    file.attrs["flag"] = True
    file.attrs["here"] = file.ref
    file["x"] = np.zeros(3, [("a", "<i4"), ("b", "S3"), ("c", "<f8", (2, 2))])
    if file.libver[0] != "earliest":
        file["x"].attrs["large"] = np.arange(9000, dtype="<f8")
    file["x"].attrs["null"] = h5py.Empty("<f4")


def few_attributes(file: h5py.File) -> None:
    file["x"] = np.arange(3)
    for size in (1, 40, 2):
        file["x"].attrs[f"a{size}"] = np.arange(size)
    file["x"].attrs["texts"] = ["a", "bb", ""]


def strings(file: h5py.File) -> None:
    file.create_dataset("text", (5, 3), h5py.string_dtype(), chunks=(2, 2), compression="gzip")[0, 1] = "something"
    file.create_dataset("plain", (3,), h5py.string_dtype())[...] = ["a", "b", "c"]
    file.create_dataset("ragged", (3,), h5py.vlen_dtype("<i2"), chunks=(2,), shuffle=True)[1] = [1, 2]
    file.create_dataset("fill", (3,), h5py.string_dtype(), chunks=(2,), fillvalue="nothing")[2] = "x"
    row = np.dtype([("name", h5py.string_dtype()), ("n", "<i4"), ("of", h5py.ref_dtype), ("m", "<f8", (2,))])
    rows = file.create_dataset("rows", (3,), row, chunks=(2,))
    rows[0] = np.array([("first", 1, file["plain"].ref, (1.5, 2.5))], row)[0]


def kinds(file: h5py.File) -> None:
    file["kind"] = np.dtype([("a", "<i4"), ("b", [("c", "<f8"), ("d", "S5", (2,))])])
    file.create_dataset("x", (3,), file["kind"])
    file["x"].attrs.create("a", np.ones(1, file["kind"].dtype), dtype=file["kind"])
    file.create_dataset("e", (3,), h5py.enum_dtype({"A": 1, "B": 2}, basetype=">i2"), fillvalue=2)
    file.create_dataset("o", (3,), h5t.special_dtype(ref=h5py.Reference))
    file.create_dataset("t", (3,), "V7")
    filled(low_level(file, "c", (7,), layout=h5py.h5d.COMPACT))
    low_level(file, "s", (3,), options=lambda p: p.set_external(b"raw.bin", 0, 12))
    file["n"] = h5py.Empty("<i4")
    nested = h5t.array_create(h5t.array_create(h5t.STD_I16BE, (3,)), (2,))
    h5py.h5a.create(low_level(file, "a", (2,), nested, early=True).id, b"nested", nested, h5s.create_simple((2,)))


def chunks(file: h5py.File) -> None:
    options = {"gzip": lambda p: p.set_deflate(1), "plain": None}
    for name, option in options.items():
        for limits in ((20, 20), (None, 20), (20, None), (None, None)):
            dataset = low_level(
                file, f"{name}{limits}", (10, 9), "<u2", max_shape=limits, chunks=(2, 3), options=option
            )
            filled(dataset)
        filled(low_level(file, f"{name} single", (4,), chunks=(4,), options=option))
    filled(low_level(file, "implicit", (4,), chunks=(2,), early=True))


def long_fixed_array(file: h5py.File) -> None:
    dataset = low_level(file, "x", (3000,), "u1", chunks=(1,))
    dataset[100], dataset[2100] = 1, 2


def long_extensible_array(file: h5py.File) -> None:
    filled(low_level(file, "x", (400,), "u1", max_shape=(None,), chunks=(1,)))


def paged_extensible_array(file: h5py.File) -> None:
    dataset = low_level(file, "x", (200_001,), "u1", max_shape=(None,), chunks=(1,))
    dataset[140_000], dataset[200_000] = 1, 2


def tall_btree(file: h5py.File) -> None:
    filled(low_level(file, "x", (60, 8), "u1", max_shape=(None, None), chunks=(1, 1)))


def virtual(file: h5py.File) -> None:
    layout = h5py.VirtualLayout((4, 3), "<i4")
    for i in range(4):
        layout[i] = h5py.VirtualSource(f"other{i}.h5", "x", (3,))
    file.create_virtual_dataset("v", layout)


def shared(file: h5py.File) -> None:
    for i in range(9):
        dataset = file.create_dataset(f"d{i}", (10, 20 + i % 2), "<i4", chunks=(4, 5), compression="gzip", fillvalue=7)
        dataset.attrs["units"] = np.bytes_(b"metres per second, or so")
        dataset.attrs["range"] = np.arange(30)


def times(file: h5py.File) -> None:
    creation = h5p.create(h5p.DATASET_CREATE)
    creation.set_obj_track_times(True)
    creation.set_attr_phase_change(3, 1)
    creation.set_attr_creation_order(h5p.CRT_ORDER_TRACKED | h5p.CRT_ORDER_INDEXED)
    h5py.h5d.create(file.id, b"x", h5t.STD_I32LE, h5s.create_simple((3,)), creation)
    for i in range(6):
        file["x"].attrs[f"a{9 - i}"] = i


def seeds() -> Iterator[tuple[str, bytes]]:
    """Yield names and files."""
    for build in (groups, ordered_groups, attributes, few_attributes, strings, kinds, chunks):
        for libver in ("earliest", "v108", "v110", "latest"):
            yield f"{build.__name__} {libver}", made(build, libver=libver)
    for build in (long_fixed_array, long_extensible_array, paged_extensible_array, tall_btree, virtual, times):
        yield build.__name__, made(build, libver="v110")
    yield "user block", made(groups, userblock=512)
    yield "user block, strings", made(strings, libver="latest", userblock=1024)
    yield "narrow", made(groups, offsets=4, lengths=4)
    yield "narrow, chunks", made(few_attributes, offsets=4, lengths=8)
    yield "narrow, new", made(strings, libver="latest", offsets=4, lengths=4)
    yield "free space", made(chunks, libver="v110", fcpl=lambda p: p.set_file_space_strategy(1, True, 1))
    if not available():
        return
    yield "small nodes", made(groups, fcpl=lambda p: set_sym_k(p, 2, 1))
    for list_max in (0, 50):
        share = [(0x1F, 10)]
        data = made(
            shared, fcpl=lambda p, s=share, n=list_max: share_messages(p, *s, list_max=n, list_min=max(n - 10, 0))
        )
        yield f"shared messages {list_max}", data
