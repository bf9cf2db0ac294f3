"""A Zarr store as a manifest like any other.

Contract: every array of the store is mapped, inlined or refused by name. References lead to the files of the store, of
shards to the chunks in them; every file that is referred to is a target with its own version, and the document of the
root is one too, the first. Chunks that the store does not have are not there: what could not be told is an error.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np

from refmaker import limits
from refmaker.errors import FormatError, RefmakerError, Unsupported
from refmaker.manifest.manifest import Manifest, ManifestArray, ObjectReport
from refmaker.manifest.references import References
from refmaker.manifest.zarr_conversion import with_zarr_format
from refmaker.path_filter import PathFilter
from refmaker.redaction import strip_credentials
from refmaker.zarr.chunk_grid import check_extents, grid_of
from refmaker.zarr.chunk_keys import ChunkLayout
from refmaker.zarr.data_types import numpy_dtype
from refmaker.zarr.metadata import ArrayMetadata
from refmaker.zarr_stores.cells import by_array, cell_of, is_spelt_otherwise, pattern_of
from refmaker.zarr_stores.nodes import Nodes, read_nodes
from refmaker.zarr_stores.shards import Rows, expanded
from refmaker.zarr_stores.store import NODE_LEAVES, Range, Store, read_ranges

__all__ = ["StoreOptions", "as_asked", "scan_store"]


@dataclass(frozen=True, slots=True)
class StoreOptions:
    """What is asked for; see the parameters of `scan_file`. `zarr_format` None is that of the store."""

    selection: PathFilter
    inline_threshold: int
    zarr_format: Literal[2, 3] | None
    strict: bool


@dataclass(slots=True)
class _Built:
    """What became of the arrays so far; targets are those of the store, until all are known."""

    arrays: dict[str, ManifestArray] = field(default_factory=dict)
    reports: dict[str, ObjectReport] = field(default_factory=dict)


def scan_store(store: Store, options: StoreOptions) -> Manifest:
    """Scan an opened store.

    Raises
    ------
    FormatError
        It has no metadata, or the group that is asked for is not there.
    SourceError
        It cannot be read, or changes meanwhile.
    Unsupported
        With `strict`, if anything would be refused.
    """
    nodes = read_nodes(store)
    selection = options.selection
    if selection.prefix and selection.prefix not in nodes.groups:
        raise FormatError(f"no group {selection.group!r} in the store", source=store.url)
    chosen = {path: array for path, array in nodes.arrays.items() if selection.takes(path)}
    if not store.listed:
        store.look_up(_all_keys(store, chosen))
    data = (key for key in store.entries if key.rpartition("/")[2] not in NODE_LEAVES)
    built, below = _Built(), by_array(data, nodes.arrays)
    for path, array in chosen.items():
        _build(store, path, array, below[path], options, built)
    refused = {path: reason for path, reason in nodes.refusals.items() if selection.takes(path)}
    for path, reason in refused.items():
        built.reports["/" + path] = ObjectReport("/" + path, "dataset", "refused", reason)
    store.check_unchanged()
    manifest = _manifest(store, nodes, built, selection)
    return as_asked(manifest, options)


def _all_keys(store: Store, arrays: dict[str, ManifestArray]) -> list[str]:
    """Return the keys of all chunks of arrays, for a server that lists nothing; `Store.look_up` bounds them."""
    count = sum(array.cells for array in arrays.values())
    if count > limits.STORE_REQUESTS:
        message = "the server lists nothing, and there are more chunks than are asked for one by one: scan some arrays"
        raise FormatError(message, source=store.url, expected=f"<= {limits.STORE_REQUESTS}", got=count)
    keys = []
    for path, array in arrays.items():
        layout = array.metadata.layout(structure=path)
        keys += [_below(path, layout.name(cell)) for cell in range(array.cells)]
    return keys


def _below(path: str, tail: str) -> str:
    return f"{path}/{tail}" if path else tail


def _build(
    store: Store, path: str, array: ManifestArray, keys: list[str], options: StoreOptions, built: _Built
) -> None:
    """Build one array, or say why it is refused."""
    notes: list[str] = []
    try:
        check_extents(array.metadata.shape)
        made = _array(store, path, array, keys, options.inline_threshold, notes)
    except RefmakerError as error:
        if options.strict:
            error.path = "/" + path
            raise
        built.reports["/" + path] = ObjectReport("/" + path, "dataset", "refused", str(error), notes=notes)
        return
    built.arrays[path] = made
    held = made.references
    status: Literal["mapped", "inlined"] = "inlined" if held.inline and not len(held.cell) else "mapped"
    built.reports["/" + path] = ObjectReport("/" + path, "dataset", status, notes=notes)


def _array(
    store: Store, path: str, array: ManifestArray, keys: list[str], threshold: int, notes: list[str]
) -> ManifestArray:
    layout = array.metadata.layout(structure=path)
    rows, found = _rows(store, path, layout, keys, notes)
    metadata = array.metadata
    try:
        metadata, rows = expanded(store, found, rows, metadata)
    except Unsupported as reason:
        notes.append(f"shards are chunks, as the chunks in them have no place of their own: {reason.message}")
    grid = grid_of(metadata.shape, metadata.chunk_shape)
    _check_sizes(metadata, rows)
    return replace(array, metadata=metadata, grid=grid, references=_references(store, found, rows, grid, threshold))


def _references(store: Store, keys: list[str], rows: Rows, grid: tuple[int, ...], threshold: int) -> References:
    """Return references of chunks; those of at most `threshold` bytes are read."""
    cell = np.zeros(len(rows.key), "i8")
    for axis, extent in enumerate(grid):
        cell = cell * extent + rows.position[:, axis]
    small = (rows.size <= threshold) & (threshold > 0)
    columns = rows.key[small].tolist(), rows.start[small].tolist(), rows.size[small].tolist()
    ranges = [Range(keys[key], start, size) for key, start, size in zip(*columns, strict=True)]
    inline = dict(zip(cell[small].tolist(), read_ranges(store, ranges), strict=True))
    order = np.argsort(cell, kind="stable")
    order = order[~small[order]]
    key, entries = rows.key[order], [store.entries[key] for key in keys]
    target = np.array([one.target for one in entries], "u4")[key]
    offset = np.array([one.offset for one in entries], "u8")[key] + rows.start[order].astype("u8")
    return References(cell[order], target, offset, rows.size[order].astype("u8"), inline)


def _rows(store: Store, path: str, layout: ChunkLayout, keys: list[str], notes: list[str]) -> tuple[Rows, list[str]]:
    """Return the chunks, or shards, that the keys below an array are, and the keys of these."""
    pattern, cut = pattern_of(layout), len(path) + 1 if path else 0
    found, positions = [], []
    outside = strange = 0
    for key in sorted(keys):
        match = pattern.fullmatch(key, cut)
        if match is None:
            strange += is_spelt_otherwise(key[cut:])
        elif cell_of(match, layout) is None:
            outside += 1
        else:
            problem = store.entries[key].problem
            if problem is not None:
                raise Unsupported(f"the chunk {key[cut:]}: {problem}")
            found.append(key)
            positions.append([int(text) for text in match.groups()])
    if strange and not found:
        message = f"its chunks are spelt otherwise than its metadata say: {layout.name(0)!r} would be the first"
        raise Unsupported(message, got=sorted(keys)[0][cut:])
    if outside:
        notes.append(f"{outside} chunks in the store lie outside the array, and are left out")
    rank = len(layout.grid)
    sizes = np.array([store.entries[key].size for key in found], "i8")
    position = np.array(positions, "i8").reshape(len(found), rank)
    return Rows(np.arange(len(found)), position, np.zeros(len(found), "i8"), sizes), found


def _check_sizes(metadata: ArrayMetadata, rows: Rows) -> None:
    """Refuse an array of which a chunk without codecs is not as long as its elements."""
    dtype = None if metadata.codecs else numpy_dtype(metadata)
    if dtype is None or dtype.hasobject:
        return
    size = math.prod(metadata.chunk_shape) * dtype.itemsize
    wrong = rows.size != size
    if wrong.any():
        got = int(rows.size[int(wrong.argmax())])
        raise FormatError("a chunk stored without compression is not as long as its elements", expected=size, got=got)


def _manifest(store: Store, nodes: Nodes, built: _Built, selection: PathFilter) -> Manifest:
    """Put the manifest together, with the targets that it refers to."""
    first = store.entries[nodes.document].target
    codes = [array.references.target for array in built.arrays.values()]
    used = np.unique(np.concatenate([*codes, np.array([first], "u4")])).astype("i8")
    used = np.concatenate([[first], used[used != first]]).astype("i8")
    number = np.zeros(max(len(store.targets), 1), "u4")
    number[used] = np.arange(len(used), dtype="u4")
    arrays = {}
    for path, array in built.arrays.items():
        references = replace(array.references, target=number[array.references.target])
        arrays[selection.relative(path)] = replace(array, references=references)
    groups = {selection.relative(path): attrs for path, attrs in nodes.groups.items() if selection.inside(path)}
    reports = [ObjectReport("/" + path, "group", "mapped") for path in nodes.groups if selection.inside(path)]
    reports += built.reports.values()
    return Manifest(
        zarr_format=nodes.zarr_format,
        groups=groups if "" in arrays else {"": {}, **groups},
        arrays=arrays,
        targets=tuple(store.targets[code] for code in used.tolist()),
        refusals={
            "/" + selection.relative(one.path.strip("/")): one.reason or ""
            for one in reports
            if one.status == "refused"
        },
        objects=reports,
        history=[f"scanned {strip_credentials(store.url)}"],
        sources={
            selection.relative(path): (0, "/" + path) for path in built.arrays if selection.relative(path) != path
        },
    )


def as_asked(manifest: Manifest, options: StoreOptions) -> Manifest:
    """Put metadata into the Zarr format that is asked for; raise the first refusal where that is asked for."""
    if options.zarr_format is not None and options.zarr_format != manifest.zarr_format:
        converted = with_zarr_format(manifest, options.zarr_format)
        new = {path: reason for path, reason in converted.refusals.items() if path not in manifest.refusals}
        lines = [line for line in manifest.objects if line.path not in new]
        lines += [ObjectReport(path, "dataset", "refused", reason) for path, reason in new.items()]
        manifest = replace(converted, objects=lines)
    if options.strict and manifest.refusals:
        path, reason = next(iter(manifest.refusals.items()))
        raise Unsupported(reason, path=path)
    return manifest
