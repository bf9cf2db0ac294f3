"""Whole scans: georeferenced files in xarray, damaged ones, few rounds."""

from __future__ import annotations

import io
import random
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("tifffile")
pytest.importorskip("imagecodecs")
pytest.importorskip("zarr", minversion="3")

import tifffile
import xarray as xr

from refmaker.errors import RefmakerError
from refmaker.scanning.scan import scan
from refmaker.tiff.scan import Foreign, scan_tiff
from tests.formats.reading import counting, read
from tests.formats.test_tiff import GEOKEYS, POINT, SCALE
from tests.tiff.made import run, run_paged
from tests.windows import MemoryWindow, PagedWindow


def test_coordinates_in_xarray(tmp_path):
    path = tmp_path / "a.tif"
    data = counting("f4", 40, 50)
    tifffile.imwrite(path, data, extratags=[SCALE, POINT, GEOKEYS], metadata=None)
    with xr.open_dataset(scan(str(path)), engine="refmaker") as shown:
        assert shown["0"].dims == ("y", "x")
        np.testing.assert_array_equal(shown["0"], data)
        np.testing.assert_array_equal(shown["x"], 500005 + 10.0 * np.arange(50))
        np.testing.assert_array_equal(shown["y"], 3999990 - 20.0 * np.arange(40))
        assert shown["spatial_ref"].attrs["spatial_ref"] == "EPSG:32633"


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("big", [False, True])
@pytest.mark.parametrize("zarr_format", [2, 3])
def test_pages_within_pages(tmp_path, order, big, zarr_format):
    path = tmp_path / "a.tif"
    data = counting("u2", 3, 64, 64)
    with tifffile.TiffWriter(path, byteorder=order, bigtiff=big) as file:
        file.write(data, subifds=2, tile=(32, 32), photometric="minisblack")
        file.write(data[:, ::2, ::2], subfiletype=1, tile=(16, 16), photometric="minisblack")
        file.write(data[:, ::4, ::4], subfiletype=1, tile=(16, 16), photometric="minisblack")
        file.write(counting("f4", 30, 20), metadata={"axes": "YX"})
    manifest = scan(str(path), zarr_format=zarr_format, strict=True)
    assert set(manifest.arrays) == {"0", "1", "2", "series1/0"}
    if zarr_format == 2:
        for level in range(3):
            np.testing.assert_array_equal(read(manifest, str(level)), data[:, :: 1 << level, :: 1 << level])
        np.testing.assert_array_equal(read(manifest, "series1/0"), counting("f4", 30, 20))


def seeds() -> dict[str, bytes]:
    made = {}
    for name, shape, options in (
        ("tiles", (40, 50), {"tile": (16, 16), "compression": "zlib", "predictor": True}),
        ("strips", (40, 50), {"rowsperstrip": 7, "compression": "lzw"}),
        ("stack", (4, 40, 50), {"bigtiff": True}),
        ("OME", (2, 3, 40, 50), {"ome": True, "metadata": {"axes": "TCYX"}}),
        ("ImageJ", (2, 3, 40, 50), {"imagej": True, "metadata": {"axes": "TZYX"}}),
        ("places", (40, 50), {"extratags": [SCALE, POINT, GEOKEYS], "metadata": None}),
    ):
        file = io.BytesIO()
        tifffile.imwrite(file, counting("u2", *shape), photometric="minisblack", **options)
        made[name] = file.getvalue()
    return made


SEEDS = seeds()


@pytest.mark.parametrize("name", SEEDS)
def test_damaged_files(name):
    """An answer whose references lie in the file, or an error of ours."""
    rng, sound = random.Random(name), SEEDS[name]
    outcomes = {True: 0, False: 0}
    for _ in range(300):
        data = bytearray(sound)
        for _ in range(rng.choice((1, 2, 4))):
            at = rng.randrange(4, min(len(data), 1500))
            size = rng.choice((1, 2, 4))
            data[at : at + size] = rng.choice((rng.randbytes(size), b"\xff" * size, bytes(size)))
        if rng.random() < 0.2:
            del data[rng.randrange(8, len(data)) :]
        try:
            found = scan_tiff(MemoryWindow(bytes(data)), run)
        except (RefmakerError, Foreign):
            outcomes[False] += 1
            continue
        outcomes[True] += 1
        for array in found.arrays.values():
            assert (array.references.offset + array.references.size <= len(data)).all()
    assert min(outcomes.values()) > 0


def test_few_rounds():
    for name, most in {"tiles": 4, "strips": 5, "stack": 7}.items():
        window = PagedWindow(SEEDS[name], 1024)
        running, rounds = run_paged(window)
        found = scan_tiff(window, running)
        assert list(found.arrays) == ["0"]
        assert len(rounds) <= most, name


def test_files_of_vendors_are_handed_over(tmp_path: Path) -> None:
    file = io.BytesIO()
    tifffile.imwrite(file, counting("u1", 8, 8), description="Aperio Image Library v1", metadata=None)
    with pytest.raises(Foreign, match="Aperio"):
        scan_tiff(MemoryWindow(file.getvalue()), run)
