"""Manifests held against their files: good ones pass, and every kind of damage is found where it is."""

from __future__ import annotations

import base64
import dataclasses
import gc
import itertools
import json
import math
import os
import shutil
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import fsspec
import h5py
import netCDF4
import numpy as np
import pytest

import refmaker
from refmaker.errors import ManifestError, SourceError
from refmaker.manifest.manifest import Manifest, ManifestArray, Target
from refmaker.manifest.references import References
from refmaker.verification.verify import ArrayResult, Progress, VerifyReport, verify
from refmaker.zarr.metadata import ArrayMetadata
from tests.servers import RangeServer, range_server

__all__ = ["range_server"]

ZARR = int(version("zarr").split(".")[0])
FORMATS = [2] if ZARR == 2 else [2, 3]
VALUES = np.arange(80, dtype="<i4").reshape(8, 10)


@pytest.fixture(autouse=True)
def _not_through_xarray(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave out what `tests/test_verify_xarray.py` tests: it takes a process for each call."""
    monkeypatch.setattr("refmaker.verification.verify.compare_shown", lambda *_, **__: None)


# Files of many kinds


def write_hdf5(path: Path) -> None:
    """Write a dataset for every representation that a manifest can have."""
    rng = np.random.default_rng(0)
    with h5py.File(path, "w") as f:
        f["big_endian"] = np.arange(5, dtype=">i2")
        f["special"] = np.array([np.nan, -0.0, np.inf, 1.5], "f4")
        f["bool"] = np.array([True, False])
        f["enum"] = np.array([1, 2], h5py.enum_dtype({"A": 1, "B": 2}, "i2"))
        f["complex"] = np.array([1 + 2j, 3])
        f["compound"] = np.array([(1, 2.5, b"x"), (3, np.nan, b"yy")], "i4,f8,S3")
        f["padded"] = np.array([(1, 2.5)], np.dtype("u1,f8", align=True))
        f["fixed"] = np.array([b"ab", b"c", b""])
        f["text"] = np.array(["é", "", "abc"], h5py.string_dtype())
        f["one"] = "scalar text"
        f["scalar"] = 5
        f["references"] = np.array([f["text"].ref, f.ref, h5py.Reference()], h5py.ref_dtype)
        f["times"] = np.array([0, 86400], "<M8[s]").astype(h5py.opaque_dtype("<M8[s]"))
        f.create_dataset("rows", (4,), np.dtype(("<i4", (3,))), chunks=(2,))[...] = np.arange(12).reshape(4, 3)
        f.create_dataset("squares", (2,), np.dtype(("<i4", (2, 3))))
        f.create_dataset("empty", (0, 3), "f4", maxshape=(None, 3))
        f.create_dataset("unwritten", (3, 4), "f8")
        f.create_dataset("never", (6,), "f8", chunks=(2,), fill_time="never")[:2] = 1
        f.create_dataset("filtered", data=rng.integers(0, 9, (50, 7)), chunks=(8, 3), shuffle=True, compression=4)
        f.create_dataset("sparse", (9, 9), "i2", chunks=(2, 4), fillvalue=-7)[2:4, 4:] = 3
        f["group/link"] = f["filtered"]
        f["group/soft"] = h5py.SoftLink("/bool")
        opaque = h5py.h5t.create(h5py.h5t.OPAQUE, 4)
        opaque.set_tag(b"some tag")
        low_level(f, "opaque", opaque, np.array([b"abcd", b"ef\0g"], "V4"))
        spaces = h5py.h5t.C_S1.copy()
        spaces.set_size(5)
        spaces.set_strpad(h5py.h5t.STR_SPACEPAD)
        low_level(f, "spaces", spaces, np.array([b"ab   ", b" c   "], "S5"))


def low_level(file: h5py.File, name: str, datatype: Any, values: np.ndarray) -> None:
    space = h5py.h5s.create_simple(values.shape)
    dataset = h5py.h5d.create(file.id, name.encode(), datatype, space)
    dataset.write(h5py.h5s.ALL, h5py.h5s.ALL, values, datatype)


def write_netcdf4(path: Path) -> None:
    """Write unlimited dimensions that are not filled alike, a name that HDF5 has otherwise, groups, text."""
    with netCDF4.Dataset(path, "w") as f:
        f.createDimension("time", None)
        f.createDimension("x", 3)
        f.createVariable("long", "f4", ("time", "x"), zlib=True, fill_value=-1.0)[:] = np.ones((7, 3))
        f.createVariable("short", "i2", ("time",), fill_value=-9, chunksizes=(2,))[:3] = [1, 2, 3]
        f.createVariable("names", str, ("x",))[:] = np.array(["a", "bé", ""], object)
        group = f.createGroup("g")
        group.createVariable("deep", "f8", ("x",))[:] = [1, 2, 3]
        # A variable of the name of a dimension that is not its own.
        group.createDimension("y", 2)
        group.createVariable("y", "i4", ("x",))[:] = [4, 5, 6]


def write_classic(form: str) -> Callable[[Path], None]:
    def write(path: Path) -> None:
        with netCDF4.Dataset(path, "w", format=form) as f:
            f.createDimension("time", None)
            f.createDimension("x", 3)
            f.createDimension("n", 5)
            f.createVariable("record", "f8", ("time", "x"))[:] = np.arange(12).reshape(4, 3)
            f.createVariable("other", "i2", ("time",))[:] = np.arange(4)
            f.createVariable("fixed", "f4", ("x",))[:] = [np.nan, 2, 3]
            f.createVariable("bytes", "i1", ("x",))[:] = [-1, 0, 1]
            f.createVariable("chars", "S1", ("x", "n"))[:] = np.array([list("abcde")] * 3, "S1")
            f.createVariable("scalar", "i4", ())[...] = 5

    return write


KINDS: dict[str, Callable[[Path], None]] = {
    "hdf5": write_hdf5,
    "netcdf4": write_netcdf4,
    "classic": write_classic("NETCDF3_CLASSIC"),
    "offset": write_classic("NETCDF3_64BIT_OFFSET"),
    "data": write_classic("NETCDF3_64BIT_DATA"),
}


def check(manifest: Any, **options: Any) -> VerifyReport:
    return verify(manifest, **{"sample": None, **options})


def by_path(report: VerifyReport) -> dict[str, ArrayResult]:
    return {array.path: array for array in report.arrays}


def nothing_found(report: VerifyReport) -> None:
    assert [(a.path, a.status, a.reason) for a in report.arrays if a.status != "same"] == []
    assert [t for t in report.targets if t.status != "same"] == []
    assert (report.differences, report.skipped, report.failed) == (0, 0, False)
    assert report.arrays


def wide_pair() -> Any:
    """Make a compound of a number of four bytes, with an exponent that only eight have, and a text."""
    number = h5py.h5t.IEEE_F32LE.copy()
    number.set_fields(31, 21, 10, 0, 21)
    number.set_ebias(511)
    pair = h5py.h5t.create(h5py.h5t.COMPOUND, 8)
    pair.insert(b"number", 0, number)
    pair.insert(b"text", 4, h5py.h5t.py_create(np.dtype("S4")))
    return pair


class TestGood:
    @pytest.mark.parametrize("sample", [None, 3])
    @pytest.mark.parametrize("zarr_format", FORMATS)
    @pytest.mark.parametrize("kind", KINDS)
    def test_everything_is_the_same(self, kind: str, zarr_format: Any, sample: int | None, tmp_path: Path) -> None:
        KINDS[kind](tmp_path / "x")
        refmaker.scan(str(tmp_path / "x"), zarr_format=zarr_format).to_json(str(tmp_path / "m.json"))
        report = check(tmp_path / "m.json", sample=sample)
        nothing_found(report)
        for array in report.arrays:
            assert array.first_difference is None
            if sample is None:
                assert array.chunks_checked == array.chunks
            else:
                assert min(sample, array.chunks) <= array.chunks_checked <= min(sample + 5, array.chunks)

    def test_manifest_in_memory(self, tmp_path: Path) -> None:
        write_hdf5(tmp_path / "x.h5")
        manifest = refmaker.scan(str(tmp_path / "x.h5"))
        report = check(manifest)
        nothing_found(report)
        assert report.manifest is None
        assert len(report.arrays) == len(manifest.arrays)

    def test_inlined(self, tmp_path: Path) -> None:
        write_hdf5(tmp_path / "x.h5")
        nothing_found(check(refmaker.scan(str(tmp_path / "x.h5"), inline_threshold=10**6)))

    def test_group(self, tmp_path: Path) -> None:
        """Paths in the manifest are relative to the group; the file says otherwise."""
        write_netcdf4(tmp_path / "x.nc")
        with h5py.File(tmp_path / "x.nc", "a") as f:
            f["g"].create_dataset("regions", (1,), h5py.regionref_dtype)
        refmaker.scan(str(tmp_path / "x.nc"), group="/g").to_json(str(tmp_path / "m.json"))
        report = check(tmp_path / "m.json")
        nothing_found(report)
        assert sorted(by_path(report)) == ["/deep", "/y"]
        assert list(report.refused) == ["/regions"]

    def test_netcdf_names(self, tmp_path: Path) -> None:
        write_netcdf4(tmp_path / "x.nc")
        with h5py.File(tmp_path / "x.nc") as f:
            assert "_nc4_non_coord_y" in f["g"]
        manifest = refmaker.scan(str(tmp_path / "x.nc"))
        assert manifest.sources == {"g/y": (0, "/g/_nc4_non_coord_y")}
        nothing_found(check(manifest))

    def test_relative_targets(self, tmp_path: Path) -> None:
        write_hdf5(tmp_path / "x.h5")
        manifest = refmaker.scan(str(tmp_path / "x.h5"))
        manifest.targets = (Target("x.h5", manifest.targets[0].size),)
        (tmp_path / "moved").mkdir()
        manifest.to_json(str(tmp_path / "moved" / "m.json"))
        shutil.move(tmp_path / "x.h5", tmp_path / "moved" / "x.h5")
        nothing_found(check(tmp_path / "moved" / "m.json"))

    def test_blocks_are_bounded(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Where blocks are small, all is the same, and no more than a block is read at a time."""
        with h5py.File(tmp_path / "x.h5", "w") as f:
            f.create_dataset("a", data=np.arange(1000).reshape(20, 50), chunks=(3, 4))
        manifest = refmaker.scan(str(tmp_path / "x.h5"))
        monkeypatch.setattr("refmaker.verification.sampling.BLOCK_SIZE", 12 * 8 * 5)
        seen: list[Progress] = []
        report = check(manifest, progress=seen.append)
        nothing_found(report)
        assert max(b.done - a.done for a, b in itertools.pairwise(seen)) <= 5
        assert seen[-1] == Progress("/a", 7 * 13, 7 * 13)

    def test_members_of_compounds(self, tmp_path: Path) -> None:
        """A compound may be shown as a group of its members."""
        dtype = np.dtype([("n", "<i4"), ("name", h5py.string_dtype()), ("in", [("a/b", "<f8", (2,))])])
        data = np.zeros(3, dtype)
        data["n"], data["name"], data["in"]["a/b"] = [1, 2, 3], ["x", "", "zé"], np.arange(6).reshape(3, 2)
        with h5py.File(tmp_path / "x.h5", "w") as f:
            f["g/c"] = data
        target = Target(str(tmp_path / "x.h5"))
        names = array("|O", (3,), {0: text(["x", "", "zé"])}, filters=[{"id": "vlen-utf8"}])
        inner = array("<f8", (3, 2), {0: np.arange(6, dtype="f8").tobytes()})
        arrays = {"g/c/n": array("<i4", (3,), {0: data["n"].tobytes()}), "g/c/name": names, "g/c/in/a/b": inner}
        manifest = Manifest(2, {"": {}}, arrays, (target,))
        nothing_found(check(manifest))
        names.references.inline[0] = text(["x", "", "ze"])
        found = by_path(check(manifest))["/g/c/name"].first_difference
        assert found is not None
        assert (found.index, found.expected, found.got) == ([2], "zé", "ze")

    def test_members_of_a_scalar(self, tmp_path: Path) -> None:
        strings = np.dtype((h5py.string_dtype(), (2,)))
        with h5py.File(tmp_path / "x.h5", "w") as f:
            space = h5py.h5s.create(h5py.h5s.SCALAR)
            members = np.dtype([("n", "<i4"), ("names", strings)])
            dataset = h5py.Dataset(h5py.h5d.create(f.id, b"c", h5py.h5t.py_create(members, logical=True), space))
            value = np.zeros((), members)
            value["n"], value["names"] = 5, ["a", "b"]
            dataset[()] = value
        vlen = [{"id": "vlen-utf8"}]
        arrays = {
            "c/n": array("<i4", (), {0: np.array(5, "<i4").tobytes()}),
            "c/names": array("|O", (2,), {0: text(["a", "b"])}, filters=vlen),
        }
        nothing_found(check(Manifest(2, {"": {}}, arrays, (Target(str(tmp_path / "x.h5")),))))

    def test_members_of_an_array_of_compounds(self, tmp_path: Path) -> None:
        pair = np.dtype([("n", "<i4"), ("xy", "<f8", (2,))])
        data = np.zeros((2, 3), pair)
        data["n"], data["xy"] = np.arange(6).reshape(2, 3), np.arange(12).reshape(2, 3, 2)
        with h5py.File(tmp_path / "x.h5", "w") as f:
            f.create_dataset("c", (2,), np.dtype((pair, (3,))))[...] = data
        manifest = refmaker.scan(str(tmp_path / "x.h5"))
        assert set(manifest.arrays) == {"c/n", "c/xy"}
        nothing_found(check(manifest))
        wrong = array("<i4", (2, 3), {0: (data["n"] + 1).astype("<i4").tobytes()})
        found = by_path(check(dataclasses.replace(manifest, arrays={"c/n": wrong})))["/c/n"]
        assert found.elements_different == 6

    def test_members_that_h5py_shows_wider_than_they_are(self, tmp_path: Path) -> None:
        """It has them lie over one another then, and gives for the second what is left of it."""
        kind = wide_pair()
        with h5py.File(tmp_path / "x.h5", "w") as file:
            for name, extents in ((b"one", ()), (b"many", (3,))):
                space = h5py.h5s.create_simple(extents) if extents else h5py.h5s.create(h5py.h5s.SCALAR)
                data = h5py.h5d.create(file.id, name, kind, space)
                memory = np.zeros(extents, [("number", "<f4"), ("text", "S4")])
                memory["text"] = b"2023"
                memory["number"] = 1.5
                data.write(space, space, memory)
            assert file["one"].dtype["number"].itemsize == 8
        manifest = refmaker.scan(str(tmp_path / "x.h5"))
        assert set(manifest.arrays) >= {"one"}
        nothing_found(check(manifest))

    def test_such_members_deeper_down(self, tmp_path: Path) -> None:
        outer = h5py.h5t.create(h5py.h5t.COMPOUND, 24)
        outer.insert(b"pairs", 0, h5py.h5t.array_create(wide_pair(), (3,)))
        with h5py.File(tmp_path / "x.h5", "w") as file:
            space = h5py.h5s.create_simple((2,))
            h5py.h5d.create(file.id, b"many", outer, space)
            h5py.h5a.create(h5py.h5d.create(file.id, b"x", h5py.h5t.STD_I32LE, space), b"a", outer, space)
        manifest = refmaker.scan(str(tmp_path / "x.h5"))
        report = check(manifest)
        assert {found.path: found.status for found in report.arrays}["/x"] == "same"
        assert all(found.status != "differs" for found in report.arrays)

    def test_sequences(self, tmp_path: Path) -> None:
        with h5py.File(tmp_path / "x.h5", "w") as f:
            f.create_dataset("one", (), h5py.vlen_dtype("<i4"))[()] = np.arange(4)
            f.create_dataset("two", (2,), h5py.vlen_dtype("<i4"))[0] = np.arange(3)
        manifest = refmaker.scan(str(tmp_path / "x.h5"))
        assert set(manifest.arrays) == {"one", "two"}
        nothing_found(check(manifest))
        references = manifest.arrays["two"].references
        # A count, a length, and then the items: another value for the last of the first element.
        stored = bytearray(references.inline[0])
        stored[16] = 7
        references.inline[0] = bytes(stored)
        found = by_path(check(manifest))["/two"]
        assert (found.elements_different, found.first_difference is not None) == (1, True)

    def test_external_raw_data_beside_the_file(self, tmp_path: Path) -> None:
        VALUES.tofile(tmp_path / "raw.bin")
        with h5py.File(tmp_path / "x.h5", "w") as f:
            f.create_dataset("a", VALUES.shape, VALUES.dtype, external=[("raw.bin", 0, VALUES.nbytes)])
        targets = (Target(str(tmp_path / "x.h5")), Target(str(tmp_path / "raw.bin"), VALUES.nbytes))
        node = array("<i4", (8, 10), {}, columns=[(0, 1, 0, VALUES.nbytes)])
        nothing_found(check(Manifest(2, {"": {}}, {"a": node}, targets)))

    def test_datatype_that_numpy_lacks(self, tmp_path: Path) -> None:
        with h5py.File(tmp_path / "x.h5", "w") as f:
            datatype = h5py.h5t.STD_I32LE.copy()
            datatype.set_size(3)
            datatype.set_precision(24)
            dataset = h5py.h5d.create(f.id, b"a", datatype, h5py.h5s.create_simple((3,)))
            dataset.write(h5py.h5s.ALL, h5py.h5s.ALL, np.array([1, -2, 2**22], "i4"))
        node = array("<i4", (3,), {0: np.array([1, -2, 2**22], "<i4").tobytes()})
        manifest = Manifest(2, {"": {}}, {"a": node}, (Target(str(tmp_path / "x.h5")),))
        nothing_found(check(manifest))
        node.metadata.document["dtype"] = "<i2"
        node.references.inline[0] = b"\0" * 6
        assert by_path(check(manifest))["/a"].status == "skipped"


def array(
    dtype: str,
    shape: tuple[int, ...],
    inline: dict[int, bytes],
    *,
    columns: list[tuple[int, int, int, int]] | None = None,
    chunks: tuple[int, ...] | None = None,
    filters: Any = None,
) -> ManifestArray:
    """Make an array by hand; the columns are rows of cell, target, offset, size."""
    chunks = shape if chunks is None else chunks
    metadata = {"zarr_format": 2, "shape": list(shape), "chunks": list(chunks), "dtype": dtype, "compressor": None}
    metadata |= {"fill_value": None, "order": "C", "filters": filters}
    grid = tuple(-(-a // b) for a, b in zip(shape, chunks, strict=True))
    cell, target, offset, size = zip(*columns, strict=True) if columns else ((), (), (), ())
    references = References(
        np.array(cell, "i8"), np.array(target, "u4"), np.array(offset, "u8"), np.array(size, "u8"), inline
    )
    return ManifestArray(ArrayMetadata.from_json(metadata), {}, grid, references)


def text(items: list[str]) -> bytes:
    from numcodecs import VLenUTF8

    return bytes(VLenUTF8().encode(np.array(items, object)))


# Damage


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Return a file with an array of 4 x 5 chunks, plain and compressed, and one with a missing chunk."""
    path = tmp_path / "x.h5"
    with h5py.File(path, "w") as f:
        f.create_dataset("plain", data=VALUES, chunks=(2, 2))
        f.create_dataset("packed", data=VALUES, chunks=(2, 2), compression="gzip")
        f.create_dataset("missing", (6,), "<i4", chunks=(2,), fillvalue=5)[:2] = 1
        f["text"] = "inline"
    return path


Edit = Callable[[dict[str, Any]], None]


@pytest.fixture
def damaged(source: Path, tmp_path: Path) -> Callable[..., VerifyReport]:
    """Scan the file, change the references of the manifest, verify."""

    def run(edit: Edit, **options: Any) -> VerifyReport:
        path = tmp_path / "m.json"
        refmaker.scan(str(source), zarr_format=2).to_json(str(path))
        document = json.loads(path.read_bytes())
        edit(document["refs"])
        path.write_text(json.dumps(document))
        return check(path, **options)

    return run


def only(report: VerifyReport, path: str, status: str = "differs") -> ArrayResult:
    """Return the only array in which anything was found."""
    assert [(a.path, a.status) for a in report.arrays if a.status != "same"] == [(path, status)]
    assert report.differences == 1
    assert not report.failed
    return by_path(report)[path]


def first(result: ArrayResult) -> tuple[list[int], object, object]:
    assert result.first_difference is not None
    return result.first_difference.index, result.first_difference.expected, result.first_difference.got


def metadata(refs: dict[str, Any], path: str, **changes: Any) -> None:
    refs[f"{path}/.zarray"] = json.dumps({**json.loads(refs[f"{path}/.zarray"]), **changes})


class TestDamage:
    def test_none(self, damaged: Any) -> None:
        nothing_found(damaged(lambda refs: None))

    def test_an_offset(self, damaged: Any) -> None:
        def edit(refs: dict[str, Any]) -> None:
            refs["plain/1.2"][1] += 4

        result = only(damaged(edit), "/plain")
        assert first(result) == ([2, 4], 24, 25)
        assert (result.chunks_different, result.chunks_checked, result.chunks) == (1, 20, 20)
        assert result.reason == f"other values: {result.elements_different} elements in 1 chunk"
        assert 3 <= result.elements_different <= 4

    def test_a_size(self, damaged: Any) -> None:
        def edit(refs: dict[str, Any]) -> None:
            refs["packed/1.2"][2] -= 3

        result = only(damaged(edit), "/packed", "unreadable")
        assert result.reason is not None
        assert result.reason.startswith("1 chunk cannot be read: chunk 1.2: ")
        assert result.chunks_checked == 19

    def test_a_size_of_plain_data(self, damaged: Any) -> None:
        def edit(refs: dict[str, Any]) -> None:
            refs["plain/0.0"][2] -= 4

        assert "chunk 0.0" in str(only(damaged(edit), "/plain", "unreadable").reason)

    @pytest.mark.parametrize("path", ["plain", "packed"])
    def test_two_chunks_swapped(self, damaged: Any, path: str) -> None:
        def edit(refs: dict[str, Any]) -> None:
            refs[f"{path}/0.1"], refs[f"{path}/3.4"] = refs[f"{path}/3.4"], refs[f"{path}/0.1"]

        result = only(damaged(edit), "/" + path)
        assert first(result) == ([0, 2], 2, 68)
        assert (result.elements_different, result.chunks_different) == (8, 2)

    def test_a_chunk_dropped(self, damaged: Any) -> None:
        result = only(damaged(lambda refs: refs.pop("plain/3.4") and None), "/plain")
        assert result.reason is not None
        assert "1 chunk missing without a fill value" in result.reason
        if ZARR == 3:  # zarr 2 shows whatever is in memory
            assert first(result) == ([6, 8], 68, 0)

    def test_a_fill_value(self, damaged: Any) -> None:
        def edit(refs: dict[str, Any]) -> None:
            metadata(refs, "missing", fill_value=6)
            for cell in (1, 2):
                refs.pop(f"missing/{cell}", None)

        result = only(damaged(edit), "/missing")
        assert first(result) == ([2], 5, 6)
        assert result.elements_different == 4

    def test_inline_bytes(self, damaged: Any) -> None:
        def edit(refs: dict[str, Any]) -> None:
            refs["text/0"] = "base64:" + base64.b64encode(text(["inlinE"])).decode()

        assert first(only(damaged(edit), "/text")) == ([], "inline", "inlinE")

    @pytest.mark.parametrize("dtype", ["<f4", "<u4", "|S4", "|V4"])
    def test_a_kind_of_values(self, damaged: Any, dtype: str) -> None:
        result = only(damaged(lambda refs: metadata(refs, "plain", dtype=dtype, fill_value=None)), "/plain")
        assert result.reason == f"datatype int32 in the file, {np.dtype(dtype)} through the manifest"

    def test_the_byte_order(self, damaged: Any) -> None:
        result = only(damaged(lambda refs: metadata(refs, "plain", dtype=">i4")), "/plain")
        assert first(result) == ([0, 1], 1, 1 << 24)
        assert result.elements_different == 79

    def test_the_width(self, damaged: Any) -> None:
        assert only(damaged(lambda refs: metadata(refs, "plain", dtype="<i8")), "/plain", "unreadable").reason

    def test_the_shape(self, damaged: Any) -> None:
        result = only(damaged(lambda refs: metadata(refs, "plain", shape=[8, 9])), "/plain")
        assert result.reason == "shape (8, 10) in the file, (8, 9) through the manifest"

    def test_codecs(self, damaged: Any) -> None:
        result = only(
            damaged(lambda refs: metadata(refs, "packed", compressor={"id": "none such"})), "/packed", "unreadable"
        )
        assert result.reason is not None
        assert "none such" in result.reason

    def test_a_name(self, damaged: Any) -> None:
        def edit(refs: dict[str, Any]) -> None:
            for key in [key for key in refs if key.startswith("plain/")]:
                refs["plane" + key[5:]] = refs.pop(key)

        assert only(damaged(edit), "/plane").reason == "there is no /plane in the file"

    def test_a_group_in_the_place_of_an_array(self, damaged: Any, source: Path) -> None:
        with h5py.File(source, "a") as f:
            f.create_group("folder")

        def edit(refs: dict[str, Any]) -> None:
            del refs["folder/.zgroup"], refs["folder/.zattrs"]
            for key in [key for key in refs if key.startswith("plain/")]:
                refs["folder" + key[5:]] = refs[key]

        assert only(damaged(edit), "/folder").reason == "/folder is no dataset in the file"

    def test_a_reference_beyond_the_end(self, damaged: Any, source: Path) -> None:
        size = source.stat().st_size

        def edit(refs: dict[str, Any]) -> None:
            refs["plain/0.3"][1] = size - 4

        result = only(damaged(edit), "/plain")
        assert result.reason is not None
        assert result.reason.startswith(
            f"1 reference beyond the end of a target: the first, of chunk 0.3, asks for bytes {size - 4} to "
            f"{size + 12} of {source}, which has {size}"
        )
        assert result.chunks_checked == 19

    def test_keys_outside_the_grid(self, damaged: Any) -> None:
        def edit(refs: dict[str, Any]) -> None:
            refs["plain/4.0"] = refs["plain/5.0"] = refs["plain/0.0"]

        assert only(damaged(edit), "/plain").reason == "2 keys outside the chunk grid"

    def test_counts_over_blocks(self, damaged: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("refmaker.verification.sampling.BLOCK_SIZE", 64)

        def edit(refs: dict[str, Any]) -> None:
            for i in range(5):
                refs[f"plain/2.{i}"] = refs["plain/0.0"]

        result = only(damaged(edit), "/plain")
        assert (result.elements_different, result.chunks_different) == (20, 5)
        assert first(result) == ([4, 0], 40, 0)

    def test_many_unreadable_chunks(self, damaged: Any) -> None:
        def edit(refs: dict[str, Any]) -> None:
            metadata(refs, "packed", compressor={"id": "bz2", "level": 1})

        result = only(damaged(edit), "/packed", "unreadable")
        assert str(result.reason).startswith("16 chunks or more cannot be read: chunk 0.0: ")

    def test_only_what_is_sampled_is_found(self, damaged: Any) -> None:
        """With a sample of 8 of 20 chunks, some damage is found and some is not; first and last always are."""

        def swap(cell: int) -> Edit:
            def edit(refs: dict[str, Any]) -> None:
                refs[f"plain/{cell // 5}.{cell % 5}"] = refs["plain/1.1"]

            return edit

        found = [damaged(swap(cell), sample=8).differences for cell in range(20)]
        assert found[0] == found[19] == 1
        assert found == [damaged(swap(cell), sample=8).differences for cell in range(20)]
        assert 5 <= sum(found) <= 10
        assert [damaged(swap(cell)).differences for cell in (1, 2, 9, 18)] == [1, 1, 1, 1]

    def test_samples_hold_missing_chunks(self, tmp_path: Path) -> None:
        with h5py.File(tmp_path / "x.h5", "w") as f:
            f.create_dataset("a", (1000,), "i4", chunks=(2,), fillvalue=5)[100:900] = 1
            f["a"].attrs["_FillValue"] = np.int32(5)  # else the missing chunks would be written out
        manifest = refmaker.scan(str(tmp_path / "x.h5"))
        assert len(manifest.arrays["a"].references) == 400
        nothing_found(check(manifest, sample=5))
        manifest.arrays["a"].metadata.document["fill_value"] = 6
        index, expected, got = first(only(check(manifest, sample=5), "/a"))
        assert not 100 <= index[0] < 900
        assert (expected, got) == (5, 6)

    def test_beyond_the_extent_of_an_unlimited_dimension(self, tmp_path: Path) -> None:
        write_netcdf4(tmp_path / "x.nc")
        manifest = refmaker.scan(str(tmp_path / "x.nc"))
        assert manifest.arrays["short"].metadata.document["shape"] == [7]
        references = manifest.arrays["short"].references
        data = np.array([4, -9], "<i2").tobytes()
        references.cell = references.cell[references.cell != 2]
        references.target = references.target[: len(references.cell)]
        references.offset, references.size = (
            references.offset[: len(references.cell)],
            references.size[: len(references.cell)],
        )
        references.inline[2] = data
        assert first(only(check(manifest), "/short")) == ([4], -9, 4)

    def test_references_to_objects(self, tmp_path: Path) -> None:
        with h5py.File(tmp_path / "x.h5", "w") as f:
            f["a"] = np.arange(3)
            f["hard"] = f["a"]
            f["b"] = np.arange(3)
            f["refs"] = np.array([f["hard"].ref, f["b"].ref, h5py.Reference()], h5py.ref_dtype)
        manifest = refmaker.scan(str(tmp_path / "x.h5"))
        inline = manifest.arrays["refs"].references.inline
        inline[0] = text(["/hard", "/b", ""])
        nothing_found(check(manifest))
        inline[0] = text(["/a", "/a", "/c"])
        result = only(check(manifest), "/refs")
        assert (result.elements_different, first(result)[0], first(result)[2]) == (2, [1], "/a")

    def test_duplicates_and_strays_of_a_manifest_in_memory(self, source: Path) -> None:
        manifest = refmaker.scan(str(source))
        references = manifest.arrays["plain"].references
        references.inline[3] = VALUES[:2, 6:8].tobytes()
        assert only(check(manifest), "/plain").reason == "more than one reference for a chunk: 1 too many"
        del references.inline[3]
        references.inline[20] = b""
        assert only(check(manifest), "/plain").reason == "1 reference outside the chunk grid"
        del references.inline[20]
        references.target = np.full(len(references.cell), 3, "u4")
        assert str(only(check(manifest), "/plain").reason).startswith("20 references to no target; 16 chunks or more")

    def test_refused_yet_readable(self, source: Path) -> None:
        manifest = refmaker.scan(str(source))
        manifest.refusals["/plain"] = "some reason"
        result = only(check(manifest), "/plain")
        assert result.reason == "/plain was refused when the manifest was made, and can be read all the same"
        assert result.chunks_checked == 20


class TestTargets:
    @pytest.fixture
    def manifest(self, source: Path, tmp_path: Path) -> Path:
        path = tmp_path / "m.json"
        refmaker.scan(str(source)).to_json(str(path))
        return path

    def test_touched(self, manifest: Path, source: Path) -> None:
        os.utime(source, (1e9, 1e9))
        report = check(manifest)
        (target,) = report.targets
        assert target.status == "changed"
        assert target.reason is not None
        assert target.reason.endswith("then, 2001-09-09T01:46:40+00:00 now")
        assert {array.status for array in report.arrays} == {"same"}
        assert report.differences == 1

    def test_rewritten_with_the_same_size(self, manifest: Path, source: Path) -> None:
        data = source.read_bytes()
        with h5py.File(source, "a") as f:
            f["plain"][3, 3] = -1
        assert source.stat().st_size == len(data)
        os.utime(source, (1e9, 1e9))
        assert check(manifest).differences == 1

    def test_other_layout_in_the_same_size(self, manifest: Path, source: Path) -> None:
        """The file was replaced by one in which the values lie elsewhere."""
        status, size = source.stat(), source.stat().st_size
        with h5py.File(source, "w") as f:
            for name in ("packed", "plain"):
                f.create_dataset(name, data=VALUES + 1, chunks=(2, 2), compression=None if name == "plain" else "gzip")
            f.create_dataset("missing", (6,), "<i4", chunks=(2,), fillvalue=5)[:2] = 1
            f["text"] = "Inline"
        with open(source, "ab") as file:
            file.write(bytes(max(size - source.stat().st_size, 0)))
        os.truncate(source, max(size, source.stat().st_size))
        os.utime(source, ns=(status.st_atime_ns, status.st_mtime_ns))
        report = check(manifest)
        assert by_path(report)["/plain"].status == "differs"
        assert by_path(report)["/packed"].status in ("differs", "unreadable")
        assert first(by_path(report)["/text"]) == ([], "Inline", "inline")

    def test_deleted(self, manifest: Path, source: Path) -> None:
        source.unlink()
        report = check(manifest)
        assert report.failed
        assert report.targets[0].reason == "cannot be read: No such file or directory"
        assert {array.status for array in report.arrays} == {"skipped"}

    def test_truncated(self, manifest: Path, source: Path) -> None:
        os.truncate(source, source.stat().st_size - 100)
        report = check(manifest)
        assert report.failed
        assert "cannot be opened: OSError: " in str(report.targets[0].reason)
        assert report.differences > 0

    def test_truncated_classic(self, tmp_path: Path) -> None:
        KINDS["classic"](tmp_path / "x.nc")
        manifest = refmaker.scan(str(tmp_path / "x.nc"))
        size = (tmp_path / "x.nc").stat().st_size
        os.truncate(tmp_path / "x.nc", size - 20)
        report = check(manifest)
        assert report.targets[0].status in ("changed", "unreadable")
        assert report.differences > 1

    def test_a_directory(self, manifest: Path, source: Path) -> None:
        source.unlink()
        source.mkdir()
        report = check(manifest)
        assert report.failed
        assert report.targets[0].reason == "cannot be read: it is not a regular file"

    def test_neither_hdf5_nor_netcdf(self, manifest: Path, source: Path) -> None:
        source.write_bytes(b"?" * 10000)
        assert check(manifest).failed

    def test_nothing_recorded(self, source: Path, tmp_path: Path) -> None:
        manifest = refmaker.scan(str(source))
        manifest.targets = (Target(str(source)),)
        report = check(manifest)
        nothing_found(report)
        assert report.targets[0].reason == "the manifest does not say what the file was like"

    def test_object_that_h5py_cannot_read(self, source: Path) -> None:
        """The file itself is damaged: nothing can be said of the manifest."""
        manifest = refmaker.scan(str(source))
        offset = int(manifest.arrays["packed"].references.offset[7])
        with open(source, "r+b") as file:
            file.seek(offset)
            file.write(bytes(4))
        result = by_path(check(manifest))["/packed"]
        assert result.status == "skipped"
        assert str(result.reason).startswith("1 chunk of the file cannot be read: chunk 1.2: h5py cannot read it: ")
        assert result.chunks_checked == 19

    def test_combined_from_several_files(self, tmp_path: Path) -> None:
        """Which objects an array of several files is made of, the manifest does not say."""
        targets, columns = [], []
        for i in range(2):
            path = tmp_path / f"{i}.h5"
            with h5py.File(path, "w") as f:
                f.create_dataset("a", data=VALUES)
                f["same"] = VALUES
                offset = f["a"].id.get_offset()
            targets.append(Target(str(path)))
            columns.append((i, i, offset, VALUES.nbytes))
        joined = array("<i4", (16, 10), {}, columns=columns, chunks=(8, 10))
        same = array("<i4", (8, 10), {0: VALUES.tobytes()})
        manifest = Manifest(2, {"": {}}, {"a": joined, "same": same}, tuple(targets))
        report = check(manifest)
        assert by_path(report)["/same"].status == "same"
        assert by_path(report)["/a"].status == "skipped"
        assert "does not say which objects" in str(by_path(report)["/a"].reason)
        assert (report.differences, report.skipped) == (0, 1)

    def test_many_targets(self, tmp_path: Path) -> None:
        """More files than are kept open, each with arrays of its own, one of which differs."""
        targets, arrays, sources = [], {}, {}
        for i in range(12):
            path = tmp_path / f"{i}.h5"
            with h5py.File(path, "w") as f:
                f["inner/a"] = VALUES + i
            targets.append(Target(str(path)))
            for name in (f"x{i}", f"y{i}"):
                arrays[name] = array("<i4", (8, 10), {0: (VALUES + i).tobytes()})
                sources[name] = (i, "/inner/a")
        manifest = Manifest(2, {"": {}}, arrays, tuple(targets), sources=sources)
        manifest.to_json(str(tmp_path / "m.json"))
        assert refmaker.open_manifest(str(tmp_path / "m.json")).sources == sources
        report = check(tmp_path / "m.json")
        nothing_found(report)
        assert [a.path for a in report.arrays] == ["/" + name for name in arrays]
        sources["y7"] = (8, "/inner/a")
        assert first(only(check(manifest), "/y7")) == ([0, 0], 8, 7)

    def test_no_targets(self) -> None:
        manifest = Manifest(2, {"": {}}, {"a": array("<i4", (8, 10), {0: VALUES.tobytes()})}, ())
        report = check(manifest)
        assert (report.differences, report.skipped) == (0, 1)


class TestSources:
    """The record of which object an array shows."""

    @pytest.mark.parametrize(
        "records",
        [[], {"plain": 0}, {"plain": [1, "/a"]}, {"plain": [True, "/a"]}, {"plain": [0, 5]}, {"no": [0, "/a"]}],
    )
    def test_malformed(self, source: Path, tmp_path: Path, records: Any) -> None:
        path = tmp_path / "m.json"
        refmaker.scan(str(source)).to_json(str(path))
        document = json.loads(path.read_bytes())
        document["refmaker"]["sources"] = records
        path.write_text(json.dumps(document))
        with pytest.raises(ManifestError, match=r"refmaker\.sources"):
            check(path)

    @pytest.mark.parametrize("record", [{"no": (0, "/a")}, {"plain": (1, "/a")}])
    def test_not_written(self, source: Path, tmp_path: Path, record: Any) -> None:
        manifest = refmaker.scan(str(source))
        manifest.sources = record
        with pytest.raises(ManifestError):
            manifest.to_json(str(tmp_path / "m.json"))
        assert not (tmp_path / "m.json").exists()

    def test_only_where_it_differs(self, source: Path) -> None:
        assert refmaker.scan(str(source)).sources == {}


class TestErrors:
    @pytest.mark.skipif(ZARR != 2, reason="needs zarr 2")
    def test_zarr_that_is_too_old(self, source: Path) -> None:
        with pytest.raises(SourceError, match="Zarr 3"):
            check(refmaker.scan(str(source), zarr_format=3))

    def test_no_manifest(self, tmp_path: Path) -> None:
        with pytest.raises(SourceError, match=r"m\.json"):
            check(tmp_path / "m.json")

    def test_malformed(self, tmp_path: Path) -> None:
        (tmp_path / "m.json").write_text("{")
        with pytest.raises(ManifestError):
            check(tmp_path / "m.json")

    def test_report_is_strict_json(self, tmp_path: Path) -> None:
        write_hdf5(tmp_path / "x.h5")
        manifest = refmaker.scan(str(tmp_path / "x.h5"), inline_threshold=1000)
        inline = manifest.arrays["special"].references.inline
        inline[0] = inline[0][::-1]
        report = check(manifest)
        content = json.loads(json.dumps(report.to_dict(), allow_nan=False))
        assert content["differences"] == 1
        (special,) = [a for a in content["arrays"] if a["path"] == "/special"]
        assert special["first_difference"]["expected"] == "nan"
        assert isinstance(special["first_difference"]["got"], float)


class TestRemote:
    @pytest.mark.parametrize("kind", ["hdf5", "netcdf4", "classic"])
    def test_http(self, range_server: RangeServer, kind: str, tmp_path: Path) -> None:
        KINDS[kind](tmp_path / "x")
        url = range_server.add("d/x", (tmp_path / "x").read_bytes(), etag='"1"')
        refmaker.scan(url).to_json(str(tmp_path / "m.json"))
        nothing_found(check(range_server.add("d/m.json", (tmp_path / "m.json").read_bytes())))
        range_server.add("d/x", (tmp_path / "x").read_bytes(), etag='"2"')
        (target,) = check(tmp_path / "m.json").targets
        assert (target.status, target.reason) == ("changed", 'ETag "1" then, "2" now')

    def test_garbage_collector_is_left_as_it_was(self, range_server: RangeServer, source: Path) -> None:
        manifest = refmaker.scan(range_server.add("x.h5", source.read_bytes()))
        seen: list[bool] = []
        frozen: list[int] = []

        def progress(_: Progress) -> None:
            seen.append(gc.isenabled())
            frozen.append(gc.get_freeze_count())

        nothing_found(check(manifest, progress=progress))
        assert seen
        assert not any(seen)
        assert all(frozen)
        assert gc.isenabled()
        assert gc.get_freeze_count() == 0

    def test_gone(self, range_server: RangeServer, source: Path) -> None:
        manifest = refmaker.scan(range_server.add("x.h5", source.read_bytes()))
        range_server.forget()
        range_server.files.clear()
        report = check(manifest)
        assert report.failed
        assert str(report.targets[0].reason).startswith("cannot be reached: FileNotFoundError: ")

    def test_storage_options(self, source: Path) -> None:
        filesystem = fsspec.filesystem("memory")
        filesystem.pipe("/verify/x.h5", source.read_bytes())
        manifest = refmaker.scan("memory://verify/x.h5")
        filesystem.pipe("/verify/m.json", json.dumps({}).encode())
        nothing_found(check(manifest, storage_options={"memory://verify": {"skip_instance_cache": True}}))

    def test_local_files_of_a_remote_manifest_are_not_read(
        self, range_server: RangeServer, source: Path, tmp_path: Path
    ) -> None:
        refmaker.scan(str(source)).to_json(str(tmp_path / "m.json"))
        report = check(range_server.add("m.json", (tmp_path / "m.json").read_bytes()))
        assert report.failed
        assert "refers to a file of this machine" in str(report.targets[0].reason)
        assert {a.status for a in report.arrays} == {"skipped"}

    def test_data_in_other_files(self, range_server: RangeServer, tmp_path: Path) -> None:
        with h5py.File(tmp_path / "x.h5", "w") as f:
            f.create_dataset("a", (4,), "i4", external=[("raw.bin", 0, 16)])
        url = range_server.add("x.h5", (tmp_path / "x.h5").read_bytes())
        manifest = Manifest(2, {"": {}}, {"a": array("<i4", (4,), {0: bytes(16)})}, (Target(url),))
        result = by_path(check(manifest))["/a"]
        assert result.status == "skipped"
        assert "/a lies in other files" in str(result.reason)


def test_chunks_of_what_h5py_says_add_up(tmp_path: Path) -> None:
    write_hdf5(tmp_path / "x.h5")
    report = check(refmaker.scan(str(tmp_path / "x.h5")))
    with h5py.File(tmp_path / "x.h5") as f:
        chunks = f["filtered"].chunks
        expected = math.prod(-(-a // b) for a, b in zip(f["filtered"].shape, chunks, strict=True))
    assert by_path(report)["/filtered"].chunks == expected
