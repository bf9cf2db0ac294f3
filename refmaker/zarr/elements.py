"""Elements of an array as its Zarr metadata describe them: their size, their fill value, the codecs behind them.

Contract: pure functions over JSON that may come from anywhere; None for what has no fixed-size uncompressed form (text
of any length, Python objects) or is not known here. Sources: Zarr v2 specification, "Data type encoding" and "Fill
value encoding"; Zarr v3 core, "Data types" and "Fill value", zarr-extensions.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from refmaker import limits
from refmaker.zarr.crop_config import CROP
from refmaker.zarr.data_types import numpy_dtype
from refmaker.zarr.metadata import ArrayMetadata

__all__ = ["Elements", "elements_of"]

_FLOATS = {"NaN": np.nan, "Infinity": np.inf, "-Infinity": -np.inf}
_MAX_ITEM = limits.ELEMENT_SIZE
_CODECS3 = {"gzip": "gzip", "zstd": "zstd", "blosc": "blosc", "refmaker.hdf5": "refmaker_hdf5"}


@dataclass(frozen=True, slots=True)
class Elements:
    """How chunks hold elements.

    Attributes
    ----------
    size
        Bytes of an element.
    fill
        Its bytes where there is no chunk.
    order
        "C" or "F": which index runs fastest in a stored chunk.
    codecs
        Bytes-to-bytes codecs, as numcodecs has them, in the order of encoding.
    """

    size: int
    fill: bytes
    order: str
    codecs: tuple[Mapping[str, Any], ...]


def elements_of(metadata: ArrayMetadata) -> Elements | None:
    """Read what the metadata of an array say of its elements; None for what is not known here."""
    try:
        dtype, codecs = numpy_dtype(metadata), _codecs(metadata)
        if dtype is None or dtype.hasobject or codecs is None:
            return None
        return _checked(dtype, metadata.fill_value, metadata.document.get("order", "C"), codecs)
    except (TypeError, ValueError, KeyError, OverflowError, AttributeError, binascii.Error, RecursionError):
        return None


def _codecs(metadata: ArrayMetadata) -> list[Any] | None:
    """Return the bytes-to-bytes codecs as numcodecs has them, None where there are others."""
    if metadata.zarr_format == 2:
        return metadata.codecs
    first, *rest = metadata.document["codecs"]
    if first["name"] not in ("bytes", CROP) or metadata.document.get("storage_transformers"):
        return None
    codecs = []
    for codec in rest:
        name: str = codec["name"]
        known = name.removeprefix("numcodecs.") if name.startswith("numcodecs.") else _CODECS3.get(name)
        if known is None:
            return None
        codecs.append({**codec.get("configuration", {}), "id": known})
    return codecs


def _checked(dtype: np.dtype[Any], fill: Any, order: str, codecs: list[Any]) -> Elements | None:
    if not 0 < dtype.itemsize <= _MAX_ITEM or not all(isinstance(codec, Mapping) for codec in codecs):
        return None
    if order not in ("C", "F"):
        return None
    return Elements(dtype.itemsize, _fill(dtype, fill), order, tuple(codecs))


def _fill(dtype: np.dtype[Any], value: Any) -> bytes:
    """Return the bytes of a fill value; raises `ValueError` or `TypeError` for none that the specifications have."""
    if value is None or (dtype.kind in "SV" and value == 0):
        return bytes(dtype.itemsize)
    if dtype.kind in "SVmM" and isinstance(value, str) and value != "NaT":
        data = base64.b64decode(value, validate=True)
        if len(data) > dtype.itemsize:
            raise ValueError("a fill value longer than the element")
        return data.ljust(dtype.itemsize, b"\0")
    if dtype.kind in "SV" and isinstance(value, list):
        return bytes(value).ljust(dtype.itemsize, b"\0")
    if dtype.kind in "mM":
        number = -(2**63) if value == "NaT" else int(value)
        return np.array(number, np.dtype("i8").newbyteorder(dtype.byteorder)).tobytes()
    if dtype.kind == "c":
        return np.array(complex(*[_number(part) for part in value]), dtype).tobytes()
    if dtype.kind == "f" and isinstance(value, str) and value.startswith("0x"):
        return np.asarray(int(value, 16), np.dtype(f"u{dtype.itemsize}").newbyteorder(dtype.byteorder)).tobytes()
    return np.array(_number(value) if dtype.kind == "f" else value, dtype).tobytes()


def _number(value: Any) -> float:
    return _FLOATS[value] if isinstance(value, str) else float(value)
