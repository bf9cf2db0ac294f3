"""Attributes as strict JSON, in the values that netCDF4-python hands to xarray.

Contract: what is written compares equal (`xarray.core.utils.equivalent`) to what `xarray.open_dataset` shows with its
netCDF-4 engine, as far as JSON goes. What JSON cannot say is written otherwise with a note, or not at all with a note;
nothing is dropped silently.

- One element is a scalar, more are a list; strings of any rank are a flat list. In HDF5 that is not netCDF-4 an array
  of one element stays a list. An empty attribute is `[]`, or `""` for
  a fixed-length string.
- A fixed-length scalar string loses its NULs; an element of a string array ends at the first NUL. Bytes that are not
  UTF-8 become U+FFFD, as in netCDF4-python.
- NaN becomes null, which xarray takes for NaN when it compares and for "no value" when it decodes `missing_value`.
  Infinity becomes a string. Neither has a number in JSON (RFC 8259, section 6).
- Object references become paths.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from refmaker import limits
from refmaker.codecs.exact import widened
from refmaker.conventions.names import escaped, is_utf8
from refmaker.errors import Unsupported
from refmaker.model import (
    JSON,
    Attribute,
    Datatype,
    FixedPoint,
    FloatingPoint,
    ObjectReference,
    RegionReference,
    String,
)

__all__ = ["RESERVED", "attribute_type", "encode_attribute"]

# Names that netCDF-C keeps for itself on every object (libhdf5/hdf5file.c, NC_reserved), whatever their value.
RESERVED = frozenset(
    {
        "CLASS",
        "DIMENSION_LIST",
        "NAME",
        "REFERENCE_LIST",
        "_ARRAY_DIMENSIONS",
        "_Codecs",
        "_Format",
        "_IsNetcdf4",
        "_NCProperties",
        "_Netcdf4Coordinates",
        "_Netcdf4Dimid",
        "_SuperblockVersion",
        "_nc3_strict",
        "_nczarr_array",
        "_nczarr_attr",
        "_nczarr_group",
        "_nczarr_superblock",
    }
)

# xarray computes with these: a null would be taken for "absent", a string makes it fail.
_OPERANDS = frozenset({"scale_factor", "add_offset"})

# What conventions say of one value: xarray decodes by these, and would fail over a list.
_SINGLE = frozenset(
    {
        "_Encoding",
        "_FillValue",
        "_Unsigned",
        "add_offset",
        "axis",
        "bounds",
        "calendar",
        "cell_measures",
        "climatology",
        "coordinates",
        "dtype",
        "formula_terms",
        "grid_mapping",
        "long_name",
        "missing_value",
        "scale_factor",
        "standard_name",
        "units",
    }
)

PathOf = Callable[[int], str | None]


def attribute_type(attribute: Attribute) -> str | None:
    """Return the numpy type of an attribute's numbers; None where JSON tells it, or there are no numbers."""
    value = attribute.value
    if value is None:
        return _type_of_nothing(attribute.datatype)
    if value.dtype.kind not in "iuf" or isinstance(attribute.datatype, ObjectReference):
        return None
    name = f"{value.dtype.kind}{value.dtype.itemsize}"
    told = name == "i8" or (name == "f8" and bool(np.isfinite(value).all()))
    return None if (told and value.size) or value.dtype.itemsize > 8 else name


def _type_of_nothing(datatype: Datatype) -> str | None:
    """Return the type of an attribute of numbers that has none: netCDF-4 shows an empty array of it."""
    if not isinstance(datatype, FixedPoint | FloatingPoint):
        return None
    try:
        dtype = widened(datatype)
    except Unsupported:
        return None
    return f"{dtype.kind}{dtype.itemsize}"


def encode_attribute(attribute: Attribute, path_of: PathOf, *, arrays: bool = False) -> tuple[JSON, str | None]:
    """Return an attribute's value as JSON, and a note where that is not the whole truth.

    Parameters
    ----------
    attribute
        With its value decoded.
    path_of
        Gives the path of the object at a header address, None where there is none.
    arrays
        An array of one element is a list, unless conventions have one value there. To netCDF-4 it is a scalar.

    Raises
    ------
    Unsupported
        JSON has no form for the value, or it is too large.
    """
    value = attribute.value
    if arrays and value is not None and value.ndim and value.size == 1 and attribute.name not in _SINGLE:
        encoded, note = encode_attribute(attribute, path_of)
        for _ in range(value.ndim if value.dtype.kind in "iufb" else 1):
            encoded = [encoded]
        return encoded, note
    if value is None:
        return ("" if isinstance(attribute.datatype, String) else []), None
    if value.nbytes > limits.ATTRIBUTE:
        raise Unsupported("an attribute of so many values", expected=f"<= {limits.ATTRIBUTE} bytes", got=value.nbytes)
    kind = value.dtype.kind
    if kind == "S":
        return _fixed_strings(value)
    if kind == "O":
        return _variable_length(value, path_of, attribute)
    if kind in "iu":
        if isinstance(attribute.datatype, ObjectReference):
            return _references(value, path_of)
        return (value.item() if value.size == 1 else value.tolist()), None
    if kind == "f":
        return _floats(value, attribute.name)
    if kind == "b":
        return (value.item() if value.size == 1 else value.tolist()), None
    if kind == "M":
        return _plain(value.view("i8"), attribute.name)
    if isinstance(attribute.datatype, RegionReference):
        raise Unsupported("a region reference has no JSON form")
    raise Unsupported(_NO_FORM.get(kind, f"a value of type {value.dtype} has no JSON form"))


_NO_FORM = {"V": "a compound or opaque value has no JSON form", "c": "a complex value has no JSON form"}


def _plain(value: np.ndarray, name: str) -> tuple[JSON, str | None]:
    """Encode an array of integers, booleans or floats."""
    if value.dtype.kind == "f":
        return _floats(value, name)
    return (value.item() if value.size == 1 else value.tolist()), None


def _floats(value: np.ndarray, name: str) -> tuple[JSON, str | None]:
    wide = value if value.dtype.itemsize <= 8 else value.astype("f8")
    if wide.size == 1:
        number = wide.item()
        if math.isfinite(number):
            return number, None
        return _not_finite(number, name)
    if np.isfinite(wide).all():
        return wide.tolist(), None
    encoded = [_not_finite(x, name) if not math.isfinite(x) else (x, None) for x in wide.ravel().tolist()]
    notes = [note for _, note in encoded if note is not None]
    flat = np.empty(wide.size, object)
    flat[:] = [x for x, _ in encoded]
    return flat.reshape(wide.shape).tolist(), (notes[0] if notes else None)


def _not_finite(number: float, name: str) -> tuple[JSON, str | None]:
    if not math.isnan(number):
        text = "Infinity" if number > 0 else "-Infinity"
        return text, f"{name}: infinity is written as the string {text!r}, JSON has no number for it"
    if name in _OPERANDS:
        return "NaN", f"{name}: NaN is written as the string 'NaN', JSON has no number for it"
    return None, None


def _fixed_strings(value: np.ndarray) -> tuple[JSON, str | None]:
    if value.ndim == 0:
        raw = value.item()
        if b"\0" not in raw:
            return _decode(raw)
        text, note = _decode(raw.replace(b"\0", b""))
        return text, note or "characters behind a NUL are shown, as netCDF-4 shows them"
    return _flat([_decode(x.partition(b"\0")[0]) for x in value.ravel().tolist()])


def _variable_length(value: np.ndarray, path_of: PathOf, attribute: Attribute) -> tuple[JSON, str | None]:
    if value.size == 1:
        item = value.item()
        if isinstance(item, bytes):
            return _decode(item.partition(b"\0")[0] if b"\0" in item else item)
    items = value.ravel().tolist()
    if all(x is None or isinstance(x, bytes) for x in items):
        return _flat([_decode((x or b"").partition(b"\0")[0]) for x in items])
    base = getattr(attribute.datatype, "base", None)
    encoded = [_sequence(x, path_of, attribute.name, isinstance(base, ObjectReference)) for x in items]
    notes = [note for _, note in encoded if note is not None]
    rows = [row for row, _ in encoded]
    return (rows[0] if len(rows) == 1 else rows), (notes[0] if notes else None)


def _sequence(x: object, path_of: PathOf, name: str, references: bool) -> tuple[JSON, str | None]:
    if not isinstance(x, np.ndarray) or x.dtype.kind not in "iufbO":
        raise Unsupported("a variable-length value of this type has no JSON form")
    if x.dtype.kind == "O":
        if not all(y is None or isinstance(y, bytes) for y in x.ravel().tolist()):
            raise Unsupported("a nested variable-length value has no JSON form")
        texts = [_decode((y or b"").partition(b"\0")[0]) for y in x.ravel().tolist()]
        return [text for text, _ in texts], next((note for _, note in texts if note), None)
    encoded, note = _references(x, path_of) if references else _plain(x, name)
    return (encoded if isinstance(encoded, list) else [encoded]), note


def _references(value: np.ndarray, path_of: PathOf) -> tuple[JSON, str | None]:
    paths = [path_of(int(address)) for address in value.ravel().tolist()]
    note = "a reference that points to no object of the file is written as ''" if None in paths else None
    if not all(is_utf8(path or "") for path in paths):
        note = "bytes of a path that are not UTF-8 are written as \\x and two digits"
    texts: list[JSON] = [escaped(path or "") for path in paths]
    return (texts[0] if len(texts) == 1 else texts), note


def _decode(raw: bytes) -> tuple[str, str | None]:
    try:
        return raw.decode(), None
    except UnicodeDecodeError:
        return raw.decode(errors="replace"), f"bytes that are not UTF-8 are replaced: {raw[:64]!r}"


def _flat(texts: list[tuple[str, str | None]]) -> tuple[JSON, str | None]:
    """Make one string of one, a list of several; an empty array of strings is an empty list."""
    note = next((note for _, note in texts if note is not None), None)
    if len(texts) == 1:
        return texts[0][0], note
    return [text for text, _ in texts], note
