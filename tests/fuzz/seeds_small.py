"""Many small HDF5 files, each of one structure or two, for mutations that are to hit what matters.

Contract: `small_seeds` gives names and bytes; everything that libhdf5 writes of layouts, chunk indexes, filters,
datatypes, groups, attributes, fill values and shared messages stands in one of them.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Iterator
from itertools import product
from typing import Any

import h5py
import numpy as np
from h5py import h5d, h5p, h5s, h5t

from tests.hdf5.libhdf5 import available, call, set_sym_k, share_messages
from tests.hdf5.making import filled, low_level, made

__all__ = ["RAW", "small_seeds"]

RAW = "raw.bin"
"""The file beside the seeds that external storage is in: 64 bytes."""

Build = Callable[[h5py.File], Any]


def _chunked(limits: tuple[int | None, ...], filters: str, **options: Any) -> Build:
    shape = tuple(7 + i for i in range(len(limits)))
    chunks = options.pop("chunks", (3, 4)[: len(limits)])
    limits = tuple(None if limit is None else extent + 3 for limit, extent in zip(limits, shape, strict=True))

    def build(file: h5py.File) -> None:
        dataset = low_level(
            file, "x", shape, "<i2", max_shape=limits, chunks=chunks, options=_FILTERS[filters], **options
        )
        filled(dataset)

    return build


def _sparse(file: h5py.File) -> None:
    dataset = low_level(file, "x", (40,), "<u2", max_shape=(None,), chunks=(2,), options=lambda p: p.set_deflate(1))
    dataset[4:6], dataset[33:35] = 7, 9
    dataset.id.write_direct_chunk((10,), b"\1\0\2\0", filter_mask=1)


def _deflate_shuffle(creation: Any) -> None:
    creation.set_shuffle()
    creation.set_deflate(1)


def _fletcher(creation: Any) -> None:
    creation.set_deflate(1)
    creation.set_fletcher32()


_FILTERS: dict[str, Callable[[Any], Any] | None] = {
    "": None,
    "deflate": lambda p: p.set_deflate(1),
    "shuffled": _deflate_shuffle,
    "fletcher": _fletcher,
    "szip": lambda p: p.set_szip(32, 8),
    "nbit": lambda p: p.set_filter(5, 0, ()),
    "scaleoffset": lambda p: p.set_scaleoffset(h5py.h5z.SO_INT, 0),
    "lzf": lambda p: p.set_filter(32000, 1, ()),
}
_LIMITS = {
    "fixed": (0, 0),
    "extensible": (None, 0),
    "extensible last": (0, None),
    "btree": (None, None),
    "line": (None,),
}


def _narrow_integer() -> h5t.TypeID:
    kind = h5t.STD_U32LE.copy()
    kind.set_precision(17)
    kind.set_offset(5)
    return kind


_TYPES: dict[str, Any] = {
    "i1": "i1",
    "u8": ">u8",
    "f2": "<f2",
    "f8": ">f8",
    "c8": "<c8",
    "bool": "?",
    "text": "S5",
    "wide text": h5py.string_dtype("utf-8", 6),
    "raw": "V3",
    "enum": h5py.enum_dtype({"A": 1, "B": -2}, basetype="<i2"),
    "compound": np.dtype([("a", "<i2"), ("b", ">f4"), ("c", "S3")]),
    "nested": np.dtype([("a", "<i2"), ("b", [("c", "<f4"), ("d", "u1", (2,))])]),
    "array": np.dtype(("<i2", (2, 3))),
    "narrow": _narrow_integer,
    "bits": lambda: h5t.STD_B16LE,
    "gaps": lambda: h5t.py_create(
        np.dtype({"names": ["a", "b"], "formats": ["<i2", "<i4"], "offsets": [2, 8], "itemsize": 16})
    ),
}


def _typed(kind: Any, chunked: bool) -> Build:
    def build(file: h5py.File) -> None:
        own = (
            kind() if callable(kind) else h5t.py_create(np.dtype(kind) if isinstance(kind, str) else kind, logical=True)
        )
        dataset = low_level(file, "x", (5,), own, chunks=(2,) if chunked else None, early=not chunked)
        size = own.get_size()
        raw = np.frombuffer(bytes((7 * i + 1) % 251 for i in range(5 * size)), f"V{size}")
        dataset.id.write(h5s.ALL, h5s.ALL, np.ascontiguousarray(raw), own)

    return build


def _compact(file: h5py.File) -> None:
    filled(low_level(file, "c", (3, 4), "<i4", layout=h5d.COMPACT))


def _filled_but_empty(file: h5py.File) -> None:
    file.create_dataset("late", (6,), "<f4", fillvalue=2.5)
    file.create_dataset("chunked", (6,), ">i4", chunks=(4,), fillvalue=-3)[0] = 1


def _texts(file: h5py.File) -> None:
    file.create_dataset("t", (4,), h5py.string_dtype(), chunks=(3,))[...] = ["a", "some more", "", "ü"]


def _texts_in_one(file: h5py.File) -> None:
    file["t"] = np.array(["one", "two", ""], object)


def _sequences(file: h5py.File) -> None:
    dataset = file.create_dataset("s", (3,), h5py.vlen_dtype("<i2"))
    dataset[0], dataset[2] = [1, 2, 3], [9]


def _references(file: h5py.File) -> None:
    file["g/y"] = np.arange(4)
    dataset = file.create_dataset("r", (2,), h5py.ref_dtype)
    dataset[0] = file["g/y"].ref
    file.create_dataset("region", (1,), h5py.regionref_dtype)[0] = file["g/y"].regionref[1:3]


def _linked(file: h5py.File) -> None:
    file["a/x"] = np.arange(3)
    file["b"] = h5py.SoftLink("/a/x")
    file["a/loop"] = file["a"]
    file["far"] = h5py.ExternalLink("nowhere.h5", "/x")


def _many_links(file: h5py.File) -> None:
    group = file.create_group("g", track_order=True)
    for i in range(12):
        group[f"link number {i}"] = np.int16(i)


def _filtered_heap(file: h5py.File) -> None:
    creation = h5p.create(h5p.GROUP_CREATE)
    call("H5Pset_link_phase_change", ctypes.c_int64, ctypes.c_uint, ctypes.c_uint)(creation.id, 0, 0)
    call("H5Pset_deflate", ctypes.c_int64, ctypes.c_uint)(creation.id, 1)
    h5py.h5g.create(file.id, b"g", gcpl=creation)
    for i in range(10):
        file[f"g/name {i}"] = np.int16(i)


def _dense_attributes(file: h5py.File) -> None:
    file["x"] = np.arange(3)
    for i in range(10):
        file["x"].attrs[f"a{i}"] = np.arange(i + 1)
    file["x"].attrs["text"] = "something"


def _attributes(file: h5py.File) -> None:
    file["x"] = np.arange(3)
    file["x"].attrs["units"] = "m"
    file["x"].attrs["range"] = np.array([0, 9], "<i2")
    file["x"].attrs["row"] = np.array([(1, 2.0)], [("a", "<i2"), ("b", "<f4")])
    file["x"].attrs["_FillValue"] = np.int64(-1)


def _dimensions(file: h5py.File) -> None:
    for name, size in (("t", 4), ("y", 3)):
        file.create_dataset(name, (size,), "<f4", maxshape=(None,), chunks=(2,))[...] = np.arange(size)
        file[name].make_scale(name)
    data = file.create_dataset("v", (3, 3), "<i4", maxshape=(None, 3), chunks=(2, 3))
    data[...] = np.arange(9).reshape(3, 3)
    data.dims[0].attach_scale(file["t"])
    data.dims[1].attach_scale(file["y"])


def _virtual(file: h5py.File) -> None:
    for i in range(3):
        file[f"s{i}"] = np.arange(4, dtype="<i4") + 10 * i
    layout = h5py.VirtualLayout((3, 5), "<i4")
    for i in range(3):
        layout[i, :4] = h5py.VirtualSource(".", f"s{i}", (4,))
    file.create_virtual_dataset("v", layout, fillvalue=-1)


def _virtual_blocks(file: h5py.File) -> None:
    file["s"] = np.arange(24, dtype="<i2").reshape(4, 6)
    layout = h5py.VirtualLayout((6, 4), "<i2")
    layout[:3, 0:4:2] = h5py.VirtualSource(file["s"])[1:4, 0:4:2]
    layout[3:, :] = h5py.VirtualSource(".", "s", (4, 6))[:3, 2:]
    file.create_virtual_dataset("v", layout, fillvalue=7)


def _external(file: h5py.File) -> None:
    def options(creation: Any) -> None:
        creation.set_external(RAW.encode(), 4, 12)
        creation.set_external(RAW.encode(), 32, 12)

    low_level(file, "e", (6,), "<i4", options=options)


def _named_type(file: h5py.File) -> None:
    file["kind"] = np.dtype([("a", "<i2"), ("b", "<f4")])
    file.create_dataset("x", (3,), file["kind"])[0] = (3, 1.5)
    file["x"].attrs.create("a", np.ones(1, file["kind"].dtype), dtype=file["kind"])


def _long_header(file: h5py.File) -> None:
    file["x"] = np.arange(4)
    file["x"].attrs["first"] = "a" * 60
    file["y"] = np.arange(2)
    for i in range(6):
        file["x"].attrs[f"more {i}"] = np.arange(6) + i


def _shared(file: h5py.File) -> None:
    for i in range(5):
        dataset = file.create_dataset(f"d{i}", (5,), "<i4", chunks=(4,), compression="gzip", fillvalue=7)
        dataset[...] = i
        dataset.attrs["units"] = np.bytes_(b"metres per second, or so")


def _long(count: int, limit: int | None, chunk: int = 1) -> Build:
    def build(file: h5py.File) -> None:
        filled(low_level(file, "x", (count,), "u1", max_shape=(limit,), chunks=(chunk,)))

    return build


def _rows(file: h5py.File) -> None:
    filled(low_level(file, "x", (12, 9), "u1", max_shape=(None, None), chunks=(1, 1)))


def _rest(libver: str) -> Iterator[tuple[str, Build]]:
    for build in (
        _sparse,
        _compact,
        _filled_but_empty,
        _texts,
        _texts_in_one,
        _sequences,
        _references,
        _linked,
        _many_links,
        _dense_attributes,
        _attributes,
        _dimensions,
        _external,
        _named_type,
        _long_header,
    ):
        yield build.__name__.strip("_"), build
    if libver not in ("earliest", "v108"):
        for build in (_virtual, _virtual_blocks, *([_filtered_heap] if available() else [])):
            yield build.__name__.strip("_"), build


def small_seeds() -> Iterator[tuple[str, bytes]]:
    """Return names and files."""
    for libver in ("earliest", "v108", "v110", "latest"):
        for name, build in _rest(libver):
            yield f"{name} {libver}", made(build, libver=libver)
    for libver, limits, filters in product(("earliest", "v110"), _LIMITS, ("", "deflate")):
        yield f"{limits} {filters} {libver}", made(_chunked(_LIMITS[limits], filters), libver=libver)
    for filters in list(_FILTERS)[2:]:
        yield f"filter {filters}", made(_chunked((None, None), filters), libver="v110")
    yield "single chunk", made(_chunked((0, 0), "deflate", chunks=(7, 8)), libver="v110")
    yield "implicit", made(_chunked((0, 0), "", early=True), libver="v110")
    for kind, chunked in product(_TYPES, (False, True)):
        libver = "v110" if chunked else "earliest"
        yield f"type {kind}, {libver}", made(_typed(_TYPES[kind], chunked), libver=libver)
    yield "paged array", made(_long(1500, 1600), libver="v110")
    yield "long extensible array", made(_long(300, None), libver="v110")
    yield "tall B-tree", made(_rows, libver="v110")
    yield "tall B-tree v1", made(_long(200, None), libver="earliest")
    yield "user block", made(_chunked((None, 0), "deflate"), libver="v110", userblock=512)
    yield "narrow", made(_chunked((None, None), ""), libver="v110", offsets=4, lengths=4)
    yield "narrow, attributes", made(_dense_attributes, libver="v110", offsets=4, lengths=8)
    if available():
        yield "small nodes", made(_linked, fcpl=lambda p: set_sym_k(p, 2, 1))
        for longest in (0, 50):
            yield (
                f"shared messages {longest}",
                made(
                    _shared,
                    fcpl=lambda p, n=longest: share_messages(p, (0x1F, 10), list_max=n, list_min=max(n - 10, 0)),
                ),
            )
