"""A manifest written to a session of Icechunk: what is created, what grows, what stays.

Contract: everything is looked at before anything is written, as far as other arrays of the repository decide. The
session is the caller's, who commits it or lets it go.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from refmaker.bridges.icechunk_append import Appending, plan_append, values_of
from refmaker.bridges.icechunk_writing import (
    ArrayWriter,
    Located,
    array_document,
    group_document,
    read_document,
    write_document,
)
from refmaker.errors import OutputError
from refmaker.manifest.manifest import Manifest
from refmaker.zarr.keys import ancestors

__all__ = ["Placement", "write_session"]


@dataclass(frozen=True, slots=True)
class Placement:
    """Where a manifest goes in a repository.

    Attributes
    ----------
    group
        That takes the root of the manifest.
    dimension
        That grows, None for none.
    overwrite
        Whether arrays are replaced.
    refused
        Arrays of the manifest that are left out.
    """

    group: str
    dimension: str | None
    overwrite: bool
    refused: frozenset[str]

    def place(self, path: str) -> str:
        """Return the path in the repository of a node of the manifest."""
        return f"{self.group}/{path}".strip("/")


def write_session(
    session: Any, manifest: Manifest, targets: Mapping[int, Located], placement: Placement
) -> dict[str, Any]:
    """Write a manifest; return what was written: `arrays`, `chunks`, `inlined`, `appended`, `notes`.

    Raises
    ------
    OutputError
        The repository has an array already, or it cannot grow.
    """
    store = session.store
    there = {path: read_document(store, placement.place(path)) for path in manifest.arrays}
    there = {path: document for path, document in there.items() if path not in placement.refused}
    plans = _plans(store, manifest, there, placement)
    notes = _write_groups(store, manifest, placement)
    chunks = inlined = 0
    for path, plan in plans.items():
        written = _write_array(store, manifest, path, plan, there[path], targets, placement)
        chunks, inlined = chunks + written[0], inlined + written[1]
    appended = {
        "/" + placement.place(path): plan.length for path, plan in plans.items() if plan and plan.how != "nothing"
    }
    return {"arrays": len(plans), "chunks": chunks, "inlined": inlined, "appended": appended, "notes": notes}


def _plans(
    store: Any, manifest: Manifest, there: Mapping[str, dict[str, Any] | None], placement: Placement
) -> dict[str, Appending | None]:
    """Return how each array is appended; None for one that is created."""
    known = {path: document for path, document in there.items() if document is not None}
    if known and placement.dimension is not None:
        _require_all(store, manifest, known, there, placement)
        return {
            path: plan_append(path, manifest, placement.place(path), document, store, placement.dimension)
            for path, document in known.items()
        }
    for path, document in known.items():
        if document.get("node_type") != "array" or not placement.overwrite:
            raise OutputError(
                "the repository has this already: name a dimension to append along, another group, or overwrite it",
                path="/" + placement.place(path),
            )
    return dict.fromkeys(there)


def _require_all(
    store: Any,
    manifest: Manifest,
    known: Mapping[str, Any],
    there: Mapping[str, Any],
    placement: Placement,
) -> None:
    """Make sure that no array along the dimension would be shorter than others."""
    new = sorted(there.keys() - known.keys())
    if new:
        raise OutputError(
            "cannot append: the repository has no such array, which would begin in the middle",
            path="/" + placement.place(new[0]),
        )
    import zarr

    root = zarr.open_group(store, mode="r", path=placement.group or None)
    for name, array in root.members(max_depth=None):
        dimensions = getattr(array.metadata, "dimension_names", None) or ()
        if placement.dimension in dimensions and name not in known:
            raise OutputError(
                f"cannot append: the manifest lacks an array along {placement.dimension!r}, which would be too short",
                path="/" + placement.place(name),
            )


def _write_groups(store: Any, manifest: Manifest, placement: Placement) -> list[str]:
    """Write the groups that are not there yet."""
    wanted: dict[str, dict[str, Any]] = {}
    for path, attributes in {"": {}, **manifest.groups}.items():
        wanted[placement.place(path)] = attributes
    for path in list(wanted) + [placement.place(one) for one in manifest.arrays]:
        for above in ancestors(path):
            wanted.setdefault(above, {})
    notes = []
    for path in sorted(wanted):
        document = read_document(store, path)
        if document is None or (placement.overwrite and document.get("attributes") != wanted[path] and wanted[path]):
            write_document(store, path, group_document(wanted[path]))
        elif document.get("node_type") != "group":
            raise OutputError("the repository has an array where a group is to be", path="/" + path)
        elif wanted[path] and document.get("attributes") != wanted[path]:
            notes.append(f"/{path}: attributes of the group stay as they are in the repository")
    return notes


def _write_array(
    store: Any,
    manifest: Manifest,
    path: str,
    plan: Appending | None,
    document: Mapping[str, Any] | None,
    targets: Mapping[int, Located],
    placement: Placement,
) -> tuple[int, int]:
    """Write an array; return how many chunks, and how many of these are in the repository."""
    from zarr.core.sync import sync

    array, place = manifest.arrays[path], placement.place(path)
    if plan is not None and plan.how == "nothing":
        return 0, 0
    if plan is not None and document is not None:
        return _grow(store, manifest, path, plan, document, targets, place)
    if document is not None:
        sync(store.delete_dir(place))
    write_document(store, place, array_document(array.metadata, array.attributes))
    writer = ArrayWriter(store, place, array, targets, (0,) * len(array.grid))
    writer.write(array.references)
    return writer.chunks, writer.inlined


def _grow(
    store: Any,
    manifest: Manifest,
    path: str,
    plan: Appending,
    document: Mapping[str, Any],
    targets: Mapping[int, Located],
    place: str,
) -> tuple[int, int]:
    """Append to an array."""
    import zarr

    array, shape = manifest.arrays[path], list(document["shape"])
    shape[plan.axis] += array.metadata.shape[plan.axis]
    write_document(store, place, {**document, "shape": shape})
    if plan.how == "values":
        region = [slice(None)] * len(shape)
        region[plan.axis] = slice(plan.length, shape[plan.axis])
        zarr.open_array(store=store, path=place, mode="r+")[tuple(region)] = values_of(manifest, path)
        return array.cells, array.cells
    offset = [0] * len(shape)
    offset[plan.axis] = plan.length // array.metadata.chunk_shape[plan.axis]
    writer = ArrayWriter(store, place, array, targets, tuple(offset))
    writer.write(array.references)
    return writer.chunks, writer.inlined
