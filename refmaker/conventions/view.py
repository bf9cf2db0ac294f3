"""A source file as Zarr is to show it: groups, variables with named dimensions, attributes as JSON.

Contract: plain records, filled by `refmaker.conventions.netcdf4.annotate`, read by the Zarr layer. Every dataset of the
tree is in exactly one place: a `Variable`, or `View.hidden` with the reason.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from refmaker.model import JSON, Dataset

__all__ = ["Variable", "View"]


@dataclass(slots=True)
class Variable:
    """An array to be, under one of the names of its dataset.

    Attributes
    ----------
    zarr_path
        Without a leading slash; the last part is the netCDF name, which may differ from the one in the file.
    path
        Path in the source.
    dataset
        What the source says of it. Hard and soft links to one dataset share it.
    dimensions
        A name for every axis of `shape`, then one for every axis that an array datatype adds.
    shape
        The extent that netCDF-4 shows. It exceeds that of the dataset along an unlimited dimension which another
        variable has filled further: what is missing there reads as the fill value.
    attributes
        Strict JSON, `_FillValue` included.
    fill_attribute
        The value of a `_FillValue` attribute of one element: a numpy scalar, or bytes for strings. None without one.
    notes
        What could not be written, or is written otherwise than the source has it.
    types
        Name of an attribute -> its type, where JSON does not tell it.
    """

    zarr_path: str
    path: str
    dataset: Dataset
    dimensions: tuple[str, ...]
    shape: tuple[int, ...]
    attributes: dict[str, JSON]
    fill_attribute: np.generic[Any] | bytes | None = None
    notes: list[str] = field(default_factory=list)
    types: dict[str, str] = field(default_factory=dict)


@dataclass(slots=True)
class View:
    """What `annotate` makes of a tree.

    Attributes
    ----------
    groups
        Zarr path ("" is the root) -> attributes.
    group_paths
        Zarr path of a group -> its path in the source.
    variables
        In the order netCDF-4 lists them, parents before children.
    hidden
        Path in the source -> why it is not in the view: netCDF dimensions without a variable, cycles that were cut.
    group_notes
        Zarr path of a group -> notes, for groups that have any.
    group_types
        Zarr path of a group -> name of an attribute -> its type, where JSON does not tell it.
    """

    groups: dict[str, dict[str, JSON]] = field(default_factory=dict)
    group_paths: dict[str, str] = field(default_factory=dict)
    variables: list[Variable] = field(default_factory=list)
    hidden: dict[str, str] = field(default_factory=dict)
    group_notes: dict[str, list[str]] = field(default_factory=dict)
    group_types: dict[str, dict[str, str]] = field(default_factory=dict)
