"""Array metadata, of either Zarr format: reading them is `ArrayMetadata.from_json`, making them `make_metadata`.

Contract: the one module through which others reach the type and its two formats.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from refmaker.model import JSON
from refmaker.zarr.array_metadata import DIMENSIONS, ArrayMetadata, ZarrFormat
from refmaker.zarr.codec_list import Codecs
from refmaker.zarr.v2 import ArrayMetadata2
from refmaker.zarr.v2 import array_metadata as metadata_2
from refmaker.zarr.v3 import ArrayMetadata3
from refmaker.zarr.v3 import array_metadata as metadata_3
from refmaker.zarr.zarr_dtype import ZarrDtype

__all__ = [
    "DIMENSIONS",
    "ArrayMetadata",
    "ArrayMetadata2",
    "ArrayMetadata3",
    "ZarrFormat",
    "make_metadata",
    "masks_fill_value",
    "scalar_metadata",
]


def make_metadata(
    zarr_format: ZarrFormat,
    shape: Sequence[int],
    chunks: Sequence[int],
    dtype: ZarrDtype,
    codecs: Codecs,
    fill_value: JSON,
    dimensions: Sequence[str],
) -> tuple[ArrayMetadata, dict[str, JSON]]:
    """Return the metadata of an array, and the attributes that its format needs beside them.

    Parameters
    ----------
    fill_value
        As JSON, see `fill_values.encode_fill`.

    Raises
    ------
    Unsupported
        The format has no form for the data type.
    """
    shape, chunks = tuple(shape), tuple(chunks)
    if zarr_format == 3:
        return ArrayMetadata3(metadata_3(shape, chunks, dtype, codecs, fill_value, tuple(dimensions))), {}
    return ArrayMetadata2(metadata_2(shape, chunks, dtype, codecs, fill_value)), {DIMENSIONS: list(dimensions)}


def masks_fill_value(zarr_format: ZarrFormat) -> bool:
    """Return whether xarray masks what a missing chunk of an array of this format reads as."""
    return (ArrayMetadata3 if zarr_format == 3 else ArrayMetadata2).masks_fill_value


def scalar_metadata(zarr_format: ZarrFormat, dtype: np.dtype[Any]) -> ArrayMetadata:
    """Return metadata of an uncompressed scalar; the dtype `object` stands for a string of any length."""
    text = dtype.kind == "O"
    fill: JSON = None if masks_fill_value(zarr_format) else "" if text else dtype.type(0).item()
    return make_metadata(zarr_format, (), (), ZarrDtype(dtype, text=text), Codecs(), fill, ())[0]
