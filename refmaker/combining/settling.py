"""What is done about disagreements of inputs, as asked: leave out, compose, write anew, cut.

Contract: each function settles what it can, and says what that was; what nothing settles is a `CombineError` that names
options which would.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from refmaker.combining.collection import Collection
from refmaker.combining.comparing import Disagreement
from refmaker.combining.composing import COMPOSABLE, compose
from refmaker.combining.planning import Plan
from refmaker.combining.reading import Reader
from refmaker.combining.records import CombineError, Options
from refmaker.combining.reencode import rechunked, reencoded
from refmaker.combining.small_arrays import STORAGE, in_one_chunk, is_worth_it
from refmaker.combining.subchunks import subchunked
from refmaker.combining.uneven import uneven
from refmaker.errors import Unsupported
from refmaker.manifest.composite import Composite
from refmaker.manifest.manifest import Manifest, ManifestArray
from refmaker.manifest.references import References

__all__ = ["composed", "consolidate", "cut", "dropped", "inlined", "readers_of", "refusal", "resolved"]


def refusal(message: str, found: Sequence[Disagreement]) -> CombineError:
    """Return the error that lists disagreements, and names options that would settle them."""
    paths = [one.path for one in found if one.can_drop and one.path]
    remedy = None
    if len(paths) == len(found):
        left_out = " ".join(f"--exclude '/{path}'" for path in list(dict.fromkeys(paths))[:3])
        remedy = f"to combine the rest: --on-mismatch drop-variable, or {left_out}"
    return CombineError(message, [one.mismatch for one in found], remedy=remedy)


def dropped(collection: Collection, found: Sequence[Disagreement]) -> Collection:
    """Leave out the variables in which inputs do not agree, and refuse them by name."""
    fixed = [one for one in found if not one.can_drop]
    if fixed:
        raise refusal("the inputs do not agree in what cannot be left out", fixed)
    refusals = {path: {**reasons} for path, reasons in collection.refusals.items()}
    for one in found:
        reason = f"the inputs do not agree: {one.mismatch.what}"
        refusals.setdefault(one.mismatch.variable, {}).setdefault(reason, list(range(len(collection))))
    return replace(collection.without(one.path for one in found), refusals=refusals)


def consolidate(
    collection: Collection, plan: Plan, made: dict[str, References | ManifestArray | Composite], options: Options
) -> None:
    """Make one chunk of arrays whose values all stand in the inputs, where there would be many, or they do not fit."""
    for path, pieces in plan.pieces.items():
        own = [one.mismatch.what for one in plan.found if one.path == path]
        if path in made or path in plan.times or not set(own) <= set(STORAGE):
            continue
        if (pieces.entry < 0).any() or not (own or is_worth_it(collection, path, pieces)):
            continue
        array = in_one_chunk(collection, path, pieces, options.inline_limit)
        if array is not None:
            made[path] = array


def composed(
    collection: Collection,
    plan: Plan,
    found: Sequence[Disagreement],
    made: dict[str, References | ManifestArray | Composite],
) -> list[Disagreement]:
    """Put chunks of different lengths behind each other; return what that settled."""
    settled = []
    for path in dict.fromkeys(one.path for one in found):
        own = [one for one in found if one.path == path]
        if path not in plan.pieces or any(one.mismatch.what not in ("chunk grid", "partial chunk") for one in own):
            continue
        array = uneven(collection, path, plan.pieces[path])
        if array is not None:
            made[path] = array
            settled += own
    return settled


def resolved(
    collection: Collection,
    plan: Plan,
    found: Sequence[Disagreement],
    made: dict[str, References | ManifestArray | Composite],
) -> list[Disagreement]:
    """Put arrays together of pieces that are stored differently; return what that settled, if it settles all.

    Raises
    ------
    CombineError
        Something is left: each disagreement with the reason why.
    """
    left: list[Disagreement] = []
    for path in dict.fromkeys(one.path for one in found):
        own = [one for one in found if one.path == path]
        others = [one for one in own if one.mismatch.what not in COMPOSABLE]
        if others or path not in plan.pieces:
            left += others or own
            continue
        try:
            made[path], notes = compose(collection, path, plan.pieces[path])
        except Unsupported as error:
            left += [replace(one, mismatch=replace(one.mismatch, reason=error.message)) for one in own]
            continue
        collection.note(notes)
    if left:
        raise refusal("the inputs do not agree", left)
    return list(found)


def readers_of(path: str, manifest: Manifest) -> list[str]:
    """Say who reads an array, where not all do."""
    if path in manifest.composites:
        return [f"/{path}: assembled from pieces that are stored differently: read by engine='refmaker', refmaker://"]
    array = manifest.arrays[path]
    if array.metadata.chunk_lengths is None:
        return []
    needs = "" if array.metadata.encoded_chunk is None else ", with refmaker installed"
    readers = "engine='refmaker', refmaker:// (view='regular') and zarr-python 3.2 or later"
    return [f"/{path}: chunks of different lengths: read by {readers} with array.rectilinear_chunks set{needs}"]


def inlined(
    collection: Collection,
    plan: Plan,
    found: Sequence[Disagreement],
    made: dict[str, References | ManifestArray | Composite],
    options: Options,
    reader: Reader,
    tried: set[tuple[str, str]],
) -> Collection:
    """Write chunks anew, first those of other forms, then those that do not fit."""
    fixed = [one for one in found if not one.can_recode or (one.path, one.mismatch.what) in tried]
    if fixed:
        raise refusal("the inputs do not agree in what cannot be written anew", fixed)
    tried |= {(one.path, one.mismatch.what) for one in found}
    series = dict(collection.series)
    for path in dict.fromkeys(one.path for one in found):
        if not all(collection.forms.all[form].regular for form in set(collection.series[path].forms)):
            raise refusal("chunks of different lengths cannot be written anew", found)
        if all(one.mismatch.what == "partial chunk" for one in found if one.path == path):
            made[path], _ = rechunked(collection, path, plan.pieces[path], reader, options.inline_limit)
        else:
            held = collection.series[path]
            first = held.inputs.index(plan.first) if plan.first in held.inputs else 0
            series[path] = reencoded(collection, path, first, reader, options.inline_limit)
    return replace(collection, series=series)


def cut(
    collection: Collection, plan: Plan, found: Sequence[Disagreement], tried: set[tuple[str, str]]
) -> tuple[Collection, list[Disagreement]] | None:
    """Cut chunks where that alone makes arrays agree; None where it would for none."""
    series, which = dict(collection.series), []
    for path in dict.fromkeys(one.path for one in found):
        own = [one for one in found if one.path == path]
        if (path, "cut") in tried or any(one.mismatch.what not in ("chunk grid", "partial chunk") for one in own):
            continue
        tried.add((path, "cut"))
        found_cut = subchunked(collection, path, plan.pieces[path]) if path in plan.pieces else None
        if found_cut is not None:
            series[path] = found_cut
            which += own
    return (replace(collection, series=series), which) if which else None
