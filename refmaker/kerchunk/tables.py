"""Manifests as objects of Python: a reference document as a `dict`, references as a table of arrow or pandas.

Contract: `from_dict(to_dict(m)) == m` and `from_arrow(to_arrow(m)) == m`, for what may be written at all: as in files,
logins and signatures in urls are left out. A table has one row a reference; its schema holds, under `refmaker`, the
document without the references, which is what makes it a manifest again.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from refmaker.errors import ManifestError
from refmaker.kerchunk.json_reader import read_json
from refmaker.kerchunk.json_writer import iter_json
from refmaker.kerchunk.publishing import publishable
from refmaker.kerchunk.reference_document import as_text
from refmaker.manifest.check import check_manifest
from refmaker.manifest.manifest import Manifest, ManifestArray
from refmaker.manifest.references import References
from refmaker.zarr.chunk_keys import ChunkLayout

__all__ = ["from_arrow", "from_dict", "to_arrow", "to_dict", "to_pandas"]

_MEMBER = b"refmaker"
_COLUMNS = ("path", "cell", "key", "url", "offset", "size", "inlined")


def to_dict(manifest: Manifest) -> dict[str, Any]:
    """See `Manifest.to_dict`."""
    document: dict[str, Any] = json.loads(b"".join(iter_json(manifest)))
    return document


def from_dict(document: Mapping[str, Any]) -> Manifest:
    """See `Manifest.from_dict`."""
    return read_json(as_text(document), source="manifest in memory")


def to_arrow(manifest: Manifest) -> Any:
    """See `Manifest.to_arrow`."""
    import pyarrow as pa

    manifest = publishable(manifest)
    layouts = check_manifest(manifest)
    bare = replace(
        manifest,
        arrays={path: replace(array, references=References.empty()) for path, array in manifest.arrays.items()},
    )
    types = (pa.string(), pa.int64(), pa.string(), pa.string(), pa.uint64(), pa.uint64(), pa.binary())
    schema = pa.schema(list(zip(_COLUMNS, types, strict=True)), {_MEMBER: b"".join(iter_json(bare))})
    urls = [target.url for target in manifest.targets]
    tables = [
        pa.table(columns, schema=schema)
        for path, array in manifest.arrays.items()
        for columns in _columns(path, array, layouts[path], urls)
    ]
    return pa.concat_tables(tables) if tables else schema.empty_table()


def _columns(path: str, array: ManifestArray, layout: ChunkLayout, urls: list[str]) -> Iterator[dict[str, Any]]:
    """Yield the columns of an array, none where it has no references."""
    references = array.references
    others = [*references.whole, *references.inline]
    n, k, total = len(references.cell), len(references.whole), len(references)
    if not total:
        return
    cell = np.concatenate([references.cell, np.array(others, "i8")])
    order = np.argsort(cell, kind="stable")
    url = [urls[code] for code in references.target.tolist()] + [urls[code] for code in references.whole.values()]
    columns: list[list[Any]] = [
        cell.tolist(),
        url + [None] * (total - n - k),
        references.offset.tolist() + [0] * k + [None] * (total - n - k),
        references.size.tolist() + [None] * k + [len(data) for data in references.inline.values()],
        [None] * (n + k) + list(references.inline.values()),
    ]
    cells, *rest = ([column[i] for i in order.tolist()] for column in columns)
    lead = f"{path}/" if path else ""
    keys = [lead + layout.name(one) for one in cells]
    yield dict(zip(_COLUMNS, (["/" + path] * total, cells, keys, *rest), strict=True))


def from_arrow(table: Any) -> Manifest:
    """See `Manifest.from_arrow`."""
    metadata = table.schema.metadata or {}
    if _MEMBER not in metadata or tuple(table.column_names) != _COLUMNS:
        raise ManifestError("not a table that `Manifest.to_arrow` made: its schema lacks metadata, or its columns")
    manifest = read_json(metadata[_MEMBER], source="table")
    codes = {target.url: code for code, target in enumerate(manifest.targets)}
    rows: dict[str, list[tuple[Any, ...]]] = {}
    for path, *row in zip(*(table.column(name).to_pylist() for name in _COLUMNS if name != "key"), strict=True):
        rows.setdefault(path, []).append(tuple(row))
    for path, found in rows.items():
        array = manifest.arrays.get(str(path)[1:])
        if array is None:
            raise ManifestError("a reference of an array that the table does not describe", path=str(path))
        array.references = _references(path, found, codes)
    check_manifest(manifest)
    return manifest


def _references(path: str, rows: list[tuple[Any, ...]], codes: Mapping[str, int]) -> References:
    plain, whole, inline = [], {}, {}
    for cell, url, offset, size, data in rows:
        code = -1 if data is not None else codes.get(url)
        if code is None or cell is None or (data is None and offset is None):
            raise ManifestError("a row that is no reference", path=path, got=(cell, url, offset, size))
        if data is not None:
            inline[cell] = data
        elif size is None:
            whole[cell] = code
        else:
            plain.append((cell, code, offset, size))
    plain.sort()
    cells, targets, offsets, sizes = zip(*plain, strict=True) if plain else ((), (), (), ())
    return References(
        np.array(cells, "i8"), np.array(targets, "i8"), np.array(offsets, "u8"), np.array(sizes, "u8"), inline, whole
    )


def to_pandas(manifest: Manifest) -> Any:
    """See `Manifest.to_pandas`: columns of arrow in pandas, so that integers with nulls stay integers."""
    import pandas as pd

    return to_arrow(manifest).to_pandas(types_mapper=pd.ArrowDtype)
