"""What every form of a manifest writes besides references: Zarr metadata by key, and the member `refmaker`.

Contract: the same content whatever the form; strict JSON is left to the writers.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any

from refmaker import limits
from refmaker._version import __version__
from refmaker.kerchunk.composites import composites_to_json
from refmaker.kerchunk.extension import EXTENSION_FORMAT
from refmaker.manifest.manifest import Manifest, Target, notes_of
from refmaker.redaction import redact
from refmaker.zarr.keys import ancestors
from refmaker.zarr.node_documents import array_documents, group_documents

__all__ = ["CONSOLIDATED", "below", "consolidated", "documents", "extension"]

CONSOLIDATED = ".zmetadata"


def below(path: str, name: str) -> str:
    """Return the key of `name` at a node."""
    return f"{path}/{name}" if path else name


def documents(manifest: Manifest) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield key and JSON of the Zarr metadata, group by group, then array by array."""
    for path, attributes in _groups(manifest).items():
        for name, document in group_documents(manifest.zarr_format, attributes).items():
            yield below(path, name), document
    for path, array in manifest.arrays.items():
        for name, document in array_documents(array.metadata, array.attributes).items():
            yield below(path, name), document


def consolidated(found: Iterable[tuple[str, dict[str, Any]]]) -> dict[str, Any]:
    """Return the consolidated metadata of Zarr 2: stock `reference://` lists nothing below the groups in the root.

    Sorted by key, so that a group stands before what is in it.
    """
    return {"zarr_consolidated_format": 1, "metadata": dict(sorted(found))}


def _groups(manifest: Manifest) -> dict[str, dict[str, Any]]:
    """Return the attributes of every group, of those too that are only implied by a node below them."""
    if "" in manifest.arrays:
        return {}
    groups: dict[str, dict[str, Any]] = {"": {}}
    for path in (*manifest.groups, *manifest.arrays):
        for above in ancestors(path):
            groups.setdefault(above, {})
        if path in manifest.groups:
            groups[path] = manifest.groups[path]
    return groups


def extension(manifest: Manifest) -> dict[str, Any]:
    """Return the member `refmaker`: targets as they were seen, refusals, history."""
    content: dict[str, Any] = {
        "format": EXTENSION_FORMAT,
        "tool": f"refmaker {__version__}",
        "targets": [_known(target) for target in manifest.targets],
        "refusals": {_printable(path): _printable(reason) for path, reason in manifest.refusals.items()},
        "history": [_printable(line) for line in manifest.history],
    }
    if notes := list(islice(notes_of(manifest), limits.NOTES_KEPT)):
        content["notes"] = [_printable(line)[: limits.NOTE_LENGTH] for line in notes]
    if manifest.sources:
        content["sources"] = {path: list(source) for path, source in manifest.sources.items()}
    if manifest.types is not None:
        content["types"] = manifest.types
    if manifest.composites:
        content["composites"] = composites_to_json(manifest)
    return content


def _known(target: Target) -> dict[str, Any]:
    parts = {"url": target.url, "size": target.size, "etag": target.etag, "mtime": target.mtime}
    return {name: value for name, value in parts.items() if value is not None}


def _printable(line: str) -> str:
    """Spell out lone surrogates, and leave out secrets. These lines are for people: a bad name may be why."""
    return redact(line).encode("utf-8", "backslashreplace").decode()
