from __future__ import annotations

import datetime as dt

import cftime
import numpy as np
import pytest

from refmaker.catalogues.extents import box_of, geometry_of, moment, union
from refmaker.errors import Unsupported


@pytest.mark.parametrize(
    ("longitudes", "west", "east"),
    [
        ([-10, 10], -10, 10),
        ([0, 90, 180, 270], -180, 180),
        (np.arange(0, 360, 0.25), -180, 180),
        ([170, 180, 190], 170, -170),
        ([350, 360, 370], -10, 10),
        ([200], -160, -160),
        ([200, 210], -160, -150),
        ([np.nan, 5, np.inf], 5, 5),
        ([-180, 180], -180, 180),
    ],
)
def test_longitudes(longitudes: list[float], west: float, east: float) -> None:
    assert box_of(np.array(longitudes, float), np.array([1.0, 2.0])) == (west, 1, east, 2)


def test_no_box() -> None:
    assert box_of(np.array([np.nan]), np.array([1.0])) is None
    assert box_of(np.array([1.0]), np.array([91.0])) is None
    assert box_of(np.array([9e36]), np.array([1.0])) is None


def test_across_the_antimeridian() -> None:
    found = geometry_of((170, -5, -170, 5))
    assert found["type"] == "MultiPolygon"
    assert [min(x for x, _ in part[0]) for part in found["coordinates"]] == [170, -180]
    assert geometry_of((0, 0, 1, 1))["type"] == "Polygon"


def test_union() -> None:
    assert union([(0, 0, 1, 1), (5, -1, 6, 0)]) == (0, -1, 6, 1)
    assert union([(170, 0, -170, 1), (160, 0, -175, 1)]) == (160, 0, -170, 1)
    assert union([(170, 0, -170, 1), (0, 0, 1, 1)]) == (-180, 0, 180, 1)


def test_moments() -> None:
    assert moment(np.datetime64("2000-01-01T12:00:00.5"), "/t") == dt.datetime(2000, 1, 1, 12, 0, 0, 500000, dt.UTC)
    assert moment(cftime.DatetimeNoLeap(1850, 2, 28), "/t") == dt.datetime(1850, 2, 28, tzinfo=dt.UTC)
    with pytest.raises(Unsupported, match="name one"):
        moment(cftime.Datetime360Day(2000, 2, 30), "/t")
    with pytest.raises(Unsupported):
        moment(np.datetime64("-5000-01-01", "s"), "/t")
