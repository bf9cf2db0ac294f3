"""Chunks to values and back, by numcodecs.

Contract: `decoded` gives exactly what Zarr reads, missing chunks included, or raises `Unsupported` (a data type or a
codec not known here) or `FormatError` (bytes that do not decode to a chunk). `encoded` is its inverse. Sources: Zarr 2
specification; Zarr 3 core, with the data types and codecs that zarr-extensions and numcodecs register.
"""

from __future__ import annotations

import base64
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from refmaker import limits
from refmaker.codecs.allowed import unknown_codecs
from refmaker.codecs.dtype_json import dtype_of_text
from refmaker.combining.forms import Form
from refmaker.combining.reading import Chunks
from refmaker.errors import FormatError, RefmakerError, Unsupported
from refmaker.replay.decoding import pipeline, unpacked

__all__ = ["decoded", "dtype_of", "encoded", "fill_of", "is_text"]

MOST = limits.COMBINED_VALUES
_FLOATS = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}
_NUMBERS = ("bool", "int", "uint", "float", "complex")
_PLAIN3 = {"gzip": "gzip", "zstd": "zstd", "blosc": "blosc", "refmaker.hdf5": "refmaker_hdf5", "crc32c": "crc32c"}


def dtype_of(form: Form) -> np.dtype[Any]:
    """Give the numpy dtype of decoded chunks, `object` for strings of any length."""
    try:
        return _dtype2(form.metadata["dtype"]) if form.zarr_format == 2 else _dtype3(form)
    except (TypeError, ValueError, KeyError) as error:
        raise Unsupported(f"data type {form.dtype_text} is not known here") from error


def _dtype2(name: Any) -> np.dtype[Any]:
    if isinstance(name, str):
        return dtype_of_text(name)
    return np.dtype([(str(member), dtype_of_text(kind)) for member, kind in name])


def _dtype3(form: Form) -> np.dtype[Any]:
    name = form.metadata["data_type"]
    if name == "string":
        return np.dtype(object)
    if isinstance(name, str) and name.rstrip("0123456789") in _NUMBERS:
        return np.dtype(name).newbyteorder(">" if form.endian == "big" else "<")
    if isinstance(name, Mapping) and name["name"] == "null_terminated_bytes":
        return np.dtype(f"S{name['configuration']['length_bytes']}")
    raise ValueError(name)


def is_text(form: Form) -> bool:
    """Tell whether elements are strings of any length."""
    return dtype_of(form) == np.dtype(object)


def fill_of(form: Form) -> Any:
    """Give what a missing chunk reads as."""
    dtype, value = dtype_of(form), form.fill_value
    if dtype == np.dtype(object):
        return "" if value in (None, 0) else value
    try:
        if value is None:
            return np.zeros((), dtype)[()]
        if dtype.kind in "SV":
            return np.frombuffer(base64.b64decode(value, validate=True).ljust(dtype.itemsize, b"\0"), dtype)[0]
        if dtype.kind == "c":
            real, imaginary = (_FLOATS.get(part, part) for part in value)
            return np.array(complex(real, imaginary), dtype)[()]
        if dtype.kind in "mM":
            return np.array(value, "i8").view(dtype.newbyteorder("="))[()]
        return np.array(_FLOATS.get(value, value) if isinstance(value, str) else value, dtype)[()]
    except (TypeError, ValueError, OverflowError) as error:
        raise Unsupported(f"fill value {value!r} is not known here") from error


def decoded(form: Form, shape: tuple[int, ...], chunks: Chunks) -> npt.NDArray[Any]:
    """Decode all chunks of an array and put them together.

    Parameters
    ----------
    chunks
        Every chunk that is there; the others hold the fill value.
    """
    dtype, codecs = dtype_of(form), _codecs(form)
    if math.prod(shape) * dtype.itemsize > MOST or math.prod(form.chunks) * dtype.itemsize > MOST:
        raise Unsupported(f"more values than are looked at: {shape}, more than {MOST} bytes")
    grid = tuple(-(-extent // chunk) for extent, chunk in zip(shape, form.chunks, strict=True))
    whole = np.full(shape, fill_of(form), dtype) if len(chunks) < math.prod(grid) else np.empty(shape, dtype)
    decode = _decoder(codecs, dtype, math.prod(form.chunks))
    order: Literal["C", "F"] = "F" if form.metadata.get("order") == "F" else "C"
    for cell, data in chunks.items():
        start = [int(i) * c for i, c in zip(np.unravel_index(cell, grid), form.chunks, strict=True)] if grid else []
        block = decode(data).reshape(form.chunks, order=order)
        inside = tuple(slice(s, s + c) for s, c in zip(start, form.chunks, strict=True))
        place = whole[inside]
        place[...] = block[tuple(slice(extent) for extent in place.shape)]
    return whole


def _decoder(codecs: Sequence[Any], dtype: np.dtype[Any], count: int) -> Callable[[bytes], npt.NDArray[Any]]:
    """Give what decodes a chunk, in no more memory than the chunk can have where its codecs let that be known."""
    known = None if dtype == np.dtype(object) else pipeline([c.get_config() for c in codecs], count * dtype.itemsize)
    if known is None:
        return lambda data: _block(data, codecs, dtype, count)
    return lambda data: np.frombuffer(known.decode(data), dtype)


def _block(data: bytes, codecs: Sequence[Any], dtype: np.dtype[Any], count: int) -> npt.NDArray[Any]:
    value: Any = data
    for codec in reversed(codecs):
        try:
            plain = unpacked(codec.get_config(), value, MOST) if isinstance(value, bytes) else None
            value = codec.decode(value) if plain is None else plain
        except RefmakerError:
            raise
        except Exception as error:  # every codec raises errors of its own
            raise FormatError(f"a chunk does not decode: {error}", structure=f"codec {codec.codec_id}") from error
    if dtype == np.dtype(object):
        block = np.asarray(value, object)
    else:
        raw = value if isinstance(value, bytes | bytearray | memoryview) else np.ascontiguousarray(value).tobytes()
        if len(raw) != count * dtype.itemsize:
            raise FormatError("size of a chunk", structure="Zarr chunk", expected=count * dtype.itemsize, got=len(raw))
        block = np.frombuffer(raw, dtype)
    if block.size != count:
        raise FormatError("elements of a chunk", structure="Zarr chunk", expected=count, got=block.size)
    return block


def encoded(form: Form, block: npt.NDArray[Any]) -> bytes:
    """Encode one whole chunk.

    Raises
    ------
    Unsupported
        A codec only decodes, or there is none for these metadata.
    """
    if form.metadata.get("order") == "F":
        block = block.T
    codecs = _codecs(form)
    if any(codec.codec_id in ("refmaker_hdf5", "refmaker_sequences") for codec in codecs):
        raise Unsupported("chunks of this encoding can be read, not written")
    value: Any = np.ascontiguousarray(block) if is_text(form) else np.ascontiguousarray(block, dtype_of(form)).tobytes()
    for codec in codecs:
        value = codec.encode(value)
    return bytes(value)


def _codecs(form: Form) -> list[Any]:
    """Give the codecs, in the order in which they are applied when writing."""
    import numcodecs

    made = []
    for config in form.codecs:
        plain = config if form.zarr_format == 2 else _plain(config)
        if unknown_codecs({"filters": [plain]}):
            raise Unsupported(f"codec {plain.get('id')!r} is not known here")
        try:
            made.append(numcodecs.get_codec(dict(plain)))
        except (TypeError, ValueError, KeyError) as error:
            raise Unsupported(f"codec {plain.get('id')!r} is not known here: {error}") from error
    return made


def _plain(config: Any) -> dict[str, Any]:
    """Give a codec of Zarr 3 as numcodecs has it."""
    if not isinstance(config, Mapping):
        config = {"name": config}
    name = str(config.get("name"))
    settings = dict(config.get("configuration") or {})
    if name == "vlen-utf8":
        return {"id": "vlen-utf8"}
    if name.startswith("numcodecs."):
        return {"id": name.removeprefix("numcodecs."), **settings}
    if name == "refmaker.hdf5":
        return {"id": "refmaker_hdf5", **settings}
    if name == "zstd":
        return {"id": "zstd", "level": settings.get("level", 0), "checksum": settings.get("checksum", False)}
    if name in _PLAIN3:
        return {"id": _PLAIN3[name], **({"level": settings["level"]} if "level" in settings else {})}
    raise Unsupported(f"codec {name!r} is not known here")
