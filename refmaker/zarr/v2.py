"""Zarr 2 array metadata (https://zarr-specs.readthedocs.io/en/latest/v2/v2.0.html).

Contract: plain numcodecs configurations, the last compressor in `compressor`, all other codecs in `filters`; more
clients read that than all of them in `filters`. Dimension names stand in the attribute `_ARRAY_DIMENSIONS` (xarray).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from refmaker.model import JSON
from refmaker.zarr.codec_list import Codecs
from refmaker.zarr.dtype_json import dtype_to_json
from refmaker.zarr.zarr_dtype import ZarrDtype

__all__ = ["array_metadata"]

_TEXT = ({"id": "vlen-utf8"},)
_BYTES = ({"id": "vlen-bytes"},)


def array_metadata(
    shape: tuple[int, ...], chunks: tuple[int, ...], dtype: ZarrDtype, codecs: Codecs, fill_value: JSON
) -> dict[str, Any]:
    """Return the content of `.zarray`."""
    filters = codecs.filters
    if dtype.text:
        text = _BYTES if dtype.raw else _TEXT
        filters = [*(text if dtype.items is None else _sequences(dtype)), *(filters or [])]
    return {
        "zarr_format": 2,
        "shape": list(shape),
        "chunks": list(chunks),
        "dtype": dtype_name(dtype.dtype),
        "compressor": codecs.compressor,
        "fill_value": fill_value,
        "order": "C",
        "filters": filters,
        "dimension_separator": ".",
    }


def _sequences(dtype: ZarrDtype) -> tuple[dict[str, Any], ...]:
    """Return the filters of variable-length sequences: see `refmaker.codecs.sequences`."""
    items = dtype_to_json(dtype.packed_items)
    return {"id": "refmaker_sequences", "dtype": items, "depth": dtype.depth}, {"id": "vlen-bytes"}


def dtype_name(dtype: np.dtype[Any]) -> str | list[list[str]]:
    """Return a dtype as Zarr 2 writes it: numpy's array protocol string, a list of pairs when structured."""
    if dtype.fields is None or dtype.names is None:
        return dtype.str
    return [[name, dtype.fields[name][0].str] for name in dtype.names]
