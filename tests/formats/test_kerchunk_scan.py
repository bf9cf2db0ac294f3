"""TIFF, FITS, GRIB as any other source: options, command line, batch, verify, remote files, members of containers."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("astropy")
pytest.importorskip("cfgrib")
pytest.importorskip("eccodes")
pytest.importorskip("imagecodecs")
pytest.importorskip("kerchunk")
pytest.importorskip("tifffile")
pytest.importorskip("zarr", minversion="3")

import tifffile
import xarray as xr
from astropy.io import fits
from click.testing import CliRunner
from refmaker_cli.main import main

import refmaker
from refmaker.errors import FormatError, RefmakerError, Unsupported
from refmaker.formats import detect, kerchunk_scan
from refmaker.formats.scanners import scan_here
from refmaker.manifest.manifest import Manifest
from refmaker.scanning import handed_over, recognise
from refmaker.scanning.scan import scan
from refmaker.verification.verify import verify
from tests.formats.messages import message, values_of
from tests.formats.reading import counting, read
from tests.servers import RangeServer, range_server

__all__ = ["range_server"]


def tiff(path: Path) -> dict[str, np.ndarray]:
    data = counting("<u2", 60, 70)
    tifffile.imwrite(path, data, tile=(32, 32), compression="zlib", metadata=None)
    return {"0": data}


def fits_file(path: Path) -> dict[str, np.ndarray]:
    data = {"PRIMARY": counting(">f4", 10, 20), "SCI": counting(">u2", 5, 6)}
    fits.HDUList([fits.PrimaryHDU(data["PRIMARY"]), fits.ImageHDU(data["SCI"], name="SCI")]).writeto(path)
    return data


def grib(path: Path) -> dict[str, np.ndarray]:
    made = [message(level=level, values=lambda n, level=level: np.arange(n) + level) for level in (850, 500)]
    path.write_bytes(b"".join(made))
    return {"t": np.stack([values_of(data) for data in made])}


KINDS: dict[str, Callable[[Path], dict[str, np.ndarray]]] = {"tif": tiff, "fits": fits_file, "grib2": grib}


@pytest.fixture(params=KINDS)
def made(request, tmp_path) -> tuple[Path, dict[str, np.ndarray]]:
    path = tmp_path / f"a.{request.param}"
    return path, KINDS[request.param](path)


def same(manifest: Manifest, expected: dict[str, np.ndarray], **options) -> None:
    assert expected.keys() <= manifest.arrays.keys()
    for path, values in expected.items():
        np.testing.assert_array_equal(read(manifest, path, **options), values)


@pytest.mark.parametrize("form", ["json", "json.zst", "parq"])
def test_forms(made, tmp_path, form):
    path, expected = made
    if form == "parq":
        pytest.importorskip("pyarrow")
    manifest = scan(str(path))
    refmaker.kerchunk.open.write_manifest(manifest, tmp_path / f"m.{form}")
    again = refmaker.open_manifest(tmp_path / f"m.{form}")
    same(again, expected)
    assert again.targets == manifest.targets
    with xr.open_dataset(tmp_path / f"m.{form}", engine="refmaker") as shown:
        for name, values in expected.items():
            np.testing.assert_array_equal(shown[name], values)


def test_decoded_view(made):
    path, expected = made
    same(scan(str(path)), expected, view="decoded")


def test_over_http(made, range_server: RangeServer):
    path, expected = made
    url = range_server.add(path.name, path.read_bytes())
    manifest = scan(url)
    (target,) = manifest.targets
    assert (target.url, target.size, target.etag) == (url, path.stat().st_size, range_server.files[path.name].etag)
    same(manifest, expected, allow=[range_server.url])
    assert {p: a.metadata for p, a in manifest.arrays.items()} == {
        p: a.metadata for p, a in scan(str(path)).arrays.items()
    }


def test_other_filesystems(made):
    import fsspec

    path, expected = made
    fsspec.filesystem("memory").pipe_file(f"/formats/{path.name}", path.read_bytes())
    manifest = scan(f"memory://formats/{path.name}")
    same(manifest, expected)


def test_storage_options_arrive(made, range_server):
    path, _ = made
    url = range_server.add(path.name, path.read_bytes())
    scan(url, storage_options={"headers": {"X-Asked": "yes"}})
    assert all(request.headers.get("X-Asked") == "yes" for request in range_server.served)


def test_relative_paths_and_file_urls(made, monkeypatch):
    path, expected = made
    monkeypatch.chdir(path.parent)
    for name in (path.name, f"file://{path}"):
        manifest = scan(name)
        same(manifest, expected)
        assert manifest.targets[0].url == scan(str(path)).targets[0].url


def test_members_of_containers(made, tmp_path):
    path, expected = made
    with zipfile.ZipFile(tmp_path / "c.zip", "w") as archive:
        archive.writestr("first", b"x" * 1000)
        archive.write(path, path.name)
    manifest = scan(f"zip://{path.name}::{tmp_path}/c.zip")
    assert [target.url for target in manifest.targets] == [str(tmp_path / "c.zip")]
    same(manifest, expected)


def test_selections(tmp_path):
    fits_file(tmp_path / "a.fits")
    path = str(tmp_path / "a.fits")
    assert list(scan(path, include=["SCI"]).arrays) == ["SCI"]
    assert list(scan(path, exclude=["S*"]).arrays) == ["PRIMARY"]
    with pytest.raises(FormatError, match="no group"):
        scan(path, group="none")


def test_inline_threshold(made):
    path, expected = made
    manifest = scan(str(path), inline_threshold=1 << 20)
    assert not any(len(array.references.cell) for array in manifest.arrays.values())
    same(manifest, expected)


@pytest.mark.filterwarnings("ignore:Numcodecs codecs are not in the Zarr version 3")
def test_zarr_3(tmp_path):
    expected = tiff(tmp_path / "a.tif")
    manifest = scan(str(tmp_path / "a.tif"), zarr_format=3)
    assert manifest.zarr_format == 3
    same(manifest, expected)
    fits_file(tmp_path / "a.fits")
    manifest = scan(str(tmp_path / "a.fits"), zarr_format=3)
    assert list(manifest.arrays) == ["PRIMARY"]
    assert "not expressible in Zarr 3" in manifest.refusals["/SCI"]
    assert {line.path: line.status for line in manifest.objects}["/SCI"] == "refused"


def test_a_source_that_changes(made):
    path, expected = made
    manifest = scan(str(path))
    path.write_bytes(path.read_bytes() + b"\0")
    with pytest.raises(RefmakerError):
        read(manifest, next(iter(expected)))


def test_on_the_command_line(made, tmp_path, monkeypatch):
    path, expected = made
    monkeypatch.chdir(tmp_path)
    run = CliRunner()
    assert run.invoke(main, ["scan", path.name, "--report", "r.json"]).exit_code == 0
    assert {line["path"] for line in json.loads(Path("r.json").read_text())["objects"]} >= {f"/{p}" for p in expected}
    shown = run.invoke(main, ["info", path.name])
    assert shown.exit_code == 0
    assert next(iter(expected)) in shown.output
    shown = run.invoke(main, ["info", f"{path.name}.json"])
    assert shown.exit_code == 0
    done = run.invoke(main, ["batch", ".", "--out", "out", "-j", "1"])
    assert done.exit_code == 0, done.output
    same(refmaker.open_manifest(f"out/{path.name}.json"), expected)


def test_verify(made, tmp_path):
    path, expected = made
    report = verify(scan(str(path)), sample=None)
    assert report.differences == 0
    assert {array.path for array in report.arrays} >= {f"/{name}" for name in expected}
    assert {array.status for array in report.arrays} == {"same"}
    manifest = scan(str(path))
    wrong = manifest.arrays[next(iter(expected))].references
    if path.suffix == ".grib2":
        wrong.offset[:] = wrong.offset[::-1].copy()  # the fields of two levels exchanged
    else:
        wrong.offset[0] += 1
    report = verify(manifest, sample=None)
    assert report.differences == 1


def test_verify_over_http(tmp_path, range_server):
    for kind in KINDS:
        path = tmp_path / f"a.{kind}"
        expected = KINDS[kind](path)
        report = verify(scan(range_server.add(path.name, path.read_bytes())), sample=None)
        assert {array.status for array in report.arrays} == {"same"}
        assert len(report.arrays) >= len(expected)


def test_directories_without_the_packages(made, tmp_path, monkeypatch):
    """What cannot be scanned is left out of directories, and a failure where it was named."""
    path, _ = made
    kind = {".tif": "tiff", ".fits": "fits", ".grib2": "grib"}[path.suffix]
    assert recognise.is_recognised(str(path))
    path.rename(path.with_suffix(".data"))
    assert recognise.is_recognised(str(path.with_suffix(".data")))
    monkeypatch.setattr(detect, "missing", lambda asked: ["a package"] if asked == kind else [])
    handed_over._is_installed.cache_clear()
    try:
        assert not recognise.is_recognised(str(path.with_suffix(".data")))
        assert not recognise.has_known_suffix(path.name)
    finally:
        monkeypatch.undo()
        handed_over._is_installed.cache_clear()


@pytest.mark.usefixtures("here")
def test_errors_of_libraries_are_ours(made, monkeypatch):
    path, _ = made
    module = {".tif": "tiff", ".fits": "fits", ".grib2": "grib"}[path.suffix]
    target = {"tiff": "tiff.tiff_to_zarr", "fits": "fits.process_file", "grib": "grib2.scan_grib"}[module]

    def fail(*_: object, **__: object) -> None:
        raise ZeroDivisionError("of a library")

    __import__(f"kerchunk.{target.partition('.')[0]}")
    monkeypatch.setattr(f"kerchunk.{target}", fail)
    if module == "fits":
        assert all("ZeroDivisionError: of a library" in reason for reason in scan(str(path)).refusals.values())
        return
    with pytest.raises((FormatError, Unsupported), match=r"ZeroDivisionError: of a library"):
        # TIFF is handed over for some vendors only.
        scan_here("tiff", str(path), {}, path.stat().st_size) if module == "tiff" else scan(str(path))


@pytest.mark.usefixtures("here")
def test_references_to_other_files_are_refused(tmp_path, monkeypatch):
    tiff(tmp_path / "a.tif")
    import kerchunk.tiff

    real = kerchunk.tiff.tiff_to_zarr

    def elsewhere(*given, **options):
        refs = real(*given, **options)
        return {k: ["/etc/passwd", *v[1:]] if isinstance(v, list) else v for k, v in refs.items()}

    monkeypatch.setattr(kerchunk.tiff, "tiff_to_zarr", elsewhere)
    with pytest.raises(Unsupported, match="other files"):
        scan_here("tiff", str(tmp_path / "a.tif"), {}, (tmp_path / "a.tif").stat().st_size)


def test_hdf5_behind_a_head_of_another_format(tmp_path):
    """A user block may hold anything."""
    import h5py

    path = tmp_path / "a.h5"
    with h5py.File(path, "w", userblock_size=512) as file:
        file["x"] = np.arange(5)
    with open(path, "r+b") as file:
        file.write(b"GRIB")
    np.testing.assert_array_equal(read(scan(str(path)), "x"), np.arange(5))


def test_one_thread_at_a_time(tmp_path):
    from refmaker import scan_many

    paths = [str(tmp_path / f"{n}.{kind}") for kind in KINDS for n in range(3)]
    for path in paths:
        KINDS[path.rpartition(".")[2]](Path(path))
    outcomes = dict(scan_many(paths, concurrency=6))
    assert all(isinstance(outcome, Manifest) and outcome.arrays for outcome in outcomes.values())
    assert not kerchunk_scan._ONE_AT_A_TIME.locked()
