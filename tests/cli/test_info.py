"""`refmaker info`: sources and manifests, told apart by content."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import netCDF4
import numpy as np
import pytest

from .conftest import Run


def rows(text: str) -> dict[str, list[str]]:
    """Return the cells of the table, by variable."""
    table = text[text.index("\nvariable") :].split("\n\n")[0].splitlines()[2:]
    return {line.split()[0]: line.split()[1:] for line in table}


class TestSource:
    def test_table(self, run: Run, source: Path) -> None:
        result = run("info", source)
        assert result.exit_code == 0
        assert result.stderr == ""
        first, second, _, head, *_ = result.stdout.splitlines()
        assert first == f"{source}: HDF5, {source.stat().st_size / 1000:.1f} kB"
        assert second.startswith("metadata: ")
        assert head.split()[0] == "variable"
        table = rows(result.stdout)
        assert table["/chunked"][0] == "4x10"
        assert table["/chunked"][2:5] == ["2x5", "<i4", "zlib"]
        assert table["/chunked"][-2:] == ["4/4", "0"]
        assert table["/group/sparse"][-2:] == ["1/3", "2"]
        assert table["/scalar"][0] == "scalar"

    def test_columns_line_up(self, run: Run, source: Path) -> None:
        lines = run("info", source).stdout.splitlines()[3:]
        assert len(lines) == 5
        assert len({len(line) for line in lines}) == 1

    def test_json(self, run: Run, source: Path) -> None:
        content = json.loads(run("info", source, "--json").stdout)
        assert content["kind"] == "HDF5"
        assert content["size"] == source.stat().st_size
        assert 0 < content["metadata_size"] < content["size"]
        assert content["metadata_blocks"] > 0
        assert content["refusals"] == {}
        sparse = {variable["path"]: variable for variable in content["variables"]}["/group/sparse"]
        assert sparse["shape"] == [30]
        assert sparse["stored_size"] == 20
        assert (sparse["chunks_stored"], sparse["chunks_missing"], sparse["chunks_total"]) == (1, 2, 3)

    def test_refusals(self, run: Run, refusing: Path) -> None:
        result = run("info", refusing)
        assert result.exit_code == 3
        assert "\nrefused:\n/regions: " in result.stdout
        assert list(json.loads(run("info", refusing, "--json").stdout)["refusals"]) == ["/regions"]

    def test_netcdf_classic(self, run: Run, tmp_path: Path) -> None:
        path = tmp_path / "classic.nc"
        with netCDF4.Dataset(path, "w", format="NETCDF3_64BIT_OFFSET") as file:
            file.createDimension("time", None)
            file.createVariable("x", "f4", ("time",))[:] = np.arange(3)
        result = run("info", path)
        assert result.exit_code == 0
        assert "netCDF classic" in result.stdout.splitlines()[0]
        assert rows(result.stdout)["/x"][1] == "time"


class TestManifest:
    @pytest.mark.parametrize("zarr_format", ["2", "3"])
    def test_table(self, run: Run, source: Path, zarr_format: str) -> None:
        run("scan", source, "-o", "m.txt", "--zarr-format", zarr_format)
        result = run("info", "m.txt")
        assert result.exit_code == 0
        first, second, *_ = result.stdout.splitlines()
        assert first == f"m.txt: manifest, Zarr {zarr_format}, 1 target"
        assert str(source) in second
        assert ", modified 20" in second
        table = rows(result.stdout)
        assert {path: row[0] for path, row in table.items()} == {
            path: row[0] for path, row in rows(run("info", source).stdout).items()
        }
        assert table["/chunked"][2] == "2x5"
        # Zarr 2 has xarray mask what missing chunks read as, so there they are written out.
        assert table["/group/sparse"][-2:] == (["3/3", "0"] if zarr_format == "2" else ["1/3", "2"])

    def test_compressed(self, run: Run, source: Path) -> None:
        run("scan", source, "-o", "m.json")
        Path("m").write_bytes(gzip.compress(Path("m.json").read_bytes()))
        assert run("info", "m").stdout.splitlines()[1:] == run("info", "m.json").stdout.splitlines()[1:]

    def test_refusals_are_kept(self, run: Run, refusing: Path) -> None:
        run("scan", refusing, "-o", "m.json")
        result = run("info", "m.json")
        assert result.exit_code == 3
        assert "refused:\n/regions: " in result.stdout

    def test_json(self, run: Run, source: Path) -> None:
        run("scan", source, "-o", "m.json")
        content = json.loads(run("info", "m.json", "--json").stdout)
        assert content["kind"] == "manifest"
        assert [target["size"] for target in content["targets"]] == [source.stat().st_size]
        assert len(content["variables"]) == 4

    def test_damaged(self, run: Run) -> None:
        Path("m.json").write_text('{"version": 1, "refs": {')
        result = run("info", "m.json")
        assert result.exit_code == 1
        assert result.stderr.startswith("refmaker: m.json: ")
        assert result.stderr.count("\n") == 1

    def test_many_targets(self, run: Run) -> None:
        refs: dict[str, object] = {
            ".zgroup": '{"zarr_format": 2}',
            "x/.zarray": json.dumps(
                {
                    "zarr_format": 2,
                    "shape": [30],
                    "chunks": [1],
                    "dtype": [["a", "<i4"], ["b", [["c", "|u1"]]]],
                    "compressor": None,
                    "filters": [{"id": "zlib", "level": 1}],
                    "fill_value": None,
                    "order": "C",
                }
            ),
        }
        refs |= {f"x/{i}": [f"s3://bucket/{i}", 0, 10] for i in range(25)}
        Path("m.json").write_text(json.dumps({"version": 1, "refs": refs}))
        result = run("info", "m.json")
        assert "… and 5 more targets: --json lists all" in result.stdout
        assert "{a: <i4, b: {c: |u1}}" in result.stdout
        assert rows(result.stdout)["/x"][-2:] == ["25/30", "5"]
