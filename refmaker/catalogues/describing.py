"""What a manifest holds, in terms of catalogues: groups with dimensions, variables, extents, projections.

Contract: read through the manifest with xarray, which decodes times; only coordinates are read. What is not known is
left out: a box is there only where longitudes and latitudes are, or a projection that leads to them.
"""

from __future__ import annotations

import datetime as dt
import math
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np

from refmaker.catalogues.axes import Axis, axis_of
from refmaker.catalogues.extents import Box, box_of, moment
from refmaker.catalogues.projections import Projection, projection_of
from refmaker.errors import RefmakerError, Unsupported
from refmaker.manifest.manifest import Manifest

__all__ = ["Cube", "describe"]

_READ: Final = 1 << 24
"""Elements of a coordinate that are read."""
_VALUES: Final = 256
"""Values of a dimension that are listed."""


@dataclass(slots=True)
class Cube:
    """A group that has variables.

    Attributes
    ----------
    path
        Of the group, "/" for the root.
    title, description
        Of its attributes.
    dimensions, variables
        As STAC's datacube extension has them.
    box, times
        Where and when, None where that is not known.
    projection
        Of its grid mapping.
    notes
        What could not be told.
    """

    path: str
    title: str | None = None
    description: str | None = None
    dimensions: dict[str, Any] = field(default_factory=dict)
    variables: dict[str, Any] = field(default_factory=dict)
    box: Box | None = None
    times: tuple[dt.datetime, dt.datetime] | None = None
    projection: Projection | None = None
    notes: list[str] = field(default_factory=list)


def describe(
    manifest: str | os.PathLike[str] | Manifest, storage_options: Mapping[str, Any] | None = None
) -> list[Cube]:
    """Return the groups of a manifest that have variables, the root first.

    Parameters
    ----------
    manifest
        Its path or url, or itself. Its coordinates are read from its targets.
    storage_options
        Of the targets, as fsspec has them.

    Raises
    ------
    Unsupported
        xarray has no tree for it.
    RefmakerError
        A coordinate cannot be read.
    """
    from refmaker.replay.open_dataset import open_datatree

    try:
        tree = open_datatree(manifest, storage_options=storage_options, create_default_indexes=False)
    except ValueError as error:  # of xarray: a scalar variable of the name of a dimension, groups that do not align
        raise Unsupported(f"xarray has no tree for it: {error}") from error
    return [_cube(node) for node in tree.subtree if node.to_dataset(inherit=False).variables]


def _cube(node: Any) -> Cube:
    dataset = node.to_dataset()
    attributes = dataset.attrs
    cube = Cube(node.path, _text(attributes, "title"), _text(attributes, "summary", "comment"))
    axes = {name: _axis(variable) for name, variable in dataset.variables.items()}
    for name in dataset.dims:
        cube.dimensions[str(name)] = _dimension(dataset, name, axes.get(name), cube)
    for name, variable in node.to_dataset(inherit=False).variables.items():
        if name not in dataset.dims and "grid_mapping_name" not in variable.attrs:
            cube.variables[str(name)] = _variable(variable, auxiliary=name in dataset.coords)
    cube.projection = projection_of(dataset, axes)
    cube.box = _box(dataset, axes) or (cube.projection.box if cube.projection is not None else None)
    cube.times = cube.times or _coverage(attributes)
    return cube


def _text(attributes: Mapping[str, Any], *names: str) -> str | None:
    found = [attributes[name] for name in names if isinstance(attributes.get(name), str) and attributes[name].strip()]
    return found[0] if found else None


def _axis(variable: Any) -> Axis | None:
    """Return what a variable stands for, whose units xarray may have decoded."""
    return axis_of({**variable.attrs, "units": variable.attrs.get("units", variable.encoding.get("units", ""))})


def _variable(variable: Any, *, auxiliary: bool) -> dict[str, Any]:
    found: dict[str, Any] = {
        "dimensions": [str(name) for name in variable.dims],
        "type": "auxiliary" if auxiliary else "data",
    }
    description, unit = _text(variable.attrs, "long_name", "standard_name"), _text(variable.attrs, "units")
    return found | ({"description": description} if description else {}) | ({"unit": unit} if unit else {})


def _dimension(dataset: Any, name: Any, axis: Axis | None, cube: Cube) -> dict[str, Any]:
    """Describe a dimension, by its coordinate variable if there is one."""
    variable = dataset.variables.get(name)
    if variable is None or variable.ndim != 1 or not 0 < variable.size <= _READ:
        return {"type": "other", "extent": [0, max(int(dataset.sizes[name]) - 1, 0)], "description": "positions"}
    values = variable.values
    if axis == "time" or values.dtype.kind == "M":
        times = _times(values, f"{cube.path.rstrip('/')}/{name}", cube)
        if times is not None:
            cube.times = times
            return {"type": "temporal", "extent": [_written(one) for one in times]}
    if values.dtype.kind not in "iuf":
        texts = [str(one) for one in values[:_VALUES].tolist()]
        return {"type": "other", "values": texts}
    return _numbers(values.astype("f8"), axis, variable.attrs)


def _numbers(values: np.ndarray, axis: Axis | None, attributes: Mapping[str, Any]) -> dict[str, Any]:
    finite = values[np.isfinite(values)]
    extent = [float(finite.min()), float(finite.max())] if len(finite) else [None, None]
    kind = {"longitude": "x", "latitude": "y"}.get(axis or "", axis)
    found: dict[str, Any] = {"type": "other", "extent": extent}
    if kind in ("x", "y", "z") and len(finite):
        found = {"type": "spatial", "axis": kind, "extent": extent}
    steps = np.diff(values)
    if len(steps) and np.isfinite(steps).all():
        step = float(steps.mean())
        found["step"] = step if np.allclose(steps, step, rtol=1e-3, atol=0) else None
    if found.get("step") is None and len(finite) == len(values) <= _VALUES:
        found["values"] = values.tolist()
    unit = _text(attributes, "units")
    if unit and kind not in ("x", "y"):
        found["unit"] = unit
    return found


def _times(values: np.ndarray, path: str, cube: Cube) -> tuple[dt.datetime, dt.datetime] | None:
    """Return the first and the last time."""
    if values.dtype.kind not in "MO":
        return None  # xarray could not decode it
    known = values[~np.isnat(values)] if values.dtype.kind == "M" else values
    if not len(known):
        return None
    try:
        return moment(known.min(), path), moment(known.max(), path)
    except RefmakerError as error:
        cube.notes.append(str(error))
        return None


def _coverage(attributes: Mapping[str, Any]) -> tuple[dt.datetime, dt.datetime] | None:
    """Return the time that the attributes of ACDD give."""
    found = []
    for name in ("time_coverage_start", "time_coverage_end"):
        try:
            value = dt.datetime.fromisoformat(str(attributes[name]).strip())
        except (KeyError, ValueError):
            return None
        found.append(value.replace(tzinfo=dt.UTC) if value.tzinfo is None else value.astimezone(dt.UTC))
    return min(found), max(found)


def _written(time: dt.datetime) -> str:
    return time.isoformat().replace("+00:00", "Z")


def _box(dataset: Any, axes: Mapping[Any, Axis | None]) -> Box | None:
    """Return the box of all longitudes and latitudes."""
    parts = []
    for wanted in ("longitude", "latitude"):
        values = [
            variable.values.ravel() for name, variable in _readable(dataset) if axes[name] == wanted and variable.size
        ]
        if not values:
            return None
        parts.append(np.concatenate(values))
    return box_of(*parts)


def _readable(dataset: Any) -> Iterator[tuple[Any, Any]]:
    """Yield variables of numbers that are small enough to be read."""
    for name, variable in dataset.variables.items():
        if variable.dtype.kind in "iuf" and math.prod(variable.shape) <= _READ:
            yield name, variable
