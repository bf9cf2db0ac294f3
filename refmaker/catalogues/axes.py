"""What a coordinate stands for: longitude, latitude, x, y, z, time.

Contract: pure. As the CF conventions tell it, in their order of trust: `axis`, `standard_name`, units. Names are not
looked at: a variable called `x` may be anything.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, Literal, TypeAlias

__all__ = ["Axis", "axis_of"]

Axis: TypeAlias = Literal["longitude", "latitude", "x", "y", "z", "time"]

_STANDARD: Final[dict[str, Axis]] = {
    "longitude": "longitude",
    "latitude": "latitude",
    "projection_x_coordinate": "x",
    "projection_y_coordinate": "y",
    "projection_x_angular_coordinate": "x",
    "projection_y_angular_coordinate": "y",
    "grid_longitude": "x",
    "grid_latitude": "y",
    "time": "time",
    "height": "z",
    "altitude": "z",
    "depth": "z",
    "air_pressure": "z",
}
_EAST: Final = {"degrees_east", "degree_east", "degreese", "degreee", "degree_e", "degrees_e"}
_NORTH: Final = {"degrees_north", "degree_north", "degreesn", "degreen", "degree_n", "degrees_n"}
_AXES: Final[dict[str, Axis]] = {"x": "x", "y": "y", "z": "z", "t": "time"}


def axis_of(attributes: Mapping[str, Any]) -> Axis | None:
    """Return what a coordinate stands for, None where its attributes do not tell.

    Examples
    --------
    >>> axis_of({"units": "degrees_east"}), axis_of({"axis": "Z"}), axis_of({"units": "days since 2000-01-01"})
    ('longitude', 'z', 'time')
    """
    text = {name: str(attributes.get(name, "")).strip().lower() for name in ("axis", "standard_name", "units")}
    if text["units"] in _EAST and not text["standard_name"].startswith("grid_"):
        return "longitude"
    if text["units"] in _NORTH and not text["standard_name"].startswith("grid_"):
        return "latitude"
    if text["standard_name"] in _STANDARD:
        return _STANDARD[text["standard_name"]]
    if text["axis"] in _AXES:
        return _AXES[text["axis"]]
    if " since " in text["units"]:
        return "time"
    return "z" if str(attributes.get("positive", "")).strip().lower() in ("up", "down") else None
