"""GRIB files: messages decode to what eccodes says, or are refused; they become datasets as cfgrib has them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("eccodes")
pytest.importorskip("cfgrib")
pytest.importorskip("kerchunk")
pytest.importorskip("zarr", minversion="3")

import eccodes
import xarray as xr

from refmaker.errors import FormatError, Unsupported
from refmaker.scanning.scan import scan
from refmaker.verification.verify import verify
from tests.formats.messages import message, sections, values_of
from tests.formats.reading import notes, read


def write(folder: Path, *messages: bytes) -> str:
    path = folder / "a.grib2"
    path.write_bytes(b"".join(messages))
    return str(path)


def plus(number: float):
    return lambda count: np.arange(count) + number


def some_missing(count: int) -> np.ndarray:
    data = np.linspace(0, 10, count)
    data[::7] = 9999
    return data


KINDS = {
    "simple": {},
    "bitmap": {"bitmapPresent": 1, "values": some_missing},
    "JPEG 2000": {"after": {"packingType": "grid_jpeg"}},
    "CCSDS": {"after": {"packingType": "grid_ccsds"}},
    "PNG": {"after": {"packingType": "grid_png"}},
    "second order": {"after": {"packingType": "grid_second_order"}},
    "IEEE": {"after": {"packingType": "grid_ieee"}},
    "constant": {"values": lambda count: np.full(count, 5.0)},
    "Gaussian": {"sample": "regular_gg_pl_grib2"},
    "polar": {"sample": "polar_stereographic_pl_grib2"},
    "rotated": {"sample": "rotated_ll_pl_grib2"},
    "from south to north": {
        "jScansPositively": 1,
        "latitudeOfFirstGridPointInDegrees": 0.0,
        "latitudeOfLastGridPointInDegrees": 60.0,
    },
    "from east to west": {
        "iScansNegatively": 1,
        "longitudeOfFirstGridPointInDegrees": 30.0,
        "longitudeOfLastGridPointInDegrees": 0.0,
    },
}


@pytest.mark.parametrize("kind", KINDS)
def test_values_and_coordinates(tmp_path, kind):
    data = message(**KINDS[kind])
    manifest = scan(write(tmp_path, data))
    assert manifest.refusals == {}
    np.testing.assert_array_equal(read(manifest, "t"), values_of(data))
    handle = eccodes.codes_new_from_message(data)
    expected = [eccodes.codes_get_array(handle, name) for name in ("latitudes", "longitudes")]
    eccodes.codes_release(handle)
    with xr.open_dataset(manifest, engine="refmaker") as shown:
        pair = xr.broadcast(shown["latitude"], shown["longitude"])
        for coordinate, points in zip(pair, expected, strict=True):
            np.testing.assert_array_equal(coordinate.transpose(*shown["t"].dims).values.ravel(), points)
        assert shown["t"].isnull().any() == (kind == "bitmap")
        assert {"time", "step", "valid_time", "isobaricInhPa"} <= set(shown.coords)
    assert "kerchunk and eccodes" in notes(manifest, "t")


REFUSED = {
    "9999 without a bitmap": (
        lambda: message(values=lambda count: np.full(count, 9999.0)),
        "equal its number for missing",
    ),
    "edition 1": (lambda: message("regular_ll_pl_grib1"), "edition 1"),
    "columns": (lambda: message(jPointsAreConsecutive=1), "jPointsAreConsecutive"),
    "every second row backwards": (lambda: message(alternativeRowScanning=1), "alternativeRowScanning"),
    "reduced": (lambda: message("reduced_gg_pl_32_grib2"), "no rectangle"),
    "spectral": (lambda: message("sh_pl_grib2"), "no rectangle"),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_messages_that_are_refused(tmp_path, kind):
    make, why = REFUSED[kind]
    with pytest.raises(Unsupported, match=why):
        scan(write(tmp_path, make()))
    manifest = scan(write(tmp_path, message(values=plus(3)), make()))
    assert why in manifest.refusals["/message2"]
    np.testing.assert_array_equal(read(manifest, "t"), values_of(message(values=plus(3))))


def test_steps_of_an_unknown_unit(tmp_path):
    """eccodes would look for the date of such a step for ever."""
    data = bytearray(message())
    at = data.index(sections(bytes(data))[2]) + 17  # section 4, octet 18
    assert sections(bytes(data))[2][4] == 4
    data[at] = 255
    with pytest.raises(Unsupported, match="no number of seconds"):
        scan(write(tmp_path, bytes(data)))


def test_several_fields_in_a_message(tmp_path):
    first, second = message(), message(level=850)
    body = b"".join([*sections(first), *(part for part in sections(second) if part[4] >= 4), b"7777"])
    with pytest.raises(Unsupported, match="2 fields"):
        scan(write(tmp_path, first[:8] + (16 + len(body)).to_bytes(8, "big") + body))


@pytest.mark.parametrize("behind", [b"\0" * 3, b"\0" * 7, b"x" * 1500, b"GRI"])
def test_bytes_behind_the_last_message(tmp_path, behind):
    """kerchunk's own scan does not end on these."""
    manifest = scan(write(tmp_path, message(), b"\0" * 5, message(level=850), behind))
    assert manifest.arrays["t"].metadata.document["shape"] == [2, 31, 16]


def test_cut_file(tmp_path):
    whole = message(), message(level=850)
    manifest = scan(write(tmp_path, whole[0], whole[1][:-100]))
    assert "longer than the file" in manifest.refusals["/message2"]
    np.testing.assert_array_equal(read(manifest, "t"), values_of(whole[0]))
    for end in (4, 15, 100, len(whole[0]) - 1):
        with pytest.raises((FormatError, Unsupported)):
            scan(write(tmp_path, whole[0][:end]))


def test_a_cube(tmp_path):
    made = {
        (name, step, level): message(
            level=level, shortName=name, stepRange=str(step), values=plus(step + level + ord(name))
        )
        for name in "tu"
        for step in (12, 0, 6)
        for level in (500, 850)
    }
    manifest = scan(write(tmp_path, *made.values()))
    with xr.open_dataset(manifest, engine="refmaker") as shown:
        assert shown["t"].dims == shown["u"].dims == ("step", "isobaricInhPa", "latitude", "longitude")
        assert (shown["step"].values / np.timedelta64(1, "h")).tolist() == [0, 6, 12]
        assert shown["isobaricInhPa"].values.tolist() == [850, 500]
        np.testing.assert_array_equal(shown["valid_time"], shown["time"] + shown["step"])
        for (name, step, level), data in made.items():
            found = shown[name].sel(step=np.timedelta64(step, "h"), isobaricInhPa=level)
            np.testing.assert_array_equal(found, values_of(data))
    assert len(manifest.arrays["t"].references) == 6


def test_members_times_and_minutes(tmp_path):
    members = [message(productDefinitionTemplateNumber=1, number=k, values=plus(k)) for k in (2, 0, 1)]
    with xr.open_dataset(scan(write(tmp_path, *members)), engine="refmaker") as shown:
        assert shown["number"].values.tolist() == [0, 1, 2]
        np.testing.assert_array_equal(shown["t"].sel(number=2), values_of(members[0]))
    days = [message(dataDate=20200101 + day, values=plus(day)) for day in range(3)]
    with xr.open_dataset(scan(write(tmp_path, *days)), engine="refmaker") as shown:
        assert shown["time"].dt.day.values.tolist() == [1, 2, 3]
        np.testing.assert_array_equal(shown["t"].isel(time=2), values_of(days[2]))
    steps = [message(stepUnits="m", stepRange=str(minutes), values=plus(minutes)) for minutes in (0, 15, 30)]
    with xr.open_dataset(scan(write(tmp_path, *steps)), engine="refmaker") as shown:
        assert (shown["step"].values / np.timedelta64(1, "m")).tolist() == [0, 15, 30]


def test_places_without_a_message_are_missing(tmp_path):
    made = [message(level=level, stepRange=str(step)) for step, level in ((0, 500), (0, 850), (6, 500))]
    manifest = scan(write(tmp_path, *made))
    assert "1 of 4 places" in notes(manifest, "t")
    with xr.open_dataset(manifest, engine="refmaker") as shown:
        assert shown["t"].sel(step=np.timedelta64(6, "h"), isobaricInhPa=850).isnull().all()
        assert shown["t"].isnull().sum() == 31 * 16


def test_datasets_that_do_not_fit_are_groups(tmp_path):
    made = [
        message(level=500),
        message(typeOfLevel="surface", shortName="sp", values=plus(1)),
        message(level=500, shortName="u"),
        message(level=850, shortName="u"),
    ]
    manifest = scan(write(tmp_path, *made))
    assert sorted(group for group in manifest.groups if group) == [
        "isobaricInhPa_instant_t",
        "isobaricInhPa_instant_u",
        "surface",
    ]
    np.testing.assert_array_equal(read(manifest, "surface/sp"), values_of(made[1]))
    with xr.open_dataset(manifest, engine="refmaker", group="isobaricInhPa_instant_u") as shown:
        assert shown["u"].shape == (2, 31, 16)
    assert list(scan(str(tmp_path / "a.grib2"), group="surface").arrays) == [
        path.removeprefix("surface/") for path in manifest.arrays if path.startswith("surface/")
    ]


def test_two_messages_at_one_place(tmp_path):
    manifest = scan(write(tmp_path, message(), message(values=plus(5)), message(shortName="u")))
    assert "cannot be told apart" in manifest.refusals["/isobaricInhPa/t"]
    assert "u" in manifest.arrays
    assert "t" not in manifest.arrays


def test_as_cfgrib_has_it(tmp_path):
    import cfgrib

    made = [
        message(level=level, shortName=name, stepRange=str(step), values=plus(level + step))
        for name in "tu"
        for step in (0, 6)
        for level in (500, 850)
    ]
    path = write(tmp_path, *made)
    with xr.open_dataset(scan(path), engine="refmaker") as shown:
        parts = cfgrib.open_datasets(path, backend_kwargs={"indexpath": ""})
        variables = {name: part[name] for part in parts for name in part.data_vars}
        assert variables.keys() == shown.data_vars.keys()
        for name, expected in variables.items():
            assert shown[name].dims == expected.dims
            np.testing.assert_array_equal(shown[name].astype("f4"), expected)
            for coordinate in expected.coords.keys() & shown.coords.keys():
                np.testing.assert_array_equal(shown[coordinate], expected[coordinate])
            assert shown[name].attrs["units"] == expected.attrs["units"]


@pytest.mark.parametrize("kind", KINDS)
def test_verify(tmp_path, kind):
    report = verify(scan(write(tmp_path, message(**KINDS[kind]))), sample=None)
    assert report.differences == 0
    skipped = {array.path for array in report.arrays if array.status != "same"}
    assert skipped == ({"/longitude"} if kind == "from east to west" else set())
