"""Chunks that hold nothing but the fill value, left out of a manifest.

Contract: `drop_fill_chunks` gives a manifest of the same values: a chunk goes only if all of its bytes, decoded, are
those of the value that a missing chunk reads as. Chunks are read as replay reads them, so that a file that changed is
an error, and decoded with every size bounded. What cannot be decoded stays; notes say what was done.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from hashlib import blake2b
from typing import Any

import numpy as np
import numpy.typing as npt

from refmaker.combining.encodings import ArrayEncoding, ArrayEncodings
from refmaker.combining.reading import Reader
from refmaker.combining.values import decoded, dtype_of, fill_of
from refmaker.errors import RefmakerError, Unsupported, concealed
from refmaker.kerchunk.open import open_manifest
from refmaker.manifest.manifest import Manifest, ManifestArray
from refmaker.zarr.fill_values import encode_fill

__all__ = ["drop_fill_chunks"]

_WINDOW = 1024
"""Chunks whose references are looked at together."""

_KEPT = 1 << 16
"""Chunks of different bytes of which it is remembered what they hold: background is often the same bytes."""


@dataclass(slots=True)
class _Constants:
    """The chunks of an array that hold one value everywhere, by the bytes of that value."""

    cells: dict[bytes, list[int]] = field(default_factory=dict)
    known: dict[bytes, bytes | None] = field(default_factory=dict)

    def look(self, cell: int, data: bytes, encoding: ArrayEncoding) -> None:
        """Take a chunk in."""
        digest = blake2b(data, digest_size=16).digest()
        if digest in self.known:
            value = self.known[digest]
        else:
            value = _constant(decoded(encoding, encoding.chunks, {0: data}))
            if len(self.known) < _KEPT:
                self.known[digest] = value
        if value is not None:
            self.cells.setdefault(value, []).append(cell)


@concealed
def drop_fill_chunks(
    manifest: str | os.PathLike[str] | Manifest, *, storage_options: Mapping[str, Any] | None = None
) -> Manifest:
    """Return a manifest without the chunks that hold nothing but the fill value.

    All chunks are read and decoded, once. Where the metadata name no fill value, as in Zarr 2 where no chunk is
    missing, it becomes `_FillValue`, or else the value that most chunks hold alone.

    Parameters
    ----------
    manifest
        Path or url of it, or the manifest itself.
    storage_options
        Options of the fsspec filesystem of the targets.

    Raises
    ------
    SourceError
        A chunk cannot be read.
    FormatError
        A chunk does not decode.

    Examples
    --------
    >>> import h5py, refmaker
    >>> with h5py.File("air.h5", "w") as file:
    ...     dataset = file.create_dataset("t", data=[0, 0, 0, 0, 1, 2], chunks=(2,), compression="gzip")
    >>> manifest = refmaker.drop_fill_chunks(refmaker.scan("air.h5"))
    >>> manifest.arrays["t"].references.cell.tolist(), manifest.arrays["t"].metadata.fill_value
    ([2], 0)
    """
    options = {} if storage_options is None else storage_options
    opened = manifest if isinstance(manifest, Manifest) else open_manifest(manifest, storage_options=options)
    opened.load()
    reader = Reader(opened.targets, options)
    arrays, notes, dropped = {}, {}, 0
    for path, array in opened.arrays.items():
        try:
            arrays[path], count, notes[path] = _without(reader, path, array)
            dropped += count
        except Unsupported as error:
            arrays[path], notes[path] = array, [f"not looked at for chunks of fill: {error.message}"]
    return replace(
        opened,
        arrays=arrays,
        objects=[
            replace(line, notes=[*line.notes, *notes.get(line.path.strip("/"), [])]) if line.reason is None else line
            for line in opened.objects
        ],
        notes=opened.notes
        if opened.objects
        else [*opened.notes, *(f"/{path}: {note}" for path, own in notes.items() for note in own)],
        history=[*opened.history, f"left out {dropped} chunks that hold nothing but the fill value"],
    )


def _without(reader: Reader, path: str, array: ManifestArray) -> tuple[ManifestArray, int, list[str]]:
    """Return an array without its chunks of fill, how many these were, and what is to be noted."""
    encodings = ArrayEncodings()
    encodings.number(array.metadata, array.attributes)
    encoding = encodings.all[0]
    if dtype_of(encoding).hasobject:
        return array, 0, []
    found = _Constants()
    for _, window in array.references.windows(_WINDOW):
        for cell, data in next(iter(reader.each([replace(window, whole={})], path))).items():
            try:
                found.look(cell, data, encoding)
            except RefmakerError as error:
                error.path = f"/{path}"
                raise
    value = _fill(array, encoding, found)
    gone = np.array(found.cells.get(value.tobytes(), []), "i8")
    if not len(gone):
        return array, 0, []
    held = array.references
    rows = ~np.isin(held.cell, gone)
    left = set(gone.tolist())
    references = replace(
        held,
        cell=held.cell[rows],
        target=held.target[rows],
        offset=held.offset[rows],
        size=held.size[rows],
        inline={cell: data for cell, data in held.inline.items() if cell not in left},
    )
    stated = array.metadata.fill_value
    metadata = array.metadata
    notes = [f"{len(gone)} of {array.cells} chunks hold nothing but the fill value {value}, and are left out"]
    if stated is None:
        metadata = metadata.with_fill_value(encode_fill(value, value.dtype))
        if metadata.masks_fill_value and not _is_masked(array, value):
            notes.append(f"xarray masks {value} in this array, which it did not while no chunk was missing")
    return replace(array, metadata=metadata, references=references), len(gone), notes


def _fill(array: ManifestArray, encoding: ArrayEncoding, found: _Constants) -> np.generic:
    """Return the value that a missing chunk reads as, or that it may read as where the metadata do not say."""
    dtype = dtype_of(encoding)
    masked = array.attributes.get("_FillValue")
    if array.metadata.fill_value is not None:
        value: Any = fill_of(encoding)
    elif isinstance(masked, int | float) and dtype.kind in "iuf":
        value = masked
    elif masked is None and len(array.references) == array.cells:
        counts = Counter({data: len(cells) for data, cells in found.cells.items()})
        common = counts.most_common(1)
        value = np.frombuffer(common[0][0], dtype)[0] if common else np.zeros((), dtype)[()]
    else:
        raise Unsupported("the metadata name no fill value")
    try:
        made: np.generic = np.array([value]).astype(dtype)[0]
    except (OverflowError, ValueError) as error:
        raise Unsupported(f"the fill value {str(value)[:60]} is no element of the array") from error
    return made


def _is_masked(array: ManifestArray, value: np.generic) -> bool:
    """Return whether xarray masks a value already, or need not, as it shows NaN whatever was masked."""
    masked = array.attributes.get("_FillValue")
    if value.dtype.kind == "f" and np.isnan(value):
        return True
    return isinstance(masked, int | float) and bool(masked == value)


def _constant(values: npt.NDArray[Any]) -> bytes | None:
    """Return the bytes of the value that all elements are, None where they are not all the same."""
    if not values.size or not values.dtype.itemsize:
        return None
    rows = np.frombuffer(np.ascontiguousarray(values).tobytes(), "u1").reshape(values.size, values.dtype.itemsize)
    return rows[0].tobytes() if bool((rows == rows[0]).all()) else None
