"""Compounds that become an array for each member, read back by zarr."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest

from refmaker.scanning.scan import scan
from tests.mapping.stock import open_array

NESTED = np.dtype([("id", "<i4"), ("xyz", ">f8", (3,)), ("in", [("a", "<i2"), ("b", "<f4")])])


def nested(count: int) -> np.ndarray:
    values = np.zeros(count, NESTED)
    values["id"] = np.arange(count)
    values["xyz"] = np.arange(3 * count).reshape(count, 3) / 7
    values["in"]["a"] = -np.arange(count)
    values["in"]["b"] = np.arange(count) / 3
    return values


@pytest.mark.parametrize("zarr_format", [2, 3])
@pytest.mark.parametrize("storage", [{}, {"chunks": (4,), "compression": "gzip", "shuffle": True}])
def test_members_stay_in_the_file(tmp_path: Path, storage: dict[str, object], zarr_format: int) -> None:
    path, values = tmp_path / "a.h5", nested(10)
    with h5py.File(path, "w") as file:
        file.create_dataset("g/c", data=values, **storage).attrs["units"] = "m"
    manifest = scan(str(path), zarr_format=zarr_format)
    assert manifest.refusals == {}
    assert list(manifest.arrays) == ["g/c/id", "g/c/xyz", "g/c/in"]
    assert manifest.groups["g/c"] == {"units": "m"}
    (report,) = [line for line in manifest.objects if line.path == "/g/c"]
    assert (report.status, report.reason, report.codecs_need_refmaker) == ("mapped", "one array for each member", True)
    assert all(len(array.references.cell) for array in manifest.arrays.values())
    for name in values.dtype.names or ():
        got = np.asarray(open_array(manifest, tmp_path, f"g/c/{name}")[...])
        if got.dtype.names:
            for part in got.dtype.names:
                np.testing.assert_array_equal(got[part], values[name][part])
        else:
            np.testing.assert_array_equal(got, values[name])


def test_portable_members_are_in_the_manifest(tmp_path: Path) -> None:
    path, values = tmp_path / "a.h5", nested(10)
    with h5py.File(path, "w") as file:
        file.create_dataset("c", data=values, chunks=(4,), compression="gzip")
    manifest = scan(str(path), portable=True)
    (report,) = [line for line in manifest.objects if line.path == "/c"]
    assert (report.status, report.codecs_need_refmaker) == ("inlined", False)
    np.testing.assert_array_equal(open_array(manifest, tmp_path, "c/xyz")[...], values["xyz"])
    assert "more than the inline limit" in scan(str(path), portable=True, inline_limit=8).refusals["/c"]


@pytest.mark.parametrize("user_block", [0, 512])
def test_strings_and_references(tmp_path: Path, user_block: int) -> None:
    path = tmp_path / "a.h5"
    dtype = np.dtype([("n", "<i4"), ("s", h5py.string_dtype()), ("r", h5py.ref_dtype), ("two", "<f4", (2,))])
    with h5py.File(path, "w", userblock_size=user_block) as file:
        file["x"] = 1
        rows = [(1, "eins", file["x"].ref, (1, 2)), (2, "", h5py.Reference(), (3, 4)), (3, "dréi", file.ref, (5, 6))]
        file.create_dataset("c", data=np.array(rows, dtype), chunks=(2,), compression="gzip")
    manifest = scan(str(path))
    assert manifest.refusals == {}
    assert open_array(manifest, tmp_path, "c/s")[...].tolist() == ["eins", "", "dréi"]
    assert open_array(manifest, tmp_path, "c/r")[...].tolist() == ["/x", "", "/"]
    np.testing.assert_array_equal(open_array(manifest, tmp_path, "c/n")[...], [1, 2, 3])
    np.testing.assert_array_equal(open_array(manifest, tmp_path, "c/two")[...], [[1, 2], [3, 4], [5, 6]])


def test_sequence_members(tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        values = np.zeros(3, np.dtype([("n", "<i4"), ("v", h5py.vlen_dtype("<f4"))]))
        values["v"] = [np.arange(n, dtype="<f4") for n in (2, 0, 3)]
        file["c"] = values
    manifest = scan(str(path))
    got = open_array(manifest, tmp_path, "c/v")[...]
    assert [item.tolist() for item in got] == [[0, 1], [], [0, 1, 2]]
    assert {item.dtype.str for item in got} == {"<f4"}


def test_members_of_sequences_of_strings_are_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        file.create_dataset("c", (3,), np.dtype([("n", "<i4"), ("v", h5py.vlen_dtype(h5py.string_dtype()))]))
    manifest = scan(str(path))
    assert "'v'" in manifest.refusals["/c"]
    assert manifest.arrays == {}


def test_arrays_of_compounds(tmp_path: Path) -> None:
    path, values = tmp_path / "a.h5", np.stack([nested(6), nested(6)[::-1]])
    with h5py.File(path, "w") as file:
        file.create_dataset("c", (2,), np.dtype((NESTED, (6,))))[...] = values
    manifest = scan(str(path))
    assert manifest.refusals == {}
    np.testing.assert_array_equal(open_array(manifest, tmp_path, "c/id")[...], values["id"])
    np.testing.assert_array_equal(open_array(manifest, tmp_path, "c/xyz")[...], values["xyz"])


def test_unfilled_members_read_as_the_fill_value(tmp_path: Path) -> None:
    path, fill = tmp_path / "a.h5", np.zeros((), NESTED)
    fill["id"], fill["xyz"] = -7, 2.5
    with h5py.File(path, "w") as file:
        dataset = file.create_dataset("c", (9,), NESTED, chunks=(4,), fillvalue=fill)
        dataset[:2] = nested(2)
        expected = dataset[...]
    manifest = scan(str(path))
    for name in ("id", "xyz"):
        np.testing.assert_array_equal(open_array(manifest, tmp_path, f"c/{name}")[...], expected[name])


def test_large_padded_compounds_are_repacked_by_the_codec(tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    dtype = np.dtype({"names": ["a", "b"], "formats": ["<i2", "<f8"], "offsets": [0, 8], "itemsize": 16})
    values = np.zeros(100, dtype)
    values["a"], values["b"] = np.arange(100), np.arange(100) / 9
    with h5py.File(path, "w") as file:
        file["c"] = values
    manifest = scan(str(path), inline_limit=100)
    got = open_array(manifest, tmp_path, "c")[...]
    np.testing.assert_array_equal(got["a"], values["a"])
    np.testing.assert_array_equal(got["b"], values["b"])


def test_arrays_of_strings(tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    dtype = np.dtype([("n", "<i4"), ("s", h5py.string_dtype(), (2,))])
    values = np.empty(2, dtype)
    values["n"], values["s"] = [1, 2], [["a", "bc"], ["", "d"]]
    with h5py.File(path, "w") as file:
        file.create_dataset("c", data=values)
    manifest = scan(str(path))
    assert manifest.refusals == {}
    assert open_array(manifest, tmp_path, "c/s")[...].tolist() == [["a", "bc"], ["", "d"]]
