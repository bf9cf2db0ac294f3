"""The numpy dtype of a Zarr array, from its metadata.

Contract: pure, over JSON that may come from anywhere: a name that is not known here is None or a `ValueError`, and no
name reaches numpy unchecked. Byte order is that of stored elements. Sources: Zarr v2 specification, "Data type
encoding"; Zarr v3 core, "Data types"; zarr-extensions, "data-types".
"""

from __future__ import annotations

import re
from typing import Any

import numpy as np

from refmaker.zarr.dtype_json import dtype_of_text
from refmaker.zarr.metadata import ArrayMetadata

__all__ = ["numpy_dtype"]

_NAMED = re.compile("bool|u?int(8|16|32|64)|float(16|32|64)|complex(64|128)")
_TIMES = {"numpy.datetime64": "M8", "numpy.timedelta64": "m8"}
_UNIT = re.compile("[a-zA-Zμ]{1,7}")


def numpy_dtype(metadata: ArrayMetadata) -> np.dtype[Any] | None:
    """Return the dtype of stored elements, `object` for strings of any length, None for what is not known here.

    Raises
    ------
    ValueError, TypeError, KeyError, OverflowError, AttributeError, RecursionError
        The name has none of the forms of the specifications.
    """
    data_type = metadata.data_type
    if metadata.zarr_format == 2:
        return _of_protocol(data_type)
    if data_type == "string":
        return np.dtype(object)
    found = _of_name(data_type)
    return None if found is None else found.newbyteorder(">" if metadata.endian == "big" else "<")


def _of_protocol(name: Any) -> np.dtype[Any]:
    """Return the dtype of a name of numpy's array protocol, as Zarr 2 has it; a list of fields when structured."""
    if not isinstance(name, list):
        return dtype_of_text(name)
    return np.dtype([(member, _of_protocol(inner), *map(tuple, shape)) for member, inner, *shape in name])


def _of_name(name: Any) -> np.dtype[Any] | None:
    """Return the dtype of a name of Zarr 3, in native byte order."""
    if isinstance(name, str):
        raw = re.fullmatch(r"r(\d{1,6})", name)
        if raw:
            return None if int(raw[1]) % 8 else np.dtype(f"V{int(raw[1]) // 8}")
        return np.dtype(name) if _NAMED.fullmatch(name) else None
    kind, settings = name["name"], name.get("configuration", {})
    if kind == "null_terminated_bytes":
        return np.dtype(f"S{int(settings['length_bytes'])}")
    if kind == "raw_bytes":
        return np.dtype(f"V{int(settings['length_bytes'])}")
    if kind in _TIMES:
        if not _UNIT.fullmatch(settings["unit"]):
            return None
        return np.dtype(f"{_TIMES[kind]}[{int(settings['scale_factor'])}{settings['unit']}]")
    if kind in ("structured", "struct"):
        return _struct(settings["fields"])
    return None


def _struct(fields: Any) -> np.dtype[Any] | None:
    """Return a structured dtype: fields as pairs (`structured`, which is not registered) or as objects (`struct`)."""
    members = []
    for field in fields:
        name, inner = (field["name"], field["data_type"]) if isinstance(field, dict) else field
        members.append((name, _of_name(inner)))
    return None if any(inner is None for _, inner in members) else np.dtype(members)
