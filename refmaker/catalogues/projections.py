"""The projection of a grid mapping, as STAC's projection extension has it.

Contract: what the file says: `crs_wkt` or `spatial_ref`, and the parameters of a CF grid mapping where pyproj is
installed, which also leads from projected coordinates to longitudes and latitudes. Without pyproj only WKT of version 2
is passed on, and the code of an authority where the text ends with one. Several grid mappings in a group: none.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from refmaker.catalogues.axes import Axis
from refmaker.catalogues.extents import Box, box_of

__all__ = ["Projection", "projection_of"]

_WKT2: Final = (
    "GEOGCRS",
    "GEODCRS",
    "GEODETICCRS",
    "GEOGRAPHICCRS",
    "PROJCRS",
    "PROJECTEDCRS",
    "BOUNDCRS",
    "COMPOUNDCRS",
)
_CODE: Final = re.compile(r"""(?:ID|AUTHORITY)\["(\w+)",\s*"?(\d+)"?\]\s*\]\s*$""")


@dataclass(slots=True)
class Projection:
    """Fields of the extension, and the box in longitudes and latitudes, None where that is not known."""

    fields: dict[str, Any]
    box: Box | None = None


def projection_of(dataset: Any, axes: Mapping[Any, Axis | None]) -> Projection | None:
    """Return the projection of a group, None where no grid mapping tells it.

    Parameters
    ----------
    dataset
        An `xarray.Dataset`.
    axes
        What each of its variables stands for.
    """
    mappings = [variable.attrs for variable in dataset.variables.values() if _is_mapping(variable.attrs)]
    if len(mappings) != 1:
        return None
    crs, fields = _crs(mappings[0]), _named(mappings[0])
    if crs is not None:
        code = crs.to_authority(min_confidence=100)
        fields = {"proj:wkt2": crs.to_wkt("WKT2_2019")} | ({"proj:code": ":".join(code)} if code else {})
    if not fields:
        return None
    wanted = ("longitude", "latitude") if crs is not None and crs.is_geographic else ("x", "y")
    x, y = (_coordinate(dataset, axes, axis) for axis in wanted)
    if x is None or y is None:
        return Projection(fields)
    fields |= _raster(x, y)
    return Projection(fields, _geographic_box(crs, x, y))


def _is_mapping(attributes: Mapping[str, Any]) -> bool:
    return any(isinstance(attributes.get(name), str) for name in ("grid_mapping_name", "crs_wkt"))


def _named(attributes: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the text of a grid mapping tells by itself."""
    text = str(attributes.get("crs_wkt") or attributes.get("spatial_ref") or "").strip()
    found = _CODE.search(text)
    fields = {"proj:wkt2": text} if text.upper().startswith(_WKT2) else {}
    return fields | ({"proj:code": f"{found[1]}:{found[2]}"} if found else {})


def _crs(attributes: Mapping[str, Any]) -> Any:
    """Return the `pyproj.CRS` of a grid mapping, None where pyproj is not installed or does not know it."""
    try:
        import pyproj
    except ImportError:
        return None
    text = attributes.get("crs_wkt") or attributes.get("spatial_ref")
    try:
        return pyproj.CRS.from_wkt(text) if isinstance(text, str) else pyproj.CRS.from_cf(dict(attributes))
    except (pyproj.exceptions.CRSError, KeyError, ValueError, TypeError):
        return None


def _coordinate(dataset: Any, axes: Mapping[Any, Axis | None], axis: str) -> np.ndarray | None:
    """Return the values of the coordinate variable of an axis, None unless there is one."""
    names = [name for name in dataset.dims if name in dataset.variables and axes.get(name) == axis]
    if len(names) != 1 or dataset.variables[names[0]].dtype.kind not in "iuf":
        return None
    values = np.asarray(dataset.variables[names[0]].values, "f8")
    return values if len(values) and np.isfinite(values).all() else None


def _raster(x: np.ndarray, y: np.ndarray) -> dict[str, Any]:
    """Return shape, box and transform of a regular grid, whose coordinates are the middles of pixels."""
    fields: dict[str, Any] = {"proj:shape": [len(y), len(x)]}
    dx, dy = _step(x), _step(y)
    if dx is None or dy is None:
        return fields
    left, top = float(x[0]) - dx / 2, float(y[0]) - dy / 2
    right, bottom = float(x[-1]) + dx / 2, float(y[-1]) + dy / 2
    fields["proj:transform"] = [dx, 0.0, left, 0.0, dy, top, 0.0, 0.0, 1.0]
    fields["proj:bbox"] = [min(left, right), min(top, bottom), max(left, right), max(top, bottom)]
    return fields


def _step(values: np.ndarray) -> float | None:
    steps = np.diff(values)
    if not len(steps) or not steps.mean():
        return None
    step = float(values[-1] - values[0]) / len(steps)
    return step if np.allclose(steps, step, rtol=1e-3, atol=0) else None


def _geographic_box(crs: Any, x: np.ndarray, y: np.ndarray) -> Box | None:
    """Return the box of a projected grid, of whose rim 21 points to a side are looked at, and the poles."""
    if crs is None or crs.is_geographic or crs.geodetic_crs is None:
        return None
    import pyproj

    transformer = pyproj.Transformer.from_crs(crs, crs.geodetic_crs, always_xy=True)
    try:
        box = transformer.transform_bounds(x.min(), y.min(), x.max(), y.max(), densify_pts=21)
    except pyproj.exceptions.ProjError:
        return None
    if not np.isfinite(box).all():
        return None
    if box[0] > box[2]:
        return box[0], box[1], box[2], box[3]
    return box_of(np.array([box[0], box[2]]), np.array([box[1], box[3]]))
