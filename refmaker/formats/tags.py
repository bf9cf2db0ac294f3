"""What TIFF tags say of an image: attributes, above all where it lies on the Earth.

Contract: georeferencing is kept whatever else of a file is odd. What tifffile makes of metadata comes first; tags that
it does not get to stand under their own names; what cannot be kept is named.
Source: OGC GeoTIFF 1.1, sections 7 and B; GDAL's TIFF driver (tags 42112 and 42113).
"""

from __future__ import annotations

import enum
import struct
from collections.abc import Mapping
from typing import Any, Final

import numpy as np

__all__ = ["add_georeferencing", "metadata_of"]

GEOREFERENCING: Final = {
    33550: "ModelPixelScale",
    33922: "ModelTiepoint",
    34264: "ModelTransformation",
    42113: "GDAL_NODATA",
}
"""Tags that are kept one by one, in tifffile's names."""
KEYS: Final = {34735: "GeoKeyDirectory", 34736: "GeoDoubleParams", 34737: "GeoAsciiParams"}
"""Tags that are kept as they are where tifffile makes no keys of them."""
MAX_TEXT: Final = 1 << 20
_UNREADABLE: Final = (
    *(ArithmeticError, AttributeError, LookupError, OSError, RuntimeError, TypeError, ValueError),
    *(struct.error, SyntaxError),  # the latter is what parsers of XML raise
)
"""What tifffile, and the parsers that it has metadata read by, raise on text that is damaged."""
_OWN: Final = ("shaped_metadata",)
"""Of the writer alone: the shape of arrays, which Zarr has."""


def metadata_of(tif: Any) -> tuple[dict[str, Any], list[str]]:
    """Return what tifffile makes of the metadata of a file, as kerchunk does; and what cannot be kept of it."""
    kept: dict[str, Any] = {}
    lost = []
    for name in (name for name in dir(tif) if name.endswith("metadata") and name not in _OWN):
        try:
            found = getattr(tif, name, None)
            kept.update(_members(found) if found else {})
        except _UNREADABLE:
            lost.append(name)
    return {str(key): _plain(value) for key, value in kept.items()}, lost


def _members(found: Any) -> dict[str, Any]:
    """Return metadata as a dict: GDAL has them as XML."""
    if isinstance(found, str | bytes):
        if len(found) > MAX_TEXT:
            raise ValueError("too long")
        from xml.etree import ElementTree as ET

        items = ET.fromstring(found)  # noqa: S314 (as kerchunk does, in the process apart)
        return {item.get("name", ""): item.text for item in items if item.get("name")}
    return dict(found)


def add_georeferencing(attributes: dict[str, Any], tif: Any) -> None:
    """Add the tags that say where an image lies, as far as they are not among its attributes."""
    tags = tif.pages[0].tags
    wanted = dict(GEOREFERENCING)
    if not any(name.endswith("GeoKey") for name in attributes):
        wanted.update(KEYS)
    for code, name in wanted.items():
        tag = tags.get(code)
        if tag is not None and name not in attributes:
            attributes[name] = _plain(tag.value)


def _plain(value: Any) -> Any:
    """Return a value as JSON has it."""
    if isinstance(value, enum.Enum):
        return int(value) if isinstance(value, int) else value.name
    if isinstance(value, type) and issubclass(value, enum.Enum):
        return value.__name__
    if isinstance(value, np.ndarray | np.generic):
        return _plain(value.tolist())
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, bytes):
        return value.decode("latin1")
    return value
