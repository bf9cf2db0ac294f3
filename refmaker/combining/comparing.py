"""What inputs say of one array, compared.

Contract: forms are compared by their numbers, and only different ones in detail, aspect by aspect; values of arrays
that are not concatenated are compared by what they decode to, wherever the bytes are not the same. Nothing is decided
here: every disagreement is a record.
"""

from __future__ import annotations

import json
from collections.abc import Collection as AnyCollection
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any

from refmaker.combining.collection import Collection, Series
from refmaker.combining.encodings import ABSENT, UNKNOWN_TYPES
from refmaker.combining.reading import Chunks, Reader
from refmaker.combining.records import Mismatch
from refmaker.combining.values import decoded, sameness

__all__ = ["Disagreement", "compare_aspects", "compare_shapes", "compare_values", "differing_attributes"]


@dataclass(slots=True)
class Disagreement:
    """A mismatch, and what may be done about it.

    Attributes
    ----------
    labels
        Input -> number, equal for inputs that agree; empty where parting the inputs would not help.
    can_recode
        Values written anew, in the encoding of the first input, would agree.
    can_drop
        The rest makes sense without the variable.
    """

    mismatch: Mismatch
    labels: dict[int, int] = field(default_factory=dict)
    can_recode: bool = False
    can_drop: bool = True

    @property
    def path(self) -> str:
        """Path of the array in the manifest."""
        return self.mismatch.variable[1:]


RECODABLE = (
    "dtype",
    "byte order",
    "codecs",
    "chunk grid",
    "fill value",
    "_FillValue",
    "scale_factor",
    "add_offset",
    "operand types",
    "dimension order",
)


def labelled(
    collection: Collection, path: str, what: str, inputs: Sequence[int], texts: Sequence[str], **more: Any
) -> Disagreement:
    """Make the disagreement of inputs that say different things."""
    numbers = {text: number for number, text in enumerate(dict.fromkeys(texts))}
    values: dict[str, list[str]] = {text: [] for text in numbers}
    for number, text in zip(inputs, texts, strict=True):
        values[text].append(collection.names[number])
    labels = {number: numbers[text] for number, text in zip(inputs, texts, strict=True)}
    mismatch = Mismatch("/" + path, what, {text: tuple(names) for text, names in values.items()})
    return Disagreement(mismatch, labels, **more)


def compare_aspects(
    collection: Collection, path: str, entries: Sequence[int], ignored: AnyCollection[str]
) -> list[Disagreement]:
    """Compare the forms of some entries of a series.

    Parameters
    ----------
    ignored
        Aspects that do not matter.
    """
    series = collection.series[path]
    forms = [series.forms[entry] for entry in entries]
    distinct = list(dict.fromkeys(forms))
    if len(distinct) < 2:
        return []
    inputs = [series.inputs[entry] for entry in entries]
    aspects = {form: collection.forms.all[form].aspects for form in distinct}
    found = []
    for name in dict.fromkeys(name for form in distinct for name in aspects[form]):
        said = {form: aspects[form].get(name, ABSENT) for form in distinct}
        if name in ignored or len(set(said.values())) == 1:
            continue
        if name == "operand types" and UNKNOWN_TYPES in said.values():
            continue  # manifests of others, read as xarray reads them
        what = _named(name, [said[form] for form in distinct])
        texts = [said[form] for form in forms]
        found.append(labelled(collection, path, what, inputs, texts, can_recode=what in RECODABLE))
    if any(one.mismatch.what == "_FillValue" for one in found):
        found = [one for one in found if one.mismatch.what != "fill value"]
    return found


def _named(name: str, texts: Sequence[str]) -> str:
    """Name an aspect: dimensions that differ in their order only are said to."""
    if name != "dimensions" or "absent" in texts:
        return name
    return "dimension order" if len({tuple(sorted(json.loads(text))) for text in texts}) == 1 else name


def compare_shapes(
    collection: Collection, path: str, entries: Sequence[int], free: AnyCollection[int]
) -> list[Disagreement]:
    """Compare extents; those of the axes in `free` may differ."""
    series = collection.series[path]
    shapes = [tuple(0 if d in free else n for d, n in enumerate(series.shapes[e])) for e in entries]
    if len(set(shapes)) < 2:
        return []
    inputs = [series.inputs[entry] for entry in entries]
    return [labelled(collection, path, "shape", inputs, [_shape(series.shapes[e], free) for e in entries])]


def _shape(shape: tuple[int, ...], free: AnyCollection[int]) -> str:
    return "x".join("*" if d in free else str(n) for d, n in enumerate(shape)) or "scalar"


def compare_values(collection: Collection, path: str, reader: Reader) -> list[Disagreement]:
    """Compare the values of an array that all inputs should have alike."""
    series = collection.series[path]
    if len(series) < 2 or _same_references(series):
        return []
    which = _digests(collection, path, series, reader)
    if len(set(which)) < 2:
        return []
    texts = [f"values {number + 1}" for number in which]
    if set(series.shapes) == {()}:
        first = {number: entry for entry, number in reversed(list(enumerate(which)))}
        known = {number: _scalar(collection, path, entry, reader) for number, entry in first.items()}
        if len(set(known.values())) == len(known):
            texts = [known[number] for number in which]
    return [labelled(collection, path, "values", series.inputs, texts)]


def _scalar(collection: Collection, path: str, entry: int, reader: Reader) -> str:
    """Return the value of a scalar as text."""
    series = collection.series[path]
    chunks = reader.chunks(series.references(entry), "/" + path)
    return str(decoded(collection.form(series, entry), (), chunks)[()])[:80]


def _same_references(series: Series) -> bool:
    """Return whether all entries refer to the same bytes."""
    if len(set(series.counts)) > 1 or len(set(series.forms)) > 1 or len(set(series.shapes)) > 1:
        return False
    for held in (series.inline, series.whole):
        if held and (len(held) < len(series) or any(one != held[0] for one in held.values())):
            return False
    first = None
    for start, stop, columns in series.batches() if series.counts[0] else ():
        rows = [column.reshape(stop - start, -1) for column in columns]
        first = first or [column[:1].copy() for column in rows]
        if not all(bool((one == other).all()) for one, other in zip(rows, first, strict=True)):
            return False
    return True


def _digests(collection: Collection, path: str, series: Series, reader: Reader) -> list[int]:
    """Return a number for every entry, equal for equal values. They are decoded only where the bytes differ."""
    stored: dict[bytes, int] = {}
    values: dict[bytes, int] = {}
    first: tuple[int, Chunks] | None = None
    which = []
    for entry, chunks in enumerate(reader.each(series.each(), "/" + path)):
        digest = _digest_of_chunks(collection.form(series, entry).dtype_text, series, entry, chunks)
        if digest not in stored:
            if first is None:
                first = entry, chunks
                stored[digest] = 0
            else:
                if not values:
                    values[_digest_of_values(collection, series, *first)] = 0
                key = _digest_of_values(collection, series, entry, chunks)
                stored[digest] = values.setdefault(key, len(values))
        which.append(stored[digest])
    return which


def _digest_of_chunks(dtype: str, series: Series, entry: int, chunks: Mapping[int, bytes]) -> bytes:
    digest = blake2b(f"{dtype} {series.forms[entry]} {series.shapes[entry]}".encode(), digest_size=16)
    for cell, data in sorted(chunks.items()):
        digest.update(f"{cell} {len(data)} ".encode())
        digest.update(data)
    return digest.digest()


def _digest_of_values(collection: Collection, series: Series, entry: int, chunks: Chunks) -> bytes:
    values = decoded(collection.form(series, entry), series.shapes[entry], chunks)
    shape, dtype, data = sameness(values)
    digest = blake2b(f"{shape} {dtype}".encode(), digest_size=16)
    digest.update(data if isinstance(data, bytes) else repr(data).encode("utf-8", "surrogatepass"))
    return digest.digest()


def differing_attributes(collection: Collection, path: str, entries: Sequence[int]) -> list[str]:
    """Name the attributes that differ and do not decide what values mean."""
    series = collection.series[path]
    distinct = list(dict.fromkeys(series.forms[entry] for entry in entries))
    others = [collection.forms.all[form].others for form in distinct]
    names = dict.fromkeys(name for one in others for name in one)
    return [name for name in names if len({one.get(name) for one in others}) > 1]
