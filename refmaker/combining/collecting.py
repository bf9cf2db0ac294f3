"""All inputs as columns: for every array which inputs have it, in which form and extent, and where its chunks are.

Contract: nothing here is an object for each reference, and what repeats is there once: targets, forms, the bytes of
inlined chunks. `Collection.take` joins collections that were made apart, so that many inputs can be read as a tree.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from refmaker.combining.forms import Form, Forms
from refmaker.manifest.manifest import Manifest, ManifestArray, References, Target

__all__ = ["Collection", "Series"]

Columns: TypeAlias = tuple[
    npt.NDArray[np.int64], npt.NDArray[np.integer[Any]], npt.NDArray[np.uint64], npt.NDArray[np.uint64]
]

_BLOCK = 512
"""Inputs whose columns are joined at a time: a small array for each of them takes more than its values."""


@dataclass(slots=True)
class Series:
    """One array over the inputs that have it: an *entry* for each of them.

    Attributes
    ----------
    inputs, forms, shapes
        Of every entry, inputs ascending.
    counts
        Rows of every entry in the columns, which stand one after the other.
    inline, whole
        Entry -> as in `References`; entries without any are left out.
    """

    inputs: list[int] = field(default_factory=list)
    forms: list[int] = field(default_factory=list)
    shapes: list[tuple[int, ...]] = field(default_factory=list)
    counts: list[int] = field(default_factory=list)
    inline: dict[int, dict[int, bytes]] = field(default_factory=dict)
    whole: dict[int, dict[int, int]] = field(default_factory=dict)
    _pieces: list[Columns] = field(default_factory=list)
    _blocks: list[Columns] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.inputs)

    def add(self, number: int, form: int, shape: tuple[int, ...], columns: Columns, count: int) -> int:
        """Add an entry; give its position."""
        self.inputs.append(number)
        self.forms.append(form)
        self.shapes.append(shape)
        self.counts.append(count)
        if count:
            self._pieces.append(columns)
            if len(self._pieces) >= _BLOCK:
                self._join()
        return len(self.inputs) - 1

    def _join(self) -> None:
        if self._pieces:
            self._blocks.append(_joined(self._pieces))
            self._pieces.clear()

    @property
    def columns(self) -> Columns:
        """Cell, target, offset and size of all entries, entry by entry."""
        self._join()
        if len(self._blocks) != 1:
            self._blocks = [_joined(self._blocks)]
        return self._blocks[0]

    @property
    def starts(self) -> npt.NDArray[np.int64]:
        """First row of every entry, and one more: the number of rows."""
        return np.concatenate([[0], np.cumsum(self.counts, dtype="i8")])

    def references(self, entry: int) -> References:
        """Give the references of one entry; the columns are views."""
        start = sum(self.counts[:entry])
        return self._references(entry, start)

    def each(self) -> Iterable[References]:
        """Give the references of all entries, one after the other."""
        start = 0
        for entry, count in enumerate(self.counts):
            yield self._references(entry, start)
            start += count

    def _references(self, entry: int, start: int) -> References:
        part = slice(start, start + self.counts[entry])
        cell, target, offset, size = self.columns
        inline, whole = self.inline.get(entry, {}), self.whole.get(entry, {})
        return References(cell[part], target[part], offset[part], size[part], inline, whole)

    def chosen(self, entries: Sequence[int]) -> Series:
        """Give a series of some of the entries, in the order given."""
        part = Series()
        part.inputs = [self.inputs[e] for e in entries]
        part.forms = [self.forms[e] for e in entries]
        part.shapes = [self.shapes[e] for e in entries]
        part.counts = [self.counts[e] for e in entries]
        part.inline = {new: self.inline[old] for new, old in enumerate(entries) if old in self.inline}
        part.whole = {new: self.whole[old] for new, old in enumerate(entries) if old in self.whole}
        rows = self.rows(entries)
        part._blocks = [_taken(self.columns, rows)]
        return part

    def rows(self, entries: Sequence[int] | npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """Give the rows of some entries, in their order."""
        chosen = np.asarray(entries, "i8")
        counts = np.asarray(self.counts, "i8")[chosen]
        firsts = np.repeat(self.starts[:-1][chosen] - np.concatenate([[0], np.cumsum(counts)[:-1]]), counts)
        rows: npt.NDArray[np.int64] = firsts + np.arange(len(firsts))
        return rows


def _pairs(one: Target, other: Target) -> list[tuple[Any, Any]]:
    return [(one.size, other.size), (one.etag, other.etag), (one.mtime, other.mtime)]


def _joined(pieces: Sequence[Columns]) -> Columns:
    if not pieces:
        return np.empty(0, "i8"), np.empty(0, "u4"), np.empty(0, "u8"), np.empty(0, "u8")
    cell, target, offset, size = (np.concatenate(column) for column in zip(*pieces, strict=True))
    return cell, target.astype("u4", copy=False), offset, size


def _taken(columns: Columns, rows: npt.NDArray[np.int64]) -> Columns:
    cell, target, offset, size = columns
    if len(rows) == len(cell) and (len(rows) == 0 or bool((rows[1:] > rows[:-1]).all())):
        return columns
    return cell[rows], target[rows], offset[rows], size[rows]


@dataclass(slots=True)
class Collection:
    """Many manifests in one.

    Attributes
    ----------
    names
        Of the inputs, as they were given.
    zarr_formats
        Of the inputs.
    series
        Path of an array -> its series.
    groups
        Path of a group -> its attributes in the first input, in the order of the inputs, and which it is.
    refusals
        Path -> reason -> inputs.
    history, extra
        As in `Manifest`; `extra` with the input that it comes from.
    changed
        Urls of targets that inputs saw in different states.
    """

    forms: Forms = field(default_factory=Forms)
    names: list[str] = field(default_factory=list)
    zarr_formats: list[int] = field(default_factory=list)
    targets: list[Target] = field(default_factory=list)
    series: dict[str, Series] = field(default_factory=dict)
    groups: dict[str, dict[int, dict[str, Any]]] = field(default_factory=dict)
    refusals: dict[str, dict[str, list[int]]] = field(default_factory=dict)
    history: dict[str, None] = field(default_factory=dict)
    extra: dict[str, dict[int, bytes]] = field(default_factory=dict)
    changed: dict[str, None] = field(default_factory=dict)
    _known: dict[str, int] = field(default_factory=dict)
    _data: dict[bytes, bytes] = field(default_factory=dict)
    _attributes: dict[str, dict[str, Any]] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.names)

    def form(self, series: Series, entry: int) -> Form:
        """Give the form of an entry."""
        return self.forms.all[series.forms[entry]]

    def target(self, target: Target) -> int:
        """Give the number of a target, which may be new; note it where inputs saw it differently."""
        code = self._known.setdefault(target.url, len(self.targets))
        if code == len(self.targets):
            self.targets.append(target)
        elif self.targets[code] != target:
            seen = self.targets[code]
            if any(one not in (None, other) and other is not None for one, other in _pairs(seen, target)):
                self.changed[target.url] = None
            self.targets[code] = Target(
                seen.url, *(other if one is None else one for one, other in _pairs(seen, target))
            )
        return code

    def data(self, data: bytes) -> bytes:
        """Give the one object that stands for these bytes: coordinates repeat from input to input."""
        return self._data.setdefault(data, data)

    def add(self, name: str, manifest: Manifest) -> None:
        """Add an input."""
        number = self.begin(name, manifest.zarr_format, manifest.groups, manifest.history)
        for path, reason in manifest.refusals.items():
            self.refusals.setdefault(path, {}).setdefault(reason, []).append(number)
        for key, data in manifest.extra.items():
            self.extra.setdefault(key, {})[number] = data
        codes = np.array([self.target(target) for target in manifest.targets], "u4")
        for path, array in manifest.arrays.items():
            form = self.forms.number(manifest.zarr_format, array.metadata, array.attributes)
            self._add_array(path, number, form, array, codes)

    def begin(self, name: str, zarr_format: int, groups: dict[str, dict[str, Any]], history: Iterable[str]) -> int:
        """Add an input without arrays yet; give its number."""
        number = len(self.names)
        self.names.append(name)
        self.zarr_formats.append(zarr_format)
        for path, attributes in groups.items():
            self.groups.setdefault(path, {})[number] = self._shared(attributes)
        self.history.update(dict.fromkeys(history))
        return number

    def _shared(self, attributes: dict[str, Any]) -> dict[str, Any]:
        """Give one object for equal attributes of groups."""
        return self._attributes.setdefault(repr(attributes), attributes)

    def _add_array(
        self, path: str, number: int, form: int, array: ManifestArray, codes: npt.NDArray[np.uint32]
    ) -> None:
        references = array.references
        target = codes[references.target] if len(references.cell) else np.empty(0, "u4")
        columns = references.cell, target, references.offset, references.size
        series = self.series.setdefault(path, Series())
        entry = series.add(number, form, tuple(array.metadata["shape"]), columns, len(references.cell))
        if references.inline:
            series.inline[entry] = {cell: self.data(data) for cell, data in references.inline.items()}
        if references.whole:
            series.whole[entry] = {cell: int(codes[code]) for cell, code in references.whole.items()}

    def take(self, other: Collection) -> None:
        """Take over all inputs of another collection, behind those that are here."""
        first = len(self.names)
        forms = np.array(self.forms.take(other.forms), "i8")
        self.changed.update(other.changed)
        codes = np.array([self.target(target) for target in other.targets], "u4")
        self.names += other.names
        self.zarr_formats += other.zarr_formats
        self.history.update(other.history)
        for path, groups in other.groups.items():
            self.groups.setdefault(path, {}).update({first + n: self._shared(a) for n, a in groups.items()})
        for path, reasons in other.refusals.items():
            for reason, inputs in reasons.items():
                self.refusals.setdefault(path, {}).setdefault(reason, []).extend(first + n for n in inputs)
        for key, held in other.extra.items():
            self.extra.setdefault(key, {}).update({first + n: data for n, data in held.items()})
        for path, series in other.series.items():
            self._take_series(self.series.setdefault(path, Series()), series, first, forms, codes)

    def _take_series(
        self, own: Series, other: Series, first: int, forms: npt.NDArray[np.int64], codes: npt.NDArray[np.uint32]
    ) -> None:
        start = len(own)
        own.inputs += [first + n for n in other.inputs]
        own.forms += forms[other.forms].tolist()
        own.shapes += other.shapes
        own.counts += other.counts
        for entry, inline in other.inline.items():
            own.inline[start + entry] = {cell: self.data(data) for cell, data in inline.items()}
        for entry, whole in other.whole.items():
            own.whole[start + entry] = {cell: int(codes[code]) for cell, code in whole.items()}
        cell, target, offset, size = other.columns
        own._join()
        own._blocks.append((cell, codes[target] if len(codes) else target, offset, size))

    def pack(self) -> None:
        """Join the columns, and drop what only serves to add more: for being sent to another process."""
        for series in self.series.values():
            _ = series.columns
        self._data, self._attributes = {}, {}

    def without(self, paths: Iterable[str]) -> Collection:
        """Give the same inputs without some arrays."""
        gone = set(paths)
        return replace(self, series={path: series for path, series in self.series.items() if path not in gone})

    def part(self, inputs: Sequence[int]) -> Collection:
        """Give some of the inputs; targets and forms keep their numbers."""
        new = {old: number for number, old in enumerate(inputs)}
        part = replace(
            self,
            names=[self.names[n] for n in inputs],
            zarr_formats=[self.zarr_formats[n] for n in inputs],
            series={},
            groups={path: {new[n]: a for n, a in held.items() if n in new} for path, held in self.groups.items()},
            extra={key: {new[n]: data for n, data in held.items() if n in new} for key, held in self.extra.items()},
            refusals={
                path: {reason: [new[n] for n in held if n in new] for reason, held in reasons.items()}
                for path, reasons in self.refusals.items()
            },
        )
        for path, series in self.series.items():
            entries = [entry for entry, n in enumerate(series.inputs) if n in new]
            if entries:
                chosen = series.chosen(entries)
                chosen.inputs = [new[n] for n in chosen.inputs]
                part.series[path] = chosen
        return part
