"""What makes the values that a reader sees out of those that are stored, as data: a closed list of steps in numpy.

Contract: pure. `Template.apply` takes the steps one by one, never fused and never left out because they seem to change
nothing: the result is what xarray gives, bit for bit (`RULES` names its version; `cf_decoding` says which steps). Steps
are frozen with the manifest, so that no later xarray changes what an old one reads as. Operands stand apart from the
steps, as raw bits: where a scale differs in each of many files, there is still one template.

| step | what it does |
|---|---|
| `as T` | takes the bits for another integer of the same size |
| `to T` | converts |
| `mask` | puts NaN, or not-a-time, wherever the value equals one of the operands |
| `mul`, `add` | in place: reckoned as numpy does for the two data types, then rounded to the own one |
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from refmaker import limits
from refmaker.errors import ManifestError

__all__ = ["RULES", "Step", "Template", "template_from_json"]

RULES = "xarray-2026.9"

Op: TypeAlias = Literal["as", "to", "mask", "mul", "add"]
Missing: TypeAlias = Literal["", "nan", "nat"]
Values: TypeAlias = npt.NDArray[Any]

_NUMBERS = frozenset(["|i1", "|u1", "<f4", "<f8", *(f"<{kind}{size}" for kind in "iu" for size in (2, 4, 8))])
_TYPES = _NUMBERS | {"|b1"}
_NAT = np.iinfo("i8").min


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
