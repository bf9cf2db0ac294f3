"""Coordinates are the centres of pixels, a grid mapping is there where keys name EPSG."""

from __future__ import annotations

import numpy as np
import pytest

from refmaker.tiff.georeference import attributes_of, axes_of, epsg_of, grid_mapping

SCALE, POINT = np.array([10.0, 20.0, 0.0]), np.array([0.0, 0.0, 0.0, 500000.0, 4e6, 0.0])
KEYS = np.array([1, 1, 0, 3, 1024, 0, 1, 1, 1025, 0, 1, 1, 3072, 0, 1, 32633], "u2")
SAID = {33550: SCALE, 33922: POINT, 34735: KEYS}


def test_axes_and_mapping():
    x, y = axes_of(SAID, 4, 3, full=(4, 3)) or (None, None)
    np.testing.assert_array_equal(x, [500005, 500015, 500025])
    np.testing.assert_array_equal(y, [3999990, 3999970, 3999950, 3999930])
    x, _ = axes_of(SAID, 2, 1, full=(4, 3)) or (None, None)
    np.testing.assert_array_equal(x, [500015])
    assert epsg_of(SAID) == 32633
    said = grid_mapping(SAID, 32633)
    assert said["grid_mapping_name"] == "transverse_mercator"
    assert said["longitude_of_central_meridian"] == 15.0
    assert said["GeoTransform"] == "500000.0 10.0 0.0 4000000.0 0.0 -20.0"


def test_points_are_centres():
    keys = KEYS.copy()
    keys[11] = 2
    x, _ = axes_of({**SAID, 34735: keys}, 4, 3, full=(4, 3)) or (None, None)
    np.testing.assert_array_equal(x, [500000, 500010, 500020])


@pytest.mark.parametrize(
    "said",
    [
        {},
        {33550: SCALE},
        {33550: SCALE, 33922: np.r_[POINT, POINT]},
        {33550: SCALE * np.nan, 33922: POINT},
        {33550: SCALE * 0, 33922: POINT},
        {33550: b"text", 33922: POINT},
        {34264: np.array([1.0, 0.5, 0, 0, 0.5, 1, 0, 0])},
    ],
)
def test_no_axes(said):
    assert axes_of(said, 4, 3, full=(4, 3)) is None


def test_damaged_keys():
    for directory in (np.array([1], "u2"), np.array([1, 1, 0, 65535], "u2"), b"\1\1\0\3"):
        kept, lost = attributes_of({34735: directory, 42112: b"<!DOCTYPE a><GDALMetadata/>"})
        assert lost == ["gdal_metadata"]
        assert "ProjectedCSTypeGeoKey" not in kept
        assert epsg_of({34735: directory}) is None
