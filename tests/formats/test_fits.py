"""FITS files: what astropy reads is what readers of manifests see; what would not be is refused by name."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("astropy")
pytest.importorskip("kerchunk")
pytest.importorskip("zarr", minversion="3")

import xarray as xr
from astropy.io import fits

from refmaker.errors import RefmakerError, Unsupported
from refmaker.scanning.scan import scan
from refmaker.verification.verify import verify
from tests.formats.reading import counting, notes, read

KINDS = ("u1", ">i2", ">i4", ">i8", ">f4", ">f8")
SIGNS = ("i1", ">u2", ">u4")


def write(folder: Path, *hdus: Any) -> str:
    path = folder / "a.fits"
    fits.HDUList(list(hdus)).writeto(path, overwrite=True)
    return str(path)


def with_keys(folder: Path, data: np.ndarray, **keys: float) -> str:
    """Write an image of stored values, and keys in its header that say what they mean."""
    plain = io.BytesIO()
    fits.PrimaryHDU(data).writeto(plain)
    with fits.open(io.BytesIO(plain.getvalue()), do_not_scale_image_data=True) as file:
        file[0].header.update(keys)
        file.writeto(folder / "a.fits", overwrite=True)
    return str(folder / "a.fits")


@pytest.mark.parametrize("shape", [(7,), (30, 40), (3, 4, 5), (2, 3, 4, 5)])
@pytest.mark.parametrize("dtype", KINDS + SIGNS)
def test_images(tmp_path, dtype, shape):
    data = counting(dtype, *shape)
    path = write(tmp_path, fits.PrimaryHDU(data))
    manifest = scan(path)
    shown = read(manifest, "PRIMARY")
    assert shown.dtype.newbyteorder("=") == data.dtype.newbyteorder("=")
    np.testing.assert_array_equal(shown, fits.getdata(path))
    with xr.open_dataset(manifest, engine="refmaker") as dataset:  # zeros are zeros
        np.testing.assert_array_equal(dataset["PRIMARY"], data)
        assert dataset["PRIMARY"].dims == (*("axis4",)[: len(shape) - 3], "z", "y", "x")[-len(shape) :]


def test_unsigned_extremes(tmp_path):
    for dtype in SIGNS:
        info = np.iinfo(np.dtype(dtype))
        data = np.array([info.min, info.min + 1, 0, info.max - 1, info.max], dtype)
        np.testing.assert_array_equal(read(scan(write(tmp_path, fits.PrimaryHDU(data))), "PRIMARY"), data)


@pytest.mark.parametrize("dtype", ["u1", ">i2", ">i4", ">f4", ">f8"])
def test_scaled_images(tmp_path, dtype):
    stored = counting(dtype, 30, 40)
    path = with_keys(tmp_path, stored, BSCALE=0.5, BZERO=100.25)
    manifest = scan(path)
    np.testing.assert_array_equal(read(manifest, "PRIMARY"), stored)
    with xr.open_dataset(manifest, engine="refmaker") as dataset:
        np.testing.assert_allclose(dataset["PRIMARY"], fits.getdata(path), rtol=1e-6)


@pytest.mark.parametrize(
    "keys", [{}, {"BSCALE": 0.5, "BZERO": 10.0}, {"BZERO": 32768}], ids=["plain", "scaled", "sign"]
)
def test_blank_is_masked(tmp_path, keys):
    stored = counting(">i2", 30, 40)
    path = with_keys(tmp_path, stored, BLANK=7, **keys)
    with xr.open_dataset(scan(path), engine="refmaker") as dataset:
        shown = dataset["PRIMARY"].values
    expected = stored * keys.get("BSCALE", 1.0) + keys.get("BZERO", 0.0)
    np.testing.assert_allclose(shown, np.where(stored == 7, np.nan, expected), rtol=1e-6)
    assert np.isnan(shown).any()


def test_what_has_no_exact_codec(tmp_path):
    manifest = scan(write(tmp_path, fits.PrimaryHDU(counting(">u8", 5, 5))))
    assert "64-bit" in manifest.refusals["/PRIMARY"]
    with pytest.raises(Unsupported, match="64-bit"):
        scan(str(tmp_path / "a.fits"), strict=True)


def test_several_hdus(tmp_path):
    hdus = [
        fits.PrimaryHDU(),
        fits.ImageHDU(counting(">i4", 5, 12), name="SCI"),
        fits.ImageHDU(counting(">f4", 6, 12), name="SCI", ver=2),
        fits.ImageHDU(name="EMPTY"),
        fits.ImageHDU(counting(">f8", 3)),
        fits.ImageHDU(counting(">f8", 3), name="A/B"),
    ]
    hdus[0].header["TELESCOP"] = "a telescope"
    hdus[1].header["HISTORY"] = "first"
    hdus[1].header["HISTORY"] = "second"
    hdus[1].header["NOTHING"] = None
    manifest = scan(write(tmp_path, *hdus))
    assert list(manifest.arrays) == ["SCI", "SCI_2", "4"]
    assert manifest.groups[""]["TELESCOP"] == "a telescope"
    assert manifest.arrays["SCI"].attributes["HISTORY"] == "first\nsecond"
    assert manifest.arrays["SCI"].attributes["NOTHING"] is None
    assert "slash" in manifest.refusals["/A/B"]
    for name, number in {"SCI": 1, "SCI_2": 2, "4": 4}.items():
        np.testing.assert_array_equal(read(manifest, name), hdus[number].data)
    with xr.open_dataset(manifest, engine="refmaker") as dataset:
        assert dataset["SCI"].dims == ("SCI_y", "SCI_x") or dataset["SCI"].shape == (5, 12)


def test_a_damaged_card_of_the_scaling(tmp_path):
    """astropy mends the card when it is asked for the text of the header, and has not used it for the data."""
    path = Path(with_keys(tmp_path, counting(">i2", 30, 40), BZERO=32768))
    path.write_bytes(path.read_bytes().replace(b"BZERO   =", b"BZERO    "))
    manifest = scan(str(path))
    assert "damaged: BSCALE or BZERO" in manifest.refusals["/PRIMARY"]


@pytest.mark.usefixtures("here")
def test_an_hdu_that_kerchunk_fails_on_costs_itself(tmp_path, monkeypatch):
    import kerchunk.fits

    real = kerchunk.fits.process_file

    def fails_on_two(url, *, extension, **options):
        if 2 in extension:
            raise ZeroDivisionError("of a library")
        return real(url, extension=extension, **options)

    monkeypatch.setattr(kerchunk.fits, "process_file", fails_on_two)
    hdus = [fits.PrimaryHDU(), *(fits.ImageHDU(counting(">i4", 5, n), name=f"N{n}") for n in (3, 4, 5))]
    manifest = scan(write(tmp_path, *hdus))
    assert list(manifest.arrays) == ["N3", "N5"]
    assert "ZeroDivisionError" in manifest.refusals["/N4"]
    np.testing.assert_array_equal(read(manifest, "N5"), counting(">i4", 5, 5))


def columns(*made: Any) -> Any:
    return fits.BinTableHDU.from_columns(list(made), name="T")


COLUMNS = {
    "J": lambda: fits.Column("x", "J", array=np.arange(3)),
    "D": lambda: fits.Column("x", "D", array=np.arange(3) * 0.5, unit="m"),
    "I, null": lambda: fits.Column("x", "I", array=np.arange(3), null=2),
    "A": lambda: fits.Column("x", "5A", array=["a", "bb", "ccc"]),
    "C": lambda: fits.Column("x", "C", array=np.arange(3) + 1j),
    "B": lambda: fits.Column("x", "B", array=np.arange(3)),
    "K": lambda: fits.Column("x", "K", array=np.arange(3)),
    "L": lambda: fits.Column("x", "L", array=[True, False, True]),
    "vector": lambda: fits.Column("x", "3E", array=np.arange(9).reshape(3, 3)),
    "cube": lambda: fits.Column("x", "6I", dim="(3,2)", array=np.arange(18).reshape(3, 2, 3)),
    "texts": lambda: fits.Column("x", "6A", dim="(3,2)", array=np.array([["a", "b"], ["cc", "d"], ["e", "fff"]])),
}


@pytest.mark.parametrize("kind", COLUMNS)
@pytest.mark.parametrize("lone", [True, False])
@pytest.mark.usefixtures("here")
def test_columns(tmp_path, kind, lone):
    """One array a column, which xarray opens; beside others it is picked out of the rows."""
    before, after = fits.Column("before", "I", array=np.arange(3)), fits.Column("after", "7A", array=["a", "b", "c"])
    column = COLUMNS[kind]()
    path = write(tmp_path, fits.PrimaryHDU(), columns(*([column] if lone else [before, column, after])))
    manifest = scan(path)
    assert manifest.refusals == {}
    shown = read(manifest, "T/x")
    with fits.open(path) as file:
        expected = file[1].data.view(np.ndarray)["x"]
        values = np.array(file[1].data["x"])
    assert (shown.dtype, shown.shape) == (expected.dtype, expected.shape)
    assert shown.tobytes() == expected.tobytes()
    assert (manifest.arrays["T/x"].metadata.document["compressor"] is None) == lone
    with xr.open_dataset(manifest, engine="refmaker", group="T") as opened:
        assert opened["x"].dims[0] == "row"
        if kind != "L":
            np.testing.assert_array_equal(
                opened["x"].values.astype(values.dtype) if values.dtype.kind == "U" else opened["x"].values,
                np.where(values == 2, np.nan, values) if kind == "I, null" else values,
            )
    report = verify(manifest, sample=None)
    assert {array.status for array in report.arrays} == {"same"}


@pytest.mark.usefixtures("here")
def test_columns_that_are_scaled(tmp_path):
    made = columns(
        fits.Column("unsigned", "I", bzero=32768, array=np.array([0, 7, 65535], "u2")),
        fits.Column("signed", "B", bzero=-128, array=np.array([-128, 0, 127], "i1")),
        fits.Column("scaled", "E", bscale=0.5, bzero=10, array=np.array([10.0, 10.5, 12.0])),
    )
    path = write(tmp_path, fits.PrimaryHDU(), made)
    manifest = scan(path)
    with fits.open(path) as file, xr.open_dataset(manifest, engine="refmaker", group="T") as shown:
        for name in ("unsigned", "signed", "scaled"):
            np.testing.assert_array_equal(shown[name].values, file[1].data[name])
        assert shown["unsigned"].dtype == "u2"
        assert shown["signed"].dtype == "i1"
    assert "TSCAL" in notes(manifest, "T/scaled")
    statuses = {array.path: array.status for array in verify(manifest, sample=None).arrays}
    assert statuses == dict.fromkeys(("/T/unsigned", "/T/signed", "/T/scaled"), "same")


@pytest.mark.parametrize(
    ("column", "why"),
    [
        (lambda: fits.Column("x", "8X", array=np.ones((2, 8), bool)), "bits"),
        (lambda: fits.Column("x", "PJ()", array=np.array([np.arange(2), np.arange(3)], object)), "varying length"),
        (lambda: fits.Column("x", "K", bzero=1 << 63, array=np.array([1, 2], "u8")), "64-bit"),
        (lambda: fits.Column("a/b", "J", array=np.arange(2)), "/"),
    ],
)
def test_a_column_that_is_refused_costs_itself(tmp_path, column, why):
    column = column()
    path = write(tmp_path, fits.PrimaryHDU(), columns(column, fits.Column("y", "J", array=np.arange(2))))
    manifest = scan(path)
    assert why in manifest.refusals[f"/T/{column.name}"]
    assert list(manifest.arrays) == ["T/y"]
    np.testing.assert_array_equal(read(manifest, "T/y"), np.arange(2))


@pytest.mark.usefixtures("here")
def test_tables_of_many_rows_are_split(tmp_path, monkeypatch):
    from refmaker.formats import columns as columns_module

    monkeypatch.setattr(columns_module, "SPLIT", 4096)
    made = columns(fits.Column("x", "J", array=np.arange(4000)), fits.Column("y", "2E", array=np.ones((4000, 2))))
    path = write(tmp_path, fits.PrimaryHDU(), made)
    manifest = scan(path)
    assert len(manifest.arrays["T/x"].references) > 10
    np.testing.assert_array_equal(read(manifest, "T/x"), np.arange(4000))


def test_kinds_of_hdus_that_are_refused(tmp_path):
    group = fits.GroupData(np.zeros((3, 1, 4, 5), ">f4"), bitpix=-32, parnames=["abc"], pardata=[np.arange(3)])
    cases = {
        "compressed": [fits.PrimaryHDU(), fits.CompImageHDU(counting(">i2", 30, 40), name="T")],
        "ASCII table": [
            fits.PrimaryHDU(),
            fits.TableHDU.from_columns([fits.Column("a", "I6", array=[1, 2])], name="T"),
        ],
        "GroupsHDU": [fits.GroupsHDU(group)],
    }
    for why, hdus in cases.items():
        manifest = scan(write(tmp_path, *hdus))
        assert not manifest.arrays
        assert [reason for reason in manifest.refusals.values() if why in reason]


@pytest.mark.usefixtures("here")
def test_one_large_image_is_split(tmp_path, monkeypatch):
    from refmaker.formats import kerchunk_references

    monkeypatch.setattr(kerchunk_references, "SPLIT", 4096)
    path = write(tmp_path, fits.PrimaryHDU(counting(">i2", 64, 128)))
    manifest = scan(path)
    assert manifest.arrays["PRIMARY"].metadata.document["chunks"] == [16, 128]
    np.testing.assert_array_equal(read(manifest, "PRIMARY"), fits.getdata(path))


def test_cut_files(tmp_path):
    """What is missing at the end of a file is refused, and no HDU is left out without a word."""
    second = fits.ImageHDU(counting(">i2", 64, 64), name="B")
    path = Path(write(tmp_path, fits.PrimaryHDU(counting(">i2", 64, 64)), second))
    data = path.read_bytes()
    first = len(data) // 2
    for end in [*range(80, first - 1000, 997), *range(first + 80, len(data) - 2880, 997)]:
        path.write_bytes(data[:end])
        try:
            manifest = scan(str(path))
        except RefmakerError:
            continue
        assert manifest.refusals, end
        assert manifest.arrays.keys() <= ({"PRIMARY"} if end > first else set())
