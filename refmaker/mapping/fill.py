"""Fill values: what missing chunks read as, and what xarray masks.

Contract: `plan_fill` decides, without looking at data, what `fill_value` and the `_FillValue` attribute have to be so
that a reader sees what netCDF-4 shows. Three things are called a fill value:

- the HDF5 fill value: what elements read as that were never written;
- the `_FillValue` attribute: what xarray masks;
- Zarr's `fill_value`: what a missing chunk reads as, and, in Zarr 2, also what xarray masks (it overrides the
  attribute).

In Zarr 2 the last two contradict each other when chunks are missing and the HDF5 fill value is not the attribute's.
Then the missing chunks are to be *materialised*: written out in the manifest, so that no chunk is missing. Where
none is missing, `fill_value` is null, and the attribute alone says what to mask; values that JSON has no number for
(NaN, infinities, bytes) can only travel as `fill_value`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from refmaker import limits
from refmaker.errors import Unsupported
from refmaker.model import JSON, FillValue
from refmaker.zarr.fill_values import _only, encode_fill, is_plain, xarray_fill
from refmaker.zarr.zarr_dtype import ZarrDtype

__all__ = ["FillPlan", "plan_fill"]

Scalar = np.generic | None

UNDEFINED_NOTE = "the fill value is undefined in the file: missing chunks read as zeros"


@dataclass(slots=True)
class FillPlan:
    """What to write.

    Attributes
    ----------
    fill_value
        For the array metadata.
    attribute
        For `_FillValue`; `drop` is set when the attribute must not be written.
    materialise
        The missing chunks have to stand in the manifest, filled with `element`.
    element
        What missing elements read as, one element of the Zarr dtype, or an array of those along the axes that an array
        datatype adds; None for empty strings.
    """

    fill_value: JSON
    attribute: JSON = None
    drop: bool = True
    materialise: bool = False
    element: Scalar | np.ndarray = None
    notes: list[str] = field(default_factory=list)


def plan_fill(
    dtype: ZarrDtype,
    fill: FillValue,
    attribute: np.generic | bytes | None,
    encoded: JSON,
    *,
    missing: bool,
    fits: bool,
    masks: bool,
) -> FillPlan:
    """Decide on `fill_value`, the `_FillValue` attribute, and on materialising missing chunks.

    Parameters
    ----------
    fill
        The HDF5 fill value.
    attribute, encoded
        The `_FillValue` attribute as a value and as JSON, None for both without one.
    missing
        Chunks of the grid are missing.
    fits
        They would fit into the manifest.
    masks
        Readers mask what a missing chunk reads as: see `ArrayMetadata.masks_fill_value`.

    Raises
    ------
    Unsupported
        Neither Zarr's fill value nor the manifest can hold what missing chunks read as.
    """
    notes = [UNDEFINED_NOTE] if missing and fill.value is None else []
    if not dtype.text and dtype.dtype.itemsize > limits.FILL_ELEMENT:
        return _plan_large(dtype, encoded, notes, needed=missing or not masks)
    element = None if dtype.text else _element(dtype, fill)
    pattern = _pattern(dtype, fill) if missing else None
    if pattern is not None:
        # Zarr has one fill value for all elements: a pattern of several can only be written out.
        if not fits:
            raise Unsupported(
                "a fill value that differs from one member of the array datatype to another, and missing chunks that "
                "are too many to be written out"
            )
        plan = _plan_complete(dtype, _as_element(attribute, dtype.dtype), encoded, notes)
        if not masks:
            plan = _plan_v3(dtype, element, attribute, encoded, notes)
        plan.materialise, plan.element = True, pattern
        return plan
    if not masks:
        return _plan_v3(dtype, element, attribute, encoded, notes)
    masked = None if dtype.text else _as_element(attribute, dtype.dtype)
    if not missing:
        return _plan_complete(dtype, masked, encoded, notes)
    if element is not None and _shows_alike(element, masked, encoded):
        plan = FillPlan(encode_fill(element, dtype.dtype), notes=notes)
        return _keep_attribute(plan, masked, encoded)
    if fits:
        plan = _plan_complete(dtype, masked, encoded, notes)
        plan.materialise, plan.element = True, element
        return plan
    notes.append("missing chunks are too many to be written out: xarray masks their fill value")
    value = "" if dtype.text else encode_fill(_required(element), dtype.dtype)
    return FillPlan(value, encoded, drop=encoded is None, notes=notes)


def _plan_large(dtype: ZarrDtype, encoded: JSON, notes: list[str], *, needed: bool) -> FillPlan:
    """Do without a fill value of elements that are too large for metadata: nothing so large is made."""
    if needed:
        raise Unsupported(
            f"elements of {dtype.dtype.itemsize} bytes, whose fill value would have to be in the metadata: more than "
            f"the limit fill-element of {limits.FILL_ELEMENT} bytes"
        )
    return FillPlan(None, encoded, drop=encoded is None, notes=notes)


def _plan_complete(dtype: ZarrDtype, masked: Scalar, encoded: JSON, notes: list[str]) -> FillPlan:
    """No chunk is missing: the attribute alone decides, through `fill_value` where JSON has no number for it."""
    if masked is not None and not is_plain(masked):
        return FillPlan(encode_fill(masked, dtype.dtype), notes=notes)
    return _keep_attribute(FillPlan(None, notes=notes), masked, encoded)


def _keep_attribute(plan: FillPlan, masked: Scalar, encoded: JSON) -> FillPlan:
    """Write the attribute, unless it travels as `fill_value`."""
    if masked is None or is_plain(masked):
        plan.attribute, plan.drop = encoded, encoded is None and masked is None
    return plan


def _plan_v3(
    dtype: ZarrDtype, element: Scalar, attribute: np.generic | bytes | None, encoded: JSON, notes: list[str]
) -> FillPlan:
    """Zarr 3: xarray does not take `fill_value` for a mask, and wants the attribute in an encoding of its own."""
    value = "" if dtype.text else encode_fill(_required(element), dtype.dtype)
    plan = FillPlan(value, notes=notes)
    if attribute is None and encoded is None:
        return plan
    masked = None if dtype.text else _as_element(attribute, dtype.dtype)
    if masked is None or masked.dtype.kind not in "iufcb":
        notes.append(f"_FillValue: left out, xarray takes none for this dtype in Zarr 3: {encoded!r}")
        return plan
    plan.attribute, plan.drop = xarray_fill(masked), False
    return plan


def _element(dtype: ZarrDtype, fill: FillValue) -> np.generic:
    """Return the HDF5 fill value as one element of the Zarr dtype.

    Zeros where it is undefined, the default, or many.
    """
    values = _elements(dtype, fill)
    return _only(np.zeros(1, dtype.dtype) if values is None or _differ(values) else values)


def _pattern(dtype: ZarrDtype, fill: FillValue) -> np.ndarray | None:
    """Return a fill value that differs along the axes of an array datatype, None for others."""
    values = None if dtype.text else _elements(dtype, fill)
    return values.reshape(dtype.extra) if values is not None and _differ(values) else None


def _elements(dtype: ZarrDtype, fill: FillValue) -> np.ndarray | None:
    """Return the HDF5 fill value as elements of the Zarr dtype, None where it is undefined or the default."""
    stored = dtype.stored if dtype.stored is not None else dtype.dtype
    count = math.prod(dtype.extra)
    if not fill.value:
        return None
    if len(fill.value) != stored.itemsize * count or count == 0:
        raise Unsupported(f"a fill value of {len(fill.value)} bytes for elements of {stored.itemsize * count}")
    if dtype.dtype.kind == "b":
        truth: np.ndarray = np.frombuffer(fill.value, "u1") != 0
        return truth
    return np.frombuffer(fill.value, stored, count).astype(dtype.dtype)


def _differ(values: np.ndarray) -> bool:
    if len(values) == 1:
        return False
    # Compared as bytes: NaN is not equal to itself, and -0.0 is to 0.0.
    rows = np.frombuffer(values.tobytes(), "u1").reshape(len(values), values.dtype.itemsize)
    return bool((rows != rows[0]).any())


def _as_element(attribute: np.generic | bytes | None, dtype: np.dtype[Any]) -> Scalar:
    """Return the attribute as an element of the array, None when it is none: of another kind, or not exact in it."""
    if isinstance(attribute, bytes):
        fits = dtype.kind == "S" and len(attribute.rstrip(b"\0")) <= dtype.itemsize
        return _only(np.array([attribute], dtype)) if fits else None
    if attribute is None or dtype.kind not in "iufcb" or attribute.dtype.kind not in "iufcb":
        return None
    if attribute.dtype.kind == "c" and dtype.kind != "c":
        return None
    wide = np.asarray(attribute)
    if dtype.kind in "iub" and (not np.isfinite(wide) or not _in_range(wide, dtype)):
        return None
    with np.errstate(over="ignore"):  # an overflow gives infinity, which is not equal to the attribute then
        narrow = wide.astype(dtype)
    return _only(narrow.reshape(1)) if _equal(narrow.item(), wide.item()) else None


def _in_range(value: np.ndarray, dtype: np.dtype[Any]) -> bool:
    if dtype.kind == "b":
        return value.item() in (0, 1)
    info = np.iinfo(dtype)
    return bool(info.min <= value.item() <= info.max)


def _equal(a: Any, b: Any) -> bool:
    return bool(a == b or (a != a and b != b))  # NaN is taken for equal to NaN


def _shows_alike(element: np.generic, masked: Scalar, encoded: JSON) -> bool:
    """Return whether xarray shows the same with `element` for `fill_value` as with the attribute."""
    if masked is None:
        # NaN masks nothing, so that it may stand where there is no attribute.
        return encoded is None and element.dtype.kind == "f" and bool(np.isnan(element))
    if element.dtype.kind in "fc":
        return _equal(element.item(), masked.item()) and _sign(element) == _sign(masked)
    return element.tobytes() == masked.tobytes()


def _sign(value: np.generic) -> bytes:
    """Tell -0.0 from 0.0."""
    return np.signbit([value.real, value.imag]).tobytes()


def _required(element: Scalar) -> np.generic:
    if element is None:
        raise Unsupported("no fill value")
    return element
