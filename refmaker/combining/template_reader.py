"""Manifests that share their keys, read by columns.

Contract: gives exactly what the reader of kerchunk JSON gives, or nothing. The first manifest with certain keys is read
in the ordinary way, and what its keys mean is remembered: which is the chunk in which cell of which array. Others with
the same keys and the same chunk grids differ only in values, which are checked as the ordinary reader checks them; at
anything unusual the ordinary reader has to say what it is. An archive has thousands of such manifests.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from refmaker.combining.collection import Collection
from refmaker.errors import ManifestError
from refmaker.kerchunk.json_writer import read_json
from refmaker.kerchunk.values import Extension, extension_of, inline_data
from refmaker.manifest.manifest import Manifest
from refmaker.manifest.types import type_records
from refmaker.replay.keys import cell_of
from refmaker.replay.policy import Policy
from refmaker.urls import resolve
from refmaker.zarr.keys import owner_of, path_depth
from refmaker.zarr.metadata import ArrayMetadata
from refmaker.zarr.node_documents import NODE_KEYS, split_attributes
from refmaker.zarr.strict_json import parse

__all__ = ["QuickReader"]

_TEMPLATES = 16
"""Sets of keys that are remembered; the oldest makes way."""
_MOST_KEYS = 100_000
"""Manifests with more keys are read in the ordinary way, as every template keeps its keys."""
_DOCUMENTS = 1 << 16
"""Metadata documents that are remembered by their text; beyond, all are forgotten at once."""
_METADATA = (".zarray", ".zattrs", ".zgroup", "zarr.json", ".zmetadata")


@dataclass(frozen=True, slots=True)
class _Array:
    """Where the values of an array stand among those of a manifest.

    Attributes
    ----------
    metadata, attributes
        Places of these documents, -1 for none.
    places
        Of the chunks, in the order of their cells.
    """

    path: str
    metadata: int
    attributes: int
    grid: tuple[int, ...]
    places: tuple[int, ...]
    keys: tuple[str, ...]
    cells: npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class _Template:
    """What the keys of a manifest mean. `groups` has the place of the document with the attributes, -1 for none."""

    arrays: tuple[_Array, ...]
    groups: tuple[tuple[str, int], ...]
    zarr_format: Literal[2, 3]


class QuickReader:
    """Reads manifests into a collection."""

    def __init__(self, collection: Collection) -> None:
        self.collection = collection
        self._templates: dict[tuple[str, ...], _Template | None] = {}
        self._documents: dict[str, dict[str, Any]] = {}
        self._forms: dict[tuple[str, str, str], tuple[int, tuple[int, ...], tuple[int, ...]]] = {}

    def add(self, name: str, data: bytes, base: str) -> bool:
        """Read a manifest, if it is one of those that are known here; else give False, with nothing done.

        Parameters
        ----------
        name
            Of the input.
        base
            Where it lies.
        """
        document = parse(data, structure="manifest", source=name)
        if not isinstance(document, dict) or document.get("version") != 1 or not isinstance(document.get("refs"), dict):
            return False
        if document.get("gen") or document.get("templates"):
            return False
        keys = tuple(document["refs"])
        if keys not in self._templates:
            self._learn(keys, data, name)
        template = self._templates.get(keys)
        return template is not None and self._add(name, base, document, template)

    def _learn(self, keys: tuple[str, ...], data: bytes, name: str) -> None:
        if len(self._templates) >= _TEMPLATES:
            self._templates.pop(next(iter(self._templates)))
        manifest = read_json(data, source=name)
        self._templates[keys] = None if len(keys) > _MOST_KEYS else _template_of(keys, manifest)

    def _add(self, name: str, base: str, document: dict[str, Any], template: _Template) -> bool:
        values: list[Any] = list(document["refs"].values())
        extension = extension_of(document, name)
        ours = document.get("refmaker") or {}
        if extension is None or "composites" in ours:
            return False
        types = type_records(ours, name)
        entries = []
        for array in template.arrays:
            own = None if types is None else types.get(array.path, {})
            known = self._form(array, values, template.zarr_format, own)
            entry = None if known is None else self._entry(array, values, name)
            if known is None or entry is None:
                return False
            entries.append((array.path, known, entry))
        groups = {}
        for path, place in template.groups:
            found = {} if place < 0 else self._document(values[place])
            if found is None:
                return False
            inside = split_attributes(template.zarr_format, found)[1]
            groups[path] = found if inside is None else inside
        self._put(name, base, extension, template, groups, entries)
        return True

    def _form(
        self, array: _Array, values: Sequence[Any], zarr_format: Literal[2, 3], types: Mapping[str, str] | None
    ) -> tuple[int, tuple[int, ...]] | None:
        """Return form and shape of an array, None where its chunk grid is another one."""
        metadata = values[array.metadata]
        attributes = values[array.attributes] if array.attributes >= 0 else "{}"
        if not isinstance(metadata, str) or not isinstance(attributes, str):
            return None
        key = metadata, attributes, repr(types)
        known = self._forms.get(key)
        if known is None:
            own, found = self._document(metadata), self._document(attributes)
            if own is None or found is None:
                return None
            own, inside = split_attributes(zarr_format, own)
            found = found if inside is None else inside
            made = ArrayMetadata.from_json(own, structure=array.path)
            grid = made.layout(structure=array.path).grid
            form = self.collection.forms.number(made, found, types)
            if len(self._forms) >= _DOCUMENTS:
                self._forms.clear()
            known = self._forms[key] = form, made.shape, grid
        return known[:2] if known[2] == array.grid else None

    def _document(self, text: object) -> dict[str, Any] | None:
        if not isinstance(text, str) or text.startswith("base64:"):
            return None
        if text not in self._documents:
            document = parse(text, structure="metadata", source=None)
            if not isinstance(document, dict):
                return None
            if len(self._documents) >= _DOCUMENTS:
                self._documents.clear()
            self._documents[text] = document
        return self._documents[text]

    @staticmethod
    def _entry(array: _Array, values: Sequence[Any], name: str) -> tuple[list[Any], dict[int, bytes]] | None:
        """Return the references of all chunks of an array, and what is inlined; None for anything unusual."""
        found = [values[place] for place in array.places]
        kinds = set(map(type, found))
        if kinds == {list} and set(map(len, found)) == {3}:
            return found, {}
        if kinds <= {str}:
            cells = array.cells.tolist()
            return [], {c: inline_data(k, v, name) for c, k, v in zip(cells, array.keys, found, strict=True)}
        return None

    def _put(
        self,
        name: str,
        base: str,
        extension: Extension,
        template: _Template,
        groups: dict[str, dict[str, Any]],
        entries: Sequence[tuple[str, tuple[int, tuple[int, ...]], tuple[list[Any], dict[int, bytes]]]],
    ) -> None:
        collection = self.collection
        references = [reference for _, _, (found, _) in entries for reference in found]
        urls, offset, size = _columns(references, name)
        table = extension.urls
        codes = {url: table[url] for url in dict.fromkeys(urls)}
        numbers = []
        for target in table.targets:
            url = resolve(target.url, base)
            Policy(base).check(url)
            numbers.append(collection.target(target if url == target.url else replace(target, url=url)))
        if len(codes) == 1:
            targets = np.full(len(urls), numbers[codes[urls[0]]], "u4")
        else:
            targets = np.fromiter((numbers[codes[url]] for url in urls), "u4", len(urls))
        number = collection.begin(name, template.zarr_format, groups, extension.history)
        collection.note(extension.notes)
        for path, reason in extension.refusals.items():
            collection.refusals.setdefault(path, {}).setdefault(reason, []).append(number)
        start = 0
        for array, (path, (form, shape), (found, inline)) in zip(template.arrays, entries, strict=True):
            part = slice(start, start + len(found))
            start += len(found)
            columns = array.cells[: len(found)], targets[part], offset[part], size[part]
            series = collection.series_of(path)
            entry = series.add(number, form, shape, columns)
            if inline:
                series.inline[entry] = {cell: collection.data(block) for cell, block in inline.items()}


def _columns(
    references: Sequence[list[Any]], name: str
) -> tuple[tuple[Any, ...], npt.NDArray[np.uint64], npt.NDArray[np.uint64]]:
    """Take references apart: urls, offsets, sizes."""
    if not references:
        return (), np.empty(0, "u8"), np.empty(0, "u8")
    urls, offsets, sizes = zip(*references, strict=True)
    numbers = []
    for values, what in ((offsets, "offset"), (sizes, "size")):
        # Types are compared exactly: JSON's true is a bool, which isinstance takes for an int.
        if set(map(type, values)) != {int} or min(values) < 0 or max(values) >= 1 << 64:
            raise ManifestError(f"invalid {what} in a reference", expected="integers in [0, 2**64)", source=name)
        numbers.append(np.array(values, "u8"))
    if set(map(type, urls)) != {str}:
        raise ManifestError("invalid url in a reference", expected="strings", source=name)
    # uint64 wraps around without a warning: a sum below its summand has overflowed.
    if (numbers[0] + numbers[1] < numbers[0]).any():
        raise ManifestError("a reference ends at 2**64 or beyond", source=name)
    return urls, numbers[0], numbers[1]


def _template_of(keys: tuple[str, ...], manifest: Manifest) -> _Template | None:
    """Work out what keys mean, from a manifest that has them; None where some of them are not metadata or chunks."""
    if manifest.extra or manifest.outside:
        return None
    place = {key: number for number, key in enumerate(keys)}
    chunks: dict[str, list[tuple[int, int, str]]] = {path: [] for path in manifest.arrays}
    layouts = {path: array.metadata.layout(structure=path) for path, array in manifest.arrays.items()}
    depth = path_depth(chunks)
    for key in keys:
        if key.rpartition("/")[2] in _METADATA:
            continue
        owner = owner_of(key, chunks, depth)
        cell = None if owner is None else cell_of(layouts[owner], key[len(owner) :].removeprefix("/"))
        if owner is None or cell is None:
            return None
        chunks[owner].append((cell, place[key], key))
    keys_of = NODE_KEYS[manifest.zarr_format]
    first, second = keys_of.array, keys_of.attributes or keys_of.group
    arrays = []
    for path, found in chunks.items():
        cells, places, names = zip(*sorted(found), strict=True) if found else ((), (), ())
        attributes = -1 if keys_of.attributes is None else place.get(_below(path, second), -1)
        own = _Array(
            path, place[_below(path, first)], attributes, layouts[path].grid, places, names, np.array(cells, "i8")
        )
        arrays.append(own)
    groups = tuple((path, place.get(_below(path, second), -1)) for path in manifest.groups)
    return _Template(tuple(arrays), groups, manifest.zarr_format)


def _below(path: str, name: str) -> str:
    return f"{path}/{name}" if path else name
