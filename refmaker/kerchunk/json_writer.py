"""kerchunk JSON: the writer of version 1, and under their public names the readers of versions 0 and 1.

Contract: what is written is strict JSON that every reader of the format takes: `version` first, plain references
`[url, offset, size]` without templates or generators, metadata as strings of JSON, data always behind `base64:`. One
more member, `refmaker`, holds what the format has no place for (targets as they were seen, refusals, history); stock
readers ignore it. Source: kerchunk documentation, "References specification", version 1.
"""

from __future__ import annotations

import base64
import itertools
import os
from collections.abc import Iterable, Iterator
from typing import Any

from refmaker.atomic import atomic_write
from refmaker.kerchunk.composites import with_stubs
from refmaker.kerchunk.compression import suffix_of, write_packed
from refmaker.kerchunk.documents import CONSOLIDATED, below, consolidated, documents, extension
from refmaker.kerchunk.fast_json_writer import reference_rows
from refmaker.kerchunk.json_reader import load_json, read_json
from refmaker.kerchunk.publishing import publishable
from refmaker.manifest.check import check_manifest
from refmaker.manifest.manifest import Manifest, ManifestArray
from refmaker.zarr import strict_json as strict
from refmaker.zarr.chunk_keys import ChunkLayout

__all__ = ["iter_json", "load_json", "read_json", "write_json"]

_BLOCK = 1 << 18


def write_json(manifest: Manifest, path: str | os.PathLike[str]) -> None:
    """Write a manifest as kerchunk JSON version 1, whole or not at all.

    Where the name of the file ends in `.gz`, `.zst` or `.zstd`, it is packed so.

    Raises
    ------
    ManifestError
        Something in the manifest cannot be written without loss; nothing was written.
    OutputError
        The file cannot be written; what stood at `path` still does.
    """
    blocks = iter_json(manifest)
    with atomic_write(path) as file:
        write_packed(blocks, file, suffix_of(os.fspath(path)))


def iter_json(manifest: Manifest) -> Iterator[bytes]:
    """Return the kerchunk JSON of a manifest as blocks of bytes; memory is bounded by the block, not by the references.

    All checks are made in the call, before there is a first block.

    Raises
    ------
    ManifestError
        Something in the manifest cannot be written without loss: it is named.
    """
    manifest = with_stubs(publishable(manifest))
    layouts = check_manifest(manifest)
    urls = [strict.encoded(target.url, structure=f"target {strict.shown(target.url)}") for target in manifest.targets]
    ours = strict.encoded(extension(manifest), structure="refmaker")
    # In this order: GDAL's reader takes a member that it does not know only in front of `refs`.
    head = b'{"version":1,"refmaker":' + ours + b',"refs":{\n' + b",\n".join(_metadata(manifest))
    leads = {path: b",\n" + _key(below(path, ""))[:-1] for path in layouts}
    extra = {key: b",\n" + _key(key)[:-1] for key in manifest.extra}
    tail = b"\n}}\n"
    chunks = (_chunks(leads[path], layouts[path], array, urls) for path, array in manifest.arrays.items())
    others = (_data(lead, manifest.extra[key]) for key, lead in extra.items())
    return _joined(itertools.chain([head], itertools.chain.from_iterable(chunks), others, [tail]))


def _joined(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """Put small pieces together to blocks that are worth a system call."""
    pending: list[bytes] = []
    size = 0
    for piece in pieces:
        pending.append(piece)
        size += len(piece)
        if size >= _BLOCK:
            yield b"".join(pending)
            pending.clear()
            size = 0
    yield b"".join(pending)


def _key(key: str) -> bytes:
    return strict.encoded(key, structure=strict.key_name(key))


def _metadata(manifest: Manifest) -> Iterator[bytes]:
    """Yield the JSON members that hold Zarr metadata; in Zarr 2, where there are groups, consolidated ones as well."""
    found = list(documents(manifest))
    yield from itertools.starmap(_document, found)
    if manifest.zarr_format == 2 and any("/" in key for key, _ in found if key.endswith(".zgroup")):
        yield _document(CONSOLIDATED, consolidated(found))


def _document(key: str, value: dict[str, Any]) -> bytes:
    name = strict.key_name(key)
    return _key(key) + b":" + strict.encoded(strict.text(value, structure=name), structure=name)


def _chunks(lead: bytes, layout: ChunkLayout, array: ManifestArray, urls: list[bytes]) -> Iterator[bytes]:
    """Yield the JSON members that hold the chunks of an array: references, whole targets, inlined data."""
    references = array.references
    if len(references.cell):
        yield from reference_rows(lead, layout, references, urls)
    for cell, target in sorted(references.whole.items()):
        yield b'%b%b":[%b]' % (lead, layout.name(cell).encode(), urls[target])
    for cell, data in sorted(references.inline.items()):
        yield _data(lead + layout.name(cell).encode(), data)


def _data(lead: bytes, data: bytes) -> bytes:
    """Return a JSON member with inlined data; always base64, as plain data could itself begin with `base64:`."""
    return b'%b":"base64:%b"' % (lead, base64.b64encode(data))
