"""How a manifest is shown: as text of at most twenty lines, and as HTML in a notebook.

Contract: reads columns and metadata only, and no shards: references that are not read yet are said to be so. Everything
that a file or a manifest brings along is escaped, and cut where it is long.
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from itertools import islice
from typing import TYPE_CHECKING

import numpy as np

from refmaker.errors import printable
from refmaker.redaction import redact
from refmaker.zarr.metadata import ArrayMetadata

if TYPE_CHECKING:
    from refmaker.manifest.manifest import Manifest, ManifestArray

__all__ = ["as_html", "as_text"]

_LINES = 20
_ROWS = 100
_NAME = 60
_BAR = 64
"""Parts of the bar of a chunk grid."""
_COLOURS = {"stored": "#4c78a8", "inlined": "#f2a541", "missing": "#dddddd"}


def as_text(manifest: Manifest) -> str:
    """Return the head of a manifest and its first arrays, in at most twenty lines."""
    lines = [f"<refmaker.Manifest: {_head(manifest)}>"]
    room = _LINES - 1 - bool(manifest.composites)
    shown = len(manifest.arrays) if len(manifest.arrays) <= room else room - 1
    lines += [_line(path, array) for path, array in islice(manifest.arrays.items(), shown)]
    if shown < len(manifest.arrays):
        lines.append(f"  … and {len(manifest.arrays) - shown} more arrays")
    if manifest.composites:
        names = ", ".join(_name(path) for path in islice(manifest.composites, 8))
        lines[-1:] = [*lines[-1:], f"  composite: {names}{'' if len(manifest.composites) <= 8 else ', …'}"][-2:]
    return "\n".join(lines)


def _head(manifest: Manifest) -> str:
    counts = [
        (len(manifest.arrays), "array"),
        *([(manifest.chunks, "chunk")] if manifest.is_loaded else []),
        (len(manifest.targets), "target"),
    ]
    told = ", ".join(f"{count} {noun}{'' if count == 1 else 's'}" for count, noun in counts)
    return f"Zarr {manifest.zarr_format}, {told}, {len(manifest.refusals)} refused"


def _line(path: str, array: ManifestArray) -> str:
    metadata = array.metadata
    dtype = printable(str(metadata.data_type), _NAME)
    return f"  {_name(path)}  {_extents(metadata.shape)} chunks {_chunks(metadata)} {dtype}, {_stored(array)}"


def _name(path: str) -> str:
    text = printable(redact("/" + path), len(path) + 1)
    return text if len(text) <= _NAME else text[:_NAME] + "…"


def _chunks(metadata: ArrayMetadata) -> str:
    """Return the chunk shape, where lengths differ the shortest and the longest."""
    lengths = metadata.chunk_lengths
    if lengths is None:
        return _extents(metadata.chunk_shape)
    ranges = ((int(axis.min(initial=axis.max(initial=1))), int(axis.max(initial=1))) for axis in lengths)
    return _extents([str(low) if low == high else f"{low}…{high}" for low, high in ranges])


def _extents(extents: Sequence[int | str]) -> str:
    text = " x ".join(map(str, extents))
    return f"({text if len(text) <= _NAME else text[:_NAME] + '…'})"


def _stored(array: ManifestArray) -> str:
    references = array.references
    if not references.is_loaded():
        return f"{array.cells} chunks in the grid, references not read yet"
    return f"{_size(array)} bytes in {len(references)} of {array.cells} chunks"


def _size(array: ManifestArray) -> int:
    references = array.references
    return int(references.size.sum(dtype=np.uint64)) + sum(map(len, references.inline.values()))


def as_html(manifest: Manifest) -> str:
    """Return a table of the arrays, with a bar for each that shows which parts of its chunk grid are stored."""
    head = ("variable", "dimensions", "shape", "chunks", "dtype", "stored", "chunk grid")
    rows = [_row(manifest, path, array) for path, array in islice(manifest.arrays.items(), _ROWS)]
    more = len(manifest.arrays) - len(rows)
    return (
        f"<div><div>refmaker.Manifest: {escape(_head(manifest))}</div><table><thead><tr>"
        + "".join(f"<th>{name}</th>" for name in head)
        + f"</tr></thead><tbody>{''.join(rows)}</tbody></table>"
        + (f"<div>… and {more} more arrays</div>" if more else "")
        + "</div>"
    )


def _row(manifest: Manifest, path: str, array: ManifestArray) -> str:
    metadata = array.metadata
    names = metadata.dimension_names(array.attributes)
    dimensions = ", ".join(map(str, names)) if isinstance(names, list | tuple) else ""
    cells = [
        _name(path),
        printable(dimensions, _NAME),
        _extents(metadata.shape),
        _chunks(metadata),
        printable(str(metadata.data_type), _NAME),
        _stored(array),
    ]
    return "<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in cells) + f"<td>{_bar(array)}</td></tr>"


def _bar(array: ManifestArray) -> str:
    """Return the chunk grid as a bar: a part is as opaque as its most frequent kind of chunk takes of it."""
    references = array.references
    if not references.is_loaded() or array.cells < 1:
        return ""
    parts = min(array.cells, _BAR)
    edges = np.array([array.cells * i // parts for i in range(parts + 1)], dtype=object)
    inline = np.sort(np.array([*references.inline], "i8"))
    stored = np.sort(np.concatenate([references.cell, np.array([*references.whole], "i8")]))
    rects = []
    for i in range(parts):
        first, stop = int(edges[i]), int(edges[i + 1])
        counts = {"stored": _between(stored, first, stop), "inlined": _between(inline, first, stop)}
        counts["missing"] = stop - first - sum(counts.values())
        kind = max(counts, key=counts.__getitem__)
        share = max(counts[kind] / (stop - first), 0.3)
        title = ", ".join(f"{count} {name}" for name, count in counts.items() if count)
        rects.append(
            f'<rect x="{i * 200 / parts:.2f}" width="{200 / parts:.2f}" height="12" fill="{_COLOURS[kind]}"'
            f' fill-opacity="{share:.2f}"><title>chunks {first} to {stop - 1}: {title}</title></rect>'
        )
    return f'<svg width="200" height="12">{"".join(rects)}</svg>'


def _between(cells: np.ndarray, first: int, stop: int) -> int:
    low, high = np.searchsorted(cells, (first, stop))
    return int(high - low)
