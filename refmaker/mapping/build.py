"""One variable of a view as a Zarr array of the manifest.

Contract: `build_array` gives metadata, attributes and references such that Zarr reads the values that libhdf5 reads,
and xarray shows what its netCDF-4 engine shows; or it raises `Unsupported` with the reason.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from refmaker import limits
from refmaker.conventions.view import Variable
from refmaker.errors import Unsupported
from refmaker.manifest.manifest import ManifestArray
from refmaker.manifest.references import References
from refmaker.mapping.chunks import (
    Read,
    encode_chunk,
    encode_items,
    encode_sequence,
    encode_text,
    fill_chunk,
    read_ranges,
)
from refmaker.mapping.decoding import fill_of
from refmaker.mapping.dtypes import zarr_dtype
from refmaker.mapping.edges import EdgeAllowance
from refmaker.mapping.extending import extend
from refmaker.mapping.fill import FillPlan, plan_fill
from refmaker.mapping.layout import Layout, Rules, lay_out, split_rows
from refmaker.mapping.small_arrays import consolidated
from refmaker.mapping.text import ENCODING, NOT_UTF8, has_other_text, is_text
from refmaker.model import JSON, ArrayType, Contiguous, Datatype, ObjectReference
from refmaker.zarr.chunk_grid import check_extents, grid_of
from refmaker.zarr.codec_list import Codecs
from refmaker.zarr.metadata import ArrayMetadata, make_metadata, masks_fill_value
from refmaker.zarr.zarr_dtype import ZarrDtype

__all__ = ["DEFAULT_INLINE_LIMIT", "BuildOptions", "Status", "assemble", "build_array", "text_dtype", "text_layout"]

Status = Literal["mapped", "inlined"]

DEFAULT_INLINE_LIMIT = limits.INLINE

# A chunk in JSON takes 4/3 of its bytes, and its key.
_KEY_SIZE = 32
# Written-out chunks of storage that was never allocated: small enough to be made quickly, and compressed.
_FILL_CHUNK_SIZE = 4 << 20
# Sequences need `refmaker.codecs.sequences`, but nothing has to be encoded after it.
_SEQUENCES = Codecs(need_refmaker=True)
_FILL_CODECS = Codecs(({"id": "zlib", "level": 6},))


@dataclass(kw_only=True, frozen=True, slots=True)
class BuildOptions:
    """How arrays are written.

    Parameters
    ----------
    zarr_format
        Format of the metadata.
    inline_threshold
        Addressable chunks of at most so many stored bytes are read and kept in the manifest.
    inline_limit
        Bytes that one array may take in the manifest where its values cannot be addressed.
    subchunk_size
        Contiguous blocks larger than this are split, on whole rows.
    portable
        Use nothing that readers without refmaker cannot decode: such values are inlined, or refused.
    keep_checksums
        Have readers verify the checksums of the fletcher32 filter, instead of leaving them out of the references.
    consolidate
        Keep values in the manifest, as one chunk, where references would take more of it.
    edges
        What is left of the bytes that may be decoded in looking for short edge chunks.
    """

    zarr_format: Literal[2, 3] = 2
    inline_threshold: int = 0
    inline_limit: int = DEFAULT_INLINE_LIMIT
    subchunk_size: int = 64 << 20
    portable: bool = False
    keep_checksums: bool = False
    consolidate: bool = False
    edges: EdgeAllowance = field(default_factory=EdgeAllowance, compare=False)


def build_array(
    variable: Variable,
    *,
    read: Read,
    options: BuildOptions,
    target: int,
    path_of: Callable[[int], str | None] | None = None,
) -> tuple[ManifestArray, Status, bool, list[str]]:
    """Make a Zarr array of a variable.

    Parameters
    ----------
    read
        Gives `size` bytes from `offset` in the source.
    target
        Number of the source among the targets of the manifest.
    path_of
        Gives the path of the object at a header address, for datasets of object references.

    Returns
    -------
    The array; whether its values are in the source or in the manifest; whether readers need a codec of refmaker's;
    notes for the report.

    Raises
    ------
    Unsupported
        Zarr cannot show the dataset, and why.
    """
    dataset = variable.dataset
    if dataset.dataspace.kind == "null":
        raise Unsupported("a null dataspace: there are no values")
    dtype = zarr_dtype(dataset.datatype)
    layout = None
    if dtype.text:
        dtype = text_dtype(dtype, dataset.values)
        shape = dataset.dataspace.shape + dtype.extra
        layout = text_layout(dataset.values, dataset.datatype, dtype, shape, options, path_of)
    return assemble(variable, dtype, layout, read=read, options=options, target=target)


def assemble(
    variable: Variable, dtype: ZarrDtype, layout: Layout | None, *, read: Read, options: BuildOptions, target: int
) -> tuple[ManifestArray, Status, bool, list[str]]:
    """Make an array as `build_array` does, of a given dtype; where its chunks are is found out unless given."""
    dataset = variable.dataset
    own = dataset.dataspace.shape + dtype.extra
    check_extents(own)
    check_extents(variable.shape)
    if layout is None:
        rules = Rules(
            options.inline_limit, options.subchunk_size, options.portable, options.keep_checksums, options.edges
        )
        layout = lay_out(dataset, dtype, own, read=read, rules=rules)
        if has_other_text(dataset, dtype, layout, read=read, allowance=options.edges):
            layout.notes.append(NOT_UTF8)
            kept = {name: value for name, value in variable.attributes.items() if name != ENCODING}
            variable = replace(variable, attributes=kept)
    if variable.shape != own:
        dataset = extend(layout, dataset, dtype, variable.shape, read=read, inline_limit=options.inline_limit)
        variable = replace(variable, dataset=dataset)
    if options.consolidate and variable.shape == own:
        layout = consolidated(layout, dataset, dtype, own, read=read, limit=options.inline_limit)
    grid = grid_of(variable.shape, layout.chunks)
    missing = math.prod(grid) - len(layout.columns[0]) - len(layout.inline)
    plan, layout, grid = _fill(variable, dtype, layout, grid, missing, options)
    cell, offset, size = _inline_small(layout, read, options.inline_threshold)
    references = References(cell, _constant(target, len(cell)), offset, size, layout.inline)
    array = ManifestArray(*_metadata(variable, dtype, layout, plan, options), grid, references)
    status: Status = "inlined" if layout.inline and not len(cell) and not plan.materialise else "mapped"
    return array, status, layout.codecs.need_refmaker, [*layout.notes, *plan.notes]


def _metadata(
    variable: Variable, dtype: ZarrDtype, layout: Layout, plan: FillPlan, options: BuildOptions
) -> tuple[ArrayMetadata, dict[str, JSON]]:
    """Return the metadata and the attributes."""
    attributes: dict[str, JSON] = dict(variable.attributes)
    if plan.drop:
        attributes.pop("_FillValue", None)
    else:
        attributes["_FillValue"] = _as_read(plan.attribute, dtype.dtype, attributes)
    metadata, own = make_metadata(
        options.zarr_format, variable.shape, layout.chunks, dtype, layout.codecs, plan.fill_value, variable.dimensions
    )
    return metadata, attributes | own


def _fill(
    variable: Variable, dtype: ZarrDtype, layout: Layout, grid: tuple[int, ...], missing: int, options: BuildOptions
) -> tuple[FillPlan, Layout, tuple[int, ...]]:
    """Decide on fill values; write missing chunks out where they have to be, and fit."""
    attribute, encoded = _stated_fill(variable, dtype.dtype)
    fill = fill_of(variable.dataset, dtype)

    def plan(fits: bool) -> FillPlan:
        return plan_fill(
            dtype, fill, attribute, encoded, missing=missing > 0, fits=fits, masks=masks_fill_value(options.zarr_format)
        )

    wished = plan(True)
    if not wished.materialise:
        return wished, layout, grid
    free = isinstance(variable.dataset.storage, Contiguous) or layout.codecs.need_refmaker
    if free and missing == math.prod(grid):
        # Nothing is stored, so that chunks and codecs do not matter to the source.
        chunks = split_rows(variable.shape, dtype.dtype.itemsize, min(options.subchunk_size, _FILL_CHUNK_SIZE))
        layout = Layout(chunks, _FILL_CODECS)
        grid = grid_of(variable.shape, chunks)
        missing = math.prod(grid)
    if _materialise(layout, dtype, grid, missing, wished, options.inline_limit):
        return wished, layout, grid
    return plan(False), layout, grid


def _stated_fill(variable: Variable, dtype: np.dtype[Any]) -> tuple[np.generic | bytes | None, JSON]:
    """Return the `_FillValue` attribute and its JSON; with `_Unsigned`, one of the other sign as the array has it."""
    value, encoded = variable.fill_attribute, variable.attributes.get("_FillValue")
    unsigned = variable.attributes.get("_Unsigned")
    other = {("i", "true"): "u", ("u", "false"): "i"}.get((dtype.kind, str(unsigned)))
    if isinstance(value, np.integer) and value.dtype.kind == other and value.dtype.itemsize == dtype.itemsize:
        value = value.astype(dtype)
        return value, int(value)
    return value, encoded


def _as_read(fill: JSON, dtype: np.dtype[Any], attributes: dict[str, JSON]) -> JSON:
    """Return `_FillValue` for unsigned numbers that xarray reads as signed ones: to it, 255 is no value of int8."""
    signed = dtype.kind == "u" and attributes.get("_Unsigned") == "false" and type(fill) is int
    bits = 8 * dtype.itemsize
    return fill - (1 << bits) if signed and isinstance(fill, int) and fill >> (bits - 1) else fill


def _materialise(
    layout: Layout, dtype: ZarrDtype, grid: tuple[int, ...], missing: int, plan: FillPlan, limit: int
) -> bool:
    """Put the missing chunks into the layout; return False when they exceed the inline limit."""
    if layout.codecs.need_refmaker and layout.codecs.configs:  # refmaker's codec only decodes
        return False
    size = max(dtype.dtype.itemsize, 4) * math.prod(layout.chunks)
    if missing * _KEY_SIZE > limit or size > 4 * max(limit, _FILL_CHUNK_SIZE):
        return False
    encoded = encode_chunk(fill_chunk(plan.element, dtype.dtype, layout.chunks), layout.codecs.configs)
    if missing * (len(encoded) + _KEY_SIZE) > limit:
        return False
    there = np.zeros(math.prod(grid), bool)
    there[layout.columns[0]] = True
    there[list(layout.inline)] = True
    layout.inline = {**layout.inline, **dict.fromkeys(np.flatnonzero(~there).tolist(), encoded)}
    return True


def text_dtype(dtype: ZarrDtype, values: npt.NDArray[Any] | None) -> ZarrDtype:
    """Return the dtype that holds strings: of bytes where they are not UTF-8."""
    if values is None or dtype.items is not None or all(map(is_text, values.ravel().tolist())):
        return dtype
    return replace(dtype, raw=True)


def text_layout(
    values: npt.NDArray[Any] | None,
    datatype: Datatype,
    dtype: ZarrDtype,
    shape: tuple[int, ...],
    options: BuildOptions,
    path_of: Callable[[int], str | None] | None,
) -> Layout:
    """Put variable-length data, or the paths that object references point to, into one chunk of the manifest."""
    chunks = tuple(max(extent, 1) for extent in shape)
    codecs = Codecs()
    if dtype.items is not None:
        if options.portable:
            raise Unsupported("variable-length sequences: zarr-python 3 reads them only where refmaker is installed")
        codecs = _SEQUENCES
    if 0 in shape:
        return Layout(chunks, codecs)
    if values is None:
        raise Unsupported("the values could not be resolved")
    items = values.ravel().tolist()
    if dtype.items is not None:
        items = [encode_sequence(item, dtype, dtype.depth) for item in items]
    while isinstance(datatype, ArrayType):
        datatype = datatype.base
    if isinstance(datatype, ObjectReference):
        if path_of is None:
            raise Unsupported("object references cannot be resolved here")
        items = [(path_of(address) or "").encode("utf-8", "surrogateescape") for address in items]
    size = sum(len(item or b"") + 4 for item in items)
    if size > options.inline_limit:
        what = "strings" if dtype.items is None else "sequences"
        raise Unsupported(f"{what} of {size} bytes are larger than the inline limit of {options.inline_limit} bytes")
    if dtype.raw:
        return Layout(chunks, codecs, inline={0: encode_items(items)}, notes=[NOT_UTF8])
    encode = encode_text if dtype.items is None else encode_items
    return Layout(chunks, codecs, inline={0: encode(items)})


def _inline_small(
    layout: Layout, read: Read, threshold: int
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.uint64], npt.NDArray[np.uint64]]:
    """Read the chunks of at most `threshold` bytes into the layout; give the references that are left."""
    cell, offset, size = layout.columns
    if threshold <= 0 or not len(cell):
        return layout.columns
    small = size <= threshold
    if not small.any():
        return layout.columns
    blocks = read_ranges(read, offset[small].tolist(), size[small].tolist())
    layout.inline = {**layout.inline, **dict(zip(cell[small].tolist(), blocks, strict=True))}
    large = ~small
    return cell[large], offset[large], size[large]


def _constant(value: int, count: int) -> npt.NDArray[np.integer[Any]]:
    """Return an array of one value that takes no memory of its own."""
    return np.broadcast_to(np.uint32(value), (count,))
