"""Zarr 2 array metadata (https://zarr-specs.readthedocs.io/en/latest/v2/v2.0.html).

Contract: plain numcodecs configurations, the last compressor in `compressor`, all other codecs in `filters`; more
clients read that than all of them in `filters`. Dimension names stand in the attribute `_ARRAY_DIMENSIONS` (xarray).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from refmaker.model import JSON
from refmaker.zarr.array_metadata import DIMENSIONS, ArrayMetadata, Endian, ZarrFormat, codec_name, require_kind
from refmaker.zarr.codec_list import Codecs
from refmaker.zarr.dtype_json import dtype_to_json
from refmaker.zarr.zarr_dtype import ZarrDtype

__all__ = ["ArrayMetadata2", "array_metadata", "dtype_name"]

_TEXT = ({"id": "vlen-utf8"},)
_BYTES = ({"id": "vlen-bytes"},)


@dataclass(frozen=True)
class ArrayMetadata2(ArrayMetadata):
    """The metadata of an array in Zarr 2: the content of `.zarray`."""

    zarr_format: ClassVar[ZarrFormat] = 2
    masks_fill_value: ClassVar[bool] = True

    @property
    def chunk_shape(self) -> tuple[int, ...]:
        return tuple(self.document["chunks"])

    @property
    def data_type(self) -> JSON:
        found: JSON = self.document.get("dtype")
        return found

    @property
    def element_type(self) -> JSON:
        return self.data_type[1:] if isinstance(self.data_type, str) else self.data_type

    @property
    def endian(self) -> Endian:
        first = self.data_type[:1] if isinstance(self.data_type, str) else "|"
        return "little" if first == "<" else "big" if first == ">" else "none"

    @property
    def filters(self) -> list[Any]:
        """Codecs before the compressor."""
        return list(self.document.get("filters") or [])

    @property
    def compressor(self) -> Any:
        """The last codec, None without one."""
        return self.document.get("compressor")

    @property
    def codecs(self) -> list[Any]:
        return [*self.filters, *([] if self.compressor is None else [self.compressor])]

    @property
    def codec_names(self) -> list[str]:
        return [codec_name(codec, "id") for codec in self.codecs]

    def numcodecs_configs(self) -> list[Any]:
        return self.codecs

    def check(self) -> None:
        require_kind("dtype", self.data_type, str, list)
        require_kind("compressor", self.compressor, dict, type(None))
        require_kind("filters", self.document.get("filters") or [], list)
        for codec in self.filters:
            require_kind("filters", codec, dict)

    def dimension_names(self, attributes: Mapping[str, Any]) -> Any:
        return attributes.get(DIMENSIONS)

    def with_dimension_names(
        self, names: Sequence[str], attributes: Mapping[str, Any]
    ) -> tuple[ArrayMetadata, dict[str, Any]]:
        return self, {**attributes, DIMENSIONS: list(names)}

    def with_extent(self, shape: Sequence[int], chunks: Sequence[int] | None = None) -> ArrayMetadata:
        return self.replaced(shape=list(shape), **({} if chunks is None else {"chunks": list(chunks)}))

    def uncompressed(self, chunks: Sequence[int]) -> ArrayMetadata:
        return self.replaced(chunks=list(chunks), compressor=None, filters=None, order="C")

    def holding(self, dtype: np.dtype[Any], *, text: bool) -> ArrayMetadata:
        name = "|O" if text else dtype.newbyteorder("<").str
        filters = [{"id": "vlen-utf8"}] if text else None
        return self.replaced(dtype=name, filters=filters, compressor=None, order="C")

    def deflated(self) -> ArrayMetadata:
        return self.replaced(compressor={"id": "zlib", "level": 1})

    def with_leading_axis(self) -> ArrayMetadata:
        return self


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
