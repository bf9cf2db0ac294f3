"""What is known of one GRIB message before it is put together with others: records only."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final

from refmaker.manifest.manifest import ManifestArray

__all__ = ["AXES", "Message"]

AXES: Final = ("number", "time", "step")
"""Coordinates of a message that may become dimensions; its level is a fourth, of its own name."""


@dataclass(slots=True)
class Message:
    """One message, as kerchunk describes it.

    Attributes
    ----------
    name
        Of its variable.
    parameter
        What tells variables apart that have the same name.
    kind
        What tells apart messages that never stand in one dataset: grid, type of level, type of step.
    level
        Name of the level's coordinate; "" where it has none.
    values
        Coordinate -> value, of the scalar ones.
    array
        The field.
    coordinates
        Its other coordinates, latitude and longitude.
    """

    number: int
    name: str
    parameter: tuple[int, ...]
    kind: tuple[str, ...]
    level: str
    values: dict[str, float | int]
    attributes: dict[str, dict[str, Any]]
    array: ManifestArray
    coordinates: dict[str, ManifestArray] = field(default_factory=dict)
    root: dict[str, Any] = field(default_factory=dict)
