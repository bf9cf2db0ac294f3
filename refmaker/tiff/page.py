"""One image of a TIFF file: a directory whose fields say what it holds, and where.

Contract: a pure decoder of fields that were read. What contradicts the specification is a `FormatError`, what no array
can be made of `Unsupported`; numbers of tiles follow from extents and are held to what the fields list before memory is
taken for them. Source: TIFF 6.0, sections 8, 14, 15; TIFF Technical Note 1 (SubIFDs); ImageDepth and TileDepth of SGI.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from refmaker.errors import FormatError, Unsupported

__all__ = ["WANTED", "Page", "decode_page", "numbers", "text_of"]

WIDTH, LENGTH, BITS, COMPRESSION, PHOTOMETRIC = 256, 257, 258, 259, 262
FILL_ORDER, DESCRIPTION, STRIP_OFFSETS, SAMPLES, ROWS, STRIP_COUNTS = 266, 270, 273, 277, 278, 279
PLANAR, PREDICTOR, TILE_WIDTH, TILE_LENGTH, TILE_OFFSETS, TILE_COUNTS = 284, 317, 322, 323, 324, 325
SUB_IFDS, EXTRA_SAMPLES, SAMPLE_FORMAT, JPEG_TABLES, SUBSAMPLING = 330, 338, 339, 347, 530
DEPTH, TILE_DEPTH, GDAL_METADATA, GDAL_NODATA, LERC = 32997, 32998, 42112, 42113, 50674
GEO: Final = (33550, 33922, 34264, 34735, 34736, 34737)

WANTED: Final = frozenset(
    (
        *(254, 255, WIDTH, LENGTH, BITS, COMPRESSION, PHOTOMETRIC, FILL_ORDER, DESCRIPTION, STRIP_OFFSETS, SAMPLES),
        *(ROWS, STRIP_COUNTS, PLANAR, PREDICTOR, TILE_WIDTH, TILE_LENGTH, TILE_OFFSETS, TILE_COUNTS, SUB_IFDS),
        *(EXTRA_SAMPLES, SAMPLE_FORMAT, JPEG_TABLES, SUBSAMPLING, DEPTH, TILE_DEPTH, GDAL_METADATA, GDAL_NODATA),
        *(LERC, *GEO),
    )
)
"""Fields whose values are read."""
_UNDECODED: Final = {
    2: "CCITT modified Huffman (compression 2)",
    3: "CCITT Group 3 (compression 3)",
    4: "CCITT Group 4 (compression 4)",
    6: "JPEG of the old kind (compression 6)",
    9: "JBIG (compression 9)",
    34676: "SGI LogLuv (compression 34676)",
    34677: "SGI LogLuv of 24 bits (compression 34677)",
    32809: "ThunderScan (compression 32809)",
    32766: "NeXT (compression 32766)",
}
"""Compressions that no codec of Zarr's decodes."""
_STRUCTURE: Final = "IFD"
_KINDS: Final = {1: "u", 2: "i", 3: "f", 6: "c"}
_LIMIT: Final = 1 << 40
"""Extents are below: their products are exact, and no file has more."""


@dataclass(frozen=True, slots=True)
class Page:
    """One image.

    Attributes
    ----------
    values
        Its fields, tag -> values.
    shape, chunks, axes
        As stored: planes first where they are apart, samples last where they are together.
    dtype
        Native where bytes have no order of their own.
    offsets, sizes
        Of its strips or tiles, in C order of the grid.
    """

    values: Mapping[int, Any]
    shape: tuple[int, ...]
    chunks: tuple[int, ...]
    axes: str
    dtype: np.dtype[Any]
    bits: int
    samples: int
    compression: int
    predictor: int
    photometric: int
    planar: int
    extra: tuple[int, ...]
    tiled: bool
    reduced: bool
    offsets: npt.NDArray[np.uint64]
    sizes: npt.NDArray[np.uint64]

    @property
    def key(self) -> tuple[Any, ...]:
        """What pages that are one image have in common."""
        tables = self.values.get(JPEG_TABLES)
        return (
            *(self.shape, self.chunks, self.axes, self.dtype.str, self.bits, self.compression, self.predictor),
            *(self.photometric, self.planar, self.extra, self.tiled, self.reduced, tables),
        )


def numbers(values: Mapping[int, Any], tag: int, default: int | None = None) -> list[int]:
    """Return the whole numbers of a field that has few."""
    found = values.get(tag)
    if found is None:
        if default is None:
            raise FormatError(f"field {tag} is missing", structure=_STRUCTURE)
        return [default]
    if isinstance(found, bytes) or found.dtype.kind not in "ui" or not 1 <= len(found) <= 1 << 16:
        raise FormatError(f"field {tag} has no whole numbers", structure=_STRUCTURE)
    kept: list[int] = found.tolist()
    return kept


def text_of(values: Mapping[int, Any], tag: int) -> str:
    """Return the text of a field, "" where there is none."""
    found = values.get(tag, b"")
    if not isinstance(found, bytes):
        return ""
    data = found.split(b"\0", 1)[0]
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        return data.decode("latin1")


def decode_page(values: Mapping[int, Any], order: str) -> Page:
    """Make a page of the fields of a directory."""
    width, length, depth = (numbers(values, tag, one)[0] for tag, one in ((WIDTH, None), (LENGTH, None), (DEPTH, 1)))
    samples = numbers(values, SAMPLES, 1)[0]
    if not (0 < width < _LIMIT and 0 < length < _LIMIT and 0 < depth < _LIMIT and 0 < samples < 1 << 16):
        raise FormatError("extents of an image", structure=_STRUCTURE, got=(length, width, samples))
    tiled = TILE_WIDTH in values or TILE_OFFSETS in values
    if tiled:
        box = numbers(values, TILE_DEPTH, 1)[0], numbers(values, TILE_LENGTH)[0], numbers(values, TILE_WIDTH)[0]
    else:
        box = 1, min(numbers(values, ROWS, length)[0], length), width
    if not all(0 < extent < _LIMIT for extent in box):
        raise FormatError("extents of strips or tiles", structure=_STRUCTURE, got=box)
    planar = numbers(values, PLANAR, 1)[0] if samples > 1 else 1
    if planar not in (1, 2):
        raise FormatError("PlanarConfiguration", structure=_STRUCTURE, expected="1 or 2", got=planar)
    shape, chunks, axes = _axes((depth, length, width), box, samples, planar)
    compression = numbers(values, COMPRESSION, 1)[0]
    if compression in _UNDECODED:
        raise Unsupported(f"{_UNDECODED[compression]} has no codec in Zarr")
    dtype, bits = _dtype(values, samples, compression, order)
    count = math.prod(-(-extent // chunk) for extent, chunk in zip(shape, chunks, strict=True))
    tags = (TILE_OFFSETS, TILE_COUNTS) if tiled and TILE_OFFSETS in values else (STRIP_OFFSETS, STRIP_COUNTS)
    offsets, sizes = _places(values, tags, count, math.prod(shape) * dtype.itemsize)
    kind = values.get(254)
    reduced = bool(kind is not None and numbers(values, 254)[0] & 1) or numbers(values, 255, 0)[0] == 2
    extra = tuple(numbers(values, EXTRA_SAMPLES)) if EXTRA_SAMPLES in values else ()
    photometric = numbers(values, PHOTOMETRIC, 0)[0]
    predictor = numbers(values, PREDICTOR, 1)[0]
    return Page(
        *(values, shape, chunks, axes, dtype, bits, samples, compression, predictor, photometric, planar),
        *(extra, tiled, reduced, offsets, sizes),
    )


def _axes(
    extents: tuple[int, int, int], box: tuple[int, int, int], samples: int, planar: int
) -> tuple[tuple[int, ...], tuple[int, ...], str]:
    """Return shape, chunk shape and axes, without axes that the image does not have."""
    axes, first = ("ZYX", 0) if extents[0] > 1 or box[0] > 1 else ("YX", 1)
    shape, chunks = extents[first:], box[first:]
    if samples == 1:
        return shape, chunks, axes
    if planar == 1:
        return (*shape, samples), (*chunks, samples), axes + "S"
    return (samples, *shape), (1, *chunks), "S" + axes


def _dtype(values: Mapping[int, Any], samples: int, compression: int, order: str) -> tuple[np.dtype[Any], int]:
    """Return dtype and bits of a sample; raise `Unsupported` where numpy has none."""
    bits, kinds = set(numbers(values, BITS, 1)), set(numbers(values, SAMPLE_FORMAT, 1))
    if len(bits) != 1 or len(kinds) != 1:
        raise Unsupported(f"samples of different sizes or formats: BitsPerSample {sorted(bits)[:8]}")
    number, kind = bits.pop(), _KINDS.get(kinds.pop())
    if kind is None:
        raise Unsupported(f"SampleFormat {numbers(values, SAMPLE_FORMAT, 1)[0]}, of which numpy has no type")
    stored = 16 if number == 12 and compression in (7, 33007, 34892) else number
    allowed = {"u": (8, 16, 32, 64), "i": (8, 16, 32, 64), "f": (16, 32, 64), "c": (64, 128)}[kind]
    if stored not in allowed:
        raise Unsupported(f"BitsPerSample {number}: samples that are no whole bytes have no form in Zarr")
    return np.dtype(f"{order}{kind}{stored // 8}"), number


def _places(
    values: Mapping[int, Any], tags: tuple[int, int], count: int, size: int
) -> tuple[npt.NDArray[np.uint64], npt.NDArray[np.uint64]]:
    """Return offsets and sizes of strips or tiles."""
    offsets, sizes = values.get(tags[0]), values.get(tags[1])
    if offsets is None or isinstance(offsets, bytes) or offsets.dtype.kind != "u":
        raise FormatError(
            f"the file is damaged: field {tags[0]} is missing, which says where the image lies", structure=_STRUCTURE
        )
    if len(offsets) < count:
        raise FormatError(
            f"the file is damaged: a page lists {len(offsets)} of its {count} tiles or strips", structure=_STRUCTURE
        )
    if sizes is None and count == 1 and numbers(values, COMPRESSION, 1)[0] == 1:
        sizes = np.array([size], "u8")  # early writers leave it out
    if sizes is None or isinstance(sizes, bytes) or sizes.dtype.kind != "u" or len(sizes) < count:
        raise FormatError(f"the file is damaged: field {tags[1]}, sizes of tiles or strips", structure=_STRUCTURE)
    return offsets[:count].astype("u8"), sizes[:count].astype("u8")
