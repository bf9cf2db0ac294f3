"""Which steps turn stored values into those that xarray shows, by data type and attributes.

Contract: pure. `decoding_steps` gives the steps in xarray's order, with its rules for data types, or raises
`Unsupported` where xarray has no such values. `common_dtype` and `promoted` are its rules for arrays put together.
Sources: CF 1.11, sections 2.5.1 and 8.1; xarray's `coding.variables`, held by `tests/test_cf_decoding.py`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from refmaker.errors import Unsupported
from refmaker.steps import Step, Template

__all__ = ["Decoding", "common_dtype", "decoding_steps", "promoted"]

_PACKING = (np.dtype("f4"), np.dtype("f8"))


@dataclass(frozen=True, slots=True)
class Decoding:
    """How stored values become those that are seen.

    Attributes
    ----------
    operands
        The bits of the operands of the template.
    dtype
        Of what comes out.
    lossy
        Integers that float64 may not hold exactly become floats, as xarray has it.
    """

    template: Template
    operands: tuple[int, ...]
    dtype: np.dtype[Any]
    lossy: bool = False


def decoding_steps(dtype: np.dtype[Any], attributes: Mapping[str, Any], *, times: bool = False) -> Decoding:
    """Return the steps from stored values to those that xarray shows.

    Parameters
    ----------
    dtype
        Of the stored values.
    attributes
        Those that decide: numbers as numpy scalars or arrays of the type that the file gives them, or plain ones, which
        take the type of the data (in comparisons) or are float64 and int64 (in choosing a data type).
    times
        The units are those of times: integers are masked with not-a-time.

    Raises
    ------
    Unsupported
        xarray has no such values, or fails on reading them.
    """
    if dtype.kind not in "biuf" or dtype.itemsize > 8:
        if any(name in attributes for name in ("scale_factor", "add_offset")) or _named(attributes):
            raise Unsupported(f"values of {dtype} that are packed or masked cannot be decoded on the way")
        return Decoding(Template(), (), dtype.newbyteorder("="))
    maker = _Maker(dtype.newbyteorder("="))
    fills, named = _fills(attributes, maker.dtype)
    fills = maker.reinterpret(attributes.get("_Unsigned"), fills)
    scale, offset = (_scalar(attributes.get(name)) for name in ("scale_factor", "add_offset"))
    packed = scale is not None or offset is not None
    values = list(_different([value for _, value in fills]))
    if values:
        maker.mask(values, scale, offset, packed=packed, times=times)
    if packed:
        if not named or times:
            maker.convert(_chosen(maker.dtype, scale, offset))
        maker.steps.append(Step("to", (_name(maker.dtype),)))
        maker.operate("mul", scale)
        maker.operate("add", offset)
    if attributes.get("dtype") == "bool":
        maker.convert(np.dtype("?"), always=True)
    template = Template(tuple(maker.steps))
    template.result(dtype)
    return Decoding(template, tuple(maker.operands), maker.dtype, maker.lossy)


class _Maker:
    """Steps under way."""

    def __init__(self, dtype: np.dtype[Any]) -> None:
        self.dtype = dtype
        self.steps: list[Step] = []
        self.operands: list[int] = []
        self.lossy = False

    def convert(self, dtype: np.dtype[Any], *, always: bool = False) -> None:
        if self.dtype.kind in "iu" and self.dtype.itemsize == 8 and dtype.kind == "f":
            self.lossy = True
        if always:
            self.steps.append(Step("to", (_name(dtype),)))
        self.dtype = dtype

    def reinterpret(self, unsigned: object, fills: list[tuple[str, Any]]) -> list[tuple[str, Any]]:
        """Take `_Unsigned` into account: of the fills, `_FillValue` alone is reinterpreted."""
        kinds = {("i", "true"): "u", ("u", "false"): "i"}
        kind = kinds.get((self.dtype.kind, str(unsigned)))
        if kind is None:
            return fills
        old, self.dtype = self.dtype, np.dtype(f"{kind}{self.dtype.itemsize}")
        self.steps.append(Step("as", (_name(self.dtype),)))
        if not any(name == "_FillValue" for name, _ in fills):
            return fills
        return [
            (name, _reinterpreted(value, old, self.dtype)) if name == "_FillValue" else (name, value)
            for name, value in fills
        ]

    def mask(self, values: list[Any], scale: Any, offset: Any, *, packed: bool, times: bool) -> None:
        """Convert first, compare then: an integer next to the fill may become equal to it, as in xarray."""
        if packed:
            target = _chosen(self.dtype, scale, offset)
        elif times and self.dtype.kind in "iu":
            target = np.dtype("i8")
        else:
            target = promoted(self.dtype)
        if target.kind not in "f" and not (times and not packed and target == np.dtype("i8")):
            raise Unsupported("an integer scale_factor beside a fill value: NaN has no place in integers")
        self.convert(target, always=True)
        dtypes = []
        for value in values:
            bits = self._bits(value)
            if bits is not None:
                self.operands.append(bits[0])
                dtypes.append(bits[1])
        if dtypes:
            self.steps.append(Step("mask", tuple(dtypes), "nan" if self.dtype.kind == "f" else "nat"))

    def operate(self, op: Literal["mul", "add"], operand: Any) -> None:
        bits = None if operand is None else self._bits(operand)
        if bits is not None:
            self.operands.append(bits[0])
            self.steps.append(Step(op, (bits[1],)))
        elif operand is not None:
            raise Unsupported(f"an operand of {op} that is beyond {self.dtype}")

    def _bits(self, value: Any) -> tuple[int, str] | None:
        """Return an operand as its bits and data type; None for a plain integer beyond the data, which equals none."""
        dtype = value.dtype if isinstance(value, np.generic) else self.dtype
        if isinstance(value, int) and dtype.kind in "iu" and not np.iinfo(dtype).min <= value <= np.iinfo(dtype).max:
            return None
        if dtype.kind not in "iuf" or dtype.itemsize > 8 or dtype == np.dtype("f2"):
            raise Unsupported(f"an operand of {dtype}")
        native = np.asarray(value, dtype.newbyteorder("="))
        return int(native.view(f"u{dtype.itemsize}")[()]), _name(dtype)


def _name(dtype: np.dtype[Any]) -> str:
    return dtype.newbyteorder("<").str


def _named(attributes: Mapping[str, Any]) -> bool:
    return "missing_value" in attributes or "_FillValue" in attributes


def _fills(attributes: Mapping[str, Any], dtype: np.dtype[Any]) -> tuple[list[tuple[str, Any]], bool]:
    """Return the values to mask without NaN, and whether an attribute names any, if only NaN."""
    found: list[tuple[str, Any]] = []
    named = False
    for name in ("missing_value", "_FillValue"):
        if name not in attributes:
            continue
        given = attributes[name]
        values = (
            list(np.ravel(given)) if isinstance(given, np.ndarray) else given if isinstance(given, list) else [given]
        )
        good = [one for one in values if one == one]
        if not good and dtype.kind in "iu":
            continue  # xarray drops a NaN that integers cannot have
        named = True
        found += [(name, one) for one in good]
    return found, named


def _different(values: Sequence[Any]) -> list[Any]:
    kept: list[Any] = []
    for value in values:
        if not any(value == one for one in kept):
            kept.append(value)
    return kept


def _scalar(value: Any) -> Any:
    if isinstance(value, np.ndarray | list):
        value = np.ravel(value)[0] if len(np.ravel(value)) else None
    if value is None or isinstance(value, np.generic):
        return value
    if type(value) not in (int, float):
        raise Unsupported(f"packing by {str(value)[:40]!r}")
    return np.float64(value) if isinstance(value, float) else np.int64(value)


def _reinterpreted(value: Any, old: np.dtype[Any], new: np.dtype[Any]) -> Any:
    try:
        found = np.array(value, old).view(new)[()]
    except OverflowError as error:
        raise Unsupported(f"a _FillValue of {value} beyond {old}") from error
    return found.item() if new.kind == "u" else found


def _chosen(dtype: np.dtype[Any], scale: Any, offset: Any) -> np.dtype[Any]:
    """Return the data type in which xarray unpacks."""
    if scale is not None and offset is not None and scale.dtype == offset.dtype and scale.dtype in _PACKING:
        return np.dtype("f8") if dtype.itemsize == 4 and dtype.kind in "iu" else scale.dtype.newbyteorder("=")
    if offset is not None:
        return np.dtype("f8")
    found: np.dtype[Any] = scale.dtype.newbyteorder("=")
    return found


def promoted(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """Return the data type that has a place for what is missing.

    Raises
    ------
    Unsupported
        None of a fixed size has.
    """
    if dtype.kind in "fcmM":
        return dtype.newbyteorder("=")
    if dtype.kind in "iu":
        return np.dtype("f4" if dtype.itemsize <= 2 else "f8")
    raise Unsupported(f"values of {dtype} have no place for what is missing")


def common_dtype(dtypes: Sequence[np.dtype[Any]]) -> np.dtype[Any]:
    """Return the data type of arrays put together: of all at once, since pairs in turn give another.

    Raises
    ------
    Unsupported
        There is none of a fixed size.
    """
    try:
        found = np.result_type(*set(dtypes))
    except TypeError as error:
        raise Unsupported(f"no data type holds {', '.join(map(str, dtypes))}") from error
    if found.hasobject:
        raise Unsupported(f"no data type of a fixed size holds {', '.join(map(str, dtypes))}")
    return found
