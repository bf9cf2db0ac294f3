"""Hold a manifest against the original files.

Contract: what is right is what libhdf5 (through h5py) and netCDF-C (through netCDF4) say of the original files; what is
compared is what unmodified zarr reads through the manifest. In order: the files are those that were scanned; references
can be true of them; every array has the same values; nothing that was refused can be read. Everything that could not be
compared is said to be so: a report without findings means that all is the same, as far as it was asked for.
"""

from __future__ import annotations

import math
import os
import warnings
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from functools import partial
from typing import Any, Literal, TypeAlias

import numpy as np

from refmaker.errors import RefmakerError, SourceError, concealed
from refmaker.extras import install_command
from refmaker.manifest.manifest import Manifest, ManifestArray
from refmaker.replay.loading import load
from refmaker.replay.lookup import Lookup
from refmaker.replay.targets import Access, Targets
from refmaker.urls import is_local, text_of
from refmaker.verification.compare_array import ArrayResult, Comparison, Difference
from refmaker.verification.compare_combined import CombinedArray, compare_files
from refmaker.verification.compare_composite import compare_composite
from refmaker.verification.containers import Member
from refmaker.verification.coordinates import Coordinates
from refmaker.verification.inputs import Part, is_combined, parts_of
from refmaker.verification.originals import Originals
from refmaker.verification.retrying import CountedRetries
from refmaker.verification.sampling import Cells, blocks_of, choose, stored_cells
from refmaker.verification.targets import TargetResult, check_targets, reference_problems
from refmaker.verification.through_xarray import ShownResult, compare_shown
from refmaker.verification.values import MissingCounterpart, TypeMismatch, counted
from refmaker.zarr.chunk_keys import ChunkLayout

__all__ = ["ArrayResult", "Difference", "Progress", "ShownResult", "TargetResult", "VerifyReport", "manifest_options"]
__all__ += ["verify"]

_OpenArray: TypeAlias = Callable[[str, Literal[2, 3]], Any]

DEFAULT_SAMPLE = 64
_TEXT_SIZE = 64
"""Bytes that a piece of text is taken to have, when blocks are made."""


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a verification is: the array at work, chunks done and chunks to be done in all.

    Of a combined manifest it is the file, and how many files. `unit` is "chunk" or "file".
    """

    path: str
    done: int
    known: int
    unit: str = "chunk"


@dataclass(slots=True)
class VerifyReport:
    """What was found.

    Attributes
    ----------
    manifest
        Its path or url, None for one made in memory.
    sample
        Chunks of each array that were to be compared, None for all.
    refused
        Path in the source -> reason, as the manifest has it.
    files
        Of a combined manifest, the files that it was compared with; 0 for any other.
    repeated
        Requests that had to be made again, as the server asked to wait or a connection was lost.
    shown
        What xarray shows of the manifest beside what it shows of the file; None where that was not asked for, or the
        manifest is not of one HDF5 or netCDF file.
    """

    manifest: str | None
    sample: int | None
    targets: list[TargetResult] = field(default_factory=list)
    arrays: list[ArrayResult] = field(default_factory=list)
    refused: dict[str, str] = field(default_factory=dict)
    files: int = 0
    repeated: int = 0
    shown: ShownResult | None = None

    @property
    def differences(self) -> int:
        """Number of targets and arrays that are not as the manifest has them, and of what xarray shows otherwise."""
        changed = sum(target.status != "same" for target in self.targets)
        shown = 0 if self.shown is None else len(self.shown.differences)
        return changed + shown + sum(array.status in ("differs", "unreadable") for array in self.arrays)

    @property
    def skipped(self) -> int:
        """Number of arrays that could not be compared."""
        return sum(array.status == "skipped" for array in self.arrays)

    @property
    def failed(self) -> bool:
        """Whether a target could not be read at all."""
        return any(target.status == "unreadable" for target in self.targets)

    def to_dict(self) -> dict[str, Any]:
        """Return the report as JSON has it."""
        return {**asdict(self), "differences": self.differences, "skipped": self.skipped}


@concealed
def verify(
    manifest: str | os.PathLike[str] | Manifest,
    *,
    sample: int | None = DEFAULT_SAMPLE,
    storage_options: Mapping[str, Any] | None = None,
    progress: Callable[[Progress], None] | None = None,
    xarray: bool = True,
    open_array: _OpenArray | None = None,
) -> VerifyReport:
    """Hold a manifest against the original files.

    Parameters
    ----------
    manifest
        Path or url of it, or the manifest itself.
    sample
        Chunks of each array to compare, about: always the same ones, with the first, the last and missing ones among
        them. None compares all. A combined manifest is compared with each of its files, of a sample with some of them.
    storage_options
        Options of the fsspec filesystem of the targets, and of the manifest if it is not local. Keys that are url
        prefixes hold the options for what lies below them: `{"s3://a": {"anon": true}}`.
    progress
        Called after every block of chunks.
    xarray
        Compare as well what xarray shows of the manifest with what it shows of the file.
    open_array
        Gives the Zarr array to compare, from path and Zarr format: by default the manifest's.

    Raises
    ------
    SourceError
        The manifest cannot be fetched, or the installed zarr does not read it.
    ManifestError
        It is malformed.

    Returns
    -------
    VerifyReport
        Its `differences` is 0 where all is the same, as far as it was asked for.

    Examples
    --------
    >>> import h5py, refmaker
    >>> with h5py.File("air.h5", "w") as file:
    ...     file["t"] = [280.0, 281.5]
    >>> report = refmaker.verify(refmaker.scan("air.h5"), xarray=False)
    >>> report.differences, [(array.path, array.status) for array in report.arrays]
    (0, [('/t', 'same')])
    """
    options: Mapping[str, Any] = storage_options or {}
    named = None if isinstance(manifest, Manifest) else text_of(manifest)
    opened = load(manifest, None, manifest_options(named, options)).result()
    opened.lookup.manifest.load()
    targets = Targets(opened.lookup.manifest.targets, opened.location, Access(remote_options=options))
    report = VerifyReport(named, sample, refused=dict(opened.lookup.manifest.refusals))
    retries = CountedRetries()
    report.targets = check_targets(targets, retries)
    open_array = open_array or _zarr_reader(manifest, named, options, opened.lookup.manifest)
    manifest_ = opened.lookup.manifest
    with Originals(targets, partial(_extent, manifest_)) as originals:
        run = _Run(opened.lookup, report, originals, open_array, sample, progress)
        if is_combined(manifest_):
            run.combined()
        else:
            run.arrays()
        report.repeated = retries.repeated + originals.retries.repeated
    if xarray and not is_combined(manifest_) and len(report.targets):
        known = report.targets[0].status == "same"
        place = targets.location(0)[0] if known else None
        given = {"target_options": manifest_options(named, options), "remote_options": dict(options)}
        report.shown = compare_shown(manifest_, named, place, given, full=sample is None)
    return report


def _extent(manifest: Manifest, code: int) -> tuple[int, int] | None:
    """Return the first byte of a target that is referred to, and the one behind the last."""
    first, stop = [], []
    tables = [array.references for array in manifest.arrays.values()]
    for references in [*tables, *(one.references for one in manifest.composites.values())]:
        mine = (references.target == code) & (references.size > 0)
        if mine.any():
            first.append(int(references.offset[mine].min()))
            stop.append(int((references.offset[mine] + references.size[mine]).max()))
    return (min(first), max(stop)) if first else None


def manifest_options(name: str | None, options: Mapping[str, Any]) -> Mapping[str, Any]:
    """Choose options for the manifest: those of the longest prefix that fits, else the plain ones."""
    if name is None or is_local(name):
        return {}
    fitting = [prefix for prefix in options if "://" in prefix and name.startswith(prefix)]
    if fitting:
        return dict(options[max(fitting, key=len)])
    return {key: value for key, value in options.items() if "://" not in key}


def _zarr_reader(manifest: Any, name: str | None, options: Mapping[str, Any], held: Manifest) -> _OpenArray:
    """Make a function that opens arrays with zarr, from path and Zarr format.

    The targets have been looked at: here they are read even if they have changed, so that it is known what that means.
    """
    try:
        import zarr
    except ImportError as error:
        how = install_command("examples")
        raise SourceError(f"values are compared with what zarr reads, which is not installed: {how}") from error
    from refmaker.replay.filesystem import FileSystem

    given: dict[str, Any] = {"target_options": manifest_options(name, options), "remote_options": options}
    if not all(array.metadata.is_regular for array in held.arrays.values()):
        given["view"] = "regular"  # older versions of zarr know no other grid
    if hasattr(zarr.storage, "FsspecStore"):
        fs = FileSystem(manifest, check="off", asynchronous=True, **given)
        store: Any = zarr.storage.FsspecStore(fs, read_only=True, path="")
        return lambda path, form: zarr.open_array(store=store, path=path, mode="r", zarr_format=form)
    if held.zarr_format > int(zarr.__version__.split(".")[0]):
        raise SourceError(f"the manifest has Zarr 3 metadata, which zarr {zarr.__version__} does not read")
    mapper = FileSystem(manifest, check="off", **given).get_mapper("", check=False, create=False)
    return lambda path, form: zarr.open_array(store=mapper, path=path, mode="r")


@dataclass(slots=True)
class _Plan:
    """What is to be done for an array: the chunks to compare (None: all), the number of missing ones, what is known."""

    path: str
    array: ManifestArray
    layout: ChunkLayout
    cells: Cells | None
    missing: int
    problems: list[str]

    @property
    def chunks(self) -> int:
        """Number of chunks to compare."""
        return self.array.cells if self.cells is None else len(self.cells)


@dataclass(slots=True)
class _Run:
    """One verification."""

    lookup: Lookup
    report: VerifyReport
    originals: Originals
    open_array: _OpenArray
    sample: int | None
    progress: Callable[[Progress], None] | None
    done: int = 0

    def arrays(self) -> None:
        """Compare all arrays; those of one file stand together."""
        manifest = self.lookup.manifest
        plans = [self._plan(path, array) for path, array in manifest.arrays.items()]
        known = sum(plan.chunks for plan in plans)
        results = {}
        for plan in sorted(plans, key=lambda plan: self._source(plan.path)[0]):
            results[plan.path] = self._array(plan, known)
        self.report.arrays = [*(results[path] for path in manifest.arrays), *self._composites()]

    def _opened(self, form: Literal[2, 3], path: str) -> Any:
        return self.open_array(path, form)

    def _composites(self) -> list[ArrayResult]:
        manifest = self.lookup.manifest
        return [
            compare_composite(path, manifest, partial(self._opened, manifest.zarr_format), self.sample)
            for path in manifest.composites
        ]

    def combined(self) -> None:
        """Compare all arrays with the files that they were made of, file by file."""
        manifest, form = self.lookup.manifest, self.lookup.manifest.zarr_format
        coordinates = Coordinates(manifest, self.originals, lambda path: self.open_array(path, form))
        parts = parts_of(manifest, self.originals, self.sample)
        self.report.files = len(parts)

        def done(part: Part, number: int) -> None:
            if self.progress is not None:
                self.progress(Progress(manifest.targets[part.code].url, number, len(parts), "file"))

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # zarr's remarks on data types are no findings
            sides = [CombinedArray.of(coordinates, path) for path in manifest.arrays]
            for side in sides:
                for problem in self._plan(side.path, side.array).problems:
                    side.problem("differs", problem)
            self.report.arrays = [*(side.result for side in sides), *self._composites()]
            compare_files(sides, parts, self.sample, self._open_target, done)

    def _source(self, path: str) -> tuple[int, str]:
        """Return the target, and the path in it, of the object that an array shows."""
        return self.lookup.manifest.sources.get(path, (0, "/" + path))

    def _plan(self, path: str, array: ManifestArray) -> _Plan:
        manifest = self.lookup.manifest
        layout = self.lookup.layout(path)
        sizes = [result.size for result in self.report.targets]
        problems = list(reference_problems(array, layout, manifest.targets, sizes))
        if path in manifest.outside:
            problems.append(f"{counted(manifest.outside[path], 'key')} outside the chunk grid")
        refused = next((refused for refused in manifest.refusals if _lies_in("/" + path, refused)), None)
        if refused is not None:
            problems.append(f"{refused} was refused when the manifest was made, and can be read all the same")
        stored = stored_cells(array.references)
        stored = stored[(stored >= 0) & (stored < array.cells)]
        cells = choose(path, array.cells, stored, self.sample)
        return _Plan(path, array, layout, cells, array.cells - len(stored), problems)

    def _array(self, plan: _Plan, known: int) -> ArrayResult:
        result = ArrayResult("/" + plan.path, "same", chunks=plan.array.cells)
        start = self.done
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # zarr's remarks on data types are no findings
                self._compare(plan, result, partial(self._count, plan.path, known))
        except MissingCounterpart as error:
            result.status, result.reason = "differs", error.message
            if self._may_be_combined(plan.path):
                unsaid = "the manifest does not say which objects of its targets the array is made of"
                result.status, result.reason = "skipped", f"{error.message}; {unsaid}"
        except TypeMismatch as error:
            result.status, result.reason = "differs", error.message
        except _UnreadableError as error:
            result.status, result.reason = "unreadable", error.message
        except RefmakerError as error:
            result.status, result.reason = "skipped", str(error)
        self.done = start + plan.chunks
        if plan.problems:
            result.status = "differs"
            result.reason = "; ".join([*plan.problems, *([result.reason] if result.reason else [])])
        return result

    def _count(self, path: str, known: int, chunks: int) -> None:
        self.done += chunks
        if self.progress is not None:
            self.progress(Progress("/" + path, self.done, known))

    def _compare(self, plan: _Plan, result: ArrayResult, progress: Callable[[int], None]) -> None:
        """Compare the values. Raises `RefmakerError` where the original cannot be had."""
        code, path = self._source(plan.path)
        self._open_target(code)
        try:
            shown = self.open_array(plan.path, self.lookup.manifest.zarr_format)
        except Exception as error:  # zarr raises errors of many kinds
            cause = str(error) if isinstance(error, RefmakerError) else f"{type(error).__name__}: {error}"
            raise _UnreadableError("zarr cannot open it: " + cause.split("\n", 1)[0]) from error
        original = self.originals.find(code, path, np.dtype(shown.dtype))
        if plan.missing and not original.undefined and plan.array.metadata.fill_value is None:
            plan.problems.append(f"{counted(plan.missing, 'chunk')} missing without a fill value")
        item = _TEXT_SIZE if shown.dtype.kind in "OT" else shown.dtype.itemsize
        blocks = blocks_of(plan.array.grid, item * math.prod(shown.chunks), plan.cells)
        name = partial(_chunk_name, plan.layout)
        Comparison(original, shown, tuple(shown.chunks), name, result, progress).run(blocks)

    def _open_target(self, code: int, member: Member | None = None) -> None:
        if code >= len(self.report.targets):
            raise SourceError("the manifest has no target: there is nothing to compare with")
        target = self.report.targets[code]
        if target.status == "unreadable":
            raise SourceError(f"{target.url} cannot be read")
        try:
            self.originals.open(code, member)
        except SourceError as error:
            target.status, target.reason = "unreadable", error.message
            raise

    def _may_be_combined(self, path: str) -> bool:
        """Return whether an array may come from several files: then what it should be is not known."""
        manifest = self.lookup.manifest
        return path not in manifest.sources and len(manifest.targets) > 1


class _UnreadableError(SourceError):
    """An array that zarr cannot open."""


def _chunk_name(layout: ChunkLayout, position: tuple[int, ...]) -> str:
    return layout.name(int(np.ravel_multi_index(position, layout.grid)) if layout.grid else 0)


def _lies_in(path: str, other: str) -> bool:
    return path == other or path.startswith(other.rstrip("/") + "/")
