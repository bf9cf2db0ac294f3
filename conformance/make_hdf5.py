"""Make HDF5 files of one feature each, and the values that h5py reads from them: `python make_hdf5.py FOLDER`.

Values are what is stored, without CF decoding: `expected.json` has dtype, shape and the little-endian bytes of each
dataset, or texts. A scanner has to give these values or to say that it does not; a dataset that it leaves out without a
word is lost.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np

ROWS = np.arange(24, dtype="<i4").reshape(6, 4)
Make = Callable[[h5py.File, Path], object]


def _plain(name: str = "x", **options: Any) -> Make:
    values = options.pop("data", ROWS)
    return lambda file, _: file.create_dataset(name, data=values, **options)


def _late(shape: tuple[int, ...], written: slice, **options: Any) -> Make:
    def make(file: h5py.File, _: Path) -> None:
        held = file.create_dataset("x", shape, **{"dtype": "<i4", "chunks": (2, 2), **options})
        if written.stop != written.start:
            held[written] = 7

    return make


def _masked(file: h5py.File, _: Path) -> None:
    held = file.create_dataset("x", (4, 4), "<i4", chunks=(2, 4), compression="gzip", shuffle=True)
    held[:2] = ROWS[:2]
    held.id.write_direct_chunk((2, 0), ROWS[2:4].tobytes(), filter_mask=3)


def _resized(file: h5py.File, _: Path) -> None:
    held = file.create_dataset("x", data=ROWS, chunks=(2, 2), maxshape=(None, None))
    held.resize((5, 3))


def _second_unlimited(file: h5py.File, _: Path) -> None:
    held = file.create_dataset("x", (2, 4), "<i4", chunks=(1, 2), maxshape=(2, None))
    held.resize((2, 6))
    held[...] = ROWS.reshape(2, 12)[:, :6]


def _compact(file: h5py.File, _: Path) -> None:
    plist = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    plist.set_layout(h5py.h5d.COMPACT)
    space = h5py.h5s.create_simple(ROWS.shape)
    made = h5py.h5d.create(file.id, b"x", h5py.h5t.STD_I32LE, space, plist)
    made.write(h5py.h5s.ALL, h5py.h5s.ALL, ROWS)


def _implicit(file: h5py.File, _: Path) -> None:
    plist = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    plist.set_chunk((2, 2))
    plist.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)
    made = h5py.h5d.create(file.id, b"x", h5py.h5t.STD_I32LE, h5py.h5s.create_simple(ROWS.shape), plist)
    made.write(h5py.h5s.ALL, h5py.h5s.ALL, ROWS)


def _external(file: h5py.File, folder: Path) -> None:
    (folder / "external.raw").write_bytes(ROWS.tobytes())
    file.create_dataset("x", ROWS.shape, "<i4", external=[("external.raw", 0, ROWS.nbytes)])


def _virtual(file: h5py.File, folder: Path) -> None:
    with h5py.File(folder / "virtual-source.h5", "w") as source:
        source["s"] = ROWS
    layout = h5py.VirtualLayout(ROWS.shape, "<i4")
    layout[...] = h5py.VirtualSource("virtual-source.h5", "s", ROWS.shape)
    file.create_virtual_dataset("x", layout)


def _compound(file: h5py.File, _: Path) -> None:
    padded = np.dtype({"names": ["a", "b"], "formats": ["<i2", "<f8"], "offsets": [0, 8], "itemsize": 16})
    held = np.zeros(3, padded)
    held["a"], held["b"] = [1, 2, 3], [0.5, 1.5, 2.5]
    made = file.create_dataset("x", (3,), padded)
    made[...] = held


def _hard_link(file: h5py.File, _: Path) -> None:
    file["x"] = ROWS
    file["y"] = file["x"]


def _soft_link(file: h5py.File, _: Path) -> None:
    file["x"] = ROWS
    file["y"] = h5py.SoftLink("/x")


def _scales(file: h5py.File, _: Path) -> None:
    file["x"], file["t"], file["s"] = ROWS, np.arange(6.0), np.arange(4.0)
    for axis, name in enumerate(("t", "s")):
        file[name].make_scale(name)
        file["x"].dims[axis].attach_scale(file[name])


def _two_scales(file: h5py.File, _: Path) -> None:
    _scales(file, _)
    file["t2"] = np.arange(6.0) * 2
    file["t2"].make_scale("t2")
    file["x"].dims[0].attach_scale(file["t2"])


STRING = h5py.string_dtype()
LATEST = {"libver": "latest"}
FEATURES: dict[str, tuple[Make, dict[str, Any]]] = {
    "contiguous": (_plain(), {}),
    "chunked": (_plain(chunks=(2, 2)), {}),
    "chunks that reach beyond": (_plain(chunks=(4, 3)), {}),
    "gzip": (_plain(chunks=(2, 2), compression="gzip"), {}),
    "shuffle and gzip": (_plain(chunks=(2, 2), compression="gzip", shuffle=True), {}),
    "fletcher32": (_plain(chunks=(2, 2), fletcher32=True), {}),
    "fletcher32 and gzip": (_plain(chunks=(2, 2), fletcher32=True, compression="gzip"), {}),
    "LZF": (_plain(chunks=(2, 2), compression="lzf"), {}),
    "scale-offset": (_plain(chunks=(2, 2), scaleoffset=0), {}),
    "filter mask of one chunk": (_masked, {}),
    "compact": (_compact, {}),
    "external storage": (_external, {}),
    "virtual dataset": (_virtual, {}),
    "nothing written": (_late((6, 4), slice(0, 0)), {}),
    "nothing written, fill value 5": (_late((6, 4), slice(0, 0), fillvalue=5), {}),
    "some chunks written, fill value 5": (_late((6, 4), slice(0, 2), fillvalue=5), {}),
    "contiguous, nothing written, fill value 5": (_late((6, 4), slice(0, 0), fillvalue=5, chunks=None), {}),
    "shrunk": (_resized, {}),
    "extensible array": (_plain(chunks=(2, 2), maxshape=(None, 4)), LATEST),
    "second dimension unlimited": (_second_unlimited, LATEST),
    "fixed array": (_plain(chunks=(2, 2)), LATEST),
    "fixed array with a larger maximum": (_plain(chunks=(2, 2), maxshape=(20, 20)), LATEST),
    "B-tree of version 2": (_plain(chunks=(2, 2), maxshape=(None, None)), LATEST),
    "single chunk": (_plain(chunks=(6, 4), compression="gzip"), LATEST),
    "implicit index": (_implicit, LATEST),
    "user block": (_plain(chunks=(2, 2)), {"userblock_size": 512}),
    "big-endian": (_plain(data=ROWS.astype(">i4")), {}),
    "float16": (_plain(data=ROWS.astype("<f2")), {}),
    "bool": (_plain(data=ROWS % 2 == 0), {}),
    "complex": (_plain(data=ROWS * 1j), {}),
    "enumeration": (
        _plain(data=np.array([0, 1, 1], "i1"), dtype=h5py.enum_dtype({"off": 0, "on": 1}, basetype="i1")),
        {},
    ),
    "padded compound": (_compound, {}),
    "fixed strings": (_plain(data=np.array([b"ab", b"cde"], "S3")), {}),
    "variable-length strings": (_plain(data=["ab", "", "cdé"], dtype=STRING), {}),
    "scalar variable-length string": (_plain(data="abc", dtype=STRING), {}),
    "scalar": (_plain(data=np.int32(5)), {}),
    "length 0": (_plain(data=np.zeros((0, 4), "<i4"), chunks=(2, 4), maxshape=(None, 4)), {}),
    "in groups": (_plain("g/h/x"), {}),
    "hard link": (_hard_link, {}),
    "soft link": (_soft_link, {}),
    "dimension scales": (_scales, {}),
    "two scales of a dimension": (_two_scales, {}),
    "a name with a blank and an é": (_plain("air é"), {}),
}


def expected(file: h5py.File) -> dict[str, Any]:
    """Return what h5py reads from each dataset."""
    found: dict[str, Any] = {}

    def take(path: str, node: Any) -> None:
        if isinstance(node, h5py.Dataset):
            found[path] = described(node)

    file.visititems_links(lambda path, _: take(path, file[path]))
    return found


def described(held: h5py.Dataset) -> dict[str, Any]:
    """Return a dataset as answers of scanners have it."""
    shape = list(held.shape)
    if h5py.check_string_dtype(held.dtype) is not None and held.dtype.kind == "O":
        texts = np.asarray(held.asstr()[()], object).ravel()
        return {"dtype": "text", "shape": shape, "values": [str(text) for text in texts]}
    values = np.asarray(held[()])
    if values.dtype.names:
        fields = {name: np.ascontiguousarray(values[name]).tobytes().hex() for name in values.dtype.names}
        return {"dtype": "fields", "shape": shape, "fields": fields}
    native = np.ascontiguousarray(values, values.dtype.newbyteorder("<")).reshape(values.shape)
    return {"dtype": native.dtype.str[1:], "shape": shape, "hex": native.tobytes().hex()}


def main(folder: Path) -> None:
    """Make all files, and `expected.json` beside them."""
    folder.mkdir(parents=True, exist_ok=True)
    os.chdir(folder)  # HDF5 looks for external storage in the working directory
    index = []
    for number, (feature, (make, options)) in enumerate(FEATURES.items()):
        path = folder / f"{number:02}.h5"
        with h5py.File(path, "w", **options) as file:
            make(file, folder)
        with h5py.File(path, "r") as file:
            index.append({"feature": feature, "file": path.name, "arrays": expected(file)})
    (folder / "expected.json").write_text(json.dumps(index, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
