"""The metadata of a Zarr array as one type, whatever its format.

Contract: `ArrayMetadata` is what Zarr says of an array, whoever wrote it: its document stays as it was read, member by
member, so that what is written again is what was read. Nothing outside this package and `kerchunk` looks into the
document. Attributes are apart, since both formats have them apart from what Zarr itself needs. The two formats are
`v2.ArrayMetadata2` and `v3.ArrayMetadata3`; `metadata` is the module to import from. Sources: Zarr v2 specification,
"Arrays"; Zarr v3 core, "Array metadata"; xarray's documentation of `_ARRAY_DIMENSIONS`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, TypeAlias

import numpy as np

from refmaker.errors import ManifestError, Unsupported
from refmaker.model import JSON
from refmaker.zarr.chunk_keys import ChunkLayout, chunk_layout
from refmaker.zarr.rectilinear import Lengths

__all__ = ["DIMENSIONS", "ArrayMetadata", "Endian", "ZarrFormat", "codec_name", "require_kind"]

ZarrFormat: TypeAlias = Literal[2, 3]
Endian: TypeAlias = Literal["little", "big", "none"]

DIMENSIONS = "_ARRAY_DIMENSIONS"
"""The attribute in which xarray keeps the names of dimensions in Zarr 2."""


@dataclass(frozen=True)
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
        for kind in ArrayMetadata.__subclasses__():
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
        """Elements of a chunk along each dimension; on a rectilinear grid, of the longest one."""

    @property
    def chunk_lengths(self) -> tuple[Lengths, ...] | None:
        """Lengths of the chunks along each dimension of a rectilinear grid; None for a regular one."""
        return None

    @property
    def encoded_chunk(self) -> tuple[int | None, ...] | None:
        """Shape of which every stored chunk is, of whose beginning only those of the grid are taken; None: as there.

        A length of None follows from the bytes.
        """
        return None

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

    def with_chunk_lengths(
        self, shape: Sequence[int], lengths: Sequence[Lengths], encoded_chunk: Sequence[int | None] | None = None
    ) -> ArrayMetadata:
        """Return metadata with another shape on a rectilinear grid.

        Raises
        ------
        Unsupported
            The format has none.
        """
        raise Unsupported("chunks of different lengths along an axis have no form in Zarr 2")

    @property
    def is_regular(self) -> bool:
        """Whether chunks are all of one shape, and stored so."""
        return self.chunk_lengths is None and self.encoded_chunk is None

    @property
    def crops(self) -> bool:
        """Whether stored chunks can be larger than those of the grid: see `encoded_chunk`."""
        return False

    def uncropped(self) -> ArrayMetadata:
        """Return metadata of chunks that are stored as they are in the grid."""
        return self

    @abstractmethod
    def uncompressed(self, chunks: Sequence[int]) -> ArrayMetadata:
        """Return metadata of the same elements without codecs, in C order, in other chunks."""

    @abstractmethod
    def holding(self, dtype: np.dtype[Any], *, text: bool) -> ArrayMetadata:
        """Return metadata of uncompressed elements of another data type, little-endian, `text` for strings."""

    @abstractmethod
    def deflated(self) -> ArrayMetadata:
        """Return metadata of uncompressed elements with deflate as their only codec."""

    @abstractmethod
    def with_leading_axis(self) -> ArrayMetadata:
        """Return metadata whose codecs are for chunks with one more dimension in front. See `with_extent`."""

    def with_fill_value(self, value: JSON) -> ArrayMetadata:
        """Return metadata with another fill value."""
        return self.replaced(fill_value=value)

    def without_shape(self) -> ArrayMetadata:
        """Return metadata that equal those of arrays which differ in their extent only."""
        return type(self)({name: value for name, value in self.document.items() if name != "shape"})

    @property
    def zero(self) -> JSON:
        """The fill value of an array in which no value is missing."""
        return None if self.masks_fill_value else 0

    def replaced(self, **members: Any) -> ArrayMetadata:
        """Return metadata with other members of the document, for who mends what another tool wrote."""
        return type(self)({**self.document, **members})


def codec_name(codec: object, key: str) -> str:
    """Return the name of a codec, which stands under `key`, or is all there is."""
    return str(codec.get(key, "?")) if isinstance(codec, Mapping) else str(codec)


def require_kind(name: str, value: object, *kinds: type) -> None:
    """Raise `ManifestError` unless a member of the metadata of an array is of one of some kinds."""
    if not isinstance(value, kinds):
        raise ManifestError(f"invalid {name} in the metadata of an array", got=str(value)[:80])
