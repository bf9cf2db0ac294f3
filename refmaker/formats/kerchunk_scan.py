"""A file of a format that kerchunk scans, as a manifest like any other.

Contract: `scan_with_kerchunk` gives a manifest whose target is the file as refmaker's own source saw it, with
references that lie within it and what was refused by name. Options that say what is asked for work as in other scans.
kerchunk and the libraries behind it are called by one thread at a time, as some of these are not made for several, in a
process apart (`refmaker.formats.apart`). What they raise becomes a `FormatError`.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, Literal, TypeAlias

import numpy as np

from refmaker.errors import FormatError, Unsupported
from refmaker.formats.apart import scan_apart
from refmaker.formats.detect import Format, require
from refmaker.formats.kerchunk_references import Found, codecs_of
from refmaker.linked.address_space import AddressSpace
from refmaker.manifest.manifest import Manifest, ManifestArray, ObjectReport, Target
from refmaker.manifest.zarr_conversion import with_zarr_format
from refmaker.mapping.chunks import read_ranges
from refmaker.path_filter import PathFilter
from refmaker.sources.open import is_local
from refmaker.urls import links

__all__ = ["ScanOptions", "finished", "scan_with_kerchunk"]

Step: TypeAlias = Callable[[], Sequence["Step"]]

_ONE_AT_A_TIME: Final = threading.Lock()


@dataclass(frozen=True, slots=True)
class ScanOptions:
    """What is asked for; see the parameters of `scanning.inspect`."""

    selection: PathFilter
    inline_threshold: int
    zarr_format: Literal[2, 3]
    strict: bool


def scan_with_kerchunk(
    kind: Format,
    url: str,
    storage_options: Mapping[str, Any] | None,
    space: AddressSpace,
    run: Callable[[Sequence[Step]], None],
    scan_options: ScanOptions,
) -> Manifest:
    """Have kerchunk scan a file.

    Parameters
    ----------
    space
        The file, as it was opened.
    run
        Runs steps, which may miss bytes, to their end.

    Raises
    ------
    Unsupported
        Packages are missing, or nothing in the file can be expressed; with `strict`, if anything cannot.
    FormatError
        kerchunk's scanner fails on it.
    """
    require(kind)
    found = _scanned(kind, url, {} if storage_options is None else storage_options, space)
    return finished(found, space, run, scan_options, by=" with kerchunk")


def finished(
    found: Found,
    space: AddressSpace,
    run: Callable[[Sequence[Step]], None],
    scan_options: ScanOptions,
    *,
    by: str = "",
) -> Manifest:
    """Make the manifest that is asked for of what was found in a file. Parameters as in `scan_with_kerchunk`."""
    manifest = _manifest(found, space, scan_options, by)
    if scan_options.inline_threshold > 0:
        run([lambda: _inline_small(manifest, space, scan_options.inline_threshold)])
    for array in manifest.arrays.values():
        array.references = space.settle(array.references)
    if scan_options.zarr_format != manifest.zarr_format:
        manifest = _converted(manifest, scan_options.zarr_format)
    if scan_options.strict and manifest.refusals:
        path, reason = next(iter(manifest.refusals.items()))
        raise Unsupported(reason, path=path)
    return manifest


def _scanned(kind: Format, url: str, storage_options: Mapping[str, Any], space: AddressSpace) -> Found:
    # kerchunk is given the url that the target has, so that references need not be renamed.
    local = is_local(url)
    name = space.url if local else url
    if "::" in name and len(links(name)) == 1:
        raise Unsupported("kerchunk, which scans files of this format, takes no name with '::' in it: rename the file")
    with _ONE_AT_A_TIME:
        return scan_apart(kind, name, storage_options, space.window.size, local=local)


def _manifest(found: Found, space: AddressSpace, scan_options: ScanOptions, by: str) -> Manifest:
    """Make a manifest of what was found and is asked for."""
    selection = scan_options.selection
    if selection.prefix and selection.prefix not in found.groups:
        raise FormatError(f"no group {selection.group!r}; list the groups with `refmaker info`")
    arrays = {path: array for path, array in found.arrays.items() if selection.takes(path)}
    refused = {path: reason for path, reason in found.refusals.items() if selection.takes(path)}
    groups = {selection.relative(path): attrs for path, attrs in found.groups.items() if selection.inside(path)}
    reports = [ObjectReport("/", "group", "mapped")]
    for path, array in arrays.items():
        status: Literal["mapped", "inlined"] = "mapped" if len(array.references.cell) else "inlined"
        own = any(codec["id"].startswith("refmaker_") for codec in codecs_of(array))
        reports.append(ObjectReport("/" + path, "dataset", status, None, own, found.notes.get(path, [])))
    reports += [ObjectReport(path, "dataset", "refused", reason) for path, reason in refused.items()]
    return Manifest(
        zarr_format=2,
        groups={"": {}, **groups},
        arrays={selection.relative(path): array for path, array in arrays.items()},
        targets=(Target.of(space.url, space.version),),
        refusals={"/" + selection.relative(path.strip("/")): reason for path, reason in refused.items()},
        objects=reports,
        history=[f"scanned {space.url}{by}"],
        sources={
            selection.relative(path): (0, found.sources.get(path, "/" + path))
            for path in arrays
            if path in found.sources or selection.prefix
        },
    )


def _inline_small(manifest: Manifest, space: AddressSpace, threshold: int) -> list[Step]:
    """Read chunks of at most `threshold` bytes into the manifest."""
    kept: dict[str, ManifestArray] = {}
    for path, array in manifest.arrays.items():
        found = array.references
        small = found.size <= np.uint64(threshold)
        if small.any():
            blocks = read_ranges(space.read, found.offset[small].tolist(), found.size[small].tolist())
            inline = {**found.inline, **dict(zip(found.cell[small].tolist(), map(bytes, blocks), strict=True))}
            rest = ~small
            columns = (found.cell[rest], found.target[rest], found.offset[rest], found.size[rest])
            kept[path] = replace(array, references=type(found)(*columns, inline))
    manifest.arrays.update(kept)
    return []


def _converted(manifest: Manifest, zarr_format: Literal[2, 3]) -> Manifest:
    """Put metadata into the other Zarr format; the report says which arrays have no form in it."""
    converted = with_zarr_format(manifest, zarr_format)
    new = {path: reason for path, reason in converted.refusals.items() if path not in manifest.refusals}
    lines = [line for line in manifest.objects if line.path not in new]
    lines += [ObjectReport(path, "dataset", "refused", reason) for path, reason in new.items()]
    return replace(converted, objects=lines)
