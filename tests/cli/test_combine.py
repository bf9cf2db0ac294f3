"""`refmaker combine` and `refmaker append`."""

from __future__ import annotations

import json
import os
from pathlib import Path

import netCDF4
import numpy as np
import pytest
import xarray as xr

import refmaker
from tests.engines.cluster import running_cluster

from .conftest import Run


def write(path: Path, start: int, *, scale: float | None = None, rows: int = 4) -> Path:
    with netCDF4.Dataset(path, "w") as file:
        file.createDimension("time", None)
        time = file.createVariable("time", "f8", ("time",))
        time.units = "hours since 2000-01-01"
        time[:] = np.arange(start, start + rows)
        data = file.createVariable("x", "i2", ("time",), chunksizes=(2,), zlib=True)
        data.set_auto_maskandscale(False)
        if scale is not None:
            data.scale_factor = scale
        data[:] = np.arange(start, start + rows)
    return path


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    return [write(tmp_path / f"{number}.nc", 4 * number) for number in range(3)]


@pytest.fixture
def packed(tmp_path: Path) -> list[Path]:
    return [write(tmp_path / f"{number}.nc", 4 * number, scale=0.5 / (number + 1)) for number in range(2)]


class TestCombine:
    def test_done(self, run: Run, files: list[Path]) -> None:
        result = run("combine", *files, "-o", "all.json")
        assert result.exit_code == 0
        assert result.stdout == ""
        assert result.stderr == "3 inputs -> all.json: 2 arrays, 7 chunks, along time (12)\n"
        assert refmaker.open_manifest("all.json").arrays["x"].metadata.document["shape"] == [12]

    def test_manifests_and_stdout(self, run: Run, files: list[Path]) -> None:
        for number, file in enumerate(files):
            run("scan", file, "-o", f"{number}.json")
        result = run("combine", "0.json", "1.json", files[2], "-o", "-", "-q")
        assert result.exit_code == 0
        assert result.stderr == ""
        assert json.loads(result.stdout)["refs"]["x/5"][0] == str(files[2])

    def test_parquet(self, run: Run, files: list[Path]) -> None:
        """References wait in a file beside the output, of which nothing stays."""
        run("combine", *files, "-o", "all.json")
        before = set(os.listdir())
        result = run("combine", *files, "-o", "all.parquet")
        assert result.stderr == "3 inputs -> all.parquet: 2 arrays, 7 chunks, along time (12)\n"
        assert set(os.listdir()) - before == {"all.parquet"}
        run("convert", "all.parquet", "-o", "same.json")
        assert json.loads(Path("same.json").read_text())["refs"] == json.loads(Path("all.json").read_text())["refs"]

    def test_a_new_dimension(self, run: Run) -> None:
        for number in (2, 10):
            write(Path(f"x_r{number}.nc"), 0)
        result = run("combine", "x_r2.nc", "x_r10.nc", "--concat", r"member=_r(\d+)", "-o", "all.parquet")
        assert result.stderr == "2 inputs -> all.parquet: 3 arrays, 6 chunks, along member (2)\n"
        write(Path("x_r5.nc"), 0)
        assert run("append", "all.parquet", "x_r5.nc", "--concat", r"member=_r(\d+)", "-q").exit_code == 0
        with xr.open_dataset("all.parquet", engine="refmaker") as dataset:
            assert dataset.member.values.tolist() == [2, 5, 10]
            assert dataset.x.dims == ("member", "time")

    def test_table(self, run: Run, packed: list[Path]) -> None:
        result = run("combine", *packed, "-o", "all.json", "--report", "r.json", "--on-mismatch", "refuse")
        assert result.exit_code == 1
        head, *table = result.stderr.splitlines()
        assert head == "refmaker: the inputs do not agree:"
        assert table[-1].startswith("to combine the rest: --on-mismatch drop-variable, or --exclude '/")
        assert [row.split() for row in table[:-1]] == [
            ["variable", "differs", "is", "in"],
            ["/x", "scale_factor", "0.5", str(packed[0])],
            ["/x", "scale_factor", "0.25", str(packed[1])],
        ]
        assert not Path("all.json").exists()
        report = json.loads(Path("r.json").read_text())
        assert report["mismatches"] == [
            {
                "variable": "/x",
                "differs": "scale_factor",
                "values": {"0.5": [str(packed[0])], "0.25": [str(packed[1])]},
                "action": None,
            }
        ]
        assert "do not agree" in report["error"]

    def test_what_stood_there_stays(self, run: Run, packed: list[Path]) -> None:
        Path("all.json").write_text("before")
        assert run("combine", *packed, "-o", "all.json", "--on-mismatch", "refuse").exit_code == 1
        assert Path("all.json").read_text() == "before"

    @pytest.mark.parametrize(
        ("how", "action"), [("drop-variable", "dropped"), ("split", "split"), ("inline", "inlined")]
    )
    def test_on_mismatch(self, how: str, action: str, run: Run, tmp_path: Path) -> None:
        files = [write(tmp_path / "a.nc", 0, scale=0.25), write(tmp_path / "b.nc", 4, scale=0.5)]
        result = run("combine", *files, "-o", "all.json", "--on-mismatch", how, "--report", "r.json")
        assert result.exit_code == 3
        assert f"{action}: /x: scale_factor: 0.25" in result.stderr
        report = json.loads(Path("r.json").read_text())
        assert [(one["variable"], one["action"]) for one in report["mismatches"]] == [("/x", action)]
        assert report["error"] is None
        assert report["dimensions"][0]["path"] == "time"
        manifest = refmaker.open_manifest("all.json")
        expected = {"dropped": {"time"}, "inlined": {"time", "x"}}.get(
            action, {"part_0/time", "part_0/x", "part_1/time", "part_1/x"}
        )
        assert set(manifest.arrays) == expected
        assert ("/x" in manifest.refusals) == (action == "dropped")

    def test_refusals_of_inputs(self, run: Run, files: list[Path]) -> None:
        manifest = refmaker.scan(str(files[0]))
        manifest.refusals["/odd"] = "no such thing"
        manifest.to_json("0.json")
        result = run("combine", "0.json", *files[1:], "-o", "all.json")
        assert result.exit_code == 3
        assert "/odd: no such thing (in 1 of 3 inputs)" in result.stderr

    def test_notes(self, run: Run, files: list[Path]) -> None:
        with netCDF4.Dataset(files[1], "a") as file:
            file.title = "another"
        result = run("combine", *files, "-o", "all.json")
        assert result.exit_code == 0
        assert "1 note: /: title: not the same in all inputs, the first one's is taken; --report" in result.stderr

    def test_options(self, run: Run, files: list[Path]) -> None:
        result = run(
            "combine", files[0], files[0], files[1], "-o", "all.json", "--concat", "time", "--duplicates", "first",
            "--jobs", "2", "--inline-limit", "1000",
        )  # fmt: skip
        assert result.exit_code == 0
        assert refmaker.open_manifest("all.json").arrays["x"].metadata.document["shape"] == [8]

    def test_on_a_cluster(self, run: Run, files: list[Path]) -> None:
        pytest.importorskip("distributed")
        with running_cluster() as cluster:
            result = run("combine", *files, "-o", "all.json", "--engine", "dask", "--scheduler", cluster.address)
        assert result.exit_code == 0
        run("combine", *files, "-o", "alone.json")
        assert Path("all.json").read_bytes() == Path("alone.json").read_bytes()

    @pytest.mark.parametrize("arguments", [["--scheduler", "tcp://x"], ["--engine", "dask", "--jobs", "2"]])
    def test_engines_and_their_options(self, run: Run, files: list[Path], arguments: list[str]) -> None:
        assert run("combine", *files, "-o", "all.json", *arguments).exit_code == 2

    def test_not_plain(self, run: Run, files: list[Path]) -> None:
        result = run("combine", *files, "-o", "all.json", "--concat", "member")
        assert result.exit_code == 1
        assert result.stderr == "refmaker: no input has a dimension 'member': choose from time\n"

    @pytest.mark.parametrize("arguments", [[], ["-o", "all.json"], ["a.nc"], ["a.nc", "-o", "a.nc"]])
    def test_usage(self, arguments: list[str], run: Run) -> None:
        assert run("combine", *arguments).exit_code == 2

    def test_nowhere_to_write(self, run: Run, files: list[Path]) -> None:
        result = run("combine", *files, "-o", "no/such/all.json")
        assert result.exit_code == 1
        assert "there is no directory" in result.stderr

    def test_unreadable_input(self, run: Run, files: list[Path]) -> None:
        result = run("combine", *files, "none.nc", "-o", "all.json", "--report", "r.json")
        assert result.exit_code == 1
        assert result.stderr.startswith("refmaker: none.nc: cannot be read")
        assert "none.nc" in json.loads(Path("r.json").read_text())["error"]


class TestAppend:
    def test_in_place(self, run: Run, files: list[Path]) -> None:
        run("combine", *files, "-o", "all.json")
        run("combine", *files[:2], "-o", "some.json")
        result = run("append", "some.json", files[2])
        assert result.exit_code == 0
        found, expected = json.loads(Path("some.json").read_text()), json.loads(Path("all.json").read_text())
        assert found["refs"] == expected["refs"]

    def test_elsewhere(self, run: Run, files: list[Path]) -> None:
        run("combine", *files[:2], "-o", "some.json")
        before = Path("some.json").read_bytes()
        assert run("append", "some.json", files[2], "-o", "more.json").exit_code == 0
        assert Path("some.json").read_bytes() == before
        assert refmaker.open_manifest("more.json").arrays["x"].metadata.document["shape"] == [12]

    def test_not_to_a_source_file(self, run: Run, files: list[Path]) -> None:
        before = files[0].read_bytes()
        result = run("append", files[0], files[1])
        assert result.exit_code == 1
        assert "not a manifest" in result.stderr
        assert files[0].read_bytes() == before

    def test_what_does_not_fit(self, run: Run, files: list[Path]) -> None:
        run("combine", *files[:2], "-o", "some.json")
        before = Path("some.json").read_bytes()
        result = run("append", "some.json", files[1])
        assert result.exit_code == 1
        assert "duplicates" in result.stderr
        assert "some.json and 1 more" in result.stderr
        assert Path("some.json").read_bytes() == before
