"""Messages of a GRIB file, put together to datasets.

Contract: messages of one variable, grid, type of level and type of step become one array along those of ensemble
member, time, step and level that differ; variables that have the same axes stand in one group. Where all do, that is
the root; else every group is named after its type of level, and after more where that is not enough. Two messages at
the same place cannot be told apart, and their variable is refused. A place that there is no message for is missing:
NaN.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import numpy as np

from refmaker.formats.kerchunk_references import Found, inlined
from refmaker.formats.messages import AXES, Message
from refmaker.manifest.references import References

__all__ = ["put_together"]

Axes: TypeAlias = tuple[tuple[str, tuple[float | int, ...]], ...]


@dataclass(slots=True)
class _Variable:
    """Messages of one variable, and the axes that they span: name and values of each."""

    name: str
    messages: list[Message]
    axes: Axes

    @property
    def dataset(self) -> tuple[Any, ...]:
        """What variables of one dataset have in common."""
        return (*self.messages[0].kind, self.axes)


def put_together(messages: Sequence[Message]) -> Found:
    """Put messages together; they are refused where they cannot be."""
    found = Found()
    variables = _variables(messages)
    datasets: dict[tuple[Any, ...], list[_Variable]] = {}
    for variable in variables:
        if _clash(variable):
            numbers = ", ".join(str(m.number) for m in variable.messages[:8])
            reason = f"several messages at the same time, step, level and member ({numbers}, …) cannot be told apart"
            found.refusals[f"/{_group_part(variable.messages[0])}/{variable.name}"] = reason
        else:
            datasets.setdefault(variable.dataset, []).append(variable)
    names = _names(list(datasets.values()))
    found.groups[""] = _common([m.root for m in messages])
    for name, members in zip(names, datasets.values(), strict=True):
        _dataset(found, name, members)
    return found


def _variables(messages: Sequence[Message]) -> list[_Variable]:
    """Sort messages to variables. Where several parameters have one name, their numbers tell them apart."""
    parameters: dict[str, set[tuple[int, ...]]] = {}
    for message in messages:
        parameters.setdefault(message.name, set()).add(message.parameter)
    sorted_out: dict[tuple[Any, ...], list[Message]] = {}
    for message in messages:
        name = message.name
        if len(parameters[name]) > 1:
            name = "_".join([name, *map(str, message.parameter)])
        sorted_out.setdefault((name, message.kind, message.level), []).append(message)
    return [_Variable(key[0], group, _axes(group)) for key, group in sorted_out.items()]


def _axes(messages: Sequence[Message]) -> Axes:
    """Return the axes that messages span, those with one value too."""
    level = messages[0].level
    names = [name for name in (*AXES, level) if name and any(name in m.values for m in messages)]
    found = []
    for name in names:
        values = sorted({m.values.get(name, math.nan) for m in messages})
        if messages[0].attributes.get(name, {}).get("stored_direction") == "decreasing":
            values.reverse()
        found.append((name, tuple(values)))
    return tuple(found)


def _place(message: Message, axes: Axes) -> tuple[float | int, ...]:
    return tuple(message.values.get(name, math.nan) for name, _ in axes)


def _clash(variable: _Variable) -> bool:
    places = Counter(_place(message, variable.axes) for message in variable.messages)
    without = any(name not in m.values for m in variable.messages for name, _ in variable.axes)
    return without or places.most_common(1)[0][1] > 1


def _group_part(message: Message) -> str:
    return message.kind[0] or "unknown"


def _names(datasets: Sequence[Sequence[_Variable]]) -> list[str]:
    """Name the groups of datasets: the root for a single one, else as much as tells them apart."""
    if len(datasets) <= 1:
        return [""] * len(datasets)
    by_level = [_group_part(members[0].messages[0]) for members in datasets]
    by_step = [f"{a}_{members[0].messages[0].kind[1]}" for a, members in zip(by_level, datasets, strict=True)]
    by_variable = [
        f"{a}_{'_'.join(sorted({v.name for v in members})[:4])}" for a, members in zip(by_step, datasets, strict=True)
    ]
    names = [_first_unique(i, (by_level, by_step, by_variable)) for i in range(len(datasets))]
    return [name if names.count(name) == 1 else f"{name}_{i}" for i, name in enumerate(names)]


def _first_unique(number: int, levels: Iterable[list[str]]) -> str:
    name = ""
    for candidates in levels:
        name = candidates[number]
        if candidates.count(name) == 1:
            return name
    return name


def _dataset(found: Found, group: str, members: Sequence[_Variable]) -> None:
    """Add the arrays of one group."""
    first = members[0].messages[0]
    axes = members[0].axes
    lead = f"{group}/" if group else ""
    dimensions = [name for name, values in axes if len(values) > 1]
    for variable in members:
        _field(found, lead + variable.name, variable, dimensions)
    for name, values in axes:
        data = np.array(values if len(values) > 1 else values[0], _dtype(values))
        found.arrays[lead + name] = inlined(data, [name] if len(values) > 1 else [], first.attributes.get(name, {}))
    known = dict(axes)
    if "valid_time" in first.values and {"time", "step"} <= known.keys():
        kept = [name for name in ("time", "step") if len(known[name]) > 1]
        times = np.array(known["time"], "i8")[:, None] + np.rint(np.array(known["step"]) * 3600).astype("i8")[None, :]
        shape = [len(known[name]) for name in kept]
        found.arrays[f"{lead}valid_time"] = inlined(times.reshape(shape), kept, first.attributes["valid_time"])
    for name, array in first.coordinates.items():
        found.arrays[lead + name] = array
    names = [*known, "valid_time", *first.coordinates]
    attributes = _common([m.root for v in members for m in v.messages])
    found.groups[group] = {**attributes, "coordinates": " ".join(n for n in names if lead + n in found.arrays)}


def _dtype(values: Sequence[float | int]) -> str:
    return "<i8" if all(isinstance(value, int) for value in values) else "<f8"


def _field(found: Found, path: str, variable: _Variable, dimensions: list[str]) -> None:
    """Add the array of one variable: one chunk a message."""
    first = variable.messages[0].array
    lengths = [len(values) for _, values in variable.axes if len(values) > 1]
    places = {name: {value: i for i, value in enumerate(values)} for name, values in variable.axes}
    cells = []
    for message in variable.messages:
        position = [places[n][message.values[n]] for n, values in variable.axes if len(values) > 1]
        cells.append(int(np.ravel_multi_index(position, lengths)) if lengths else 0)
    order = np.argsort(np.array(cells, "i8"))
    offset = np.array([int(m.array.references.offset[0]) for m in variable.messages], "u8")[order]
    size = np.array([int(m.array.references.size[0]) for m in variable.messages], "u8")[order]
    cell = np.array(cells, "i8")[order]
    grid = (*lengths, *first.grid)
    missing = math.prod(grid) - len(cell)
    own = first.metadata
    metadata = own.with_extent((*lengths, *own.shape), (*([1] * len(lengths)), *own.chunk_shape))
    metadata = metadata.with_fill_value("NaN" if missing else None)
    attributes = _common([m.attributes[m.name] for m in variable.messages])
    attributes["_ARRAY_DIMENSIONS"] = [*dimensions, *first.attributes["_ARRAY_DIMENSIONS"]]
    references = References(cell, np.broadcast_to(np.uint32(0), (len(cell),)), offset, size)
    found.arrays[path] = replace(first, metadata=metadata, attributes=attributes, grid=grid, references=references)
    found.note(path, "readers need kerchunk and eccodes (codec grib)")
    if missing:
        found.note(path, f"there are no messages for {missing} of {math.prod(grid)} places: NaN")


def _common(several: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Return the attributes that all have alike."""
    first = several[0] if several else {}
    return {
        name: value for name, value in first.items() if all(o.get(name, value) == value and name in o for o in several)
    }
