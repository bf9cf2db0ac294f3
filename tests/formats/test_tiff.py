"""TIFF files decode to what tifffile reads, or are refused by name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("tifffile")
pytest.importorskip("imagecodecs")
pytest.importorskip("kerchunk")
pytest.importorskip("zarr", minversion="3")

import tifffile
import xarray as xr

from refmaker.errors import FormatError, Unsupported
from refmaker.formats import tiff as tiff_module
from refmaker.scanning.scan import scan
from tests.formats.reading import counting, notes, read

RGB: dict[str, Any] = {"photometric": "rgb", "tile": (32, 32)}
PLAIN = {
    f"{kind} of {dtype}": (dtype, (60, 70), {**options, "byteorder": ">" if dtype[0] == ">" else "<"})
    for dtype in ("u1", "i1", "<u2", ">u2", "<i4", ">i4", "<u8", "<f2", "<f4", ">f4", ">f8", "<c8")
    for kind, options in {
        "one block": {},
        "tiles": {"tile": (16, 32)},
        "deflated tiles": {"tile": (16, 32), "compression": "zlib"},
        "strips": {"rowsperstrip": 20, "compression": "zlib"},
    }.items()
}
PREDICTORS = {
    f"predictor {number} of {dtype}": (
        dtype,
        (60, 70),
        {
            "tile": (16, 32),
            "compression": "zlib",
            "predictor": number,
            "byteorder": ">" if dtype[0] == ">" else "<",
        },
    )
    for number, dtypes in {2: ("u1", "<u2", ">u2", "<i4", ">i4", "<u8"), 3: ("<f2", "<f4", ">f4", "<f8", ">f8")}.items()
    for dtype in dtypes
}
COMPRESSIONS = {
    f"{name} of {dtype} {shape}": (dtype, shape, {"compression": name, "tile": (32, 32), **options})
    for name in ("lzw", "packbits", "zstd", "lerc", "png", "jpeg", "jpegxl", "jpeg2000", "lzma", "webp")
    for dtype, shape, options in (
        ("u1", (60, 70), {}),
        ("<u2", (64, 64), {}),
        ("u1", (60, 70, 3), {"photometric": "rgb"}),
    )
    if name != "webp" or len(shape) == 3
}
LAYOUTS = {
    "pixels": ("u1", (64, 64, 3), RGB),
    "planes": ("u1", (3, 64, 64), {**RGB, "planarconfig": "separate"}),
    "pixels, predicted": ("<u2", (64, 64, 3), {**RGB, "compression": "lzw", "predictor": 2}),
    "planes, predicted": (
        "u1",
        (3, 64, 64),
        {**RGB, "planarconfig": "separate", "compression": "zlib", "predictor": 2},
    ),
    "alpha": ("u1", (64, 64, 4), {**RGB, "extrasamples": ["unassalpha"]}),
    "YCbCr, subsampled": (
        "u1",
        (64, 64, 3),
        {"photometric": "ycbcr", "subsampling": (2, 2), "tile": (32, 32), "compression": "jpeg"},
    ),
    "white is zero": ("u1", (64, 64), {"photometric": "miniswhite"}),
    "12 bits in JPEG": ("<u2", (64, 64), {"bitspersample": 12, "compression": "jpeg"}),
    "pages": ("<u2", (5, 60, 70), {"tile": (32, 32), "compression": "zlib"}),
    "volume": ("u1", (32, 64, 64), {"tile": (16, 32, 32), "volumetric": True}),
    "BigTIFF": ("<u2", (64, 64), {"bigtiff": True, "tile": (32, 32)}),
    "OME": ("<u2", (2, 3, 64, 64), {"ome": True, "metadata": {"axes": "TCYX"}}),
    "ImageJ": ("<u2", (4, 2, 64, 64), {"imagej": True, "metadata": {"axes": "TCYX"}}),
}
ALL = PLAIN | PREDICTORS | COMPRESSIONS | LAYOUTS


def write(path: Path, data: np.ndarray, **options: Any) -> str:
    options.setdefault("metadata", None)
    tifffile.imwrite(path, data, **options)
    return str(path)


@pytest.mark.parametrize("name", ALL)
def test_values(tmp_path, name):
    dtype, shape, options = ALL[name]
    path = write(tmp_path / "a.tif", counting(dtype, *shape), **options)
    manifest = scan(path)
    expected = tifffile.imread(path)
    assert manifest.refusals == {}
    shown = read(manifest, "0")
    assert shown.dtype.newbyteorder("=") == expected.dtype.newbyteorder("=")
    np.testing.assert_array_equal(shown, expected)
    (target,) = manifest.targets
    assert (target.url, target.size) == (path, Path(path).stat().st_size)
    assert target.mtime == pytest.approx(Path(path).stat().st_mtime)


@pytest.mark.parametrize(
    ("dtype", "shape", "options", "why"),
    [
        ("bool", (64, 64), {}, "BitsPerSample 1"),
        ("u1", (64, 64), {"bitspersample": 4}, "BitsPerSample 4"),
        ("u1", (61, 70), {"rowsperstrip": 16, "compression": "jpeg"}, "does not give back what it encodes"),
    ],
)
def test_what_has_no_form_in_zarr(tmp_path, dtype, shape, options, why):
    path = write(tmp_path / "a.tif", (counting("u1", *shape) % 16).astype(dtype), **options)
    with pytest.raises(Unsupported, match=why):
        scan(path, strict=True)


SHORT = {
    f"{name} of {dtype}, {kind}": (dtype, shape, {**options, **layout, "byteorder": ">" if dtype[0] == ">" else "<"})
    for dtype in ("u1", ">u2", "<f4")
    for name, options in {
        "plain": {},
        "deflate": {"compression": "zlib"},
        "LZW, predicted": {"compression": "lzw", "predictor": True},
        "packbits": {"compression": "packbits"},
    }.items()
    for kind, shape, layout in (
        ("lone", (61, 70), {}),
        ("pixels", (61, 70, 3), {"photometric": "rgb"}),
        ("planes", (3, 61, 70), {"photometric": "rgb", "planarconfig": "separate"}),
        ("pages", (5, 61, 70), {}),
    )
}


@pytest.mark.parametrize("name", SHORT)
@pytest.mark.usefixtures("here")
def test_last_strips_that_are_shorter(tmp_path, name):
    """As GDAL and libtiff make them: 61 rows are three strips of 16, and one of 13."""
    dtype, shape, options = SHORT[name]
    path = write(tmp_path / "a.tif", counting(dtype, *shape), rowsperstrip=16, **options)
    manifest = scan(path)
    assert manifest.refusals == {}
    shown = read(manifest, "0")
    assert shown.dtype.newbyteorder("=") == tifffile.imread(path).dtype
    np.testing.assert_array_equal(shown, tifffile.imread(path))
    array = manifest.arrays["0"]
    images = shape[0] if len(shape) == 3 and shape[2] != 3 else 1
    if "compression" in options:
        assert len(array.references.inline) == images  # the last strip of each, and nothing else
        assert "the last strip of each image is shorter" in notes(manifest, "0")
    else:
        assert not array.references.inline
        assert len(array.references.cell) == images


def test_short_strips_apart_from_one_another(tmp_path):
    """Without compression, but not one behind the other."""
    path = write(tmp_path / "a.tif", counting("<u2", 10, 8), rowsperstrip=4)
    data = bytearray(Path(path).read_bytes())
    with tifffile.TiffFile(path) as file:
        page = file.pages[0]
        place, strip = page.tags["StripOffsets"].valueoffset, page.dataoffsets[0]
        width = 4 if page.tags["StripOffsets"].dtype == 4 else 2
    data[place : place + width] = len(data).to_bytes(width, "little")
    data += data[strip : strip + 4 * 8 * 2]
    Path(path).write_bytes(data)
    expected = tifffile.imread(path)
    np.testing.assert_array_equal(expected, counting("<u2", 10, 8))
    manifest = scan(path)
    assert len(manifest.arrays["0"].references.inline) == 1
    np.testing.assert_array_equal(read(manifest, "0"), expected)


@pytest.mark.usefixtures("here")
def test_short_strips_too_large_to_be_kept(tmp_path, monkeypatch):
    from refmaker import limits

    monkeypatch.setattr(limits, "INLINE", 100)
    path = write(tmp_path / "a.tif", counting("<u2", 61, 70), rowsperstrip=16, compression="zlib")
    assert "too large to be kept in the manifest" in scan(path).refusals["/0"]


def test_zeros_are_not_masked(tmp_path):
    data = counting("<u2", 64, 64)
    path = write(tmp_path / "a.tif", data, tile=(32, 32), compression="zlib")
    with xr.open_dataset(scan(path), engine="refmaker") as shown:
        assert shown["0"].dims == ("Y", "X")
        assert shown["0"].dtype == "u2"
        np.testing.assert_array_equal(shown["0"], data)


def test_levels_of_a_pyramid(tmp_path):
    path = tmp_path / "a.tif"
    with tifffile.TiffWriter(path) as file:
        file.write(counting("u1", 128, 128), tile=(32, 32), subifds=1, compression="zlib", metadata=None)
        file.write(counting("u1", 64, 64) + 1, tile=(32, 32), subfiletype=1, compression="lzw", metadata=None)
    manifest = scan(str(path))
    assert list(manifest.arrays) == ["0", "1"]
    with tifffile.TiffFile(path) as file:
        for level in (0, 1):
            np.testing.assert_array_equal(read(manifest, str(level)), file.series[0].levels[level].asarray())
    with xr.open_dataset(manifest, engine="refmaker") as shown:
        assert dict(shown.sizes) == {"Y": 128, "X": 128, "Y1": 64, "X1": 64}


def test_further_images_are_groups(tmp_path):
    path = tmp_path / "a.tif"
    with tifffile.TiffWriter(path) as file:
        file.write(counting("u1", 64, 64), metadata=None)
        file.write(counting("f4", 32, 16), metadata=None)
    manifest = scan(str(path), strict=True)
    assert list(manifest.arrays) == ["0", "series1/0"]
    np.testing.assert_array_equal(read(manifest, "series1/0"), counting("f4", 32, 16))


SCALE = (33550, 12, 3, (10.0, 20.0, 0.0), True)
POINT = (33922, 12, 6, (0.0, 0.0, 0.0, 500000.0, 4e6, 0.0), True)
GEOKEYS = (34735, 3, 16, (1, 1, 0, 3, 1024, 0, 1, 1, 1025, 0, 1, 1, 3072, 0, 1, 32633), True)
NODATA = (42113, 2, 0, "-9999", True)
GDAL = (42112, 2, 0, '<GDALMetadata>\n  <Item name="AREA_OR_POINT">Area</Item>\n</GDALMetadata>\n', True)
BROKEN = (42112, 2, 0, "<GDALMetadata><Item", True)


def test_metadata_that_kerchunk_fails_on(tmp_path):
    path = write(tmp_path / "a.tif", counting("u1", 64, 64), metadata={})
    manifest = scan(path)
    np.testing.assert_array_equal(read(manifest, "0"), counting("u1", 64, 64))


@pytest.mark.parametrize(
    "options",
    [
        {"tile": (32, 32)},
        {"tile": (32, 32), "metadata": {}},
        {"tile": (32, 32), "metadata": {"axes": "YX"}, "description": "text of someone"},
        {"rowsperstrip": 20},
        {"rowsperstrip": 20, "compression": "zlib"},
        {"ome": True},
    ],
    ids=["plain", "written by tifffile", "described", "strips", "deflated strips", "OME"],
)
@pytest.mark.parametrize("more", [(), (GDAL, NODATA), (BROKEN,)], ids=["", "GDAL", "broken"])
@pytest.mark.usefixtures("here")
def test_georeferencing_is_kept(tmp_path, options, more):
    """Whatever else is odd about a file."""
    path = write(tmp_path / "a.tif", counting("f4", 64, 64), extratags=[SCALE, POINT, GEOKEYS, *more], **options)
    manifest = scan(path)
    shown = manifest.arrays["0"].attributes
    with tifffile.TiffFile(path) as file:
        expected = file.geotiff_metadata
    assert shown["ModelPixelScale"] == list(expected["ModelPixelScale"]) == [10.0, 20.0, 0.0]
    assert shown["ModelTiepoint"] == list(expected["ModelTiepoint"])
    assert shown["ProjectedCSTypeGeoKey"] == 32633
    assert shown.get("GDAL_NODATA") == ("-9999" if NODATA in more else None)
    assert shown.get("AREA_OR_POINT") == ("Area" if GDAL in more else None)
    assert ("gdal_metadata" in notes(manifest, "0")) == (BROKEN in more)
    np.testing.assert_array_equal(read(manifest, "0"), counting("f4", 64, 64))


def test_georeferencing_of_a_pyramid(tmp_path):
    path = tmp_path / "a.tif"
    with tifffile.TiffWriter(path) as file:
        tags = [SCALE, POINT, GEOKEYS, BROKEN]
        file.write(counting("u1", 128, 128), tile=(32, 32), subifds=1, metadata=None, extratags=tags)
        file.write(counting("u1", 64, 64), tile=(32, 32), subfiletype=1, metadata=None)
    attributes = scan(str(path)).groups[""]
    assert attributes["ModelPixelScale"] == [10.0, 20.0, 0.0]
    assert attributes["ProjectedCSTypeGeoKey"] == 32633


def test_geotiff_tags_without_keys(tmp_path):
    """tifffile makes nothing of them without a directory of keys."""
    manifest = scan(write(tmp_path / "a.tif", counting("f4", 64, 64), extratags=[SCALE, NODATA]))
    assert manifest.arrays["0"].attributes["ModelPixelScale"] == [10.0, 20.0, 0.0]
    assert manifest.arrays["0"].attributes["GDAL_NODATA"] == "-9999"
    read(manifest, "0")


def test_tiles_that_were_never_written(tmp_path):
    tiles = iter([counting("u2", 32, 32), None, None, counting("u2", 32, 32)])
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, tiles, shape=(64, 64), dtype="u2", tile=(32, 32), compression="zlib", metadata=None)
    manifest = scan(str(path))
    assert len(manifest.arrays["0"].references) == 2
    np.testing.assert_array_equal(read(manifest, "0"), tifffile.imread(path))
    assert "2 tiles were never written" in notes(manifest, "0")


@pytest.mark.usefixtures("here")
def test_one_large_block_is_split(tmp_path, monkeypatch):
    from refmaker.formats import kerchunk_references

    monkeypatch.setattr(kerchunk_references, "SPLIT", 4096)
    path = write(tmp_path / "a.tif", counting("<u2", 64, 128))
    manifest = scan(path)
    assert manifest.arrays["0"].metadata.document["chunks"] == [16, 128]
    np.testing.assert_array_equal(read(manifest, "0"), tifffile.imread(path))


@pytest.mark.usefixtures("here")
def test_codecs_that_decode_otherwise_are_refused(tmp_path, monkeypatch):
    """As if kerchunk had forgotten the predictor."""
    path = write(tmp_path / "a.tif", counting("u1", 64, 64), tile=(32, 32), compression="zlib", predictor=2)
    real = tiff_module.settled

    def forgetful(array, size):
        array.metadata.document["filters"] = None
        return real(array, size)

    monkeypatch.setattr(tiff_module, "settled", forgetful)
    found = tiff_module.scan_tiff(path, {}, Path(path).stat().st_size)
    assert list(found.arrays) == []
    assert "other values" in found.refusals["/0"]


def test_claims_of_many_tiles(tmp_path):
    """Nothing is made for any of them."""
    path = tmp_path / "a.tif"
    write(path, counting("u1", 64, 64), tile=(32, 32), compression="zlib")
    with tifffile.TiffFile(path) as file:
        places = [file.pages[0].tags[name].valueoffset for name in ("ImageWidth", "ImageLength")]
    data = bytearray(path.read_bytes())
    for place in places:
        data[place : place + 4] = (1 << 24).to_bytes(4, "little")
    path.write_bytes(data)
    with pytest.raises(FormatError, match="lists 4 of its 274877906944 tiles or strips"):
        scan(str(path))


@pytest.mark.parametrize("options", [{"tile": (32, 32), "compression": "zlib"}, {}], ids=["tiles", "blocks"])
def test_cut_files(tmp_path, options):
    """Whatever is missing at the end of a file, nothing of it is shown as fill values, and no page is left out."""
    pages = counting("u1", 3, 64, 64)
    path = tmp_path / "a.tif"
    with tifffile.TiffWriter(path) as file:
        for page in pages:
            file.write(page, metadata=None, contiguous=False, **options)
    assert scan(str(path)).arrays["0"].metadata.document["shape"] == [3, 64, 64]
    data = path.read_bytes()
    for end in range(8, len(data), 61):
        path.write_bytes(data[:end])
        try:
            manifest = scan(str(path))
        except (FormatError, Unsupported):
            continue
        assert manifest.refusals, end
