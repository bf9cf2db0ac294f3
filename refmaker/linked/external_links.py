"""External links: objects of another file put under the path of the link.

Contract: `insert_subtree` copies records of one tree into another under new paths, and reads nothing. Groups that
contain themselves become links there as they do in one file. What another file calls its own dimension ids means
nothing here and is left out.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Literal

from refmaker.model import Attribute, Dataset, ExternalLink, Group, LinkNote, Refusal, Tree

__all__ = ["insert_subtree", "object_kind"]

# Attributes of netCDF-4 whose values are numbers within one file.
_FILE_NUMBERS = frozenset({"_Netcdf4Dimid", "_Netcdf4Coordinates"})


@dataclass(slots=True)
class _Graft:
    tree: Tree
    other: Tree
    note: str
    placed: dict[str, str] = field(default_factory=dict)
    links: list[ExternalLink] = field(default_factory=list)


def insert_subtree(tree: Tree, at: str, other: Tree, found: Dataset | Group, note: str) -> list[ExternalLink]:
    """Put an object of another tree, and all below it, under the path `at`.

    Parameters
    ----------
    note
        What is noted with the object itself.

    Returns
    -------
    External links among what was put there, under their new paths.
    """
    work = _Graft(tree, other, note)
    stack: list[tuple[str, str]] = [(at, found.path)]
    while stack:
        path, named = stack.pop()
        link = other.links.get(named)
        owner = named if link is None else link.first
        first = work.placed.get(owner)
        if first is not None:
            tree.links[path] = LinkNote(path, "hard" if link is None else link.kind, first, object_kind(other, owner))
            continue
        work.placed[owner] = path
        if owner in other.datasets:
            dataset = other.datasets[owner]
            notes = [note, *dataset.notes] if path == at else dataset.notes
            tree.datasets[path] = replace(dataset, path=path, attributes=_own(dataset.attributes), notes=notes)
            tree.paths.setdefault(dataset.address, path)
        elif owner in other.groups:
            group = other.groups[owner]
            notes = [note, *group.notes] if path == at else group.notes
            tree.groups[path] = replace(group, path=path, attributes=_own(group.attributes), notes=notes)
            tree.paths.setdefault(group.address, path)
            stack += [(_join(path, name), _join(owner, name)) for name in reversed(group.children)]
        else:
            _place_other(work, path, owner)
    return work.links


def _place_other(work: _Graft, path: str, owner: str) -> None:
    """Put a type, an external link or a refusal under its new path."""
    if owner in work.other.types:
        work.tree.types.append(path)
        return
    link = work.other.external.get(owner)
    refusal = work.other.refusals.get(owner)
    if link is not None:
        moved = ExternalLink(path, link.file, link.target)
        work.tree.external[path] = moved
        work.links.append(moved)
    reason = "it could not be read" if refusal is None else refusal.reason
    work.tree.refusals[path] = Refusal(path, "link" if refusal is None else refusal.kind, reason)


def object_kind(tree: Tree, path: str) -> Literal["dataset", "group", "type"]:
    """Return what stands under a first path."""
    if path in tree.groups:
        return "group"
    return "type" if path in tree.types else "dataset"


def _own(attributes: dict[str, Attribute]) -> dict[str, Attribute]:
    return {name: attribute for name, attribute in attributes.items() if name not in _FILE_NUMBERS}


def _join(parent: str, name: str) -> str:
    return f"/{name}" if parent == "/" else f"{parent}/{name}"
