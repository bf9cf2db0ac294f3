"""Zarr 3 array metadata (https://zarr-specs.readthedocs.io/en/latest/v3/core/index.html).

Contract: the JSON that zarr-python 3 writes itself, with the data types and codecs of zarr-extensions and of numcodecs
under their `numcodecs.` names. Dimension names stand in `dimension_names`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

import numpy as np

from refmaker.errors import ManifestError, Unsupported
from refmaker.model import JSON
from refmaker.zarr.array_metadata import ArrayMetadata, Endian, ZarrFormat, codec_name, require_kind
from refmaker.zarr.codec_list import Codecs
from refmaker.zarr.crop_config import CROP, encoded_chunk
from refmaker.zarr.rectilinear import Lengths, lengths_of_axis, rectilinear_grid
from refmaker.zarr.zarr_dtype import ZarrDtype

__all__ = ["ArrayMetadata3", "array_metadata", "numcodecs_config", "regular_grid"]

_OWN = {"refmaker_hdf5": "refmaker.hdf5", "refmaker_b2nd": "refmaker.b2nd"}
_SERIALIZERS = ("bytes", CROP)


@dataclass(frozen=True)
class ArrayMetadata3(ArrayMetadata):
    """The metadata of an array in Zarr 3: the content of `zarr.json` without `attributes`."""

    zarr_format: ClassVar[ZarrFormat] = 3
    masks_fill_value: ClassVar[bool] = False

    @property
    def chunk_shape(self) -> tuple[int, ...]:
        lengths = self.chunk_lengths
        if lengths is None:
            return tuple(self.document["chunk_grid"]["configuration"]["chunk_shape"])
        return tuple(int(axis.max(initial=1)) for axis in lengths)

    @cached_property
    def chunk_lengths(self) -> tuple[Lengths, ...] | None:  # kept: axes may be long
        grid = self.document["chunk_grid"]
        if grid["name"] != "rectilinear":
            return None
        try:
            axes = grid["configuration"]["chunk_shapes"]
            extents = self.document.get("shape", [None] * len(axes))
            return tuple(lengths_of_axis(stated, extent) for stated, extent in zip(axes, extents, strict=True))
        except ValueError as error:
            raise ManifestError("bad chunk_shapes", structure="rectilinear chunk grid", expected=str(error)) from error

    @property
    def encoded_chunk(self) -> tuple[int | None, ...] | None:
        first = next(iter(self.document["codecs"]), None)
        return encoded_chunk(first) if codec_name(first, "name") == CROP else None

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
            if codec_name(codec, "name") in _SERIALIZERS and isinstance(codec, Mapping):
                settings = codec.get("configuration")
                found = settings.get("endian") if isinstance(settings, Mapping) else None
                return "little" if found == "little" else "big" if found == "big" else "none"
        return "none"

    @property
    def codecs(self) -> list[Any]:
        return [codec for codec in self.document["codecs"] if codec_name(codec, "name") not in _SERIALIZERS]

    @property
    def codec_names(self) -> list[str]:
        return [codec_name(codec, "name") for codec in self.document.get("codecs") or []]

    def numcodecs_configs(self) -> list[Any]:
        return [numcodecs_config(codec) for codec in self.codecs]

    def check(self) -> None:
        require_kind("data_type", self.data_type, str, dict)
        codecs = self.document.get("codecs")
        require_kind("codecs", codecs, list)
        for codec in codecs or ():
            require_kind("codecs", codec, str, dict)
        if self.encoded_chunk is not None and len(self.encoded_chunk) != len(self.chunk_shape):
            raise ManifestError("encoded_chunk and shape differ in rank", structure=f"codec {CROP}")

    def dimension_names(self, attributes: Mapping[str, Any]) -> Any:
        return self.document.get("dimension_names")

    def with_dimension_names(
        self, names: Sequence[str], attributes: Mapping[str, Any]
    ) -> tuple[ArrayMetadata, dict[str, Any]]:
        return self.replaced(dimension_names=list(names)), dict(attributes)

    def with_extent(self, shape: Sequence[int], chunks: Sequence[int] | None = None) -> ArrayMetadata:
        return self.replaced(shape=list(shape), **({} if chunks is None else {"chunk_grid": regular_grid(chunks)}))

    def with_chunk_lengths(
        self, shape: Sequence[int], lengths: Sequence[Lengths], encoded_chunk: Sequence[int | None] | None = None
    ) -> ArrayMetadata:
        first, *others = self.document["codecs"]
        name = codec_name(first, "name")
        if encoded_chunk is not None and name not in _SERIALIZERS:
            raise Unsupported(f"chunks of the codec {name!r} cannot be taken in part")
        if name in _SERIALIZERS:
            first = _serializer(self.endian, encoded_chunk)
        return self.replaced(shape=list(shape), chunk_grid=rectilinear_grid(lengths), codecs=[first, *others])

    @property
    def crops(self) -> bool:
        return codec_name(self.document["codecs"][0], "name") in _SERIALIZERS

    def uncropped(self) -> ArrayMetadata:
        first, *others = self.document["codecs"]
        if codec_name(first, "name") != CROP:
            return self
        return self.replaced(codecs=[_serializer(self.endian, None), *others])

    def uncompressed(self, chunks: Sequence[int]) -> ArrayMetadata:
        first = self.document["codecs"][0]
        first = _serializer(self.endian, None) if codec_name(first, "name") == CROP else first
        return self.replaced(chunk_grid=regular_grid(chunks), codecs=[first])

    def holding(self, dtype: np.dtype[Any], *, text: bool) -> ArrayMetadata:
        if text:
            return self.replaced(codecs=[{"name": "vlen-utf8", "configuration": {}}])
        ordered = dtype.itemsize > 1 and dtype.kind != "S"
        codec = {"name": "bytes", **({"configuration": {"endian": "little"}} if ordered else {})}
        named = {} if dtype.kind == "S" else {"data_type": dtype.newbyteorder("=").name}
        return self.replaced(codecs=[codec], **named)

    def deflated(self) -> ArrayMetadata:
        return self.replaced(codecs=[*self.document["codecs"], {"name": "gzip", "configuration": {"level": 1}}])

    def with_leading_axis(self) -> ArrayMetadata:
        return self.replaced(codecs=[_shift_transpose(codec) for codec in self.document["codecs"]])


def _serializer(endian: Endian, encoded_chunk: Sequence[int | None] | None) -> dict[str, Any]:
    """Return the codec from elements to bytes: of chunks as they are in the grid, or of larger ones."""
    settings: dict[str, Any] = {} if endian == "none" else {"endian": endian}
    if encoded_chunk is not None:
        return {"name": CROP, "configuration": {"encoded_chunk": list(encoded_chunk), **settings}}
    return {"name": "bytes", **({"configuration": settings} if settings else {})}


def regular_grid(chunks: Sequence[int]) -> dict[str, Any]:
    """Return a regular chunk grid as Zarr 3 writes it."""
    return {"name": "regular", "configuration": {"chunk_shape": list(chunks)}}


def _shift_transpose(codec: Any) -> Any:
    """Return a codec for chunks with one more dimension in front."""
    if not isinstance(codec, Mapping) or codec.get("name") != "transpose":
        return codec
    order = [0, *(int(axis) + 1 for axis in codec["configuration"]["order"])]
    return {**codec, "configuration": {"order": order}}


def array_metadata(
    shape: tuple[int, ...],
    chunks: tuple[int, ...],
    dtype: ZarrDtype,
    codecs: Codecs,
    fill_value: JSON,
    dimensions: tuple[str, ...],
) -> dict[str, Any]:
    """Return the content of `zarr.json`, `attributes` left out."""
    if dtype.items is not None:
        raise Unsupported("variable-length sequences have no form in Zarr 3: write Zarr 2 metadata")
    if dtype.raw:
        data_type: JSON = "bytes"
        serializer: dict[str, Any] = {"name": "vlen-bytes", "configuration": {}}
    elif dtype.text:
        data_type = "string"
        serializer = {"name": "vlen-utf8", "configuration": {}}
    else:
        data_type, serializer = _data_type(dtype.dtype), _bytes_codec(dtype.dtype)
    return {
        "zarr_format": 3,
        "node_type": "array",
        "shape": list(shape),
        "data_type": data_type,
        "chunk_grid": regular_grid(chunks),
        "chunk_key_encoding": {"name": "default", "configuration": {"separator": "/"}},
        "fill_value": fill_value,
        "codecs": [serializer, *map(_codec, codecs.configs)],
        "dimension_names": list(dimensions),
        "storage_transformers": [],
    }


def _codec(config: dict[str, Any]) -> dict[str, Any]:
    configuration = {key: value for key, value in config.items() if key != "id"}
    name = _OWN.get(config["id"]) or f"numcodecs.{config['id']}"
    return {"name": name, "configuration": configuration}


def _bytes_codec(dtype: np.dtype[Any]) -> dict[str, Any]:
    if dtype.itemsize == 1 or (dtype.kind in "SV" and dtype.names is None):
        return {"name": "bytes"}
    return {"name": "bytes", "configuration": {"endian": "big" if dtype.str[0] == ">" else "little"}}


def _data_type(dtype: np.dtype[Any]) -> JSON:
    """Return a dtype's Zarr 3 name; byte order is the business of the `bytes` codec."""
    if dtype.names is not None:
        return _structured(dtype)
    match dtype.kind:
        case "S":
            return {"name": "null_terminated_bytes", "configuration": {"length_bytes": dtype.itemsize}}
        case "U":
            return {"name": "fixed_length_utf32", "configuration": {"length_bytes": dtype.itemsize}}
        case "V":
            return {"name": "raw_bytes", "configuration": {"length_bytes": dtype.itemsize}}
        case "M" | "m":
            unit, count = np.datetime_data(dtype)
            name = "numpy.datetime64" if dtype.kind == "M" else "numpy.timedelta64"
            return {"name": name, "configuration": {"unit": unit, "scale_factor": count}}
    return dtype.newbyteorder("=").name


def _structured(dtype: np.dtype[Any]) -> JSON:
    """Return the registered name. Readers that know only the older `structured` refuse it: they ignored byte order."""
    fields = [(name, dtype[name]) for name in dtype.names or ()]
    if any(member.str[0] == ">" for _, member in fields):
        raise Unsupported("big-endian members of a compound have no form in Zarr 3")
    described: list[JSON] = [{"name": name, "data_type": _data_type(member)} for name, member in fields]
    return {"name": "struct", "configuration": {"fields": described}}


_CORE = {"gzip": "gzip", "blosc": "blosc", "crc32c": "crc32c"}


def numcodecs_config(codec: Any) -> dict[str, Any]:
    """Return a codec of Zarr 3 as numcodecs has it.

    Raises
    ------
    Unsupported
        There is none like it, or it is not known here.
    """
    if not isinstance(codec, Mapping):
        codec = {"name": codec}
    name = str(codec.get("name"))
    settings = dict(codec.get("configuration") or {})
    if name in ("vlen-utf8", "vlen-bytes"):
        return {"id": name}
    if name.startswith("numcodecs."):
        return {"id": name.removeprefix("numcodecs."), **settings}
    if name in _OWN.values():
        return {"id": name.replace(".", "_"), **settings}
    if name == "zstd":
        return {"id": "zstd", "level": settings.get("level", 0), "checksum": settings.get("checksum", False)}
    if name in _CORE:
        return {"id": _CORE[name], **({"level": settings["level"]} if "level" in settings else {})}
    raise Unsupported(f"codec {name!r} is not known here")
