"""Chunks to values and back.

Contract: `decoded` gives exactly what Zarr reads, missing chunks included, or raises `Unsupported` (a data type or a
codec not known here, an array too large to be held) or `FormatError` (bytes that do not decode to a chunk). Bytes are
decoded as replay decodes them, with every size bounded beforehand; of numcodecs' other codecs those that are named here
are called, and no other: manifests may come from anyone. `encoded` is the inverse. Sources: Zarr 2 specification; Zarr
3 core, with the data types and codecs that zarr-extensions and numcodecs register.
"""

from __future__ import annotations

import base64
import math
import struct
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from refmaker import limits
from refmaker.codecs.allowed import unknown_codecs
from refmaker.combining.encodings import ArrayEncoding
from refmaker.combining.reading import Chunks
from refmaker.errors import FormatError, RefmakerError, Unsupported
from refmaker.replay.decoding import pipeline, unpacked
from refmaker.zarr.data_types import numpy_dtype

__all__ = ["decoded", "dtype_of", "encoded", "fill_of", "is_text", "missing_of", "sameness"]

MOST = limits.COMBINED_VALUES
_FLOATS = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}
_TEXTS = ("vlen-utf8", "vlen-bytes")
_COMPRESSORS = ("zlib", "gzip", "bz2", "zstd", "lz4", "blosc")
_ELEMENTWISE = ("delta", "fixedscaleoffset", "astype", "packbits", "quantize", "bitround")
_CHECKSUMS = ("crc32", "crc32c", "adler32")
_WRITTEN = (
    *(*_TEXTS, *_ELEMENTWISE, *_CHECKSUMS),
    *("shuffle", "fletcher32", "zlib", "gzip", "bz2", "zstd", "lz4", "blosc"),
)

_MOST_TEXT = limits.COMBINED_TEXT
"""Bytes that a chunk of text may have decoded."""
_WIDER = 16
"""How many times its elements a chunk may take behind a filter that changes their data type."""


def dtype_of(form: ArrayEncoding) -> np.dtype[Any]:
    """Return the numpy dtype of decoded chunks, `object` for strings of any length."""
    try:
        dtype = numpy_dtype(form.metadata)
    except (TypeError, ValueError, KeyError, AttributeError, OverflowError, RecursionError) as error:
        raise Unsupported(f"data type {form.dtype_text} is not known here") from error
    if dtype is None or not dtype.itemsize or (dtype.hasobject and dtype != np.dtype(object)):
        raise Unsupported(f"data type {form.dtype_text} is not known here")
    if isinstance(form.metadata.data_type, Mapping) and dtype.kind != "S":
        raise Unsupported(f"values of data type {form.dtype_text} are not looked at")
    return dtype


def is_text(form: ArrayEncoding) -> bool:
    """Return whether elements are strings of any length."""
    return dtype_of(form) == np.dtype(object)


def fill_of(form: ArrayEncoding) -> Any:
    """Return what a missing chunk reads as."""
    dtype, value = dtype_of(form), form.fill_value
    if dtype == np.dtype(object):
        return "" if value in (None, 0) else value
    try:
        if value is None:
            return np.zeros((), dtype)[()]
        if dtype.kind in "SV":
            return np.frombuffer(base64.b64decode(value, validate=True).ljust(dtype.itemsize, b"\0"), dtype)[0]
        if dtype.kind == "c":
            real, imaginary = (float(_FLOATS.get(part, part) if isinstance(part, str) else part) for part in value)
            return np.array(complex(real, imaginary), dtype)[()]
        if dtype.kind in "mM":
            return np.array(value, "i8").view(dtype.newbyteorder("="))[()]
        return np.array(_FLOATS.get(value, value) if isinstance(value, str) else value, dtype)[()]
    except (TypeError, ValueError, OverflowError) as error:
        raise Unsupported(f"fill value {value!r} is not known here") from error


def missing_of(form: ArrayEncoding) -> Any:
    """Return the raw value that is masked."""
    value = form.attributes.get("_FillValue")
    if form.metadata.masks_fill_value:
        value = value if form.fill_value is None else form.fill_value
    elif isinstance(value, str) and dtype_of(form).kind == "f":
        value = _unpacked(value)  # as xarray has it in Zarr 3
    if value is None:
        return None
    value = _FLOATS.get(value, value) if isinstance(value, str) else value
    if not isinstance(value, int | float) and dtype_of(form).kind in "biufc":
        raise Unsupported(f"_FillValue {str(value)[:80]} is not understood")
    return value


def _unpacked(text: str) -> float:
    try:
        value: float = struct.unpack("<d", base64.b64decode(text, validate=True))[0]
    except (ValueError, struct.error) as error:
        raise Unsupported(f"_FillValue {text!r} is not understood") from error
    return value


def decoded(form: ArrayEncoding, shape: tuple[int, ...], chunks: Chunks) -> npt.NDArray[Any]:
    """Decode all chunks of an array and put them together.

    Parameters
    ----------
    chunks
        Every chunk that is there; the others hold the fill value.
    """
    if not form.regular:
        raise Unsupported("chunks of different lengths, whose values are not looked at")
    dtype, count = dtype_of(form), math.prod(form.chunks)
    if max(math.prod(shape), count) * dtype.itemsize > MOST:
        raise Unsupported(f"values of more than {MOST} bytes, which are not looked at", structure=f"shape {shape}")
    block_of = _decoder(form, dtype, count)
    grid = tuple(-(-extent // chunk) for extent, chunk in zip(shape, form.chunks, strict=True))
    whole = np.full(shape, fill_of(form), dtype) if len(chunks) < math.prod(grid) else np.empty(shape, dtype)
    order = form.metadata.order
    for cell, data in chunks.items():
        start = [int(i) * c for i, c in zip(np.unravel_index(cell, grid), form.chunks, strict=True)] if grid else []
        block = block_of(data).reshape(form.chunks, order=order)
        inside = tuple(slice(s, s + c) for s, c in zip(start, form.chunks, strict=True))
        place = whole[inside] if inside else whole
        place[...] = block[tuple(slice(extent) for extent in place.shape)]
    return whole


def _decoder(form: ArrayEncoding, dtype: np.dtype[Any], count: int) -> Callable[[bytes], npt.NDArray[Any]]:
    """Return what makes the elements of a chunk of its bytes."""
    configs = _configs(form)
    plain = pipeline(configs, count * dtype.itemsize) if dtype != np.dtype(object) else None
    if plain is not None:
        return lambda data: np.frombuffer(plain.decode(data), dtype)
    names = [str(config.get("id")) for config in configs]
    limit = _MOST_TEXT if dtype == np.dtype(object) else count * dtype.itemsize * _WIDER + 1024
    unknown = unknown_codecs({"filters": configs})
    if unknown:
        raise Unsupported(f"codec {unknown[0]!r} is not known here")
    codecs = {n: _codec(configs[n]) for n, name in enumerate(names) if name not in _COMPRESSORS}

    def block_of(data: bytes) -> npt.NDArray[Any]:
        value: Any = data
        for number in reversed(range(len(configs))):
            if number in codecs:
                value = _called(codecs[number], names[number], value, count)
            else:
                value = unpacked(configs[number], value, limit)
        return _elements(value, dtype, count)

    return block_of


def _called(codec: Any, name: str, value: Any, count: int) -> Any:
    """Call a codec of numcodecs."""
    if name in _TEXTS:
        # The codec allocates as many elements as the first bytes claim.
        claimed = int.from_bytes(bytes(value[:4]), "little")
        if claimed != count:
            raise FormatError(
                "wrong number of elements in a chunk", structure=f"codec {name}", expected=count, got=claimed
            )
    try:
        return codec.decode(value)
    except RefmakerError:
        raise
    except Exception as error:  # every codec raises errors of its own
        raise FormatError(f"cannot decode a chunk: {error}", structure=f"codec {name}") from error


def _elements(value: Any, dtype: np.dtype[Any], count: int) -> npt.NDArray[Any]:
    if dtype == np.dtype(object):
        block = np.asarray(value, object)
    else:
        raw = value if isinstance(value, bytes | bytearray | memoryview) else np.ascontiguousarray(value).tobytes()
        if len(raw) != count * dtype.itemsize:
            raise FormatError(
                "wrong size of a decoded chunk", structure="Zarr chunk", expected=count * dtype.itemsize, got=len(raw)
            )
        block = np.frombuffer(raw, dtype)
    if block.size != count:
        raise FormatError("wrong number of elements in a chunk", structure="Zarr chunk", expected=count, got=block.size)
    return block


def sameness(values: npt.NDArray[Any]) -> tuple[Any, ...]:
    """Return what is equal, and can be hashed, for equal values of a shape and data type, whatever their byte order."""
    if values.dtype.kind == "O":
        return values.shape, "O", tuple(_piece(value) for value in values.ravel().tolist())
    native = values.astype(values.dtype.newbyteorder("="), copy=False)
    return values.shape, native.dtype.str, np.ascontiguousarray(native).tobytes()


def _piece(value: Any) -> Any:
    return sameness(value) if isinstance(value, np.ndarray) else value


def encoded(form: ArrayEncoding, block: npt.NDArray[Any]) -> bytes:
    """Encode one whole chunk.

    Raises
    ------
    Unsupported
        A codec only decodes, or there is none for these metadata.
    """
    if form.metadata.order == "F":
        block = block.T
    configs = _configs(form)
    unwritten = [str(config.get("id")) for config in configs if config.get("id") not in _WRITTEN]
    if unwritten:
        raise Unsupported(f"chunks of this encoding can be read, not written: codec {unwritten[0]!r}")
    value: Any = np.ascontiguousarray(block) if is_text(form) else np.ascontiguousarray(block, dtype_of(form)).tobytes()
    for config in configs:
        value = _codec(config).encode(value)
    return bytes(value)


def _configs(form: ArrayEncoding) -> list[Mapping[str, Any]]:
    """Return the codecs as numcodecs has them, in the order in which they are applied when writing."""
    configs = form.metadata.numcodecs_configs()
    for config in configs:
        if not isinstance(config, Mapping):
            raise Unsupported(f"codec {config!r} is not known here")
    return configs


def _codec(config: Mapping[str, Any]) -> Any:
    import numcodecs

    try:
        return numcodecs.get_codec(dict(config))
    except (TypeError, ValueError, KeyError) as error:
        raise Unsupported(f"codec {config.get('id')!r} is not known here: {error}") from error
