"""Composite arrays in a manifest document: the member `composites` of the member `refmaker`, and what others find.

Contract: columns are exact, bounded before they are unpacked, and whatever they say is checked when it is read
(`Composite.check`). Readers of others find an array of the true shape and type with one chunk that does not decode, and
an attribute that says why: they raise, and never take a fill value for the data; the other arrays they read as ever.

A column is `{"n": count, "rle": [[value, times], …]}`, or `{"n": count, "dtype": …, "zlib": base64}`, the shorter.
"""

from __future__ import annotations

import base64
import binascii
import itertools
import zlib
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from refmaker import limits
from refmaker.errors import ManifestError
from refmaker.manifest.composite import Composite, PieceForm
from refmaker.manifest.manifest import Manifest, ManifestArray
from refmaker.manifest.references import References
from refmaker.steps import RULES, template_from_json
from refmaker.zarr.metadata import ArrayMetadata
from refmaker.zarr.strict_json import malformed

__all__ = ["MARK", "VERSION", "composites_from_json", "composites_to_json", "stub", "with_stubs"]

VERSION = 1
MARK = "refmaker_composite"
"""The attribute by which others are told."""

_REASON = "readable through refmaker:// only: its files store it in different ways"
_OPERANDS = 2 * limits.VALUE_STEPS
_RANK = 32  # of a dataspace, and of numpy before version 2


def composites_to_json(manifest: Manifest) -> dict[str, Any]:
    """Return the member `composites` of a manifest."""
    arrays = {path: _array_to_json(one) for path, one in manifest.composites.items()}
    return {"version": VERSION, "rules": RULES, "arrays": arrays}


def with_stubs(manifest: Manifest) -> Manifest:
    """Return the manifest with what readers of others find of its composite arrays."""
    if not manifest.composites:
        return manifest
    for path, one in manifest.composites.items():
        one.check(path)
    return replace(manifest, arrays={**manifest.arrays, **{p: stub(one) for p, one in manifest.composites.items()}})


def stub(composite: Composite) -> ManifestArray:
    """Return what readers of others find: the true shape and type, and one chunk that does not decode."""
    shape = composite.metadata.shape
    metadata = composite.metadata.with_extent(shape, [max(extent, 1) for extent in shape]).deflated()
    references = References.empty()
    references.inline = {0: _REASON.encode()} if all(shape) else {}
    attributes = {**composite.attributes, MARK: _REASON}
    return ManifestArray(metadata, attributes, tuple(min(extent, 1) for extent in shape), references)


def _array_to_json(one: Composite) -> dict[str, Any]:
    rows = one.references
    return {
        "metadata": one.metadata.to_json(),
        "attributes": one.attributes,
        "axis": one.axis,
        "templates": [template.to_json() for template in one.templates],
        "forms": [
            {"metadata": form.metadata.to_json(), "template": form.template, "order": list(form.order)}
            for form in one.forms
        ],
        "slots": [_column(column) for column in (one.slot_piece, one.slot_start, one.slot_length)],
        "form": _column(one.form),
        "extent": [_column(column) for column in one.extent.T],
        "operands": [_column(column) for column in one.operands.T],
        "references": {
            "cell": _column(np.diff(rows.cell, prepend=-1)),
            "target": _column(np.asarray(rows.target)),
            "offset": _column(rows.offset),
            "size": _column(rows.size),
            "inline": {str(cell): base64.b64encode(data).decode() for cell, data in sorted(rows.inline.items())},
            "whole": {str(cell): target for cell, target in sorted(rows.whole.items())},
        },
    }


def _column(values: npt.NDArray[Any]) -> dict[str, Any]:
    starts = [0, *(np.flatnonzero(values[1:] != values[:-1]) + 1).tolist()] if len(values) else []
    if len(starts) <= 64:
        bounds = [*starts, len(values)]
        runs = [[int(values[first]), stop - first] for first, stop in itertools.pairwise(bounds)]
        return {"n": len(values), "rle": runs}
    dtype = np.dtype("<u8" if values.dtype.kind == "u" else "<i8")
    packed = zlib.compress(values.astype(dtype).tobytes(), 6)
    return {"n": len(values), "dtype": dtype.str, "zlib": base64.b64encode(packed).decode()}


def composites_from_json(
    extension: Mapping[str, Any], zarr_format: int, targets: int, source: str
) -> tuple[dict[str, Composite], dict[str, str]]:
    """Return the composite arrays of a manifest, and those of a version that is not known here, with the reason.

    Parameters
    ----------
    extension
        The member `refmaker`, which may come from anyone.
    targets
        How many files the manifest refers to.

    Raises
    ------
    ManifestError
        They are malformed.
    """
    found = extension.get("composites")
    if found is None:
        return {}, {}
    arrays = found.get("arrays") if isinstance(found, dict) else None
    if not isinstance(arrays, dict):
        raise malformed("bad member", structure="refmaker.composites", expected="an object", got=found, source=source)
    if found.get("version") != VERSION or found.get("rules") != RULES:
        got = f"{found.get('version')!s:.20}, {found.get('rules')!s:.40}"
        reason = f"a composite array of an unknown version ({got}): a newer refmaker reads it"
        return {}, dict.fromkeys(arrays, reason)
    made = {}
    for path, document in arrays.items():
        try:
            made[path] = _array_from_json(document, zarr_format, targets)
            made[path].check(path)
        except (KeyError, TypeError, ValueError, OverflowError, AttributeError, RecursionError) as error:
            raise malformed(
                "bad composite array", structure=f"refmaker.composites /{path}", expected="its members", got=str(error),
                source=source,
            ) from error  # fmt: skip
        except ManifestError as error:
            error.source = source
            raise
    return made, {}


def _array_from_json(document: Mapping[str, Any], zarr_format: int, targets: int) -> Composite:
    metadata = _metadata(document["metadata"], zarr_format)
    rank = len(metadata.shape)
    # Before any column is unpacked: a few bytes may stand for many numbers
    if rank > _RANK or len(_list(document["operands"], None)) > _OPERANDS:
        raise ValueError(f"more than {_RANK} dimensions, or {_OPERANDS} operands")
    if not isinstance(document["attributes"], dict) or len(document["forms"]) > limits.PIECE_FORMS:
        raise ValueError("attributes, or too many forms")
    piece, start, length = (_values(one, limits.PIECES) for one in _list(document["slots"], 3))
    form = _values(document["form"], limits.PIECES)
    extent = [_values(one, limits.PIECES, len(form)) for one in _list(document["extent"], rank)]
    operands = [_values(one, limits.PIECES, len(form), "u8") for one in _list(document["operands"], None)]
    return Composite(
        metadata=metadata,
        attributes=document["attributes"],
        axis=_integer(document["axis"]),
        templates=tuple(map(template_from_json, _list(document["templates"], None))),
        forms=tuple(_form(one, zarr_format) for one in _list(document["forms"], None)),
        slot_piece=piece,
        slot_start=start,
        slot_length=length,
        form=form,
        extent=np.array(extent, "i8").reshape(rank, len(form)).T.copy(),
        operands=np.array(operands, "u8").reshape(len(operands), len(form)).T.copy(),
        references=_references(document["references"], targets),
    )


def _metadata(document: object, zarr_format: int) -> ArrayMetadata:
    if not isinstance(document, dict):
        raise TypeError("metadata")
    metadata = ArrayMetadata.from_json(document)
    if metadata.zarr_format != zarr_format:
        raise ValueError("metadata of another Zarr format")
    metadata.check()
    metadata.layout(structure="refmaker.composites")
    return metadata


def _form(document: Mapping[str, Any], zarr_format: int) -> PieceForm:
    given = document["metadata"]
    shape = given["chunks"] if zarr_format == 2 else given["chunk_grid"]["configuration"]["chunk_shape"]
    metadata = _metadata({**given, "shape": shape}, zarr_format)
    return PieceForm(
        metadata, _integer(document["template"]), tuple(map(_integer, _list(document["order"], len(shape))))
    )


def _references(document: Mapping[str, Any], targets: int) -> References:
    steps = _values(document["cell"], limits.PIECE_ROWS)
    if len(steps) and (int(steps.min()) < 0 or int(steps.max()) >= 1 << 62):
        raise ValueError("cells that do not ascend")
    count = len(steps)
    target = _values(document["target"], limits.PIECE_ROWS, count)
    if count and not (int(target.min()) >= 0 and int(target.max()) < targets):
        raise ValueError("a reference to no target of the manifest")
    offset, size = (_values(document[name], limits.PIECE_ROWS, count, "u8") for name in ("offset", "size"))
    inline = {int(cell): base64.b64decode(data, validate=True) for cell, data in document["inline"].items()}
    whole = {int(cell): _integer(one) for cell, one in document["whole"].items()}
    if not all(0 <= one < targets for one in whole.values()):
        raise ValueError("a reference to no target of the manifest")
    return References(np.cumsum(steps) - 1, target.astype("u4"), offset, size, inline, whole)


def _values(document: Mapping[str, Any], most: int, count: int | None = None, dtype: str = "i8") -> npt.NDArray[Any]:
    """Return a column; its length is bounded before memory is taken for it."""
    n = _integer(document["n"])
    if not 0 <= n <= most or (count is not None and n != count):
        raise ValueError(f"a column of {n} values, expected {f'at most {most}' if count is None else count}")
    if "rle" in document:
        runs = [(_integer(value), _integer(times)) for value, times in document["rle"]]
        if any(times < 0 for _, times in runs) or sum(times for _, times in runs) != n:
            raise ValueError("runs of another length than the column")
        return np.repeat(np.array([value for value, _ in runs], dtype), [times for _, times in runs])
    if document["dtype"] != f"<{dtype}":
        raise ValueError(f"a column of {document['dtype']!r}")
    try:
        stream = zlib.decompressobj()
        data = stream.decompress(base64.b64decode(document["zlib"], validate=True), 8 * n + 1)
    except (binascii.Error, zlib.error) as error:
        raise ValueError(f"a column that does not unpack: {error}") from error
    if len(data) != 8 * n:
        raise ValueError("a column of another length than it says")
    return np.frombuffer(data, f"<{dtype}").astype(dtype)


def _integer(value: object) -> int:
    if type(value) is not int:
        raise TypeError(f"no integer: {value!r}")
    return value


def _list(value: object, length: int | None) -> list[Any]:
    if not isinstance(value, list) or (length is not None and len(value) != length):
        raise TypeError(f"no list of {length} members" if length is not None else "no list")
    return value
