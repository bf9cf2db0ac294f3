"""Compression and predictor of a page as codecs of numcodecs and imagecodecs.

Contract: configurations in the order of encoding, or `Unsupported` with the name of what no codec decodes. They are
those that tifffile writes. Source: TIFF 6.0, sections 9 to 14, 22; TIFF Technical Notes 1 to 3; registered tags.
"""

from __future__ import annotations

import base64
from typing import Any, Final

from refmaker.errors import Unsupported
from refmaker.tiff.page import FILL_ORDER, JPEG_TABLES, LERC, SUBSAMPLING, Page, numbers

__all__ = ["JPEG", "NATIVE", "codecs_of_page"]

JPEG: Final = (7, 33007, 34892)
_CODECS: Final = {
    8: "zlib",
    32946: "zlib",
    50013: "zlib",
    34925: "lzma",
    5: "imagecodecs_lzw",
    22610: "imagecodecs_jpegxr",
    32773: "imagecodecs_packbits",
    33003: "imagecodecs_jpeg2k",
    33004: "imagecodecs_jpeg2k",
    33005: "imagecodecs_jpeg2k",
    34712: "imagecodecs_jpeg2k",
    34887: "imagecodecs_lerc",
    34933: "imagecodecs_png",
    34934: "imagecodecs_jpegxr",
    50000: "imagecodecs_zstd",
    50001: "imagecodecs_webp",
    50002: "imagecodecs_jpegxl",
    52546: "imagecodecs_jpegxl",
    **dict.fromkeys(JPEG, "imagecodecs_jpeg"),
}
"""Compression -> codec."""
_BYTES: Final = ("zlib", "lzma", "imagecodecs_lzw", "imagecodecs_packbits", "imagecodecs_zstd")
"""Codecs that give bytes, in the order of the file. All others give an array in that of the machine."""
NATIVE: Final = frozenset(_CODECS.values()) - set(_BYTES)
_DELTA, _FLOAT = (2, 34892, 34893), (3, 34894, 34895)


def codecs_of_page(page: Page, chunks: tuple[int, ...], *, jfif: bool = False) -> list[dict[str, Any]]:
    """Return the codecs of the chunks of a page.

    Parameters
    ----------
    chunks
        Chunk shape of the array that the page is in.
    jfif
        Its JPEG streams begin as JFIF has it.
    """
    if numbers(page.values, FILL_ORDER, 1)[0] != 1:
        raise Unsupported("FillOrder 2: the bits of its bytes are the other way round")
    subsampling = numbers(page.values, SUBSAMPLING, 2 if page.photometric == 6 else 1)
    if page.compression in (1, 32771):
        if page.photometric == 6 and set(subsampling) != {1}:
            raise Unsupported("YCbCr with subsampling, without JPEG")
        if page.predictor != 1:
            raise Unsupported("a predictor without compression, which readers take differently")
        return []
    name = _CODECS.get(page.compression)
    if name is None:
        raise Unsupported(f"compression {page.compression} has no codec in Zarr")
    if page.photometric == 6 and name in _BYTES and set(subsampling) != {1}:
        raise Unsupported("YCbCr with subsampling, without JPEG")
    return [*_predictor(page, chunks, name), _compressor(page, name, jfif=jfif)]


def _compressor(page: Page, name: str, *, jfif: bool) -> dict[str, Any]:
    config: dict[str, Any] = {"id": name}
    if name == "imagecodecs_jpeg":
        tables = page.values.get(JPEG_TABLES)
        jpeg, data = _colors(page, jfif=jfif)
        config.update(
            tables=None if tables is None else base64.b64encode(bytes(tables)).decode(),
            header=None,
            bitspersample=page.bits,
            colorspace_jpeg=jpeg,
            colorspace_data=data,
        )
    elif name == "imagecodecs_webp" and page.samples == 4:
        config["hasalpha"] = True
    elif name == "imagecodecs_lerc" and len(numbers(page.values, LERC, 0)) > 1 and numbers(page.values, LERC)[1]:
        raise Unsupported("LERC that is compressed once more")
    return config


def _colors(page: Page, *, jfif: bool) -> tuple[int | None, int | str | None]:
    """Return the color spaces of JPEG streams and of what they are decoded to, as tifffile has them."""
    if page.planar != 1 and page.samples > 1:
        return None, 1
    if page.extra or page.photometric in (0, 1, 3, 4):
        return None, None
    if page.photometric == 2:
        return (None if jfif else 2), 2
    if page.photometric in (5, 6):
        return None, {5: 4, 6: 2}[page.photometric]
    raise Unsupported(f"JPEG with PhotometricInterpretation {page.photometric}")


def _predictor(page: Page, chunks: tuple[int, ...], name: str) -> list[dict[str, Any]]:
    if page.predictor == 1:
        return []
    if page.predictor not in _DELTA + _FLOAT:
        raise Unsupported(f"predictor {page.predictor}")
    if name not in _BYTES:
        raise Unsupported(f"predictor {page.predictor} with compression {page.compression}")
    delta = page.predictor in _DELTA
    if page.dtype.kind not in ("ui" if delta else "f"):
        raise Unsupported(f"predictor {page.predictor} of {page.dtype}")
    distance = 1 if page.predictor <= 3 else 2 if page.predictor in (34892, 34894) else 4
    return [
        {
            "id": "imagecodecs_delta" if delta else "imagecodecs_floatpred",
            "axis": -2 if page.planar == 1 and page.samples > 1 else -1,
            "dist": distance,
            "shape": list(chunks),
            "dtype": page.dtype.str,
        }
    ]
