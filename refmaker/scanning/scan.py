"""From a source file to a manifest: the stages one after the other.

Contract: `scan` gives a manifest in which every dataset of the file is mapped, inlined or refused by name. Which
formats there are, and what scans each, says the table of formats (`scanning.formats`). Local files miss no bytes,
so that their scan is one pass without an event loop.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any, Literal, Unpack, cast

from refmaker.driver import Driver, Progress
from refmaker.errors import RefmakerError, Unsupported, concealed, redact_error
from refmaker.hdf5.checksum import unverified
from refmaker.linked.address_space import AddressSpace
from refmaker.linked.permission import Permission
from refmaker.manifest.manifest import Manifest
from refmaker.mapping.build import DEFAULT_INLINE_LIMIT, BuildOptions
from refmaker.model import Tree
from refmaker.options import takes_options
from refmaker.path_filter import PathFilter
from refmaker.redaction import secrets_in, secrets_of
from refmaker.scanning.detect import detect_format
from refmaker.scanning.formats import FOLDERS, Format, ScanJob
from refmaker.scanning.handed_over import KerchunkFormat
from refmaker.scanning.options import ScanOptions
from refmaker.sources.local import LocalSource
from refmaker.sources.memory_budget import MemoryBudget
from refmaker.sources.objects import ReadableStore, Scannable, is_object, open_object
from refmaker.sources.open import open_source
from refmaker.sources.recording import RecordingWindow
from refmaker.urls import text_of
from refmaker.window import Source

__all__ = ["ScanResult", "scan_file", "scan"]


@dataclass(slots=True)
class ScanResult:
    """A scan with what it found on the way."""

    manifest: Manifest
    tree: Tree


@concealed
def scan_file(
    source: Scannable,
    *,
    url: str | os.PathLike[str] | None = None,
    filesystem: Any = None,
    store: ReadableStore | None = None,
    storage_options: Mapping[str, Any] | None = None,
    group: str = "/",
    include: Sequence[str] = (),
    exclude: Sequence[str] = (),
    inline_threshold: int = 0,
    inline_limit: int = DEFAULT_INLINE_LIMIT,
    zarr_format: Literal[2, 3] | None = None,
    portable: bool = False,
    strict: bool = False,
    measure: bool = False,
    follow_external_links: bool = True,
    other_files: bool = True,
    allow: Sequence[str | os.PathLike[str]] | None = None,
    keep_checksums: bool = False,
    verify_checksums: bool = True,
    records_per_chunk: int | None = None,
    consolidate: bool = True,
    progress: Callable[[Progress], None] | None = None,
    memory_budget: MemoryBudget | None = None,
) -> ScanResult:
    """Scan a source file; give its manifest and the tree it was made from.

    Parameters
    ----------
    source
        A local path or any fsspec url; the bytes of a file; a file that is open to be read as bytes; or a path in
        `filesystem` or in `store`.
    url
        What the manifest refers to, where that is not what was scanned. Needed for bytes, and for whatever else does
        not tell where it is from.
    filesystem
        A filesystem of fsspec that `source` is a path in.
    store
        A store that `source` is a path in: one of obstore, or any with obspec's `head` and `get_ranges`.
    storage_options
        Options of the fsspec filesystem.
    group
        The group of the file that becomes the root of the manifest.
    include, exclude
        Globs on paths in the file (`/a/b*`); a group's name stands for all in it.
    inline_threshold
        Chunks of at most so many stored bytes are read and kept in the manifest.
    inline_limit
        Bytes that the values of one array may take in the manifest where Zarr cannot address them in place.
    zarr_format
        Format of the Zarr metadata: 2, which more clients read, where none is given; of a Zarr store its own.
    portable
        Use no codec that only readers with refmaker installed have: what needs one is inlined, or refused.
    strict
        Raise the first refusal instead of recording it.
    measure
        Also find out how much of the file is metadata, in how many blocks (`Tree.metadata_size`, `metadata_blocks`).
    follow_external_links
        Show what external links lead to under the links' paths, as far as the files are reachable.
    other_files
        Open other files than this one at all: external links, virtual datasets, raw data. What needs one is refused.
    allow
        Where other files may be: directories, files, prefixes of urls. Without, HDF5 files may be where libhdf5 finds
        them, and raw data in the directory of the file that names them or below it.
    keep_checksums
        Leave the checksums of the fletcher32 filter in the references, for readers to verify.
    verify_checksums
        Verify the checksums of the file's own structures.
    records_per_chunk
        netCDF classic: records in a chunk of a variable whose records follow one another without anything between them,
        as those of the only record variable of a file. What is left over is kept in the manifest as the last chunk.
        Of other variables one record is a chunk, and a note in the report says so. Without the option, chunks of
        records that follow one another have about 4 MiB, and only whole divisors of the number of records.
    consolidate
        Read arrays whose references would take more of the manifest than their values, and keep them there as one
        chunk; the report says so.
    progress
        Called now and then.
    memory_budget
        Bounds the bytes that are held of remote files; for scans side by side, see `scan_many`.

    Returns
    -------
    ScanResult

    Raises
    ------
    SourceError
        If the file cannot be read, or changes while it is scanned; if it does not tell its url and none is given.
    FormatError
        If it is of no format that can be scanned, or is damaged where nothing can be read without it.
    Unsupported
        With `strict`, if anything would be refused; if packages for its format are not installed.

    Examples
    --------
    >>> import h5py, refmaker
    >>> with h5py.File("air.h5", "w") as file:
    ...     file["t"] = [280.0, 281.5]
    >>> result = refmaker.scan_file("air.h5", measure=True)
    >>> result.tree.kind, result.tree.size, list(result.manifest.arrays)
    ('hdf5', 2064, ['t'])
    """
    memory_budget = MemoryBudget() if memory_budget is None else memory_budget
    opened, url = _opened(source, url, filesystem, store, memory_budget)
    selection = PathFilter(group, tuple(include), tuple(exclude))
    if opened is None and (
        folder := _folder(url, storage_options, selection, inline_threshold, zarr_format, strict=strict)
    ):
        return folder
    options = BuildOptions(
        zarr_format=zarr_format or 2,
        inline_threshold=inline_threshold,
        inline_limit=inline_limit,
        portable=portable,
        keep_checksums=keep_checksums,
        consolidate=consolidate,
    )
    with _explained(url, storage_options), nullcontext() if verify_checksums else unverified():
        space = AddressSpace(opened or open_source(url, storage_options, memory_budget), storage_options, memory_budget)
        recorder = RecordingWindow(space.window) if measure else None
        job = ScanJob(
            url=url,
            storage_options=storage_options,
            space=space,
            window=recorder or space.window,
            driver=Driver(space, progress),
            selection=selection,
            options=options,
            permission=Permission(other_files, None if allow is None else tuple(map(text_of, allow))),
            strict=strict,
            follow_external_links=follow_external_links,
            records_per_chunk=_at_least_one(records_per_chunk),
            recorder=recorder,
            zarr_format=zarr_format,
        )
        return _scanned(job, opened)


def _scanned(job: ScanJob, opened: Source | None) -> ScanResult:
    """Scan a file with the format that it is of."""
    found = detect_format(job.window, job.driver)
    _check_source(found, opened)
    manifest, tree = found.read(job)
    _note(manifest, [note for file in job.space.files for note in getattr(file.source, "notes", ())])
    job.space.check_unchanged()
    return ScanResult(manifest, tree)


def _folder(
    url: str,
    storage_options: Mapping[str, Any] | None,
    selection: PathFilter,
    inline_threshold: int,
    zarr_format: Literal[2, 3] | None,
    *,
    strict: bool,
) -> ScanResult | None:
    """Scan a folder that is a source; None where a url is that of a file."""
    with _explained(url, storage_options):
        for kind in FOLDERS:
            manifest = kind.read(url, storage_options, selection, inline_threshold, zarr_format, strict)
            if manifest is not None:
                return ScanResult(manifest, Tree(url, 0, kind.name))
    return None


def _at_least_one(records_per_chunk: int | None) -> int | None:
    if records_per_chunk is not None and records_per_chunk < 1:
        raise ValueError(f"records_per_chunk must be at least 1, not {records_per_chunk}")
    return records_per_chunk


def _opened(
    source: Scannable,
    url: str | os.PathLike[str] | None,
    filesystem: Any,
    store: ReadableStore | None,
    memory_budget: MemoryBudget,
) -> tuple[Source | None, str]:
    """Return the source that a caller has at hand, None for a path or url, and the url of the target."""
    if is_object(source, filesystem, store):
        opened = open_object(source, url=url, filesystem=filesystem, store=store, memory_budget=memory_budget)
        return opened, opened.url
    if url is not None:
        raise TypeError("a path or url is scanned by itself: give `url` with bytes, a file, a filesystem or a store")
    return None, text_of(cast("str | os.PathLike[str]", source))


def _check_source(found: Format, opened: Source | None) -> None:
    """Refuse a format whose scanner opens the file itself, where there is none that it could open."""
    if opened is not None and not isinstance(opened, LocalSource) and isinstance(found, KerchunkFormat):
        raise Unsupported(
            f"{found.title} files are read by kerchunk, which opens them itself: scan it by its path or url"
        )


@contextmanager
def _explained(url: str, storage_options: Mapping[str, Any] | None) -> Iterator[None]:
    """Have errors name the file, and no secret."""
    try:
        yield
    except RefmakerError as error:
        if error.source is None:
            error.source = url
        redact_error(error, secrets_of(storage_options or {}) | secrets_in(url))
        raise


@takes_options(ScanOptions, scan_file)
def scan(
    source: Scannable,
    *,
    url: str | os.PathLike[str] | None = None,
    filesystem: Any = None,
    store: ReadableStore | None = None,
    **options: Unpack[ScanOptions],
) -> Manifest:
    """Scan a source file and return its manifest.

    Every dataset of the file is mapped, kept in the manifest, or refused by name (`Manifest.refusals`). Nothing is read
    of chunks that are mapped. Source: HDF5 File Format Specification 3.0; the netCDF classic formats.

    Parameters
    ----------
    source
        A local path or any fsspec url; the bytes of a file; a file that is open to be read as bytes; or a path in
        `filesystem` or in `store`.
    url
        What the manifest refers to, where that is not what was scanned. Needed for bytes, and for whatever else does
        not tell where it is from.
    filesystem
        A filesystem of fsspec that `source` is a path in.
    store
        A store that `source` is a path in: one of obstore, or any with obspec's `head` and `get_ranges`.
    **options
        Those of `scan_file`, which says what each of them means: `storage_options`, `group`, `include`, `exclude`,
        `inline_threshold` (bytes), `inline_limit` (bytes), `zarr_format`, `portable`, `strict` and so on.

    Returns
    -------
    Manifest

    Raises
    ------
    SourceError
        If the file cannot be read, or changes while it is scanned; if it does not tell its url and none is given.
    FormatError
        If it is of no format that can be scanned, or is damaged where nothing can be read without it.
    Unsupported
        With `strict`, if anything would be refused; if packages for its format are not installed.

    Examples
    --------
    >>> import h5py, refmaker
    >>> with h5py.File("air.h5", "w") as file:
    ...     dataset = file.create_dataset("t", data=[[280.0, 281.5]] * 6, chunks=(2, 2))
    >>> manifest = refmaker.scan("air.h5")
    >>> manifest.arrays["t"].metadata.shape, manifest.arrays["t"].grid, manifest.chunks
    ((6, 2), (3, 1), 3)

    The same from memory, for a file that readers will find elsewhere:

    >>> with open("air.h5", "rb") as file:
    ...     data = file.read()
    >>> refmaker.scan(data, url="https://example.org/air.h5").targets[0].url
    'https://example.org/air.h5'
    """
    return scan_file(source, url=url, filesystem=filesystem, store=store, **options).manifest


def _note(manifest: Manifest, notes: list[str]) -> None:
    """Add what is to be known of the files to the report of every dataset whose chunks lie in them."""
    for report in manifest.objects if notes else ():
        if report.kind == "dataset" and report.status == "mapped" and report.reason is None:
            report.notes = [*report.notes, *dict.fromkeys(notes)]
