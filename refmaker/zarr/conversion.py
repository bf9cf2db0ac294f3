"""Metadata of an array in the other Zarr format, of the same chunks.

Contract: an array is converted only if the result says exactly the same: the values that Zarr reads, and what xarray
masks (in Zarr 2 it takes `fill_value` for that, in Zarr 3 the attribute `_FillValue` in an encoding of its own). Any
other array is refused by name. Exactness is by construction: what is not made again from what was understood of it,
was not understood. Sources: Zarr v2 specification; Zarr v3 core; `xarray.backends.zarr`.
"""

from __future__ import annotations

import base64
import binascii
import math
from collections.abc import Mapping
from typing import Any, Literal

import numpy as np

from refmaker.errors import Unsupported
from refmaker.zarr import v2, v3
from refmaker.zarr.codec_list import Codecs
from refmaker.zarr.dtype_json import dtype_of_text
from refmaker.zarr.fill_values import encode_fill, is_plain, xarray_fill, xarray_unfill
from refmaker.zarr.metadata import ArrayMetadata, ZarrFormat
from refmaker.zarr.zarr_dtype import ZarrDtype

__all__ = ["convert_metadata"]

_BYTES_TO_BYTES = frozenset(
    {
        "adler32", "blosc", "bz2", "crc32", "crc32c", "fletcher32", "gzip", "jenkins_lookup3", "lz4", "lzma",
        "refmaker_b2nd", "refmaker_hdf5", "shuffle", "zlib", "zstd",
    }
)  # fmt: skip
"""Codecs of numcodecs that take bytes for bytes: in Zarr 3 they keep their place behind the `bytes` codec."""

_KEYS_2 = frozenset(
    {
        "zarr_format", "shape", "chunks", "dtype", "compressor", "fill_value", "order", "filters",
        "dimension_separator",
    }
)  # fmt: skip
_MASKED = "iufcb"
"""Kinds of dtypes that xarray masks in Zarr 3."""
_DIMENSIONS = "_ARRAY_DIMENSIONS"
_FILL = "_FillValue"


def convert_metadata(
    metadata: ArrayMetadata, attributes: Mapping[str, Any], zarr_format: ZarrFormat, *, complete: bool
) -> tuple[ArrayMetadata, dict[str, Any]]:
    """Return metadata and attributes of an array in another Zarr format.

    Parameters
    ----------
    complete
        No chunk of the array is missing.

    Raises
    ------
    Unsupported, ManifestError
        The array has no exact form in that format.
    """
    if metadata.zarr_format == zarr_format:
        return metadata, dict(attributes)
    return (_to_v3 if zarr_format == 3 else _to_v2)(metadata.document, dict(attributes), complete)


def _to_v3(
    metadata: Mapping[str, Any], attributes: dict[str, Any], complete: bool
) -> tuple[ArrayMetadata, dict[str, Any]]:
    unknown = metadata.keys() - _KEYS_2
    if unknown:
        raise Unsupported(f"unknown members {sorted(unknown)} of its metadata")
    shape, chunks = tuple(metadata["shape"]), tuple(metadata["chunks"])
    if metadata.get("order", "C") != "C" and len(shape) > 1:
        raise Unsupported("elements in the order of Fortran")
    configs = [*(metadata.get("filters") or []), metadata.get("compressor")]
    configs = [config for config in configs if config is not None]
    dtype = _dtype_2(metadata.get("dtype"), configs)
    if dtype.text:
        configs = configs[1:]
    for config in configs:
        if not isinstance(config, Mapping) or config.get("id") not in _BYTES_TO_BYTES:
            raise Unsupported(f"the codec {_codec_name(config, 'id')}")
    dimensions = attributes.pop(_DIMENSIONS, None)
    fill_value = _fill_3(metadata.get("fill_value"), dtype, attributes, complete=complete)
    names = tuple(_names(dimensions, len(shape))) if dimensions is not None else ()
    made = v3.array_metadata(shape, chunks, dtype, Codecs(tuple(configs)), fill_value, names)
    if dimensions is None:
        del made["dimension_names"]
    return ArrayMetadata.from_json(made), attributes


def _to_v2(
    metadata: Mapping[str, Any], attributes: dict[str, Any], complete: bool
) -> tuple[ArrayMetadata, dict[str, Any]]:
    if metadata["chunk_grid"].get("name") != "regular":
        raise Unsupported("chunks of different lengths along an axis, which Zarr 2 does not have")
    codecs = metadata.get("codecs")
    if not isinstance(codecs, list) or not codecs or not all(isinstance(codec, Mapping) for codec in codecs):
        raise Unsupported("codecs that are no list of objects")
    codecs = [codecs[0], *map(_by_numcodecs, codecs[1:])]
    metadata = {**metadata, "codecs": codecs}
    dtype = _dtype_3(metadata.get("data_type"), codecs[0])
    configs = tuple(map(_config, codecs[1:]))
    shape = tuple(metadata["shape"])
    chunks = tuple(metadata["chunk_grid"]["configuration"]["chunk_shape"])
    names = metadata.get("dimension_names")
    dimensions = None if names is None else _names(names, len(shape))
    again = v3.array_metadata(
        shape, chunks, dtype, Codecs(configs), metadata.get("fill_value"), tuple(dimensions or ())
    )
    _require_same(metadata, again)
    if dimensions is not None:
        if _DIMENSIONS in attributes:
            raise Unsupported(f"an attribute {_DIMENSIONS} beside names of dimensions")
        attributes[_DIMENSIONS] = dimensions
    fill_value = _fill_2(metadata.get("fill_value"), dtype, attributes, complete=complete)
    made = v2.array_metadata(shape, chunks, dtype, Codecs(configs), fill_value)
    return ArrayMetadata.from_json(made), attributes


def _require_same(metadata: Mapping[str, Any], again: Mapping[str, Any]) -> None:
    """Make sure that metadata say what was understood of them, and nothing else."""
    for name in metadata.keys() | again.keys():
        if name in ("attributes", "chunk_key_encoding", "dimension_names", "chunk_grid"):
            continue  # looked at where they are read
        if _plain(metadata.get(name) or []) != _plain(again.get(name) or []):
            raise Unsupported(f"its {name} {str(metadata.get(name))[:100]}")


def _plain(value: Any) -> Any:
    """Leave out what says nothing: configurations without content."""
    if isinstance(value, Mapping):
        return {name: _plain(item) for name, item in value.items() if not (name == "configuration" and not item)}
    return [_plain(item) for item in value] if isinstance(value, list | tuple) else value


def _names(names: object, rank: int) -> list[str]:
    if not isinstance(names, list) or len(names) != rank or not all(isinstance(name, str) for name in names):
        raise Unsupported("names of dimensions that are not one text for each")
    return names


def _codec_name(codec: object, key: str) -> str:
    return repr(codec.get(key))[:60] if isinstance(codec, Mapping) else repr(codec)[:60]


def _config(codec: Mapping[str, Any]) -> dict[str, Any]:
    """Return the configuration of numcodecs that a codec of Zarr 3 stands for."""
    name, configuration = codec.get("name"), codec.get("configuration", {})
    own = {"refmaker.hdf5": "refmaker_hdf5", "refmaker.b2nd": "refmaker_b2nd"}
    known = own.get(str(name)) or str(name).removeprefix("numcodecs.")
    if known not in _BYTES_TO_BYTES or known == name or not isinstance(configuration, Mapping):
        raise Unsupported(f"the codec {_codec_name(codec, 'name')}")
    return {"id": known, **configuration}


_SHUFFLES = {"noshuffle": 0, "shuffle": 1, "bitshuffle": 2}


def _by_numcodecs(codec: Any) -> Any:
    """Return a core codec of Zarr 3 as the codec of numcodecs that decodes what it writes; any other as it is."""
    settings = codec.get("configuration") or {}
    if not isinstance(settings, Mapping):
        return codec
    match codec.get("name"):
        case "gzip":
            own = {"level": settings.get("level", 5)}
        case "zstd":
            own = {"level": settings.get("level", 0), "checksum": bool(settings.get("checksum", False))}
        case "crc32c":
            own = {"location": "end"}
        case "blosc" if settings.get("shuffle") in _SHUFFLES:
            own = {name: settings.get(name) for name in ("cname", "clevel", "blocksize")}
            own["shuffle"] = _SHUFFLES[settings["shuffle"]]
        case _:
            return codec
    return {"name": f"numcodecs.{codec['name']}", "configuration": own}


def _dtype_2(dtype: object, configs: list[Any]) -> ZarrDtype:
    if dtype == "|O" and configs and configs[0] == {"id": "vlen-utf8"}:
        return ZarrDtype(np.dtype(object), text=True)
    if dtype == "|O" and configs and configs[0] == {"id": "vlen-bytes"}:
        return ZarrDtype(np.dtype(object), text=True, raw=True)
    try:
        if isinstance(dtype, list):
            members = [(str(name), dtype_of_text(kind)) for name, kind in dtype]
            found = np.dtype(members)
        else:
            found = dtype_of_text(dtype)
    except (TypeError, ValueError) as error:
        raise Unsupported(f"the dtype {str(dtype)[:60]}") from error
    if v2.dtype_name(found) != dtype or found.kind not in "biufcSVmM" or not found.itemsize:
        raise Unsupported(f"the dtype {str(dtype)[:60]}")
    return ZarrDtype(found)


def _dtype_3(data_type: object, serializer: Mapping[str, Any]) -> ZarrDtype:
    if data_type == "string":
        return ZarrDtype(np.dtype(object), text=True)
    if data_type == "bytes":
        return ZarrDtype(np.dtype(object), text=True, raw=True)
    settings = serializer.get("configuration") or {}
    big = isinstance(settings, Mapping) and settings.get("endian") == "big"
    order: Literal["<", ">"] = ">" if big else "<"
    return ZarrDtype(_element(data_type, order))


def _element(data_type: object, order: Literal["<", ">"]) -> np.dtype[Any]:
    refused = Unsupported(f"the data type {str(data_type)[:60]}")
    try:
        if isinstance(data_type, str):
            found = dtype_of_text(data_type)
            if found.kind not in "biufc" or found.name != data_type:
                raise refused
            return found.newbyteorder(order)
        if not isinstance(data_type, Mapping) or not isinstance(data_type.get("configuration"), Mapping):
            raise refused
        settings = data_type["configuration"]
        match data_type.get("name"):
            case "null_terminated_bytes":
                return np.dtype(f"S{int(settings['length_bytes'])}")
            case "fixed_length_utf32":
                return np.dtype(f"{order}U{int(settings['length_bytes']) // 4}")
            case "raw_bytes":
                return np.dtype(f"V{int(settings['length_bytes'])}")
            case "numpy.datetime64" | "numpy.timedelta64" as name:
                kind = "M8" if name == "numpy.datetime64" else "m8"
                return np.dtype(f"{order}{kind}[{int(settings['scale_factor'])}{settings['unit']}]")
            case "structured":
                return np.dtype([(str(name), _element(member, "<")) for name, member in settings["fields"]])
            case "struct":
                return np.dtype([(str(one["name"]), _element(one["data_type"], "<")) for one in settings["fields"]])
    except (TypeError, ValueError, KeyError, RecursionError) as error:
        raise refused from error
    raise refused


# Fill values


def _fill_3(stated: Any, dtype: ZarrDtype, attributes: dict[str, Any], *, complete: bool) -> Any:
    """Return the fill value for Zarr 3, and put what xarray masks into the attributes as it wants it there."""
    if stated is None:
        if not complete:
            raise Unsupported("missing chunks and no fill value")
        value = "" if dtype.text else encode_fill(np.zeros(1, dtype.dtype)[0], dtype.dtype)
        masked = attributes.get(_FILL)
        if masked is not None and not dtype.text:
            attributes[_FILL] = _masked_3(_decoded(masked, dtype.dtype), dtype.dtype, masked)
        return value
    if dtype.text:
        if stated != "" or _FILL in attributes:
            raise Unsupported(f"the fill value {stated!r} of text")
        if not complete:
            raise Unsupported("missing chunks of text, which xarray masks in Zarr 2 and not in Zarr 3")
        return ""
    element = _decoded(stated, dtype.dtype)
    attributes[_FILL] = _masked_3(element, dtype.dtype, stated)
    return encode_fill(element, dtype.dtype)


def _masked_3(element: np.generic, dtype: np.dtype[Any], stated: object) -> Any:
    if dtype.kind not in _MASKED:
        raise Unsupported(f"{stated!r} is masked in Zarr 2, and cannot be in Zarr 3 for this dtype")
    return xarray_fill(element)


def _fill_2(stated: Any, dtype: ZarrDtype, attributes: dict[str, Any], *, complete: bool) -> Any:
    """Return the fill value for Zarr 2, and put what xarray masks where it is looked for."""
    coded = attributes.pop(_FILL, None)
    if dtype.text:
        if coded is not None or not complete:
            raise Unsupported("missing chunks or a mask of text, for which Zarr 2 has no equal")
        return None
    masked = None if coded is None else _masked_2(coded, dtype.dtype)
    if not complete:
        element = _decoded(stated, dtype.dtype)
        harmless = masked is None and element.dtype.kind == "f" and bool(np.isnan(element))
        if not harmless and (masked is None or not _same(element, masked)):
            raise Unsupported("missing chunks read as a value that is not masked: in Zarr 2, readers would mask it")
        if masked is not None and is_plain(masked):
            attributes[_FILL] = masked.item()
        return encode_fill(element, dtype.dtype)
    if masked is None:
        return None
    if is_plain(masked):
        attributes[_FILL] = masked.item()
        return None
    return encode_fill(masked, dtype.dtype)


def _masked_2(coded: Any, dtype: np.dtype[Any]) -> np.generic:
    if dtype.kind not in _MASKED:
        raise Unsupported(f"the attribute _FillValue {str(coded)[:60]} of this dtype")
    try:
        found = xarray_unfill(coded, dtype)
    except (TypeError, ValueError, binascii.Error, OverflowError) as error:
        raise Unsupported(f"the attribute _FillValue {str(coded)[:60]}") from error
    if xarray_fill(found) != coded and not (found != found):
        raise Unsupported(f"the attribute _FillValue {str(coded)[:60]}, which is no element of the array")
    return found


def _same(a: np.generic, b: np.generic) -> bool:
    if a.dtype.kind in "fc" and a != a and b != b:
        return True
    return a.tobytes() == b.tobytes()


def _decoded(stated: Any, dtype: np.dtype[Any]) -> np.generic:
    """Read a fill value of Zarr 2 or Zarr 3; one that is not exactly an element is refused."""
    refused = Unsupported(f"the fill value {str(stated)[:60]}")
    try:
        with np.errstate(all="ignore"):
            found = _as_element(stated, dtype)
    except (TypeError, ValueError, OverflowError, binascii.Error) as error:
        raise refused from error
    again = encode_fill(found, dtype)
    if dtype.kind in "biu":
        if type(stated) not in (bool, int, float) or again != stated:
            raise refused
    elif dtype.kind == "f" and isinstance(stated, int | float):
        if isinstance(stated, bool) or float(stated) != again:
            raise refused
    elif dtype.kind in "SV":
        if base64.b64decode(str(again)).rstrip(b"\0") != base64.b64decode(stated, validate=True).rstrip(b"\0"):
            raise refused
    elif dtype.kind != "c" and again != stated:
        raise refused
    return found


_WORDS = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}


def _as_element(stated: Any, dtype: np.dtype[Any]) -> np.generic:
    if dtype.kind in "SV":
        data = base64.b64decode(stated, validate=True)
        if len(data) > dtype.itemsize:
            raise ValueError("too long")
        value: Any = np.frombuffer(data.ljust(dtype.itemsize, b"\0"), dtype)
    elif dtype.kind in "mM":
        value = np.array([stated], dtype.str[0] + "i8").view(dtype)
    elif dtype.kind == "c":
        real, imaginary = (_WORDS[part] if isinstance(part, str) else float(part) for part in stated)
        value = np.array([complex(real, imaginary)], dtype)
        if value[0] == value[0] and complex(value[0]) != complex(real, imaginary):
            raise ValueError("not exact")
    else:
        value = np.array([_WORDS.get(stated, stated) if isinstance(stated, str) else stated]).astype(dtype)
    element: np.generic = value[0]
    return element
