"""A TIFF file as `Found`: what its images become, by name.

Contract: the first image is the arrays `0` (full size) and `1`, `2`, … (its reductions) at the root; further ones are
groups `series1`, `series2`, … of the same. A page that no array can be made of is refused under its number, an array
that cannot be had under its path. Files of vendors whose addresses or pages are not what the specification says are
`Foreign`: others read those.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Final

import numpy as np

from refmaker import limits
from refmaker.driver import Step
from refmaker.errors import FormatError, RefmakerError
from refmaker.formats.kerchunk_references import Found, inlined, strict_value
from refmaker.manifest.manifest import ManifestArray
from refmaker.tiff.arrays import array_of
from refmaker.tiff.georeference import GRID_MAPPING, attributes_of, axes_of, epsg_of, grid_mapping
from refmaker.tiff.page import DESCRIPTION, Page, text_of
from refmaker.tiff.series import Image, images_of
from refmaker.tiff.walk import Directory, TiffWalk
from refmaker.window import Window
from refmaker.zarr.metadata import DIMENSIONS

__all__ = ["Foreign", "scan_tiff"]

_VENDORS: Final = {
    33629: "MetaMorph STK",
    34361: "FluoView",
    34412: "Zeiss LSM",
    37706: "TVIPS",
    33445: "MD GEL",
    65420: "Hamamatsu NDPI",
    65000: "FEI EER",
}
"""Field of the first page -> whose files have it."""


class Foreign(Exception):
    """A file of a vendor, which is read otherwise than the specification says."""


def scan_tiff(window: Window, run: Callable[[Sequence[Step]], None]) -> Found:
    """Scan a file; `run` runs steps to their end.

    Raises
    ------
    FormatError
        Nothing of it can be read.
    Foreign
        It is of a vendor.
    """
    walk = TiffWalk(window)
    run([walk.start])
    directories = walk.directories
    if not directories:
        raise FormatError("there are no images in it", structure="TIFF header")
    _check_vendor(directories[0])
    found = Found()
    images = images_of(directories)
    if not images and all("damaged" in one.why for one in directories):
        raise FormatError(directories[0].why)
    _refuse_pages(found, directories, walk.damage)
    steps: list[Step] = []
    for number, image in enumerate(images):
        prefix = "" if number == 0 else f"series{number}/"
        if prefix:
            found.groups[prefix.rstrip("/")] = {}
        steps += [partial(_level, found, image, level, prefix, window) for level in range(len(image.levels))]
    run(steps)
    for number, image in enumerate(images):
        _describe(found, image, "" if number == 0 else f"series{number}/")
    order = {path: (path.count("/"), path) for path in found.arrays}
    found.arrays = {path: found.arrays[path] for path in sorted(found.arrays, key=order.__getitem__)}
    return found


def _check_vendor(first: Directory) -> None:
    for tag, name in _VENDORS.items():
        if tag in first.tags:
            raise Foreign(name)
    text = text_of(first.values, DESCRIPTION)
    if text.startswith("Aperio "):
        raise Foreign("Aperio SVS")
    if "www.leica-microsystems.com/scn" in text[:1000]:
        raise Foreign("Leica SCN")


def _refuse_pages(found: Found, directories: Sequence[Directory], damage: str) -> None:
    for number, one in enumerate(directories):
        if one.page is None:
            found.refusals[f"/page{number}"] = one.why
        for inner, within in enumerate(one.inner):
            if within.page is None:
                found.refusals[f"/page{number}_{inner}"] = within.why
    if damage:
        found.refusals[f"/page{len(directories)}"] = damage


def _level(found: Found, image: Image, level: int, prefix: str, window: Window) -> Sequence[Step]:
    """Make the array of a level."""

    def read(address: int, size: int) -> bytes:
        buf, pos = window.at(address, size)
        return bytes(buf[pos : pos + size])

    path = f"{prefix}{level}"
    try:
        array, notes = array_of(image.levels[level], image.lead, _names(image, level), read, window.size)
    except RefmakerError as error:
        found.refusals["/" + path] = error.message
        return []
    found.arrays[path] = array
    found.notes[path] = [*image.notes, *notes]
    return []


def _names(image: Image, level: int) -> list[str]:
    """Return names of dimensions: those of a level that has another extent than the first have its number behind."""
    full, page = image.levels[0][0], image.levels[level][0]
    mapped = axes_of(full.values, *_plane(full), full=_plane(full)) is not None
    names: list[str] = []
    extents = [*((extent, extent) for extent in image.lead), *zip(page.shape, full.shape, strict=True)]
    for axis, (extent, first) in zip(image.axes + page.axes, extents, strict=True):
        name = axis.lower() if mapped and axis in "YX" else axis
        name = name if extent == first else f"{name}{level}"
        names.append(name if name not in names else f"{name}_{names.count(name) + len(names)}")
    return names


def _plane(page: Page) -> tuple[int, int]:
    return page.shape[page.axes.index("Y")], page.shape[page.axes.index("X")]


def _describe(found: Found, image: Image, prefix: str) -> None:
    """Add attributes and coordinates to the arrays of an image."""
    page = image.levels[0][0]
    paths = [f"{prefix}{level}" for level in range(len(image.levels))]
    there = [path for path in paths if path in found.arrays]
    if not there:
        return
    attributes, lost = attributes_of(page.values)
    if text_of(page.values, DESCRIPTION).startswith("ImageJ=") and not prefix:
        attributes.update(_imagej(text_of(page.values, DESCRIPTION)))
    kept: dict[str, Any] = strict_value(attributes)
    if len(paths) == 1:
        found.arrays[there[0]].attributes.update(kept)
    else:
        found.groups.setdefault(prefix.rstrip("/"), {}).update(kept)
    if lost:
        found.note(there[0], f"metadata of the file that cannot be read are left out: {', '.join(lost)}")
    for path in there:
        _coordinates(found, image, int(path.rsplit("/", 1)[-1]), prefix, found.arrays[path])
    epsg = epsg_of(page.values)
    if epsg is not None:
        mapping = inlined(np.zeros((), "<i4"), [], grid_mapping(page.values, epsg))
        found.arrays[prefix + GRID_MAPPING] = mapping
        for path in there:
            found.arrays[path].attributes["grid_mapping"] = GRID_MAPPING


def _imagej(text: str) -> dict[str, Any]:
    """Return the lines of ImageJ's description, numbers as numbers."""
    kept: dict[str, Any] = {}
    for line in text.splitlines():
        key, equals, value = line.partition("=")
        if not equals:
            continue
        try:
            kept[key] = float(value) if "." in value else int(value)
        except ValueError:
            kept[key] = {"true": True, "false": False}.get(value, value)
    return kept


def _coordinates(found: Found, image: Image, level: int, prefix: str, array: ManifestArray) -> None:
    """Add the coordinates of the pixels of a level."""
    full, page = image.levels[0][0], image.levels[level][0]
    height, width = _plane(page)
    if (height + width) * 8 > limits.INLINE:
        return
    axes = axes_of(full.values, height, width, full=_plane(full))
    if axes is None:
        return
    geographic = _is_geographic(full)
    units = {"units": "degrees_east"}, {"units": "degrees_north"}
    standard = ("longitude", "latitude") if geographic else ("projection_x_coordinate", "projection_y_coordinate")
    names = [name for name in array.attributes[DIMENSIONS] if name[0] in "xy"]
    for name in names:
        which = "xy".index(name[0])
        meaning = {"standard_name": standard[which], **(units[which] if geographic else {})}
        found.arrays[prefix + name] = inlined(axes[which].astype("<f8"), [name], meaning)


def _is_geographic(page: Page) -> bool:
    directory = page.values.get(34735)
    if directory is None or isinstance(directory, bytes):
        return False
    rows = directory[: len(directory) // 4 * 4].reshape(-1, 4)[1:].tolist()
    return any(row[:2] == [1024, 0] and row[3] == 2 for row in rows)
