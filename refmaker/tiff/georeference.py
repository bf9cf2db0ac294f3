"""Where an image lies on the Earth: attributes, coordinates of its pixels, a grid mapping.

Contract: fields that georeference are kept under the names that tifffile gives them, whatever else of a file is odd.
Coordinates are those of the centres of pixels, for images whose axes are those of the map; a grid mapping is there
where keys name a coordinate reference system of EPSG. Source: OGC GeoTIFF 1.1, sections 7 and B; GDAL's TIFF driver
(fields 42112, 42113); CF conventions 1.11, appendix F.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from refmaker.tiff.page import GDAL_METADATA, GDAL_NODATA, text_of

__all__ = ["GRID_MAPPING", "attributes_of", "axes_of", "epsg_of", "grid_mapping"]

GRID_MAPPING: Final = "spatial_ref"
SCALE, TIEPOINT, TRANSFORMATION, DIRECTORY, DOUBLES, ASCII = 33550, 33922, 34264, 34735, 34736, 34737
_NAMES: Final = {SCALE: "ModelPixelScale", TIEPOINT: "ModelTiepoint", TRANSFORMATION: "ModelTransformation"}
_RAW: Final = {DIRECTORY: "GeoKeyDirectory", DOUBLES: "GeoDoubleParams", ASCII: "GeoAsciiParams"}
MAX_TEXT: Final = 1 << 20
_WGS84: Final = {"semi_major_axis": 6378137.0, "inverse_flattening": 298.257223563}


def attributes_of(values: Mapping[int, Any]) -> tuple[dict[str, Any], list[str]]:
    """Return what the fields of the first page say; and what cannot be kept of it."""
    kept: dict[str, Any] = {}
    lost = []
    xml = text_of(values, GDAL_METADATA)
    if xml:
        try:
            kept.update(_items(xml))
        except (ValueError, SyntaxError):
            lost.append("gdal_metadata")
    keys = _keys(values)
    if keys:
        kept.update(KeyDirectoryVersion=1, KeyRevision=1, KeyRevisionMinor=_minor(values))
        kept.update({_key_name(key): value for key, value in keys.items()})
    else:
        kept.update({name: _plain(values[tag]) for tag, name in _RAW.items() if tag in values})
    for tag, name in _NAMES.items():
        if tag in values:
            found = _plain(values[tag])
            square = tag == TRANSFORMATION and isinstance(found, list) and len(found) == 16
            kept[name] = [found[row : row + 4] for row in range(0, 16, 4)] if square else found
    if GDAL_NODATA in values:
        kept["GDAL_NODATA"] = text_of(values, GDAL_NODATA)
    return kept, lost


def _items(xml: str) -> dict[str, Any]:
    """Return the items of GDAL's metadata. Raises `ValueError` for text that is no such."""
    if len(xml) > MAX_TEXT or "<!" in xml:  # declarations, which may name other files or unfold
        raise ValueError("too long")
    from xml.etree import ElementTree as ET

    root = ET.fromstring(xml)  # noqa: S314 (declarations are refused above)
    return {item.get("name", ""): item.text for item in root if item.get("name")}


def _plain(value: Any) -> Any:
    if isinstance(value, bytes):
        return value.split(b"\0", 1)[0].decode("latin1")
    return value.tolist()


def _minor(values: Mapping[int, Any]) -> int:
    return int(values[DIRECTORY][2])


def _keys(values: Mapping[int, Any]) -> dict[int, Any]:
    """Decode the directory of keys: groups of four u2, key | field or 0 | count | value or index."""
    directory = values.get(DIRECTORY)
    if directory is None or isinstance(directory, bytes) or len(directory) < 4:
        return {}
    found: dict[int, Any] = {}
    rows = directory[4 : 4 + 4 * min(int(directory[3]), (len(directory) - 4) // 4)].reshape(-1, 4)
    for key, tag, count, index in rows.tolist():
        if tag == 0:
            found[key] = index
        elif tag in (DIRECTORY, DOUBLES) and not isinstance(values.get(tag, b""), bytes):
            part = values[tag][index : index + count].tolist()
            found[key] = part[0] if len(part) == 1 else part
        elif tag == ASCII and isinstance(values.get(tag), bytes):
            found[key] = values[tag][index : index + count].decode("latin1").rstrip("\0|").strip()
    return found


@cache
def _known() -> dict[int, str]:
    try:
        from tifffile.geodb import GeoKeys
    except ImportError:
        return {}
    return {int(key): str(key.name) for key in GeoKeys}


def _key_name(key: int) -> str:
    return _known().get(key, f"GeoKey{key}")


def epsg_of(values: Mapping[int, Any]) -> int | None:
    """Return the number of the coordinate reference system, None where keys name none of EPSG."""
    keys = _keys(values)
    number = keys.get({1: 3072, 2: 2048}.get(keys.get(1024, 0), 0))
    return number if isinstance(number, int) and 0 < number < 32767 else None


def _short(values: Any, count: int) -> bool:
    """Return whether a field is missing, is text, or has fewer numbers."""
    return values is None or isinstance(values, bytes) or len(values) < count


def _affine(values: Mapping[int, Any]) -> tuple[float, float, float, float] | None:
    """Return x and y of the corner of the first pixel, and the steps; None where axes are turned or nothing is said."""
    matrix, scale, points = (values.get(tag) for tag in (TRANSFORMATION, SCALE, TIEPOINT))
    if matrix is not None and not isinstance(matrix, bytes) and len(matrix) >= 8:
        a, b, _, x, d, e, _, y = matrix[:8].tolist()
        if b or d:
            return None
    elif (
        scale is None
        or points is None
        or isinstance(scale, bytes)
        or isinstance(points, bytes)
        or len(scale) < 2
        or len(points) != 6
    ):
        return None
    else:
        a, e = float(scale[0]), -float(scale[1])
        x, y = float(points[3]) - a * float(points[0]), float(points[4]) - e * float(points[1])
    if not np.isfinite([a, e, x, y]).all() or not a or not e:
        return None
    if _keys(values).get(1025) == 2:  # the raster's points are centres
        x, y = x - a / 2, y - e / 2
    return x, y, a, e


def axes_of(
    values: Mapping[int, Any], height: int, width: int, *, full: tuple[int, int]
) -> tuple[npt.NDArray[Any], npt.NDArray[Any]] | None:
    """Return x and y of the centres of pixels of a level.

    Parameters
    ----------
    full
        Height and width of the image that the fields speak of.
    """
    found = _affine(values)
    if found is None:
        return None
    x, y, a, e = found
    a, e = a * full[1] / width, e * full[0] / height
    columns, rows = np.arange(width, dtype="f8"), np.arange(height, dtype="f8")
    return x + a * (columns + 0.5), y + e * (rows + 0.5)


def grid_mapping(values: Mapping[int, Any], epsg: int) -> dict[str, Any]:
    """Return the attributes of a CF grid mapping."""
    kept: dict[str, Any] = {"spatial_ref": f"EPSG:{epsg}", "epsg_code": f"EPSG:{epsg}"}
    if epsg == 4326:
        kept.update(grid_mapping_name="latitude_longitude", longitude_of_prime_meridian=0.0, **_WGS84)
    elif epsg // 100 in (326, 327) and 1 <= epsg % 100 <= 60:  # UTM of WGS 84, north and south
        kept.update(
            grid_mapping_name="transverse_mercator",
            scale_factor_at_central_meridian=0.9996,
            longitude_of_central_meridian=float(epsg % 100 * 6 - 183),
            latitude_of_projection_origin=0.0,
            false_easting=500000.0,
            false_northing=0.0 if epsg // 100 == 326 else 10000000.0,
            **_WGS84,
        )
    found = _affine(values)
    if found is not None:
        x, y, a, e = found
        kept["GeoTransform"] = f"{x!r} {a!r} 0.0 {y!r} 0.0 {e!r}"
    return kept
