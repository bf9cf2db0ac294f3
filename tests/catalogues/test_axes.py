from __future__ import annotations

from typing import Any

import pytest

from refmaker.catalogues.axes import axis_of


@pytest.mark.parametrize(
    ("attributes", "axis"),
    [
        ({"units": "degrees_east"}, "longitude"),
        ({"units": "degree_N"}, "latitude"),
        ({"standard_name": "longitude", "units": "degrees"}, "longitude"),
        ({"standard_name": "grid_longitude", "units": "degrees"}, "x"),
        ({"standard_name": "projection_y_coordinate", "units": "m"}, "y"),
        ({"axis": "Z"}, "z"),
        ({"positive": "down", "units": "m"}, "z"),
        ({"axis": "T"}, "time"),
        ({"units": "hours since 1970-01-01"}, "time"),
        ({"units": "m"}, None),
        ({"units": 3, "axis": ["X"]}, None),
        ({}, None),
    ],
)
def test_what_attributes_tell(attributes: dict[str, Any], axis: str | None) -> None:
    assert axis_of(attributes) == axis
