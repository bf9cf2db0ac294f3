"""From a tree to what netCDF-4 shows of it.

Contract: `annotate` names every dataset of a tree, under every link to it, as a Zarr array with dimensions and
attributes, so that xarray shows the manifest as it shows the file with its netCDF-4 engine. What netCDF-4 itself cannot
show (datasets and attributes of types it does not know) is kept as far as Zarr has a form for it.

Source: netCDF-C 4.9–4.10, libhdf5/hdf5open.c (see `dimensions`); netCDF Appendix D "NetCDF-4 format".
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from refmaker.conventions.attributes import RESERVED, attribute_type, encode_attribute
from refmaker.conventions.cf import adjust_attributes, fill_attribute
from refmaker.conventions.dimensions import (
    Dimension,
    Numbering,
    Scope,
    Slot,
    is_empty_scale,
    is_scale,
    is_without_variable,
    knows_type,
)
from refmaker.conventions.names import escaped, is_utf8, zarr_name_problem
from refmaker.conventions.view import Variable, View
from refmaker.errors import Unsupported
from refmaker.model import (
    JSON,
    ArrayType,
    Attribute,
    Dataset,
    Datatype,
    Enumeration,
    FixedPoint,
    FloatingPoint,
    Group,
    ObjectReference,
    RegionReference,
    String,
    Tree,
)

__all__ = ["annotate", "zarr_name_problem"]

NON_COORDINATE = "_nc4_non_coord_"
_MARKS = frozenset({"_NCProperties", "_Netcdf4Coordinates", "_Netcdf4Dimid", "_nc3_strict", "DIMENSION_LIST"})
_DIMENSION_ONLY = "a netCDF dimension without a variable: it has no values"


def annotate(tree: Tree) -> View:
    """Return what netCDF-4 shows of a tree.

    Parameters
    ----------
    tree
        As the walker gives it. It is not changed, its datasets are shared.
    """
    return _Annotation(tree).run()


def is_netcdf(tree: Tree) -> bool:
    """Return whether a file is netCDF, by what netCDF-C writes into all of its own, or by dimension scales.

    Parameters
    ----------
    tree
        Of any file.
    """
    root = tree.groups.get("/")
    if root is not None and not _MARKS.isdisjoint(root.attributes):
        return True
    return any(d.dimensions is not None or not _MARKS.isdisjoint(d.attributes) for d in tree.datasets.values())


class _Annotation:
    """One run of `annotate`. Attributes encode once for each `Attribute` object: walkers share equal ones."""

    def __init__(self, tree: Tree) -> None:
        self.tree = tree
        self.view = View()
        self.numbering = Numbering()
        self.types: set[Datatype] = set(tree.definitions.values())
        self.encoded: dict[int, tuple[JSON, str | None, bool]] = {}
        self.arrays = not is_netcdf(tree)
        self.paths: dict[int, str] | None = None
        # A group under several names is shown under each: this bounds what names of names can amount to.
        self.steps_left = 1000 + 10 * (len(tree.datasets) + len(tree.groups) + len(tree.links))

    def run(self) -> View:
        if "/" not in self.tree.groups:
            return self.view
        root = Scope("/", self.tree.groups["/"], None)
        scopes = list(self._read(root))
        self.numbering.match(root)
        lengths = self._unlimited_lengths(scopes)
        for scope in scopes:
            self._show_group(scope)
            names = {slot.name for slot in scope.slots}
            for slot in scope.slots:
                self._show_slot(scope, slot, names, lengths)
        return self.view

    # Reading, in the order of netCDF-C.

    def _read(self, root: Scope) -> Iterator[Scope]:
        """Read a group's datasets, then its child groups, depth first."""
        stack = [root]
        while stack:
            scope = stack.pop()
            for name in scope.group.children:
                path = f"{scope.path.rstrip('/')}/{name}"
                dataset, group = self._resolve(scope, path, name)
                if self.steps_left <= 0:
                    self.view.hidden[path] = "too many links to the same objects"
                elif dataset is not None:
                    self.steps_left -= 1
                    self._read_dataset(scope, path, name, dataset)
                elif group is not None:
                    self.steps_left -= 1
                    scope.children.append(Scope(path, group, scope))
            yield scope
            stack.extend(reversed(scope.children))

    def _resolve(self, scope: Scope, path: str, name: str) -> tuple[Dataset | None, Group | None]:
        """Find what a child of a group is; a link back to an enclosing group is hidden."""
        owner = f"{scope.group.path.rstrip('/')}/{name}"
        link = self.tree.links.get(owner)
        if link is not None:
            owner = link.first
        group = self.tree.groups.get(owner)
        if link is not None and group is not None and _encloses(scope, group):
            self.view.hidden[path] = f"a link back to the enclosing group {group.path}"
            return None, None
        return self.tree.datasets.get(owner), group

    def _read_dataset(self, scope: Scope, path: str, name: str, dataset: Dataset) -> None:
        datatype = dataset.datatype
        known = knows_type(datatype, self.types)
        if not isinstance(datatype, (FixedPoint, FloatingPoint, String, ObjectReference, RegionReference)):
            self.types.add(datatype)  # netCDF-C lists a type before it finds that it cannot read it, and then knows it
        slot = Slot(path, name.removeprefix(NON_COORDINATE) or name, dataset, _array_axes(datatype), known)
        if is_empty_scale(dataset):
            scope.empty_scales.setdefault(dataset.address, slot.name)
        elif is_scale(dataset):
            without_variable = is_without_variable(dataset)
            self.numbering.read_scale(scope, slot, without_variable)
            if without_variable:
                self.view.hidden[path] = _DIMENSION_ONLY
                return
        if dataset.dimensions is None:
            self.numbering.read_coordinates(slot)
        scope.slots.append(slot)

    def _unlimited_lengths(self, scopes: list[Scope]) -> dict[int, int]:
        """Return id -> length of the unlimited dimensions: the longest extent of all variables (`nc4_find_dim_len`)."""
        lengths: dict[int, int] = {}
        for scope in scopes:
            for slot in scope.slots:
                for dimension, extent in zip(slot.dimensions, slot.extent, strict=True):
                    if dimension is not None and dimension.unlimited:
                        lengths[dimension.id] = max(extent, lengths.get(dimension.id, 0))
        return lengths

    # Showing.

    def _show_group(self, scope: Scope) -> None:
        notes = list(scope.group.notes)
        zarr_path = scope.path.strip("/")
        types: dict[str, str] = {}
        self.view.groups[zarr_path] = self._encode(scope.group.attributes, notes, types, scale=False)
        if types:
            self.view.group_types[zarr_path] = types
        self.view.group_paths[zarr_path] = scope.path
        if notes:
            self.view.group_notes[zarr_path] = notes

    def _show_slot(self, scope: Scope, slot: Slot, names: set[str], lengths: dict[int, int]) -> None:
        dataset = slot.dataset
        notes = list(dataset.notes)
        types: dict[str, str] = {}
        attributes = self._encode(dataset.attributes, notes, types, scale=slot.scale is not None)
        committed = dataset.datatype in self.committed if isinstance(dataset.datatype, Enumeration) else False
        adjust_attributes(dataset, attributes, notes, committed=committed)
        fill = fill_attribute(dataset)
        if isinstance(fill, np.generic) and fill.dtype.kind in "iuf" and fill.dtype.itemsize <= 8:
            types["_FillValue"] = f"{fill.dtype.kind}{fill.dtype.itemsize}"  # whatever it is: that there is one
        if dataset.dimensions is None:
            dimensions, shape = self._shown_extent(scope, slot, lengths, notes)
        else:
            dimensions, shape = dataset.dimensions, slot.extent
        variable = Variable(
            zarr_path=self._zarr_path(scope, slot, names, notes),
            path=slot.path,
            dataset=dataset,
            dimensions=_spelled(dimensions, notes),
            shape=shape,
            attributes=attributes,
            fill_attribute=fill,
            notes=notes,
            types=types,
        )
        self.view.variables.append(variable)

    @property
    def committed(self) -> set[Datatype]:
        """The named datatypes of the file; where only their names are known, all that could be."""
        return set(self.tree.definitions.values()) if self.tree.definitions or not self.tree.types else self.types

    def _zarr_path(self, scope: Scope, slot: Slot, names: set[str], notes: list[str]) -> str:
        """Return the netCDF name, which drops the prefix of a variable named like a dimension that it does not have."""
        own = slot.path.rpartition("/")[2]
        name = slot.name
        if name != own:
            clash = name in scope.group.children and f"{scope.path.rstrip('/')}/{name}" not in self.view.hidden
            if clash:
                name = own
            else:
                notes.append(f"named {own} in the file: netCDF-4 shows it as {name}")
        return f"{scope.path.strip('/')}/{name}".lstrip("/")

    def _shown_extent(
        self, scope: Scope, slot: Slot, lengths: dict[int, int], notes: list[str]
    ) -> tuple[tuple[str, ...], tuple[int, ...]]:
        """Name the axes; unlimited ones grow to the length of their dimension, others must have it."""
        names: list[str] = []
        shape: list[int] = []
        for axis, (dimension, extent) in enumerate(zip(slot.dimensions, slot.extent, strict=True)):
            if dimension is None:  # the matching leaves none
                raise Unsupported("an axis without a dimension", path=slot.path)
            length = lengths[dimension.id] if dimension.unlimited else extent
            if not dimension.unlimited and dimension.length != extent:
                notes.append(
                    f"axis {axis} has {extent} elements where its dimension {dimension.name} has {dimension.length}: "
                    "it gets a dimension of its own"
                )
                dimension = self._own_dimension(scope, extent)
            # Ids name dimensions: of several links to one scale, the last one read counts.
            names.append(self.numbering.by_id[dimension.id].name)
            shape.append(length)
        return tuple(names), tuple(shape)

    def _own_dimension(self, scope: Scope, extent: int) -> Dimension:
        phony = [d for d in scope.by_extent.get((extent, False), ()) if d.name.startswith("phony_dim_")]
        return phony[0] if phony else self.numbering.add(scope, f"phony_dim_{self.numbering.next_id}", extent, False)

    def _encode(
        self, attributes: dict[str, Attribute], notes: list[str], types: dict[str, str], *, scale: bool
    ) -> dict[str, JSON]:
        """Encode the attributes that netCDF-4 does not keep for itself; put their types into `types`."""
        encoded: dict[str, JSON] = {}
        for name, attribute in attributes.items():
            if name in RESERVED:
                if name in ("CLASS", "NAME") and not scale:
                    notes.append(f"{name}: left out, netCDF-4 keeps attributes of this name for itself")
                continue
            known = self.encoded.get(id(attribute))
            if known is None:
                known = self.encoded[id(attribute)] = self._encode_one(attribute)
            value, note, written = known
            if note is not None:
                notes.append(note)
            if written:
                encoded[name] = value
                kind = attribute_type(attribute)
                if kind is not None:
                    types[name] = kind
        return encoded

    def _encode_one(self, attribute: Attribute) -> tuple[JSON, str | None, bool]:
        try:
            attribute.name.encode()
        except UnicodeEncodeError:
            return None, f"{attribute.name!r}: left out, the name is not valid UTF-8", False
        try:
            value, note = encode_attribute(attribute, self._path_of, arrays=self.arrays)
        except Unsupported as error:
            return None, f"{attribute.name}: left out, {error.message}", False
        if note is not None and not note.startswith(attribute.name):
            note = f"{attribute.name}: {note}"
        return value, note, True

    def _path_of(self, address: int) -> str | None:
        if self.paths is None:
            self.paths = {dataset.address: path for path, dataset in reversed(self.tree.datasets.items())}
            self.paths.update((group.address, path) for path, group in reversed(self.tree.groups.items()))
        return self.paths.get(address)


def _spelled(dimensions: tuple[str, ...], notes: list[str]) -> tuple[str, ...]:
    """Return names of dimensions that JSON can hold."""
    if all(map(is_utf8, dimensions)):
        return dimensions
    unfit = [name for name in dict.fromkeys(dimensions) if not is_utf8(name)]
    notes += [f"dimension {name!r}: the name is not valid UTF-8, it is written as {escaped(name)}" for name in unfit]
    return tuple(map(escaped, dimensions))


def _array_axes(datatype: Datatype) -> tuple[int, ...]:
    """Return the axes that an array datatype adds, one inside another included."""
    axes: tuple[int, ...] = ()
    while isinstance(datatype, ArrayType):
        axes += datatype.shape
        datatype = datatype.base
    return axes


def _encloses(scope: Scope, group: Group) -> bool:
    at: Scope | None = scope
    while at is not None:
        if at.group is group:
            return True
        at = at.parent
    return False
