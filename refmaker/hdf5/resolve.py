"""Objects by address to objects by path: hard links, soft links, cycles.

Contract: pure. The *first path* of an object is the one that a depth-first walk over hard links meets first, members in
the order of their names (bytes), as h5py's `visititems` walks. Further names become `LinkNote`s; cycles are cut
there. Soft links resolve through groups and other soft links; what does not resolve is refused by name.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from refmaker import limits
from refmaker.hdf5.budget import Budget
from refmaker.hdf5.link import Link
from refmaker.hdf5.values import NULL_REFERENCE
from refmaker.hdf5.walk import Broken, Walk, WalkedObject
from refmaker.model import Compact, Dataset, ExternalLink, Group, LinkNote, Refusal, Tree

__all__ = ["resolve"]

MAX_SOFT_LINKS = limits.SOFT_LINKS
SWMR_FLAGS = 0x05
# Objects take a hundred bytes and more; paths and links that a hostile file multiplies must not outgrow it by far.
PATHS, STEPS = limits.PATHS, limits.STEPS


@dataclass(slots=True)
class _Resolver:
    walk: Walk
    tree: Tree
    base: int
    paths: Budget
    steps: Budget
    first: dict[int, str] = field(default_factory=dict)
    members: dict[int, dict[str, Link]] = field(default_factory=dict)
    soft: list[tuple[str, int, Link]] = field(default_factory=list)


def resolve(walk: Walk, source: str) -> Tree:
    """Put the walked objects under their paths."""
    file = walk.file
    if file is None:
        raise RuntimeError("resolve before the walk")
    tree = Tree(source=source, size=walk.window.size, kind="hdf5")
    if file.superblock.version >= 3 and file.superblock.consistency_flags & SWMR_FLAGS:
        tree.notes.append("the file is marked as open for writing; it was scanned as it stood")
    paths = Budget(PATHS * tree.size + (1 << 24), "paths that are too long: more text than the file can account for")
    steps = Budget(STEPS * tree.size + (1 << 16), "soft links that lead through one another")
    resolver = _Resolver(walk, tree, file.base, paths, steps)
    _place_hard(resolver, file.superblock.root)
    for path, parent, link in resolver.soft:
        _place_other(resolver, path, parent, link)
    tree.paths = {address + file.base: path for address, path in resolver.first.items()}
    tree.paths.pop(NULL_REFERENCE, None)  # of a link that leads nowhere
    return tree


def _ordered(links: list[Link]) -> list[Link]:
    return sorted(links, key=lambda link: link.name.encode("utf-8", "surrogateescape"))


def _join(resolver: _Resolver, parent: str, name: str) -> str:
    resolver.paths.spend(len(parent) + 1 + len(name))
    return f"/{name}" if parent == "/" else f"{parent}/{name}"


def _place_hard(resolver: _Resolver, root: int) -> None:
    """Walk hard links depth first, without recursion, since nesting is the file's to choose."""
    stack = [("/", root)]
    while stack:
        path, address = stack.pop()
        if address in resolver.first:
            first = resolver.first[address]
            resolver.tree.links[path] = LinkNote(path, "hard", first, _kind(resolver.walk.objects.get(address)))
            continue
        resolver.first[address] = path
        found = resolver.walk.objects.get(address)
        if found is None or isinstance(found, Broken):
            reason = found.reason if found is not None else "the object was not read"
            resolver.tree.refusals[path] = Refusal(path, "dataset", reason)
        elif found.kind == "group":
            _place_group(resolver, path, found, stack)
        elif found.kind == "type":
            resolver.tree.types.append(path)
            if found.definition is not None:
                resolver.tree.definitions[path] = found.definition
        else:
            _place_dataset(resolver, path, found)


def _kind(found: WalkedObject | Broken | None) -> Literal["dataset", "group", "type"]:
    return found.kind if isinstance(found, WalkedObject) else "dataset"


def _place_group(resolver: _Resolver, path: str, found: WalkedObject, stack: list[tuple[str, int]]) -> None:
    ordered = _ordered(found.links)
    if found.tracks_order:
        children = [link.name for link in sorted(found.links, key=lambda link: link.creation_order)]
    else:
        children = [link.name for link in ordered]
    resolver.tree.groups[path] = Group(path, found.address + resolver.base, found.attributes, children, found.notes)
    resolver.members[found.address] = {link.name: link for link in found.links}
    stack.extend((_join(resolver, path, link.name), link.address) for link in reversed(ordered) if link.kind == "hard")
    for link in ordered:
        if link.kind != "hard":
            resolver.soft.append((_join(resolver, path, link.name), found.address, link))


def _place_dataset(resolver: _Resolver, path: str, found: WalkedObject) -> None:
    header = found.dataset
    if found.problem is not None or header is None or found.storage is None:
        resolver.tree.refusals[path] = Refusal(path, "dataset", found.problem or "its storage was not read")
        return
    resolver.tree.datasets[path] = Dataset(
        path=path,
        address=found.address + resolver.base,
        dataspace=header.dataspace,
        datatype=header.datatype,
        filters=() if isinstance(found.storage, Compact) else header.filters,
        fill=header.fill,
        storage=found.storage,
        attributes=found.attributes,
        values=found.values,
        notes=found.notes,
        datatype_message=header.datatype_message,
    )


def _place_other(resolver: _Resolver, path: str, parent: int, link: Link) -> None:
    """Note a soft link under the object it leads to, or refuse the link."""
    tree = resolver.tree
    if link.kind == "external":
        tree.external[path] = ExternalLink(path, link.file, link.target)
        tree.refusals[path] = Refusal(
            path, "link", f"external link to {link.target!r} in file {link.file!r} is not followed; scan that file"
        )
    elif link.kind == "user":
        tree.refusals[path] = Refusal(path, "link", f"user-defined link of type {link.user_type}")
    else:
        address = _follow(resolver, parent, link.target)
        if address is None or address not in resolver.first:
            tree.dangling[path] = link.target
            tree.refusals[path] = Refusal(
                path, "link", f"soft link to {link.target!r}, which does not lead to an object"
            )
        else:
            kind = _kind(resolver.walk.objects.get(address))
            tree.links[path] = LinkNote(path, "soft", resolver.first[address], kind)


def _follow(resolver: _Resolver, parent: int, target: str) -> int | None:
    """Return the address that a soft link's target leads to, None when it leads nowhere or in circles."""
    root = resolver.walk.file.superblock.root if resolver.walk.file is not None else parent
    pending = _parts(resolver, target)
    here, followed = (root if target.startswith("/") else parent), 0
    while pending:
        members = resolver.members.get(here)
        link = members.get(pending.pop()) if members is not None else None
        if link is None or link.kind in ("external", "user"):
            return None
        if link.kind == "hard":
            here = link.address
            continue
        followed += 1
        if followed > MAX_SOFT_LINKS:
            return None
        if link.target.startswith("/"):
            here = root
        pending += _parts(resolver, link.target)
    return here


def _parts(resolver: _Resolver, target: str) -> list[str]:
    """Return the components of a path, last one first."""
    resolver.steps.spend(len(target) + 1)
    return [part for part in reversed(target.split("/")) if part not in ("", ".")]
