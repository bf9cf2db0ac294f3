"""OME-XML: which pages are the planes of which image.

Contract: `read_ome` gives a plan for each image of a file that stands alone, None where the text is damaged, declares
entities, or where planes are in other files. Source: OME model 2016-06, Pixels and TiffData.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Final

__all__ = ["Plan", "read_ome"]

MAX_TEXT: Final = 64 << 20
MAX_PLANES: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class Plan:
    """The planes of one image, C order along the leading axes.

    Attributes
    ----------
    pages
        Numbers of directories.
    """

    lead: tuple[int, ...]
    axes: str
    samples: int
    pages: list[int]


def read_ome(text: str) -> list[Plan] | None:
    """Read the description of the first page."""
    if len(text) > MAX_TEXT or "<!DOCTYPE" in text or "<!ENTITY" in text:
        return None
    from xml.etree import ElementTree as ET

    try:
        root = ET.fromstring(text)  # noqa: S314 (declarations are refused above)
        images = [_plan(pixels) for pixels in root.iter() if pixels.tag.endswith("}Pixels")]
    except (ET.ParseError, ValueError, KeyError):
        return None
    return None if not images or None in images else [one for one in images if one is not None]


def _children(element: Any, name: str) -> list[Any]:
    return [child for child in element if child.tag.endswith("}" + name)]


def _plan(pixels: Any) -> Plan | None:
    """Return the plan of one image; None where a plane is nowhere, or twice."""
    sizes = {axis: int(pixels.attrib["Size" + axis]) for axis in "TCZ"}
    order = pixels.attrib["DimensionOrder"][2:]  # the fastest first, behind XY
    samples = {int(one.get("SamplesPerPixel", "1")) for one in _children(pixels, "Channel")} or {1}
    if sorted(order) != ["C", "T", "Z"] or len(samples) != 1 or min(sizes.values()) < 1:
        return None
    per = samples.pop()
    if per < 1 or sizes["C"] % per or math.prod(sizes.values()) > MAX_PLANES:
        return None
    sizes["C"] //= per
    axes = order[::-1]
    lead = tuple(sizes[axis] for axis in axes)
    places: dict[int, int] = {}
    following = 0
    for data in _children(pixels, "TiffData"):
        first = _index(data, axes, lead)
        number = int(data.get("IFD", following if not places else 0))
        count = int(data.get("PlaneCount", "1" if "IFD" in data.attrib else math.prod(lead) - first))
        if not 0 <= first < math.prod(lead) or not 0 < count <= math.prod(lead) - first or number < 0:
            return None
        for step in range(count):
            if first + step in places:
                return None
            places[first + step] = number + step
        following = number + count
    if len(places) != math.prod(lead):
        return None
    return Plan(lead, axes, per, [places[place] for place in range(math.prod(lead))])


def _index(data: Any, axes: str, lead: tuple[int, ...]) -> int:
    found = 0
    for axis, extent in zip(axes, lead, strict=True):
        at = int(data.get("First" + axis, "0"))
        if not 0 <= at < extent:
            return -1
        found = found * extent + at
    return found
