"""Records of netCDF classic in chunks: as asked for, or as the report says; and how many rounds a remote file takes."""

from __future__ import annotations

import json
from pathlib import Path

import netCDF4
import numpy as np
import pytest
from click.testing import CliRunner
from refmaker_cli.main import main

from refmaker.netcdf3 import walk as walk_module
from refmaker.scanning.scan import scan, scan_file
from tests.mapping.stock import open_array
from tests.netcdf3.classic import Var, build
from tests.servers import RangeServer, range_server

__all__ = ["range_server"]


def one(folder: Path, records: int, width: int = 3) -> tuple[Path, np.ndarray]:
    path, data = folder / "one.nc", np.arange(records * width, dtype="i4").reshape(records, width)
    with netCDF4.Dataset(path, "w", format="NETCDF3_CLASSIC") as nc:
        nc.createDimension("t", None)
        nc.createDimension("x", width)
        nc.createVariable("v", "i4", ("t", "x"))[:] = data
    return path, data


def two(folder: Path) -> Path:
    path = folder / "two.nc"
    with netCDF4.Dataset(path, "w", format="NETCDF3_CLASSIC") as nc:
        nc.createDimension("t", None)
        for name in "ab":
            nc.createVariable(name, "i4", ("t",))[:] = np.arange(6)
    return path


def notes(manifest, path: str) -> list[str]:
    return next(line.notes for line in manifest.objects if line.path == path)


@pytest.mark.parametrize(
    ("asked", "chunk", "stored", "inlined"), [(1, 1, 7, 0), (7, 7, 1, 0), (9, 7, 1, 0), (3, 3, 2, 1)]
)
@pytest.mark.parametrize("zarr_format", [2, 3])
def test_as_many_as_asked(tmp_path, asked, chunk, stored, inlined, zarr_format):
    path, data = one(tmp_path, 7)
    manifest = scan(str(path), records_per_chunk=asked, zarr_format=zarr_format)
    references = manifest.arrays["v"].references
    assert (len(references.cell), len(references.inline)) == (stored, inlined)
    assert references.size.tolist() == [chunk * 12] * stored
    np.testing.assert_array_equal(open_array(manifest, tmp_path, "v")[...], data)
    assert open_array(manifest, tmp_path, "v").chunks == (chunk, 3)
    assert any("last 1 of 7 records" in note for note in notes(manifest, "/v")) == bool(inlined)


def test_a_rest_that_is_too_large_for_the_manifest(tmp_path):
    path, data = one(tmp_path, 14)
    manifest = scan(str(path), records_per_chunk=6, inline_limit=71)
    assert manifest.arrays["v"].metadata.document["chunks"] == [2, 3]
    assert manifest.arrays["v"].references.inline == {}
    assert any("chunks of 6 records are not possible" in note for note in notes(manifest, "/v"))
    np.testing.assert_array_equal(open_array(manifest, tmp_path, "v")[...], data)


def test_where_other_data_lie_between(tmp_path):
    manifest = scan(str(two(tmp_path)), records_per_chunk=3)
    for path in ("/a", "/b"):
        assert any("records_per_chunk=3 is not possible" in note for note in notes(manifest, path))
        assert manifest.arrays[path[1:]].metadata.document["chunks"] == [1]
    for asked in (None, 1):
        assert notes(scan(str(two(tmp_path)), records_per_chunk=asked), "/a") == []


def test_without_the_option(tmp_path, monkeypatch):
    path, data = one(tmp_path, 12)
    for part, chunk in ((4 << 20, 12), (72, 6), (71, 4), (3, 1)):
        monkeypatch.setattr(walk_module, "RECORD_PART", part)
        manifest = scan(str(path))
        assert manifest.arrays["v"].metadata.document["chunks"] == [chunk, 3]
        assert notes(manifest, "/v") == []
        np.testing.assert_array_equal(open_array(manifest, tmp_path, "v")[...], data)


def test_fewer_than_one(tmp_path):
    with pytest.raises(ValueError, match="at least 1"):
        scan(str(one(tmp_path, 3)[0]), records_per_chunk=0)


def test_on_the_command_line(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    one(tmp_path, 7)
    assert CliRunner().invoke(main, ["scan", "one.nc", "--records-per-chunk", "3"]).exit_code == 0
    assert json.loads(json.loads(Path("one.nc.json").read_text())["refs"]["v/.zarray"])["chunks"] == [3, 3]
    done = CliRunner().invoke(main, ["batch", "one.nc", "--out", "out", "--records-per-chunk", "2", "-j", "1"])
    assert done.exit_code == 0, done.output
    assert json.loads(json.loads(Path("out/one.nc.json").read_text())["refs"]["v/.zarray"])["chunks"] == [2, 3]
    assert CliRunner().invoke(main, ["scan", "one.nc", "--records-per-chunk", "0"]).exit_code == 2


@pytest.mark.parametrize("version", [1, 2, 5])
@pytest.mark.parametrize("header", [10, 300_000, 700_000, 6_000_000])
def test_rounds_of_a_whole_scan(range_server: RangeServer, version, header):
    """The first read is 512 KiB; headers that are larger take two more rounds at most."""
    dims = [("t", 0), ("x", 1000)]
    variables = [Var(name, [0, 1], "i2") for name in "abc"] + [Var("fixed", [1], "f4")]
    attributes = [("history", "S1", b"h" * header)]
    data = build(version, dims=dims, attributes=attributes, variables=variables, records=50)
    url = range_server.add("classic.nc", data)
    range_server.forget()
    manifest = scan_file(url).manifest
    assert {name: len(array.references) for name, array in manifest.arrays.items()} == {
        **dict.fromkeys("abc", 50),
        "fixed": 1,
    }
    assert manifest.refusals == {}
    served = range_server.served
    assert all(request.method == "GET" for request in served)
    assert len(served) <= (1 if header < 500_000 else 3)  # each round is one request at least
