"""Other HDF5 files: walked, their addresses moved into the space, their objects found by path.

Contract: `Files.trees` walks all files asked for in one run, so that what they miss is fetched together. A file that
cannot be read is an error of its own, kept for everybody who asks for it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TypeAlias

import numpy as np

from refmaker.errors import RefmakerError
from refmaker.hdf5.resolve import resolve
from refmaker.hdf5.values import NULL_REFERENCE
from refmaker.hdf5.walk import Walk
from refmaker.linked.address_space import FILE_BITS, AddressSpace
from refmaker.model import (
    ArrayType,
    Attribute,
    Chunked,
    Compound,
    Contiguous,
    Dataset,
    ExternalLink,
    Group,
    ObjectReference,
    Storage,
    Tree,
    VariableLength,
)

__all__ = ["COMMITTED", "Files", "Run", "Step", "find", "relocated"]

COMMITTED = "it is a committed datatype"

Step: TypeAlias = Callable[[], Sequence["Step"]]
Run: TypeAlias = Callable[[Sequence[Step]], None]


@dataclass(slots=True)
class Files:
    """The trees of the files of a space, by number; that of the scanned file is known from the start."""

    space: AddressSpace
    run: Run
    inline_limit: int
    known: dict[int, Tree | RefmakerError] = field(default_factory=dict)

    def tree(self, number: int) -> Tree:
        """Return the tree of a file. Raises what its walk raised."""
        found = self.known.get(number)
        if found is None:
            self.walk([number])
            found = self.known[number]
        if isinstance(found, RefmakerError):
            raise found
        return found

    def walk(self, numbers: Iterable[int]) -> None:
        """Walk the files that are not known yet, all of them together."""
        walks = {n: Walk(self.space.window_of(n), self.inline_limit) for n in sorted(set(numbers) - self.known.keys())}
        steps = [partial(self._guarded, number, step) for number, walk in walks.items() for step in walk.start()]
        # Local files have nothing to wait for, and are not to be opened again for every step.
        for group in [[step] for step in steps] if self.space.local else [steps]:
            self.run(group)
        for number, walk in walks.items():
            if number in self.known:
                continue
            url = self.space.url_of(number)
            try:
                walk.verify()
                self.known[number] = relocated(resolve(walk, url), number)
            except RefmakerError as error:
                self._fail(number, error)

    def _guarded(self, number: int, step: Step) -> list[Step]:
        """Run a step; keep its failure to its file."""
        if number in self.known:
            return []
        try:
            return [partial(self._guarded, number, following) for following in step()]
        except RefmakerError as error:
            self._fail(number, error)
            return []

    def _fail(self, number: int, error: RefmakerError) -> None:
        error.source = self.space.url_of(number)
        self.known[number] = error


def relocated(tree: Tree, number: int) -> Tree:
    """Move all addresses of a tree into the space."""
    base = number << FILE_BITS
    moved: dict[int, Attribute] = {}
    for path, group in tree.groups.items():
        tree.groups[path] = _moved_group(group, base, moved)
    for path, dataset in tree.datasets.items():
        tree.datasets[path] = replace(
            dataset,
            address=dataset.address + base,
            storage=_moved_storage(dataset.storage, base),
            attributes=_moved_attributes(dataset.attributes, base, moved),
            values=_moved_values(dataset, base),
        )
    tree.paths = {address + base: path for address, path in tree.paths.items()}
    return tree


def _moved_group(group: Group, base: int, moved: dict[int, Attribute]) -> Group:
    attributes = _moved_attributes(group.attributes, base, moved)
    return replace(group, address=group.address + base, attributes=attributes)


def _moved_storage(storage: Storage, base: int) -> Storage:
    if isinstance(storage, Contiguous) and storage.offset is not None:
        return replace(storage, offset=storage.offset + base)
    if isinstance(storage, Chunked):
        return replace(storage, index=replace(storage.index, offset=storage.index.offset + np.uint64(base)))
    return storage


def _moved_attributes(attributes: dict[str, Attribute], base: int, moved: dict[int, Attribute]) -> dict[str, Attribute]:
    """Move object references. Walkers share equal attributes, so that each is moved once."""
    found = {}
    for name, attribute in attributes.items():
        if id(attribute) not in moved:
            moved[id(attribute)] = _moved_attribute(attribute, base)
        found[name] = moved[id(attribute)]
    return found


def _moved_attribute(attribute: Attribute, base: int) -> Attribute:
    datatype, value = attribute.datatype, attribute.value
    if isinstance(datatype, ObjectReference):
        return replace(attribute, value=_moved_references(value, base))
    if isinstance(datatype, VariableLength) and isinstance(datatype.base, ObjectReference) and value is not None:
        rows = np.empty(value.shape, object)
        for at, row in enumerate(value.ravel().tolist()):
            rows.ravel()[at] = _moved_references(row, base)
        return replace(attribute, value=rows)
    return attribute


def _moved_values(dataset: Dataset, base: int) -> np.ndarray | None:
    """Move object references, those among the members of a compound too."""
    datatype, values = dataset.datatype, dataset.values
    if isinstance(datatype, ObjectReference):
        return _moved_references(values, base)
    if values is None or not isinstance(datatype, Compound):
        return values
    moved = values.copy()
    for member in datatype.members:
        inner = member.datatype
        while isinstance(inner, ArrayType):
            inner = inner.base
        if isinstance(inner, ObjectReference):
            moved[member.name] = _moved_references(values[member.name], base)
    return moved


def _moved_references(value: np.ndarray | None, base: int) -> np.ndarray | None:
    if value is None or value.dtype.kind != "u":
        return value
    return np.where(value == NULL_REFERENCE, np.uint64(NULL_REFERENCE), value.astype("u8") + np.uint64(base))


def find(tree: Tree, path: str) -> Dataset | Group | ExternalLink | str | None:
    """Find an object by its path from the root, through hard and soft links.

    Returns
    -------
    The object, the external link that stands there, a reason why it cannot be read (`COMMITTED` for a datatype), or
    None when there is nothing.
    """
    here = "/"
    for name in path.split("/"):
        if name in ("", "."):
            continue
        if here in tree.external:
            return f"{here} is an external link"
        if here not in tree.groups:
            return f"there is no group {here}"
        here = f"/{name}" if here == "/" else f"{here}/{name}"
        link = tree.links.get(here)
        if link is not None:
            here = link.first
    found = tree.datasets.get(here) or tree.groups.get(here) or tree.external.get(here)
    if found is not None:
        return found
    refusal = tree.refusals.get(here)
    if refusal is None:
        return COMMITTED if here in tree.types else None
    return None if refusal.kind == "link" and refusal.reason.startswith("soft link") else refusal.reason
