"""The metadata of a Zarr array, of either format, as one type.

Contract: `ArrayMetadata` is what Zarr says of an array, whoever wrote it: its document stays as it was read, member by
member, so that what is written again is what was read. Nothing outside this package and `kerchunk` looks into the
document. Attributes are apart, since both formats have them apart from what Zarr itself needs. Sources: Zarr v2
specification, "Arrays"; Zarr v3 core, "Array metadata"; xarray's documentation for `_ARRAY_DIMENSIONS`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, TypeAlias

import numpy as np

from refmaker.errors import ManifestError
from refmaker.model import JSON
from refmaker.zarr import v2, v3
from refmaker.zarr.chunk_keys import ChunkLayout, chunk_layout
from refmaker.zarr.codec_list import Codecs
from refmaker.zarr.zarr_dtype import ZarrDtype

__all__ = [
    "DIMENSIONS",
    "ArrayMetadata",
    "ArrayMetadata2",
    "ArrayMetadata3",
    "ZarrFormat",
    "make_metadata",
    "masks_fill_value",
]

ZarrFormat: TypeAlias = Literal[2, 3]
Endian: TypeAlias = Literal["little", "big", "none"]

DIMENSIONS = "_ARRAY_DIMENSIONS"
"""The attribute in which xarray keeps the names of dimensions in Zarr 2."""


@dataclass(frozen=True, slots=True)
class ArrayMetadata(ABC):
    """The metadata of a Zarr array, without its attributes.

    Attributes
    ----------
    document
        The JSON of `.zarray` (Zarr 2), or of `zarr.json` without `attributes` (Zarr 3). Not to be changed: the methods
        below return other metadata.

    Examples
    --------
    >>> metadata = ArrayMetadata.from_json(
    ...     {"zarr_format": 2, "shape": [4], "chunks": [2], "dtype": "<i2", "fill_value": 0, "compressor": None}
    ... )
    >>> metadata.shape, metadata.chunk_shape, metadata.data_type
    ((4,), (2,), '<i2')
    >>> metadata.with_extent((6,)).shape
    (6,)
    """

    document: Mapping[str, Any]

    zarr_format: ClassVar[ZarrFormat]
    masks_fill_value: ClassVar[bool]
    """Whether xarray takes `fill_value` for the value to mask, beside the attribute `_FillValue`."""

    @staticmethod
    def from_json(document: Mapping[str, Any], *, structure: str = "array metadata") -> ArrayMetadata:
        """Return metadata from their JSON, which says itself of which format it is.

        Parameters
        ----------
        structure
            Named in errors.

        Raises
        ------
        ManifestError
            The document is of neither format.
        """
        for kind in (ArrayMetadata2, ArrayMetadata3):
            if document.get("zarr_format") == kind.zarr_format:
                return kind(document)
        raise ManifestError("bad zarr_format", structure=structure, expected="2 or 3", got=document.get("zarr_format"))

    def to_json(self) -> dict[str, Any]:
        """Return the document, to be written."""
        return dict(self.document)

    def layout(self, *, structure: str, source: str | None = None) -> ChunkLayout:
        """Return chunk grid and chunk keys, checked. See `chunk_keys.chunk_layout`."""
        return chunk_layout(self.document, self.zarr_format, structure=structure, source=source)

    @property
    def shape(self) -> tuple[int, ...]:
        """Length of each dimension."""
        return tuple(self.document["shape"])

    @property
    def fill_value(self) -> Any:
        """What a missing chunk reads as, in JSON; None for undefined."""
        return self.document.get("fill_value")

    @property
    def order(self) -> Literal["C", "F"]:
        """Which index runs fastest in a decoded chunk: the last (C) or the first (F)."""
        return "F" if self.document.get("order") == "F" else "C"

    @property
    @abstractmethod
    def chunk_shape(self) -> tuple[int, ...]:
        """Elements of a chunk along each dimension."""

    @property
    @abstractmethod
    def data_type(self) -> JSON:
        """The data type as this format names it."""

    @property
    @abstractmethod
    def element_type(self) -> JSON:
        """The data type without its byte order."""

    @property
    @abstractmethod
    def endian(self) -> Endian:
        """Byte order of the elements, "none" where there is none."""

    @property
    @abstractmethod
    def codecs(self) -> list[Any]:
        """Codecs in the order in which they are applied, without the one that sets the byte order."""

    @property
    @abstractmethod
    def codec_names(self) -> list[str]:
        """Names of all codecs, in the order in which they are applied."""

    @abstractmethod
    def numcodecs_configs(self) -> list[Any]:
        """Return `codecs` as numcodecs has them.

        Raises
        ------
        Unsupported
            One has no counterpart there.
        """

    @abstractmethod
    def check(self) -> None:
        """Make sure that data type and codecs are of the kinds that JSON has for them: they may come from anyone.

        Raises
        ------
        ManifestError
            They are not.
        """

    @abstractmethod
    def dimension_names(self, attributes: Mapping[str, Any]) -> Any:
        """Return the names of the dimensions as they stand there, None where there are none."""

    @abstractmethod
    def with_dimension_names(
        self, names: Sequence[str], attributes: Mapping[str, Any]
    ) -> tuple[ArrayMetadata, dict[str, Any]]:
        """Return metadata and attributes with other names of dimensions."""

    @abstractmethod
    def with_extent(self, shape: Sequence[int], chunks: Sequence[int] | None = None) -> ArrayMetadata:
        """Return metadata with another shape and, if they are given, with other chunks on a regular grid."""

    @abstractmethod
    def uncompressed(self, chunks: Sequence[int]) -> ArrayMetadata:
        """Return metadata of the same elements without codecs, in C order, in other chunks."""

    @abstractmethod
    def holding(self, dtype: np.dtype[Any], *, text: bool) -> ArrayMetadata:
        """Return metadata of uncompressed elements of another data type, little-endian, `text` for strings."""

    @abstractmethod
    def with_leading_axis(self) -> ArrayMetadata:
        """Return metadata whose codecs are for chunks with one more dimension in front. See `with_extent`."""

    def with_fill_value(self, value: JSON) -> ArrayMetadata:
        """Return metadata with another fill value."""
        return self._with(fill_value=value)

    def without_shape(self) -> ArrayMetadata:
        """Return metadata that equal those of arrays which differ in their extent only."""
        return type(self)({name: value for name, value in self.document.items() if name != "shape"})

    @staticmethod
    def scalar(zarr_format: ZarrFormat, dtype: np.dtype[Any]) -> ArrayMetadata:
        """Return metadata of an uncompressed scalar; `object` stands for a string of any length."""
        text = dtype.kind == "O"
        fill = None if zarr_format == 2 else "" if text else dtype.type(0).item()
        return make_metadata(zarr_format, (), (), ZarrDtype(dtype, text=text), Codecs(), fill, ())[0]

    @property
    def zero(self) -> JSON:
        """The fill value of an array in which no value is missing."""
        return None if self.masks_fill_value else 0

    def _with(self, **members: Any) -> ArrayMetadata:
        return type(self)({**self.document, **members})


@dataclass(frozen=True, slots=True)
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
        return [_name(codec, "id") for codec in self.codecs]

    def numcodecs_configs(self) -> list[Any]:
        return self.codecs

    def check(self) -> None:
        _require("dtype", self.data_type, str, list)
        _require("compressor", self.compressor, dict, type(None))
        _require("filters", self.document.get("filters") or [], list)
        for codec in self.filters:
            _require("filters", codec, dict)

    def dimension_names(self, attributes: Mapping[str, Any]) -> Any:
        return attributes.get(DIMENSIONS)

    def with_dimension_names(
        self, names: Sequence[str], attributes: Mapping[str, Any]
    ) -> tuple[ArrayMetadata, dict[str, Any]]:
        return self, {**attributes, DIMENSIONS: list(names)}

    def with_extent(self, shape: Sequence[int], chunks: Sequence[int] | None = None) -> ArrayMetadata:
        return self._with(shape=list(shape), **({} if chunks is None else {"chunks": list(chunks)}))

    def uncompressed(self, chunks: Sequence[int]) -> ArrayMetadata:
        return self._with(chunks=list(chunks), compressor=None, filters=None, order="C")

    def holding(self, dtype: np.dtype[Any], *, text: bool) -> ArrayMetadata:
        name = "|O" if text else dtype.newbyteorder("<").str
        filters = [{"id": "vlen-utf8"}] if text else None
        return self._with(dtype=name, filters=filters, compressor=None, order="C")

    def with_leading_axis(self) -> ArrayMetadata:
        return self

    def with_members(self, **members: Any) -> ArrayMetadata2:
        """Return metadata with other members of the document, for who mends what another tool wrote."""
        return ArrayMetadata2({**self.document, **members})


@dataclass(frozen=True, slots=True)
class ArrayMetadata3(ArrayMetadata):
    """The metadata of an array in Zarr 3: the content of `zarr.json` without `attributes`."""

    zarr_format: ClassVar[ZarrFormat] = 3
    masks_fill_value: ClassVar[bool] = False

    @property
    def chunk_shape(self) -> tuple[int, ...]:
        return tuple(self.document["chunk_grid"]["configuration"]["chunk_shape"])

    @property
    def data_type(self) -> JSON:
        found: JSON = self.document.get("data_type")
        return found

    @property
    def element_type(self) -> JSON:
        return self.data_type

    @property
    def endian(self) -> Endian:
        for codec in self.document["codecs"]:
            if _name(codec, "name") == "bytes" and isinstance(codec, Mapping):
                settings = codec.get("configuration")
                found = settings.get("endian") if isinstance(settings, Mapping) else None
                return "little" if found == "little" else "big" if found == "big" else "none"
        return "none"

    @property
    def codecs(self) -> list[Any]:
        return [codec for codec in self.document["codecs"] if _name(codec, "name") != "bytes"]

    @property
    def codec_names(self) -> list[str]:
        return [_name(codec, "name") for codec in self.document.get("codecs") or []]

    def numcodecs_configs(self) -> list[Any]:
        return [v3.numcodecs_config(codec) for codec in self.codecs]

    def check(self) -> None:
        _require("data_type", self.data_type, str, dict)
        codecs = self.document.get("codecs")
        _require("codecs", codecs, list)
        for codec in codecs or ():
            _require("codecs", codec, str, dict)

    def dimension_names(self, attributes: Mapping[str, Any]) -> Any:
        return self.document.get("dimension_names")

    def with_dimension_names(
        self, names: Sequence[str], attributes: Mapping[str, Any]
    ) -> tuple[ArrayMetadata, dict[str, Any]]:
        return self._with(dimension_names=list(names)), dict(attributes)

    def with_extent(self, shape: Sequence[int], chunks: Sequence[int] | None = None) -> ArrayMetadata:
        return self._with(shape=list(shape), **({} if chunks is None else {"chunk_grid": regular_grid(chunks)}))

    def uncompressed(self, chunks: Sequence[int]) -> ArrayMetadata:
        return self._with(chunk_grid=regular_grid(chunks), codecs=self.document["codecs"][:1])

    def holding(self, dtype: np.dtype[Any], *, text: bool) -> ArrayMetadata:
        if text:
            return self._with(codecs=[{"name": "vlen-utf8", "configuration": {}}])
        ordered = dtype.itemsize > 1 and dtype.kind != "S"
        codec = {"name": "bytes", **({"configuration": {"endian": "little"}} if ordered else {})}
        named = {} if dtype.kind == "S" else {"data_type": dtype.newbyteorder("=").name}
        return self._with(codecs=[codec], **named)

    def with_leading_axis(self) -> ArrayMetadata:
        return self._with(codecs=[_shift_transpose(codec) for codec in self.document["codecs"]])


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
        return ArrayMetadata3(v3.array_metadata(shape, chunks, dtype, codecs, fill_value, tuple(dimensions))), {}
    return ArrayMetadata2(v2.array_metadata(shape, chunks, dtype, codecs, fill_value)), {DIMENSIONS: list(dimensions)}


def masks_fill_value(zarr_format: ZarrFormat) -> bool:
    """Return whether xarray masks what a missing chunk of an array of this format reads as."""
    return (ArrayMetadata3 if zarr_format == 3 else ArrayMetadata2).masks_fill_value


def regular_grid(chunks: Sequence[int]) -> dict[str, Any]:
    """Return a regular chunk grid as Zarr 3 writes it."""
    return {"name": "regular", "configuration": {"chunk_shape": list(chunks)}}


def _shift_transpose(codec: Any) -> Any:
    """Return a codec for chunks with one more dimension in front."""
    if not isinstance(codec, Mapping) or codec.get("name") != "transpose":
        return codec
    order = [0, *(int(axis) + 1 for axis in codec["configuration"]["order"])]
    return {**codec, "configuration": {"order": order}}


def _name(codec: object, key: str) -> str:
    return str(codec.get(key, "?")) if isinstance(codec, Mapping) else str(codec)


def _require(name: str, value: object, *kinds: type) -> None:
    if not isinstance(value, kinds):
        raise ManifestError(f"bad {name} in the metadata of an array", got=str(value)[:80])
