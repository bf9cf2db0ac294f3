"""Combined manifests held against the files that they were made of: good ones pass, wrong ones are found."""

from __future__ import annotations

import dataclasses
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import h5py
import netCDF4
import numpy as np
import pytest

import refmaker
from refmaker.kerchunk.parquet_writer import load_parquet
from refmaker.manifest.manifest import Manifest
from refmaker.manifest.references import References
from refmaker.verification.verify import VerifyReport, verify
from tests.combining.making import LAT, values, write
from tests.servers import RangeServer, range_server

__all__ = ["range_server"]


def days(folder: Path, count: int, **options: Any) -> list[Path]:
    return [write(folder / f"{number}.nc", 4 * number, **options) for number in range(count)]


def found(manifest: Any, sample: int | None = None, **options: Any) -> dict[str, tuple[str, str | None]]:
    """Return what is not the same."""
    report = verify(manifest, sample=sample, **options)
    assert report.files
    return {one.path: (one.status, one.reason) for one in report.arrays if one.status != "same"}


def changed(manifest: Manifest, path: str, **columns: Any) -> Manifest:
    array = manifest.arrays[path]
    old = array.references
    parts = {name: columns.get(name, getattr(old, name)) for name in ("cell", "target", "offset", "size", "inline")}
    arrays = {**manifest.arrays, path: dataclasses.replace(array, references=References(**parts))}
    return dataclasses.replace(manifest, arrays=arrays)


class TestGood:
    @pytest.mark.parametrize("zarr_format", [2, 3])
    @pytest.mark.parametrize("sample", [None, 3])
    def test_days(self, zarr_format: Any, sample: int | None, tmp_path: Path) -> None:
        manifest = refmaker.combine(days(tmp_path, 20)[::-1], zarr_format=zarr_format)
        manifest.to_json(tmp_path / "m.json")
        manifest.to_parquet(tmp_path / "m.parquet")
        for one in (manifest, tmp_path / "m.json", tmp_path / "m.parquet"):
            report = verify(one, sample=sample)
            assert [(array.path, array.status) for array in report.arrays if array.status != "same"] == []
            assert report.files == (20 if sample is None else 16)
            assert all(array.chunks_checked for array in report.arrays)

    def test_times_that_were_written_anew(self, tmp_path: Path) -> None:
        first = write(tmp_path / "a.nc")
        units = {"units": "days since 2000-01-01 04:00"}
        second = write(tmp_path / "b.nc", 4, times=np.arange(4) / 24, time_attributes=units)
        third = write(tmp_path / "c.nc", 8, time_dtype="i4", time_attributes={"calendar": "proleptic_gregorian"})
        assert found(refmaker.combine([first, second, third])) == {}

    def test_bounds(self, tmp_path: Path) -> None:
        paths = []
        for number, units in enumerate(("hours since 2000-01-01", "days since 2000-01-02")):
            paths.append(tmp_path / f"{number}.nc")
            with netCDF4.Dataset(paths[-1], "w") as file:
                file.createDimension("time", None)
                file.createDimension("nv", 2)
                time = file.createVariable("time", "f8", ("time",))
                time.setncatts({"units": units, "bounds": "time_bnds"})
                time[:] = np.arange(4) + 0.5
                bounds = file.createVariable("time_bnds", "f8", ("time", "nv"))
                bounds[:] = np.arange(4)[:, None] + [0, 1]
        assert found(refmaker.combine(paths)) == {}

    def test_packing_that_was_written_anew(self, tmp_path: Path) -> None:
        first = write(tmp_path / "a.nc", dtype="i2", attributes={"scale_factor": 0.5}, fill=-1)
        second = write(
            tmp_path / "b.nc", 4, dtype="i2", attributes={"scale_factor": 0.25}, raw=values(4, 4) * 2, fill=-1
        )
        third = write(tmp_path / "c.nc", 8, dtype="f8", dims=("time", "lon", "lat"), chunks=(2, 5, 4))
        manifest = refmaker.combine([first, second], on_mismatch="inline")
        assert found(manifest) == {}
        assert manifest.arrays["t2m"].references.inline
        other = write(tmp_path / "d.nc", 4, dtype="f8")
        assert found(refmaker.combine([other, third], on_mismatch="inline")) == {}

    def test_duplicates(self, tmp_path: Path) -> None:
        first, second = write(tmp_path / "a.nc"), write(tmp_path / "b.nc", 2, raw=values(2, 4) + 5000)
        for which in ("first", "last"):
            assert found(refmaker.combine([first, second], duplicates=which)) == {}

    def test_parts(self, tmp_path: Path) -> None:
        first, second, third = (
            write(tmp_path / "a.nc"),
            write(tmp_path / "b.nc", 4, dtype="f8"),
            write(tmp_path / "c.nc", 8),
        )
        manifest = refmaker.combine([first, second, third], on_mismatch="split")
        assert "part_1/t2m" in manifest.arrays
        assert found(manifest) == {}

    def test_partial_chunks(self, tmp_path: Path) -> None:
        paths = [write(tmp_path / "a.nc", 0, 3), write(tmp_path / "b.nc", 3, 4), write(tmp_path / "c.nc", 7, 3)]
        assert found(refmaker.combine(paths, on_mismatch="inline")) == {}

    def test_a_grid(self, tmp_path: Path) -> None:
        paths = [
            write(tmp_path / f"{t}{half}.nc", 4 * t, lat=LAT[2 * half : 2 * half + 2], chunks=(2, 2, 5),
                  raw=values(4 * t, 4)[:, 2 * half : 2 * half + 2])
            for t in range(2) for half in range(2)
        ]  # fmt: skip
        assert found(refmaker.combine(paths)) == {}

    def test_without_a_coordinate(self, tmp_path: Path) -> None:
        paths = days(tmp_path, 3, coordinates=False)
        assert found(refmaker.combine(paths, concat="time")) == {}

    def test_merged(self, tmp_path: Path) -> None:
        first = write(tmp_path / "a.nc", variable="t2m")
        second = write(tmp_path / "b.nc", variable="d2m", raw=values(0, 4) + 7)
        assert found(refmaker.combine([first, second])) == {}

    def test_missing_chunks(self, tmp_path: Path) -> None:
        first = write(tmp_path / "a.nc", fill=-1.0)
        second = write(tmp_path / "b.nc", 4, fill=-1.0, raw=np.ma.masked_all((4, 4, 5)))
        assert found(refmaker.combine([first, second])) == {}

    def test_netcdf_classic(self, tmp_path: Path) -> None:
        paths = []
        for number in range(3):
            paths.append(tmp_path / f"{number}.nc")
            with netCDF4.Dataset(paths[-1], "w", format="NETCDF3_64BIT_OFFSET") as file:
                file.createDimension("x", 4)
                file.createVariable("x", "f8", ("x",))[:] = np.arange(4) + 4 * number
                file.createVariable("y", "i4", ("x",))[:] = np.arange(4) * number
        assert found(refmaker.combine(paths)) == {}


class TestWrong:
    @pytest.fixture
    def manifest(self, tmp_path: Path) -> Manifest:
        return refmaker.combine(days(tmp_path, 3))

    def test_none(self, manifest: Manifest) -> None:
        assert found(manifest) == {}

    @pytest.mark.parametrize("sample", [None, 64])
    def test_files_swapped(self, sample: int | None, manifest: Manifest) -> None:
        """What is read is sound, and stands in the place of another."""
        references = manifest.arrays["t2m"].references
        order = np.array([4, 5, 2, 3, 0, 1])
        columns = {name: getattr(references, name)[order] for name in ("target", "offset", "size")}
        status, reason = found(changed(manifest, "t2m", **columns), sample)["/t2m"]
        assert status == "differs"
        assert "2 chunks of" in str(reason)
        assert "where it has no rows" in str(reason)

    def test_chunks_of_a_file_swapped(self, manifest: Manifest) -> None:
        references = manifest.arrays["t2m"].references
        order = np.array([1, 0, 2, 3, 4, 5])
        columns = {name: getattr(references, name)[order] for name in ("target", "offset", "size")}
        report = verify(changed(manifest, "t2m", **columns), sample=None)
        [wrong] = [array for array in report.arrays if array.status != "same"]
        assert wrong.path == "/t2m"
        assert wrong.chunks_different == 2
        assert wrong.first_difference is not None
        assert wrong.first_difference.index == [0, 0, 0]
        assert report.differences == 1

    def test_a_time(self, manifest: Manifest) -> None:
        """A value of a coordinate that no file has."""
        data = bytearray(manifest.arrays["time"].references.inline[0])
        data[-8:] = np.float64(99).tobytes()
        wrong = found(changed(manifest, "time", inline={0: bytes(data)}))
        assert set(wrong) == {"/time", "/t2m"}
        assert "has values that the combined one has not" in str(wrong["/time"][1])

    def test_units(self, manifest: Manifest) -> None:
        manifest.arrays["time"].attributes["units"] = "hours since 2000-01-02"
        assert set(found(manifest)) == {"/time", "/t2m"}

    def test_scale(self, tmp_path: Path) -> None:
        manifest = refmaker.combine(days(tmp_path, 2, dtype="i2", attributes={"scale_factor": 0.5}))
        assert found(manifest) == {}
        manifest.arrays["t2m"].attributes["scale_factor"] = 0.25
        assert set(found(manifest)) == {"/t2m"}

    def test_a_constant(self, manifest: Manifest) -> None:
        data = bytearray(manifest.arrays["lat"].references.inline[0])
        data[:8] = np.float64(1).tobytes()
        assert set(found(changed(manifest, "lat", inline={0: bytes(data)}))) == {"/lat", "/t2m"}

    def test_a_chunk_dropped(self, manifest: Manifest) -> None:
        references = manifest.arrays["t2m"].references
        columns = {name: getattr(references, name)[:-1] for name in ("cell", "target", "offset", "size")}
        manifest.arrays["t2m"].metadata.document["fill_value"] = 0.0
        assert found(changed(manifest, "t2m", **columns))["/t2m"][0] == "differs"

    def test_a_file_changed(self, manifest: Manifest, tmp_path: Path) -> None:
        with h5py.File(tmp_path / "1.nc", "r+") as file:
            file["lat"][0] = 17
        report = verify(manifest, sample=None)
        assert [target.status for target in report.targets] == ["same", "changed", "same"]
        assert {array.path for array in report.arrays if array.status == "differs"} == {"/lat", "/t2m"}

    def test_a_file_gone(self, manifest: Manifest, tmp_path: Path) -> None:
        (tmp_path / "1.nc").unlink()
        report = verify(manifest, sample=None)
        assert report.failed
        assert found(manifest)["/t2m"][0] == "skipped"
        assert found(manifest, 64)["/t2m"][0] == "skipped"

    def test_rows_of_nobody(self, tmp_path: Path) -> None:
        paths = days(tmp_path, 3)
        manifest = refmaker.combine(paths)
        targets = manifest.targets[:2]
        references = manifest.arrays["t2m"].references
        columns = {name: getattr(references, name)[:4] for name in ("cell", "target", "offset", "size")}
        columns["inline"] = {4: b"x", 5: b"x"}
        wrong = found(dataclasses.replace(changed(manifest, "t2m", **columns), targets=targets))
        assert "4 rows along axis 0 that no file has" in str(wrong["/time"][1])


class TestContainers:
    @pytest.fixture
    def tar(self, tmp_path: Path) -> Path:
        with tarfile.open(tmp_path / "c.tar", "w") as archive:
            for path in days(tmp_path, 3):
                archive.add(path, f"in/{path.name}")
        return tmp_path / "c.tar"

    def test_member(self, tar: Path) -> None:
        for number in range(3):
            report = verify(refmaker.scan(f"tar://in/{number}.nc::{tar}"), sample=None)
            assert [(array.path, array.status) for array in report.arrays if array.status != "same"] == []
            assert all(array.chunks_checked == array.chunks for array in report.arrays)

    def test_members_combined(self, tar: Path) -> None:
        manifest = refmaker.combine([f"tar://in/{number}.nc::{tar}" for number in range(3)])
        assert len(manifest.targets) == 1
        assert found(manifest) == {}
        references = manifest.arrays["t2m"].references
        order = np.array([4, 5, 2, 3, 0, 1])
        swapped = changed(manifest, "t2m", offset=references.offset[order], size=references.size[order])
        assert set(found(swapped)) == {"/t2m"}

    def test_in_a_zip_file(self, tmp_path: Path) -> None:
        classic = tmp_path / "b.nc"
        with netCDF4.Dataset(classic, "w", format="NETCDF3_CLASSIC") as file:
            file.createDimension("x", 4)
            file.createVariable("y", "i4", ("x",))[:] = np.arange(4)
        with zipfile.ZipFile(tmp_path / "c.zip", "w") as archive:
            archive.write(write(tmp_path / "a.nc"), "a.nc")
            archive.write(classic, "b.nc")
        for name in ("a.nc", "b.nc"):
            manifest = refmaker.scan(f"zip://{name}::{tmp_path}/c.zip")
            report = verify(manifest, sample=None)
            assert {array.status for array in report.arrays} == {"same"}
        broken = changed(manifest, "y", offset=manifest.arrays["y"].references.offset + np.uint64(4))
        assert verify(broken, sample=None).differences + verify(broken, sample=None).skipped

    @pytest.mark.parametrize("kind", ["tar", "zip"])
    def test_far_away(self, kind: str, range_server: RangeServer, tar: Path, tmp_path: Path) -> None:
        data = tar.read_bytes()
        if kind == "zip":
            with zipfile.ZipFile(tmp_path / "c.zip", "w") as archive:
                for number in range(3):
                    archive.write(tmp_path / f"{number}.nc", f"in/{number}.nc")
            data = (tmp_path / "c.zip").read_bytes()
        url = range_server.add("c." + kind, data)
        manifest = refmaker.scan(f"{kind}://in/1.nc::{url}")
        report = verify(manifest, sample=None)
        assert {array.status for array in report.arrays} == {"same"}
        assert manifest.targets[0].url == url


def test_over_http(range_server: RangeServer, tmp_path: Path) -> None:
    urls = [range_server.add(path.name, path.read_bytes()) for path in days(tmp_path, 3)]
    manifest = refmaker.combine(urls)
    assert found(manifest) == {}


def test_parquet_is_opened_shard_by_shard(tmp_path: Path) -> None:
    refmaker.combine(days(tmp_path, 3), spill=tmp_path).to_parquet(tmp_path / "m.parquet")
    assert load_parquet(tmp_path / "m.parquet").chunks
    report: VerifyReport = verify(tmp_path / "m.parquet")
    assert {array.status for array in report.arrays} == {"same"}
