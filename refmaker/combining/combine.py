"""Many manifests to one.

Contract: `combine` gives a manifest that xarray shows as it shows the concatenated inputs, or raises one `CombineError`
that names everything in which they do not agree. What is asked to be done about that is done variable by variable, and
recorded; nothing is padded, taken from one input for another, or left out without a word.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal, Unpack

from refmaker.combining.building import build
from refmaker.combining.choosing import chosen
from refmaker.combining.collection import Collection
from refmaker.combining.comparing import Disagreement
from refmaker.combining.loading import Input, collect, is_manifest
from refmaker.combining.new_dimension import with_new_dimension
from refmaker.combining.part_groups import grouped, split_parts
from refmaker.combining.planning import Plan, make_plan
from refmaker.combining.reading import Reader
from refmaker.combining.records import (
    DEFAULT_INLINE_LIMIT,
    Combination,
    CombinedDimension,
    CombineError,
    CombineOptions,
    Duplicates,
    OnMismatch,
    Options,
    Outcome,
    Progress,
)
from refmaker.combining.settling import composed, consolidate, cut, dropped, inlined, readers_of, refusal, resolved
from refmaker.engines.executor import EngineLike
from refmaker.errors import ManifestError, concealed
from refmaker.manifest.composite import Composite
from refmaker.manifest.manifest import Manifest, ManifestArray
from refmaker.manifest.references import References
from refmaker.options import takes_options
from refmaker.path_filter import PathFilter
from refmaker.urls import is_local, local_path, text_of

__all__ = ["append", "combine_with_report", "combine"]


@concealed
def combine_with_report(
    inputs: Input | Iterable[Input],
    *,
    concat: str | Sequence[str] | None = None,
    on_mismatch: OnMismatch = "compose",
    duplicates: Duplicates = "refuse",
    inline_limit: int = DEFAULT_INLINE_LIMIT,
    group: str = "/",
    include: Sequence[str] = (),
    exclude: Sequence[str] = (),
    storage_options: Mapping[str, Any] | None = None,
    zarr_format: Literal[2, 3] | None = None,
    jobs: int = 1,
    engine: EngineLike | None = None,
    spill: str | os.PathLike[str] | None = None,
    skip_failed: bool = False,
    progress: Callable[[Progress], None] | None = None,
) -> Combination:
    """Combine manifests, or source files, and say how it came about.

    Parameters
    ----------
    inputs
        Manifests, or paths or urls of manifests or of source files.
    concat
        Dimensions to put the inputs together along; () for none. None: those whose coordinates differ, where that is
        plain. A dimension may be new: the name of a scalar variable, or of a global attribute, of which each input has
        one; or `NAME=PATTERN`, a regular expression that finds the value in an input's name, in its group if it has
        one; `NAME=PATTERN:FORMAT`, a time that all groups together are in that format of `strptime`, such as
        `time=_([0-9]{8}):%Y%m%d`.
    on_mismatch
        What becomes of variables in which the inputs do not agree. "compose": chunks of different lengths, and partial
        ones, stay where they are, on a rectilinear chunk grid in Zarr 3; variables that are stored differently
        otherwise (packing, data types, fill values, codecs, byte order) become composite arrays with the values of
        `xarray.concat`, which `refmaker://` reads; nothing is made where neither is exact. "refuse": nothing is made.
        "drop-variable": they are left out, and refused by name. "split": uncompressed chunks are cut to fit; else the
        inputs are split into groups that agree, `part_0` and so on. "inline": chunks are written anew into the
        manifest, in the encoding of the first input, where that is exact.
    duplicates
        Which of two inputs with the same coordinate values is taken, in the order given; "refuse": neither.
    inline_limit
        Bytes that one array may take in the manifest.
    group
        Combine this group of the inputs only, as the root.
    include, exclude
        Globs over paths: combine only what one of `include` matches, and nothing that one of `exclude` does.
    storage_options
        Of the filesystem of inputs and targets that are not local.
    zarr_format
        Of the metadata of source files that are scanned; None: as the first input.
    jobs
        Processes that read inputs.
    engine
        What reads inputs that are not `Manifest`s, rather than processes of this machine: an engine of
        `refmaker.engines`, or any `concurrent.futures.Executor` (threads, processes, Dask's `get_executor`).
    spill
        Folder for a temporary file that takes the references of the inputs. Those of the combined manifest are then put
        in place when they are asked for, and `Manifest.to_parquet` takes the memory of a shard, not of all references.
    skip_failed
        Leave out inputs that cannot be read; `Combination.skipped` says which, and why. They are missing then.
    progress
        Called as inputs are read.

    Returns
    -------
    Combination

    Raises
    ------
    CombineError
        The inputs do not agree, or how they follow each other is not plain.
    RefmakerError
        An input, or a coordinate in a target, cannot be read.

    Examples
    --------
    >>> import h5py, refmaker
    >>> for day in (1, 2):
    ...     with h5py.File(f"{day}.nc", "w") as file:
    ...         file["time"], file["t"] = [day], [280.0 + day]
    ...         file["time"].make_scale("time")
    ...         file["t"].dims[0].attach_scale(file["time"])
    >>> result = refmaker.combine_with_report(["1.nc", "2.nc"])
    >>> [(one.path, one.length) for one in result.dimensions], result.outcomes
    ([('time', 2)], [])
    """
    given = [inputs] if isinstance(inputs, str | os.PathLike | Manifest) else list(inputs)
    if not given:
        raise CombineError("no inputs: give at least one manifest or file")
    options = Options(
        concat=None if concat is None else ((concat,) if isinstance(concat, str) else tuple(concat)),
        on_mismatch=on_mismatch,
        duplicates=duplicates,
        inline_limit=inline_limit,
        storage_options={} if storage_options is None else storage_options,
    )
    collection = collect(
        given,
        storage_options=options.storage_options,
        zarr_format=zarr_format,
        jobs=jobs,
        engine=engine,
        spill=spill,
        skip_failed=skip_failed,
        progress=progress,
    )
    skipped = collection.skipped
    if not len(collection):
        name, reason = next(iter(skipped.items()))
        raise CombineError(f"none of the inputs can be read: {reason}", source=name)
    collection = chosen(collection, PathFilter(group, tuple(include), tuple(exclude)))
    reader = Reader(collection.targets, options.storage_options)
    collection, along = with_new_dimension(_without_refused(collection), options.concat, reader)
    made = _combined(collection, replace(options, concat=along), reader)
    made.skipped = skipped
    return made


@takes_options(CombineOptions, combine_with_report)
def combine(inputs: Input | Iterable[Input], **options: Unpack[CombineOptions]) -> Manifest:
    """Combine manifests, or source files, to one manifest.

    Parameters
    ----------
    inputs
        Manifests, or paths or urls of manifests or of source files.
    **options
        Those of `combine_with_report`, which says what each of them means: `concat`, `on_mismatch`, `duplicates`,
        `inline_limit` (bytes), `group`, `include`, `exclude`, `storage_options`, `zarr_format`, `jobs`, `engine`,
        `spill`, `skip_failed`, `progress`.

    Returns
    -------
    Manifest
        What xarray shows of it is what it shows of the inputs concatenated.

    Raises
    ------
    CombineError
        The inputs do not agree, or how they follow each other is not plain.
    RefmakerError
        An input, or a coordinate in a target, cannot be read.

    Examples
    --------
    >>> import h5py, refmaker
    >>> for day in (1, 2):
    ...     with h5py.File(f"{day}.nc", "w") as file:
    ...         file["time"], file["t"] = [day], [280.0 + day]
    ...         file["time"].make_scale("time")
    ...         file["t"].dims[0].attach_scale(file["time"])
    >>> refmaker.combine(["1.nc", "2.nc"]).arrays["t"].metadata.shape
    (2,)
    """
    return combine_with_report(inputs, **options).manifest


@concealed
@takes_options(CombineOptions, combine_with_report)
def append_with_report(
    combined: str | os.PathLike[str] | Manifest, new: Input | Sequence[Input], **options: Unpack[CombineOptions]
) -> Combination:
    """Add inputs to a combined manifest, and say how it came about. See `append`."""
    if not isinstance(combined, Manifest) and not is_manifest(combined, options.get("storage_options")):
        name = text_of(combined)
        gone = is_local(name) and not os.path.exists(local_path(name))
        message = "there is no manifest to append to" if gone else "not a manifest: inputs can be appended only to one"
        raise ManifestError(f"{message}; `refmaker combine` makes one", source=name)
    if options.get("group", "/").strip("/"):
        raise CombineError("appended inputs keep their groups: combine the group of each first, by combine --group")
    added = [new] if isinstance(new, str | os.PathLike | Manifest) else list(new)
    made = combine_with_report([combined, *added], **options)
    if not isinstance(combined, Manifest) and (reason := made.skipped.get(text_of(combined))) is not None:
        raise ManifestError(f"nothing can be appended to it: {reason}", source=text_of(combined))
    if made.manifest.composites:
        # Readers would see other data types from one day to the next, and nothing could be appended any more
        paths = [f"/{path}" for path in made.manifest.composites]
        found = [one.mismatch for one in made.outcomes if one.mismatch.variable in paths]
        remedy = "combine all files together anew, or append with --on-mismatch drop-variable"
        raise CombineError("what is appended is stored differently", found, remedy=remedy)
    return made


@takes_options(CombineOptions, combine_with_report)
def append(
    combined: str | os.PathLike[str] | Manifest, new: Input | Sequence[Input], **options: Unpack[CombineOptions]
) -> Manifest:
    """Add inputs to a combined manifest.

    Only what is new is read: the coordinates of the others stand in the manifest.

    Parameters
    ----------
    combined
        The manifest, or its path or url. It is not changed.
    new
        One input, or several.
    **options
        Those of `combine_with_report`.

    Returns
    -------
    Manifest
        What `combine` gives for all inputs together, but for the history.

    Raises
    ------
    CombineError
        The inputs do not agree, or how they follow each other is not plain.
    ManifestError
        `combined` is not a manifest.
    RefmakerError
        An input, or a coordinate in a target, cannot be read.

    Examples
    --------
    >>> import h5py, refmaker
    >>> for day in (1, 2, 3):
    ...     with h5py.File(f"{day}.nc", "w") as file:
    ...         file["time"], file["t"] = [day], [280.0 + day]
    ...         file["time"].make_scale("time")
    ...         file["t"].dims[0].attach_scale(file["time"])
    >>> combined = refmaker.combine(["1.nc", "2.nc"])
    >>> refmaker.append(combined, "3.nc").arrays["t"].metadata.shape
    (3,)
    """
    return append_with_report(combined, new, **options).manifest


def _without_refused(collection: Collection) -> Collection:
    """Leave out what any input refused, wherever others have it."""
    gone = [
        path
        for path in collection.series
        if any(path == refused[1:] or path.startswith(refused[1:] + "/") for refused in collection.refusals)
    ]
    for path in gone:
        dimensions = collection.form(collection.series[path], 0).dimensions
        if dimensions == (path.rpartition("/")[2],):
            raise CombineError("an input refused a coordinate that other inputs have", path="/" + path)
    return collection.without(gone) if gone else collection


def _combined(collection: Collection, options: Options, reader: Reader) -> Combination:
    outcomes: list[Outcome] = []
    made: dict[str, References | ManifestArray | Composite] = {}
    tried: set[tuple[str, str]] = set()
    while True:
        plan = make_plan(collection, options, reader)
        if options.on_mismatch == "compose":
            consolidate(collection, plan, made, options)
        found = [one for one in plan.found if one.path not in made]
        if not found:
            manifest = build(collection, plan, made, options, reader)
            told = [line for path in made for line in readers_of(path, manifest)]
            manifest.notes = list(dict.fromkeys([*manifest.notes, *told]))
            return Combination(manifest, _dimensions(collection, plan), outcomes, plan.notes)
        if options.on_mismatch == "compose":
            settled = composed(collection, plan, found, made) or resolved(collection, plan, found, made)
            outcomes += [Outcome(one.mismatch, "composed") for one in settled]
            if not settled:
                raise refusal("the inputs do not agree", found)
        elif options.on_mismatch == "drop-variable":
            collection = dropped(collection, found)
            outcomes += [Outcome(one.mismatch, "dropped") for one in found]
        elif options.on_mismatch == "inline":
            collection = inlined(collection, plan, found, made, options, reader, tried)
            outcomes += [Outcome(one.mismatch, "inlined") for one in found]
        elif options.on_mismatch == "split":
            parted = cut(collection, plan, found, tried)
            if parted is None:
                return _split(collection, plan, found, options, reader, outcomes)
            collection, which = parted
            outcomes += [Outcome(one.mismatch, "split") for one in which]
        else:
            raise refusal("the inputs do not agree", found)


def _dimensions(collection: Collection, plan: Plan) -> tuple[CombinedDimension, ...]:
    found = []
    for key, axis in plan.axes.items():
        first: dict[int, int] = {}
        for number, block in axis.block_of.items():
            first.setdefault(block, number)
        names = tuple(collection.names[first[block]] for block in axis.used if block in first)
        found.append(CombinedDimension(key, axis.length, names))
    return tuple(found)


def _split(
    collection: Collection,
    plan: Plan,
    found: Sequence[Disagreement],
    options: Options,
    reader: Reader,
    outcomes: list[Outcome],
) -> Combination:
    """Part the inputs into groups that agree, and combine each of them."""
    fixed = [one for one in found if not one.labels]
    signatures: dict[tuple[int, ...], list[int]] = {}
    for number in range(len(collection)):
        signatures.setdefault(tuple(one.labels.get(number, -1) for one in found), []).append(number)
    if fixed or len(signatures) < 2:
        raise refusal("the inputs do not agree, and splitting them does not help", fixed or found)
    if options.concat is None and plan.axes:
        options = replace(options, concat=tuple(dict.fromkeys(plan.axes)))
    parts = [_combined(collection.part(inputs), options, reader) for inputs in signatures.values()]
    flat = [one for part in parts for one in split_parts(part.manifest)]
    outcomes += [Outcome(one.mismatch, "split") for one in found]
    outcomes += [outcome for part in parts for outcome in part.outcomes]
    notes = [note for part in parts for note in part.notes]
    return Combination(grouped(flat), tuple(d for part in parts for d in part.dimensions), outcomes, notes)
