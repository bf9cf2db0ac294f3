"""Filters and datatypes that take libhdf5 as the codec, read back by zarr."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from refmaker.scanning.scan import scan
from tests.mapping.stock import open_array

hdf5plugin = pytest.importorskip("hdf5plugin")

FILTERS: dict[str, dict[str, Any]] = {
    "lzf": {"compression": "lzf"},
    "scale-offset": {"scaleoffset": 0},
    "bitshuffle": dict(hdf5plugin.Bitshuffle()),
    "lz4": dict(hdf5plugin.LZ4()),
    "lzf, shuffle, fletcher32": {"compression": "lzf", "shuffle": True, "fletcher32": True},
}


def reported(manifest: Any, path: str) -> Any:
    return next(line for line in manifest.objects if line.path == path)


@pytest.mark.parametrize("zarr_format", [2, 3])
@pytest.mark.parametrize("name", FILTERS)
def test_filters(tmp_path: Path, name: str, zarr_format: Any) -> None:
    path, values = tmp_path / "a.h5", np.arange(40 * 50, dtype=">i4").reshape(40, 50)
    with h5py.File(path, "w") as file:
        file.create_dataset("d", data=values, chunks=(16, 16), **FILTERS[name])
    manifest = scan(str(path), zarr_format=zarr_format)
    line = reported(manifest, "/d")
    assert (line.status, line.codecs_need_refmaker) == ("mapped", True)
    assert len(manifest.arrays["d"].references.cell) == 12
    np.testing.assert_array_equal(open_array(manifest, tmp_path, "d")[...], values)


def test_portable(tmp_path: Path) -> None:
    path, values = tmp_path / "a.h5", np.arange(100, dtype="<i4")
    with h5py.File(path, "w") as file:
        file.create_dataset("d", data=values, chunks=(30,), **hdf5plugin.LZ4())
    manifest = scan(str(path), portable=True)
    assert (reported(manifest, "/d").status, reported(manifest, "/d").codecs_need_refmaker) == ("inlined", False)
    np.testing.assert_array_equal(open_array(manifest, tmp_path, "d")[...], values)
    refusal = scan(str(path), portable=True, inline_limit=300).refusals["/d"]
    assert "lz4" in refusal
    assert "inline limit of 300 bytes" in refusal


def test_unknown_filters_are_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        create = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        create.set_chunk((4,))
        create.set_filter(1, h5py.h5z.FLAG_OPTIONAL, (1,))
        space = h5py.h5s.create_simple((4,))
        h5py.h5d.create(file.id, b"d", h5py.h5t.STD_I32LE, space, create).write_direct_chunk((0,), b"abcdefgh")
    content = path.read_bytes()
    # The pipeline message: version 1, one filter; its id is what follows the reserved bytes.
    at = content.index(b"\x01\x01\0\0\0\0\0\0\x01\0")
    path.write_bytes(content[: at + 8] + (31999).to_bytes(2, "little") + content[at + 10 :])
    assert "31999" in scan(str(path)).refusals["/d"]


@pytest.mark.parametrize("chunks", [None, (5,)])
@pytest.mark.parametrize("portable", [False, True])
@pytest.mark.parametrize("kind", ["odd", "bfloat16", "compound", "array"])
def test_converted_datatypes(tmp_path: Path, kind: str, portable: bool, chunks: tuple[int, ...] | None) -> None:
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        stored = _datatype(kind)
        create = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        if chunks is not None:
            create.set_chunk(chunks)
        dataset = h5py.h5d.create(file.id, b"d", stored, h5py.h5s.create_simple((12,)), create)
        numbers = np.arange(24, dtype="<i4").reshape(12, 2) * 3
        given: Any = {
            "odd": numbers[:, 0].copy(),
            "bfloat16": numbers[:, 0].astype("<f4"),
            "compound": np.array([(a, b) for a, b in numbers], [("a", "<i4"), ("b", "<i4")]),
            "array": numbers,
        }[kind]
        memory = h5py.h5t.array_create(h5py.h5t.STD_I32LE, (2,)) if kind == "array" else None
        dataset.write(h5py.h5s.ALL, h5py.h5s.ALL, given, memory)
    manifest = scan(str(path), portable=portable)
    assert manifest.refusals == {}
    assert reported(manifest, "/d").codecs_need_refmaker is not portable
    got = open_array(manifest, tmp_path, "d")[...]
    if kind == "compound":
        assert [tuple(row) for row in got.tolist()] == [tuple(row) for row in given.tolist()]
    else:
        np.testing.assert_array_equal(got, given)


def _datatype(kind: str) -> Any:
    odd = h5py.h5t.STD_I32LE.copy()
    odd.set_precision(24)
    odd.set_size(3)
    if kind == "array":
        return h5py.h5t.array_create(odd, (2,))
    if kind == "compound":
        compound = h5py.h5t.create(h5py.h5t.COMPOUND, 7)
        compound.insert(b"a", 0, odd)
        compound.insert(b"b", 3, h5py.h5t.STD_I32LE)
        return compound
    if kind == "bfloat16":
        small = h5py.h5t.IEEE_F32LE.copy()
        small.set_fields(15, 7, 8, 0, 7)
        small.set_precision(16)
        small.set_size(2)
        return small
    return odd


def test_chunks_of_another_mask_put_all_into_the_manifest(tmp_path: Path) -> None:
    path, values = tmp_path / "a.h5", np.arange(1000, dtype="<i4") // 100
    with h5py.File(path, "w") as file:
        dataset = file.create_dataset("d", data=values, chunks=(250,), compression="lzf")
        dataset.id.write_direct_chunk((250,), values[250:500].tobytes(), 1)
    manifest = scan(str(path))
    assert reported(manifest, "/d").status == "inlined"
    np.testing.assert_array_equal(open_array(manifest, tmp_path, "d")[...], values)
    assert "filtered otherwise" in scan(str(path), inline_limit=20).refusals["/d"]


def test_unwritten_chunks_read_as_the_fill_value(tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        dataset = file.create_dataset("d", (12,), "<i4", chunks=(3,), compression="lzf", fillvalue=-5)
        dataset[:3] = [1, 2, 3]
    manifest = scan(str(path))
    assert open_array(manifest, tmp_path, "d")[...].tolist() == [1, 2, 3, *[-5] * 9]
