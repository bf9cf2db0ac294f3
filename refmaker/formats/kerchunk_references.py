"""What kerchunk's scanners give, as columns: the parts of a manifest that is to be.

Contract: references of any other file than the one that was scanned are refused, metadata become strict JSON, and the
reader of manifests (`refmaker.kerchunk.json_writer`) checks the rest as it does for those of anyone. What is known to
be wrong or misleading in all formats is put right here: chunks that are all there need no fill value, which xarray
would take for a mask; large blocks without codecs are split.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

import numpy as np

from refmaker.errors import Unsupported
from refmaker.kerchunk.json_writer import read_json
from refmaker.manifest.manifest import Manifest, ManifestArray
from refmaker.manifest.references import References
from refmaker.mapping.layout import split_rows
from refmaker.zarr.chunk_grid import grid_of
from refmaker.zarr.codec_list import Codecs
from refmaker.zarr.data_types import numpy_dtype
from refmaker.zarr.metadata import make_metadata
from refmaker.zarr.zarr_dtype import ZarrDtype

__all__ = ["Found", "codecs_of", "inlined", "itemsize", "manifest_of", "number_text", "settled", "strict_value"]

METADATA: Final = (".zarray", ".zattrs", ".zgroup", ".zmetadata")
SPLIT: Final = 64 << 20


@dataclass(slots=True)
class Found:
    """What was found in a file.

    Attributes
    ----------
    groups, arrays
        By Zarr path; the root group is "".
    refusals
        Path ("/a") -> reason, of everything in the file that there is no array for.
    notes
        Path of an array -> lines for the report.
    sources
        Path of an array -> what it is in the file, where the file calls it otherwise.
    """

    groups: dict[str, dict[str, Any]] = field(default_factory=lambda: {"": {}})
    arrays: dict[str, ManifestArray] = field(default_factory=dict)
    refusals: dict[str, str] = field(default_factory=dict)
    notes: dict[str, list[str]] = field(default_factory=dict)
    sources: dict[str, str] = field(default_factory=dict)

    def note(self, path: str, line: str) -> None:
        """Add a line to the report of an array."""
        self.notes.setdefault(path, []).append(line)


def manifest_of(refs: Mapping[str, Any], url: str) -> Manifest:
    """Read the references of one scanner as a manifest, whose only target is the file that was scanned.

    Parameters
    ----------
    refs
        Key -> text, bytes, or `[url, offset, size]`.
    url
        As the scanner was given it.

    Raises
    ------
    ManifestError
        They are malformed.
    Unsupported
        They lead to other files.
    """
    document = {key: _strict_document(value) if _last(key) in METADATA else value for key, value in refs.items()}
    data = json.dumps({"version": 1, "refs": document}, default=_text).encode("utf-8", "surrogatepass")
    manifest = read_json(data, source=url)
    others = [target.url for target in manifest.targets if target.url != url]
    if others:
        raise Unsupported(f"its data are in other files, such as {others[0]!r}")
    if any(array.references.whole for array in manifest.arrays.values()):
        raise Unsupported("kerchunk's scanner refers to the whole file as a chunk")
    return manifest


def _last(key: str) -> str:
    return key.rpartition("/")[2]


def _text(value: object) -> str:
    if isinstance(value, bytes):
        return value.decode("utf-8")
    raise TypeError(f"{type(value).__name__} among references")


def _strict_document(value: Any) -> str:
    if isinstance(value, bytes):
        value = value.decode("utf-8")
    document = json.loads(value) if isinstance(value, str) else value
    return json.dumps(strict_value(document), allow_nan=False)


def strict_value(value: Any) -> Any:
    """Return a value as strict JSON has it: numbers that JSON lacks become the text that Zarr has for them."""
    if isinstance(value, dict):
        return {str(key): strict_value(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [strict_value(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return number_text(value)
    if value is None or isinstance(value, bool | int | float | str):
        return value
    return str(value)


def number_text(value: float) -> str:
    """Return the text that Zarr has for a number that is not finite."""
    return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"


def codecs_of(array: ManifestArray) -> list[dict[str, Any]]:
    """Return the configurations of an array's codecs, in the order of encoding."""
    return array.metadata.codecs


def dtype_of(array: ManifestArray) -> np.dtype[Any]:
    """Return the dtype of the elements of an array that kerchunk made.

    Raises
    ------
    Unsupported
        It is not known here.
    """
    try:
        found = numpy_dtype(array.metadata)
    except (TypeError, ValueError, KeyError, OverflowError, RecursionError) as error:
        raise Unsupported(f"the data type {str(array.metadata.data_type)[:80]}") from error
    if found is None:
        raise Unsupported(f"the data type {str(array.metadata.data_type)[:80]}")
    return found


def itemsize(array: ManifestArray) -> int:
    """Return the bytes of an element."""
    return dtype_of(array).itemsize


def settled(array: ManifestArray, size: int) -> ManifestArray:
    """Return an array that readers take for what it is.

    Parameters
    ----------
    size
        Bytes of the file.

    Raises
    ------
    Unsupported
        References lie beyond the end of the file, or are not as long as their chunks.
    """
    references, metadata = array.references, array.metadata
    stop = references.offset + references.size
    if (stop < references.offset).any() or (stop > np.uint64(size)).any():
        raise Unsupported(f"the file is truncated: it has {size} bytes, and chunks up to byte {int(stop.max())}")
    chunk = math.prod(metadata.chunk_shape) * itemsize(array)
    if not codecs_of(array) and (references.size != np.uint64(chunk)).any():
        wrong = int(references.size[references.size != np.uint64(chunk)][0])
        raise Unsupported(f"a chunk stored without compression has {wrong} bytes instead of {chunk}")
    if len(references) == array.cells:
        metadata = metadata.with_fill_value(None)
    # One target, of which nothing but its place is known yet.
    references = replace(references, target=np.broadcast_to(np.uint32(0), (len(references.cell),)))
    return _split(replace(array, metadata=metadata, references=references), chunk)


def _split(array: ManifestArray, size: int) -> ManifestArray:
    """Cut an array that is one large block without codecs into several chunks."""
    references = array.references
    if codecs_of(array) or array.metadata.order != "C" or len(references.cell) != 1 or array.cells != 1:
        return array
    shape = array.metadata.shape
    chunks = split_rows(shape, itemsize(array), SPLIT)
    if size <= SPLIT or shape != array.metadata.chunk_shape or chunks == shape:
        return array
    part = math.prod(chunks) * itemsize(array)
    grid = grid_of(shape, chunks)
    cell = np.arange(math.prod(grid))
    offset = references.offset[0] + cell.astype("u8") * np.uint64(part)
    parts = References(
        cell, np.broadcast_to(np.uint32(0), (len(cell),)), offset, np.full(len(cell), part, "u8"), references.inline
    )
    return replace(array, metadata=array.metadata.with_extent(shape, chunks), grid=grid, references=parts)


def inlined(values: np.ndarray, dimensions: list[str], attributes: Mapping[str, Any]) -> ManifestArray:
    """Return an array whose values are in the manifest."""
    shape = [int(extent) for extent in values.shape]
    chunks = [max(extent, 1) for extent in shape]
    metadata, named = make_metadata(2, shape, chunks, ZarrDtype(values.dtype), Codecs(), None, dimensions)
    references = replace(References.empty(), inline={0: values.tobytes()} if values.size else {})
    kept = {name: strict_value(value) for name, value in attributes.items()}
    return ManifestArray(metadata, kept | named, tuple(-(-n // max(n, 1)) for n in shape), references)
