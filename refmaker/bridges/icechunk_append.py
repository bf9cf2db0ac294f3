"""Whether an array can follow one that is in a repository, and how.

Contract: what is appended reads as xarray would concatenate it, or the commit fails and nothing is written. Metadata
and the attributes that decide what values mean are the same, other axes have the same length, coordinates go on in the
direction in which they went. Chunks are appended as references where the array ends with a whole chunk; where it does
not, the values of small arrays are written. Arrays without the dimension have the same values in both.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal, TypeAlias

import numpy as np

from refmaker import limits
from refmaker.combining.encodings import DECODING
from refmaker.errors import OutputError
from refmaker.manifest.manifest import Manifest, ManifestArray
from refmaker.zarr.metadata import ArrayMetadata

__all__ = ["Appending", "How", "plan_append", "values_of"]

How: TypeAlias = Literal["references", "values", "nothing"]


@dataclass(frozen=True, slots=True)
class Appending:
    """How an array of a manifest is appended.

    Attributes
    ----------
    how
        "references": chunks; "values": decoded and written; "nothing": the repository has the same values.
    axis, length
        Of the dimension, and how long it is in the repository.
    """

    how: How
    axis: int = 0
    length: int = 0


def plan_append(
    path: str, manifest: Manifest, place: str, document: Mapping[str, Any], store: Any, dimension: str
) -> Appending:
    """Return how an array is appended to the one of the same name in a repository.

    Parameters
    ----------
    path, place
        Of the array, in the manifest and in the repository.
    document
        Its `zarr.json` in the repository.
    store
        Of the session.
    dimension
        The one that grows.

    Raises
    ------
    OutputError
        It cannot be appended.
    """
    array = manifest.arrays[path]
    attributes = dict(document.get("attributes") or {})
    there = ArrayMetadata.from_json({key: value for key, value in document.items() if key != "attributes"})
    _same_meaning(place, array.attributes, attributes)
    names = list(array.metadata.dimension_names(array.attributes) or ())
    if names != list(there.dimension_names(attributes) or ()):
        raise _unlike(place, "dimensions", there.dimension_names(attributes), names)
    values = partial(values_of, manifest, path), partial(_stored, store, place)
    if dimension not in names:
        _same_values(place, array, there, *values)
        return Appending("nothing")
    axis = names.index(dimension)
    _same_shape(place, there.shape, array.metadata.shape, axis)
    if names == [dimension] and place.rpartition("/")[2] == dimension:
        _follows(place, array, *values)
    length = there.shape[axis]
    alike = _comparable(there, array.metadata) and there.chunk_shape == array.metadata.chunk_shape
    if alike and length % there.chunk_shape[axis] == 0:
        return Appending("references", axis, length)
    if there.data_type != array.metadata.data_type or there.fill_value != array.metadata.fill_value:
        raise _unlike(place, "data type or fill value", there.data_type, array.metadata.data_type)
    if "refmaker.hdf5" in there.codec_names:
        raise OutputError("the last chunk is not whole, and its codec cannot write another one", path="/" + place)
    _small(place, array, "its chunks do not follow those of the repository, so that its values would be written")
    return Appending("values", axis, length)


def _same_meaning(place: str, new: Mapping[str, Any], old: Mapping[str, Any]) -> None:
    for name in DECODING:
        if new.get(name) != old.get(name):
            raise _unlike(place, f"attribute {name}", old.get(name), new.get(name))


def _same_shape(place: str, old: tuple[int, ...], new: tuple[int, ...], axis: int) -> None:
    if old[:axis] + old[axis + 1 :] != new[:axis] + new[axis + 1 :]:
        raise _unlike(place, "lengths of other dimensions", old, new)


def _comparable(old: ArrayMetadata, new: ArrayMetadata) -> bool:
    """Return whether chunks of both are decoded alike."""
    return (old.data_type, old.codec_names, old.endian, old.fill_value, old.numcodecs_configs()) == (
        new.data_type,
        new.codec_names,
        new.endian,
        new.fill_value,
        new.numcodecs_configs(),
    )


def _unlike(place: str, what: str, old: object, new: object) -> OutputError:
    return OutputError(f"cannot be appended: {what} differ", path="/" + place, expected=old, got=new)


def _small(place: str, array: ManifestArray, why: str) -> None:
    """Make sure that an array is small enough to be read."""
    itemsize = 16  # at most, of what coordinates are
    size = itemsize * int(np.prod(array.metadata.shape, dtype=float))
    if size > limits.COMBINED_VALUES:
        raise OutputError(
            f"cannot be appended: {why}, and they are too many", path="/" + place, got=array.metadata.shape
        )


def _same_values(place: str, array: ManifestArray, there: ArrayMetadata, new: Any, old: Any) -> None:
    """Make sure that an array without the dimension is what the repository has."""
    if there.shape != array.metadata.shape:
        raise _unlike(place, "shapes", there.shape, array.metadata.shape)
    _small(place, array, "its values have to be the same as in the repository")
    if not _equal(np.asarray(new()), np.asarray(old())):
        raise OutputError(
            "cannot be appended: the values differ from those in the repository, and it does not have the dimension",
            path="/" + place,
        )


def _equal(new: np.ndarray, old: np.ndarray) -> bool:
    if new.dtype.kind in "fc":
        return bool(np.array_equal(new, old, equal_nan=True))
    return bool(np.array_equal(new, old))


def _follows(place: str, array: ManifestArray, new: Any, old: Any) -> None:
    """Make sure that a coordinate goes on as it went, and has no value twice."""
    _small(place, array, "its values have to follow those of the repository")
    before, after = np.asarray(old()), np.asarray(new())
    if before.dtype.kind not in "iuf" or not len(before) or not len(after):
        return
    whole = np.concatenate([before, after])
    if len(np.unique(whole)) < len(whole) and len(np.unique(before)) == len(before):
        raise OutputError("cannot be appended: the repository has some of its values already", path="/" + place)
    steps = np.sign(np.diff(before))
    for direction in (1, -1):
        if len(steps) and (steps == direction).all() and not (np.sign(np.diff(whole)) == direction).all():
            raise OutputError(
                "cannot be appended: its values do not follow those of the repository",
                path="/" + place,
                expected=f"beyond {before[-1]}",
                got=after[0],
            )


def values_of(manifest: Manifest, path: str) -> np.ndarray:
    """Read an array through its manifest."""
    import zarr

    from refmaker.replay.filesystem import FileSystem

    store = zarr.storage.FsspecStore(FileSystem(manifest, asynchronous=True), read_only=True, path="")
    found: np.ndarray = np.asarray(zarr.open_array(store=store, path=path, mode="r")[...])
    return found


def _stored(store: Any, place: str) -> np.ndarray:
    """Read an array of the repository."""
    import zarr

    found: np.ndarray = np.asarray(zarr.open_array(store=store, path=place, mode="r")[...])
    return found
