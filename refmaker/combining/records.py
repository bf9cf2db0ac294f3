"""What a combination is asked to do, what it found, and what it gives.

Contract: plain records. A disagreement of the inputs is a `Mismatch`: one variable, one thing that differs, and which
inputs say what. All of those that stand in the way travel in one `CombineError`, so that nobody has to find them one by
one.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias, TypedDict

from refmaker import limits
from refmaker.engines.executor import EngineLike
from refmaker.errors import RefmakerError
from refmaker.manifest.manifest import Manifest

__all__ = [
    "Combination",
    "CombineError",
    "CombineOptions",
    "CombinedDimension",
    "Duplicates",
    "Mismatch",
    "OnMismatch",
    "Options",
    "Outcome",
    "Progress",
]

OnMismatch: TypeAlias = Literal["compose", "refuse", "drop-variable", "split", "inline"]
Duplicates: TypeAlias = Literal["refuse", "first", "last"]

DEFAULT_INLINE_LIMIT = limits.INLINE
_LISTED = 3


@dataclass(frozen=True, slots=True)
class Mismatch:
    """Something in which the inputs do not agree.

    Attributes
    ----------
    variable
        Path of the array, "/" in front; "/" for the inputs as a whole.
    what
        What differs: "dtype", "chunk grid", the name of an attribute, "values", "partial chunk" and so on.
    values
        What it is -> the inputs that say so, in the order given.
    reason
        Why no composite array was made, where that was tried.
    """

    variable: str
    what: str
    values: dict[str, tuple[str, ...]]
    reason: str | None = None

    def __str__(self) -> str:
        parts = [f"{value} ({_some(inputs)})" for value, inputs in list(self.values.items())[:_LISTED]]
        if len(self.values) > _LISTED:
            parts.append(f"{len(self.values) - _LISTED} others")
        why = "" if self.reason is None else f"; not composed: {self.reason}"
        return f"{self.variable}: {self.what}: {', '.join(parts)}{why}"


def _some(inputs: Sequence[str]) -> str:
    if not inputs:
        return "no input"
    return inputs[0] if len(inputs) == 1 else f"{inputs[0]} and {len(inputs) - 1} more"


class CombineError(RefmakerError):
    """Inputs that cannot be combined as asked.

    Parameters
    ----------
    message
        One line.
    mismatches
        Everything that stands in the way, as far as it was looked at.
    remedy
        Options with which the rest is combined.
    """

    def __init__(
        self, message: str, mismatches: Sequence[Mismatch] = (), *, remedy: str | None = None, **where: Any
    ) -> None:
        super().__init__(message, **where)
        self.remedy = remedy
        self.mismatches = tuple(mismatches)

    def __str__(self) -> str:
        lines = "; ".join(str(mismatch) for mismatch in self.mismatches[:_LISTED])
        more = len(self.mismatches) - _LISTED
        rest = f"; and {more} more" if more > 0 else ""
        advice = f" ({self.remedy})" if self.remedy else ""
        return super().__str__() + (f": {lines}{rest}" if lines else "") + advice


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a disagreement was handled that did not stop the combination."""

    mismatch: Mismatch
    action: Literal["dropped", "split", "inlined", "composed"]


@dataclass(frozen=True, slots=True)
class CombinedDimension:
    """A dimension along which inputs were concatenated.

    Attributes
    ----------
    path
        Of its coordinate, or what that would be.
    length
        Of the whole.
    inputs
        In the order of concatenation, without those that share a position or lack the dimension.
    """

    path: str
    length: int
    inputs: tuple[str, ...]


@dataclass(slots=True)
class Combination:
    """A combined manifest and how it came about.

    Attributes
    ----------
    outcomes
        Disagreements that were dealt with as asked.
    notes
        Differences that do not matter to values, and whose attribute was taken.
    """

    manifest: Manifest
    dimensions: tuple[CombinedDimension, ...] = ()
    outcomes: list[Outcome] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Progress:
    """How many of the inputs were read."""

    done: int
    known: int


class CombineOptions(TypedDict, total=False):
    """Options of `refmaker.combine`: what they mean, and are by default, stands at `combine_with_report`."""

    concat: str | Sequence[str] | None
    on_mismatch: OnMismatch
    duplicates: Duplicates
    inline_limit: int
    group: str
    include: Sequence[str]
    exclude: Sequence[str]
    storage_options: Mapping[str, Any] | None
    zarr_format: Literal[2, 3] | None
    jobs: int
    engine: EngineLike | None
    spill: str | os.PathLike[str] | None
    progress: Callable[[Progress], None] | None


@dataclass(kw_only=True, frozen=True, slots=True)
class Options:
    """How inputs are combined: see `refmaker.combining.combine`."""

    concat: tuple[str, ...] | None = None
    on_mismatch: OnMismatch = "compose"
    duplicates: Duplicates = "refuse"
    inline_limit: int = DEFAULT_INLINE_LIMIT
    storage_options: Mapping[str, Any] = field(default_factory=dict, repr=False)
