"""A served tree as files: for any static server, and a Zarr store of its own.

Contract: chunks are written before metadata, and consolidated metadata last, so that a tree that is not complete opens
nowhere. A run that was ended goes on where it stopped, if manifest and options are the same; else it is refused. A
chunk that cannot be read ends the export. Memory is bounded by `BATCH`, or by the largest chunk.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from refmaker.errors import ManifestError, OutputError
from refmaker.manifest.manifest import Manifest
from refmaker.path_filter import PathFilter
from refmaker.replay.keys import names_of
from refmaker.replay.loading import LoadedManifest, manifest_state
from refmaker.serve.export_files import Files
from refmaker.serve.subset import subset
from refmaker.serve.tree import Tree, TreeFileSystem, TreeKind, converter
from refmaker.urls import locate
from refmaker.zarr.consolidated import consolidated_key

__all__ = ["BATCH", "ExportOptions", "ExportReport", "export_tree"]

BATCH = 64 << 20
"""Bytes of chunks that are read, and then written, together."""

_CELLS = 1 << 16
"""Chunks whose names are made together."""

STATE = ".refmaker-export.json"
"""Name of the file that says which export a directory is of, and whether it is complete."""


@dataclass(frozen=True, slots=True)
class ExportOptions:
    """What is exported.

    Attributes
    ----------
    kind
        Zarr format and view.
    paths, selection
        Arrays, and ranges of indices by dimension.
    storage_options
        For opening the manifest.
    options
        Of `refmaker.FileSystem`.
    """

    kind: TreeKind = field(default_factory=TreeKind)
    paths: PathFilter = field(default_factory=lambda: PathFilter("", (), ()))
    selection: Mapping[str, tuple[int, int | None]] = field(default_factory=dict)
    storage_options: Mapping[str, Any] = field(default_factory=dict, repr=False)
    options: Mapping[str, Any] = field(default_factory=dict, repr=False)


@dataclass(slots=True)
class ExportReport:
    """What an export came to: chunks written and found there already, their bytes, refusals of the manifest."""

    chunks: int = 0
    kept: int = 0
    bytes: int = 0
    metadata: int = 0
    verified: int = 0
    refusals: dict[str, str] = field(default_factory=dict)


def export_tree(
    manifest: str,
    files: Files,
    options: ExportOptions,
    *,
    verify: bool = False,
    progress: Callable[[ExportReport], None] | None = None,
) -> ExportReport:
    """Write a tree of a manifest as files.

    Parameters
    ----------
    manifest
        Path or url.
    files
        Where to.
    verify
        Read every chunk again, from its file and from the sources, and compare the two.

    Raises
    ------
    OutputError
        It cannot be written, or something else is there; or a file is not what was written.
    RefmakerError
        The manifest, or what it refers to, cannot be read.
    """
    from fsspec.asyn import get_loop, sync

    report: ExportReport = sync(get_loop(), _export, manifest, files, options, verify, progress)
    return report


async def _export(
    manifest: str,
    files: Files,
    options: ExportOptions,
    verify: bool,
    progress: Callable[[ExportReport], None] | None,
) -> ExportReport:
    tree = _tree(manifest, options)
    opened = await tree.opened()
    there = await asyncio.to_thread(_claim, manifest, files, options)
    report = ExportReport(refusals=dict(opened.lookup.manifest.refusals))
    for keys, sizes in _batches(opened):
        missing = [key for key, size in zip(keys, sizes, strict=True) if size is None or there.get(key) != size]
        report.kept += len(keys) - len(missing)
        for key, data in zip(missing, await _read(tree, missing), strict=True):
            await asyncio.to_thread(files.write, key, data)
            report.chunks += 1
            report.bytes += len(data)
        if progress is not None:
            progress(report)
    if verify:
        await _verify(tree, opened, files, report)
    await _metadata(tree, opened, files, report)
    await asyncio.to_thread(files.write, STATE, _state(manifest, options, complete=True))
    return report


def _tree(manifest: str, options: ExportOptions) -> Tree:
    convert = converter(options.kind.zarr_format)

    def adapt(held: Manifest) -> Manifest:
        part = subset(held, options.paths, options.selection)
        return part if convert is None else convert(part)

    view = "decoded" if options.kind.view == "decoded" else "transparent"
    fs = TreeFileSystem(
        manifest,
        adapt=adapt,
        view=view,
        target_options=options.storage_options,
        asynchronous=True,
        **options.options,
    )
    return Tree(fs, options.kind, None)


def _claim(manifest: str, files: Files, options: ExportOptions) -> dict[str, int]:
    """Make a directory that of this export, and return the sizes of what is there of it."""
    state = files.read(STATE)
    wanted = _state(manifest, options, complete=False)
    there = files.sizes()
    if state is None and there:
        raise OutputError("there are other files in the output directory; name a new one", got=min(there))
    if state is not None and _identity(state) != _identity(wanted):
        raise OutputError(
            "the output directory is of another export: the manifest changed since, or the options are others; name a "
            "new one, or remove it"
        )
    files.write(STATE, wanted)
    return there


def _state(manifest: str, options: ExportOptions, *, complete: bool) -> bytes:
    kind, paths = options.kind, options.paths
    version = manifest_state(locate(manifest), options.storage_options)
    chosen = (kind.zarr_format, kind.view, paths.group, paths.include, paths.exclude, sorted(options.selection.items()))
    what = repr((locate(manifest), version, chosen, options.options.get("chunk_target")))
    identity = hashlib.sha256(what.encode("utf-8", "surrogatepass")).hexdigest()
    return json.dumps({"identity": identity, "complete": complete}).encode()


def _identity(state: bytes) -> object:
    try:
        found = json.loads(state)
    except ValueError:
        return None
    return found.get("identity") if isinstance(found, dict) else None


def _batches(opened: LoadedManifest) -> Iterator[tuple[list[str], list[int | None]]]:
    """Yield keys of chunks, and their sizes where these are known, as many at a time as may be in memory."""
    keys: list[str] = []
    sizes: list[int | None] = []
    held = 0
    for key, size in _chunks(opened):
        if keys and held + (size or 0) > BATCH:
            yield keys, sizes
            keys, sizes, held = [], [], 0
        keys.append(key)
        sizes.append(size)
        held += BATCH if size is None else size
    if keys:
        yield keys, sizes


def _chunks(opened: LoadedManifest) -> Iterator[tuple[str, int | None]]:
    lookup = opened.lookup
    for path, array in lookup.manifest.arrays.items():
        if path in lookup.withheld:
            raise ManifestError(lookup.withheld[path], path=path)
        layout = lookup.layout(path)
        for _, part in array.references.windows(_CELLS):
            rows = names_of(layout, part.cell, f"{path}/" if path else "")
            yield from zip(rows, part.size.astype("i8").tolist(), strict=True)
            lead = f"{path}/" if path else ""
            yield from ((lead + layout.name(cell), len(data)) for cell, data in part.inline.items())
            yield from ((lead + layout.name(cell), None) for cell in part.whole)


async def _read(tree: Tree, keys: Sequence[str]) -> list[bytes]:
    if not keys:
        return []
    found: dict[str, bytes] = await tree.fs._cat(list(keys), on_error="raise")
    return [found[key] for key in keys]


async def _verify(tree: Tree, opened: LoadedManifest, files: Files, report: ExportReport) -> None:
    for keys, _ in _batches(opened):
        for key, data in zip(keys, await _read(tree, keys), strict=True):
            if await asyncio.to_thread(files.read, key) != data:
                raise OutputError("the file is not what the sources hold; export it again", path=key)
            report.verified += 1


async def _metadata(tree: Tree, opened: LoadedManifest, files: Files, report: ExportReport) -> None:
    """Write the documents of all nodes, those of the root last and the consolidated one behind them."""
    lookup = opened.lookup
    consolidated = consolidated_key(lookup.manifest.zarr_format)
    keys = [f"{path}/{name}" if path else name for path in _nodes(opened) for name in lookup.documents(path)]
    if "" in lookup.groups:
        keys = [key for key in keys if key != consolidated] + [consolidated]
    for key in keys:
        data = (await tree.entity(key)).data
        if data is None:
            raise OutputError("metadata are not in the manifest", path=key)
        await asyncio.to_thread(files.write, key, data)
        report.metadata += 1


def _nodes(opened: LoadedManifest) -> list[str]:
    """Return the paths of all nodes, from the deepest to the root."""
    paths = {*opened.lookup.groups, *opened.lookup.manifest.arrays}
    return sorted(paths, key=lambda path: (-path.count("/") if path else 1, path))
