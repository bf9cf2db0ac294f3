"""A level of an image as an array of a manifest.

Contract: every strip or tile is a reference whose codecs give its values, or the level is refused. References lie in
the file. Tiles that reach beyond the edge are whole chunks, as Zarr has them; last strips that are shorter are put
together with their neighbours or kept in the manifest (`tiff.strips`). Tiles of no size were never written.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from refmaker import limits
from refmaker.errors import Unsupported
from refmaker.formats.kerchunk_references import settled
from refmaker.manifest.manifest import ManifestArray
from refmaker.manifest.references import References
from refmaker.tiff.codecs import JPEG, NATIVE, codecs_of_page
from refmaker.tiff.page import GDAL_NODATA, Page, text_of
from refmaker.tiff.strips import whole_strips
from refmaker.zarr.chunk_grid import check_extents, grid_of
from refmaker.zarr.codec_list import Codecs
from refmaker.zarr.fill_values import encode_fill
from refmaker.zarr.metadata import make_metadata
from refmaker.zarr.zarr_dtype import ZarrDtype

__all__ = ["array_of"]


def array_of(
    pages: list[Page], lead: tuple[int, ...], names: list[str], read: Callable[[int, int], bytes], size: int
) -> tuple[ManifestArray, list[str]]:
    """Return an array, and what to say of it.

    Parameters
    ----------
    pages
        One for every place along the leading axes, or one that the others follow without directories.
    names
        Of all dimensions.
    read
        Gives bytes of the file; may miss them.
    size
        Bytes of the file.
    """
    page = pages[0]
    shape, chunks = (*lead, *page.shape), (*(1 for _ in lead), *page.chunks)
    check_extents(shape)
    codecs = codecs_of_page(page, chunks, jfif=_is_jfif(page, read))
    native = bool(codecs) and codecs[-1]["id"] in NATIVE
    dtype = page.dtype.newbyteorder("<") if native else page.dtype
    offset, stored = _places(pages, math.prod(lead))
    there = (offset != 0) & (stored != 0)
    cell = np.flatnonzero(there).astype("i8")
    references = References(cell, np.broadcast_to(np.uint32(0), cell.shape), offset[there], stored[there])
    fill = encode_fill(_nodata(page, dtype), dtype)
    metadata, named = make_metadata(2, shape, chunks, ZarrDtype(dtype), Codecs(tuple(codecs)), fill, names)
    array = ManifestArray(metadata, dict(named), grid_of(shape, chunks), references)
    notes: list[str] = []
    _check_inside(array, size)
    if not page.tiled:
        array, note = whole_strips(array, len(lead) + page.axes.index("Y"), read)
        notes += [note] if note else []
    if not codecs:
        array.references = _trimmed(array, dtype.itemsize)
    array = settled(array, size)
    needed = sorted({codec["id"] for codec in codecs if codec["id"].startswith("imagecodecs_")})
    if needed:
        notes.append(f"readers need imagecodecs ({', '.join(needed)})")
    absent = array.cells - len(array.references)
    if absent:
        notes.append(
            f"{absent} tiles were never written: they are {array.metadata.fill_value}, which xarray masks everywhere"
        )
    return array, notes


def _check_inside(array: ManifestArray, size: int) -> None:
    stop = array.references.offset + array.references.size
    if (stop < array.references.offset).any() or (stop > np.uint64(size)).any():
        raise Unsupported(f"the file is truncated: it has {size} bytes, and chunks up to byte {int(stop.max())}")


def _trimmed(array: ManifestArray, itemsize: int) -> References:
    """Leave out what is stored behind whole chunks: writers pad them."""
    found = array.references
    whole = np.uint64(math.prod(array.metadata.chunk_shape) * itemsize)
    return References(found.cell, found.target, found.offset, np.minimum(found.size, whole), found.inline)


def _places(pages: list[Page], count: int) -> tuple[np.ndarray, np.ndarray]:
    """Return offsets and sizes of all chunks."""
    if len(pages) == count:
        return np.concatenate([page.offsets for page in pages]), np.concatenate([page.sizes for page in pages])
    page = pages[0]
    if count * len(page.offsets) > limits.VIRTUAL_CELLS:
        raise Unsupported("more chunks than are looked at", expected=f"<= {limits.VIRTUAL_CELLS}", got=count)
    step = np.uint64(math.prod(page.shape) * page.dtype.itemsize)
    starts = np.arange(count, dtype="u8") * step
    return (starts[:, None] + page.offsets).ravel(), np.tile(page.sizes, count)


def _is_jfif(page: Page, read: Callable[[int, int], bytes]) -> bool:
    """Return whether JPEG streams of RGB say how their colors are stored."""
    if page.compression not in JPEG or page.photometric != 2 or not len(page.offsets):
        return False
    if page.offsets[0] == 0 or page.sizes[0] < 11:
        return False
    return read(int(page.offsets[0]), 11)[6:11] == b"JFIF\0"


def _nodata(page: Page, dtype: np.dtype[Any]) -> Any:
    """Return what pixels are that were never written: GDAL_NODATA where the type holds it, else 0."""
    text = text_of(page.values, GDAL_NODATA).strip()
    zero = np.zeros((), dtype)[()]
    try:
        number = float(text)
    except ValueError:
        return zero
    if dtype.kind not in "iu":
        return np.asarray(number, dtype)[()] if abs(number) < 1e38 or dtype.itemsize >= 8 else zero
    info = np.iinfo(dtype)
    if not (number.is_integer() and info.min <= number <= info.max):
        return zero
    return np.asarray(int(number), dtype)[()]
