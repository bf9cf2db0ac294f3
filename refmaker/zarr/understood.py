"""Whether the metadata of an array say anything that is not known here.

Contract: pure, over metadata that may come from anyone. What Zarr 3 asks readers to understand, and nobody here does,
is a reason to refuse the array. Source: Zarr v3 core, "Extensions", `must_understand`.
"""

from __future__ import annotations

from collections.abc import Mapping

from refmaker.zarr.array_metadata import ArrayMetadata
from refmaker.zarr.data_types import numpy_dtype

__all__ = ["not_understood"]

_MEMBERS_3 = frozenset(
    {
        "zarr_format", "node_type", "shape", "data_type", "chunk_grid", "chunk_key_encoding", "fill_value", "codecs",
        "dimension_names", "storage_transformers", "attributes", "consolidated_metadata",
    }
)  # fmt: skip
_TEXT = ("string", "bytes", "variable_length_bytes")


def not_understood(metadata: ArrayMetadata) -> str | None:
    """Return what of the metadata of an array is not known here; None where all is.

    Examples
    --------
    >>> not_understood(ArrayMetadata.from_json({"zarr_format": 2, "dtype": "<i4"})) is None
    True
    >>> not_understood(ArrayMetadata.from_json({"zarr_format": 3, "data_type": "int7"}))
    "the data type 'int7' is not known here"
    """
    if metadata.zarr_format == 3:
        if metadata.document.get("storage_transformers"):
            return "storage transformers are not known here"
        for name, value in metadata.document.items():
            harmless = isinstance(value, Mapping) and value.get("must_understand") is False
            if name not in _MEMBERS_3 and not harmless:
                return f"the member {name[:60]!r} of its metadata is not known here"
    kind = metadata.data_type
    if kind in _TEXT or (isinstance(kind, Mapping) and kind.get("name") == "fixed_length_utf32"):
        return None
    try:
        known = numpy_dtype(metadata) is not None
    except (TypeError, ValueError, KeyError, OverflowError, AttributeError, RecursionError):
        known = False
    return None if known else f"the data type {str(kind)[:60]!r} is not known here"
