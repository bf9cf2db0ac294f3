"""kerchunk JSON, versions 0 and 1: the reader.

Contract: a manifest is data, from anyone. Nothing in it is evaluated but integer arithmetic of generators; templates
are plain substitution, template calls are refused. What is malformed is a `ManifestError` with source, key, what was
expected and what is there; so is a key that stands twice and says two things. Nothing is guessed, and nothing ignored
except consolidated metadata (they repeat the rest) and keys outside the grid of their array (they cannot matter;
`Manifest.history` counts them). Source: kerchunk documentation, "References specification"; where that is silent, what
fsspec's `ReferenceFileSystem` does.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from refmaker.errors import ManifestError
from refmaker.kerchunk.chunk_columns import Chunks, inline_data
from refmaker.kerchunk.composites import composites_from_json
from refmaker.kerchunk.extension import check_extension, extension_lines, extension_notes, member, source_records
from refmaker.kerchunk.fast_json_reader import Run, UnusualError, parse_with_runs, starts_with
from refmaker.kerchunk.fetch import load_bytes
from refmaker.kerchunk.gc_paused import collection_paused
from refmaker.kerchunk.generators import generated
from refmaker.kerchunk.nodes import take_nodes
from refmaker.kerchunk.urls import UrlTable, url_table
from refmaker.manifest.manifest import Manifest
from refmaker.manifest.types import type_records
from refmaker.zarr.keys import check_key, chunk_like, owner_of, path_depth
from refmaker.zarr.strict_json import key_name, malformed, parse, shown

__all__ = ["load_json", "read_json"]

_MANY = 64
"""Rows of one array, from which on they are worth a few operations over columns."""


def load_json(path_or_url: str | os.PathLike[str], *, storage_options: Mapping[str, Any] | None = None) -> Manifest:
    """Read kerchunk JSON, plain or packed with gzip or zstd, from a local path or any fsspec url.

    Raises
    ------
    SourceError
        The manifest cannot be fetched.
    ManifestError
        It is malformed, or asks for what is not supported: see `read_json`.
    """
    data = load_bytes(path_or_url, storage_options=storage_options)
    return read_json(data, source=os.fsdecode(path_or_url))


def read_json(data: bytes, *, source: str) -> Manifest:
    """Read kerchunk JSON, version 0 or 1.

    Parameters
    ----------
    data
        The JSON text, in UTF-8.
    source
        Url or path of it, named in errors.

    Raises
    ------
    ManifestError
        The manifest is malformed, or has template calls, generators that do more than count, or a reference that is not
        a chunk of any of its arrays.
    """
    with collection_paused():
        return _read(data, source)


_SOURCES = {
    b"\x89HDF\r\n\x1a\n": "HDF5",
    **dict.fromkeys((b"CDF\1", b"CDF\2", b"CDF\5"), "netCDF classic"),
    **dict.fromkeys((b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"), "TIFF"),
    b"SIMPLE  =": "FITS",
    b"GRIB": "GRIB",
}
"""First bytes of what is scanned: whoever opens it as a manifest has mixed the two up."""


def _kind_of_source(data: bytes) -> str | None:
    return next((kind for magic, kind in _SOURCES.items() if data.startswith(magic)), None)


def _read(data: bytes, source: str) -> Manifest:
    if (kind := _kind_of_source(data)) is not None:
        message = f"this is a file of {kind}, not a manifest: `refmaker scan` makes a manifest of it"
        raise ManifestError(message, structure="manifest", source=source)
    found = parse_with_runs(data)
    if found is not None:
        text, document, runs = found
        try:
            return _understood(document, source, _Runs(text, np.frombuffer(data, "u1"), runs))
        except (UnusualError, ManifestError):
            pass  # parsed as a whole then, which finds what is wrong in the order of the text
    return _understood(parse(data, structure="manifest", source=source), source, None)


@dataclass(frozen=True, slots=True)
class _Runs:
    """Runs of references that were taken from a text."""

    text: str
    bytes: npt.NDArray[np.uint8]
    runs: list[Run]


def _understood(document: Any, source: str, runs: _Runs | None) -> Manifest:
    if not isinstance(document, dict):
        raise malformed("not a manifest", structure="manifest", expected="an object", got=document, source=source)
    if "version" in document:
        return _version_1(document, source, runs)
    if isinstance(document.get("refs"), dict):
        raise malformed("no version", structure="version", expected="1 where there are `refs`", got=None, source=source)
    return _manifest(document, UrlTable({}, source), runs)


def _version_1(document: dict[str, Any], source: str, runs: _Runs | None) -> Manifest:
    version = document["version"]
    if type(version) is not int or version != 1:
        raise malformed("unknown version", structure="version", expected="1, or none for 0", got=version, source=source)
    templates = member(document, "templates", source)
    if not all(isinstance(text, str) for text in templates.values()):
        raise malformed("bad member", structure="templates", expected="strings", got=templates, source=source)
    extension = member(document, "refmaker", source)
    if extension:
        check_extension(extension, source)
    if "refs" not in document and not document.keys() <= {"version", "templates", "gen"}:
        raise malformed("no references", structure="refs", expected="an object", got=None, source=source)
    refs = member(document, "refs", source)
    if runs is not None and document.get("gen"):
        raise UnusualError
    for key, value in generated(document.get("gen", []), templates, source):
        if refs.setdefault(key, value) != value:
            message = "a generator makes another reference than there is under this key"
            raise malformed(message, structure=key_name(key), expected=shown(refs[key]), got=value, source=source)
    manifest = _manifest(refs, url_table(templates, extension, source), runs)
    manifest.refusals = extension_lines(extension, "refusals", dict, source)
    manifest.history = extension_lines(extension, "history", list, source) + manifest.history
    manifest.notes = extension_notes(extension, source)
    manifest.sources = source_records(extension, manifest, source)
    manifest.types = type_records(extension, source)
    found = composites_from_json(extension, manifest.zarr_format, len(manifest.targets), source)
    manifest.composites = found[0]
    for path, reason in {**dict.fromkeys(found[0], ""), **found[1]}.items():
        manifest.arrays.pop(path, None)
        if reason:
            manifest.refusals["/" + path] = reason
    return manifest


def _manifest(refs: dict[str, Any], urls: UrlTable, runs: _Runs | None) -> Manifest:
    """Build the manifest of `refs`, which are used up."""
    source = urls.source
    manifest = take_nodes(refs, source)
    parts, others = _by_array(refs, manifest, source)
    if runs is not None:
        for run in runs.runs:
            _sort_run(runs, run, parts, manifest, source)
    for path, chunks in parts.items():
        manifest.arrays[path].references = chunks.references(urls)
        others.update({chunks.key(name): value for name, value in chunks.others.items()})
        if chunks.outside:
            manifest.outside[path] = chunks.outside
            manifest.history.append(f"read: {chunks.outside} keys outside the chunk grid of {path!r} left out")
    for key, value in others.items():
        manifest.extra[key] = _extra(key, value, source)
    manifest.targets = tuple(urls.targets)
    return manifest


def _by_array(refs: dict[str, Any], manifest: Manifest, source: str) -> tuple[dict[str, Chunks], dict[str, Any]]:
    """Sort keys to the arrays they stand below; give apart what stands below none."""
    arrays = manifest.arrays
    depth = path_depth(arrays)
    parts: dict[str, Chunks] = {}
    others: dict[str, Any] = {}
    prefix: str | tuple[()] = ()  # matches nothing
    for key, value in refs.items():
        if not key.startswith(prefix):  # the keys of an array mostly stand together
            owner = owner_of(key, arrays, depth)
            if owner is None:
                others[key] = value
                continue
            if owner not in parts:
                layout = arrays[owner].metadata.layout(structure=owner, source=source)
                parts[owner] = Chunks(owner, layout, source)
            chunks = parts[owner]
            prefix = chunks.key("")
            skip = len(prefix)
        chunks.names.append(key[skip:])
        chunks.values.append(value)
    return parts, others


def _extra(key: str, value: object, source: str) -> bytes:
    """Return the data of a key that is neither metadata nor a chunk."""
    if isinstance(value, list):
        message = "reference that is not a chunk of any array; refmaker.FileSystem takes it as a file with strict=False"
        raise malformed(message, structure=key_name(key), expected="a chunk key", got=value, source=source)
    check_key(key, source=source)
    return inline_data(key, value, source)


def _sort_run(runs: _Runs, run: Run, parts: dict[str, Chunks], manifest: Manifest, source: str) -> None:
    """Sort the rows of a run to the arrays that their keys stand below.

    Raises
    ------
    UnusualError
        A key is not one of a chunk.
    """
    text, depth = runs.text, path_depth(manifest.arrays)
    starts, stops = run.start.tolist(), run.stop.tolist()
    row = 0
    while row < len(starts):
        owner = owner_of(text[starts[row] : stops[row]], manifest.arrays, depth)
        if owner is None:
            raise UnusualError
        if owner not in parts:
            layout = manifest.arrays[owner].metadata.layout(structure=owner, source=source)
            parts[owner] = Chunks(owner, layout, source)
        chunks = parts[owner]
        lead = chunks.key(chunks.layout.head) if chunks.layout.grid else chunks.key("")
        stop = _same_lead(runs, run, lead, row)
        if chunks.layout.grid and stop - row >= _MANY:
            chunks.take(runs.bytes, run, slice(row, stop), len(lead))
        else:
            stop = row + 1
            _take_one(chunks, text[starts[row] + len(chunks.key("")) : stops[row]], run.value(row))
        row = stop


def _take_one(chunks: Chunks, name: str, value: list[Any]) -> None:
    if not chunk_like(name, chunks.layout):
        raise UnusualError
    chunks.from_runs = True
    chunks.names.append(name)
    chunks.values.append(value)


def _same_lead(runs: _Runs, run: Run, lead: str, row: int) -> int:
    """Return where the rows end whose keys begin as that of a row does."""
    last = row + _MANY - 1
    if last >= len(run.start) or not runs.text.startswith(lead, int(run.start[last])):
        return row + 1
    fits = starts_with(runs.bytes, run.start[row:], run.stop[row:], lead.encode())
    return len(run.start) if fits.all() else row + max(int(fits.argmin()), 1)
