"""Which pages of a TIFF file are one image, and which are its reductions.

Contract: every page that was read is in exactly one image, as it is in tifffile: those that describe themselves (OME,
ImageJ, tifffile's own "shape") by their description, all others by what they have in common. What a description says is
taken only where it fits the pages that are there. Reductions are pages within a page (SubIFDs), or pages that say that
they are (NewSubfileType). Source: OME-TIFF specification; ImageJ's TiffDecoder; TIFF 6.0, NewSubfileType.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from refmaker.tiff.ome import read_ome
from refmaker.tiff.page import DESCRIPTION, Page, text_of
from refmaker.tiff.walk import Directory

__all__ = ["Image", "images_of"]


@dataclass(slots=True)
class Image:
    """Pages that are one image.

    Attributes
    ----------
    levels
        Full size first; each a page for every place along the leading axes, or one that all follow without gaps.
    lead, axes
        Extents and names of the leading axes.
    """

    levels: list[list[Page]]
    lead: tuple[int, ...] = ()
    axes: str = ""
    notes: list[str] = field(default_factory=list)


def images_of(directories: Sequence[Directory]) -> list[Image]:
    """Sort pages into images."""
    full = [one for one in directories if one.page is not None]
    if not full:
        return _generic(directories)
    text = text_of(full[0].values, DESCRIPTION)
    found: list[Image] | None = None
    if "<OME" in text[:2000]:
        found = _by_ome(directories, text)
    elif text.startswith("ImageJ="):
        found = _by_imagej(directories, text)
    elif text.startswith('{"shape"'):
        found = _by_shape(directories)
    return _generic(directories) if found is None else found


def _generic(directories: Sequence[Directory]) -> list[Image]:
    """Stack pages that have everything in common; reductions follow what they reduce."""
    groups: dict[tuple[object, ...], list[Page]] = {}
    for inner, page in _all_pages(directories, 0):
        groups.setdefault((inner > 0 or page.reduced, *page.key), []).append(page)
    images: list[Image] = []
    for key, pages in groups.items():
        owner = next((one for one in images if _reduces(pages, one)), None) if key[0] else None
        if owner is not None:
            owner.levels.append(pages)
        else:
            lead = (len(pages),) if len(pages) > 1 else ()
            images.append(Image([pages], lead, "I" if lead else ""))
    return images


def _all_pages(directories: Sequence[Directory], depth: int) -> list[tuple[int, Page]]:
    found = []
    for one in directories:
        if one.page is not None:
            found.append((depth, one.page))
        found += _all_pages(one.inner, depth + 1)
    return found


def _reduces(pages: list[Page], image: Image) -> bool:
    """Return whether pages are a smaller version of an image."""
    last, page = image.levels[-1][0], pages[0]
    if len(pages) != len(image.levels[-1]) or (page.axes, page.dtype) != (last.axes, last.dtype):
        return False
    pairs = list(zip(page.axes, page.shape, last.shape, strict=True))
    plane = [(small, large) for axis, small, large in pairs if axis in "YX"]
    rest = [(small, large) for axis, small, large in pairs if axis not in "YX"]
    smaller = all(small <= large for small, large in plane) and any(small < large for small, large in plane)
    return smaller and all(small <= large for small, large in rest)


def _with_levels(owners: Sequence[Directory], lead: tuple[int, ...], axes: str) -> list[Image]:
    """Return the image of directories, with those within them as its levels, or beside it where they are not."""
    pages = [one.page for one in owners if one.page is not None]
    image = Image([pages], lead, axes)
    others: list[Image] = []
    for number in range(max((len(one.inner) for one in owners), default=0)):
        inner = [one.inner[number].page for one in owners if number < len(one.inner)]
        level = [page for page in inner if page is not None]
        if len(level) == len(pages) and len({page.key for page in level}) == 1 and _reduces(level, image):
            image.levels.append(level)
        else:
            others += [Image([[page]]) for page in level]
    return [image, *others]


def _squeezed(lead: Sequence[int], axes: str) -> tuple[tuple[int, ...], str]:
    """Leave out axes of one place."""
    kept = [(extent, axis) for extent, axis in zip(lead, axes, strict=True) if extent != 1]
    return tuple(extent for extent, _ in kept), "".join(axis for _, axis in kept)


def _fitting(owners: Sequence[Directory], count: int) -> bool:
    """Return whether directories are pages of one kind, one for each place, or one that all places follow."""
    pages = [one.page for one in owners]
    kinds = {None if page is None else page.key for page in pages}
    if len(kinds) != 1 or None in kinds or count < 1:
        return False
    return len(pages) == count or (len(pages) == 1 and _follows(pages[0]))


def _follows(page: Page | None) -> bool:
    """Return whether pages without directories may follow one: what it holds has no gaps."""
    if page is None or page.compression != 1 or page.tiled or not len(page.offsets):
        return False
    ends = page.offsets + page.sizes
    size = math.prod(page.shape) * page.dtype.itemsize
    return bool((ends[:-1] == page.offsets[1:]).all()) and int(page.sizes.sum()) == size


def _by_ome(directories: Sequence[Directory], text: str) -> list[Image] | None:
    """Follow OME-XML, where all its planes are pages of this file and all pages are planes."""
    plans = read_ome(text)
    if plans is None or sorted(n for plan in plans for n in plan.pages) != list(range(len(directories))):
        return None
    images: list[Image] = []
    for plan in plans:
        owners = [directories[number] for number in plan.pages]
        page = owners[0].page
        if not _fitting(owners, len(owners)) or page is None or math.prod(plan.lead) != len(owners):
            return None
        if page.samples != plan.samples:
            return None
        images += _with_levels(owners, *_squeezed(plan.lead, plan.axes))
    return images


def _by_imagej(directories: Sequence[Directory], text: str) -> list[Image] | None:
    """Follow the description of ImageJ: hyperstacks are in the order T, Z, C."""
    said = dict(line.split("=", 1) for line in text.splitlines() if "=" in line)
    page = directories[0].page
    try:
        total, *parts = (int(said.get(key, "1")) for key in ("images", "frames", "slices", "channels"))
    except ValueError:
        return None
    if page is None or min(parts) < 1 or (page.samples > 1 and page.planar == 2):
        return None
    if math.prod(parts) != total:
        parts = [1, total, 1] if total > 0 else parts
    lead, axes = _squeezed(parts, "TZC")
    count = math.prod(lead)
    return _with_levels(directories, lead, axes) if _fitting(directories, count) else None


def _by_shape(directories: Sequence[Directory]) -> list[Image] | None:
    """Follow what tifffile writes: the first page of each image has the shape of all."""
    images: list[Image] = []
    at = 0
    while at < len(directories):
        page = directories[at].page
        said = _shape(text_of(directories[at].values, DESCRIPTION))
        if page is None or said is None:
            return None
        shape, axes = said
        # Axes of one place may stand anywhere: of what is left, the last are those of a page.
        own = [extent for extent in page.shape if extent != 1]
        left, names = _squeezed(shape, axes if len(axes) == len(shape) else "Q" * len(shape))
        if list(left[len(left) - len(own) :]) != own:
            return None
        lead, names = left[: len(left) - len(own)], names[: len(left) - len(own)]
        count = math.prod(lead)
        owners = directories[at : at + count]
        if len(owners) < count or not _fitting(owners, count) or _described(owners[1:]):
            owners = directories[at : at + 1]
            if not _fitting(owners, count):
                return None
        images += _with_levels(owners, lead, names)
        at += len(owners)
    return images


def _described(directories: Sequence[Directory]) -> bool:
    return any(text_of(one.values, DESCRIPTION).startswith('{"shape"') for one in directories)


def _shape(text: str) -> tuple[tuple[int, ...], str] | None:
    try:
        said = json.loads(text)
        shape = tuple(int(extent) for extent in said["shape"])
    except (ValueError, TypeError, KeyError, RecursionError):
        return None
    axes = said.get("axes", "")
    if not shape or len(shape) > 32 or min(shape) < 1 or max(shape) >= 1 << 40:
        return None
    return shape, axes if isinstance(axes, str) else ""
