"""What makes the values that a reader sees out of those that are stored, as data: a closed list of steps in numpy.

Contract: pure. `decoding_steps` gives the steps for a data type and its attributes; `Template.apply` takes them one by
one, never fused and never left out because they seem to change nothing: the result is what xarray gives, bit for bit
(`RULES` names its version). Steps are frozen with the manifest, so that no later xarray changes what an old one reads
as. Operands stand apart from the steps, as raw bits: where a scale differs in each of many files, there is still one
template. Sources: CF 1.11, sections 2.5.1 and 8.1; xarray's `coding.variables`, held by `tests/test_steps.py`.

| step | what it does |
|---|---|
| `as T` | takes the bits for another integer of the same size |
| `to T` | converts |
| `mask` | puts NaN, or not-a-time, wherever the value equals one of the operands |
| `mul`, `add` | in place: reckoned as numpy does for the two data types, then rounded to the own one |
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from refmaker import limits
from refmaker.errors import ManifestError, Unsupported

__all__ = ["RULES", "Decoding", "Step", "Template", "common_dtype", "decoding_steps", "promoted", "template_from_json"]

RULES = "xarray-2026.9"

Op: TypeAlias = Literal["as", "to", "mask", "mul", "add"]
Missing: TypeAlias = Literal["", "nan", "nat"]
Values: TypeAlias = npt.NDArray[Any]

_NUMBERS = frozenset(["|i1", "|u1", "<f4", "<f8", *(f"<{kind}{size}" for kind in "iu" for size in (2, 4, 8))])
_TYPES = _NUMBERS | {"|b1"}
_NAT = np.iinfo("i8").min
_PACKING = (np.dtype("f4"), np.dtype("f8"))


@dataclass(frozen=True, slots=True)
class Step:
    """One operation on values.

    Attributes
    ----------
    dtypes
        Of `as` and `to`, what comes out, alone; of the others, those of the operands.
    missing
        Of `mask`, what is put in the place of values.
    """

    op: Op
    dtypes: tuple[str, ...]
    missing: Missing = ""


@dataclass(frozen=True, slots=True)
class Template:
    """Steps without their operands.

    Examples
    --------
    >>> template = Template((Step("to", ("<f4",)), Step("mul", ("<f4",))))
    >>> template.apply(np.array([1, 2], "i2"), [int(np.float32(0.5).view("u4"))])
    array([0.5, 1. ], dtype=float32)
    """

    steps: tuple[Step, ...] = ()

    @property
    def operand_dtypes(self) -> tuple[np.dtype[Any], ...]:
        """The data types of all operands, in their order."""
        return tuple(np.dtype(one) for step in self.steps if step.op not in ("as", "to") for one in step.dtypes)

    def result(self, dtype: np.dtype[Any]) -> np.dtype[Any]:
        """Return the data type that comes out.

        Raises
        ------
        ManifestError
            A step has no one result on what it would be given: steps may come from anyone.
        """
        current = dtype.newbyteorder("=")
        for step in self.steps:
            current = _checked(step, current)
        return current

    def apply(self, values: Values, operands: Sequence[int]) -> Values:
        """Return the values after all steps.

        Parameters
        ----------
        values
            As stored, of any shape; they stay as they are.
        operands
            The bits of every operand.
        """
        numbers = [_operand(bits, dtype) for bits, dtype in zip(operands, self.operand_dtypes, strict=True)]
        values = values.astype(values.dtype.newbyteorder("="), copy=True)
        with np.errstate(all="ignore"):
            for step in self.steps:
                if step.op in ("as", "to"):
                    target = np.dtype(step.dtypes[0])
                    values = values.view(target) if step.op == "as" else values.astype(target)
                    continue
                own, numbers = numbers[: len(step.dtypes)], numbers[len(step.dtypes) :]
                if step.op == "mask":
                    values[_equal(values, own)] = np.nan if step.missing == "nan" else _NAT
                elif step.op == "mul":
                    values *= own[0]
                else:
                    values += own[0]
        return values

    def to_json(self) -> list[list[Any]]:
        """Return the steps as JSON."""
        return [
            [step.op, step.missing, list(step.dtypes)] if step.op == "mask" else [step.op, step.dtypes[0]]
            for step in self.steps
        ]


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


def template_from_json(document: object) -> Template:
    """Return a template from JSON that may come from anyone; `Template.result` checks that the steps fit each other.

    Raises
    ------
    ManifestError
        It is no list of steps.
    """
    if not isinstance(document, list) or len(document) > limits.VALUE_STEPS:
        raise ManifestError("bad steps", expected=f"a list of at most {limits.VALUE_STEPS}", got=str(document)[:80])
    return Template(tuple(map(_step_from_json, document)))


def _step_from_json(document: object) -> Step:
    match document:
        case ["as" | "to" as op, str(dtype)] if dtype in _TYPES:
            return Step(op, (dtype,))
        case ["mul" | "add" as op, str(dtype)] if dtype in _NUMBERS:
            return Step(op, (dtype,))
        case ["mask", "nan" | "nat" as missing, [_, *_] as dtypes] if len(dtypes) <= limits.VALUE_STEPS:
            names = tuple(one for one in dtypes if isinstance(one, str) and one in _NUMBERS)
            if len(names) == len(dtypes):
                return Step("mask", names, missing)
    raise ManifestError("bad step", expected="as, to, mask, mul or add", got=str(document)[:80])


def _checked(step: Step, current: np.dtype[Any]) -> np.dtype[Any]:
    """Return what a step makes of a data type, if there is one result."""
    target = np.dtype(step.dtypes[0])
    if step.op == "as":
        right = current.kind in "iu" and target.kind in "iu" and current.itemsize == target.itemsize
    elif step.op == "to":
        # What a float beyond an integer becomes differs from processor to processor
        right = current.kind in "biuf" and not (current.kind == "f" and target.kind in "iu")
    elif step.op == "mask":
        right = current.kind == "f" if step.missing == "nan" else current == np.dtype("i8")
    else:
        right = current.kind in "iuf" and np.can_cast(np.result_type(current, target), current, "same_kind")
    if not right:
        raise ManifestError("bad step", structure=f"{step.op} {', '.join(step.dtypes)}", got=str(current))
    return target if step.op in ("as", "to") else current


def _operand(bits: int, dtype: np.dtype[Any]) -> Any:
    return np.array(bits, f"u{dtype.itemsize}").view(dtype)[()]


def _equal(values: Values, operands: Sequence[Any]) -> npt.NDArray[np.bool_]:
    found = np.zeros(values.shape, bool)
    for one in operands:
        found |= values == one  # in numpy's common type of the two: a float64 never equals a float32 by rounding
    return found


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
