"""What the climate and forecast conventions, and xarray's reading of them, ask of attributes.

Contract: changes to the attributes of one variable that make `xarray.open_zarr` show what `xarray.open_dataset` shows
with its netCDF-4 engine, and notes where no attribute can.
"""

from __future__ import annotations

import re

import numpy as np

from refmaker.conventions.names import is_utf8
from refmaker.hdf5.values import is_bool
from refmaker.model import JSON, Attribute, Dataset, Enumeration, String

__all__ = ["adjust_attributes", "fill_attribute"]

_WIDER = (
    "a 32-bit float in the source; JSON numbers are of 64 bits, and so xarray's Zarr engine unpacks in 64 bits, not in "
    "32; engine='refmaker' does as its netCDF-4 engine"
)


def adjust_attributes(dataset: Dataset, attributes: dict[str, JSON], notes: list[str], *, committed: bool) -> None:
    """Bring a variable's encoded attributes in line with what xarray's netCDF-4 engine shows.

    Parameters
    ----------
    attributes, notes
        Changed in place.
    committed
        The datatype is a named one, as netCDF-4 writes enumerations: there xarray shows no `flag_values`.
    """
    datatype = dataset.datatype
    if isinstance(datatype, String) and datatype.size > 1:
        # netCDF-4 shows fixed-length strings of more than one byte as text; this makes xarray decode the bytes.
        attributes.setdefault("_Encoding", "utf-8")
    elif isinstance(datatype, Enumeration) and not committed and not is_bool(datatype):
        _add_flags(datatype, attributes, notes)
    if "least_significant_digit" in attributes:
        del attributes["least_significant_digit"]
        notes.append("least_significant_digit: left out, xarray takes it for encoding when it reads netCDF")
    packed = [name for name in ("scale_factor", "add_offset") if _is_single_float(dataset.attributes.get(name))]
    if packed:
        notes.append(f"{', '.join(packed)}: {_WIDER}")


def fill_attribute(dataset: Dataset) -> np.generic | bytes | None:
    """Return the value of a `_FillValue` attribute of one element, bytes for a string; None without one."""
    attribute = dataset.attributes.get("_FillValue")
    if attribute is None or attribute.value is None or attribute.value.size != 1:
        return None
    kind = attribute.value.dtype.kind
    if kind in "iufbc":
        value: np.generic = attribute.value.ravel()[0]
        return value
    if kind in "SO":
        item = attribute.value.item()
        return item if isinstance(item, bytes) else None
    return None


def _add_flags(datatype: Enumeration, attributes: dict[str, JSON], notes: list[str]) -> None:
    """Say the names of an enumeration as CF section 3.5 does; blanks separate, so that those in names become `_`."""
    if "flag_values" in attributes or "flag_meanings" in attributes:
        return
    unfit = next((name for name in datatype.names if not is_utf8(name)), None)
    if unfit is not None:
        notes.append(f"flag_values, flag_meanings: left out, the name {unfit!r} of the enumeration is not valid UTF-8")
        return
    flags = sorted(zip(datatype.values, datatype.names, strict=True))
    attributes["flag_values"] = [value for value, _ in flags]
    attributes["flag_meanings"] = " ".join(re.sub(r"\s", "_", name) for _, name in flags)


def _is_single_float(attribute: Attribute | None) -> bool:
    if attribute is None:
        return False
    return attribute.value is not None and attribute.value.dtype.kind == "f" and attribute.value.dtype.itemsize == 4
