"""All inputs as columns: for every array which inputs have it, in which form and extent, and where its chunks are.

Contract: nothing here is an object for each reference, and what repeats is there once: targets, forms, the bytes of
inlined chunks. `Collection.take` joins collections that were made apart, so that many inputs can be read as a tree.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from refmaker import limits
from refmaker.combining.encodings import ArrayEncoding, ArrayEncodings
from refmaker.combining.rows import Columns, FileRows, MemoryRows, Rows, Spill
from refmaker.errors import ManifestError
from refmaker.manifest.manifest import Manifest, ManifestArray, Target, notes_of
from refmaker.manifest.references import References

__all__ = ["Collection", "Series"]

_TOGETHER = 1 << 20
"""Rows that are read at a time, where one entry does not have more."""


@dataclass(slots=True)
class Series:
    """One array over the inputs that have it: an *entry* for each of them.

    Attributes
    ----------
    inputs, forms, shapes
        Of every entry, inputs ascending.
    counts
        Rows of every entry, which stand one after the other in `rows`.
    inline, whole
        Entry -> as in `References`; entries without any are left out.
    """

    rows: Rows = field(default_factory=MemoryRows)
    inputs: list[int] = field(default_factory=list)
    forms: list[int] = field(default_factory=list)
    shapes: list[tuple[int, ...]] = field(default_factory=list)
    counts: list[int] = field(default_factory=list)
    inline: dict[int, dict[int, bytes]] = field(default_factory=dict)
    whole: dict[int, dict[int, int]] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.inputs)

    def add(self, number: int, form: int, shape: tuple[int, ...], *parts: Columns) -> int:
        """Add an entry, and return its position. Its columns may come in several parts."""
        self.inputs.append(number)
        self.forms.append(form)
        self.shapes.append(shape)
        self.counts.append(0)
        for columns in parts:
            self.extend(columns)
        return len(self.inputs) - 1

    def extend(self, columns: Columns) -> None:
        """Add rows to the last entry."""
        if len(columns[0]):
            self.counts[-1] += len(columns[0])
            self.rows.add(columns)

    @property
    def starts(self) -> npt.NDArray[np.int64]:
        """First row of every entry, and one more: the number of rows."""
        return np.concatenate([[0], np.cumsum(self.counts, dtype="i8")])

    def references(self, entry: int) -> References:
        """Return the references of one entry; in memory the columns are views."""
        start = sum(self.counts[:entry])
        return self._references(entry, self.rows.read(start, start + self.counts[entry]), 0)

    def batches(self) -> Iterator[tuple[int, int, Columns]]:
        """Yield entries from one to before another with their rows, as many as may be in memory together."""
        starts = self.starts
        first = 0
        while first < len(self):
            # The last entry that still ends within the limit, but always one.
            stop = int(np.searchsorted(starts, starts[first] + _TOGETHER, side="right")) - 1
            stop = min(max(stop, first + 1), len(self))
            yield first, stop, self.rows.read(int(starts[first]), int(starts[stop]))
            first = stop

    def each(self) -> Iterator[References]:
        """Yield the references of all entries, one after the other."""
        for first, stop, columns in self.batches():
            start = 0
            for entry in range(first, stop):
                yield self._references(entry, columns, start)
                start += self.counts[entry]

    def _references(self, entry: int, columns: Columns, start: int) -> References:
        part = slice(start, start + self.counts[entry])
        cell, target, offset, size = columns
        inline, whole = self.inline.get(entry, {}), self.whole.get(entry, {})
        return References(cell[part], target[part], offset[part], size[part], inline, whole)

    def chosen(self, entries: Sequence[int]) -> Series:
        """Return a series of some of the entries, in the order given."""
        part = Series(self.rows.empty())
        starts = self.starts.tolist()
        for old in entries:
            new = part.add(self.inputs[old], self.forms[old], self.shapes[old])
            if self.counts[old]:
                part.extend(self.rows.read(starts[old], starts[old + 1]))
            if old in self.inline:
                part.inline[new] = self.inline[old]
            if old in self.whole:
                part.whole[new] = self.whole[old]
        return part


def _pairs(one: Target, other: Target) -> list[tuple[Any, Any]]:
    return [(one.size, other.size), (one.etag, other.etag), (one.mtime, other.mtime)]


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
    history, notes, extra
        As in `Manifest`; `extra` with the input that it comes from.
    changed
        Urls of targets that inputs saw in different states.
    spill
        Takes the rows of references; None: they stay in memory.
    """

    forms: ArrayEncodings = field(default_factory=ArrayEncodings)
    names: list[str] = field(default_factory=list)
    zarr_formats: list[int] = field(default_factory=list)
    targets: list[Target] = field(default_factory=list)
    series: dict[str, Series] = field(default_factory=dict)
    groups: dict[str, dict[int, dict[str, Any]]] = field(default_factory=dict)
    refusals: dict[str, dict[str, list[int]]] = field(default_factory=dict)
    history: dict[str, None] = field(default_factory=dict)
    notes: dict[str, None] = field(default_factory=dict)
    extra: dict[str, dict[int, bytes]] = field(default_factory=dict)
    changed: dict[str, None] = field(default_factory=dict)
    types: dict[str, dict[str, str]] | None = None
    spill: Spill | None = None
    _known: dict[str, int] = field(default_factory=dict)
    _data: dict[bytes, bytes] = field(default_factory=dict)
    _attributes: dict[str, dict[str, Any]] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.names)

    def form(self, series: Series, entry: int) -> ArrayEncoding:
        """Return the form of an entry."""
        return self.forms.all[series.forms[entry]]

    def target(self, target: Target) -> int:
        """Return the number of a target, which may be new; note it where inputs saw it differently."""
        code = self._known.setdefault(target.url, len(self.targets))
        if code == len(self.targets):
            self.targets.append(target)
        elif self.targets[code] != target:
            seen = self.targets[code]
            if seen.version.difference(target.version) is not None:
                self.changed[target.url] = None
            # What one input did not record, such as the ETag, is taken from the other.
            self.targets[code] = Target(
                seen.url, *(other if one is None else one for one, other in _pairs(seen, target))
            )
        return code

    def data(self, data: bytes) -> bytes:
        """Return the one object that stands for these bytes: coordinates repeat from input to input."""
        return self._data.setdefault(data, data)

    def add(self, name: str, manifest: Manifest) -> None:
        """Add an input."""
        if manifest.composites:
            raise ManifestError(
                "a composite array cannot be combined once more: combine the files that it is made of",
                source=name,
                path="/" + next(iter(manifest.composites)),
            )
        number = self.begin(name, manifest.zarr_format, manifest.groups, manifest.history)
        self.note(notes_of(manifest))
        for path, reason in manifest.refusals.items():
            self.refusals.setdefault(path, {}).setdefault(reason, []).append(number)
        for key, data in manifest.extra.items():
            self.extra.setdefault(key, {})[number] = data
        self._take_types(manifest.types)
        codes = np.array([self.target(target) for target in manifest.targets], "u4")
        for path, array in manifest.arrays.items():
            types = None if manifest.types is None else manifest.types.get(path, {})
            form = self.forms.number(array.metadata, array.attributes, types)
            self._add_array(path, number, form, array, codes)

    def note(self, notes: Iterable[str]) -> None:
        """Keep the notes of an input, each of them once, and no more than a manifest holds."""
        for line in notes:
            if len(self.notes) >= limits.NOTES_KEPT:
                return
            self.notes[line] = None

    def _take_types(self, types: dict[str, dict[str, str]] | None) -> None:
        """Keep the types of attributes that the first input has, as its attributes are kept."""
        if types is not None:
            self.types = {**types, **(self.types or {})}

    def begin(self, name: str, zarr_format: int, groups: dict[str, dict[str, Any]], history: Iterable[str]) -> int:
        """Add an input without arrays yet, and return its number."""
        number = len(self.names)
        self.names.append(name)
        self.zarr_formats.append(zarr_format)
        for path, attributes in groups.items():
            if not isinstance(attributes, dict):
                raise ManifestError("attributes are not a JSON object", path="/" + path, got=str(attributes)[:80])
            self.groups.setdefault(path, {})[number] = self._shared(attributes)
        self.history.update(dict.fromkeys(history))
        return number

    def _shared(self, attributes: dict[str, Any]) -> dict[str, Any]:
        """Return one object for equal attributes of groups."""
        # By repr, which keeps 1, 1.0 and True apart: equality would not, and NaN would never be found again.
        return self._attributes.setdefault(repr(attributes), attributes)

    def _add_array(
        self, path: str, number: int, form: int, array: ManifestArray, codes: npt.NDArray[np.uint32]
    ) -> None:
        references = array.references
        series = self.series_of(path)
        entry = series.add(number, form, array.metadata.shape)
        for part in references.parts():
            target = codes[part.target] if len(part.cell) else np.empty(0, "u4")
            series.extend((part.cell, target, part.offset, part.size))
            if part.inline:
                held = {cell: self.data(data) for cell, data in part.inline.items()}
                series.inline.setdefault(entry, {}).update(held)
            if part.whole:
                found = {cell: int(codes[code]) for cell, code in part.whole.items()}
                series.whole.setdefault(entry, {}).update(found)

    def series_of(self, path: str) -> Series:
        """Return the series of an array, which may be new."""
        series = self.series.get(path)
        if series is None:
            series = self.series[path] = Series(MemoryRows() if self.spill is None else FileRows(self.spill))
        return series

    def take(self, other: Collection) -> None:
        """Take over all inputs of another collection, behind those that are here."""
        first = len(self.names)
        forms = np.array(self.forms.take(other.forms), "i8")
        self.changed.update(other.changed)
        codes = np.array([self.target(target) for target in other.targets], "u4")
        self.names += other.names
        self.zarr_formats += other.zarr_formats
        self.history.update(other.history)
        self.note(other.notes)
        for path, groups in other.groups.items():
            self.groups.setdefault(path, {}).update({first + n: self._shared(a) for n, a in groups.items()})
        for path, reasons in other.refusals.items():
            for reason, inputs in reasons.items():
                self.refusals.setdefault(path, {}).setdefault(reason, []).extend(first + n for n in inputs)
        self._take_types(other.types)
        for key, held in other.extra.items():
            self.extra.setdefault(key, {}).update({first + n: data for n, data in held.items()})
        for path, series in other.series.items():
            self._take_series(self.series_of(path), series, first, forms, codes)

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
        for _, _, (cell, target, offset, size) in other.batches():
            own.rows.add((cell, codes[target] if len(codes) else target, offset, size))

    def pack(self) -> None:
        """Join the columns, and drop what only serves to add more: for being sent to another process."""
        for series in self.series.values():
            series.rows.read(0, 0)
        self._data, self._attributes = {}, {}

    def settle(self, spill: Spill | None) -> None:
        """Move the rows to a file, where there is one and they are not there yet."""
        for series in self.series.values():
            if spill is not None and not isinstance(series.rows, FileRows):
                rows = FileRows(spill)
                for _, _, columns in series.batches():
                    rows.add(columns)
                series.rows = rows

    def without(self, paths: Iterable[str]) -> Collection:
        """Return the same inputs without some arrays."""
        gone = set(paths)
        return replace(self, series={path: series for path, series in self.series.items() if path not in gone})

    def part(self, inputs: Sequence[int]) -> Collection:
        """Return some of the inputs; targets and forms keep their numbers."""
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
