"""The form of an array: all that its metadata and attributes say, but how long it is.

Contract: equal forms are one object (`ArrayEncodings` interns them by their text), so that 20,000 inputs are compared
by a number each, and only the few distinct forms in detail. `ArrayEncoding.aspects` names everything that decides what
bytes mean: where it is equal, chunks of two inputs may stand in one array. Sources: Zarr 2 and Zarr 3 metadata; CF
1.11, sections 2.5.1, 3.1, 3.5, 4.4, 7.1, 8.1; xarray's documentation of what it decodes.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

from refmaker.errors import ManifestError

__all__ = ["DECODING", "ArrayEncoding", "ArrayEncodings"]

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

_REMARKS = ("_ARRAY_DIMENSIONS", "long_name", "comment", "history", "source")

ABSENT = "absent"
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
        As in `ManifestArray`, without `shape`.
    dimensions
        None where the manifest names none.
    chunks
        Chunk shape.
    """

    zarr_format: Literal[2, 3]
    metadata: dict[str, Any]
    attributes: dict[str, Any]
    dimensions: tuple[str, ...] | None
    chunks: tuple[int, ...]

    @cached_property
    def dtype_text(self) -> str:
        """The data type as the metadata spell it."""
        return canonical(self.metadata["dtype" if self.zarr_format == 2 else "data_type"])

    @property
    def codecs(self) -> list[Any]:
        """Codecs in the order in which they were applied, the one that sets the byte order left out."""
        if self.zarr_format == 2:
            compressor = self.metadata.get("compressor")
            return [*(self.metadata.get("filters") or []), *([] if compressor is None else [compressor])]
        return [codec for codec in self.metadata["codecs"] if _name(codec) != "bytes"]

    @property
    def endian(self) -> str:
        """Byte order: "little", "big" or "none"."""
        if self.zarr_format == 2:
            dtype = self.metadata["dtype"]
            first = dtype[:1] if isinstance(dtype, str) else "|"
            return {"<": "little", ">": "big"}.get(first, "none")
        for codec in self.metadata["codecs"]:
            if _name(codec) == "bytes" and isinstance(codec, Mapping):
                settings = codec.get("configuration")
                return str(settings.get("endian", "none")) if isinstance(settings, Mapping) else "none"
        return "none"

    @property
    def fill_value(self) -> Any:
        """`fill_value` of the metadata."""
        return self.metadata.get("fill_value")

    @cached_property
    def aspects(self) -> dict[str, str]:
        """What decides what the bytes of chunks mean: name -> text that is equal where it is the same."""
        dtype = self.metadata.get("dtype")
        found = {
            "dtype": canonical(dtype[1:]) if self.zarr_format == 2 and isinstance(dtype, str) else self.dtype_text,
            "byte order": self.endian,
            "codecs": canonical([*map(_as_decoded, self.codecs), *([] if self._is_c else ["order F"])]),
            "chunk grid": canonical(self.chunks),
            "dimensions": ABSENT if self.dimensions is None else canonical(self.dimensions),
            "fill value": self._masked,
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
    def _is_c(self) -> bool:
        return self.metadata.get("order") != "F"

    @property
    def _masked(self) -> str:
        """Return what a missing chunk reads as.

        In Zarr 2 null is for arrays without missing chunks: xarray masks by the attribute alone there, and by
        `fill_value` else; NaN masks nothing that is not NaN anyway.
        """
        value = self.fill_value
        if self.zarr_format == 3:
            return canonical(value)
        if value is None:
            value = self.attributes.get("_FillValue")
        return ABSENT if value is None or value == "NaN" else canonical(value)

    @cached_property
    def others(self) -> dict[str, str]:
        """Attributes that do not decide what values mean: name -> text."""
        own = (*DECODING, "_ARRAY_DIMENSIONS")
        return {name: canonical(value) for name, value in self.attributes.items() if name not in own}


class ArrayEncodings:
    """All forms met so far, each once."""

    def __init__(self) -> None:
        self.all: list[ArrayEncoding] = []
        self._numbers: dict[str, int] = {}
        self._by_text: dict[str, int] = {}

    def number(self, zarr_format: Literal[2, 3], metadata: Mapping[str, Any], attributes: dict[str, Any]) -> int:
        """Return the number of the form of an array.

        Parameters
        ----------
        metadata, attributes
            As in `ManifestArray`.
        """
        rest = {name: value for name, value in metadata.items() if name != "shape"}
        as_written = repr((rest, attributes))  # quicker to make, and mostly the same where the form is
        number = self._by_text.get(as_written)
        if number is None:
            text = canonical([rest, attributes])
            number = self._numbers.setdefault(text, len(self.all))
            if number == len(self.all):
                self.all.append(_form(zarr_format, rest, attributes))
            self._by_text[as_written] = number
        return number

    def take(self, other: ArrayEncodings) -> list[int]:
        """Take over the forms of another collection; give the number here of each of them."""
        return [self.number(form.zarr_format, form.metadata, form.attributes) for form in other.all]


def _check(zarr_format: int, metadata: Mapping[str, Any], attributes: object) -> None:
    """Make sure that metadata are of the kinds of values that are looked at here: they may come from anyone."""
    if not isinstance(attributes, Mapping):
        raise ManifestError("attributes that are no object", got=str(attributes)[:80])
    kinds: list[tuple[str, object, tuple[type, ...]]] = [("dtype", metadata.get("dtype"), (str, list))]
    name, listed = "filters", metadata.get("filters") or []
    kind: tuple[type, ...] = (dict,)
    if zarr_format == 2:
        kinds.append(("compressor", metadata.get("compressor"), (dict, type(None))))
    else:
        kinds = [("data_type", metadata.get("data_type"), (str, dict))]
        name, listed, kind = "codecs", metadata.get("codecs"), (str, dict)
    kinds.append((name, listed, (list,)))
    kinds += [(name, one, kind) for one in (listed if isinstance(listed, list) else ())]
    for name, value, kind in kinds:
        if not isinstance(value, kind):
            raise ManifestError(f"bad {name} in the metadata of an array", got=str(value)[:80])


def _form(zarr_format: Literal[2, 3], metadata: dict[str, Any], attributes: dict[str, Any]) -> ArrayEncoding:
    _check(zarr_format, metadata, attributes)
    if zarr_format == 2:
        names, chunks = attributes.get("_ARRAY_DIMENSIONS"), metadata["chunks"]
    else:
        names, chunks = metadata.get("dimension_names"), metadata["chunk_grid"]["configuration"]["chunk_shape"]
    dimensions = None
    if names is not None:
        if not isinstance(names, list) or len(names) != len(chunks):
            raise ManifestError("names of dimensions that do not fit the shape", got=names, expected=f"{len(chunks)}")
        if all(isinstance(name, str) for name in names):
            dimensions = tuple(names)
    return ArrayEncoding(zarr_format, metadata, attributes, dimensions, tuple(chunks))


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


def _name(codec: object) -> object:
    return codec.get("name") if isinstance(codec, Mapping) else codec


def with_extent(form: ArrayEncoding, shape: Sequence[int], chunks: Sequence[int] | None = None) -> dict[str, Any]:
    """Return the metadata of an array of this form, with a shape and, if they change, with other chunks."""
    metadata = {**form.metadata, "shape": list(shape)}
    if chunks is not None and form.zarr_format == 2:
        metadata["chunks"] = list(chunks)
    elif chunks is not None:
        metadata["chunk_grid"] = {"name": "regular", "configuration": {"chunk_shape": list(chunks)}}
    return metadata
