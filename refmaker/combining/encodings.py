"""The form of an array: all that its metadata and attributes say, but how long it is.

Contract: equal forms are one object (`ArrayEncodings` interns them by their text), so that 20,000 inputs are compared
by a number each, and only the few distinct forms in detail. `ArrayEncoding.aspects` names everything that decides what
bytes mean: where it is equal, chunks of two inputs may stand in one array. Sources: Zarr 2 and Zarr 3 metadata; CF
1.11, sections 2.5.1, 3.1, 3.5, 4.4, 7.1, 8.1; xarray's documentation of what it decodes.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from refmaker.errors import ManifestError
from refmaker.zarr.metadata import DIMENSIONS, ArrayMetadata

__all__ = ["DECODING", "OPERANDS", "ArrayEncoding", "ArrayEncodings"]

DECODING = (
    "_FillValue",
    "missing_value",
    "scale_factor",
    "add_offset",
    "_Unsigned",
    "_Encoding",
    "units",
    "calendar",
    "standard_name",
    "positive",
    "axis",
    "cell_methods",
    "coordinates",
    "grid_mapping",
    "bounds",
    "valid_min",
    "valid_max",
    "valid_range",
    "flag_values",
    "flag_masks",
    "flag_meanings",
    "formula_terms",
    "climatology",
    "compress",
    "month_lengths",
    "leap_year",
    "leap_month",
    "dtype",
)
"""Attributes that decide what values mean. Others may differ: the first input's are taken, and the report says so."""

_REMARKS = (DIMENSIONS, "long_name", "comment", "history", "source")

OPERANDS = ("scale_factor", "add_offset", "missing_value", "_FillValue")
"""Attributes with numbers that decoding needs: their types decide the type of what comes out."""

ABSENT, UNKNOWN_TYPES = "absent", "not known"
_ENCODER = json.JSONEncoder(sort_keys=True, separators=(",", ":"))


def canonical(value: object) -> str:
    """Return one text for equal JSON."""
    return _ENCODER.encode(value)


@dataclass(eq=False)
class ArrayEncoding:
    """Metadata and attributes of arrays that differ in their extent only.

    Attributes
    ----------
    metadata
        As in `ManifestArray`, without the shape.
    dimensions
        None where the manifest names none.
    chunks
        Chunk shape.
    types
        Types of the attributes by whose numbers values are decoded, as far as JSON does not tell them; None where
        nothing is known.
    """

    metadata: ArrayMetadata
    attributes: dict[str, Any]
    dimensions: tuple[str, ...] | None
    chunks: tuple[int, ...]
    types: Mapping[str, str] | None = None

    @cached_property
    def dtype_text(self) -> str:
        """The data type as the metadata spell it."""
        return canonical(self.metadata.data_type)

    @property
    def codecs(self) -> list[Any]:
        """Codecs in the order in which they were applied, the one that sets the byte order left out."""
        return self.metadata.codecs

    @property
    def endian(self) -> str:
        """Byte order: "little", "big" or "none"."""
        return self.metadata.endian

    @property
    def fill_value(self) -> Any:
        """`fill_value` of the metadata."""
        return self.metadata.fill_value

    @cached_property
    def aspects(self) -> dict[str, str]:
        """What decides what the bytes of chunks mean: name -> text that is equal where it is the same."""
        found = {
            "dtype": canonical(self.metadata.element_type),
            "byte order": self.endian,
            "codecs": canonical([*map(_as_decoded, self.codecs), *([] if self.metadata.order == "C" else ["order F"])]),
            "chunk grid": canonical(self.chunks if self.regular else self._irregular),
            "dimensions": ABSENT if self.dimensions is None else canonical(self.dimensions),
            "fill value": self._masked,
            "operand types": UNKNOWN_TYPES if self.types is None else canonical(self.types),
        }
        for name in (*DECODING, *self._meant):
            label = name if name not in found else f"attribute {name}"
            found[label] = canonical(self.attributes[name]) if name in self.attributes else ABSENT
        return found

    @property
    def _meant(self) -> list[str]:
        """Further attributes that decide what is meant: a grid mapping consists of them (CF 1.11, section 5.6)."""
        if "grid_mapping_name" not in self.attributes:
            return []
        return [name for name in self.attributes if name not in (*DECODING, *_REMARKS)]

    @property
    def _masked(self) -> str:
        """Return what a missing chunk reads as.

        In Zarr 2 null is for arrays without missing chunks: xarray masks by the attribute alone there, and by
        `fill_value` else; NaN masks nothing that is not NaN anyway.
        """
        value = self.fill_value
        if not self.metadata.masks_fill_value:
            return canonical(value)
        if value is None:
            value = self.attributes.get("_FillValue")
        return ABSENT if value is None or value == "NaN" else canonical(value)

    @property
    def regular(self) -> bool:
        """Whether chunks are all of one shape, and stored so."""
        return self.metadata.is_regular

    @property
    def _irregular(self) -> object:
        lengths = self.metadata.chunk_lengths
        axes = None if lengths is None else [axis.tolist() for axis in lengths]
        return [axes, self.metadata.encoded_chunk]

    @cached_property
    def others(self) -> dict[str, str]:
        """Attributes that do not decide what values mean: name -> text."""
        own = (*DECODING, DIMENSIONS)
        return {name: canonical(value) for name, value in self.attributes.items() if name not in own}


class ArrayEncodings:
    """All forms met so far, each once."""

    def __init__(self) -> None:
        self.all: list[ArrayEncoding] = []
        self._numbers: dict[str, int] = {}
        self._by_text: dict[str, int] = {}

    def number(
        self, metadata: ArrayMetadata, attributes: dict[str, Any], types: Mapping[str, str] | None = None
    ) -> int:
        """Return the number of the encoding of an array.

        Parameters
        ----------
        metadata, attributes
            As in `ManifestArray`.
        types
            Of the attributes, as in `Manifest.types`.
        """
        types = None if types is None else {name: types[name] for name in OPERANDS if name in types}
        rest = metadata.without_shape()
        as_written = repr(
            (rest.document, attributes, types)
        )  # quicker to make, and mostly the same where the encoding is
        number = self._by_text.get(as_written)
        if number is None:
            text = canonical([rest.to_json(), attributes, types])
            number = self._numbers.setdefault(text, len(self.all))
            if number == len(self.all):
                self.all.append(replace(_encoding(rest, attributes), types=types))
            self._by_text[as_written] = number
        return number

    def take(self, other: ArrayEncodings) -> list[int]:
        """Take over the encodings of another collection; return the number here of each of them."""
        return [self.number(encoding.metadata, encoding.attributes, encoding.types) for encoding in other.all]


def _encoding(metadata: ArrayMetadata, attributes: dict[str, Any]) -> ArrayEncoding:
    if not isinstance(attributes, Mapping):
        raise ManifestError("attributes are not a JSON object", got=str(attributes)[:80])
    metadata.check()
    names, chunks = metadata.dimension_names(attributes), metadata.chunk_shape
    dimensions = None
    if names is not None:
        if not isinstance(names, list) or len(names) != len(chunks):
            raise ManifestError("dimension names do not match the shape", got=names, expected=f"{len(chunks)}")
        if all(isinstance(name, str) for name in names):
            dimensions = tuple(names)
    return ArrayEncoding(metadata, attributes, dimensions, chunks)


_ENCODING_ONLY = {
    "zlib": ("level",),
    "gzip": ("level",),
    "bz2": ("level",),
    "zstd": ("level", "checksum"),
    "lz4": ("acceleration",),
    "blosc": ("clevel", "cname", "shuffle", "blocksize", "typesize"),
}
"""Settings that are for writing: chunks say themselves what was chosen, or it does not matter for reading them."""


def _as_decoded(codec: object) -> object:
    """Return a codec as far as it matters for decoding."""
    if not isinstance(codec, Mapping):
        return codec
    name = str(codec.get("id", codec.get("name"))).removeprefix("numcodecs.")
    settings = codec if "id" in codec else codec.get("configuration") or {}
    left = {key: value for key, value in settings.items() if key not in (*_ENCODING_ONLY.get(name, ()), "id")}
    return [name, left] if left else name


def with_extent(form: ArrayEncoding, shape: Sequence[int], chunks: Sequence[int] | None = None) -> ArrayMetadata:
    """Return the metadata of an array of this encoding, with a shape and, if they change, with other chunks."""
    return form.metadata.with_extent(shape, chunks)
