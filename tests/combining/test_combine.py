"""Combining beyond two files that follow each other in time."""

from __future__ import annotations

import itertools
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

import refmaker
from refmaker.combining import collection, rows
from refmaker.errors import ManifestError, SourceError, TargetChanged
from refmaker.kerchunk.parquet_writer import load_parquet
from refmaker.manifest.manifest import Manifest, ManifestArray, Target
from refmaker.manifest.references import References
from refmaker.zarr.metadata import ArrayMetadata

from .making import LAT, LON, joined, original, shown, values, write


def days(folder: Path, count: int, **options: Any) -> list[Path]:
    return [write(folder / f"{number}.nc", 4 * number, **options) for number in range(count)]


class TestInputs:
    def test_files_manifests_and_paths_of_manifests(self, tmp_path: Path) -> None:
        first, second, third = days(tmp_path, 3)
        refmaker.scan(str(second)).to_json(str(tmp_path / "m.json"))
        mixed = refmaker.combine([first, tmp_path / "m.json", refmaker.scan(str(third))])
        xr.testing.assert_identical(shown(mixed), joined(first, second, third))

    def test_one(self, tmp_path: Path) -> None:
        path = write(tmp_path / "a.nc")
        xr.testing.assert_identical(shown(refmaker.combine([path])), original(path)[0])

    def test_none(self) -> None:
        with pytest.raises(refmaker.CombineError, match="no inputs"):
            refmaker.combine([])

    def test_targets_beside_their_manifest(self, tmp_path: Path) -> None:
        """A combined manifest lies elsewhere, so that relative targets become absolute."""
        (tmp_path / "far").mkdir()
        first, second = write(tmp_path / "far" / "a.nc"), write(tmp_path / "b.nc", 4)
        text = (tmp_path / "m").as_posix()
        refmaker.scan(str(first)).to_json(text)
        moved = (tmp_path / "m").read_text().replace(str(first), "a.nc")
        (tmp_path / "far" / "m.json").write_text(moved)
        manifest = refmaker.combine([tmp_path / "far" / "m.json", second])
        assert {target.url for target in manifest.targets} == {str(first), str(second)}

    def test_targets_refusals_and_history_are_carried_over(self, tmp_path: Path) -> None:
        first, second = (refmaker.scan(str(path)) for path in days(tmp_path, 2))
        first.refusals["/odd"] = "no such thing in Zarr"
        second.refusals["/t2m/odder"] = "another reason"
        manifest = refmaker.combine([first, second])
        assert manifest.targets == (*first.targets, *second.targets)
        assert manifest.refusals["/odd"] == "no such thing in Zarr (in 1 of 2 inputs)"
        assert manifest.refusals["/t2m/odder"] == "another reason (in 1 of 2 inputs)"
        assert manifest.history == [*first.history, *second.history, "combined 2 inputs along time"]

    def test_refused_by_one_is_refused(self, tmp_path: Path) -> None:
        first, second = (refmaker.scan(str(path)) for path in days(tmp_path, 2))
        del second.arrays["t2m"]
        second.refusals["/t2m"] = "too odd"
        manifest = refmaker.combine([first, second])
        assert "t2m" not in manifest.arrays
        assert manifest.refusals == {"/t2m": "too odd (in 1 of 2 inputs)"}

    def test_refused_coordinate(self, tmp_path: Path) -> None:
        first, second = (refmaker.scan(str(path)) for path in days(tmp_path, 2))
        del second.arrays["time"]
        second.refusals["/time"] = "too odd"
        with pytest.raises(refmaker.CombineError, match="refused a coordinate"):
            refmaker.combine([first, second], concat="time")

    def test_zarr_formats(self, tmp_path: Path) -> None:
        first, second = days(tmp_path, 2)
        with pytest.raises(refmaker.CombineError, match="different Zarr formats"):
            refmaker.combine([refmaker.scan(str(first)), refmaker.scan(str(second), zarr_format=3)])
        refmaker.scan(str(first), zarr_format=3).to_json(str(tmp_path / "m.json"))
        assert refmaker.combine([tmp_path / "m.json", second]).zarr_format == 3

    def test_file_that_changed_between_scans(self, tmp_path: Path) -> None:
        path = write(tmp_path / "a.nc")
        before = refmaker.scan(str(path))
        write(path, 4, rows=6)
        with pytest.raises(refmaker.CombineError, match="changed between scans"):
            refmaker.combine([before, refmaker.scan(str(path))])

    def test_file_that_changed_since(self, tmp_path: Path) -> None:
        first, second = days(tmp_path, 2)
        held = refmaker.scan(str(first))
        write(first, 8, rows=6)
        with pytest.raises(TargetChanged) as error:
            refmaker.combine([held, second])
        assert error.value.path in ("/time", "/lat", "/lon")

    def test_file_that_is_gone(self, tmp_path: Path) -> None:
        first, second = days(tmp_path, 2)
        held = refmaker.scan(str(first))
        first.unlink()
        with pytest.raises(SourceError):
            refmaker.combine([held, second])

    def test_processes(self, tmp_path: Path) -> None:
        paths = days(tmp_path, 5)
        alone, together = refmaker.combine(paths), refmaker.combine(paths, jobs=2)
        assert_same(alone, together)
        assert alone.targets == together.targets
        assert alone.history == together.history

    def test_progress(self, tmp_path: Path) -> None:
        seen: list[tuple[int, int]] = []
        refmaker.combine(days(tmp_path, 3), progress=lambda one: seen.append((one.done, one.known)))
        assert seen == [(1, 3), (2, 3), (3, 3)]


def assert_same(one: Manifest, other: Manifest) -> None:
    """Compare what manifests hold, references by the urls of their targets."""
    assert one.arrays.keys() == other.arrays.keys()
    assert one.groups == other.groups
    for path, array in one.arrays.items():
        twin = other.arrays[path]
        assert (array.metadata, array.attributes, array.grid) == (twin.metadata, twin.attributes, twin.grid), path
        assert array.references.inline == twin.references.inline
        for name in ("cell", "offset", "size"):
            assert getattr(array.references, name).tolist() == getattr(twin.references, name).tolist(), path
        urls = [one.targets[code].url for code in array.references.target.tolist()]
        assert urls == [other.targets[code].url for code in twin.references.target.tolist()]


class TestDimensions:
    def test_which_is_found(self, tmp_path: Path) -> None:
        made = refmaker.combine_with_report(days(tmp_path, 3))
        assert [(one.path, one.length) for one in made.dimensions] == [("time", 12)]
        assert made.dimensions[0].inputs == tuple(str(path) for path in sorted(tmp_path.iterdir()))

    def test_order_of_inputs_does_not_matter(self, tmp_path: Path) -> None:
        paths = days(tmp_path, 3)
        whole = refmaker.combine(paths)
        for order in itertools.permutations(paths):
            assert_same(refmaker.combine(order), whole)

    def test_unknown(self, tmp_path: Path) -> None:
        with pytest.raises(refmaker.CombineError, match="no input has a dimension 'x': choose from lat, lon, time"):
            refmaker.combine(days(tmp_path, 2), concat="x")

    def test_two(self, tmp_path: Path) -> None:
        paths = tiles(tmp_path)
        manifest = refmaker.combine([path for row in paths for path in row])
        expected = xr.combine_nested(
            [original(*row) for row in paths], ["time", "lat"], combine_attrs="override", join="exact", compat="equals",
            data_vars="minimal", coords="minimal",
        )  # fmt: skip
        xr.testing.assert_identical(shown(manifest), expected)

    def test_hole(self, tmp_path: Path) -> None:
        paths = [path for row in tiles(tmp_path) for path in row][:-1]
        with pytest.raises(refmaker.CombineError, match=r"/t2m: holes: 5 inputs for a grid of 3 x 2|/t2m: holes"):
            refmaker.combine(paths, concat=["time", "lat"])

    def test_what_is_not_plain(self, tmp_path: Path) -> None:
        first = write(tmp_path / "a.nc", time_attributes={"units": "1"})
        second = write(tmp_path / "b.nc", 4, lat=LAT + 1, time_attributes={"units": "1"})
        with pytest.raises(refmaker.CombineError, match=r"several coordinates differ.*: lat, time"):
            refmaker.combine([first, second])

    def test_without_coordinates(self, tmp_path: Path) -> None:
        first, second = write(tmp_path / "a.nc", coordinates=False), write(tmp_path / "b.nc", 4, coordinates=False)
        with pytest.raises(refmaker.CombineError, match="concatenate along: lat, lon, time"):
            refmaker.combine([first, second])
        manifest = refmaker.combine([second, first], concat="time")
        xr.testing.assert_identical(shown(manifest), joined(second, first))

    def test_groups(self, tmp_path: Path) -> None:
        paths = []
        for number in range(2):
            dataset = original(write(tmp_path / f"{number}.nc", 4 * number))[0]
            paths.append(tmp_path / f"g{number}.nc")
            dataset.to_netcdf(paths[-1], group="/a", mode="w", encoding={"t2m": {"chunksizes": (2, 4, 5)}})
            dataset.to_netcdf(paths[-1], group="/a/b", mode="a", encoding={"t2m": {"chunksizes": (2, 4, 5)}})
        manifest = refmaker.combine(paths)
        for group in ("a", "a/b"):
            parts = []
            for path in paths:
                with xr.open_dataset(path, group=group, engine="netcdf4") as part:
                    parts.append(part.load())
            expected = xr.concat(parts, "time", data_vars="minimal", coords="minimal", compat="equals", join="exact")
            xr.testing.assert_identical(shown(manifest, group), expected)

    def test_names(self, tmp_path: Path) -> None:
        """Strings have no order of their own: that of the inputs holds."""
        paths = []
        for number, names in enumerate((["b", "a"], ["d", "c"], ["a", "e"])):
            paths.append(tmp_path / f"{number}.nc")
            data = np.arange(6).reshape(2, 3) + 10 * number
            xr.Dataset({"x": (("member", "i"), data)}, {"member": names}).to_netcdf(
                paths[-1], encoding={"x": {"chunksizes": (1, 3), "zlib": True}}
            )
        expected = joined(*paths[:2], dim="member")
        xr.testing.assert_equal(shown(refmaker.combine(paths[:2])), expected)
        with pytest.raises(refmaker.CombineError, match="/member: duplicates: a"):
            refmaker.combine(paths)
        last = shown(refmaker.combine(paths, duplicates="last"))
        assert last.member.values.tolist() == ["b", "d", "c", "a", "e"]
        assert last.x.values[:, 0].tolist() == [0, 10, 13, 20, 23]

    def test_input_without_rows(self, tmp_path: Path) -> None:
        first, second = days(tmp_path, 2)
        nothing = write(tmp_path / "n.nc", 4, rows=0, raw=np.empty((0, 4, 5)))
        xr.testing.assert_identical(shown(refmaker.combine([nothing, first, second])), joined(first, second))


def tiles(folder: Path) -> list[list[Path]]:
    """Write three times two files: 4 times, 4 latitudes each."""
    return [
        [
            write(folder / f"{t}{y}.nc", 4 * t, lat=LAT + 200 * y, raw=values(4 * t, 4, seed=1000 * y))
            for y in range(2)
        ]
        for t in range(3)
    ]  # fmt: skip


class TestMerging:
    def test_variables_of_other_inputs(self, tmp_path: Path) -> None:
        warm = [write(tmp_path / f"t{n}.nc", 4 * n) for n in range(2)]
        wet = [write(tmp_path / f"p{n}.nc", 4 * n, variable="rain") for n in range(2)]
        manifest = refmaker.combine([*warm, *wet])
        expected = xr.merge([joined(*warm), joined(*wet)], combine_attrs="override", join="exact", compat="equals")
        xr.testing.assert_identical(shown(manifest), expected)

    def test_missing_in_one_place(self, tmp_path: Path) -> None:
        warm = [write(tmp_path / f"t{n}.nc", 4 * n) for n in range(2)]
        with pytest.raises(refmaker.CombineError, match="/rain: presence"):
            refmaker.combine([*warm, write(tmp_path / "p.nc", 0, variable="rain")])

    def test_input_without_a_place(self, tmp_path: Path) -> None:
        paths = days(tmp_path, 2)
        with xr.open_dataset(paths[0], engine="netcdf4") as dataset:
            beside = dataset[["lat", "lon"]].assign(orog=(("lat", "lon"), np.arange(20.0).reshape(4, 5))).load()
        beside.encoding = {}
        beside.to_netcdf(tmp_path / "orog.nc")
        manifest = refmaker.combine([*paths, tmp_path / "orog.nc"])
        xr.testing.assert_equal(shown(manifest), joined(*paths).assign(orog=beside.orog))

    def test_same_values_otherwise_stored(self, tmp_path: Path) -> None:
        data = np.arange(20.0).reshape(4, 5)
        first = write(tmp_path / "a.nc", extra={"orog": (("lat", "lon"), data)})
        second = write(tmp_path / "b.nc", 4)
        with xr.open_dataset(second, decode_cf=False, engine="netcdf4") as dataset:
            held = dataset.load()
        held["orog"] = (("lat", "lon"), data)
        encoding = {"orog": {"zlib": True, "chunksizes": (2, 5), "_FillValue": None}}
        held.to_netcdf(tmp_path / "c.nc", encoding=encoding, unlimited_dims=["time"])
        manifest = refmaker.combine([first, tmp_path / "c.nc"])
        assert shown(manifest).orog.values.tolist() == data.tolist()


class TestTimes:
    def test_bounds_are_in_the_units_of_their_coordinate(self, tmp_path: Path) -> None:
        paths = []
        for number, units in enumerate(("hours since 2000-01-01", "hours since 2000-01-01 04:00")):
            start = 0
            bounds = np.stack([np.arange(4) - 0.5, np.arange(4) + 0.5], axis=1) + start
            paths.append(
                write(
                    tmp_path / f"{number}.nc",
                    4 * number,
                    times=np.arange(4),
                    time_attributes={"units": units, "bounds": "time_bnds"},
                    extra={"time_bnds": (("time", "nv"), bounds)},
                )
            )
        expected = joined(*paths)
        assert expected.time_bnds.values[4, 0] == np.datetime64("2000-01-01T03:30")
        xr.testing.assert_identical(shown(refmaker.combine(paths)), expected)

    def test_other_times_in_other_units_are_refused(self, tmp_path: Path) -> None:
        paths = []
        for number in range(2):
            path = write(tmp_path / f"{number}.nc", 4 * number, extra={"reference": (("time",), np.zeros(4))})
            with xr.open_dataset(path, decode_cf=False, engine="netcdf4") as dataset:
                held = dataset.load()
            held.reference.attrs["units"] = f"hours since 2000-01-0{number + 1}"
            held.to_netcdf(tmp_path / f"r{number}.nc", unlimited_dims=["time"])
            paths.append(tmp_path / f"r{number}.nc")
        with pytest.raises(refmaker.CombineError, match="/reference: units"):
            refmaker.combine(paths)

    def test_missing_times(self, tmp_path: Path) -> None:
        paths = write(tmp_path / "a.nc"), write(tmp_path / "b.nc", times=[4, np.nan, 6, 7])
        with pytest.raises(refmaker.CombineError, match="/time: missing values"):
            refmaker.combine(paths)


class TestDuplicates:
    @pytest.mark.parametrize("which", ["first", "last"])
    def test_overlap(self, which: str, tmp_path: Path) -> None:
        first = write(tmp_path / "a.nc", raw=values(0, 4))
        second = write(tmp_path / "b.nc", 2, raw=values(2, 4, seed=5000))
        one, other = original(first, second)
        found = shown(refmaker.combine([first, second], duplicates=which))
        parts = [one, other.isel(time=slice(2, None))] if which == "first" else [one.isel(time=slice(2)), other]
        expected = xr.concat(parts, "time", data_vars="minimal", coords="minimal", compat="equals", join="exact")
        xr.testing.assert_identical(found, expected)

    @pytest.mark.parametrize("which", ["first", "last"])
    def test_same_places(self, which: str, tmp_path: Path) -> None:
        first = write(tmp_path / "a.nc", raw=values(0, 4))
        again = write(tmp_path / "b.nc", 0, raw=values(0, 4, seed=5000))
        after = write(tmp_path / "c.nc", 4)
        expected = joined(first if which == "first" else again, after)
        xr.testing.assert_identical(shown(refmaker.combine([first, again, after], duplicates=which)), expected)

    def test_within_a_chunk(self, tmp_path: Path) -> None:
        paths = write(tmp_path / "a.nc"), write(tmp_path / "b.nc", 3)
        with pytest.raises(refmaker.CombineError, match="/t2m: partial chunk: 3 rows of chunks of 2"):
            refmaker.combine(paths, duplicates="last", on_mismatch="refuse")

    def test_interleaved(self, tmp_path: Path) -> None:
        """Every other time in each file, a chunk for each."""
        paths = [
            write(tmp_path / f"{n}.nc", times=np.arange(n, 8 + n, 2), chunks=(1, 4, 5), raw=values(40 * n, 4))
            for n in range(2)
        ]
        xr.testing.assert_identical(shown(refmaker.combine(paths)), joined(*paths).sortby("time"))


class TestOnMismatch:
    def test_dropped(self, tmp_path: Path) -> None:
        paths = [
            write(tmp_path / f"{n}.nc", 4 * n, dtype="i2", attributes={"scale_factor": 0.1 * (n + 1)},
                  extra={"kept": (("time",), np.arange(4.0))})
            for n in range(2)
        ]  # fmt: skip
        made = refmaker.combine_with_report(paths, on_mismatch="drop-variable")
        assert set(made.manifest.arrays) == {"time", "lat", "lon", "kept"}
        assert made.manifest.refusals == {"/t2m": "the inputs do not agree: scale_factor"}
        assert [(one.mismatch.variable, one.action) for one in made.outcomes] == [("/t2m", "dropped")]

    def test_coordinates_cannot_be_dropped(self, tmp_path: Path) -> None:
        paths = write(tmp_path / "a.nc"), write(tmp_path / "b.nc", 4, lat=LAT + 1)
        with pytest.raises(refmaker.CombineError, match="cannot be left out: /lat: values"):
            refmaker.combine(paths, on_mismatch="drop-variable")

    def test_split_into_groups(self, tmp_path: Path) -> None:
        scales = (0.5, 0.5, 0.25, 0.5)
        paths = [
            write(tmp_path / f"{n}.nc", 4 * n, dtype="i2", attributes={"scale_factor": scale})
            for n, scale in enumerate(scales)
        ]
        made = refmaker.combine_with_report(paths, on_mismatch="split")
        xr.testing.assert_identical(shown(made.manifest, "part_0"), joined(paths[0], paths[1], paths[3]))
        xr.testing.assert_identical(shown(made.manifest, "part_1"), original(paths[2])[0])
        assert [one.action for one in made.outcomes] == ["split"]

    def test_split_at_partial_chunks(self, tmp_path: Path) -> None:
        paths = [write(tmp_path / f"{n}.nc", start, rows) for n, (start, rows) in enumerate(((0, 4), (4, 3), (7, 4)))]
        made = refmaker.combine_with_report(paths, on_mismatch="split")
        xr.testing.assert_identical(shown(made.manifest, "part_0"), joined(*paths[:2]))
        xr.testing.assert_identical(shown(made.manifest, "part_1"), original(paths[2])[0])

    def test_split_by_many_differences(self, tmp_path: Path) -> None:
        paths = [
            write(tmp_path / f"{n}.nc", 4 * n, lat=LAT + n // 2, shuffle=n % 2 == 0) for n in range(4)
        ]  # fmt: skip
        made = refmaker.combine(paths, concat="time", on_mismatch="split")
        for number, path in enumerate(paths):
            xr.testing.assert_identical(shown(made, f"part_{number}"), original(path)[0])

    @pytest.mark.parametrize("rows", [(3, 4, 5), (4, 6, 3), (31, 28, 31)])
    def test_uncompressed_chunks_are_cut(self, rows: tuple[int, ...], tmp_path: Path) -> None:
        paths, start = [], 0
        for number, count in enumerate(rows):
            paths.append(write(tmp_path / f"{number}.nc", start, count, chunks=None))
            start += count
        with pytest.raises(refmaker.CombineError, match="chunk grid"):
            refmaker.combine(paths, on_mismatch="refuse")
        manifest = refmaker.combine(paths, on_mismatch="split")
        assert set(manifest.arrays) == {"time", "lat", "lon", "t2m"}
        assert manifest.arrays["t2m"].references.inline == {}
        xr.testing.assert_identical(shown(manifest), joined(*paths))

    def test_uncompressed_chunks_at_the_edge_are_cut(self, tmp_path: Path) -> None:
        paths = [
            write(tmp_path / f"{n}.nc", start, rows, chunks=(4, 4, 3), compression=None)
            for n, (start, rows) in enumerate(((0, 6), (6, 8), (14, 3)))
        ]
        manifest = refmaker.combine(paths, on_mismatch="split")
        assert manifest.arrays["t2m"].metadata.document["chunks"] == [2, 4, 3]
        xr.testing.assert_identical(shown(manifest), joined(*paths))

    @pytest.mark.parametrize(
        ("first", "second"),
        [
            ({"rows": 3}, {"start": 3}),
            ({}, {"dtype": "f8"}),
            ({"dtype": "f8"}, {}),
            ({}, {"endian": "big"}),
            ({}, {"compression": None}),
            ({}, {"shuffle": False}),
            ({}, {"chunks": (1, 2, 5)}),
            ({"fill": -1.0}, {"fill": -2.0, "raw": np.where(values(4, 4) % 3, values(4, 4), -2.0)}),
            ({}, {"dims": ("time", "lon", "lat"), "chunks": (2, 5, 4)}),
            (
                {"dtype": "i2", "attributes": {"scale_factor": 0.25}},
                {"dtype": "i2", "attributes": {"scale_factor": 0.5}},
            ),
            ({"dtype": "i4", "attributes": {"add_offset": 8.0}}, {"dtype": "i4", "attributes": {"add_offset": 16.0}}),
        ],
    )
    @pytest.mark.parametrize("zarr_format", [2, 3])
    def test_inlined(self, first: dict[str, Any], second: dict[str, Any], zarr_format: Any, tmp_path: Path) -> None:
        paths = write(tmp_path / "a.nc", **first), write(tmp_path / "b.nc", **{"start": 4, **second})
        made = refmaker.combine_with_report(paths, on_mismatch="inline", zarr_format=zarr_format)
        assert {one.action for one in made.outcomes} == {"inlined"}
        assert made.manifest.arrays["t2m"].references.inline
        assert len(made.manifest.arrays["t2m"].references.cell) > 0
        found, expected = shown(made.manifest), joined(*paths)
        xr.testing.assert_equal(found, expected.astype({"t2m": found.t2m.dtype}))
        assert found.attrs == expected.attrs

    @pytest.mark.parametrize(
        ("first", "second", "why"),
        [
            ({"dtype": "f4"}, {"dtype": "f8", "raw": values(4, 4) + 0.1}, "f8"),
            ({"fill": -1.0}, {"raw": -np.ones((4, 4, 5))}, "_FillValue -1.0 elsewhere"),
            ({}, {"fill": -1.0, "raw": -np.ones((4, 4, 5))}, "without a _FillValue"),
            ({"dtype": "i2", "attributes": {"scale_factor": 0.1}}, {"dtype": "i2", "attributes": {"scale_factor": 0.3}},
             "scale_factor 0.3"),
            ({"dtype": "i2"}, {"dtype": "i4", "raw": values(4, 4) + 40000}, "i4"),
        ],
    )  # fmt: skip
    def test_inexact(self, first: dict[str, Any], second: dict[str, Any], why: str, tmp_path: Path) -> None:
        paths = write(tmp_path / "a.nc", **first), write(tmp_path / "b.nc", **{"start": 4, **second})
        with pytest.raises(refmaker.CombineError, match="cannot be written in the encoding.*" + why):
            refmaker.combine(paths, on_mismatch="inline")

    def test_inline_limit(self, tmp_path: Path) -> None:
        paths = write(tmp_path / "a.nc"), write(tmp_path / "b.nc", 4, shuffle=False)
        with pytest.raises(refmaker.CombineError, match="more than the inline limit of 319 bytes"):
            refmaker.combine(paths, on_mismatch="inline", inline_limit=319)
        assert refmaker.combine(paths, on_mismatch="inline", inline_limit=320)

    def test_what_cannot_be_written_anew(self, tmp_path: Path) -> None:
        paths = write(tmp_path / "a.nc"), write(tmp_path / "b.nc", 4, attributes={"units": "degC"})
        with pytest.raises(refmaker.CombineError, match="cannot be written anew: /t2m: units"):
            refmaker.combine(paths, on_mismatch="inline")


class TestAppending:
    @pytest.mark.parametrize("zarr_format", [2, 3])
    def test_is_combining(self, zarr_format: Any, tmp_path: Path) -> None:
        first, second, third = days(tmp_path, 3)
        refmaker.combine([first, second], zarr_format=zarr_format).to_json(str(tmp_path / "m.json"))
        added = refmaker.append(tmp_path / "m.json", third)
        whole = refmaker.combine([first, second, third], zarr_format=zarr_format)
        assert_same(added, whole)
        assert added.targets == whole.targets

    def test_before_what_is_there(self, tmp_path: Path) -> None:
        first, second, third = days(tmp_path, 3)
        assert_same(refmaker.append(refmaker.combine([second, third]), first), refmaker.combine([first, second, third]))

    def test_others_are_not_read(self, tmp_path: Path) -> None:
        first, second, third = days(tmp_path, 3)
        combined = refmaker.combine([first, second])
        first.unlink()
        second.unlink()
        assert refmaker.append(combined, [third]).arrays["time"].metadata.document["shape"] == [12]

    def test_again(self, tmp_path: Path) -> None:
        first, second = days(tmp_path, 2)
        combined = refmaker.combine([first, second])
        with pytest.raises(refmaker.CombineError, match="/time: duplicates"):
            refmaker.append(combined, second)

    def test_instead(self, tmp_path: Path) -> None:
        """A day in the middle is replaced."""
        paths = days(tmp_path, 3)
        better = write(tmp_path / "better.nc", 4, raw=values(4, 4, seed=7000))
        found = refmaker.append(refmaker.combine(paths), better, duplicates="last")
        xr.testing.assert_identical(shown(found), joined(paths[0], better, paths[2]))

    def test_to_what_is_no_manifest(self, tmp_path: Path) -> None:
        first, second = days(tmp_path, 2)
        with pytest.raises(ManifestError, match="not a manifest"):
            refmaker.append(first, second)

    def test_behind_a_partial_chunk(self, tmp_path: Path) -> None:
        combined = refmaker.combine([write(tmp_path / "a.nc"), write(tmp_path / "b.nc", 4, rows=3)])
        with pytest.raises(refmaker.CombineError, match="partial chunk"):
            refmaker.append(combined, write(tmp_path / "c.nc", 7), on_mismatch="refuse")


class TestCoordinates:
    def test_are_in_the_manifest(self, tmp_path: Path) -> None:
        manifest = refmaker.combine(days(tmp_path, 2))
        for name in ("time", "lat", "lon"):
            assert len(manifest.arrays[name].references.cell) == 0
            assert list(manifest.arrays[name].references.inline) == [0]
        assert np.frombuffer(manifest.arrays["time"].references.inline[0], "<f8").tolist() == list(range(8))
        assert np.frombuffer(manifest.arrays["lon"].references.inline[0], "<f4").tolist() == LON.tolist()

    def test_too_large(self, tmp_path: Path) -> None:
        with pytest.raises(refmaker.CombineError, match="takes 64 bytes, more than the inline limit"):
            refmaker.combine(days(tmp_path, 2), inline_limit=63)


class TestAnySplit:
    """A dataset cut into files is the dataset again."""

    @settings(max_examples=20)
    @given(data=st.data())
    def test_of_time(self, data: st.DataObject, tmp_path_factory: pytest.TempPathFactory) -> None:
        folder = tmp_path_factory.mktemp("split")
        chunk = data.draw(st.integers(1, 3))
        counts = data.draw(st.lists(st.integers(1, 3), min_size=1, max_size=4))
        tail = data.draw(st.integers(0, chunk - 1))
        rows = [chunk * count for count in counts]
        rows[-1] += tail
        inner = data.draw(st.sampled_from([(4, 5), (2, 5), (3, 2)]))
        starts = [0, *itertools.accumulate(rows)]
        paths = [
            write(folder / f"{n}.nc", start, count, chunks=(chunk, *inner))
            for n, (start, count) in enumerate(zip(starts, rows, strict=False))
        ]
        whole = write(folder / "whole.nc", 0, starts[-1], chunks=(chunk, *inner))
        order = data.draw(st.permutations(paths))
        xr.testing.assert_identical(shown(refmaker.combine(order)), original(whole)[0])

    @settings(max_examples=15)
    @given(data=st.data())
    def test_of_time_whatever_the_lengths(self, data: st.DataObject, tmp_path_factory: pytest.TempPathFactory) -> None:
        """Refused, or cut, or written anew; never anything else than the dataset."""
        folder = tmp_path_factory.mktemp("split")
        rows = data.draw(st.lists(st.integers(1, 5), min_size=2, max_size=4))
        compression = data.draw(st.sampled_from([None, "zlib"]))
        chunks = data.draw(st.sampled_from([(2, 4, 5), (3, 2, 3), *([None] if compression is None else [])]))
        how = data.draw(st.sampled_from(["refuse", "inline", "split"]))
        starts = [0, *itertools.accumulate(rows)]
        paths = [
            write(folder / f"{n}.nc", start, count, chunks=chunks, compression=compression)
            for n, (start, count) in enumerate(zip(starts, rows, strict=False))
        ]
        whole = original(write(folder / "whole.nc", 0, starts[-1], chunks=chunks, compression=compression))[0]
        try:
            manifest = refmaker.combine(paths, on_mismatch=how)  # type: ignore[arg-type]
        except refmaker.CombineError:
            assert how == "refuse"
            return
        parts = sorted({path.partition("/")[0] for path in manifest.arrays if path.startswith("part_")})
        found = [shown(manifest, part) for part in parts] or [shown(manifest)]
        together = xr.concat(found, "time", data_vars="minimal", coords="minimal", compat="equals", join="exact")
        xr.testing.assert_identical(together, whole)


class TestSpill:
    """References that wait in a file are those that would be in memory."""

    def test_same_manifest(self, tmp_path: Path) -> None:
        paths = days(tmp_path, 5)
        spilled = refmaker.combine(paths[::-1], spill=tmp_path)
        whole = refmaker.combine(paths[::-1])
        assert spilled.chunks == whole.chunks
        assert_same(spilled, whole)
        xr.testing.assert_identical(shown(refmaker.combine(paths, spill=tmp_path)), joined(*paths))

    def test_parquet_appended_to_parquet(self, tmp_path: Path) -> None:
        paths = days(tmp_path, 4)
        spilled = refmaker.combine(paths[:3], spill=tmp_path)
        spilled.to_parquet(tmp_path / "m.parquet")
        with pytest.raises(AttributeError):  # of no array were all references in memory
            References.cell.__get__(spilled.arrays["t2m"].references)  # type: ignore[attr-defined]
        refmaker.append(tmp_path / "m.parquet", paths[3], spill=tmp_path).to_parquet(tmp_path / "n.parquet")
        assert_same(load_parquet(tmp_path / "n.parquet"), refmaker.combine(paths))

    def test_memory_does_not_grow(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Twice the inputs, and not twice the memory."""
        monkeypatch.setattr(rows, "_WAITING", 1 << 18)
        monkeypatch.setattr(collection, "_TOGETHER", 1 << 13)
        peaks = []
        for count in (8, 32):
            inputs = [steps(number) for number in range(count)]
            refmaker.combine(inputs[:1], spill=tmp_path)
            tracemalloc.start()
            made = refmaker.combine(inputs, spill=tmp_path).arrays["x"].references
            assert sum(len(part) for _, part in made.windows(5000)) == count * 10_000
            peaks.append(tracemalloc.get_traced_memory()[1])
            tracemalloc.stop()
        assert peaks[1] < 1.5 * peaks[0] < 28 * 320_000


def steps(number: int) -> Manifest:
    """Return a manifest of 10,000 references."""
    time, x = (scanned_array(name, extent, chunk) for name, extent, chunk in (("time", 100, 100), ("x", 10_000, 1)))
    x.metadata.document.update({"shape": [100, 100], "chunks": [1, 1]})
    x.attributes["_ARRAY_DIMENSIONS"] = ["time", "y"]
    x.grid = (100, 100)
    time.references.inline = {0: (np.arange(100.0) + 100 * number).tobytes()}
    count = 10_000
    x.references = References(
        np.arange(count), np.zeros(count, "u1"), np.arange(count).astype("u8"), np.full(count, 9, "u8")
    )
    return Manifest(2, {"": {}}, {"time": time, "x": x}, (Target(f"/data/{number}.nc", 1 << 20),))


def scanned_array(name: str, extent: int, chunk: int) -> ManifestArray:
    metadata = {
        "zarr_format": 2, "shape": [extent], "chunks": [chunk], "dtype": "<f8",
        "compressor": None, "fill_value": None, "order": "C", "filters": None,
    }  # fmt: skip
    return ManifestArray(
        ArrayMetadata.from_json(metadata), {"_ARRAY_DIMENSIONS": [name]}, (-(-extent // chunk),), References.empty()
    )
