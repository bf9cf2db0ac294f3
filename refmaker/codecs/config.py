"""What the codec has to know of a dataset, and its form in Zarr metadata.

Contract: pure. `Plan` is checked: whoever has one may hand it to libhdf5. `plan_from_json` reads a configuration that
came with a manifest, hence from anywhere, so every count and size is bounded and every type is what it has to be;
anything else is a `ManifestError`.

    {"datatype": <Datatype message, base64>, "chunk_shape": [2, 3],
     "filters": [[<id>, <flags>, <name>, [<client data>]]], "dtype": "<i4"}
"""

from __future__ import annotations

import base64
import binascii
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from refmaker import limits
from refmaker.codecs.image import MAX_FILTERS, MAX_MESSAGE, MAX_RANK, encode_filter_pipeline
from refmaker.codecs.parameters import required_input
from refmaker.errors import ManifestError
from refmaker.model import Filter
from refmaker.zarr.dtype_json import AnyDtype, DtypeJson, dtype_to_json, parse_dtype

__all__ = ["Plan", "encode_config", "make_plan", "plan_from_json", "plan_to_json"]

MAX_CHUNK = limits.CODEC_CHUNK
"""libhdf5's own limit on the size of a chunk, in bytes."""
MAX_NAME = 1024
_WHAT = "HDF5 codec"
_KEYS = {"datatype", "chunk_shape", "filters", "dtype"}
_OPTIONAL = 1
_PREFIX = 8
_CLASSES = {0, 1, 3, 4, 5, 6, 8, 10, 11}
"""Classes of which some datatype has a dtype: not time, references, variable-length."""


@dataclass(frozen=True, slots=True)
class Plan:
    """How to decode the chunks of one dataset.

    Attributes
    ----------
    datatype : bytes
        Body of the Datatype message.
    chunk_shape : tuple of int
        Extents of a chunk as HDF5 has them, without those of an array datatype; () for a single element.
    filters : tuple of Filter
        The pipeline in the order of writing.
    dtype : numpy.dtype
        Of a decoded element.
    """

    datatype: bytes
    chunk_shape: tuple[int, ...]
    filters: tuple[Filter, ...]
    dtype: AnyDtype

    @property
    def element_size(self) -> int:
        """Bytes of an element as stored."""
        return int.from_bytes(self.datatype[4:8], "little")

    @property
    def stored_size(self) -> int:
        """Bytes of a chunk before the filters."""
        return math.prod(self.chunk_shape) * self.element_size

    @property
    def decoded_size(self) -> int:
        """Bytes of a decoded chunk."""
        return math.prod(self.chunk_shape) * self.dtype.itemsize


def make_plan(
    datatype_message: bytes,
    chunk_shape: Sequence[int],
    filters: Sequence[Filter],
    dtype: AnyDtype | DtypeJson,
) -> Plan:
    """Check what the arguments say together and give it as a `Plan`.

    Raises
    ------
    ManifestError
        For a value that libhdf5 must not see: class, rank, sizes or number of filters out of bounds.
    FormatError
        For client data that its filter must not see.
    """
    given = parse_dtype(dtype_to_json(dtype) if isinstance(dtype, np.dtype) else dtype)
    plan = Plan(bytes(datatype_message), tuple(map(int, chunk_shape)), tuple(filters), given)
    _check_datatype(plan.datatype)
    _check_shape(plan)
    _check_filters(plan.filters)
    for one in plan.filters:
        required_input(one, plan.stored_size)
    return plan


def encode_config(
    datatype_message: bytes,
    chunk_shape: Sequence[int],
    filters: Sequence[Filter],
    dtype: AnyDtype | DtypeJson,
) -> dict[str, Any]:
    """Return the configuration of the codec, without the name by which numcodecs ("id") or zarr ("name") finds it.

    Parameters
    ----------
    datatype_message
        Body of the Datatype message as stored.
    chunk_shape
        Extents of a chunk in the dataspace, without those of an array datatype.
    filters
        The pipeline; () to convert alone.
    dtype
        What an element becomes, as `refmaker.codecs.exact.widened` gives it.
    """
    return plan_to_json(make_plan(datatype_message, chunk_shape, filters, dtype))


def plan_to_json(plan: Plan) -> dict[str, Any]:
    """Return the configuration for a plan."""
    return {
        "datatype": base64.b64encode(plan.datatype).decode("ascii"),
        "chunk_shape": list(plan.chunk_shape),
        "filters": [[f.id, int(f.optional), f.name, list(f.client_data)] for f in plan.filters],
        "dtype": dtype_to_json(plan.dtype),
    }


def plan_from_json(config: Mapping[str, Any]) -> Plan:
    """Read a configuration."""
    if set(config) != _KEYS:
        raise _wrong("members", sorted(_KEYS), sorted(map(str, config)))
    shape, filters = config["chunk_shape"], config["filters"]
    if not _is_list(shape, MAX_RANK) or not all(_is_int(extent, MAX_CHUNK) for extent in shape):
        raise _wrong("chunk_shape", "a list of extents", shape)
    if not _is_list(filters, MAX_FILTERS):
        raise _wrong("filters", f"a list of < {MAX_FILTERS}", filters)
    return make_plan(_decode_base64(config["datatype"]), shape, [_filter(f) for f in filters], config["dtype"])


def _wrong(what: str, expected: object, got: object) -> ManifestError:
    return ManifestError(what, structure=_WHAT, expected=expected, got=repr(got)[:80])


def _is_int(value: object, largest: int) -> bool:
    return type(value) is int and 0 <= value <= largest


def _is_list(value: object, longest: int) -> bool:
    return isinstance(value, (list, tuple)) and len(value) <= longest


def _decode_base64(text: object) -> bytes:
    if not isinstance(text, str) or len(text) > 2 * MAX_MESSAGE:
        raise _wrong("datatype", "base64", text)
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:  # ValueError: not ASCII
        raise _wrong("datatype", "base64", text) from error


def _filter(value: object) -> Filter:
    if not isinstance(value, (list, tuple)) or len(value) != 4:
        raise _wrong("filter", "[id, flags, name, [client data]]", value)
    number, flags, name, client_data = value
    if not (_is_int(number, 0xFFFF) and _is_int(flags, 0xFFFF) and isinstance(name, str) and len(name) <= MAX_NAME):
        raise _wrong("filter", "[id, flags, name, [client data]]", value)
    if not _is_list(client_data, MAX_MESSAGE // 4) or not all(_is_int(v, 0xFFFFFFFF) for v in client_data):
        raise _wrong("client data of a filter", "32-bit integers", client_data)
    return Filter(number, name, bool(flags & _OPTIONAL), tuple(client_data))


def _check_datatype(message: bytes) -> None:
    if not _PREFIX <= len(message) <= MAX_MESSAGE:
        raise _wrong("length of the datatype message", f"{_PREFIX} to {MAX_MESSAGE} bytes", len(message))
    kind, version = message[0] & 15, message[0] >> 4
    if kind not in _CLASSES or not 1 <= version <= 5:
        raise _wrong("class and version of the datatype", "fixed-size values", (kind, version))


def _check_shape(plan: Plan) -> None:
    if len(plan.chunk_shape) > MAX_RANK or any(not 1 <= extent <= MAX_CHUNK for extent in plan.chunk_shape):
        raise _wrong("chunk_shape", f"at most {MAX_RANK} extents, none zero", plan.chunk_shape)
    for size in (plan.stored_size, plan.decoded_size):
        if not 1 <= size <= MAX_CHUNK:
            raise _wrong("size of a chunk", f"1 to {MAX_CHUNK} bytes", size)


def _check_filters(filters: Sequence[Filter]) -> None:
    # the checks of size that decoding adds need a place too
    if len(filters) > MAX_FILTERS // 2 - 1:
        raise _wrong("number of filters", f"< {MAX_FILTERS // 2}", len(filters))
    if any(not 1 <= f.id <= 0xFFFF or len(f.name) > MAX_NAME for f in filters):
        raise _wrong("filters", "ids 1 to 65535, short names", [(f.id, f.name[:80]) for f in filters])
    if len(encode_filter_pipeline(filters)) > MAX_MESSAGE - 64:
        raise _wrong("filters", "what fits into a message", f"{len(filters)} filters")
