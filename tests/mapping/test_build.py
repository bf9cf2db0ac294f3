"""Arrays of a manifest, read with stock fsspec and zarr, against h5py."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from refmaker.conventions.netcdf4 import annotate
from refmaker.mapping.build import BuildOptions, build_array
from refmaker.scanning.detect import read_tree
from refmaker.scanning.scan import scan
from tests.mapping.stock import open_array, open_group


def every_storage(f: h5py.File) -> None:
    data = np.arange(7 * 9, dtype="i4").reshape(7, 9)
    f["contiguous"] = data
    f.create_dataset("chunked", data=data, chunks=(3, 4))
    f.create_dataset("larger", data=data, chunks=(7, 9), maxshape=(20, 30))
    f.create_dataset("sparse", data.shape, "i4", chunks=(3, 4), fillvalue=-1)[3:6, 4:8] = 5
    f.create_dataset("never", data.shape, "f8", fillvalue=2.5)
    f.create_dataset("empty", (0, 4), "f4", maxshape=(None, 4), chunks=(2, 4))
    f.create_dataset("scalar", data=np.float32(3))
    f.create_dataset("text", data=np.array([["a", "ü"], ["", "d"]], object))
    f.create_dataset("text_scalar", data="one")
    f.create_dataset("grown", (3,), "i8", maxshape=(None,), chunks=(4,), compression="gzip")
    f["grown"].resize((9,))
    f["grown"][6:] = [1, 2, 3]
    compact = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    compact.set_layout(h5py.h5d.COMPACT)
    d = h5py.h5d.create(f.id, b"compact", h5py.h5t.STD_I32BE, h5py.h5s.create_simple((4,)), compact)
    d.write(h5py.h5s.ALL, h5py.h5s.ALL, np.arange(4, dtype="i4"))
    d = f.create_dataset("masked", (12,), "i4", chunks=(4,), compression="gzip", shuffle=True)
    d[:] = range(12)
    d.id.write_direct_chunk((4,), np.arange(40, 44, dtype="i4").tobytes(), filter_mask=3)
    edges = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    edges.set_chunk((4,))
    edges.set_deflate(4)
    edges.set_chunk_opts(h5py.h5d.CHUNK_DONT_FILTER_PARTIAL_CHUNKS) if hasattr(edges, "set_chunk_opts") else None
    d = h5py.h5d.create(f.id, b"edges", h5py.h5t.STD_I32LE, h5py.h5s.create_simple((10,)), edges)
    d.write(h5py.h5s.ALL, h5py.h5s.ALL, np.arange(10, dtype="i4"))


@pytest.mark.filterwarnings("ignore::zarr.errors.ZarrUserWarning")
@pytest.mark.parametrize("libver", ["earliest", "latest"])
@pytest.mark.parametrize("inline_threshold", [0, 40])
@pytest.mark.parametrize("zarr_format", [2, 3])
def test_values_are_those_of_libhdf5(tmp_path: Path, zarr_format: Any, inline_threshold: int, libver: str) -> None:
    path = tmp_path / "a.h5"
    with h5py.File(path, "w", libver=libver) as f:
        every_storage(f)
    manifest = scan(str(path), zarr_format=zarr_format, inline_threshold=inline_threshold)
    assert not manifest.refusals
    group = open_group(manifest, tmp_path)
    with h5py.File(path) as f:
        for name, dataset in list(
            f.items()
        ):  # the view holds the lock of h5py, which a collection in the thread of zarr may wait for
            want = dataset.asstr()[()] if name.startswith("text") else dataset[()]
            got = group[name][...]
            assert np.array_equal(np.asarray(want), np.asarray(got, np.asarray(want).dtype)), name
            assert np.shape(got) == np.shape(want)
    for array in manifest.arrays.values():
        json.dumps([array.metadata.to_json(), array.attributes], allow_nan=False)
        references = array.references
        assert not set(references.cell.tolist()) & set(references.inline)
        assert (np.diff(references.cell) > 0).all()
        assert (references.size > inline_threshold).all()


def test_arrays_over_the_inline_limit_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as f:
        f["padded"] = np.zeros(100, np.dtype([("a", "i1"), ("b", "f8")], align=True))
        f["text"] = np.array(["x" * 100] * 10, object)
    refusals = scan(str(path), inline_limit=200, portable=True).refusals
    assert set(refusals) == {"/padded", "/text"}
    assert all("inline limit" in reason for reason in refusals.values())


def test_object_references_are_paths(tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as f:
        f["g/x"] = [1]
        f.create_dataset("v", (3,), h5py.ref_dtype)[:2] = [f["g/x"].ref, f["g"].ref]
    tree = read_tree(str(path))
    paths = {d.address: p for p, d in tree.datasets.items()} | {g.address: p for p, g in tree.groups.items()}
    (variable,) = [v for v in annotate(tree).variables if v.zarr_path == "v"]
    addresses = {p: a for a, p in paths.items()}
    values = np.empty(3, object)
    values[:] = [addresses["/g/x"], addresses["/g"], 2**64 - 1]
    variable.dataset.values = values
    array, status, _, _ = build_array(
        variable, read=lambda o, s: b"", options=BuildOptions(), target=0, path_of=paths.get
    )
    assert status == "inlined"
    manifest = scan(str(path))
    manifest.arrays["v"] = array
    assert open_array(manifest, tmp_path, "v")[...].tolist() == ["/g/x", "/g", ""]
