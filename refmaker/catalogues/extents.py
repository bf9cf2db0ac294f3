"""Where and when data are: boxes of longitudes and latitudes, times.

Contract: pure. Longitudes may run from 0 to 360: boxes are within -180 to 180, and one across the antimeridian has its
west greater than its east, as GeoJSON has it. What is not finite does not count.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from refmaker.errors import Unsupported

__all__ = ["Box", "box_of", "geometry_of", "moment", "union"]

Box: TypeAlias = tuple[float, float, float, float]
"""West, south, east, north."""


def box_of(longitudes: npt.NDArray[Any], latitudes: npt.NDArray[Any]) -> Box | None:
    """Return the box of some positions, None where none is finite or one is on no globe.

    Examples
    --------
    >>> import numpy as np
    >>> box_of(np.array([0.0, 90.0]), np.array([-10.0, 10.0])), box_of(np.array([170.0, 190.0]), np.array([0.0]))
    ((0.0, -10.0, 90.0, 10.0), (170.0, 0.0, -170.0, 0.0))
    """
    lon = np.asarray(longitudes, "f8").ravel()
    lat = np.asarray(latitudes, "f8").ravel()
    lon, lat = lon[np.isfinite(lon)], lat[np.isfinite(lat)]
    if not len(lon) or not len(lat) or np.abs(lat).max() > 90 or np.abs(lon).max() > 540:
        return None
    west, east = _longitudes(lon)
    return west, float(lat.min()), east, float(lat.max())


def _longitudes(lon: npt.NDArray[np.float64]) -> tuple[float, float]:
    """Return the ends of the arc that is the complement of the widest gap between longitudes."""
    if lon.min() >= -180 and lon.max() <= 180:
        return float(lon.min()), float(lon.max())
    around = np.unique(np.mod(lon + 180, 360) - 180)
    if len(around) == 1:
        return float(around[0]), float(around[0])
    gaps = np.diff(np.append(around, around[0] + 360))
    widest = int(gaps.argmax())
    if gaps[widest] <= 2 * float(np.median(np.delete(gaps, widest))):  # no gap in the grid: all around
        return -180.0, 180.0
    return float(around[(widest + 1) % len(around)]), float(around[widest])


def geometry_of(box: Box) -> dict[str, Any]:
    """Return a box as GeoJSON: a polygon, or two where it crosses the antimeridian."""
    west, south, east, north = box
    if west <= east:
        return {"type": "Polygon", "coordinates": [_ring(west, south, east, north)]}
    rings = [[_ring(west, south, 180.0, north)], [_ring(-180.0, south, east, north)]]
    return {"type": "MultiPolygon", "coordinates": rings}


def _ring(west: float, south: float, east: float, north: float) -> list[list[float]]:
    return [[west, south], [east, south], [east, north], [west, north], [west, south]]


def union(boxes: Sequence[Box]) -> Box:
    """Return a box that holds all; all around where one crosses the antimeridian and others do not."""
    south, north = min(box[1] for box in boxes), max(box[3] for box in boxes)
    crossing = {box[0] > box[2] for box in boxes}
    if len(crossing) > 1:
        return -180.0, south, 180.0, north
    return min(box[0] for box in boxes), south, max(box[2] for box in boxes), north


def moment(value: Any, path: str) -> dt.datetime:
    """Return a decoded time, of numpy or cftime, in UTC.

    Raises
    ------
    Unsupported
        The calendar of all others has no such day, or it is before the year 1 or after 9999.
    """
    try:
        found: Any = value.astype("datetime64[us]").item() if isinstance(value, np.datetime64) else value
        day = dt.datetime(found.year, found.month, found.day, tzinfo=dt.UTC)
        return day.replace(hour=found.hour, minute=found.minute, second=found.second, microsecond=found.microsecond)
    except (ValueError, AttributeError, OverflowError) as error:
        raise Unsupported("a time has no form in a catalogue: name one yourself", path=path, got=value) from error
